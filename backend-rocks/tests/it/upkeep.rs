//! Upkeep: compaction and backup beside live views, syncing, and what is known without a scan.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use backend_rocks::{RocksOptions, RocksStore};
use storage_api::{
    Durability, Effective, Engine, KeyRange, KvStore, OpenOptions, Reader, ReaderExt, TableId,
    WriteBatch, Writer,
};

use crate::support::{HINTED, PLAIN, Place, id, open_at, rows};

fn fill(store: &RocksStore, table: TableId, from: u32, to: u32) {
    let mut batch = WriteBatch::new();
    for number in from..to {
        batch.put(table, &number.to_be_bytes(), &[5; 300]).unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
}

#[test]
fn a_backup_is_a_store_of_the_last_commit() {
    let place = Place::new();
    let store = place.open();
    let (plain, hinted) = (id(&store, &PLAIN), id(&store, &HINTED));
    fill(&store, plain, 0, 500);
    fill(&store, hinted, 0, 50);
    let view = store.begin_read().unwrap();
    let copy = Place::new();
    store.as_backup().unwrap().backup(&copy.path).unwrap();
    fill(&store, plain, 500, 600);
    assert_eq!(rows(&view, plain).len(), 500);
    let opened = copy.open();
    assert_eq!(rows(&opened.begin_read().unwrap(), plain).len(), 500);
    assert_eq!(rows(&opened.begin_read().unwrap(), hinted).len(), 50);
    assert_eq!(opened.stats().unwrap().commit_seq.get(), 2);
    fill(&opened, plain, 0, 10);
    // The files it shares with the store are never written to.
    assert_eq!(rows(&store.begin_read().unwrap(), plain).len(), 600);
    drop((view, store));
    let read_only = place.try_open(&OpenOptions::read_only()).unwrap();
    let second = Place::new();
    read_only.as_backup().unwrap().backup(&second.path).unwrap();
    assert_eq!(rows(&second.open().begin_read().unwrap(), plain).len(), 600);
}

#[test]
fn a_backup_is_as_private_as_a_store_and_holds_files_only() {
    let place = Place::new();
    let store = place.open();
    fill(&store, id(&store, &PLAIN), 0, 500);
    let copy = Place::new();
    store.as_backup().unwrap().backup(&copy.path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.data()), 0o700);
    assert_eq!(mode(&copy.data()), 0o700);
    assert_eq!(mode(&copy.path), 0o700);
    for entry in fs::read_dir(copy.data()).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.file_type().unwrap().is_file(), "{entry:?}");
    }
}

#[test]
fn compaction_runs_beside_views_and_gives_space_back() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    fill(&store, table, 0, 20_000);
    store.as_compact().unwrap().compact().unwrap();
    let full = store.table_stats(table).unwrap().bytes.unwrap();
    let view = store.begin_read().unwrap();
    let mut batch = WriteBatch::new();
    batch.delete_range(table, &KeyRange::all()).unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
    store.as_compact().unwrap().compact().unwrap();
    assert_eq!(rows(&view, table).len(), 20_000);
    drop(view);
    store.as_compact().unwrap().compact().unwrap();
    let left = store.table_stats(table).unwrap().bytes.unwrap();
    assert!(left.get() * 10 < full.get(), "{left:?} of {full:?} left");
    assert_eq!(rows(&store.begin_read().unwrap(), table).len(), 0);
}

#[test]
fn sync_and_durability_say_what_they_do() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    let mut batch = WriteBatch::new();
    batch.put(table, b"k", b"v").unwrap();
    for (asked, done) in [
        (Durability::Volatile, Effective::Buffered),
        (Durability::Buffered, Effective::Buffered),
        (Durability::Durable, Effective::Durable),
    ] {
        assert_eq!(store.apply(&batch, asked).unwrap().effective, done);
    }
    store.sync().unwrap();
}

#[test]
fn pinned_bytes_are_what_was_written_since() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    fill(&store, table, 0, 100);
    let view = store.begin_read().unwrap();
    let pinned = |store: &RocksStore| store.stats().unwrap().oldest_reader.unwrap().pinned_bytes;
    assert_eq!(pinned(&store), 0);
    fill(&store, table, 0, 100);
    let bytes = pinned(&store);
    assert!((30_000..60_000).contains(&bytes), "{bytes} bytes");
    drop(view);
}

#[test]
fn a_store_closes_with_its_last_view_and_opens_again() {
    let place = Place::new();
    for round in 0..5 {
        let store = open_at(&place.path, &OpenOptions::new(), &RocksOptions::default()).unwrap();
        let table = id(&store, &PLAIN);
        fill(&store, table, round * 2_000, (round + 1) * 2_000);
        let view = store.begin_read().unwrap();
        drop(store);
        assert_eq!(rows(&view, table).len() as u32, (round + 1) * 2_000);
        let mut cursor = view.cursor(table, KeyRange::all()).unwrap();
        let _row = storage_api::Cursor::next(&mut cursor).unwrap();
    }
    let (store, report) = RocksStore::open_existing(&place.path, &OpenOptions::new()).unwrap();
    assert_eq!(report.recovered, None);
    assert_eq!(store.stats().unwrap().readers, 0);
}

#[test]
fn large_values_in_files_of_their_own_are_rows_like_all_others() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let value =
        |number: u32| vec![number as u8; if number.is_multiple_of(3) { 10 } else { 30_000 }];
    let mut batch = WriteBatch::new();
    for number in 0..300u32 {
        batch
            .put(table, &number.to_be_bytes(), &value(number))
            .unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    store.as_compact().unwrap().compact().unwrap();
    let bytes = store.table_stats(table).unwrap().bytes.unwrap().get();
    // The values compress to little; what counts is that their files count.
    assert!(bytes > 200 * 100, "{bytes} bytes");
    let blobs = |place: &Place| {
        let entries = std::fs::read_dir(place.data()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".blob")).count()
    };
    assert!(blobs(&place) > 0);
    let old = store.begin_read().unwrap();
    batch.clear();
    let middle = KeyRange::half_open(&100u32.to_be_bytes(), &200u32.to_be_bytes());
    batch.delete_range(table, &middle).unwrap();
    for number in 0..50u32 {
        batch
            .put(table, &number.to_be_bytes(), &value(number + 1))
            .unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    store.as_compact().unwrap().compact().unwrap();
    let check = |reader: &dyn Fn(u32) -> Option<Vec<u8>>| {
        for number in 0..300 {
            let expected = match number {
                0..50 => Some(value(number + 1)),
                100..200 => None,
                _ => Some(value(number)),
            };
            assert!(reader(number) == expected, "row {number}");
        }
    };
    let copy = Place::new();
    store.as_backup().unwrap().backup(&copy.path).unwrap();
    let then = rows(&old, table);
    assert!((0..300u32).all(|number| then[&number.to_be_bytes()[..]] == value(number)));
    // The view keeps the directory as the store does.
    drop((old, store));
    for place in [&place, &copy] {
        let store = place.try_open(&OpenOptions::read_only()).unwrap();
        let view = store.begin_read().unwrap();
        check(&|number| view.get_copied(table, &number.to_be_bytes()).unwrap());
        let all = rows(&view, table);
        check(&|number| all.get(&number.to_be_bytes()[..]).cloned());
    }
}
