//! The three things an importer reads in a script; scripts are never run here.
//!
//! Must always hold: any bytes are accepted as a script, since the chain holds scripts that do
//! not parse. Cost: a look at the first bytes and the length.

/// Longest script that can be run, in bytes (Bitcoin Core `MAX_SCRIPT_SIZE`).
pub const SCRIPT_BYTES_MAX: usize = 10_000;

const OP_RETURN: u8 = 0x6a;
const OP_1: u8 = 0x51;
const OP_16: u8 = 0x60;
/// A return, a push of 36 bytes and the four bytes that mark a witness commitment (BIP 141).
const COMMITMENT_HEAD: [u8; 6] = [OP_RETURN, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// True when no input can ever spend an output with this script: it begins with `OP_RETURN` or is
/// longer than [`SCRIPT_BYTES_MAX`]. The same rule as `CScript::IsUnspendable` in Bitcoin Core,
/// which keeps such outputs out of its set of unspent outputs.
#[must_use]
pub fn is_unspendable(script: &[u8]) -> bool {
    script.first() == Some(&OP_RETURN) || script.len() > SCRIPT_BYTES_MAX
}

/// The height at the front of a coinbase script (BIP 34), if there is one.
///
/// `Some` says only that the script begins with the shortest push of a number from 0 to
/// `u32::MAX`: before BIP 34 was enforced (mainnet height 227,931) miners put other numbers there,
/// often the target, in blocks of version 2 too. It is a hint; the height of the parent wins.
#[must_use]
pub fn coinbase_height(script: &[u8]) -> Option<u32> {
    let (&first, rest) = script.split_first()?;
    match first {
        0 => Some(0),
        OP_1..=OP_16 => Some(u32::from(first - OP_1) + 1),
        1..=5 => {
            let number = rest.get(..usize::from(first))?;
            let (&top, lower) = number.split_last()?;
            let spare = top == 0 && lower.last().is_none_or(|below| below & 0x80 == 0);
            if top & 0x80 != 0 || spare {
                return None;
            }
            let value = number
                .iter()
                .rev()
                .fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
            // Numbers up to 16 have an opcode of their own, so a push of them is not the shortest.
            u32::try_from(value).ok().filter(|&height| height > 16)
        }
        _ => None,
    }
}

/// The 32 bytes of a witness commitment, when the script is one (BIP 141).
pub(super) fn witness_commitment(script: &[u8]) -> Option<[u8; 32]> {
    script
        .strip_prefix(&COMMITMENT_HEAD)?
        .first_chunk::<32>()
        .copied()
}
