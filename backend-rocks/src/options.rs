//! Options that only this engine knows, and what is worked out from them and from the machine.
//!
//! Invariants: one memory budget holds blocks, indexes, filters and memtables together; no more
//! files are kept open than half of what the process may open; no option weakens a commit, since
//! the log is never switched off and writes are never unordered or pipelined.

use std::thread;

use rocksdb::{Cache, DBRecoveryMode, Options, WriteBufferManager};
use rustix::process::{Resource, getrlimit};

/// Memory for blocks and memtables together when the caller names none, in bytes.
pub const MEMORY_BUDGET_BYTES_DEFAULT: u64 = 512 << 20;

/// The smallest memory budget, in bytes; a smaller one is raised to it.
pub const MEMORY_BUDGET_BYTES_MIN: u64 = 8 << 20;

/// The share of the budget that memtables may take before they are flushed: one in this many.
const MEMTABLE_SHARE: usize = 4;

/// The largest memtable of one table, in bytes.
///
/// Rows in a memtable are found without a filter and slower than in a file, so larger ones cost
/// reads. Measured: data left in a large memtable reads slower than from table files.
const MEMTABLE_BYTES_MAX: usize = 64 << 20;

/// Files kept open at most, whatever the process may open.
const OPEN_FILES_MAX: u64 = 16_384;

/// Background threads at most when the caller names no number.
const BACKGROUND_JOBS_MAX: usize = 8;

/// What to do on opening when the write-ahead log is damaged before its end. A log that RocksDB
/// closed and synced before it went on with the next one, and that is gone or shorter now, is
/// `Corruption` either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DamagedLog {
    /// Keep the commits before the damage and drop it and what follows. A power cut leaves such a
    /// log behind `Buffered` commits, so this is what keeps their promise.
    #[default]
    KeepPrefix,
    /// Refuse to open, with `Corruption`. For stores that commit `Durable` only: there damage
    /// before the end is never the trace of a power cut.
    Refuse,
}

/// What only this engine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RocksOptions {
    /// Files kept open at most; `None` takes half of the process's limit, up to 16,384.
    pub open_files_max: Option<u32>,
    /// Threads that flush and compact; `None` takes one for each processor, 2..=8.
    pub background_jobs: Option<u32>,
    /// A write-ahead log that is damaged before its end.
    pub damaged_log: DamagedLog,
}

/// The resources of one open database.
pub(crate) struct Resources {
    pub(crate) cache: Cache,
    pub(crate) memtables: WriteBufferManager,
    pub(crate) memtable_bytes: usize,
    budget_bytes: usize,
    open_files: i32,
    background_jobs: i32,
    recovery: DBRecoveryMode,
}

impl Resources {
    /// Works the resources out.
    pub(crate) fn new(budget_bytes: Option<u64>, options: &RocksOptions) -> Self {
        let budget_bytes = budget_bytes
            .unwrap_or(MEMORY_BUDGET_BYTES_DEFAULT)
            .max(MEMORY_BUDGET_BYTES_MIN);
        let budget_bytes = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
        // The cache without locks; its entries differ too much in size to name one. Measured
        // against the LRU cache, filters of memtables on in both: gets 10 % faster.
        let cache = Cache::new_hyper_clock_cache(budget_bytes, 0);
        let memtables_bytes = budget_bytes / MEMTABLE_SHARE;
        // Charging memtables to the cache is what makes it one budget.
        let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(
            memtables_bytes,
            false,
            cache.clone(),
        );
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let jobs = options
            .background_jobs
            .map_or(cores.clamp(2, BACKGROUND_JOBS_MAX), |jobs| {
                jobs.max(2) as usize
            });
        Self {
            cache,
            memtables,
            memtable_bytes: (memtables_bytes / 2).min(MEMTABLE_BYTES_MAX),
            budget_bytes,
            open_files: open_files(options.open_files_max),
            background_jobs: i32::try_from(jobs).unwrap_or(i32::MAX),
            recovery: match options.damaged_log {
                DamagedLog::KeepPrefix => DBRecoveryMode::PointInTime,
                DamagedLog::Refuse => DBRecoveryMode::TolerateCorruptedTailRecords,
            },
        }
    }

    /// The options of the database, without those of tables.
    pub(crate) fn database(&self) -> Options {
        let mut database = Options::default();
        database.set_max_open_files(self.open_files);
        database.set_max_background_jobs(self.background_jobs);
        database.set_write_buffer_manager(&self.memtables);
        database.set_wal_recovery_mode(self.recovery);
        // Without the list, a log that is gone is no error: what only it held is lost, and what
        // later logs hold is kept.
        database.set_track_and_verify_wals_in_manifest(true);
        // A table that is hardly written would otherwise hold the log of all others.
        let log_bytes = (self.budget_bytes as u64 / 2).clamp(64 << 20, 1 << 30);
        database.set_max_total_wal_size(log_bytes);
        database.set_bytes_per_sync(1 << 20);
        // Files that a view has let go are deleted by a background thread, not by the view's.
        database.set_avoid_unnecessary_blocking_io(true);
        database.set_keep_log_file_num(4);
        database.set_max_log_file_size(8 << 20);
        database.set_stats_dump_period_sec(0);
        database.set_stats_persist_period_sec(0);
        database
    }
}

fn open_files(asked: Option<u32>) -> i32 {
    let files = match asked {
        Some(files) => u64::from(files),
        None => {
            let limit = getrlimit(Resource::Nofile).current;
            limit.map_or(OPEN_FILES_MAX, |limit| (limit / 2).min(OPEN_FILES_MAX))
        }
    };
    // RocksDB takes twenty of them for itself and needs some left.
    i32::try_from(files.max(64)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{MEMORY_BUDGET_BYTES_DEFAULT, Resources, RocksOptions, open_files};

    #[test]
    fn files_follow_the_limit_of_the_process() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = open_files(None) as u64;
        assert!(limit.is_none_or(|limit| files <= (limit / 2).max(64)));
        assert!((64..=16_384).contains(&files));
        assert_eq!(open_files(Some(3)), 64);
        assert_eq!(open_files(Some(500)), 500);
    }

    #[test]
    fn memtables_are_inside_the_budget() {
        let resources = Resources::new(None, &RocksOptions::default());
        let budget_bytes = MEMORY_BUDGET_BYTES_DEFAULT as usize;
        assert_eq!(resources.memtables.get_buffer_size(), budget_bytes / 4);
        assert_eq!(resources.memtable_bytes, 64 << 20);
        let small = Resources::new(Some(1), &RocksOptions::default());
        assert_eq!(small.budget_bytes, 8 << 20);
        assert_eq!(small.memtable_bytes, 1 << 20);
    }
}
