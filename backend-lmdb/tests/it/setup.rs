//! Directories, tables and small helpers of the tests.

use std::path::Path;

use backend_kit::{CommitFailure, RawBatch, RawEngine, RawOpen, RawOpened, RawTable};
use backend_lmdb::{LmdbEngine, LmdbOptions};
use storage_api::{
    AccessHint, Cursor, Durability, Error, KeyRange, Location, OpenOptions, Reader, Result,
    TableHints, TableId, Writer,
};

pub(crate) const ROWS: TableId = TableId::new(1);
pub(crate) const LOG: TableId = TableId::new(3);

/// The internal table, a table of rows and an append-only one, with a gap in the numbers.
pub(crate) fn tables() -> Vec<RawTable> {
    let appended = TableHints {
        access: AccessHint::AppendOnly,
        ..TableHints::default()
    };
    let table = |id, name: &str, hints| RawTable {
        id,
        name: name.to_owned(),
        hints,
    };
    vec![
        table(TableId::INTERNAL, "_internal", TableHints::default()),
        table(ROWS, "rows", TableHints::default()),
        table(LOG, "log.of-blocks", appended),
    ]
}

pub(crate) fn open_with(
    directory: &Path,
    tables: &[RawTable],
    options: &OpenOptions,
    engine: &LmdbOptions,
) -> Result<(LmdbEngine, RawOpened)> {
    let request = RawOpen {
        location: Location::Directory(directory),
        tables,
        fresh: !directory.join("data.mdb").exists(),
        options,
    };
    LmdbEngine::open(&request, engine)
}

pub(crate) fn open(directory: &Path) -> LmdbEngine {
    open_with(
        directory,
        &tables(),
        &OpenOptions::new(),
        &LmdbOptions::default(),
    )
    .unwrap()
    .0
}

pub(crate) fn open_sized(directory: &Path, initial: u64, max: u64) -> LmdbEngine {
    let options = LmdbOptions {
        map_bytes_initial: Some(initial),
        map_bytes_max: Some(max),
        ..LmdbOptions::default()
    };
    open_with(directory, &tables(), &OpenOptions::new(), &options)
        .unwrap()
        .0
}

pub(crate) fn open_read_only(directory: &Path) -> Result<LmdbEngine> {
    let options = OpenOptions::read_only();
    open_with(directory, &tables(), &options, &LmdbOptions::default()).map(|opened| opened.0)
}

/// Commits these rows.
pub(crate) fn put_all(engine: &LmdbEngine, table: TableId, rows: &[(&[u8], &[u8])]) {
    let mut txn = engine.begin().unwrap();
    for (key, value) in rows {
        txn.put(table, key, value).unwrap();
    }
    txn.commit(Durability::Durable).unwrap();
}

/// Every row of a range, forward.
pub(crate) fn rows(
    reader: &impl Reader,
    table: TableId,
    range: KeyRange,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rows = Vec::new();
    let mut cursor = reader.cursor(table, range)?;
    while let Some(row) = cursor.next()? {
        rows.push((row.key.to_vec(), row.value.to_vec()));
    }
    Ok(rows)
}

pub(crate) fn aborted(outcome: Result<(), CommitFailure>) -> Error {
    match outcome {
        Err(CommitFailure::Aborted(error)) => error,
        other => panic!("expected a clean abort, got {other:?}"),
    }
}

/// A small generator; the seed is the test's own and printed when it fails.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed:#x}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
