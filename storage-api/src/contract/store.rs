//! [`KvStore`]: what every store can do, with no `open`, no constant and no generic method, so that
//! decorators, the enum
//! of engines and the erased form are stores too. [`KvStoreExt`] adds the closures.
//!
//! Invariants: readers never block the writer and are never blocked by it; a thread that holds the
//! write transaction and asks for another, or applies a batch, gets `WouldDeadlock` at once (trap
//! 9).

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::capability::Capabilities;
use crate::commit::{Commit, CommitSeq, Durability};
use crate::contract::batch::WriteBatch;
use crate::contract::bulk::Bulk;
use crate::contract::extend::{Backup, Compact, Verify};
use crate::contract::read::{Count, ReadTxn};
use crate::contract::write::WriteTxn;
use crate::error::Result;
use crate::table::{Catalogue, TableId};

/// An ordered, transactional, multi-table byte store.
pub trait KvStore: Send + Sync + 'static {
    /// An owned view.
    type ReadTxn: ReadTxn;

    /// The single writer's transaction.
    type WriteTxn<'s>: WriteTxn
    where
        Self: 's;

    /// The engine's name, for messages and reports.
    fn engine_name(&self) -> &str;

    /// What this store can do, as it was opened.
    fn capabilities(&self) -> &Capabilities;

    /// Its tables.
    fn catalogue(&self) -> &Catalogue;

    /// Begins a view of the last commit.
    ///
    /// # Errors
    /// `TooManyReaders`, `Io`.
    fn begin_read(&self) -> Result<Self::ReadTxn>;

    /// Begins several views of one and the same commit, for parallel scans.
    ///
    /// # Errors
    /// As [`KvStore::begin_read`].
    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<Self::ReadTxn>>;

    /// Begins the write transaction, waiting for the writer before.
    ///
    /// # Errors
    /// `WouldDeadlock`, `ReadOnly`, `Poisoned`, `PinnedTooMuch`, `Io`.
    fn begin_write(&self) -> Result<Self::WriteTxn<'_>>;

    /// Begins the write transaction, waiting at most this long; `None` when another writer held it
    /// all that time.
    ///
    /// # Errors
    /// As [`KvStore::begin_write`].
    fn try_begin_write(&self, wait: Duration) -> Result<Option<Self::WriteTxn<'_>>>;

    /// Applies a batch as one commit. It is checked as a whole first.
    ///
    /// # Errors
    /// As [`KvStore::begin_write`], [`crate::Writer::put`] and [`WriteTxn::commit`]; nothing is
    /// applied then, unless it is `CommitUnknown`.
    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit>;

    /// Makes every earlier commit durable.
    ///
    /// # Errors
    /// `Poisoned`, `Io`; a failure poisons the store.
    fn sync(&self) -> Result<()>;

    /// Rows and bytes of a table without a scan.
    ///
    /// # Errors
    /// As [`crate::Reader::get`].
    fn table_stats(&self, table: TableId) -> Result<TableStats>;

    /// Space, views and the last commit, without a scan.
    ///
    /// # Errors
    /// As [`crate::Reader::get`].
    fn stats(&self) -> Result<StoreStats>;

    /// Loading in bulk, where the store has it.
    fn as_bulk(&self) -> Option<&dyn Bulk> {
        None
    }

    /// Compaction, where the store has it.
    fn as_compact(&self) -> Option<&dyn Compact> {
        None
    }

    /// Backup, where the store has it.
    fn as_backup(&self) -> Option<&dyn Backup> {
        None
    }

    /// Verification by the engine's own means, where the store has it.
    fn as_verify(&self) -> Option<&dyn Verify> {
        None
    }
}

/// Size of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Rows.
    pub rows: Count,
    /// Bytes of keys and values, or the space they take, as the engine knows it; `None` when it
    /// does not.
    pub bytes: Option<Count>,
}

/// The oldest live view of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldestReader {
    /// How long it has been open.
    pub age: Duration,
    /// Bytes that the store grew by since it began, which is what it can pin at most.
    pub pinned_bytes: u64,
}

/// Size and state of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes allocated on disk, 0 for a store in memory.
    pub disk_bytes: u64,
    /// Bytes that this process can still use of the file system it is on, where that is known.
    pub disk_free_bytes: Option<u64>,
    /// Bytes of memory held by the engine, where it knows.
    pub memory_bytes: Option<u64>,
    /// Bytes inside the files that can be used again, where the engine knows.
    pub free_bytes: Option<u64>,
    /// The size limit, where there is one.
    pub limit_bytes: Option<u64>,
    /// Live views.
    pub readers: usize,
    /// The oldest of them.
    pub oldest_reader: Option<OldestReader>,
    /// The last ordered commit.
    pub commit_seq: CommitSeq,
}

/// How often [`KvStoreExt::update`] runs its closure again on retryable errors.
const UPDATE_ATTEMPTS_MAX: u32 = 16;

/// Closures over a view and over the write transaction.
pub trait KvStoreExt: KvStore {
    /// Runs `read` on a view.
    ///
    /// # Errors
    /// Of beginning the view and of the closure.
    fn view<T, E: From<crate::Error>>(
        &self,
        read: impl FnOnce(&Self::ReadTxn) -> Result<T, E>,
    ) -> Result<T, E> {
        read(&self.begin_read()?)
    }

    /// Runs `change` in a write transaction and commits it; an error of the closure aborts.
    ///
    /// Runs again on retryable errors, at most 16 times, never on `CommitUnknown`.
    ///
    /// # Errors
    /// Of the closure, of beginning and of committing.
    fn update<T>(
        &self,
        durability: Durability,
        mut change: impl FnMut(&mut Self::WriteTxn<'_>) -> Result<T>,
    ) -> Result<(T, Commit)> {
        let mut attempt = 1;
        loop {
            let mut txn = self.begin_write()?;
            let outcome = change(&mut txn)
                .and_then(|value| txn.commit(durability).map(|commit| (value, commit)));
            match outcome {
                Err(error) if error.is_retryable() && attempt < UPDATE_ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome,
            }
        }
    }
}

impl<S: KvStore + ?Sized> KvStoreExt for S {}
