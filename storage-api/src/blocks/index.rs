//! [`BlockIndex`]: everything of blocks but their bodies, as rows of any store.
//!
//! Invariants: everything is in the caller's transaction; the row of totals changes with every
//! append, truncation and pruning, so totals, tip and tail cost one get; a removed block's
//! transactions are found through its row of ids, never by a scan. Where bodies are is the block
//! store's own business, which keeps a row for each height beside these. Format:
//! `docs/format/kv-blocks.md`.

use std::ops::ControlFlow;

use super::layout::{self, State};
use super::words::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, Height, NewBlock, TxId, TxPlace,
};
use super::{BlockError, BlockResult};
use crate::contract::{Cursor, Reader, WriteTxn};
use crate::error::{Error, Result};
use crate::range::KeyRange;
use crate::table::{Catalogue, TableDef, TableId};

/// See the head of this file; by the numbers of its tables.
#[derive(Clone, Copy, Debug)]
pub struct BlockIndex {
    pub(super) index: TableId,
    pub(super) hashes: TableId,
    pub(super) txs: TableId,
    pub(super) tx_ids: TableId,
    pub(super) state: TableId,
}

/// What looks at blocks in a row, without their bodies.
pub type VisitInfo<'v> = dyn FnMut(&BlockInfo) -> BlockResult<ControlFlow<()>> + 'v;

/// What takes the rows of a block: table, key, value.
pub type RowSink<'s> = dyn FnMut(TableId, &[u8], &[u8]) -> Result<()> + 's;

impl BlockIndex {
    /// The tables, without checksum envelope.
    pub const TABLES: [TableDef; 5] = [
        layout::INDEX,
        layout::HASHES,
        layout::TXS,
        layout::TX_IDS,
        layout::STATE,
    ];

    /// Resolves the tables.
    ///
    /// # Errors
    /// `UnknownTable` when the store was opened without them.
    pub fn resolve(catalogue: &Catalogue) -> Result<Self> {
        let id = |table: &TableDef| catalogue.id(table.name());
        Ok(Self {
            index: id(&layout::INDEX)?,
            hashes: id(&layout::HASHES)?,
            txs: id(&layout::TXS)?,
            tx_ids: id(&layout::TX_IDS)?,
            state: id(&layout::STATE)?,
        })
    }

    /// The key of a height, in these tables and in those of block stores.
    #[must_use]
    pub fn key(height: Height) -> [u8; 8] {
        layout::height_key(height)
    }

    pub(super) fn state<R: Reader>(&self, reader: &R) -> Result<Option<State>> {
        let value = reader.get(self.state, layout::STATE_KEY)?;
        value.map(|value| layout::decode_state(&value)).transpose()
    }

    fn set_state<W: WriteTxn>(&self, txn: &mut W, state: Option<&State>) -> Result<()> {
        match state {
            Some(state) => txn.put(self.state, layout::STATE_KEY, &layout::encode_state(state)),
            None => txn.delete(self.state, layout::STATE_KEY),
        }
    }

    /// The entry of a height that must be there.
    fn entry<R: Reader>(&self, reader: &R, height: Height) -> Result<BlockInfo> {
        let value = reader.get(self.index, &layout::height_key(height))?;
        let value = value.ok_or_else(|| {
            Error::corruption(
                "table blocks.index",
                format!("no entry for height {height}"),
            )
        })?;
        layout::decode_info(height, &value)
    }

    fn block_ref<R: Reader>(&self, reader: &R, height: Height) -> Result<BlockRef> {
        self.entry(reader, height).map(|info| BlockRef {
            height,
            hash: info.hash,
        })
    }

    fn check_next<R: Reader>(
        &self,
        reader: &R,
        state: Option<&State>,
        block: &NewBlock<'_>,
    ) -> BlockResult<()> {
        if let Some(state) = state {
            let expected = state.tip.next();
            if block.height != expected || state.tip == expected {
                return Err(BlockError::HeightMismatch {
                    expected,
                    found: block.height,
                });
            }
            let tip = self.block_ref(reader, state.tip)?;
            if block.parent != tip.hash {
                return Err(BlockError::ParentMismatch {
                    height: block.height,
                    expected: Box::new(tip.hash),
                    found: Box::new(block.parent),
                });
            }
        }
        match self.height_of(reader, &block.hash)? {
            Some(height) => Err(BlockError::DuplicateHash {
                hash: Box::new(block.hash),
                height,
            }),
            None => Ok(()),
        }
    }

    /// Removes everything of one block but its rows by height, and takes it out of the totals.
    fn forget<W: WriteTxn>(
        &self,
        txn: &mut W,
        height: Height,
        totals: &mut BlockTotals,
    ) -> Result<()> {
        let info = self.entry(txn, height)?;
        let tx_ids = self.tx_ids_of(txn, height)?;
        if tx_ids.len() as u64 != u64::from(info.tx_count) {
            // Places whose ids are lost would stay behind, and answer for a block that is gone.
            return Err(Error::corruption(
                "table blocks.tx-ids",
                format!(
                    "{} ids at height {height}, {} in the index",
                    tx_ids.len(),
                    info.tx_count
                ),
            ));
        }
        for (position, tx_id) in (0u32..).zip(tx_ids) {
            txn.delete(
                self.txs,
                &layout::tx_key(&tx_id, TxPlace { height, position }),
            )?;
        }
        txn.delete(self.hashes, info.hash.as_bytes())?;
        let too_small =
            || Error::corruption("table blocks.state", "totals are smaller than a block");
        let less = |total: u64, part: u64| total.checked_sub(part).ok_or_else(too_small);
        totals.blocks = less(totals.blocks, 1)?;
        totals.transactions = less(totals.transactions, u64::from(info.tx_count))?;
        totals.body_bytes = less(totals.body_bytes, info.body_bytes)?;
        Ok(())
    }

    fn tx_ids_of<R: Reader>(&self, reader: &R, height: Height) -> Result<Vec<TxId>> {
        let value = reader.get(self.tx_ids, &layout::height_key(height))?;
        value.map_or_else(|| Ok(Vec::new()), |value| layout::decode_tx_ids(&value))
    }

    fn remove_rows<W: WriteTxn>(&self, txn: &mut W, range: &KeyRange) -> Result<()> {
        [self.index, self.tx_ids]
            .into_iter()
            .try_for_each(|table| txn.delete_range(table, range))
    }

    fn stored_state<R: Reader>(&self, reader: &R, asked: Height) -> BlockResult<State> {
        let state = self.state(reader)?.ok_or(BlockError::Empty)?;
        if asked < state.tail || asked > state.tip {
            return Err(BlockError::OutOfRange {
                asked,
                tail: state.tail,
                tip: state.tip,
            });
        }
        Ok(state)
    }

    fn remove_all<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<()> {
        for table in [self.index, self.hashes, self.txs, self.tx_ids] {
            txn.delete_range(table, &KeyRange::all())?;
        }
        Ok(self.set_state(txn, None)?)
    }

    /// Appends a block on the tip; its body is the caller's. Cost: one index row, and one row a
    /// transaction.
    ///
    /// # Errors
    /// As [`super::BlockStore::append`].
    pub fn append<W: WriteTxn>(&self, txn: &mut W, block: &NewBlock<'_>) -> BlockResult<BlockRef> {
        let state = self.state(txn)?;
        self.check_next(txn, state.as_ref(), block)?;
        let NewBlock {
            height,
            hash,
            parent,
            tx_ids,
            body,
        } = *block;
        let tx_count = u32::try_from(tx_ids.len())
            .map_err(|_| Error::invalid(format!("{} transactions in one block", tx_ids.len())))?;
        let body_bytes = body.len() as u64;
        let info = BlockInfo {
            height,
            hash,
            parent,
            tx_count,
            body_bytes,
        };
        self.rows(&info, tx_ids, &mut |table, key, value| {
            txn.put(table, key, value)
        })?;
        let empty = State {
            tail: height,
            tip: height,
            totals: BlockTotals::default(),
        };
        let mut state = state.unwrap_or(empty);
        state.tip = height;
        let too_large =
            || Error::corruption("table blocks.state", "totals are larger than 2^64 - 1");
        let more = |total: u64, part: u64| total.checked_add(part).ok_or_else(too_large);
        state.totals.blocks = more(state.totals.blocks, 1)?;
        state.totals.transactions = more(state.totals.transactions, u64::from(tx_count))?;
        state.totals.body_bytes = more(state.totals.body_bytes, body_bytes)?;
        self.set_state(txn, Some(&state))?;
        Ok(BlockRef { height, hash })
    }

    /// Lends the rows of a block in these tables to `sink`, all but the row of totals: what
    /// [`Self::append`] puts, in its order.
    ///
    /// # Errors
    /// What `sink` says.
    pub fn rows(&self, info: &BlockInfo, tx_ids: &[TxId], sink: &mut RowSink<'_>) -> Result<()> {
        let height = info.height;
        let key = layout::height_key(height);
        sink(self.index, &key, &layout::encode_info(info))?;
        let value = layout::height_value(height);
        sink(self.hashes, info.hash.as_bytes(), &value)?;
        if !tx_ids.is_empty() {
            sink(self.tx_ids, &key, &layout::encode_tx_ids(tx_ids))?;
        }
        for (position, tx_id) in (0u32..).zip(tx_ids) {
            let key = layout::tx_key(tx_id, TxPlace { height, position });
            sink(self.txs, &key, &[])?;
        }
        Ok(())
    }

    /// The newest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        let state = self.state(reader)?;
        Ok(state
            .map(|state| self.block_ref(reader, state.tip))
            .transpose()?)
    }

    /// The oldest block kept.
    ///
    /// # Errors
    /// `Store`.
    pub fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        let state = self.state(reader)?;
        Ok(state
            .map(|state| self.block_ref(reader, state.tail))
            .transpose()?)
    }

    /// How much is stored. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    pub fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        Ok(self
            .state(reader)?
            .map_or_else(BlockTotals::default, |state| state.totals))
    }

    /// What is known of the block at a height.
    ///
    /// # Errors
    /// `Store`.
    pub fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>> {
        let value = reader.get(self.index, &layout::height_key(height))?;
        Ok(value
            .map(|value| layout::decode_info(height, &value))
            .transpose()?)
    }

    /// The height of a hash.
    ///
    /// # Errors
    /// `Store`.
    pub fn height_of<R: Reader>(
        &self,
        reader: &R,
        hash: &BlockHash,
    ) -> BlockResult<Option<Height>> {
        let value = reader.get(self.hashes, hash.as_bytes())?;
        Ok(value
            .map(|value| layout::height_of_value(&value))
            .transpose()?)
    }

    /// Ids of the transactions of the block at a height, in order; empty when there is none.
    ///
    /// # Errors
    /// `Store`.
    pub fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>> {
        Ok(self.tx_ids_of(reader, height)?)
    }

    /// Every place of a transaction id, newest first.
    ///
    /// # Errors
    /// `Store`.
    pub fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        let mut places = Vec::new();
        let mut cursor = reader.cursor(self.txs, KeyRange::prefix(&layout::tx_prefix(tx_id)))?;
        let mut row = cursor.last()?;
        while let Some(entry) = row {
            places.push(layout::place_of_tx_key(entry.key)?);
            row = cursor.prev()?;
        }
        Ok(places)
    }

    /// The newest place of a transaction id.
    ///
    /// # Errors
    /// `Store`.
    pub fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        let mut cursor = reader.cursor(self.txs, KeyRange::prefix(&layout::tx_prefix(tx_id)))?;
        let newest = cursor.last()?;
        Ok(newest
            .map(|entry| layout::place_of_tx_key(entry.key))
            .transpose()?)
    }

    /// Looks at blocks upwards from a height until a limit is reached or `visit` breaks; returns
    /// the next height to ask for, or `None` behind the tip.
    ///
    /// # Errors
    /// `Store`, and what `visit` says.
    pub fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut VisitInfo<'_>,
    ) -> BlockResult<Option<Height>> {
        let range = KeyRange::from_key(&layout::height_key(query.start));
        let mut index = reader.cursor(self.index, range)?;
        let (mut blocks, mut bytes) = (0u64, 0u64);
        while let Some(row) = index.next()? {
            let info = layout::decode_info(layout::height_of_key(row.key)?, row.value)?;
            bytes = bytes.saturating_add(info.body_bytes);
            if blocks >= query.blocks_max || (blocks > 0 && bytes > query.body_bytes_max) {
                return Ok(Some(info.height));
            }
            blocks += 1;
            if visit(&info)?.is_break() {
                let more = index.next()?.is_some();
                return Ok(more.then(|| info.height.next()));
            }
        }
        Ok(None)
    }

    /// Cuts at the tip: `Some(height)` becomes the tip, `None` removes every block. Gives the keys
    /// of the heights that went. Cost: proportional to what is cut.
    ///
    /// # Errors
    /// `OutOfRange`, `Empty`, `Store`.
    pub fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>) -> BlockResult<KeyRange> {
        let Some(tip) = tip else {
            return match self.state(txn)? {
                None => Err(BlockError::Empty),
                Some(_) => self.remove_all(txn).map(|()| KeyRange::all()),
            };
        };
        let mut state = self.stored_state(txn, tip)?;
        // The last height has none above it.
        let above = tip.get().checked_add(1).map(Height::new);
        let cut = above.map_or_else(KeyRange::empty, |above| {
            KeyRange::from_key(&layout::height_key(above))
        });
        if tip < state.tip {
            for height in tip.next().get()..=state.tip.get() {
                self.forget(txn, Height::new(height), &mut state.totals)?;
            }
            self.remove_rows(txn, &cut)?;
        }
        state.tip = tip;
        self.set_state(txn, Some(&state))?;
        Ok(cut)
    }

    /// Cuts at the tail: `tail` becomes the oldest block kept. Gives the keys of the heights that
    /// went. Cost: proportional to what is cut.
    ///
    /// # Errors
    /// `OutOfRange`, `Empty`, `Store`.
    pub fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<KeyRange> {
        let mut state = self.stored_state(txn, tail)?;
        for height in state.tail.get()..tail.get() {
            self.forget(txn, Height::new(height), &mut state.totals)?;
        }
        let cut = KeyRange::half_open(&layout::height_key(state.tail), &layout::height_key(tail));
        self.remove_rows(txn, &cut)?;
        state.tail = tail;
        self.set_state(txn, Some(&state))?;
        Ok(cut)
    }
}
