//! The check of the files: every file that is listed is there in its size, every block of every
//! table is read from the device with its checksum, and every record of the logs checks.
//!
//! Invariants: read-only; what the running database has in its caches is not trusted, so a second,
//! read-only one with a cache of its own reads the same files, which are kept from being deleted
//! meanwhile. Damage is a finding and never ends the walk of the other tables. Cost: one scan.

use std::fs;

use backend_kit::RawCheck;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, LiveFile, Options, ReadOptions,
};
use storage_api::{Finding, Result};

use crate::error::fail;
use crate::log::{self, Logs};
use crate::tables::Db;

/// The cache of the second database, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// Files the second database keeps open.
const OPEN_FILES: i32 = 64;

/// Checks the files of an open database.
pub(crate) fn run(db: &Db, is_writable: bool) -> Result<RawCheck> {
    let explain = |error| fail(error, db.path());
    if is_writable {
        db.raw().disable_file_deletions().map_err(explain)?;
    }
    let which = if is_writable { Logs::Last } else { Logs::All };
    let checked = check_files(db).map(|mut check| {
        log::check(db.path(), which, &mut check);
        check
    });
    if is_writable {
        db.raw().enable_file_deletions().map_err(explain)?;
    }
    checked
}

fn check_files(db: &Db) -> Result<RawCheck> {
    let files = db.raw().live_files();
    let files = files.map_err(|error| fail(error, db.path()))?;
    let mut check = RawCheck::default();
    for file in &files {
        check_size(db, file, &mut check);
    }
    let mut rows = 0u64;
    match open_beside(db) {
        Ok((beside, names)) => {
            for name in &names {
                walk(&beside, name, &mut rows, &mut check);
            }
        }
        Err(error) => check.findings.push(Finding {
            place: db.path().display().to_string(),
            what: format!("a second, read-only database does not open: {error}"),
        }),
    }
    check.summary = format!(
        "RocksDB: {} table files present in their size; {rows} rows read with block checksums; \
         records of the logs",
        files.len()
    );
    Ok(check)
}

fn check_size(db: &Db, file: &LiveFile, check: &mut RawCheck) {
    let path = db.path().join(file.name.trim_start_matches('/'));
    let what = match fs::metadata(&path) {
        Ok(found) if found.len() == file.size as u64 => return,
        Ok(found) => format!("{} bytes long, {} expected", found.len(), file.size),
        Err(error) => format!("cannot be read: {error}"),
    };
    check.findings.push(Finding {
        place: path.display().to_string(),
        what,
    });
}

fn open_beside(db: &Db) -> Result<(DB, Vec<String>), rocksdb::Error> {
    let mut database = Options::default();
    database.set_max_open_files(OPEN_FILES);
    let names = DB::list_cf(&database, db.path())?;
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let tables = names.iter().map(|name| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        let mut layout = Options::default();
        layout.set_block_based_table_factory(&blocks);
        ColumnFamilyDescriptor::new(name, layout)
    });
    let beside = DB::open_cf_descriptors_read_only(&database, db.path(), tables, false)?;
    Ok((beside, names))
}

fn walk(beside: &DB, name: &str, rows: &mut u64, check: &mut RawCheck) {
    let Some(table) = beside.cf_handle(name) else {
        return;
    };
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    let mut walker = beside.raw_iterator_cf_opt(table, options);
    walker.seek_to_first();
    while walker.valid() {
        *rows += 1;
        walker.next();
    }
    if let Err(error) = walker.status() {
        check.findings.push(Finding {
            place: format!("table {name}"),
            what: format!("reading stopped: {error}"),
        });
    }
}
