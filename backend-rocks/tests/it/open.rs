//! Opening: again, with more tables, read-only, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use backend_rocks::{RocksOptions, RocksStore};
use storage_api::{
    Durability, Engine, ErrorKind, KvStore, Location, OpenOptions, Schema, TableDef, WriteBatch,
    Writer,
};

use crate::support::{DEFAULT, HINTED, PLAIN, Place, id, open_at, rows};

/// Every file below a directory with its bytes.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path.display().to_string(), bytes);
        }
    }
    found
}

fn put(store: &RocksStore, table: &TableDef, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(id(store, table), key, value).unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
}

#[test]
fn memory_is_not_a_place() {
    let schema = Schema::new([&PLAIN]).unwrap();
    let options = (OpenOptions::new(), RocksOptions::default());
    let opened = RocksStore::open(Location::Memory, &schema, &options.0, &options.1);
    let refused = opened.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::Unsupported { .. }),
        "{refused:?}"
    );
}

#[test]
fn read_only_changes_no_byte_and_sees_the_log() {
    let place = Place::new();
    let store = place.open();
    put(&store, &PLAIN, b"file", b"1");
    store.as_compact().unwrap().compact().unwrap();
    put(&store, &PLAIN, b"log", b"2");
    put(&store, &DEFAULT, b"log", b"3");
    drop(store);
    let before = files(&place.path);
    for _ in 0..2 {
        let first = place.try_open(&OpenOptions::read_only()).unwrap();
        let second = place.try_open(&OpenOptions::read_only()).unwrap();
        for store in [first, second] {
            let view = store.begin_read().unwrap();
            assert_eq!(rows(&view, id(&store, &PLAIN)).len(), 2);
            assert_eq!(rows(&view, id(&store, &DEFAULT)).len(), 1);
            assert_eq!(rows(&view, id(&store, &HINTED)).len(), 0);
            let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            let refused = store.apply(&WriteBatch::new(), Durability::Durable);
            assert_eq!(refused.unwrap_err().kind(), &ErrorKind::ReadOnly);
        }
    }
    assert!(files(&place.path) == before, "a file changed, came or went");
}

#[test]
fn more_tables_are_added_and_other_hints_are_taken() {
    let place = Place::new();
    {
        let schema = Schema::new([&PLAIN]).unwrap();
        let location = Location::Directory(&place.path);
        let (store, _) = RocksStore::open(
            location,
            &schema,
            &OpenOptions::new(),
            &RocksOptions::default(),
        )
        .unwrap();
        put(&store, &PLAIN, b"a", b"1");
    }
    let store = place.open();
    put(&store, &HINTED, b"b", b"2");
    put(&store, &DEFAULT, b"c", b"3");
    let plain = id(&store, &PLAIN);
    drop(store);
    // Fewer tables, and the first with every hint.
    let hinted = PLAIN.point_lookups().large_values().prefix_bytes(2);
    let schema = Schema::new([&hinted]).unwrap();
    let location = Location::Directory(&place.path);
    let options = RocksOptions::default();
    let (store, report) =
        RocksStore::open(location, &schema, &OpenOptions::new(), &options).unwrap();
    assert_eq!(report.tables_unnamed.len(), 2);
    assert_eq!(id(&store, &PLAIN), plain);
    let view = store.begin_read().unwrap();
    for table in [&PLAIN, &HINTED, &DEFAULT] {
        assert_eq!(rows(&view, id(&store, table)).len(), 1, "{}", table.name());
    }
    drop((view, store));
    let (store, _) = RocksStore::open_existing(&place.path, &OpenOptions::new()).unwrap();
    assert_eq!(store.catalogue().len(), 3);
}

#[test]
fn a_small_budget_and_few_files_are_enough() {
    let place = Place::new();
    let mut options = OpenOptions::new();
    options.memory_budget_bytes = Some(1);
    let mut engine = RocksOptions::default();
    engine.open_files_max = Some(1);
    engine.background_jobs = Some(1);
    let store = open_at(&place.path, &options, &engine).unwrap();
    let table = id(&store, &PLAIN);
    let value = [7; 1000];
    for chunk in 0..40u32 {
        let mut batch = WriteBatch::new();
        for number in 0..1000u32 {
            let key = (chunk * 1000 + number).to_be_bytes();
            batch.put(table, &key, &value).unwrap();
        }
        store.apply(&batch, Durability::Buffered).unwrap();
    }
    let memory_bytes = store.stats().unwrap().memory_bytes.unwrap();
    // 40 MB were written; memtables are flushed at a quarter of 8 MiB, so twice all is generous.
    assert!(memory_bytes < 16 << 20, "{memory_bytes} bytes of memory");
    let stats = store.table_stats(table).unwrap();
    assert!((20_000..80_000).contains(&stats.rows.get()), "{stats:?}");
    assert!(stats.bytes.is_some_and(|bytes| bytes.get() > 10_000));
    assert_eq!(rows(&store.begin_read().unwrap(), table).len(), 40_000);
}

#[test]
fn a_database_that_someone_else_holds_is_already_open() {
    let place = Place::new();
    drop(place.open());
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let names = rocksdb::DB::list_cf(&options, place.data()).unwrap();
    let held = rocksdb::DB::open_cf(&options, place.data(), &names).unwrap();
    let refused = place.try_open(&OpenOptions::new()).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::AlreadyOpen { .. }),
        "{refused:?}"
    );
    drop(held);
    place.open();
}
