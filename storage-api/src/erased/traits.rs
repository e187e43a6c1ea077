//! The object-safe mirrors: [`ErasedStore`], [`ErasedReader`], [`ErasedReadTxn`],
//! [`ErasedWriteTxn`], each implemented for everything that has the trait it mirrors.
//!
//! Invariants: each method is the method of the same name without `erased_` and means exactly that;
//! the prefix keeps calls unambiguous where both traits are in scope. Nothing here decides
//! anything.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::capability::Capabilities;
use crate::commit::{Commit, CommitSeq, Durability};
use crate::contract::{
    Backup, Bulk, Compact, Count, Cursor, KvStore, ReadTxn, Reader, Savepoint, StoreStats,
    TableStats, Verify, WriteBatch, WriteTxn, Writer,
};
use crate::error::Result;
use crate::range::KeyRange;
use crate::table::{Catalogue, TableId};

/// [`Reader`], object-safe. `get` is missing: it is [`ErasedReader::erased_get_with`] with a sink
/// that copies.
pub trait ErasedReader {
    /// [`Reader::get_with`]; allocates nothing.
    ///
    /// # Errors
    /// As [`Reader::get_with`].
    fn erased_get_with(
        &self,
        table: TableId,
        key: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<bool>;

    /// [`Reader::contains`].
    ///
    /// # Errors
    /// As [`Reader::contains`].
    fn erased_contains(&self, table: TableId, key: &[u8]) -> Result<bool>;

    /// [`Reader::multi_get`], all keys in one call.
    ///
    /// # Errors
    /// As [`Reader::multi_get`].
    fn erased_multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()>;

    /// [`Reader::cursor`]; one allocation.
    ///
    /// # Errors
    /// As [`Reader::cursor`].
    fn erased_cursor(&self, table: TableId, range: KeyRange) -> Result<Box<dyn Cursor + '_>>;

    /// [`Reader::count`].
    ///
    /// # Errors
    /// As [`Reader::count`].
    fn erased_count(&self, table: TableId) -> Result<Count>;
}

impl<R: Reader> ErasedReader for R {
    fn erased_get_with(
        &self,
        table: TableId,
        key: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        self.get_with(table, key, sink)
    }

    fn erased_contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        self.contains(table, key)
    }

    fn erased_multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.multi_get(table, keys, sink)
    }

    fn erased_cursor(&self, table: TableId, range: KeyRange) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.cursor(table, range)?))
    }

    fn erased_count(&self, table: TableId) -> Result<Count> {
        self.count(table)
    }
}

/// [`ReadTxn`], object-safe.
pub trait ErasedReadTxn: ErasedReader + Send {
    /// [`ReadTxn::commit_seq`].
    ///
    /// # Errors
    /// As [`ReadTxn::commit_seq`].
    fn erased_commit_seq(&self) -> Result<CommitSeq>;
}

impl<R: ReadTxn> ErasedReadTxn for R {
    fn erased_commit_seq(&self) -> Result<CommitSeq> {
        self.commit_seq()
    }
}

/// [`WriteTxn`], object-safe; not `Send`, as it is not.
pub trait ErasedWriteTxn: ErasedReader + Writer {
    /// [`WriteTxn::savepoint`].
    ///
    /// # Errors
    /// As [`WriteTxn::savepoint`].
    fn erased_savepoint(&mut self) -> Result<Savepoint>;

    /// [`WriteTxn::rollback_to`].
    ///
    /// # Errors
    /// As [`WriteTxn::rollback_to`].
    fn erased_rollback_to(&mut self, savepoint: Savepoint) -> Result<()>;

    /// [`WriteTxn::release`].
    ///
    /// # Errors
    /// As [`WriteTxn::release`].
    fn erased_release(&mut self, savepoint: Savepoint) -> Result<()>;

    /// [`WriteTxn::commit`].
    ///
    /// # Errors
    /// As [`WriteTxn::commit`].
    fn erased_commit(self: Box<Self>, durability: Durability) -> Result<Commit>;

    /// [`WriteTxn::abort`].
    ///
    /// # Errors
    /// As [`WriteTxn::abort`].
    fn erased_abort(self: Box<Self>) -> Result<()>;
}

impl<W: WriteTxn> ErasedWriteTxn for W {
    fn erased_savepoint(&mut self) -> Result<Savepoint> {
        self.savepoint()
    }

    fn erased_rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.rollback_to(savepoint)
    }

    fn erased_release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.release(savepoint)
    }

    fn erased_commit(self: Box<Self>, durability: Durability) -> Result<Commit> {
        (*self).commit(durability)
    }

    fn erased_abort(self: Box<Self>) -> Result<()> {
        (*self).abort()
    }
}

/// [`KvStore`], object-safe. Implemented for every store; put one into a [`crate::DynStore`] to use
/// it as a store again.
pub trait ErasedStore: Send + Sync + 'static {
    /// [`KvStore::engine_name`].
    fn erased_engine_name(&self) -> &str;

    /// [`KvStore::capabilities`].
    fn erased_capabilities(&self) -> &Capabilities;

    /// [`KvStore::catalogue`].
    fn erased_catalogue(&self) -> &Catalogue;

    /// [`KvStore::begin_read`].
    ///
    /// # Errors
    /// As [`KvStore::begin_read`].
    fn erased_begin_read(&self) -> Result<Box<dyn ErasedReadTxn>>;

    /// [`KvStore::begin_read_many`].
    ///
    /// # Errors
    /// As [`KvStore::begin_read_many`].
    fn erased_begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<Box<dyn ErasedReadTxn>>>;

    /// [`KvStore::begin_write`].
    ///
    /// # Errors
    /// As [`KvStore::begin_write`].
    fn erased_begin_write(&self) -> Result<Box<dyn ErasedWriteTxn + '_>>;

    /// [`KvStore::try_begin_write`].
    ///
    /// # Errors
    /// As [`KvStore::try_begin_write`].
    fn erased_try_begin_write(
        &self,
        wait: Duration,
    ) -> Result<Option<Box<dyn ErasedWriteTxn + '_>>>;

    /// [`KvStore::apply`].
    ///
    /// # Errors
    /// As [`KvStore::apply`].
    fn erased_apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit>;

    /// [`KvStore::sync`].
    ///
    /// # Errors
    /// As [`KvStore::sync`].
    fn erased_sync(&self) -> Result<()>;

    /// [`KvStore::table_stats`].
    ///
    /// # Errors
    /// As [`KvStore::table_stats`].
    fn erased_table_stats(&self, table: TableId) -> Result<TableStats>;

    /// [`KvStore::stats`].
    ///
    /// # Errors
    /// As [`KvStore::stats`].
    fn erased_stats(&self) -> Result<StoreStats>;

    /// [`KvStore::as_bulk`].
    fn erased_as_bulk(&self) -> Option<&dyn Bulk>;

    /// [`KvStore::as_compact`].
    fn erased_as_compact(&self) -> Option<&dyn Compact>;

    /// [`KvStore::as_backup`].
    fn erased_as_backup(&self) -> Option<&dyn Backup>;

    /// [`KvStore::as_verify`].
    fn erased_as_verify(&self) -> Option<&dyn Verify>;
}

fn boxed_view<T: ReadTxn>(view: T) -> Box<dyn ErasedReadTxn> {
    Box::new(view)
}

fn boxed_txn<'s>(txn: impl WriteTxn + 's) -> Box<dyn ErasedWriteTxn + 's> {
    Box::new(txn)
}

impl<S: KvStore> ErasedStore for S {
    fn erased_engine_name(&self) -> &str {
        self.engine_name()
    }

    fn erased_capabilities(&self) -> &Capabilities {
        self.capabilities()
    }

    fn erased_catalogue(&self) -> &Catalogue {
        self.catalogue()
    }

    fn erased_begin_read(&self) -> Result<Box<dyn ErasedReadTxn>> {
        self.begin_read().map(boxed_view)
    }

    fn erased_begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<Box<dyn ErasedReadTxn>>> {
        let views = self.begin_read_many(views)?;
        Ok(views.into_iter().map(boxed_view).collect())
    }

    fn erased_begin_write(&self) -> Result<Box<dyn ErasedWriteTxn + '_>> {
        self.begin_write().map(boxed_txn)
    }

    fn erased_try_begin_write(
        &self,
        wait: Duration,
    ) -> Result<Option<Box<dyn ErasedWriteTxn + '_>>> {
        Ok(self.try_begin_write(wait)?.map(boxed_txn))
    }

    fn erased_apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        self.apply(batch, durability)
    }

    fn erased_sync(&self) -> Result<()> {
        self.sync()
    }

    fn erased_table_stats(&self, table: TableId) -> Result<TableStats> {
        self.table_stats(table)
    }

    fn erased_stats(&self) -> Result<StoreStats> {
        self.stats()
    }

    fn erased_as_bulk(&self) -> Option<&dyn Bulk> {
        self.as_bulk()
    }

    fn erased_as_compact(&self) -> Option<&dyn Compact> {
        self.as_compact()
    }

    fn erased_as_backup(&self) -> Option<&dyn Backup> {
        self.as_backup()
    }

    fn erased_as_verify(&self) -> Option<&dyn Verify> {
        self.as_verify()
    }
}
