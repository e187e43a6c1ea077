//! The engine: opening and closing the database, beginning reads and writes, and its upkeep.
//!
//! Invariants: a store that exists is never made anew, so a missing file is damage; the write-ahead
//! log is always on, which makes one write over several tables atomic; opened read-only nothing is
//! written, not even RocksDB's own protocol. Closing waits for background work and happens with the
//! last view. Cost: a view is one snapshot and three small allocations.

use std::ffi::CStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_kit::{CommitFailure, RawCheck, RawEngine, RawOpen, RawOpened, RawSpace};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::properties::{
    ESTIMATE_LIVE_DATA_SIZE, ESTIMATE_TABLE_READERS_MEM, LIVE_SST_FILES_SIZE, SIZE_ALL_MEM_TABLES,
};
use rocksdb::{Cache, DB, Options, WriteBatch, WriteOptions};
use storage_api::{
    BitRot, BulkMode, Capabilities, Count, CountMode, Durability, Effective, Error, Location, Mode,
    Result, Sharing, TableId, ValueLane,
};

use crate::bulk::RocksLoader;
use crate::check;
use crate::error::{NAME, fail, fail_commit};
use crate::log;
use crate::options::{Resources, RocksOptions};
use crate::tables::{BLOB_BYTES, Db, descriptors, layouts};
use crate::txn::{RocksBatch, RocksTxn};
use crate::view::{Frozen, RocksView};

/// The longest key, in bytes. RocksDB takes longer ones; the limit keeps the end of an unbounded
/// range delete, which must lie behind every key, at one page.
pub const KEY_BYTES_MAX: usize = 4096;

/// The longest value, in bytes. RocksDB counts a row in 32 bits and a block's offsets too; a
/// quarter of that leaves room for both.
pub const VALUE_BYTES_MAX: usize = 1 << 30;

/// Where a copy is made inside its target, before its files are moved up.
const COPY_FOLDER: &str = "copying";

/// Operations from which a commit is sorted first.
pub(crate) const SORT_BATCH_FROM: usize = 10_000;

/// An open RocksDB database.
pub struct RocksEngine {
    db: Arc<Db>,
    cache: Cache,
    durable: WriteOptions,
    buffered: WriteOptions,
    /// Bytes of the tables' files at opening and of every commit since.
    used_bytes: AtomicU64,
    is_writable: bool,
    /// Options of the files that bulk loads write, by table.
    layouts: Vec<Option<Options>>,
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine")
            .field("path", &self.db.path())
            .field("is_writable", &self.is_writable)
            .finish_non_exhaustive()
    }
}

impl RocksEngine {
    /// The database with its tables.
    #[inline]
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The options of the files of a table.
    pub(crate) fn layout(&self, table: TableId) -> Option<&Options> {
        self.layouts.get(table.index())?.as_ref()
    }

    /// Counts bytes that a bulk load added.
    pub(crate) fn note_loaded(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Writes a batch as one commit.
    pub(crate) fn write(
        &self,
        batch: WriteBatch,
        durability: Durability,
    ) -> Result<(), CommitFailure> {
        let bytes = batch.size_in_bytes() as u64;
        let options = match durability {
            Durability::Durable => &self.durable,
            Durability::Buffered | Durability::Volatile => &self.buffered,
        };
        let written = self.db.raw().write_opt(batch, options);
        written.map_err(|error| fail_commit(error, self.db.path()))?;
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn number(&self, property: &CStr) -> Result<u64> {
        let mut sum = 0u64;
        for table in self.db.tables() {
            let number = self.db.raw().property_int_value_cf(table, property);
            let number = number.map_err(|error| fail(error, self.db.path()))?;
            sum = sum.saturating_add(number.unwrap_or(0));
        }
        Ok(sum)
    }
}

/// Moves every file of a folder into the one around it and removes the folder.
fn move_files(folder: &Path, target: &Path) -> io::Result<()> {
    let entries: Vec<fs::DirEntry> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    for entry in entries {
        fs::rename(entry.path(), target.join(entry.file_name()))?;
    }
    fs::remove_dir(folder)
}

/// Refuses a database without any log. RocksDB keeps one at all times, in a copy too, and takes it
/// for empty when it is gone, with all that was not in other files yet.
fn check_log(path: &Path) -> Result<()> {
    let explain = |error| Error::from_io(error, path.display().to_string());
    for entry in fs::read_dir(path).map_err(explain)? {
        let name = entry.map_err(explain)?.file_name();
        if Path::new(&name).extension().is_some_and(|end| end == "log") {
            return Ok(());
        }
    }
    let place = path.display().to_string();
    Err(Error::corruption(place, "the write-ahead log is missing"))
}

fn open_database(
    request: &RawOpen<'_>,
    path: &Path,
    resources: &Resources,
    options: &RocksOptions,
) -> Result<Db> {
    let explain = |error| fail(error, path);
    let mut database = resources.database();
    let there = if request.fresh {
        Vec::new()
    } else {
        check_log(path)?;
        // Before RocksDB reads it: there is damage that its reader never comes out of.
        log::check_manifests(path)?;
        DB::list_cf(&database, path).map_err(explain)?
    };
    let writable = request.is_writable();
    let tables = descriptors(request.tables, &there, writable, resources);
    tracing::debug!(path = %path.display(), tables = tables.len(), ?options, "opening RocksDB");
    let db = if writable {
        // Only a fresh directory may get a new database: with the file CURRENT gone, RocksDB would
        // otherwise make an empty one over the old files.
        database.create_if_missing(request.fresh);
        database.create_missing_column_families(true);
        DB::open_cf_descriptors(&database, path, tables)
    } else {
        DB::open_cf_descriptors_read_only(&database, path, tables, false)
    };
    Ok(Db::bind(db.map_err(explain)?, request.tables))
}

impl RawEngine for RocksEngine {
    const NAME: &'static str = NAME;
    const CAPABILITIES: Capabilities = {
        let mut caps = Capabilities::IN_MEMORY;
        caps.key_bytes_max = KEY_BYTES_MAX;
        caps.value_bytes_max = VALUE_BYTES_MAX;
        caps.persistent = true;
        caps.concurrent_batches = true;
        caps.native_savepoints = true;
        caps.constant_range_delete = true;
        caps.batched_reads = true;
        caps.count = CountMode::Estimate;
        caps.effective = [Effective::Buffered, Effective::Buffered, Effective::Durable];
        caps.sharing = Sharing::ReadersOrWriter;
        caps.read_only_open = true;
        caps.bulk = BulkMode::Loader;
        caps.compact = Mode::Online;
        caps.backup = Mode::Online;
        caps.bit_rot = BitRot::DetectedOnRead;
        caps.value_lane = ValueLane::Pinned;
        caps
    };
    const FORMAT: u32 = 1;
    const SORT_BATCH_FROM: usize = SORT_BATCH_FROM;
    const LOADER_FILES: bool = true;

    type Options = RocksOptions;
    type View = RocksView;
    type Txn<'e> = RocksTxn<'e>;
    type Batch<'e> = RocksBatch<'e>;
    type Loader<'e> = RocksLoader<'e>;

    fn open(request: &RawOpen<'_>, options: &RocksOptions) -> Result<(Self, RawOpened)> {
        let Location::Directory(path) = request.location else {
            return Err(Error::unsupported("memory"));
        };
        let resources = Resources::new(request.options.memory_budget_bytes, options);
        let db = open_database(request, path, &resources, options)?;
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        let mut buffered = WriteOptions::default();
        buffered.set_sync(false);
        let engine = Self {
            db: Arc::new(db),
            cache: resources.cache.clone(),
            durable,
            buffered,
            used_bytes: AtomicU64::new(0),
            is_writable: request.is_writable(),
            layouts: layouts(request.tables, &resources),
        };
        let files_bytes = engine.number(LIVE_SST_FILES_SIZE)? + engine.number(BLOB_BYTES)?;
        engine.used_bytes.store(files_bytes, Ordering::Relaxed);
        Ok((engine, RawOpened::default()))
    }

    fn would_cut(directory: &Path) -> bool {
        log::is_damaged(directory)
    }

    fn view(&self) -> Result<RocksView> {
        Ok(RocksView::new(Frozen::snapshot(Arc::clone(&self.db))))
    }

    fn views(&self, count: usize) -> Result<Vec<RocksView>> {
        let frozen = Frozen::snapshot(Arc::clone(&self.db));
        Ok((0..count)
            .map(|_| RocksView::new(Arc::clone(&frozen)))
            .collect())
    }

    fn begin(&self) -> Result<RocksTxn<'_>> {
        let base = RocksView::new(Frozen::present(Arc::clone(&self.db)));
        Ok(RocksTxn::new(self, base))
    }

    fn begin_batch(&self) -> Result<RocksBatch<'_>> {
        Ok(RocksBatch::new(self))
    }

    fn begin_load(&self, table: TableId, folder: Option<&Path>) -> Result<RocksLoader<'_>> {
        RocksLoader::new(self, table, folder)
    }

    fn sync(&self) -> Result<()> {
        let synced = self.db.raw().flush_wal(true);
        synced.map_err(|error| fail(error, self.db.path()))
    }

    fn table_bytes(&self, table: TableId) -> Result<Option<Count>> {
        let files_bytes = self.db.number(table, ESTIMATE_LIVE_DATA_SIZE)?;
        if files_bytes == 0 {
            // Nothing but a memtable: a sample of rows is closer than the memory it holds.
            return Ok(None);
        }
        let blob_bytes = self.db.number(table, BLOB_BYTES)?;
        let memtable_bytes = self.db.number(table, SIZE_ALL_MEM_TABLES)?;
        let bytes = files_bytes + blob_bytes + memtable_bytes;
        Ok(Some(Count::Estimate(bytes)))
    }

    fn space(&self) -> Result<RawSpace> {
        // Blocks, indexes, filters and memtables are all charged to the cache; what the readers of
        // files hold beside it is not.
        let readers_bytes = self.number(ESTIMATE_TABLE_READERS_MEM)?;
        Ok(RawSpace {
            memory_bytes: Some(self.cache.get_usage() as u64 + readers_bytes),
            free_bytes: None,
            limit_bytes: None,
        })
    }

    /// What was written since a view began is what the view can pin at most: RocksDB keeps for it
    /// what later commits replaced.
    fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn compact(&self) -> Result<()> {
        self.db.compact()
    }

    fn copy_to(&self, target: &Path) -> Result<bool> {
        if !self.is_writable {
            // RocksDB makes no checkpoint of a database that is open read-only.
            return Ok(false);
        }
        // RocksDB makes the directory itself, open to all, and another one beside it first. Both
        // inside the target, it stays as private as it was made, and whatever a crash leaves goes
        // with it.
        let made = target.join(COPY_FOLDER);
        Checkpoint::new(self.db.raw())
            .and_then(|checkpoint| checkpoint.create_checkpoint(&made))
            .map_err(|error| fail(error, target))?;
        move_files(&made, target)
            .map_err(|error| Error::from_io(error, target.display().to_string()))?;
        Ok(true)
    }

    fn check(&self) -> Result<Option<RawCheck>> {
        check::run(&self.db, self.is_writable).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use backend_kit::RawEngine;
    use rocksdb::properties::DBSTATS;
    use storage_api::{
        Durability, Engine, KvStore, Location, Schema, TableDef, WriteBatch, WriteTxn, Writer,
    };

    use super::RocksEngine;
    use crate::RocksStore;

    /// Writes to the log and syncs of it, by RocksDB's own count.
    fn log_counts(engine: &RocksEngine) -> Option<(u64, u64)> {
        let stats = engine.db.raw().property_value(DBSTATS).ok()??;
        let line = stats
            .lines()
            .find(|line| line.starts_with("Cumulative WAL"))?;
        let count = |unit: &str| {
            let before = line.split(unit).next()?;
            before
                .split([' ', ','])
                .rfind(|word| !word.is_empty())?
                .parse()
                .ok()
        };
        Some((count(" writes")?, count(" syncs")?))
    }

    #[test]
    fn a_durable_commit_syncs_the_log_and_a_buffered_one_writes_it()
    -> Result<(), Box<dyn std::error::Error>> {
        const ROWS: TableDef = TableDef::new("rows");
        let parent = tempfile::tempdir()?;
        let place = parent.path().join("store");
        let schema = Schema::new([&ROWS])?;
        let location = Location::Directory(&place);
        let (store, _) =
            RocksStore::open(location, &schema, &Default::default(), &Default::default())?;
        let table = store.catalogue().id("rows")?;
        let mut batch = WriteBatch::new();
        batch.put(table, b"k", b"v")?;
        let mut before = log_counts(store.engine()).ok_or("no counts")?;
        for (durability, syncs) in [
            (Durability::Volatile, 0),
            (Durability::Buffered, 0),
            (Durability::Durable, 1),
        ] {
            for in_txn in [false, true] {
                if in_txn {
                    let mut txn = store.begin_write()?;
                    batch.replay(&mut txn)?;
                    txn.commit(durability)?;
                } else {
                    store.apply(&batch, durability)?;
                }
                let after = log_counts(store.engine()).ok_or("no counts")?;
                assert_eq!(after, (before.0 + 1, before.1 + syncs), "{durability:?}");
                before = after;
            }
        }
        store.engine().sync()?;
        Ok(())
    }
}
