//! Tables, keys and values of [`super::KvBlocks`]. The bytes are told in
//! `docs/format/kv-blocks.md`.
//!
//! Invariants: keys big-endian, so that order is height order; values little-endian, version byte
//! first where a value has more than one field; every decoder takes all bytes or reports
//! corruption, and never panics.

use super::words::{BlockHash, BlockInfo, BlockTotals, Height, TxId, TxPlace};
use crate::error::{Error, Result};
use crate::table::TableDef;

/// Height to body.
pub(super) const BODIES: TableDef = TableDef::new("blocks.bodies").append_only().large_values();
/// Height to index entry.
pub(super) const INDEX: TableDef = TableDef::new("blocks.index").append_only();
/// Hash to height.
pub(super) const HASHES: TableDef = TableDef::new("blocks.hashes").point_lookups();
/// Transaction id, height and position to nothing.
pub(super) const TXS: TableDef = TableDef::new("blocks.txs");
/// Height to the ids of its transactions.
pub(super) const TX_IDS: TableDef = TableDef::new("blocks.tx-ids").append_only();
/// The one row of totals.
pub(super) const STATE: TableDef = TableDef::new("blocks.state").point_lookups();

/// Key of the row of totals.
pub(super) const STATE_KEY: &[u8] = b"totals";

const VERSION: u8 = 1;

fn damaged(table: &str, what: &str) -> Error {
    Error::corruption(format!("table {table}"), what)
}

/// Key of a height.
pub(super) fn height_key(height: Height) -> [u8; 8] {
    height.get().to_be_bytes()
}

/// Height of a key.
pub(super) fn height_of_key(key: &[u8]) -> Result<Height> {
    let bytes = key
        .try_into()
        .map_err(|_| damaged(INDEX.name(), "a key is not 8 bytes"))?;
    Ok(Height::new(u64::from_be_bytes(bytes)))
}

/// Value of a hash row.
pub(super) fn height_value(height: Height) -> [u8; 8] {
    height.get().to_le_bytes()
}

/// Height of a hash row.
pub(super) fn height_of_value(value: &[u8]) -> Result<Height> {
    let bytes = value
        .try_into()
        .map_err(|_| damaged(HASHES.name(), "a value is not 8 bytes"))?;
    Ok(Height::new(u64::from_le_bytes(bytes)))
}

/// Prefix of all rows of a transaction id.
pub(super) fn tx_prefix(tx_id: &TxId) -> Vec<u8> {
    let bytes = tx_id.as_bytes();
    let mut key = Vec::with_capacity(1 + bytes.len() + 12);
    // Ids are 1..=64 bytes, so the length fits; it keeps one id from being the prefix of another.
    key.push(bytes.len() as u8);
    key.extend_from_slice(bytes);
    key
}

/// Key of one place of a transaction id.
pub(super) fn tx_key(tx_id: &TxId, place: TxPlace) -> Vec<u8> {
    let mut key = tx_prefix(tx_id);
    key.extend_from_slice(&place.height.get().to_be_bytes());
    key.extend_from_slice(&place.position.to_be_bytes());
    key
}

/// Place of a transaction row.
pub(super) fn place_of_tx_key(key: &[u8]) -> Result<TxPlace> {
    let bad = || damaged(TXS.name(), "a key is too short");
    let (rest, position) = key.split_last_chunk::<4>().ok_or_else(bad)?;
    let (_, height) = rest.split_last_chunk::<8>().ok_or_else(bad)?;
    Ok(TxPlace {
        height: Height::new(u64::from_be_bytes(*height)),
        position: u32::from_be_bytes(*position),
    })
}

/// Reads fields off the front of a value.
struct Fields<'v> {
    table: &'static str,
    rest: &'v [u8],
}

impl<'v> Fields<'v> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| damaged(self.table, "a value is too short"))?;
        self.rest = rest;
        Ok(*head)
    }

    fn short(&mut self) -> Result<&'v [u8]> {
        let [len] = self.take::<1>()?;
        let (head, rest) = self
            .rest
            .split_at_checked(usize::from(len))
            .ok_or_else(|| damaged(self.table, "a value is too short"))?;
        self.rest = rest;
        Ok(head)
    }

    fn version(&mut self) -> Result<()> {
        match self.take::<1>()? {
            [VERSION] => Ok(()),
            [found] => Err(damaged(
                self.table,
                &format!("value version {found}, {VERSION} expected"),
            )),
        }
    }

    fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(damaged(self.table, "a value is too long"))
        }
    }
}

fn push_short(out: &mut Vec<u8>, bytes: &[u8]) {
    // Hashes and ids are 1..=64 bytes.
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// Value of an index row.
pub(super) fn encode_info(info: &BlockInfo) -> Vec<u8> {
    let mut out = vec![VERSION];
    push_short(&mut out, info.hash.as_bytes());
    push_short(&mut out, info.parent.as_bytes());
    out.extend_from_slice(&info.tx_count.to_le_bytes());
    out.extend_from_slice(&info.body_bytes.to_le_bytes());
    out
}

/// Index entry of a value.
pub(super) fn decode_info(height: Height, value: &[u8]) -> Result<BlockInfo> {
    let mut fields = Fields {
        table: "blocks.index",
        rest: value,
    };
    let bad = |_| damaged("blocks.index", "an empty hash");
    fields.version()?;
    let hash = BlockHash::new(fields.short()?).map_err(bad)?;
    let parent = BlockHash::new(fields.short()?).map_err(bad)?;
    let tx_count = u32::from_le_bytes(fields.take()?);
    let body_bytes = u64::from_le_bytes(fields.take()?);
    fields.end()?;
    Ok(BlockInfo {
        height,
        hash,
        parent,
        tx_count,
        body_bytes,
    })
}

/// Value of a row of transaction ids.
pub(super) fn encode_tx_ids(tx_ids: &[TxId]) -> Vec<u8> {
    let mut out = Vec::with_capacity(tx_ids.len() * 33);
    for tx_id in tx_ids {
        push_short(&mut out, tx_id.as_bytes());
    }
    out
}

/// Transaction ids of a value.
pub(super) fn decode_tx_ids(value: &[u8]) -> Result<Vec<TxId>> {
    let mut fields = Fields {
        table: "blocks.tx-ids",
        rest: value,
    };
    let mut tx_ids = Vec::new();
    while !fields.rest.is_empty() {
        let bytes = fields.short()?;
        tx_ids.push(TxId::new(bytes).map_err(|_| damaged("blocks.tx-ids", "an empty id"))?);
    }
    Ok(tx_ids)
}

/// The row of totals: what is stored and between which heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) tail: Height,
    pub(super) tip: Height,
    pub(super) totals: BlockTotals,
}

/// Value of the row of totals.
pub(super) fn encode_state(state: &State) -> Vec<u8> {
    let totals = &state.totals;
    let numbers = [
        state.tail.get(),
        state.tip.get(),
        totals.blocks,
        totals.transactions,
        totals.body_bytes,
    ];
    let mut out = vec![VERSION];
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

/// Totals of a value.
pub(super) fn decode_state(value: &[u8]) -> Result<State> {
    let mut fields = Fields {
        table: "blocks.state",
        rest: value,
    };
    fields.version()?;
    let mut number = || fields.take().map(u64::from_le_bytes);
    let (tail, tip) = (Height::new(number()?), Height::new(number()?));
    let totals = BlockTotals {
        blocks: number()?,
        transactions: number()?,
        body_bytes: number()?,
    };
    fields.end()?;
    Ok(State { tail, tip, totals })
}
