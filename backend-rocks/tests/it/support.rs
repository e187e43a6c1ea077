//! What the tests share: a place with tables, a random source, and reading as a map.
//!
//! Invariant: everything is reproducible from the seed that a test names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backend_rocks::{RocksOptions, RocksStore};
use storage_api::{
    Engine, KeyLimit, KeyRange, KvStore, Location, OpenOptions, Reader, ReaderExt, Result, Schema,
    TableDef, TableId,
};

/// A table without hints.
pub(crate) const PLAIN: TableDef = TableDef::new("plain");

/// A table with every hint, and with keys as long as the engine takes them.
pub(crate) const HINTED: TableDef = TableDef::new("hinted")
    .point_lookups()
    .large_values()
    .prefix_bytes(4)
    .with_key_limit(KeyLimit::Engine);

/// A table whose name is also RocksDB's own for the one that is always there.
pub(crate) const DEFAULT: TableDef = TableDef::new("default").append_only();

/// The rows of a table.
pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A directory for one store.
pub(crate) struct Place {
    _parent: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("store");
        Self {
            _parent: parent,
            path,
        }
    }

    pub(crate) fn try_open(&self, options: &OpenOptions) -> Result<RocksStore> {
        open_at(&self.path, options, &RocksOptions::default())
    }

    pub(crate) fn open(&self) -> RocksStore {
        self.try_open(&OpenOptions::new()).unwrap()
    }

    /// Where RocksDB's own files are.
    pub(crate) fn data(&self) -> PathBuf {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.path).unwrap() {
            let path = entry.unwrap().path();
            if path.join("CURRENT").exists() {
                folders.push(path);
            }
        }
        assert_eq!(folders.len(), 1, "one folder of RocksDB in {:?}", self.path);
        folders.remove(0)
    }
}

pub(crate) fn open_at(
    path: &Path,
    options: &OpenOptions,
    engine: &RocksOptions,
) -> Result<RocksStore> {
    let schema = Schema::new([&PLAIN, &HINTED, &DEFAULT])?;
    let location = Location::Directory(path);
    RocksStore::open(location, &schema, options, engine).map(|(store, _)| store)
}

pub(crate) fn id(store: &RocksStore, table: &TableDef) -> TableId {
    store.catalogue().id(table.name()).unwrap()
}

/// All rows of a table, read forwards.
pub(crate) fn rows(reader: &impl Reader, table: TableId) -> Rows {
    reader
        .rows(table, KeyRange::all())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Splitmix64: enough for tests, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A key of 1 to 3 bytes out of few, so that keys meet.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 5] = [0x00, 0x01, 0x7f, 0xfe, 0xff];
        let len = 1 + self.below(3);
        (0..len).map(|_| BYTES[self.below(5) as usize]).collect()
    }

    pub(crate) fn range(&mut self) -> KeyRange {
        let (a, b) = (self.key(), self.key());
        match self.below(6) {
            0 => KeyRange::all(),
            1 => KeyRange::from_key(&a),
            2 => KeyRange::prefix(&a),
            _ => KeyRange::half_open((&a).min(&b), (&a).max(&b)),
        }
    }
}
