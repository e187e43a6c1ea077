//! [`BlockDatabaseStore`]: a block database with a commit for each call, under upstream's names.
//!
//! Invariants: each writing call is one commit, each reading call one view.

use std::sync::Arc;

use storage_api::blocks::{BlockHash, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{BlockDatabase, DatabaseResult, StoredBlock, Truncated};

/// A block database, committing by itself.
#[derive(Debug)]
pub struct BlockDatabaseStore<S> {
    database: BlockDatabase<S>,
    durability: Durability,
}

impl<S: KvStore> BlockDatabaseStore<S> {
    /// Wraps a database; every commit asks for this durability.
    #[must_use]
    pub fn new(database: BlockDatabase<S>, durability: Durability) -> Self {
        Self {
            database,
            durability,
        }
    }

    /// The database, for work inside a transaction.
    #[must_use]
    pub fn database(&self) -> &BlockDatabase<S> {
        &self.database
    }

    fn store_below(&self) -> &Arc<S> {
        self.database.store()
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut S::WriteTxn<'_>) -> DatabaseResult<T>,
    ) -> DatabaseResult<T> {
        let mut txn = self.store_below().begin_write()?;
        let done = change(&mut txn)?;
        txn.commit(self.durability)?;
        Ok(done)
    }

    /// Stores a block, in the place of what is at its number.
    ///
    /// # Errors
    /// As [`BlockDatabase::store_all`].
    pub fn store(&self, id: &BlockHash, block: &[u8]) -> DatabaseResult<()> {
        self.write(|txn| self.database.store_block(txn, id, block))
    }

    /// Stores blocks in one commit.
    ///
    /// # Errors
    /// As [`BlockDatabase::store_all`].
    pub fn store_all(&self, blocks: &[(BlockHash, &[u8])]) -> DatabaseResult<()> {
        self.write(|txn| self.database.store_all(txn, blocks))
    }

    /// Removes a block; whether it was there.
    ///
    /// # Errors
    /// As [`BlockDatabase::remove`].
    pub fn remove(&self, id: &BlockHash) -> DatabaseResult<bool> {
        self.write(|txn| self.database.remove(txn, id))
    }

    /// Whether the block of an id is there.
    ///
    /// # Errors
    /// As [`BlockDatabase::contains`].
    pub fn contains(&self, id: &BlockHash) -> DatabaseResult<bool> {
        self.database
            .contains(&self.store_below().begin_read()?, id)
    }

    /// The id at a number.
    ///
    /// # Errors
    /// As [`BlockDatabase::fetch_block_id`].
    pub fn fetch_block_id(&self, number: Height) -> DatabaseResult<BlockHash> {
        self.database
            .fetch_block_id(&self.store_below().begin_read()?, number)
    }

    /// The block of an id.
    ///
    /// # Errors
    /// As [`BlockDatabase::fetch_optional`].
    pub fn fetch_optional(&self, id: &BlockHash) -> DatabaseResult<Option<StoredBlock>> {
        self.database
            .fetch_optional(&self.store_below().begin_read()?, id)
    }

    /// The block at a number.
    ///
    /// # Errors
    /// As [`BlockDatabase::fetch_by_number`].
    pub fn fetch_by_number(&self, number: Height) -> DatabaseResult<Option<StoredBlock>> {
        self.database
            .fetch_by_number(&self.store_below().begin_read()?, number)
    }

    /// The block of the highest number.
    ///
    /// # Errors
    /// As [`BlockDatabase::last`].
    pub fn last(&self) -> DatabaseResult<Option<StoredBlock>> {
        self.database.last(&self.store_below().begin_read()?)
    }

    /// The id of the block of the highest number.
    ///
    /// # Errors
    /// As [`BlockDatabase::last`].
    pub fn last_id(&self) -> DatabaseResult<Option<BlockHash>> {
        self.database.last_id(&self.store_below().begin_read()?)
    }

    /// Scans back to the last block that is whole.
    ///
    /// # Errors
    /// As [`BlockDatabase::truncate_to_last_valid`].
    pub fn truncate_to_last_valid(&self) -> DatabaseResult<Truncated> {
        self.write(|txn| self.database.truncate_to_last_valid(txn))
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As [`BlockDatabase::flush`].
    pub fn flush(&self) -> DatabaseResult<()> {
        self.database.flush()
    }

    /// Flushes and closes.
    ///
    /// # Errors
    /// As [`BlockDatabase::flush`].
    pub fn close(self) -> DatabaseResult<()> {
        self.database.close()
    }
}
