//! [`ChainbaseBlocks`]: log and reversible blocks together, each call a commit, for callers that
//! store nothing beside.
//!
//! Invariants: each writing call is one commit; each reading call is one view; a block is found
//! whether it is final or not, and is never found twice.

use std::sync::Arc;

use blocks::{Compared, Followed, LogBlock, LogBlocksOptions};
use seglog::disk::Disk;
use storage_api::blocks::{BlockHash, BlockRef, BlockResult, Height, NewBlock};
use storage_api::{ChecksumSetting, Durability, KvStore, Result, Schema, WriteTxn};

use super::{BlockLog, Reconciled, ReversibleBlocks};

/// The blocks of a chainbase node, committing by themselves.
#[derive(Debug)]
pub struct ChainbaseBlocks<S> {
    log: Arc<BlockLog<S>>,
    reversible: ReversibleBlocks<S>,
    durability: Durability,
}

impl<S: KvStore> ChainbaseBlocks<S> {
    /// The tables of both as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let mut schema = BlockLog::<S>::schema(checksum)?;
        schema.merge(&ReversibleBlocks::<S>::schema(checksum)?)?;
        Ok(schema)
    }

    /// Opens both over a store that was opened with [`Self::schema`]; every commit asks for this
    /// durability.
    ///
    /// # Errors
    /// As [`BlockLog::open`] and [`ReversibleBlocks::open`].
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &LogBlocksOptions,
        durability: Durability,
    ) -> BlockResult<(Self, (Followed, Reconciled))> {
        let (log, followed) = BlockLog::open(store, disk, options)?;
        let log = Arc::new(log);
        let (reversible, reconciled) = ReversibleBlocks::open(Arc::clone(&log))?;
        let blocks = Self {
            log,
            reversible,
            durability,
        };
        Ok((blocks, (followed, reconciled)))
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        self.log.blocks().store()
    }

    /// The log, for work inside a transaction.
    #[must_use]
    pub fn log(&self) -> &Arc<BlockLog<S>> {
        &self.log
    }

    /// The blocks that are not final, for work inside a transaction.
    #[must_use]
    pub fn reversible(&self) -> &ReversibleBlocks<S> {
        &self.reversible
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut S::WriteTxn<'_>) -> BlockResult<T>,
    ) -> BlockResult<T> {
        let mut txn = self.store().begin_write()?;
        let done = change(&mut txn)?;
        txn.commit(self.durability)?;
        Ok(done)
    }

    /// Adds a block that is not final.
    ///
    /// # Errors
    /// As [`ReversibleBlocks::add`].
    pub fn add(&self, block: &NewBlock<'_>) -> BlockResult<()> {
        self.write(|txn| self.reversible.add(txn, block))
    }

    /// Takes the newest block that is not final away and gives it.
    ///
    /// # Errors
    /// `Store`.
    pub fn pop(&self) -> BlockResult<Option<LogBlock>> {
        self.write(|txn| self.reversible.pop(txn))
    }

    /// Switches to another branch in one commit: the blocks from the number of its first one on go,
    /// and these come.
    ///
    /// # Errors
    /// As [`ReversibleBlocks::add`]; the branch stays as it was then.
    pub fn switch_to(&self, branch: &[NewBlock<'_>]) -> BlockResult<()> {
        let Some(first) = branch.first() else {
            return Ok(());
        };
        self.write(|txn| {
            self.reversible.remove_from(txn, first.height)?;
            branch
                .iter()
                .try_for_each(|block| self.reversible.add(txn, block))
        })
    }

    /// Moves the blocks up to a number to the log; how many that were.
    ///
    /// # Errors
    /// As [`ReversibleBlocks::make_irreversible`].
    pub fn make_irreversible(&self, up_to: Height) -> BlockResult<u64> {
        self.write(|txn| self.reversible.make_irreversible(txn, up_to))
    }

    /// The block of a number, final or not.
    ///
    /// # Errors
    /// As [`BlockLog::read_block_by_num`].
    pub fn block_by_num(&self, number: Height) -> BlockResult<Option<LogBlock>> {
        let view = self.store().begin_read()?;
        match self.reversible.get(&view, number)? {
            Some(block) => Ok(Some(block)),
            None => self.log.read_block_by_num(&view, number),
        }
    }

    /// The block of an id, final or not.
    ///
    /// # Errors
    /// As [`BlockLog::read_block_by_id`].
    pub fn block_by_id(&self, id: &BlockHash) -> BlockResult<Option<LogBlock>> {
        let view = self.store().begin_read()?;
        match self.reversible.get_by_id(&view, id)? {
            Some(block) => Ok(Some(block)),
            None => self.log.read_block_by_id(&view, id),
        }
    }

    /// The newest block, final or not.
    ///
    /// # Errors
    /// `Store`.
    pub fn head(&self) -> BlockResult<Option<BlockRef>> {
        self.reversible.chain_head(&self.store().begin_read()?)
    }

    /// The newest block that is final.
    ///
    /// # Errors
    /// `Store`.
    pub fn last_irreversible(&self) -> BlockResult<Option<BlockRef>> {
        self.log.head(&self.store().begin_read()?)
    }

    /// Compares the log with its index, as [`BlockLog::verify`].
    ///
    /// # Errors
    /// As [`BlockLog::verify`].
    pub fn verify(&self) -> BlockResult<Compared> {
        self.log.verify(&self.store().begin_read()?)
    }
}
