//! The rows and records of BitShares' block database. The bytes are told in
//! `docs/format/bitshares.md`.
//!
//! Invariants: a row of a removed block has no place and still has its id, as upstream's entry of
//! size 0; a record says which block it is, so a row that points to another one is noticed; every
//! decoder takes all bytes or reports corruption, and never panics.

use seglog::{Place, SegmentNumber};
use storage_api::blocks::{BlockHash, Height};
use storage_api::{Error, Result, TableDef};

/// Number to id and place.
pub(super) const BLOCKS: TableDef = TableDef::new("bitshares.blocks");
/// How far the log goes that commits know.
pub(super) const LOG: TableDef = TableDef::new("bitshares.log").point_lookups();

/// Key of the row of the log's end.
pub(super) const END_KEY: &[u8] = b"end";

const VERSION: u8 = 1;

/// Bytes of a row before the id.
const FIXED_BYTES: usize = 37;

/// Bytes of the number and of the length of the id behind a block in its record.
const TRAILER_FIXED_BYTES: usize = 9;

/// Where a block's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The number of its record in the log.
    pub(super) record: seglog::Height,
    pub(super) place: Place,
}

/// What the index knows of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: BlockHash,
    /// Length of the block in bytes; 0 when it was removed.
    pub(super) block_bytes: u32,
    /// None when it was removed.
    pub(super) at: Option<At>,
}

fn damaged(table: &TableDef, what: impl Into<String>) -> Error {
    Error::corruption(format!("table {}", table.name()), what)
}

/// Key of a number.
pub(super) fn number_key(number: Height) -> [u8; 8] {
    number.get().to_be_bytes()
}

/// Number of a key.
pub(super) fn number_of_key(key: &[u8]) -> Result<Height> {
    let bytes = key.try_into();
    let bytes = bytes.map_err(|_| damaged(&BLOCKS, "a key is not 8 bytes"))?;
    Ok(Height::new(u64::from_be_bytes(bytes)))
}

/// Value of an entry.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let none = At {
        record: seglog::Height::default(),
        place: Place {
            segment: SegmentNumber::default(),
            offset: 0,
            payload_bytes: 0,
            payload_checksum: 0,
        },
    };
    let at = entry.at.unwrap_or(none);
    let mut out = Vec::with_capacity(FIXED_BYTES + 65);
    out.push(VERSION);
    out.extend_from_slice(&entry.block_bytes.to_le_bytes());
    out.extend_from_slice(&at.record.get().to_le_bytes());
    out.extend_from_slice(&at.place.segment.get().to_le_bytes());
    out.extend_from_slice(&at.place.offset.to_le_bytes());
    out.extend_from_slice(&at.place.payload_bytes.to_le_bytes());
    out.extend_from_slice(&at.place.payload_checksum.to_le_bytes());
    out.extend_from_slice(entry.id.as_bytes());
    out
}

/// Entry of a value.
pub(super) fn decode_entry(value: &[u8]) -> Result<Entry> {
    let Some((fixed, id)) = value.split_first_chunk::<FIXED_BYTES>() else {
        return Err(damaged(&BLOCKS, "a value is too short"));
    };
    if fixed[0] != VERSION {
        let what = format!("value version {}, {VERSION} expected", fixed[0]);
        return Err(damaged(&BLOCKS, what));
    }
    let long = |at: usize| {
        let bytes = fixed.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let word = |at: usize| {
        let bytes = fixed.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let id = BlockHash::new(id).map_err(|_| damaged(&BLOCKS, "an id is not 1 to 64 bytes"))?;
    let block_bytes = word(1);
    if block_bytes == 0 {
        if fixed[5..].iter().any(|byte| *byte != 0) {
            return Err(damaged(&BLOCKS, "a removed block has a place"));
        }
        let at = None;
        return Ok(Entry {
            id,
            block_bytes,
            at,
        });
    }
    let at = At {
        record: seglog::Height::new(long(5)),
        place: Place {
            segment: SegmentNumber::new(long(13)),
            offset: long(21),
            payload_bytes: word(29),
            payload_checksum: word(33),
        },
    };
    let trailer = TRAILER_FIXED_BYTES + id.as_bytes().len();
    if u64::from(block_bytes) + trailer as u64 != u64::from(at.place.payload_bytes) {
        return Err(damaged(
            &BLOCKS,
            "a block and its record do not match in length",
        ));
    }
    Ok(Entry {
        id,
        block_bytes,
        at: Some(at),
    })
}

/// Value of the log's end: the number of the record to come.
pub(super) fn encode_end(end: seglog::Height) -> [u8; 9] {
    let mut out = [VERSION; 9];
    out[1..].copy_from_slice(&end.get().to_le_bytes());
    out
}

/// End of a value.
pub(super) fn decode_end(value: &[u8]) -> Result<seglog::Height> {
    match value.split_first_chunk::<1>() {
        Some(([VERSION], rest)) => {
            let bytes = rest.try_into();
            let bytes = bytes.map_err(|_| damaged(&LOG, "a value is not 9 bytes"))?;
            Ok(seglog::Height::new(u64::from_le_bytes(bytes)))
        }
        Some(([found], _)) => {
            let what = format!("value version {found}, {VERSION} expected");
            Err(damaged(&LOG, what))
        }
        None => Err(damaged(&LOG, "a value is empty")),
    }
}

/// What lies behind a block in its record.
pub(super) fn encode_trailer(number: Height, id: &BlockHash) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_FIXED_BYTES + id.as_bytes().len());
    out.extend_from_slice(&number.get().to_le_bytes());
    out.extend_from_slice(id.as_bytes());
    // Ids are 1..=64 bytes.
    out.push(id.as_bytes().len() as u8);
    out
}

/// Number, id and bytes of the block of a record.
pub(super) fn decode_record(payload: &[u8]) -> Result<(Height, BlockHash, &[u8])> {
    let bad = || Error::corruption("a record of a block", "it does not end as one");
    let (len, rest) = payload.split_last().ok_or_else(bad)?;
    let id_at = rest.len().checked_sub(usize::from(*len)).ok_or_else(bad)?;
    let (rest, id) = rest.split_at_checked(id_at).ok_or_else(bad)?;
    let id = BlockHash::new(id).map_err(|_| bad())?;
    let (block, number) = rest.split_last_chunk().ok_or_else(bad)?;
    let number = Height::new(u64::from_le_bytes(*number));
    Ok((number, id, block))
}
