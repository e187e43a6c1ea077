//! Decoders of hostile bytes, one function each, for fuzzing and for the replay of a corpus.
//!
//! A target takes any bytes and returns when what has to hold held: no panic, no endless work,
//! errors with a place, what decodes encodes back to the same bytes, two readers of one format
//! agree. It panics otherwise, which a fuzzer and a test both take for a finding.
//!
//! | file | what is in it |
//! |---|---|
//! | `ethereum`, `antelope`, `drain` | the decoders of `chain-files`; what holds of every reader |
//! | `bitcoin` | those of `chain_store::bitcoin` and of its rows |
//! | `repchain` | blocks of RepChain |
//! | `segments` | files of `seglog`, raw and with their checksums made right |
//! | `rows` | records and rows of block stores |
//! | `texts` | markers, seals, envelopes, coded keys and values |
//!
//! Invariants: [`TARGETS`] names every target; each has a folder of this name in `corpus/` and a
//! program in `libfuzzer/`. Blocks are limited to 1 MiB, so that a target stays quick.
//! How to run and how to keep a finding: `docs/testing.md`.

#![forbid(unsafe_code)]

mod antelope;
mod bitcoin;
mod drain;
mod ethereum;
mod repchain;
mod rows;
mod segments;
mod texts;

/// A decoder with what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus and of its program.
    pub name: &'static str,
    /// Decodes and checks; panics on a finding.
    pub run: fn(&[u8]),
    /// Changed inputs in a full run of the tests; slower decoders get fewer.
    pub changes: usize,
    /// What one run may allocate in all besides 64 bytes for each of its input.
    pub allocated_bytes_max: u64,
}

const MIB: u64 = 1 << 20;

const fn target(name: &'static str, run: fn(&[u8]), changes: usize, mib: u64) -> Target {
    Target {
        name,
        run,
        changes,
        allocated_bytes_max: mib * MIB,
    }
}

/// Every target, by name.
pub const TARGETS: [Target; 27] = [
    target("antelope_block", antelope::block, 10_000, 2),
    target("antelope_index", antelope::index, 10_000, 4),
    target("antelope_log", antelope::log, 10_000, 16),
    target("antelope_preamble", antelope::preamble, 20_000, 2),
    target("any_file", drain::any_file, 5_000, 16),
    target("bitcoin_block", bitcoin::block, 40_000, 2),
    target("bitcoin_file", bitcoin::file, 4_000, 16),
    target("bitcoin_state", bitcoin::state, 10_000, 2),
    target("bitcoin_transaction", bitcoin::transaction, 20_000, 1),
    target("bitcoin_unspent", bitcoin::unspent, 20_000, 1),
    target("block_records", rows::records, 10_000, 16),
    target("block_rows", rows::segment_rows, 3_000, 16),
    target("e2store", ethereum::e2store, 20_000, 1),
    target("envelope", texts::envelope, 20_000, 1),
    target("era1", ethereum::era1, 3_000, 32),
    target("era1_body", ethereum::era1_body, 40_000, 2),
    target("ethereum_block", ethereum::block, 4_000, 2),
    target("key_codec", texts::key_codec, 20_000, 1),
    target("kv_rows", rows::kv_rows, 6_000, 8),
    target("marker", texts::marker, 10_000, 2),
    target("repchain_block", repchain::block, 10_000, 100),
    target("rlp", ethereum::rlp, 20_000, 1),
    target("rlp_chain", ethereum::rlp_chain, 1_000, 16),
    target("seal", texts::seal, 5_000, 1),
    target("seglog_packed", segments::packed, 5_000, 64),
    target("seglog_raw", segments::raw, 10_000, 8),
    target("seglog_sealed", segments::sealed, 10_000, 16),
];

/// Runs the target of this name.
///
/// # Panics
/// On a finding, and when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let Some(target) = target else {
        panic!("no target is called {name}");
    };
    (target.run)(data);
}

/// What must not fail; a failure is a finding.
fn must<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Takes a length of one byte and so many bytes off the front; all that is left if there are fewer.
fn take_short<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (length, rest) = data.split_first()?;
    let (taken, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    *data = rest;
    Some(taken)
}

/// The same with a length of two bytes, the least significant first.
fn take_long<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (taken, rest) = rest.split_at(length.min(rest.len()));
    *data = rest;
    Some(taken)
}
