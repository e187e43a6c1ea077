//! The engine: opening, views, the writer, growth of the map, compaction, copies.
//!
//! Invariants: the environment is behind one lock that views and writers take for reading, for a
//! moment only and never twice at once, and that growth and compaction take for writing; both close
//! the environment and open it again, which is possible only while nobody else holds it, and leave
//! the old one in place when they fail. An environment that LMDB gave up after a failed write
//! begins not even views any more; a second one over the same file, for reading only, takes its
//! place for new ones. Whatever is interrupted, the directory holds one complete `data.mdb`: a
//! compacted copy is complete and synced before a rename puts it in place.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use backend_kit::{RawCheck, RawEngine, RawOpen, RawOpened, RawSpace};
use heed::CompactionOption;
use storage_api::{
    Access, BitRot, BulkMode, Capabilities, Count, CountMode, Effective, Error, ErrorKind,
    Location, Mode, Result, Sharing, TableId, ValueLane,
};

use crate::bulk::LmdbLoader;
use crate::check;
use crate::env::{EnvConfig, OpenEnv};
use crate::error::{DATA_FILE, ENGINE};
use crate::header;
use crate::options::{LmdbOptions, MapPlan, READERS_DEFAULT};
use crate::register;
use crate::txn::LmdbTxn;
use crate::view::LmdbView;

/// A compacted copy before it takes the place of the data file.
const COMPACTING_FILE: &str = "data.mdb.compacting";

/// How long growth after a full map, and compaction, wait for others to let go of the environment.
const ALONE_WAIT: Duration = Duration::from_millis(100);

/// How often several views of one commit are begun again because a commit came between.
const VIEWS_RESTARTS_MAX: u32 = 10_000;

/// The environment, unless it was lost while it was opened again.
#[derive(Debug)]
enum Held {
    Open(Arc<OpenEnv>),
    Lost(String),
}

/// The LMDB engine.
#[derive(Debug)]
pub struct LmdbEngine {
    held: RwLock<Held>,
    /// The second environment, once the first is given up.
    salvaged: Mutex<Option<Arc<OpenEnv>>>,
    config: EnvConfig,
    /// The largest map that was asked for and that the system allows, in bytes.
    limit_bytes: AtomicU64,
    /// The map at which a write last found no room, in bytes.
    full_at_bytes: AtomicU64,
    /// Whether a write transaction is open.
    is_writing: AtomicBool,
}

/// Says that a write transaction is open, until it drops.
pub(crate) struct Writing<'e>(&'e AtomicBool);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl LmdbEngine {
    const fn capabilities_at_best() -> Capabilities {
        let mut all = Capabilities::IN_MEMORY;
        all.key_bytes_max = 511;
        all.value_bytes_max = u32::MAX as usize;
        all.readers_max = Some(READERS_DEFAULT);
        all.persistent = true;
        all.count = CountMode::Exact;
        all.effective = [Effective::Durable; 3];
        all.sharing = Sharing::ReadersOrWriter;
        all.read_only_open = true;
        all.bulk = BulkMode::Loader;
        all.compact = Mode::Exclusive;
        all.backup = Mode::Online;
        all.bit_rot = BitRot::NotDetected;
        all.value_lane = ValueLane::Borrowed;
        all.size_limit = true;
        all
    }

    fn is_writable(&self) -> bool {
        self.config.access == Access::ReadWrite
    }

    fn lock(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_alone(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open environment; the caller's share keeps it from being closed.
    fn open_env(&self) -> Result<Arc<OpenEnv>> {
        match &*self.lock() {
            Held::Open(open) => Ok(Arc::clone(open)),
            Held::Lost(cause) => Err(lost(cause)),
        }
    }

    /// Reads in the open environment, or in the second one where LMDB has given the first up.
    fn reading<T>(&self, read: impl Fn(Arc<OpenEnv>) -> Result<T>) -> Result<T> {
        match self.open_env().and_then(&read) {
            Err(error) if matches!(error.kind(), ErrorKind::Poisoned { .. }) => {
                read(self.salvaged()?)
            }
            outcome => outcome,
        }
    }

    /// The second environment, opened at its first use.
    #[cold]
    fn salvaged(&self) -> Result<Arc<OpenEnv>> {
        let mut salvaged = self.salvaged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*salvaged {
            return Ok(Arc::clone(open));
        }
        // A map that reaches behind the end of the file ends the process where it is read there.
        header::prepare(&self.config.directory, false, false)?;
        let config = self.config.salvaging();
        let (open, _) = OpenEnv::open(&config, config.plan.initial_bytes)?;
        let open = Arc::new(open);
        *salvaged = Some(Arc::clone(&open));
        Ok(open)
    }

    fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Notes that a map of this size was too small, so that the next writer grows it.
    pub(crate) fn note_map_full(&self, map_bytes: u64) {
        self.full_at_bytes.store(map_bytes, Ordering::Relaxed);
    }

    /// Notes that the write transaction is open.
    pub(crate) fn writing(&self) -> Writing<'_> {
        self.is_writing.store(true, Ordering::Relaxed);
        Writing(&self.is_writing)
    }

    /// Grows the map before a write transaction, when it is more than half full or was found full,
    /// and nobody reads.
    fn grow(&self) -> Result<()> {
        let (map_bytes, used_bytes) = match &*self.lock() {
            Held::Open(open) => (open.map_bytes(), open.used_bytes()),
            Held::Lost(cause) => return Err(lost(cause)),
        };
        let was_full = self.full_at_bytes.load(Ordering::Relaxed) >= map_bytes;
        if map_bytes >= self.config.plan.max_bytes || (!was_full && used_bytes <= map_bytes / 2) {
            return Ok(());
        }
        let mut held = self.lock_alone();
        let wait = if was_full { ALONE_WAIT } else { Duration::ZERO };
        if !wait_until_alone(&held, wait) {
            return Ok(());
        }
        let larger = self.config.plan.next_bytes(map_bytes);
        self.reopen(&mut held, larger, |_| Ok(()))?;
        if let Held::Open(open) = &*held
            && open.map_bytes() < larger
        {
            let limit_bytes = open.map_bytes();
            self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
            tracing::warn!(larger, limit_bytes, "the system refuses a larger map");
        }
        Ok(())
    }

    /// Closes the environment, does `between`, and opens it with this map, or with the old one when
    /// that fails. Returns what failed last; nothing is lost unless the old map cannot be opened
    /// either.
    fn reopen(
        &self,
        held: &mut Held,
        map_bytes: u64,
        between: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let closing = Held::Lost("it is being opened again".to_owned());
        let open = match std::mem::replace(held, closing) {
            Held::Lost(cause) => {
                let error = lost(&cause);
                *held = Held::Lost(cause);
                return Err(error);
            }
            Held::Open(open) => open,
        };
        let old_bytes = open.map_bytes();
        drop(open);
        let done = between(&self.config.directory);
        let reopened = OpenEnv::open(&self.config, map_bytes)
            .or_else(|_| OpenEnv::open(&self.config, old_bytes));
        match reopened {
            Ok((open, _)) => {
                *held = Held::Open(Arc::new(open));
                done
            }
            Err(error) => {
                *held = Held::Lost(format!(
                    "its environment could not be opened again: {error}"
                ));
                Err(error)
            }
        }
    }
}

/// Whether nobody else holds the environment, after waiting at most this long. Nobody can begin to
/// hold it meanwhile.
fn wait_until_alone(held: &Held, wait: Duration) -> bool {
    let Held::Open(open) = held else {
        return true;
    };
    let since = Instant::now();
    while Arc::strong_count(open) > 1 {
        if since.elapsed() >= wait {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn busy(held: &Held) -> Error {
    let readers = match held {
        Held::Open(open) => Arc::strong_count(open) - 1,
        Held::Lost(_) => 0,
    };
    let oldest_reader = Duration::ZERO;
    let kind = ErrorKind::Busy {
        readers,
        oldest_reader,
    };
    Error::new(kind).with_engine(ENGINE)
}

fn lost(cause: &str) -> Error {
    let cause = cause.to_owned();
    Error::new(ErrorKind::Poisoned { cause }).with_engine(ENGINE)
}

fn read_only() -> Error {
    Error::new(ErrorKind::ReadOnly).with_engine(ENGINE)
}

/// Copies the environment into a new file, synced.
fn copy_env(open: &OpenEnv, target: &Path, option: CompactionOption) -> Result<()> {
    let at = |error| Error::from_io(error, target.display().to_string()).with_engine(ENGINE);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(at)?;
    open.env()
        .copy_to_file(&mut file, option)
        .map_err(|error| open.error("copy", error))?;
    file.sync_all().map_err(at)
}

/// Begins several views of one commit.
fn begin_many(open: &Arc<OpenEnv>, count: usize) -> Result<Vec<LmdbView>> {
    let mut views: Vec<LmdbView> = Vec::with_capacity(count);
    let mut restarts = 0;
    while views.len() < count {
        let view = LmdbView::begin(Arc::clone(open))?;
        if views
            .last()
            .is_some_and(|last| last.txn_id() != view.txn_id())
        {
            views.clear();
            restarts += 1;
            if restarts > VIEWS_RESTARTS_MAX {
                return Err(Error::new(ErrorKind::Conflict).with_engine(ENGINE));
            }
        }
        views.push(view);
    }
    Ok(views)
}

fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::from_io(error, directory.display().to_string()))
}

fn remove_leftover(directory: &Path) -> Result<()> {
    let path = directory.join(COMPACTING_FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from_io(error, path.display().to_string()))
        }
        _ => Ok(()),
    }
}

impl RawEngine for LmdbEngine {
    const NAME: &'static str = ENGINE;
    const CAPABILITIES: Capabilities = Self::capabilities_at_best();
    const FORMAT: u32 = 1;
    const CHECKS_VALUES: bool = false;
    const SORT_BATCH_FROM: usize = 10_000;

    type Options = LmdbOptions;
    type View = LmdbView;
    type Txn<'e> = LmdbTxn<'e>;
    type Batch<'e> = LmdbTxn<'e>;
    type Loader<'e> = LmdbLoader<'e>;

    fn open(request: &RawOpen<'_>, options: &LmdbOptions) -> Result<(Self, RawOpened)> {
        let Location::Directory(directory) = request.location else {
            return Err(Error::unsupported("memory_location").with_engine(ENGINE));
        };
        if options.readers_max == 0 {
            return Err(Error::invalid("readers_max is 0; it is 1 or more").with_engine(ENGINE));
        }
        let config = EnvConfig {
            directory: directory.to_owned(),
            access: request.options.access,
            plan: MapPlan::new(options)?,
            readers_max: options.readers_max,
            read_ahead: options.read_ahead,
            tables: request.tables.to_vec(),
            salvages: false,
        };
        if request.is_writable() {
            remove_leftover(directory)?;
            // A compaction may have ended between its rename and its sync. The name must be as
            // durable as the commits that follow.
            sync_directory(directory)?;
            register::allocate(directory, options.readers_max)?;
        }
        let lengthened = header::prepare(directory, request.fresh, request.is_writable())?;
        let (open, freed) = OpenEnv::open(&config, config.plan.initial_bytes)?;
        let freed = (freed > 0).then(|| format!("{freed} reader slots of dead processes freed"));
        let recovered: Vec<String> = lengthened.into_iter().chain(freed).collect();
        let limit_bytes = if open.map_bytes() < config.plan.initial_bytes {
            open.map_bytes()
        } else {
            config.plan.max_bytes.max(open.map_bytes())
        };
        let engine = Self {
            limit_bytes: AtomicU64::new(limit_bytes),
            held: RwLock::new(Held::Open(Arc::new(open))),
            salvaged: Mutex::new(None),
            config,
            full_at_bytes: AtomicU64::new(0),
            is_writing: AtomicBool::new(false),
        };
        let opened = RawOpened {
            recovered: (!recovered.is_empty()).then(|| recovered.join("; ")),
        };
        Ok((engine, opened))
    }

    fn capabilities(&self) -> Capabilities {
        let mut all = Self::CAPABILITIES;
        all.readers_max = self.is_writable().then_some(self.config.readers_max);
        all
    }

    fn view(&self) -> Result<LmdbView> {
        self.reading(LmdbView::begin)
    }

    fn views(&self, count: usize) -> Result<Vec<LmdbView>> {
        self.reading(|open| begin_many(&open, count))
    }
    fn begin(&self) -> Result<LmdbTxn<'_>> {
        if !self.is_writable() {
            return Err(read_only());
        }
        self.grow()?;
        LmdbTxn::begin(self, self.open_env()?)
    }

    fn begin_batch(&self) -> Result<LmdbTxn<'_>> {
        self.begin()
    }

    fn begin_load(&self, table: TableId, _: Option<&Path>) -> Result<LmdbLoader<'_>> {
        Ok(LmdbLoader::new(self.begin()?, table))
    }

    fn sync(&self) -> Result<()> {
        if !self.is_writable() {
            return Ok(());
        }
        let open = self.open_env()?;
        open.env()
            .force_sync()
            .map_err(|error| open.error("sync", error))
    }

    fn table_bytes(&self, table: TableId) -> Result<Option<Count>> {
        self.reading(|open| {
            let Some(db) = open.table(table)? else {
                return Ok(Some(Count::Exact(0)));
            };
            let txn = open.begin_read()?;
            let stat = db
                .stat(&txn)
                .map_err(|error| open.error("table_bytes", error))?;
            Ok(Some(Count::Exact(stat_pages(&stat) * open.page_bytes())))
        })
    }

    fn space(&self) -> Result<RawSpace> {
        self.reading(|open| {
            let txn = open.begin_read()?;
            let mut pages = 2 + stat_pages(&open.env().unnamed_database_stat());
            for db in open.tables() {
                let stat = db.stat(&txn).map_err(|error| open.error("space", error))?;
                pages += stat_pages(&stat);
            }
            Ok(RawSpace {
                memory_bytes: None,
                free_bytes: Some(open.used_bytes().saturating_sub(pages * open.page_bytes())),
                limit_bytes: Some(self.limit_bytes()),
            })
        })
    }

    fn used_bytes(&self) -> u64 {
        match &*self.lock() {
            Held::Open(open) => open.used_bytes(),
            Held::Lost(_) => 0,
        }
    }

    fn compact(&self) -> Result<()> {
        if !self.is_writable() {
            return Err(read_only());
        }
        let mut held = self.lock_alone();
        if !wait_until_alone(&held, ALONE_WAIT) {
            return Err(busy(&held));
        }
        let Held::Open(open) = &*held else {
            return Err(lost("it was lost before"));
        };
        remove_leftover(&self.config.directory)?;
        // Open before the swap, so that nothing but the sync itself can fail after it.
        let at = |error| Error::from_io(error, self.config.directory.display().to_string());
        let folder = File::open(&self.config.directory).map_err(at)?;
        let compacted = self.config.directory.join(COMPACTING_FILE);
        if let Err(error) = copy_env(open, &compacted, CompactionOption::Enabled) {
            remove_leftover(&self.config.directory)?;
            return Err(error);
        }
        let map_bytes = open.map_bytes();
        let mut is_swapped = false;
        let done = self.reopen(&mut held, map_bytes, |directory| {
            fs::rename(&compacted, directory.join(DATA_FILE))
                .map_err(|error| Error::from_io(error, compacted.display().to_string()))?;
            is_swapped = true;
            folder.sync_all().map_err(at)
        });
        if let Err(error) = &done {
            if !is_swapped {
                // The error that matters is the first one; opening removes what is left.
                let _gone = remove_leftover(&self.config.directory);
            } else if matches!(*held, Held::Open(_)) {
                // A power cut may bring the old file back, and with it lose what is committed now.
                *held = Held::Lost(format!("its compacted file is not durable: {error}"));
            }
        }
        done
    }

    fn check(&self) -> Result<Option<RawCheck>> {
        if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
            return Ok(None);
        }
        check::run(&self.config.directory).map(Some)
    }

    fn copy_to(&self, target: &Path) -> Result<bool> {
        let open = self.open_env()?;
        // The plain copy takes LMDB's write mutex for a moment: it would wait for the transaction
        // that is open, and for ever if that is this thread's own. The compacting one does not.
        let option = if self.is_writing.load(Ordering::Relaxed) {
            CompactionOption::Enabled
        } else {
            CompactionOption::Disabled
        };
        copy_env(&open, &target.join(DATA_FILE), option)?;
        sync_directory(target)?;
        Ok(true)
    }
}

fn stat_pages(stat: &heed::DatabaseStat) -> u64 {
    (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64
}
