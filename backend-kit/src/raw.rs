//! What an engine has to bring; everything else of the contract is done once, in [`crate::Store`].
//!
//! The raw level reuses [`Reader`], [`Writer`] and [`storage_api::Cursor`] with these promises
//! of the caller: the table exists (the internal one, [`TableId::INTERNAL`], included), keys
//! are 1..= the engine's limit, values within the engine's limit, ranges are not empty, values
//! are as stored (the checksum envelope is added and removed above), one write transaction or
//! batch at a time unless batches are declared concurrent. What an engine must keep: a view
//! never changes; a failed call returns a typed error and never panics unless
//! [`RawEngine::MAY_PANIC`] says so, in which case panics are caught above.

use std::fmt;
use std::path::Path;

use storage_api::{
    Access, Capabilities, CommitOrder, CommitSeq, Count, Durability, Error, Finding, Location,
    OpenOptions, Reader, Result, TableHints, TableId, Writer,
};

use crate::read::SEQ_KEY;

/// A table as an engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTable {
    /// Its number: unique, not necessarily dense.
    pub id: TableId,
    /// Its name: unique, 1..=64 bytes of `a-z 0-9 . - _`, usable as the engine's own name for it.
    pub name: String,
    /// Hints; they may differ from those at creation and are applied where the engine can.
    pub hints: TableHints,
}

/// What an engine is asked to open.
#[derive(Debug)]
pub struct RawOpen<'a> {
    /// Memory, or a directory that belongs to this engine alone and exists.
    pub location: Location<'a>,
    /// All tables, in order of number, the internal one first. Missing ones are made (never when
    /// read-only: a table that is missing then reads as empty); every table of the engine is
    /// in this list.
    pub tables: &'a [RawTable],
    /// Whether the directory was made just now and holds nothing.
    pub fresh: bool,
    /// Access, order of commits, memory budget.
    pub options: &'a OpenOptions,
}

impl RawOpen<'_> {
    /// Whether the engine may write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.options.access == Access::ReadWrite
    }

    /// Whether batches may run beside each other.
    #[must_use]
    pub fn is_relaxed(&self) -> bool {
        self.options.commit_order == CommitOrder::Relaxed
    }

    /// The highest table number, for lists indexed by it.
    #[must_use]
    pub fn table_number_max(&self) -> usize {
        self.tables
            .iter()
            .map(|table| table.id.index())
            .max()
            .unwrap_or(0)
    }
}

/// Why a commit did not return success.
#[derive(Debug)]
pub enum CommitFailure {
    /// Nothing was committed and the engine is as before. The store goes on, unless the error is
    /// one of the system: then it is poisoned all the same, and the caller gets the error itself.
    Aborted(Error),
    /// A write or sync failed on the way, or the library panicked: it may have been committed or
    /// not. The store is poisoned and the caller gets `CommitUnknown` with this as the source.
    Unknown(Error),
}

/// Blind writes on their way into one commit.
pub trait RawBatch: Writer + Sized {
    /// Commits. Dropping without it aborts.
    ///
    /// # Errors
    /// [`CommitFailure`].
    fn commit(self, durability: Durability) -> Result<(), CommitFailure>;
}

/// The write transaction: reads its own writes. Dropping it aborts.
pub trait RawTxn: RawBatch + Reader {
    /// Whether the three calls below are the engine's own. Otherwise the shared journal of
    /// pre-images does the work and they are never called.
    const NATIVE_SAVEPOINTS: bool = false;

    /// Marks the present state; marks are numbered by depth from 0.
    ///
    /// # Errors
    /// Of the engine.
    fn push_savepoint(&mut self) -> Result<()> {
        Err(Error::unsupported("native_savepoints"))
    }

    /// Takes everything since the mark of this depth back; that mark stays, deeper ones go. The
    /// depth exists.
    ///
    /// # Errors
    /// Of the engine.
    fn rollback_to_depth(&mut self, _depth: u32) -> Result<()> {
        Err(Error::unsupported("native_savepoints"))
    }

    /// Forgets the marks of this depth and deeper. The depth exists.
    ///
    /// # Errors
    /// Of the engine.
    fn release_depth(&mut self, _depth: u32) -> Result<()> {
        Err(Error::unsupported("native_savepoints"))
    }
}

/// The engine's fastest way to take many rows of one table, on its way into one commit. Dropping it
/// without the commit leaves no trace.
pub trait RawLoader: Sized {
    /// A part that a thread of its own fills; [`NoPart`] where there is none.
    type Part: RawPart;

    /// Takes a row. Its key is greater than every key of its group.
    ///
    /// # Errors
    /// Of the engine; the loader is then dropped.
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Begins another group, whose rows win over those of the groups before and whose keys begin
    /// anywhere.
    ///
    /// # Errors
    /// Of the engine; the loader is then dropped.
    fn next_group(&mut self) -> Result<()>;

    /// Begins this many parts of the present group, to which no row was given yet: they follow each
    /// other in the order of keys and are filled at the same time. None where the loader does not
    /// take this group in parts; the rows are pushed one by one then.
    ///
    /// # Errors
    /// Of the engine; the loader is then dropped.
    fn parts(&mut self, _count: usize) -> Result<Vec<Self::Part>> {
        Ok(Vec::new())
    }

    /// Takes the parts back, all of them finished, in the order of their keys, as the rows of the
    /// present group.
    ///
    /// # Errors
    /// Of the engine; the loader is then dropped.
    fn join(&mut self, _parts: Vec<Self::Part>) -> Result<()> {
        Ok(())
    }

    /// Commits, `Durable`, with the number of the commit in the internal table, as
    /// [`seq_row`] says: in the same engine transaction where the loader has one, and right after
    /// the rows elsewhere.
    ///
    /// # Errors
    /// [`CommitFailure`].
    fn commit(self, seq: CommitSeq) -> Result<(), CommitFailure>;
}

/// A part of a load: rows of a key range, gathered beside the engine until the loader takes them.
pub trait RawPart: Send {
    /// Takes a row. Its key is greater than every key before it.
    ///
    /// # Errors
    /// `Io`, `Full`, or of the engine; the load then fails as a whole.
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Does what is left to do once the last row was taken.
    ///
    /// # Errors
    /// As [`RawPart::push`].
    fn finish(&mut self) -> Result<()>;
}

/// The part of loaders that have none.
#[derive(Debug)]
pub enum NoPart {}

impl RawPart for NoPart {
    fn push(&mut self, _key: &[u8], _value: &[u8]) -> Result<()> {
        match *self {}
    }

    fn finish(&mut self) -> Result<()> {
        match *self {}
    }
}

/// The row of the internal table that holds the number of the last ordered commit: key and value.
#[must_use]
pub const fn seq_row(seq: CommitSeq) -> (&'static [u8], [u8; 8]) {
    (SEQ_KEY, seq.get().to_le_bytes())
}

/// A loader of engines without one: each row is put, in order, into one transaction.
#[derive(Debug)]
pub struct InsertingLoader<B> {
    batch: B,
    table: TableId,
}

impl<B: RawBatch> InsertingLoader<B> {
    /// Loads this table through a transaction that was just begun.
    pub const fn new(batch: B, table: TableId) -> Self {
        Self { batch, table }
    }
}

impl<B: RawBatch> RawLoader for InsertingLoader<B> {
    type Part = NoPart;

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.put(self.table, key, value)
    }

    fn next_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit(mut self, seq: CommitSeq) -> Result<(), CommitFailure> {
        let (key, value) = seq_row(seq);
        let put = self.batch.put(TableId::INTERNAL, key, &value);
        put.map_err(CommitFailure::Aborted)?;
        self.batch.commit(Durability::Durable)
    }
}

/// Space as the engine sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawSpace {
    /// Bytes of memory held, where known.
    pub memory_bytes: Option<u64>,
    /// Reusable bytes inside the files, where known.
    pub free_bytes: Option<u64>,
    /// The size limit, where there is one.
    pub limit_bytes: Option<u64>,
}

/// What the engine's own check said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawCheck {
    /// What was checked, in words.
    pub summary: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What opening did, in the engine's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawOpened {
    /// A repair or replay after an unclean end.
    pub recovered: Option<String>,
}

/// An embedded engine.
pub trait RawEngine: Sized + Send + Sync + 'static {
    /// URL scheme, feature and marker.
    const NAME: &'static str;

    /// What it can do at best.
    const CAPABILITIES: Capabilities;

    /// Version of how this crate lays tables out in the engine, recorded in the marker; a newer one
    /// is refused.
    const FORMAT: u32;

    /// The library may panic on damaged files; every call is then guarded.
    const MAY_PANIC: bool = false;

    /// The engine's own check covers the bytes of values too, so that nothing is left unchecked.
    const CHECKS_VALUES: bool = true;

    /// Batches of this many operations and more are sorted by table and key before they reach the
    /// engine.
    const SORT_BATCH_FROM: usize = usize::MAX;

    /// What only this engine knows.
    type Options: Clone + Default + fmt::Debug + Send + Sync + 'static;

    /// A view. It owns what it needs of the engine.
    type View: Reader + Send + 'static;

    /// The write transaction.
    type Txn<'e>: RawTxn
    where
        Self: 'e;

    /// A blind batch; the transaction again where the engine has nothing cheaper.
    type Batch<'e>: RawBatch
    where
        Self: 'e;

    /// A bulk load; [`InsertingLoader`] where the engine has none.
    type Loader<'e>: RawLoader
    where
        Self: 'e;

    /// The loader writes files of its own, beside the engine's, until its commit: it is given a
    /// folder, and a failure before the commit says nothing about the engine's files.
    const LOADER_FILES: bool = false;

    /// Opens the engine's own files.
    ///
    /// # Errors
    /// `Unsupported` for a location or access it cannot do, `Corruption`, `FormatTooNew`, `Full`,
    /// `Io`.
    fn open(request: &RawOpen<'_>, options: &Self::Options) -> Result<(Self, RawOpened)>;

    /// Whether opening the files of this directory to write would cut something off that does not
    /// check. The store then looks first whether that is more than a crash can explain.
    fn would_cut(_directory: &Path) -> bool {
        false
    }

    /// What this open store can do.
    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    /// Begins a view of the last commit; never waits for the writer.
    ///
    /// # Errors
    /// `TooManyReaders`, `Io`.
    fn view(&self) -> Result<Self::View>;

    /// Begins several views of one and the same commit. Commits of other threads may happen
    /// meanwhile: share one engine snapshot, or compare the views' transaction numbers and
    /// begin the odd ones again.
    ///
    /// # Errors
    /// As [`RawEngine::view`].
    fn views(&self, count: usize) -> Result<Vec<Self::View>>;

    /// Begins the write transaction; the caller is the only writer.
    ///
    /// # Errors
    /// `Io`.
    fn begin(&self) -> Result<Self::Txn<'_>>;

    /// Begins a blind batch; the caller is the only writer unless batches are concurrent.
    ///
    /// # Errors
    /// `Io`.
    fn begin_batch(&self) -> Result<Self::Batch<'_>>;

    /// Begins a bulk load of a table; the caller is the only writer. `folder` is an empty folder of
    /// the store for [`RawEngine::LOADER_FILES`].
    ///
    /// # Errors
    /// `Io`.
    fn begin_load(&self, table: TableId, folder: Option<&Path>) -> Result<Self::Loader<'_>>;

    /// Makes every earlier commit durable.
    ///
    /// # Errors
    /// Any error poisons the store.
    fn sync(&self) -> Result<()>;

    /// Bytes of a table without a scan, where the engine knows; `None` lets the caller estimate
    /// from a sample of rows.
    ///
    /// # Errors
    /// Of the engine.
    fn table_bytes(&self, _table: TableId) -> Result<Option<Count>> {
        Ok(None)
    }

    /// Space, without a scan.
    ///
    /// # Errors
    /// Of the engine.
    fn space(&self) -> Result<RawSpace>;

    /// Bytes in use, cheap enough to be asked at every view: what a long-lived view pins is
    /// measured as the growth of this figure since it began. 0 when unknown.
    fn used_bytes(&self) -> u64;

    /// Compacts. Exclusive engines are called without any view or writer alive.
    ///
    /// # Errors
    /// `Unsupported`, `Io`.
    fn compact(&self) -> Result<()> {
        Err(Error::unsupported("compact"))
    }

    /// Copies the engine's files of the last commit into an existing empty directory, online.
    /// `false`: it has no way of its own, and the caller streams rows into a new store instead.
    ///
    /// # Errors
    /// `Io`, `DiskFull`.
    fn copy_to(&self, _target: &Path) -> Result<bool> {
        Ok(false)
    }

    /// Runs the engine's own check of its files; `None` when it has none.
    ///
    /// # Errors
    /// Of the engine, other than damage.
    fn check(&self) -> Result<Option<RawCheck>> {
        Ok(None)
    }
}
