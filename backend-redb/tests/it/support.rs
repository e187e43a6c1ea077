//! What the tests share: opening an engine at the raw level, a seeded generator, reading a table
//! whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use backend_kit::{RawBatch, RawEngine, RawOpen, RawOpened, RawTable};
use backend_redb::{
    BackendFactory, BackendSource, RedbEngine, RedbOptions, RedbStore, StorageBackend,
};
use storage_api::{
    Cursor, Durability, Engine, KeyRange, Location, OpenOptions, Reader, Result, Schema,
    TableHints, TableId, Writer,
};

pub(crate) const A: TableId = TableId::new(1);
pub(crate) const B: TableId = TableId::new(2);
/// Numbers are not dense.
pub(crate) const FAR: TableId = TableId::new(40);

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn tables() -> Vec<RawTable> {
    [
        (TableId::INTERNAL, "_internal"),
        (A, "a"),
        (B, "b.b-2"),
        (FAR, "far"),
    ]
    .map(|(id, name)| RawTable {
        id,
        name: name.to_owned(),
        hints: TableHints::default(),
    })
    .to_vec()
}

/// How to open, with what most tests want.
pub(crate) struct Opening {
    pub(crate) fresh: bool,
    pub(crate) tables: Vec<RawTable>,
    pub(crate) options: OpenOptions,
    pub(crate) redb: RedbOptions,
}

impl Opening {
    pub(crate) fn fresh() -> Self {
        Self {
            fresh: true,
            tables: tables(),
            options: OpenOptions::new(),
            redb: RedbOptions::default(),
        }
    }

    pub(crate) fn again() -> Self {
        Self {
            fresh: false,
            ..Self::fresh()
        }
    }

    pub(crate) fn read_only() -> Self {
        Self {
            options: OpenOptions::read_only(),
            ..Self::again()
        }
    }

    pub(crate) fn on(
        mut self,
        backend: impl Fn() -> Box<dyn StorageBackend> + Send + Sync + 'static,
    ) -> Self {
        self.redb.backend = BackendSource::Custom(BackendFactory::new(move |_| Ok(backend())));
        self
    }

    pub(crate) fn at(&self, location: Location<'_>) -> Result<(RedbEngine, RawOpened)> {
        let request = RawOpen {
            location,
            tables: &self.tables,
            fresh: self.fresh,
            options: &self.options,
        };
        RedbEngine::open(&request, &self.redb)
    }

    pub(crate) fn open(&self, directory: &Path) -> Result<(RedbEngine, RawOpened)> {
        self.at(Location::Directory(directory))
    }
}

pub(crate) fn in_memory() -> RedbEngine {
    Opening::fresh().at(Location::Memory).unwrap().0
}

/// Commits the change in the transaction lane.
pub(crate) fn change(
    engine: &RedbEngine,
    durability: Durability,
    change: impl FnOnce(&mut <RedbEngine as RawEngine>::Txn<'_>) -> Result<()>,
) {
    let mut txn = engine.begin().unwrap();
    change(&mut txn).unwrap();
    txn.commit(durability).unwrap();
}

pub(crate) fn put(engine: &RedbEngine, table: TableId, key: &[u8], value: &[u8]) {
    change(engine, Durability::Durable, |txn| {
        txn.put(table, key, value)
    });
}

/// The rows of a range, forward; backward they must be the same.
pub(crate) fn rows(reader: &impl Reader, table: TableId, range: &KeyRange) -> Rows {
    let mut forward = Vec::new();
    let mut cursor = reader.cursor(table, range.clone()).unwrap();
    while let Some(row) = cursor.next().unwrap() {
        forward.push((row.key.to_vec(), row.value.to_vec()));
    }
    let mut backward = Vec::new();
    let mut row = cursor.last().unwrap();
    while let Some(entry) = row {
        backward.push((entry.key.to_vec(), entry.value.to_vec()));
        row = cursor.prev().unwrap();
    }
    backward.reverse();
    assert_eq!(forward, backward);
    let map: Rows = forward.iter().cloned().collect();
    assert!(map.iter().map(|(k, v)| (k.clone(), v.clone())).eq(forward));
    map
}

pub(crate) fn all(reader: &impl Reader, table: TableId) -> Rows {
    rows(reader, table, &KeyRange::all())
}

pub(crate) fn get(reader: &impl Reader, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
    reader.get(table, key).unwrap().map(|value| value.to_vec())
}

/// A seeded generator; prints its seed, so that a failure can be repeated.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed:#x}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// A key of 1..=3 bytes out of four letters, so that keys meet, nest and touch bounds often.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        (0..=self.below(3))
            .map(|_| [0, b'a', b'b', 0xff][self.below(4) as usize])
            .collect()
    }

    pub(crate) fn range(&mut self) -> KeyRange {
        let (x, y) = (self.key(), self.key());
        match self.below(5) {
            0 => KeyRange::all(),
            1 => KeyRange::from_key(&x),
            2 => KeyRange::prefix(&x),
            3 => KeyRange::half_open(&[], &x),
            _ => KeyRange::half_open((&x).min(&y), (&x).max(&y)),
        }
    }
}

/// The engine in memory, which the conformance suite sees as a store that is not persistent.
#[derive(Debug, Default)]
pub(crate) struct MemoryHarness;

impl conformance::Harness for MemoryHarness {
    type Store = RedbStore;

    fn open(
        &self,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<conformance::Opened<RedbStore>> {
        let redb = RedbOptions::default();
        RedbStore::open(Location::Memory, schema, options, &redb).map(conformance::Opened::from)
    }
}

/// A vector that outlives the database on it, as a disk does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Disk {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let bytes = self.0.lock().unwrap();
        let part = usize::try_from(offset)
            .ok()
            .and_then(|at| bytes.get(at..at.checked_add(out.len())?));
        out.copy_from_slice(part.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}
