//! [`RedbEngine`]: opening, beginning, committing, compacting.
//!
//! Invariants: redb invalidates read transactions when its database is dropped, so the engine and
//! every view share one [`Core`] and the last of them closes it; the lock around the database is
//! taken exclusively by compaction alone, which runs without views and writers, so beginning a
//! transaction never waits for it. After a write failed nothing is written any more, and new views
//! are of what the device holds, which is what the next opening will find. Cost: beginning a view
//! is one uncontended read lock, redb's own begin, one count, and one small list.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use backend_kit::{
    CommitFailure, InsertingLoader, RawCheck, RawEngine, RawOpen, RawOpened, RawSpace, RawTable,
};
use redb::{
    Builder, CommitError, Database, ReadTransaction, ReadableDatabase, TableDefinition,
    TableHandle, WriteTransaction,
};
use storage_api::{
    Access, BitRot, BulkMode, Capabilities, CountMode, Durability, Effective, Error, ErrorKind,
    Location, Mode, Result, Sharing, TableId, ValueLane,
};

use crate::Bytes;
use crate::eras::{Era, Eras, Oldest};
use crate::error::{fail, fail_at, from_io};
use crate::file::{LastEnd, Locking, Medium, Overlay, check_not_empty};
use crate::live::{Frozen, Live};
use crate::options::{CommitStrategy, RedbOptions};
use crate::txn::{RedbBatch, RedbTxn};
use crate::view::{RedbView, ViewTxn};

/// URL scheme, feature and marker.
pub(crate) const NAME: &str = "redb";

/// redb takes 3 GiB, of which a few bytes are left to a checksum envelope.
pub(crate) const VALUE_BYTES_MAX: usize = 3 * 1024 * 1024 * 1024 - 16;

/// A cache below this is all eviction.
const CACHE_BYTES_MIN: u64 = 1 << 20;

const ON_DISK: Capabilities = {
    let mut caps = IN_MEMORY;
    caps.persistent = true;
    caps.effective = [Effective::Volatile, Effective::Durable, Effective::Durable];
    caps.sharing = Sharing::ReadersOrWriter;
    caps.read_only_open = true;
    caps.bit_rot = BitRot::NotDetected;
    caps
};

const IN_MEMORY: Capabilities = {
    let mut caps = Capabilities::IN_MEMORY;
    caps.value_bytes_max = VALUE_BYTES_MAX;
    caps.count = CountMode::Exact;
    caps.bulk = BulkMode::Insertion;
    caps.compact = Mode::Exclusive;
    caps.backup = Mode::Online;
    caps.value_lane = ValueLane::Pinned;
    caps
};

/// redb behind the kit's interface.
pub struct RedbEngine {
    core: Arc<Core>,
}

/// What the engine, its views and its write transaction share.
pub(crate) struct Core {
    /// `None` only while the core is being dropped.
    database: RwLock<Option<Database>>,
    /// A second database over what the device holds, for the views of a store whose device failed.
    salvaged: Mutex<Option<Database>>,
    medium: Arc<Medium>,
    frozen: Arc<Frozen>,
    /// The data file's path, for messages.
    place: String,
    /// Names by table number.
    names: Vec<Option<String>>,
    access: Access,
    strategy: CommitStrategy,
    persistent: bool,
    cache_bytes: Option<usize>,
    /// A commit that is not durable may have happened since the last durable one.
    volatile: AtomicBool,
    eras: Eras,
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine")
            .field("place", &self.place)
            .field("access", &self.access)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

impl Core {
    fn with_database<T, E: Into<redb::Error>>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => work(database).map_err(fail),
            None => Err(fail(redb::Error::DatabaseClosed)),
        }
    }

    pub(crate) fn medium(&self) -> &Arc<Medium> {
        &self.medium
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn cache_bytes(&self) -> Option<usize> {
        self.cache_bytes
    }

    /// Room for each table number.
    pub(crate) fn table_slots(&self) -> usize {
        self.names.len()
    }

    /// A table that is missing reads as empty: nothing may be made in a store that is open for
    /// reading.
    pub(crate) fn reads_missing_as_empty(&self) -> bool {
        self.access == Access::ReadOnly
    }

    pub(crate) fn definition(&self, table: TableId) -> Result<TableDefinition<'_, Bytes, Bytes>> {
        match self.names.get(table.index()) {
            Some(Some(name)) => Ok(TableDefinition::new(name)),
            _ => Err(Error::new(ErrorKind::UnknownTable {
                table: table.to_string(),
            })),
        }
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction> {
        if self.access == Access::ReadOnly {
            return Err(Error::new(ErrorKind::ReadOnly));
        }
        self.frozen.check_writable(&self.place)?;
        self.with_database(Database::begin_write)
    }

    /// Begins what views read from. It is counted before it begins, so that no commit overlooks it.
    fn begin_view(self: &Arc<Self>) -> Result<Arc<ViewTxn>> {
        let alive = Alive {
            era: self.eras.enter(),
            core: Arc::clone(self),
        };
        Ok(Arc::new(ViewTxn::new(self.begin_read()?, alive)))
    }

    fn begin_read(&self) -> Result<ReadTransaction> {
        if self.frozen.is_frozen() {
            return self.begin_salvaged_read();
        }
        self.with_database(Database::begin_read)
    }

    /// Begins a view of what the device holds. The database that it is of keeps all its writes,
    /// those of its recovery, in memory.
    #[cold]
    fn begin_salvaged_read(&self) -> Result<ReadTransaction> {
        let mut salvaged = self.salvaged.lock().unwrap_or_else(PoisonError::into_inner);
        if salvaged.is_none() {
            let overlay = Overlay::new(Arc::clone(&self.medium), Locking::None)
                .map_err(|error| from_io(error, &self.place))?;
            let mut builder = Builder::new();
            if let Some(cache_bytes) = self.cache_bytes {
                builder.set_cache_size(cache_bytes);
            }
            let opened = builder.create_with_backend(overlay);
            *salvaged = Some(opened.map_err(|error| fail_at(error, &self.place))?);
        }
        match &*salvaged {
            Some(database) => database.begin_read().map_err(fail),
            None => Err(fail(redb::Error::DatabaseClosed)),
        }
    }

    /// Says whether the device has failed under what redb did; redb is not told.
    ///
    /// # Errors
    /// The failure.
    #[inline]
    pub(crate) fn check_device(&self) -> Result<()> {
        self.frozen.check(&self.place)
    }

    /// What a commit came to, by redb's word and the device's.
    fn committed(&self, done: Result<(), CommitError>) -> Result<(), CommitFailure> {
        self.check_device().map_err(CommitFailure::Unknown)?;
        done.map_err(commit_failure)
    }

    /// Commits. A store in memory has nothing to sync, so there every commit is the cheap kind.
    pub(crate) fn commit(
        &self,
        txn: WriteTransaction,
        durability: Durability,
    ) -> Result<(), CommitFailure> {
        if self.persistent && durability != Durability::Volatile {
            self.commit_durably(txn)
        } else {
            self.commit_volatile(txn)
        }
    }

    /// Quick repair is left off beside an old view, which would pin every state of the allocator.
    /// Without it redb removes the state that is there, so an older one is never believed.
    fn commit_durably(&self, mut txn: WriteTransaction) -> Result<(), CommitFailure> {
        let is_quick =
            self.strategy == CommitStrategy::QuickRepair && self.eras.commit() == Oldest::Young;
        txn.set_two_phase_commit(self.strategy != CommitStrategy::OnePhase);
        txn.set_quick_repair(is_quick);
        self.committed(txn.commit())?;
        self.volatile.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn commit_volatile(&self, mut txn: WriteTransaction) -> Result<(), CommitFailure> {
        txn.set_durability(redb::Durability::None)
            .map_err(|error| CommitFailure::Aborted(fail(error)))?;
        // Before the commit, so that no interleaving leaves one unnoticed.
        self.volatile.store(true, Ordering::Relaxed);
        self.committed(txn.commit())
    }

    /// Makes earlier commits durable by an empty durable one, if there are any that are not.
    pub(crate) fn settle(&self) -> Result<()> {
        if self.volatile.load(Ordering::Relaxed) {
            self.commit_nothing()
        } else {
            Ok(())
        }
    }

    fn commit_nothing(&self) -> Result<()> {
        self.commit_durably(self.begin_write()?).map_err(into_error)
    }

    /// Makes the tables that are not there yet, in one durable commit.
    fn make_tables(&self) -> Result<()> {
        let view = self.with_database(Database::begin_read)?;
        let known: Vec<String> = view
            .list_tables()
            .map_err(fail)?
            .map(|table| table.name().to_owned())
            .collect();
        drop(view);
        let mut missing = self
            .names
            .iter()
            .flatten()
            .filter(|name| !known.contains(name));
        let Some(first) = missing.next() else {
            return Ok(());
        };
        let txn = self.begin_write()?;
        for name in std::iter::once(first).chain(missing) {
            let table: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new(name);
            drop(txn.open_table(table).map_err(fail)?);
        }
        self.commit_durably(txn).map_err(into_error)
    }
}

/// That a read transaction lives. It keeps the database open, and the transaction counted.
pub(crate) struct Alive {
    era: Era,
    core: Arc<Core>,
}

impl Alive {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.core.eras.leave(self.era);
    }
}

/// redb closes when its database drops: it commits, syncs and writes its header, and may panic on
/// damaged pages.
impl Drop for Core {
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let salvaged = self
            .salvaged
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if catch_unwind(AssertUnwindSafe(|| drop((database, salvaged)))).is_err() {
            tracing::warn!(place = self.place, "redb panicked while closing");
        }
    }
}

fn commit_failure(error: CommitError) -> CommitFailure {
    match error {
        CommitError::TransactionPoisoned => CommitFailure::Aborted(fail(error)),
        error => CommitFailure::Unknown(fail(error)),
    }
}

fn into_error(failure: CommitFailure) -> Error {
    match failure {
        CommitFailure::Aborted(error) | CommitFailure::Unknown(error) => error,
    }
}

fn names_by_number(tables: &[RawTable]) -> Vec<Option<String>> {
    let mut names = Vec::new();
    for table in tables {
        let at = table.id.index();
        if names.len() <= at {
            names.resize(at + 1, None);
        }
        names[at] = Some(table.name.clone());
    }
    names
}

fn recovered(last_end: LastEnd, walked: bool, access: Access) -> Option<String> {
    let what = match (last_end, walked) {
        (_, true) => "walked every page and rebuilt the allocator's state",
        (LastEnd::Unclean, false) => "took the last durable commit as it was",
        (LastEnd::Clean, false) => return None,
    };
    let where_to = match access {
        Access::ReadWrite => "",
        Access::ReadOnly => ", in memory only",
    };
    Some(format!("the database was not closed; {what}{where_to}"))
}

fn open_database(
    medium: &Arc<Medium>,
    frozen: &Arc<Frozen>,
    place: &str,
    access: Access,
    cache_bytes: Option<usize>,
) -> Result<(Database, Option<String>)> {
    let last_end = medium.last_end().map_err(|error| from_io(error, place))?;
    let walked = Arc::new(AtomicBool::new(false));
    let mut builder = Builder::new();
    if let Some(cache_bytes) = cache_bytes {
        builder.set_cache_size(cache_bytes);
    }
    let told = Arc::clone(&walked);
    builder.set_repair_callback(move |_| told.store(true, Ordering::Relaxed));
    let database = match access {
        Access::ReadWrite => {
            builder.create_with_backend(Live::new(Arc::clone(medium), Arc::clone(frozen)))
        }
        Access::ReadOnly => {
            let overlay = Overlay::new(Arc::clone(medium), Locking::Shared);
            builder.create_with_backend(overlay.map_err(|error| from_io(error, place))?)
        }
    };
    let database = database.map_err(|error| fail_at(error, place))?;
    frozen.check(place)?;
    let recovered = recovered(last_end, walked.load(Ordering::Relaxed), access);
    if let Some(recovered) = &recovered {
        tracing::info!(place, recovered, "redb recovered");
    }
    Ok((database, recovered))
}

impl RawEngine for RedbEngine {
    const NAME: &'static str = NAME;
    const CAPABILITIES: Capabilities = ON_DISK;
    const FORMAT: u32 = 1;
    const MAY_PANIC: bool = true;
    const SORT_BATCH_FROM: usize = 16;

    type Options = RedbOptions;
    type View = RedbView;
    type Txn<'e> = RedbTxn<'e>;
    type Batch<'e> = RedbBatch<'e>;
    type Loader<'e> = InsertingLoader<RedbBatch<'e>>;

    fn open(request: &RawOpen<'_>, options: &Self::Options) -> Result<(Self, RawOpened)> {
        let access = request.options.access;
        let persistent = request.location != Location::Memory;
        if !persistent && access == Access::ReadOnly {
            return Err(Error::unsupported("read_only_open"));
        }
        let (medium, place) =
            Medium::open(request.location, access, request.fresh, &options.backend)?;
        if persistent && !request.fresh {
            check_not_empty(&medium, &place)?;
        }
        let cache_bytes = request
            .options
            .memory_budget_bytes
            .map(|budget| usize::try_from(budget.max(CACHE_BYTES_MIN)).unwrap_or(usize::MAX));
        let frozen = Arc::new(Frozen::default());
        let (database, recovered) = open_database(&medium, &frozen, &place, access, cache_bytes)?;
        let core = Core {
            database: RwLock::new(Some(database)),
            salvaged: Mutex::new(None),
            medium,
            frozen,
            place,
            names: names_by_number(request.tables),
            access,
            strategy: options.commit_strategy,
            persistent,
            cache_bytes,
            volatile: AtomicBool::new(false),
            eras: Eras::default(),
        };
        if access == Access::ReadWrite {
            core.make_tables()?;
        }
        Ok((
            Self {
                core: Arc::new(core),
            },
            RawOpened { recovered },
        ))
    }

    fn capabilities(&self) -> Capabilities {
        if self.core.persistent {
            ON_DISK
        } else {
            IN_MEMORY
        }
    }

    fn view(&self) -> Result<RedbView> {
        self.core.begin_view().map(RedbView::new)
    }

    fn views(&self, count: usize) -> Result<Vec<RedbView>> {
        let txn = self.core.begin_view()?;
        Ok((0..count)
            .map(|_| RedbView::new(Arc::clone(&txn)))
            .collect())
    }

    fn begin(&self) -> Result<RedbTxn<'_>> {
        Ok(RedbTxn::new(self.core.begin_write()?, &self.core))
    }

    fn begin_batch(&self) -> Result<RedbBatch<'_>> {
        Ok(RedbBatch::new(self.begin()?))
    }

    fn begin_load(&self, table: TableId, _: Option<&Path>) -> Result<Self::Loader<'_>> {
        Ok(InsertingLoader::new(self.begin_batch()?, table))
    }

    fn sync(&self) -> Result<()> {
        if self.core.persistent {
            self.core.settle()
        } else {
            Ok(())
        }
    }

    fn space(&self) -> Result<RawSpace> {
        Ok(RawSpace::default())
    }

    fn used_bytes(&self) -> u64 {
        self.core.medium.used_bytes()
    }

    /// redb's compaction commits without the allocator's state, so that a process killed right
    /// after it would walk the whole file when it opens again; one more commit puts the state back.
    fn compact(&self) -> Result<()> {
        if self.core.access == Access::ReadOnly {
            return Err(Error::new(ErrorKind::ReadOnly));
        }
        let mut database = self
            .core
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.core.frozen.check_writable(&self.core.place)?;
        if let Some(database) = &mut *database {
            database.compact().map_err(fail)?;
        }
        drop(database);
        self.core.check_device()?;
        self.core.commit_nothing()
    }

    fn check(&self) -> Result<Option<RawCheck>> {
        crate::check::check(&self.core).map(Some)
    }
}
