//! [`KvBlocks`]: blocks as rows of any store.
//!
//! Invariants: everything of a block is in the caller's transaction, so there is no file work and
//! nothing to finish; the row of totals changes with every append, truncation and pruning, so
//! totals, tip and tail cost one get; a removed block's transactions are found through its row of
//! ids, never by a scan. Format: `docs/format/kv-blocks.md`.

use std::ops::ControlFlow;

use super::layout::{self, State};
use super::words::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, Height, NewBlock, TxId, TxPlace,
};
use super::{BlockError, BlockResult, BlockStore};
use crate::contract::{Cursor, Reader, WriteTxn};
use crate::error::{Error, Result};
use crate::range::KeyRange;
use crate::table::{Catalogue, ChecksumSetting, Schema, TableDef, TableId};

/// Blocks over any store, by the numbers of its tables.
#[derive(Clone, Copy, Debug)]
pub struct KvBlocks {
    bodies: TableId,
    index: TableId,
    hashes: TableId,
    txs: TableId,
    tx_ids: TableId,
    state: TableId,
}

impl KvBlocks {
    /// The tables, without checksum envelope.
    pub const TABLES: [TableDef; 6] = [
        layout::BODIES,
        layout::INDEX,
        layout::HASHES,
        layout::TXS,
        layout::TX_IDS,
        layout::STATE,
    ];

    /// The tables as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let tables = Self::TABLES.map(|table| table.with_checksum(checksum));
        Schema::new(&tables)
    }

    /// Resolves the tables.
    ///
    /// # Errors
    /// `UnknownTable` when the store was opened without them.
    pub fn resolve(catalogue: &Catalogue) -> Result<Self> {
        let id = |table: &TableDef| catalogue.id(table.name());
        Ok(Self {
            bodies: id(&layout::BODIES)?,
            index: id(&layout::INDEX)?,
            hashes: id(&layout::HASHES)?,
            txs: id(&layout::TXS)?,
            tx_ids: id(&layout::TX_IDS)?,
            state: id(&layout::STATE)?,
        })
    }

    fn state<R: Reader>(&self, reader: &R) -> Result<Option<State>> {
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
        [self.bodies, self.index, self.tx_ids]
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
        for table in [self.bodies, self.index, self.hashes, self.txs, self.tx_ids] {
            txn.delete_range(table, &KeyRange::all())?;
        }
        Ok(self.set_state(txn, None)?)
    }
}

impl BlockStore for KvBlocks {
    type Staged<'b> = NewBlock<'b>;
    type Cleanup = ();

    fn stage<'b>(&self, block: NewBlock<'b>) -> BlockResult<NewBlock<'b>> {
        Ok(block)
    }

    fn append<W: WriteTxn>(&self, txn: &mut W, block: NewBlock<'_>) -> BlockResult<BlockRef> {
        let state = self.state(txn)?;
        self.check_next(txn, state.as_ref(), &block)?;
        let NewBlock {
            height,
            hash,
            parent,
            tx_ids,
            body,
        } = block;
        let tx_count = u32::try_from(tx_ids.len())
            .map_err(|_| Error::invalid(format!("{} transactions in one block", tx_ids.len())))?;
        let body_bytes = body.len() as u64;
        let key = layout::height_key(height);
        let info = BlockInfo {
            height,
            hash,
            parent,
            tx_count,
            body_bytes,
        };
        txn.put(self.bodies, &key, body)?;
        txn.put(self.index, &key, &layout::encode_info(&info))?;
        txn.put(self.hashes, hash.as_bytes(), &layout::height_value(height))?;
        if !tx_ids.is_empty() {
            txn.put(self.tx_ids, &key, &layout::encode_tx_ids(tx_ids))?;
        }
        for (position, tx_id) in (0u32..).zip(tx_ids) {
            txn.put(
                self.txs,
                &layout::tx_key(tx_id, TxPlace { height, position }),
                &[],
            )?;
        }
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

    fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        let state = self.state(reader)?;
        Ok(state
            .map(|state| self.block_ref(reader, state.tip))
            .transpose()?)
    }

    fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        let state = self.state(reader)?;
        Ok(state
            .map(|state| self.block_ref(reader, state.tail))
            .transpose()?)
    }

    fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        Ok(self
            .state(reader)?
            .map_or_else(BlockTotals::default, |state| state.totals))
    }

    fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>> {
        let value = reader.get(self.index, &layout::height_key(height))?;
        Ok(value
            .map(|value| layout::decode_info(height, &value))
            .transpose()?)
    }

    fn height_of<R: Reader>(&self, reader: &R, hash: &BlockHash) -> BlockResult<Option<Height>> {
        let value = reader.get(self.hashes, hash.as_bytes())?;
        Ok(value
            .map(|value| layout::height_of_value(&value))
            .transpose()?)
    }

    fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>> {
        Ok(self.tx_ids_of(reader, height)?)
    }

    fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        let mut places = Vec::new();
        let mut cursor = reader.cursor(self.txs, KeyRange::prefix(&layout::tx_prefix(tx_id)))?;
        let mut row = cursor.last()?;
        while let Some(entry) = row {
            places.push(layout::place_of_tx_key(entry.key)?);
            row = cursor.prev()?;
        }
        Ok(places)
    }

    fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        let mut cursor = reader.cursor(self.txs, KeyRange::prefix(&layout::tx_prefix(tx_id)))?;
        let newest = cursor.last()?;
        Ok(newest
            .map(|entry| layout::place_of_tx_key(entry.key))
            .transpose()?)
    }

    fn with_body<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        sink: &mut dyn FnMut(&[u8]),
    ) -> BlockResult<bool> {
        Ok(reader.get_with(self.bodies, &layout::height_key(height), sink)?)
    }

    fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>> {
        let range = KeyRange::from_key(&layout::height_key(query.start));
        let mut index = reader.cursor(self.index, range.clone())?;
        let mut bodies = reader.cursor(self.bodies, range)?;
        let (mut blocks, mut bytes) = (0u64, 0u64);
        while let Some(row) = index.next()? {
            let info = layout::decode_info(layout::height_of_key(row.key)?, row.value)?;
            bytes = bytes.saturating_add(info.body_bytes);
            if blocks >= query.blocks_max || (blocks > 0 && bytes > query.body_bytes_max) {
                return Ok(Some(info.height));
            }
            blocks += 1;
            let place = || format!("height {} and its body do not match", info.height);
            let body = bodies.next()?.filter(|body| {
                body.key == layout::height_key(info.height)
                    && body.value.len() as u64 == info.body_bytes
            });
            let body = body.ok_or_else(|| Error::corruption("table blocks.bodies", place()))?;
            if visit(&info, body.value).is_break() {
                let more = index.next()?.is_some();
                return Ok(more.then(|| info.height.next()));
            }
        }
        Ok(None)
    }

    fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>) -> BlockResult<()> {
        let Some(tip) = tip else {
            return match self.state(txn)? {
                None => Err(BlockError::Empty),
                Some(_) => self.remove_all(txn),
            };
        };
        let mut state = self.stored_state(txn, tip)?;
        if tip < state.tip {
            for height in tip.next().get()..=state.tip.get() {
                self.forget(txn, Height::new(height), &mut state.totals)?;
            }
            self.remove_rows(txn, &KeyRange::from_key(&layout::height_key(tip.next())))?;
        }
        state.tip = tip;
        Ok(self.set_state(txn, Some(&state))?)
    }

    fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<()> {
        let mut state = self.stored_state(txn, tail)?;
        for height in state.tail.get()..tail.get() {
            self.forget(txn, Height::new(height), &mut state.totals)?;
        }
        let cut = KeyRange::half_open(&layout::height_key(state.tail), &layout::height_key(tail));
        self.remove_rows(txn, &cut)?;
        state.tail = tail;
        Ok(self.set_state(txn, Some(&state))?)
    }

    fn finish(&self, (): ()) -> BlockResult<()> {
        Ok(())
    }
}
