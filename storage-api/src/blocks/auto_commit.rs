//! [`AutoCommit`]: a block store with a transaction of its own for each call, for callers that
//! store nothing but blocks.
//!
//! Invariants: each writing call is one commit, staged work before and cleanup after it; each
//! reading call is one view, so what it returns belongs together.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::words::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, Height, NewBlock, TxId, TxPlace,
};
use super::{BlockResult, BlockStore, KvBlocks};
use crate::commit::Durability;
use crate::contract::{KvStore, WriteTxn};
use crate::error::{Error, Result};

/// A block store `B` over the store `S`, committing by itself.
#[derive(Debug)]
pub struct AutoCommit<S, B> {
    store: Arc<S>,
    blocks: B,
    durability: Durability,
}

/// Blocks as rows of any store, committing by itself.
pub type KvBlockStore<S> = AutoCommit<S, KvBlocks>;

impl<S: KvStore> KvBlockStore<S> {
    /// Blocks over this store, which was opened with [`KvBlocks::schema`].
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn over(store: Arc<S>, durability: Durability) -> Result<Self> {
        let blocks = KvBlocks::resolve(store.catalogue())?;
        Ok(Self::new(store, blocks, durability))
    }
}

impl<S: KvStore, B: BlockStore> AutoCommit<S, B> {
    /// Wraps a block store; every commit asks for this durability.
    #[must_use]
    pub fn new(store: Arc<S>, blocks: B, durability: Durability) -> Self {
        Self {
            store,
            blocks,
            durability,
        }
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// The block store, for work inside a transaction.
    #[must_use]
    pub fn blocks(&self) -> &B {
        &self.blocks
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut S::WriteTxn<'_>) -> BlockResult<T>,
    ) -> BlockResult<T> {
        let mut txn = self.store.begin_write()?;
        let done = change(&mut txn)?;
        txn.commit(self.durability)?;
        Ok(done)
    }

    /// Appends one block on the tip.
    ///
    /// # Errors
    /// As [`BlockStore::append`].
    pub fn append(&self, block: NewBlock<'_>) -> BlockResult<BlockRef> {
        let staged = self.blocks.stage(block)?;
        self.write(|txn| self.blocks.append(txn, staged))
    }

    /// Appends several blocks on the tip in one commit: all of them or none.
    ///
    /// # Errors
    /// As [`BlockStore::append`].
    pub fn append_all(&self, blocks: &[NewBlock<'_>]) -> BlockResult<()> {
        let staged: Vec<_> = blocks
            .iter()
            .map(|block| self.blocks.stage(*block))
            .collect::<BlockResult<_>>()?;
        self.write(|txn| {
            for block in staged {
                self.blocks.append(txn, block)?;
            }
            Ok(())
        })
    }

    /// The newest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn tip(&self) -> BlockResult<Option<BlockRef>> {
        self.blocks.tip(&self.store.begin_read()?)
    }

    /// The oldest block kept.
    ///
    /// # Errors
    /// `Store`.
    pub fn tail(&self) -> BlockResult<Option<BlockRef>> {
        self.blocks.tail(&self.store.begin_read()?)
    }

    /// How much is stored.
    ///
    /// # Errors
    /// `Store`.
    pub fn totals(&self) -> BlockResult<BlockTotals> {
        self.blocks.totals(&self.store.begin_read()?)
    }

    /// Index entry and body of the block at a height.
    ///
    /// # Errors
    /// `Store`.
    pub fn get_at(&self, height: Height) -> BlockResult<Option<(BlockInfo, Vec<u8>)>> {
        self.block_in(&self.store.begin_read()?, height)
    }

    fn block_in(
        &self,
        view: &S::ReadTxn,
        height: Height,
    ) -> BlockResult<Option<(BlockInfo, Vec<u8>)>> {
        let Some(info) = self.blocks.info(view, height)? else {
            return Ok(None);
        };
        let body = self.blocks.body(view, height)?;
        let body = body.ok_or_else(|| {
            Error::corruption(
                "blocks",
                format!("height {height} is in the index and has no body"),
            )
        })?;
        Ok(Some((info, body)))
    }

    /// Index entry and body of the block of a hash.
    ///
    /// # Errors
    /// `Store`.
    pub fn get_by_hash(&self, hash: &BlockHash) -> BlockResult<Option<(BlockInfo, Vec<u8>)>> {
        let view = self.store.begin_read()?;
        match self.blocks.height_of(&view, hash)? {
            Some(height) => self.block_in(&view, height),
            None => Ok(None),
        }
    }

    /// Every place of a transaction id, newest first.
    ///
    /// # Errors
    /// `Store`.
    pub fn tx_places(&self, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        self.blocks.tx_places(&self.store.begin_read()?, tx_id)
    }

    /// Lends blocks upwards from a height, as [`BlockStore::range`].
    ///
    /// # Errors
    /// `Store`.
    pub fn range(
        &self,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>> {
        self.blocks.range(&self.store.begin_read()?, query, visit)
    }

    /// Cuts at the tip, as [`BlockStore::truncate`].
    ///
    /// # Errors
    /// As [`BlockStore::truncate`].
    pub fn truncate(&self, tip: Option<Height>) -> BlockResult<()> {
        let cleanup = self.write(|txn| self.blocks.truncate(txn, tip))?;
        self.blocks.finish(cleanup)
    }

    /// Cuts at the tail, as [`BlockStore::prune`].
    ///
    /// # Errors
    /// As [`BlockStore::prune`].
    pub fn prune(&self, tail: Height) -> BlockResult<()> {
        let cleanup = self.write(|txn| self.blocks.prune(txn, tail))?;
        self.blocks.finish(cleanup)
    }
}
