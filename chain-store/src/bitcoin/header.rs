//! The 80-byte block header and its proof of work.
//!
//! Must always hold: the hash in a [`Header`] is that of the bytes it was decoded from. Checked
//! here: the hash meets the target that the header states, and that target is one the network
//! allows. Not checked: that it is the *right* target (difficulty retargeting), the time, and the
//! version, since they need the headers before this one. Cost: one double hash.

use super::error::{DecodeError, DecodeFault};
use super::hash::{BtcHash, sha256d};
use super::network::Network;
use super::wire::Cursor;

/// Length of a header in bytes.
pub const HEADER_BYTES: usize = 80;

const BITS_OFFSET: usize = 72;

/// A decoded block header with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The block's hash: double SHA-256 of the 80 bytes.
    pub hash: BtcHash,
    /// Block version; its upper bits signal rule changes (BIP 9).
    pub version: i32,
    /// Hash of the block before this one; zero for a genesis block.
    pub parent: BtcHash,
    /// Merkle root of the transaction ids.
    pub merkle_root: BtcHash,
    /// Seconds since 1970 as the miner stated them; not monotonic along a chain.
    pub time: u32,
    /// The target in compact form.
    pub bits: u32,
    /// The number that was searched for.
    pub nonce: u32,
}

impl Header {
    /// Decodes the first [`HEADER_BYTES`] bytes; what follows is not looked at. The work is not
    /// checked, see [`check_work`](Self::check_work).
    ///
    /// # Errors
    ///
    /// [`DecodeFault::Truncated`] when there are fewer bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::at(bytes, 0);
        let raw = cursor.take(HEADER_BYTES, "the block header")?;
        let mut cursor = Cursor::at(raw, 0);
        Ok(Self {
            hash: BtcHash::from_bytes(sha256d(&[raw])),
            version: i32::from_le_bytes(cursor.array("the block version")?),
            parent: BtcHash::from_bytes(cursor.array("the parent hash")?),
            merkle_root: BtcHash::from_bytes(cursor.array("the merkle root")?),
            time: cursor.u32("the time")?,
            bits: cursor.u32("the target")?,
            nonce: cursor.u32("the nonce")?,
        })
    }

    /// Holds the hash against the stated target, and the target against the easiest one of the
    /// network (of regtest, when no network is given).
    ///
    /// # Errors
    ///
    /// [`DecodeFault::Target`] and [`DecodeFault::Work`].
    pub fn check_work(&self, network: Option<Network>) -> Result<(), DecodeError> {
        let bits = self.bits;
        let easiest = target(network.unwrap_or(Network::Regtest).easiest_bits());
        let Some(target) = target(bits).filter(|target| Some(*target) <= easiest) else {
            return Err(DecodeFault::Target { bits }.at(BITS_OFFSET));
        };
        let mut number = self.hash.to_bytes();
        number.reverse();
        if number > target {
            return Err(DecodeFault::Work {
                hash: self.hash,
                bits,
            }
            .at(0));
        }
        Ok(())
    }
}

/// A compact target as 256 bits, most significant byte first: the low 23 bits times 256 to the
/// power of the top byte less 3. `None` when negative, zero or too large (Bitcoin Core
/// `arith_uint256::SetCompact` and `CheckProofOfWork`).
fn target(bits: u32) -> Option<[u8; 32]> {
    let [exponent, mantissa @ ..] = bits.to_be_bytes();
    if mantissa[0] & 0x80 != 0 {
        return None;
    }
    let mut target = [0_u8; 32];
    for (place, byte) in mantissa.into_iter().enumerate() {
        // The byte counts 256 to the power of exponent - 1 - place.
        let Some(power) = usize::from(exponent).checked_sub(1 + place) else {
            continue;
        };
        match 31_usize
            .checked_sub(power)
            .and_then(|at| target.get_mut(at))
        {
            Some(slot) => *slot = byte,
            None if byte == 0 => {}
            None => return None,
        }
    }
    (target != [0; 32]).then_some(target)
}
