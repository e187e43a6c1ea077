//! A block store without its types, so that the block cases compile once.
//!
//! Invariant: each call is one call of the block store; cleanups are kept until the commit and
//! handed to `finish` after it, as the contract wants of every caller.

use std::ops::ControlFlow;

use storage_api::blocks::{
    AutoCommit, BlockHash, BlockInfo, BlockQuery, BlockRef, BlockResult, BlockStore, BlockTotals,
    Height, NewBlock, TxId, TxPlace,
};
use storage_api::{Durability, Error, KvStore, Reader, Savepoint, TableId, WriteTxn};

use crate::probe::StoreProbe;

/// What a range read hands each block to.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>;

/// The reading half of [`BlockStore`], over one reader.
pub(crate) trait BlockRead {
    fn tip(&self) -> BlockResult<Option<BlockRef>>;
    fn tail(&self) -> BlockResult<Option<BlockRef>>;
    fn totals(&self) -> BlockResult<BlockTotals>;
    fn info(&self, height: Height) -> BlockResult<Option<BlockInfo>>;
    fn height_of(&self, hash: &BlockHash) -> BlockResult<Option<Height>>;
    fn tx_ids(&self, height: Height) -> BlockResult<Vec<TxId>>;
    fn tx_places(&self, tx_id: &TxId) -> BlockResult<Vec<TxPlace>>;
    fn tx_place(&self, tx_id: &TxId) -> BlockResult<Option<TxPlace>>;
    fn with_body(&self, height: Height, sink: &mut dyn FnMut(&[u8])) -> BlockResult<bool>;
    fn body(&self, height: Height) -> BlockResult<Option<Vec<u8>>>;
    fn range(&self, query: BlockQuery, visit: Visit<'_>) -> BlockResult<Option<Height>>;
}

/// The writing half, inside one transaction that also holds other rows.
pub(crate) trait BlockWrite: BlockRead {
    fn append(&mut self, block: NewBlock<'_>) -> BlockResult<BlockRef>;
    fn truncate(&mut self, tip: Option<Height>) -> BlockResult<()>;
    fn prune(&mut self, tail: Height) -> BlockResult<()>;
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> BlockResult<()>;
    fn savepoint(&mut self) -> BlockResult<Savepoint>;
    fn rollback_to(&mut self, savepoint: Savepoint) -> BlockResult<()>;
    fn commit(self: Box<Self>) -> BlockResult<()>;
    fn abort(self: Box<Self>) -> BlockResult<()>;
}

/// A block store over a store.
pub(crate) trait Blocks: Send + Sync {
    fn store(&self) -> &dyn StoreProbe;
    fn read(&self) -> BlockResult<Box<dyn BlockRead + '_>>;
    fn write(&self) -> BlockResult<Box<dyn BlockWrite + '_>>;
    /// Stages a block and forgets it.
    fn stage_only(&self, block: NewBlock<'_>) -> BlockResult<()>;
    /// Stages all blocks in this order, then takes the steps, each in a transaction of its own.
    fn stage_then(&self, blocks: &[NewBlock<'_>], steps: &[Step]) -> BlockResult<()>;
    /// The form that commits by itself.
    fn auto(&self) -> &dyn AutoBlocks;
}

/// What is done with blocks that were staged before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Appends the staged block of this index.
    Append(usize),
    /// Makes the block at this height the tip.
    Truncate(Height),
}

/// [`AutoCommit`].
pub(crate) trait AutoBlocks {
    fn append(&self, block: NewBlock<'_>) -> BlockResult<BlockRef>;
    fn append_all(&self, blocks: &[NewBlock<'_>]) -> BlockResult<()>;
    fn tip(&self) -> BlockResult<Option<BlockRef>>;
    fn tail(&self) -> BlockResult<Option<BlockRef>>;
    fn totals(&self) -> BlockResult<BlockTotals>;
    fn get_at(&self, height: Height) -> BlockResult<Option<(BlockInfo, Vec<u8>)>>;
    fn get_by_hash(&self, hash: &BlockHash) -> BlockResult<Option<(BlockInfo, Vec<u8>)>>;
    fn tx_places(&self, tx_id: &TxId) -> BlockResult<Vec<TxPlace>>;
    fn truncate(&self, tip: Option<Height>) -> BlockResult<()>;
    fn prune(&self, tail: Height) -> BlockResult<()>;
}

/// A reader or a transaction with the block store that reads or writes in it.
struct In<'b, R, B: BlockStore> {
    reader: R,
    blocks: &'b B,
    cleanups: Vec<B::Cleanup>,
}

impl<R: Reader, B: BlockStore> BlockRead for In<'_, R, B> {
    fn tip(&self) -> BlockResult<Option<BlockRef>> {
        self.blocks.tip(&self.reader)
    }

    fn tail(&self) -> BlockResult<Option<BlockRef>> {
        self.blocks.tail(&self.reader)
    }

    fn totals(&self) -> BlockResult<BlockTotals> {
        self.blocks.totals(&self.reader)
    }

    fn info(&self, height: Height) -> BlockResult<Option<BlockInfo>> {
        self.blocks.info(&self.reader, height)
    }

    fn height_of(&self, hash: &BlockHash) -> BlockResult<Option<Height>> {
        self.blocks.height_of(&self.reader, hash)
    }

    fn tx_ids(&self, height: Height) -> BlockResult<Vec<TxId>> {
        self.blocks.tx_ids(&self.reader, height)
    }

    fn tx_places(&self, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        self.blocks.tx_places(&self.reader, tx_id)
    }

    fn tx_place(&self, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        self.blocks.tx_place(&self.reader, tx_id)
    }

    fn with_body(&self, height: Height, sink: &mut dyn FnMut(&[u8])) -> BlockResult<bool> {
        self.blocks.with_body(&self.reader, height, sink)
    }

    fn body(&self, height: Height) -> BlockResult<Option<Vec<u8>>> {
        self.blocks.body(&self.reader, height)
    }

    fn range(&self, query: BlockQuery, visit: Visit<'_>) -> BlockResult<Option<Height>> {
        self.blocks.range(&self.reader, query, visit)
    }
}

impl<W: WriteTxn, B: BlockStore> BlockWrite for In<'_, W, B> {
    fn append(&mut self, block: NewBlock<'_>) -> BlockResult<BlockRef> {
        let staged = self.blocks.stage(block)?;
        self.blocks.append(&mut self.reader, staged)
    }

    fn truncate(&mut self, tip: Option<Height>) -> BlockResult<()> {
        let cleanup = self.blocks.truncate(&mut self.reader, tip)?;
        self.cleanups.push(cleanup);
        Ok(())
    }

    fn prune(&mut self, tail: Height) -> BlockResult<()> {
        let cleanup = self.blocks.prune(&mut self.reader, tail)?;
        self.cleanups.push(cleanup);
        Ok(())
    }

    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> BlockResult<()> {
        Ok(self.reader.put(table, key, value)?)
    }

    fn savepoint(&mut self) -> BlockResult<Savepoint> {
        Ok(self.reader.savepoint()?)
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> BlockResult<()> {
        // A rollback of work that left cleanups would have to forget them; no case does that.
        Ok(self.reader.rollback_to(savepoint)?)
    }

    fn commit(self: Box<Self>) -> BlockResult<()> {
        let Self {
            reader,
            blocks,
            cleanups,
        } = *self;
        reader.commit(crate::lab::QUICK)?;
        cleanups
            .into_iter()
            .try_for_each(|cleanup| blocks.finish(cleanup))
    }

    fn abort(self: Box<Self>) -> BlockResult<()> {
        Ok(self.reader.abort()?)
    }
}

/// A block store and the store below it.
pub(crate) struct Over<S, B>(pub(crate) AutoCommit<S, B>);

impl<S: KvStore, B: BlockStore> Blocks for Over<S, B> {
    fn store(&self) -> &dyn StoreProbe {
        &**self.0.store()
    }

    fn read(&self) -> BlockResult<Box<dyn BlockRead + '_>> {
        let reader = KvStore::begin_read(&**self.0.store())?;
        Ok(Box::new(In {
            reader,
            blocks: self.0.blocks(),
            cleanups: Vec::new(),
        }))
    }

    fn write(&self) -> BlockResult<Box<dyn BlockWrite + '_>> {
        let reader = KvStore::begin_write(&**self.0.store())?;
        Ok(Box::new(In {
            reader,
            blocks: self.0.blocks(),
            cleanups: Vec::new(),
        }))
    }

    fn stage_only(&self, block: NewBlock<'_>) -> BlockResult<()> {
        self.0.blocks().stage(block).map(drop)
    }

    fn stage_then(&self, blocks: &[NewBlock<'_>], steps: &[Step]) -> BlockResult<()> {
        let staged = blocks.iter().map(|block| self.0.blocks().stage(*block));
        let staged = staged.map(|block| block.map(Some));
        let mut staged = staged.collect::<BlockResult<Vec<_>>>()?;
        for step in steps {
            match step {
                Step::Append(index) => {
                    let block = staged.get_mut(*index).and_then(Option::take);
                    let block = block.ok_or_else(|| Error::invalid("a block is appended once"))?;
                    let mut txn = self.0.store().begin_write()?;
                    self.0.blocks().append(&mut txn, block)?;
                    txn.commit(Durability::Durable)?;
                }
                Step::Truncate(tip) => self.0.truncate(Some(*tip))?,
            }
        }
        Ok(())
    }

    fn auto(&self) -> &dyn AutoBlocks {
        &self.0
    }
}

impl<S: KvStore, B: BlockStore> AutoBlocks for AutoCommit<S, B> {
    fn append(&self, block: NewBlock<'_>) -> BlockResult<BlockRef> {
        Self::append(self, block)
    }

    fn append_all(&self, blocks: &[NewBlock<'_>]) -> BlockResult<()> {
        Self::append_all(self, blocks)
    }

    fn tip(&self) -> BlockResult<Option<BlockRef>> {
        Self::tip(self)
    }

    fn tail(&self) -> BlockResult<Option<BlockRef>> {
        Self::tail(self)
    }

    fn totals(&self) -> BlockResult<BlockTotals> {
        Self::totals(self)
    }

    fn get_at(&self, height: Height) -> BlockResult<Option<(BlockInfo, Vec<u8>)>> {
        Self::get_at(self, height)
    }

    fn get_by_hash(&self, hash: &BlockHash) -> BlockResult<Option<(BlockInfo, Vec<u8>)>> {
        Self::get_by_hash(self, hash)
    }

    fn tx_places(&self, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        Self::tx_places(self, tx_id)
    }

    fn truncate(&self, tip: Option<Height>) -> BlockResult<()> {
        Self::truncate(self, tip)
    }

    fn prune(&self, tail: Height) -> BlockResult<()> {
        Self::prune(self, tail)
    }
}
