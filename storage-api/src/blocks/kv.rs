//! [`KvBlocks`]: blocks as rows of any store.
//!
//! Invariants: everything of a block is in the caller's transaction, so there is no file work and
//! nothing to finish; every height of the index has its body and no other has one. Format:
//! `docs/format/kv-blocks.md`.

use std::ops::ControlFlow;

use super::words::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, Height, NewBlock, TxId, TxPlace,
};
use super::{BlockIndex, BlockResult, BlockStore, layout};
use crate::contract::{Cursor, Reader, WriteTxn};
use crate::error::{Error, Result};
use crate::range::KeyRange;
use crate::table::{Catalogue, ChecksumSetting, Schema, TableDef, TableId};

/// Blocks over any store, by the numbers of its tables.
#[derive(Clone, Copy, Debug)]
pub struct KvBlocks {
    bodies: TableId,
    index: BlockIndex,
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
        Ok(Self {
            bodies: catalogue.id(layout::BODIES.name())?,
            index: BlockIndex::resolve(catalogue)?,
        })
    }
}

impl BlockStore for KvBlocks {
    type Staged<'b> = NewBlock<'b>;
    type Cleanup = ();

    fn stage<'b>(&self, block: NewBlock<'b>) -> BlockResult<NewBlock<'b>> {
        Ok(block)
    }

    fn append<W: WriteTxn>(&self, txn: &mut W, block: NewBlock<'_>) -> BlockResult<BlockRef> {
        let appended = self.index.append(txn, &block)?;
        txn.put(self.bodies, &BlockIndex::key(block.height), block.body)?;
        Ok(appended)
    }

    fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tip(reader)
    }

    fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tail(reader)
    }

    fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        self.index.totals(reader)
    }

    fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>> {
        self.index.info(reader, height)
    }

    fn height_of<R: Reader>(&self, reader: &R, hash: &BlockHash) -> BlockResult<Option<Height>> {
        self.index.height_of(reader, hash)
    }

    fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>> {
        self.index.tx_ids(reader, height)
    }

    fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        self.index.tx_places(reader, tx_id)
    }

    fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        self.index.tx_place(reader, tx_id)
    }

    fn with_body<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        sink: &mut dyn FnMut(&[u8]),
    ) -> BlockResult<bool> {
        Ok(reader.get_with(self.bodies, &BlockIndex::key(height), sink)?)
    }

    fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>> {
        let range = KeyRange::from_key(&BlockIndex::key(query.start));
        let mut bodies = reader.cursor(self.bodies, range)?;
        self.index.range(reader, query, &mut |info| {
            let place = || format!("height {} and its body do not match", info.height);
            let body = bodies.next()?.filter(|body| {
                body.key == BlockIndex::key(info.height)
                    && body.value.len() as u64 == info.body_bytes
            });
            let body = body.ok_or_else(|| Error::corruption("table blocks.bodies", place()))?;
            Ok(visit(info, body.value))
        })
    }

    fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>) -> BlockResult<()> {
        let cut = self.index.truncate(txn, tip)?;
        Ok(txn.delete_range(self.bodies, &cut)?)
    }

    fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<()> {
        let cut = self.index.prune(txn, tail)?;
        Ok(txn.delete_range(self.bodies, &cut)?)
    }

    fn finish(&self, (): ()) -> BlockResult<()> {
        Ok(())
    }
}
