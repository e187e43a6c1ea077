//! The row of a body's place, and the record of a block in the log. The bytes are told in
//! `docs/format/segment-blocks.md`.
//!
//! Invariants: a record holds everything that the index holds of its block, behind the body, so
//! that the index can be made again from the segments alone; every decoder takes all bytes or
//! reports corruption, and never panics.

use seglog::{Place, Prefix, SegmentNumber};
use storage_api::blocks::{BlockHash, BlockInfo, Height, NewBlock, TxId};
use storage_api::{Error, Result, TableDef};

/// Height to the place of the body.
pub(crate) const PLACES: TableDef = TableDef::new("blocks.places").append_only();

const VERSION: u8 = 1;

/// Bytes of the row of a place.
const PLACE_BYTES: usize = 41;

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyPlace {
    /// The number of its record in the log, which counts staged blocks and not heights.
    pub(crate) record: seglog::Height,
    pub(crate) place: Place,
    /// The body is the beginning of the record.
    pub(crate) body: Prefix,
}

fn damaged(what: &str) -> Error {
    Error::corruption(format!("table {}", PLACES.name()), what)
}

/// Value of a row.
pub(crate) fn encode_place(at: &BodyPlace) -> [u8; PLACE_BYTES] {
    let mut out = [0; PLACE_BYTES];
    out[0] = VERSION;
    out[1..9].copy_from_slice(&at.record.get().to_le_bytes());
    out[9..17].copy_from_slice(&at.place.segment.get().to_le_bytes());
    out[17..25].copy_from_slice(&at.place.offset.to_le_bytes());
    out[25..29].copy_from_slice(&at.place.payload_bytes.to_le_bytes());
    out[29..33].copy_from_slice(&at.place.payload_checksum.to_le_bytes());
    out[33..37].copy_from_slice(&at.body.bytes.to_le_bytes());
    out[37..41].copy_from_slice(&at.body.checksum.to_le_bytes());
    out
}

/// Place of a value.
pub(crate) fn decode_place(value: &[u8]) -> Result<BodyPlace> {
    let value: &[u8; PLACE_BYTES] = value
        .try_into()
        .map_err(|_| damaged("a value is not 41 bytes"))?;
    if value[0] != VERSION {
        return Err(damaged(&format!(
            "value version {}, {VERSION} expected",
            value[0]
        )));
    }
    let long = |at: usize| {
        let bytes = value.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let word = |at: usize| {
        let bytes = value.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let at = BodyPlace {
        record: seglog::Height::new(long(1)),
        place: Place {
            segment: SegmentNumber::new(long(9)),
            offset: long(17),
            payload_bytes: word(25),
            payload_checksum: word(29),
        },
        body: Prefix {
            bytes: word(33),
            checksum: word(37),
        },
    };
    if at.body.bytes > at.place.payload_bytes {
        return Err(damaged("a body is longer than its record"));
    }
    Ok(at)
}

/// What lies behind the body of a block in its record.
pub(crate) fn encode_trailer(block: &NewBlock<'_>) -> Vec<u8> {
    let ids: usize = block.tx_ids.iter().map(|id| 1 + id.as_bytes().len()).sum();
    let mut out = Vec::with_capacity(160 + ids);
    let short = |out: &mut Vec<u8>, bytes: &[u8]| {
        // Hashes and ids are 1..=64 bytes.
        out.push(bytes.len() as u8);
        out.extend_from_slice(bytes);
    };
    out.push(VERSION);
    out.extend_from_slice(&block.height.get().to_le_bytes());
    short(&mut out, block.hash.as_bytes());
    short(&mut out, block.parent.as_bytes());
    for id in block.tx_ids {
        short(&mut out, id.as_bytes());
    }
    // A record is shorter than 2^32 bytes, so its trailer is.
    let len = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out
}

/// How many bytes of a record are not its body, told from its end; of any bytes.
pub(crate) fn trailer_bytes(end: &[u8]) -> u64 {
    let len = end.last_chunk::<4>().map(|len| u32::from_le_bytes(*len));
    len.map_or(0, |len| u64::from(len) + 4)
}

/// A block as its record has it.
#[derive(Debug)]
pub(crate) struct Recorded<'r> {
    pub(crate) info: BlockInfo,
    pub(crate) tx_ids: Vec<TxId>,
    pub(crate) body: &'r [u8],
}

impl Recorded<'_> {
    pub(crate) fn as_block(&self) -> NewBlock<'_> {
        NewBlock {
            height: self.info.height,
            hash: self.info.hash,
            parent: self.info.parent,
            tx_ids: &self.tx_ids,
            body: self.body,
        }
    }
}

/// The block of a record.
pub(crate) fn decode_record(payload: &[u8]) -> Result<Recorded<'_>> {
    let bad = || Error::corruption("a record of a block", "it does not end as one");
    let (rest, len) = payload.split_last_chunk::<4>().ok_or_else(bad)?;
    let len = u32::from_le_bytes(*len) as usize;
    let begin = rest.len().checked_sub(len).ok_or_else(bad)?;
    let (body, mut trailer) = rest.split_at_checked(begin).ok_or_else(bad)?;
    let (version, after) = trailer.split_first().ok_or_else(bad)?;
    if *version != VERSION {
        let what = format!("record version {version}, {VERSION} expected");
        return Err(Error::corruption("a record of a block", what));
    }
    let (height, after) = after.split_first_chunk::<8>().ok_or_else(bad)?;
    trailer = after;
    let mut short = || {
        let (len, after) = trailer.split_first().ok_or_else(bad)?;
        let (bytes, after) = after.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
        trailer = after;
        Ok::<_, Error>(bytes)
    };
    let hash = BlockHash::new(short()?).map_err(|_| bad())?;
    let parent = BlockHash::new(short()?).map_err(|_| bad())?;
    let mut tx_ids = Vec::new();
    while !trailer.is_empty() {
        let (len, after) = trailer.split_first().ok_or_else(bad)?;
        let (bytes, after) = after.split_at_checked(usize::from(*len)).ok_or_else(bad)?;
        tx_ids.push(TxId::new(bytes).map_err(|_| bad())?);
        trailer = after;
    }
    let tx_count = u32::try_from(tx_ids.len()).map_err(|_| bad())?;
    Ok(Recorded {
        info: BlockInfo {
            height: Height::new(u64::from_le_bytes(*height)),
            hash,
            parent,
            tx_count,
            body_bytes: body.len() as u64,
        },
        tx_ids,
        body,
    })
}
