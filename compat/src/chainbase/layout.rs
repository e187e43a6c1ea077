//! The rows of a chainbase node's blocks that are not the log's own. The bytes are told in
//! `docs/format/chainbase.md`.
//!
//! Invariants: keys big-endian, values little-endian, version byte first; every decoder takes all
//! bytes or reports corruption, and never panics.

use blocks::LogBlock;
use chain_files::antelope::Preamble;
use storage_api::blocks::{BlockHash, BlockInfo, Height, NewBlock, TxId};
use storage_api::{Error, Result, TableDef};

/// What stands before the first entry of a `blocks.log`.
pub(super) const LOG: TableDef = TableDef::new("chainbase.log").point_lookups();
/// Number to block.
pub(super) const REVERSIBLE: TableDef = TableDef::new("chainbase.reversible").large_values();
/// Id to number.
pub(super) const REVERSIBLE_IDS: TableDef =
    TableDef::new("chainbase.reversible-ids").point_lookups();

/// Key of the preamble.
pub(super) const PREAMBLE_KEY: &[u8] = b"preamble";

const VERSION: u8 = 1;

fn damaged(table: &TableDef, what: impl Into<String>) -> Error {
    Error::corruption(format!("table {}", table.name()), what)
}

fn after_version<'v>(table: &TableDef, value: &'v [u8]) -> Result<&'v [u8]> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((found, _)) => {
            let what = format!("value version {found}, {VERSION} expected");
            Err(damaged(table, what))
        }
        None => Err(damaged(table, "a value is empty")),
    }
}

/// Value of the preamble.
pub(super) fn encode_preamble(preamble: &Preamble) -> Vec<u8> {
    [&[VERSION][..], preamble.bytes()].concat()
}

/// Preamble of a value.
pub(super) fn decode_preamble(value: &[u8]) -> Result<Preamble> {
    let bytes = after_version(&LOG, value)?;
    Preamble::parse(bytes).map_err(|fault| damaged(&LOG, fault.to_string()))
}

/// Key of a number.
pub(super) fn number_key(number: Height) -> [u8; 8] {
    number.get().to_be_bytes()
}

/// Number of a key.
pub(super) fn number_of_key(key: &[u8]) -> Result<Height> {
    let bytes = key.try_into();
    let bytes = bytes.map_err(|_| damaged(&REVERSIBLE, "a key is not 8 bytes"))?;
    Ok(Height::new(u64::from_be_bytes(bytes)))
}

/// Value of an id.
pub(super) fn number_value(number: Height) -> [u8; 8] {
    number.get().to_le_bytes()
}

/// Number of such a value.
pub(super) fn number_of_value(value: &[u8]) -> Result<Height> {
    let bytes = value.try_into();
    let bytes = bytes.map_err(|_| damaged(&REVERSIBLE_IDS, "a value is not 8 bytes"))?;
    Ok(Height::new(u64::from_le_bytes(bytes)))
}

/// Value of a block that is not final.
///
/// # Errors
/// `InvalidArgument` with 2^32 transactions and more.
pub(super) fn encode_block(block: &NewBlock<'_>) -> Result<Vec<u8>> {
    let too_many = |_| Error::invalid(format!("{} transactions in one block", block.tx_ids.len()));
    let tx_count = u32::try_from(block.tx_ids.len()).map_err(too_many)?;
    let ids: usize = block.tx_ids.iter().map(|id| 1 + id.as_bytes().len()).sum();
    let mut out = Vec::with_capacity(block.body.len() + ids + 140);
    let short = |out: &mut Vec<u8>, bytes: &[u8]| {
        // Hashes and ids are 1..=64 bytes.
        out.push(bytes.len() as u8);
        out.extend_from_slice(bytes);
    };
    out.push(VERSION);
    short(&mut out, block.hash.as_bytes());
    short(&mut out, block.parent.as_bytes());
    out.extend_from_slice(&tx_count.to_le_bytes());
    for id in block.tx_ids {
        short(&mut out, id.as_bytes());
    }
    out.extend_from_slice(block.body);
    Ok(out)
}

/// Block of a value.
pub(super) fn decode_block(number: Height, value: &[u8]) -> Result<LogBlock> {
    let bad = || damaged(&REVERSIBLE, "a value does not hold a block");
    let mut rest = after_version(&REVERSIBLE, value)?;
    let short = |rest: &mut &[u8]| {
        let (len, after) = rest.split_first().ok_or_else(bad)?;
        let (bytes, after) = after.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
        *rest = after;
        Ok::<_, Error>(bytes.to_vec())
    };
    let hash = BlockHash::new(&short(&mut rest)?).map_err(|_| bad())?;
    let parent = BlockHash::new(&short(&mut rest)?).map_err(|_| bad())?;
    let (tx_count, after) = rest.split_first_chunk().ok_or_else(bad)?;
    rest = after;
    let tx_count = u32::from_le_bytes(*tx_count);
    // The count is not believed: memory grows with the ids that are there.
    let mut tx_ids = Vec::new();
    for _ in 0..tx_count {
        tx_ids.push(TxId::new(&short(&mut rest)?).map_err(|_| bad())?);
    }
    let info = BlockInfo {
        height: number,
        hash,
        parent,
        tx_count,
        body_bytes: rest.len() as u64,
    };
    Ok(LogBlock {
        info,
        tx_ids,
        body: rest.to_vec(),
    })
}
