//! What tools ask of an index that may be damaged: how far it goes, whether its tables agree, and
//! to be empty.
//!
//! Invariants: checking writes nothing and reads no bodies; what cannot be read is an answer where
//! it is about one block, and an error where the store failed.

use super::layout;
use super::words::{BlockInfo, Height, TxPlace};
use super::{BlockIndex, BlockResult};
use crate::contract::{Cursor, Reader, ReaderExt, WriteTxn};
use crate::error::Result;
use crate::range::KeyRange;

impl BlockIndex {
    /// The lowest and the highest height of which the index has anything, as its row of totals or
    /// its entries say, whichever is lower and higher. Cost: a few gets.
    ///
    /// # Errors
    /// Of the store; a damaged row counts as none.
    pub fn known_heights<R: Reader>(&self, reader: &R) -> Result<Option<(Height, Height)>> {
        let state = match self.state(reader) {
            Err(error) if !error.is_corruption() => return Err(error),
            state => state.ok().flatten().map(|state| (state.tail, state.tip)),
        };
        Ok(match (state, self.entry_heights(reader)?) {
            (Some((tail, tip)), Some((first, last))) => Some((tail.min(first), tip.max(last))),
            (state, entries) => state.or(entries),
        })
    }

    /// The lowest and the highest height that has an entry. Cost: two seeks.
    ///
    /// # Errors
    /// Of the store; a key that is no height counts as none.
    pub fn entry_heights<R: Reader>(&self, reader: &R) -> Result<Option<(Height, Height)>> {
        let mut cursor = reader.cursor(self.index, KeyRange::all())?;
        let first = cursor.first()?.map(|row| layout::height_of_key(row.key));
        let last = cursor.last()?.map(|row| layout::height_of_key(row.key));
        Ok(match (first, last) {
            (Some(Ok(first)), Some(Ok(last))) => Some((first, last)),
            _ => None,
        })
    }

    /// The lowest height from this one on that has an entry, readable or not. Cost: one seek.
    ///
    /// # Errors
    /// Of the store.
    pub fn entry_from<R: Reader>(&self, reader: &R, from: Height) -> Result<Option<Height>> {
        let range = KeyRange::from_key(&layout::height_key(from));
        let mut cursor = reader.cursor(self.index, range)?;
        let first = cursor.first()?.map(|row| layout::height_of_key(row.key));
        first.transpose()
    }

    /// Whether a height has an entry, readable or not.
    ///
    /// # Errors
    /// Of the store.
    pub fn has_entry<R: Reader>(&self, reader: &R, height: Height) -> Result<bool> {
        reader.contains(self.index, &layout::height_key(height))
    }

    /// What does not agree in the rows of one block: its entry, its parent, its hash, its ids and
    /// their places. Cost: a few gets, and one for each transaction.
    ///
    /// # Errors
    /// Of the store; damage is an answer.
    pub fn check_rows<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        below: Option<&BlockInfo>,
    ) -> BlockResult<(Option<BlockInfo>, Option<String>)> {
        let info = match self.info(reader, height) {
            Ok(Some(info)) => info,
            Ok(None) => return Ok((None, Some("it has no entry in the index".to_owned()))),
            Err(error) => return damaged(error).map(|what| (None, Some(what))),
        };
        let what = match self.disagrees(reader, &info, below) {
            Ok(what) => what.map(str::to_owned),
            Err(error) => Some(damaged(error)?),
        };
        Ok((Some(info), what))
    }

    fn disagrees<R: Reader>(
        &self,
        reader: &R,
        info: &BlockInfo,
        below: Option<&BlockInfo>,
    ) -> BlockResult<Option<&'static str>> {
        if below.is_some_and(|below| below.hash != info.parent) {
            return Ok(Some("its parent is not the block below it"));
        }
        if self.height_of(reader, &info.hash)? != Some(info.height) {
            return Ok(Some("its hash is not that of its height"));
        }
        let tx_ids = self.tx_ids(reader, info.height)?;
        if tx_ids.len() as u64 != u64::from(info.tx_count) {
            return Ok(Some("it has not as many transaction ids as its entry says"));
        }
        for (position, tx_id) in (0u32..).zip(&tx_ids) {
            let height = info.height;
            let key = layout::tx_key(tx_id, TxPlace { height, position });
            if !reader.contains(self.txs, &key)? {
                return Ok(Some("a transaction of it has no place"));
            }
        }
        Ok(None)
    }

    /// What the numbers of rows say beside the totals. Cost: a count of each table, which is a scan
    /// where the engine does not know it.
    ///
    /// # Errors
    /// Of the store; damage is an answer.
    pub fn check_counts<R: Reader>(&self, reader: &R) -> BlockResult<Vec<String>> {
        let totals = match self.totals(reader) {
            Ok(totals) => totals,
            Err(error) => return damaged(error).map(|what| vec![what]),
        };
        let mut found = Vec::new();
        let said = self.state(reader)?.map(|state| (state.tail, state.tip));
        if let (Some((tail, tip)), Some((first, last))) = (said, self.entry_heights(reader)?)
            && (tail, tip) != (first, last)
        {
            found.push(format!(
                "the row of totals says heights {tail} to {tip}, the entries are {first} to {last}"
            ));
        }
        for (table, name, expected) in [
            (self.index, layout::INDEX, totals.blocks),
            (self.hashes, layout::HASHES, totals.blocks),
            (self.txs, layout::TXS, totals.transactions),
        ] {
            let rows = reader.count_exact(table)?;
            if rows != expected {
                let name = name.name();
                found.push(format!("table {name} has {rows} rows, {expected} expected"));
            }
        }
        Ok(found)
    }

    /// Removes every row, whatever it says, so that the index can be made again.
    ///
    /// # Errors
    /// Of the store.
    pub fn clear<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<()> {
        for table in [self.index, self.hashes, self.txs, self.tx_ids] {
            txn.delete_range(table, &KeyRange::all())?;
        }
        Ok(txn.delete(self.state, layout::STATE_KEY)?)
    }
}

/// The words of damage; anything else stays an error.
fn damaged(error: impl Into<super::BlockError>) -> BlockResult<String> {
    match error.into() {
        super::BlockError::Store(error) if !error.is_corruption() => Err(error.into()),
        error => Ok(error.to_string()),
    }
}
