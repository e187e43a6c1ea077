//! The open environment: heed's `Env`, the tables in it, and what is known about its file. The only
//! file of the engine with unsafe code, two calls of it.
//!
//! Invariants: an environment is opened with our flags only (never `NO_SYNC`, `NO_META_SYNC` or
//! `WRITE_MAP`; `NO_LOCK` only together with read-only, under the directory lock that keeps writers
//! out); tables are opened once, before any other transaction; the file is at least as long as its
//! last page, so that no read falls behind its end; the file is closed when the last `Arc` of this
//! struct is gone, views hold one each, and closing is complete when that drop returns. `lock.mdb`
//! must not be opened by anyone else in this process: closing any descriptor of it would drop
//! LMDB's own record locks.
#![expect(
    unsafe_code,
    reason = "mapping a file and choosing LMDB's flags are unsafe calls of heed"
)]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use backend_kit::RawTable;
use heed::types::Bytes;
use heed::{
    CommitOrAbort, CommitToken, Database, Env, EnvFlags, EnvOpenOptions, OnCommit, RoTxn,
    WithoutTls,
};
#[cfg(feature = "raw")]
use storage_api::TableHints;
use storage_api::{Access, AccessHint, Error, ErrorKind, Result, TableId};

use crate::error::{Blame, DATA_FILE, ENGINE, is_disk_full};
use crate::options::{MAP_BYTES_MIN, MapPlan, ReadAhead};

/// A table of bytes, as a handle that is valid while its environment is open.
pub(crate) type Db = Database<'static, Bytes, Bytes>;

/// How to open the environment, now and again after compaction or growth.
#[derive(Clone, Debug)]
pub(crate) struct EnvConfig {
    /// The engine's directory.
    pub(crate) directory: PathBuf,
    /// Reading, or reading and writing.
    pub(crate) access: Access,
    /// Sizes of the map.
    pub(crate) plan: MapPlan,
    /// Reader slots.
    pub(crate) readers_max: u32,
    /// Reading ahead.
    pub(crate) read_ahead: ReadAhead,
    /// All tables.
    pub(crate) tables: Vec<RawTable>,
    /// Whether this is a second environment over the file of one that LMDB gave up, for reading.
    pub(crate) salvages: bool,
}

impl EnvConfig {
    /// How to read the file of an environment that LMDB gave up and that is still open.
    pub(crate) fn salvaging(&self) -> Self {
        Self {
            access: Access::ReadOnly,
            salvages: true,
            ..self.clone()
        }
    }

    /// What errors say about an environment opened with this.
    pub(crate) fn blame(&self, map_bytes: u64) -> Blame {
        Blame {
            path: self.directory.clone(),
            map_bytes,
            readers_max: self.readers_max,
            tables: self.tables.len(),
        }
    }

    fn is_writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// Handles beyond the tables, for readers of the same process that know of more. Each costs
    /// every transaction some bytes, so a writer, which shares with nobody, has none.
    fn spare_tables(&self) -> usize {
        if self.is_writable() { 0 } else { 32 }
    }

    /// The mapped environment; all readers of one process share one.
    fn mapped(&self, map_bytes: u64) -> Result<Arc<Mapped>> {
        if self.is_writable() || self.salvages {
            let env = self.map(map_bytes)?;
            return Ok(Arc::new(Mapped { env, _place: None }));
        }
        let path = self
            .directory
            .canonicalize()
            .map_err(|error| Error::from_io(error, self.directory.display().to_string()))?;
        let mut readers = READERS.lock();
        while let Some(mapped) = readers.get(&path) {
            if let Some(mapped) = mapped.upgrade() {
                return Ok(mapped);
            }
            // The last of them is being closed.
            readers = READERS
                .closed
                .wait(readers)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mapped = Arc::new(Mapped {
            env: self.map(map_bytes)?,
            _place: Some(Place(path.clone())),
        });
        readers.insert(path, Arc::downgrade(&mapped));
        Ok(mapped)
    }

    /// Maps the environment with a map of this many bytes, or less where nobody asked for this size
    /// and the system refuses.
    fn map(&self, map_bytes: u64) -> Result<Env<WithoutTls>> {
        let mut bytes = map_bytes;
        loop {
            match self.map_exactly(bytes) {
                Err(heed::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::OutOfMemory
                        && self.plan.may_shrink
                        && bytes / 2 >= MAP_BYTES_MIN =>
                {
                    bytes /= 2;
                }
                outcome => {
                    return outcome.map_err(|error| self.blame(bytes).error("open", error));
                }
            }
        }
    }

    fn map_exactly(&self, map_bytes: u64) -> heed::Result<Env<WithoutTls>> {
        let too_large = |_| heed::Error::Io(std::io::ErrorKind::OutOfMemory.into());
        let map_size = usize::try_from(map_bytes).map_err(too_large)?;
        let mut flags = EnvFlags::empty();
        if !self.is_writable() {
            flags |= EnvFlags::READ_ONLY | EnvFlags::NO_LOCK;
        }
        if self.read_ahead == ReadAhead::Off {
            flags |= EnvFlags::NO_READ_AHEAD;
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options
            .map_size(map_size)
            .max_readers(self.readers_max)
            .max_dbs(u32::try_from(self.tables.len() + self.spare_tables()).unwrap_or(u32::MAX));
        let mut path = self.directory.clone();
        if self.salvages {
            // heed tells environments apart by path, and the directory is that of the other.
            flags |= EnvFlags::NO_SUB_DIR;
            path.push(DATA_FILE);
        }
        // SAFETY: `NO_READ_AHEAD` is advice to the kernel and `NO_SUB_DIR` is about the path.
        // `READ_ONLY` with `NO_LOCK` needs that no process writes to the environment meanwhile: the
        // store's directory lock, held as long as this engine or a view of it lives, admits many
        // readers or one writer; and an environment that LMDB gave up, which this one may be a
        // second of, writes no more.
        let options = unsafe { options.flags(flags) };
        // SAFETY: the mapped file must not be changed behind LMDB's back. The directory belongs to
        // this engine alone and is locked as said above; within this process heed refuses a second
        // environment of the same path, but for that second one, which opens no lock file and so
        // cannot drop the locks of the first by closing it; `data.mdb` is only ever made longer by
        // us, never shorter, while it is mapped.
        unsafe { options.open(&path) }
    }
}

/// heed's own environment with the flags of our stores, for programs that measure what the store
/// above it costs. It has room for the named tables of a store with one table of its own. The
/// directory exists, belongs to the caller alone and is opened once.
///
/// # Errors
/// Of heed.
#[cfg(feature = "raw")]
pub fn open_raw(directory: &std::path::Path, map_bytes: u64) -> heed::Result<Env<WithoutTls>> {
    let named = |name: &str| RawTable {
        id: TableId::INTERNAL,
        name: name.to_owned(),
        hints: TableHints::default(),
    };
    let config = EnvConfig {
        directory: directory.to_owned(),
        access: Access::ReadWrite,
        plan: MapPlan {
            initial_bytes: map_bytes,
            max_bytes: map_bytes,
            may_shrink: false,
        },
        readers_max: 126,
        read_ahead: ReadAhead::default(),
        tables: ["internal", "rows"].map(named).into(),
        salvages: false,
    };
    config.map_exactly(map_bytes)
}

/// The environments that are open read-only in this process, by path. heed refuses a second
/// environment of one path, while the contract admits many readers. A path stays until its
/// environment is closed, so that nobody opens it again in between.
static READERS: LazyLock<Readers> = LazyLock::new(Readers::default);

#[derive(Default)]
struct Readers {
    open: Mutex<HashMap<PathBuf, Weak<Mapped>>>,
    closed: Condvar,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<Mapped>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mapped environment, shared by the readers of one process. Closed in the order of the fields.
#[derive(Debug)]
struct Mapped {
    env: Env<WithoutTls>,
    /// Dropped only to leave the list of readers.
    _place: Option<Place>,
}

/// A path among the readers of this process.
#[derive(Debug)]
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        READERS.lock().remove(&self.0);
        READERS.closed.notify_all();
    }
}

/// An open environment.
#[derive(Debug)]
pub(crate) struct OpenEnv {
    mapped: Arc<Mapped>,
    tables: Vec<Slot>,
    file: File,
    file_bytes: AtomicU64,
    page_bytes: u64,
    blame: Blame,
    is_writable: bool,
}

/// What a table number stands for.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Unknown,
    /// Not in the file; only when read-only.
    Absent,
    Open(Db, AccessHint),
}

impl OpenEnv {
    /// Opens the environment with a map of this many bytes and all tables in it, and frees the
    /// reader slots of processes that are gone; returns how many.
    ///
    /// # Errors
    /// `AlreadyOpen`, `Corruption`, `PermissionDenied`, `DiskFull`, `Io`.
    pub(crate) fn open(config: &EnvConfig, map_bytes: u64) -> Result<(Self, usize)> {
        let mapped = config.mapped(map_bytes)?;
        let env = &mapped.env;
        let blame = config.blame(env.info().map_size as u64);
        let failed = |error| blame.error("open", error);
        let freed = if config.is_writable() {
            env.clear_stale_readers().map_err(failed)?
        } else {
            0
        };
        let handles = open_tables(env, config).map_err(failed)?;
        let mut tables = Vec::new();
        for (table, handle) in config.tables.iter().zip(handles) {
            if tables.len() <= table.id.index() {
                tables.resize(table.id.index() + 1, Slot::Unknown);
            }
            tables[table.id.index()] =
                handle.map_or(Slot::Absent, |db| Slot::Open(db, table.hints.access));
        }
        let path = config.directory.join(DATA_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(config.is_writable())
            .open(&path)
            .map_err(|error| Error::from_io(error, path.display().to_string()))?;
        let page_bytes = u64::from(env.unnamed_database_stat().page_size);
        let open = Self {
            mapped,
            tables,
            file,
            file_bytes: AtomicU64::new(0),
            page_bytes,
            blame,
            is_writable: config.is_writable(),
        };
        open.lengthen();
        Ok((open, freed))
    }

    /// heed's environment.
    pub(crate) fn env(&self) -> &Env<WithoutTls> {
        &self.mapped.env
    }

    /// The table of this number; `None` when it is not in a file that is open read-only, and then
    /// reads as empty.
    ///
    /// # Errors
    /// `UnknownTable`.
    #[inline]
    pub(crate) fn table(&self, table: TableId) -> Result<Option<Db>> {
        match self.tables.get(table.index()) {
            Some(Slot::Open(db, _)) => Ok(Some(*db)),
            Some(Slot::Absent) => Ok(None),
            Some(Slot::Unknown) | None => Err(unknown(table)),
        }
    }

    /// Whether keys of this table mostly arrive in ascending order.
    pub(crate) fn is_append_only(&self, table: TableId) -> bool {
        let slot = self.tables.get(table.index());
        matches!(slot, Some(Slot::Open(_, AccessHint::AppendOnly)))
    }

    /// Every table that is in the file.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Db> {
        self.tables.iter().filter_map(|slot| match slot {
            Slot::Open(db, _) => Some(*db),
            Slot::Unknown | Slot::Absent => None,
        })
    }

    /// The error of this operation.
    #[cold]
    pub(crate) fn error(&self, operation: &'static str, source: heed::Error) -> Error {
        if self.is_disk_full(&source) {
            return Error::new(ErrorKind::DiskFull)
                .with_source(source)
                .with_engine(ENGINE)
                .with_operation(operation);
        }
        self.blame.error(operation, source)
    }

    /// Whether the device of the data file had no room.
    pub(crate) fn is_disk_full(&self, source: &heed::Error) -> bool {
        is_disk_full(source, &self.file)
    }

    /// The map, in bytes.
    pub(crate) fn map_bytes(&self) -> u64 {
        self.blame.map_bytes
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// Bytes up to the last page of the last commit, free pages among them included. Cost: two
    /// reads of the map.
    pub(crate) fn used_bytes(&self) -> u64 {
        (self.env().info().last_page_number as u64 + 1) * self.page_bytes
    }

    /// Begins a view of the last commit, freeing the slots of dead processes when none is left.
    ///
    /// # Errors
    /// `TooManyReaders`, `Poisoned`, `Io`.
    pub(crate) fn begin_read(&self) -> Result<RoTxn<'static, WithoutTls>> {
        let failed = |error| self.error("begin_read", error);
        match self.env().clone().static_read_txn() {
            Err(heed::Error::Mdb(heed::MdbError::ReadersFull)) => {
                self.env().clear_stale_readers().map_err(failed)?;
                self.env().clone().static_read_txn().map_err(failed)
            }
            outcome => outcome.map_err(failed),
        }
    }

    /// Makes the file as long as its last page, where LMDB left it shorter because the last pages
    /// were freed unwritten. Called after each commit by the only writer. A failure is no failure
    /// of the commit: opening repeats it.
    pub(crate) fn lengthen(&self) {
        let used = self.used_bytes();
        if !self.is_writable || used <= self.file_bytes.load(Ordering::Relaxed) {
            return;
        }
        let lengthened = self.file.metadata().and_then(|metadata| {
            if metadata.len() < used {
                self.file.set_len(used)?;
            }
            Ok(metadata.len().max(used))
        });
        match lengthened {
            Ok(bytes) => self.file_bytes.store(bytes, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, used, "{DATA_FILE} is shorter than its pages"),
        }
    }
}

#[cold]
fn unknown(table: TableId) -> Error {
    Error::new(ErrorKind::UnknownTable {
        table: table.to_string(),
    })
    .with_engine(ENGINE)
}

/// Handles in the order of the tables, on their way through a commit.
struct Handles<'e>(Vec<Option<Database<'e, Bytes, Bytes>>>);

impl OnCommit for Handles<'_> {
    type Committed = Vec<Option<Db>>;

    fn on_commit(self, token: &CommitToken) -> Self::Committed {
        let committed = |handle: Option<Database<'_, _, _>>| handle.map(|h| h.on_commit(token));
        self.0.into_iter().map(committed).collect()
    }
}

/// Opens all tables; writes only when one is missing and may be made.
fn open_tables(env: &Env<WithoutTls>, config: &EnvConfig) -> heed::Result<Vec<Option<Db>>> {
    let found = env
        .open_databases_and_commit(env.read_txn()?, |opener, txn| {
            let one =
                |table: &RawTable| opener.open_database::<Bytes, Bytes>(txn, Some(&table.name));
            let handles = config.tables.iter().map(one).collect::<heed::Result<_>>()?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(Handles(handles)))
        })?
        .commit()
        .unwrap_or_default();
    if !config.is_writable() || found.iter().all(Option::is_some) {
        return Ok(found);
    }
    let made = env
        .create_databases_and_commit(env.write_txn()?, |opener, txn| {
            let one = |table: &RawTable| {
                opener
                    .create_database::<Bytes, Bytes>(txn, Some(&table.name))
                    .map(Some)
            };
            let handles = config.tables.iter().map(one).collect::<heed::Result<_>>()?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(Handles(handles)))
        })?
        .commit()
        .unwrap_or_default();
    Ok(made)
}

/// An environment without tables, with this many reader slots.
#[cfg(test)]
pub(crate) fn test_env(directory: &std::path::Path, readers_max: u32) -> Result<impl Sized> {
    let plan = MapPlan {
        initial_bytes: 1 << 20,
        max_bytes: 1 << 20,
        may_shrink: false,
    };
    let config = EnvConfig {
        directory: directory.to_owned(),
        access: Access::ReadWrite,
        plan,
        readers_max,
        read_ahead: ReadAhead::default(),
        tables: Vec::new(),
        salvages: false,
    };
    config.map(1 << 20)
}
