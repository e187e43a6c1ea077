//! Memory is bounded and reported, views pin their version and nothing more.

use backend_mem::MemStore;
use storage_api::{
    Bulk, BulkOptions, Durability, Engine, ErrorKind, KvStore, Location, OpenOptions, Reader,
    Schema, TableDef, TableId, WriteBatch, WriteTxn, Writer,
};

const ROWS: TableDef = TableDef::new("rows");

fn open(memory_budget_bytes: Option<u64>) -> (MemStore, TableId) {
    let mut options = OpenOptions::new();
    options.memory_budget_bytes = memory_budget_bytes;
    let schema = Schema::new([&ROWS]).unwrap();
    let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
    let (store, _) = opened.unwrap();
    let rows = store.catalogue().id("rows").unwrap();
    (store, rows)
}

fn fill(store: &MemStore, rows: TableId, keys: std::ops::Range<u32>) -> storage_api::Result<()> {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.put(rows, &key.to_be_bytes(), &[7; 1000])?;
    }
    store.apply(&batch, Durability::Volatile).map(|_| ())
}

/// Past the limit a write is refused, what was committed stays, and there is room again after a
/// delete.
#[test]
fn the_memory_limit_refuses_and_recovers() {
    let limit = 1 << 20;
    let (store, rows) = open(Some(limit));
    fill(&store, rows, 0..500).unwrap();
    let refused = fill(&store, rows, 500..2000).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Full { limit_bytes: limit });
    assert_eq!(store.begin_read().unwrap().count(rows).unwrap().get(), 500);
    let stats = store.stats().unwrap();
    assert_eq!(stats.limit_bytes, Some(limit));
    assert!(stats.memory_bytes.unwrap() <= limit);

    let mut txn = store.begin_write().unwrap();
    txn.delete_range(rows, &storage_api::KeyRange::all())
        .unwrap();
    txn.commit(Durability::Volatile).unwrap();
    fill(&store, rows, 500..900).unwrap();
    assert_eq!(store.begin_read().unwrap().count(rows).unwrap().get(), 400);
}

/// A load large enough to be built in several parts is refused past the limit as any other write,
/// and leaves nothing.
#[test]
fn a_load_in_parts_is_refused_past_the_limit() {
    let limit = 8 << 20;
    let (store, rows) = open(Some(limit));
    fill(&store, rows, 0..1).unwrap();
    let before = store.stats().unwrap().memory_bytes.unwrap();
    for (table_is_empty, count) in [(false, 10_000_u32), (true, 10_000), (true, 6_000)] {
        if table_is_empty {
            let mut txn = store.begin_write().unwrap();
            txn.delete_range(rows, &storage_api::KeyRange::all())
                .unwrap();
            txn.commit(Durability::Volatile).unwrap();
        }
        let mut load = store.begin_bulk(rows, &BulkOptions::default()).unwrap();
        for number in 0..count {
            let key = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
            load.put(&key, &[7; 1000]).unwrap();
        }
        let found = |store: &MemStore| store.begin_read().unwrap().count(rows).unwrap().get();
        if count == 10_000 {
            let refused = load.finish().unwrap_err();
            assert_eq!(*refused.kind(), ErrorKind::Full { limit_bytes: limit });
            assert_eq!(found(&store), u64::from(!table_is_empty));
            assert!(store.stats().unwrap().memory_bytes.unwrap() <= before);
        } else {
            load.finish().unwrap();
            assert_eq!(found(&store), u64::from(count));
        }
    }
}

/// What is reported follows the content up and down, and covers at least the payload.
#[test]
fn memory_is_reported() {
    let (store, rows) = open(None);
    let empty = store.stats().unwrap().memory_bytes.unwrap();
    fill(&store, rows, 0..5000).unwrap();
    let full = store.stats().unwrap().memory_bytes.unwrap();
    assert!(full >= empty + 5000 * 1004, "{full} for five million bytes");
    let held = store.begin_read().unwrap();
    let mut txn = store.begin_write().unwrap();
    txn.delete_range(rows, &storage_api::KeyRange::all())
        .unwrap();
    txn.commit(Durability::Volatile).unwrap();
    assert!(store.stats().unwrap().memory_bytes.unwrap() < full / 100);
    assert_eq!(held.count(rows).unwrap().get(), 5000);
}

/// Overwriting under a held view keeps the old version alive; the store sees it, says how much, and
/// refuses writes past the limit until the view drops.
#[test]
fn what_old_views_pin_is_bounded() {
    let mut options = OpenOptions::new();
    options.reader_limits.pinned_bytes_max = Some(1 << 20);
    let schema = Schema::new([&ROWS]).unwrap();
    let (store, _) =
        MemStore::open(Location::Memory, &schema, &options, &Default::default()).unwrap();
    let rows = store.catalogue().id("rows").unwrap();
    fill(&store, rows, 0..100).unwrap();
    let held = store.begin_read().unwrap();
    let refused = (0..1000)
        .find_map(|_| fill(&store, rows, 0..100).err())
        .unwrap();
    assert!(
        matches!(refused.kind(), ErrorKind::PinnedTooMuch { .. }),
        "{refused}"
    );
    assert!(store.stats().unwrap().oldest_reader.unwrap().pinned_bytes > 1 << 20);
    assert_eq!(held.count(rows).unwrap().get(), 100);
    drop(held);
    fill(&store, rows, 0..100).unwrap();
}
