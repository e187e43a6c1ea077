//! Damaged files: every one is found, named, and sorted into its kind of error.

use std::fs;
use std::path::PathBuf;

use backend_rocks::{DamagedLog, RocksOptions, RocksStore};
use storage_api::{
    Durability, Error, ErrorKind, KeyRange, KvStore, OpenOptions, Reader, ReaderExt, WriteBatch,
    Writer,
};

use crate::support::{HINTED, PLAIN, Place, Random, id, open_at, rows};

const ROWS: u32 = 3_000;

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// A store of some files, closed.
fn filled() -> Place {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    let mut random = Random(5);
    let mut batch = WriteBatch::new();
    for number in 0..ROWS {
        let value: Vec<u8> = (0..16).flat_map(|_| random.next().to_be_bytes()).collect();
        batch.put(table, &key(number), &value).unwrap();
    }
    store.apply(&batch, Durability::Durable).unwrap();
    store.as_compact().unwrap().compact().unwrap();
    drop(store);
    place
}

fn with_name(place: &Place, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.data()).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part))
        .collect();
    paths.sort();
    paths
}

/// The largest of the files, which holds the rows.
fn largest(place: &Place, part: &str) -> PathBuf {
    let paths = with_name(place, part);
    let len = |path: &PathBuf| fs::metadata(path).unwrap().len();
    paths.into_iter().max_by_key(len).unwrap()
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn refused(place: &Place) -> Error {
    place.try_open(&OpenOptions::new()).unwrap_err()
}

fn is_damage_in(error: &Error, part: &str) -> bool {
    matches!(error.kind(), ErrorKind::Corruption { place, .. } if place.contains(part))
}

#[test]
fn a_flipped_bit_in_a_table_is_found_by_get_scan_and_check() {
    let place = filled();
    let file = largest(&place, ".sst");
    flip(&file, fs::metadata(&file).unwrap().len() as usize / 2);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let store = place.open();
    let table = id(&store, &PLAIN);
    let view = store.begin_read().unwrap();
    let mut lost = 0;
    for number in 0..ROWS {
        match view.get(table, &key(number)) {
            Ok(found) => assert!(found.is_some()),
            Err(error) => {
                assert!(is_damage_in(&error, &name), "{error:?}");
                assert!(std::error::Error::source(&error).is_some());
                lost += 1;
            }
        }
    }
    assert!(lost > 0 && lost < ROWS, "{lost} rows of {ROWS} lost");
    let scanned: Vec<_> = view.rows(table, KeyRange::all()).unwrap().collect();
    let end = scanned.last().unwrap().as_ref().unwrap_err();
    assert!(is_damage_in(end, &name), "{end:?}");
    drop(view);
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    let by_engine = report.findings.iter().filter(|f| f.place == "table plain");
    assert!(
        by_engine
            .clone()
            .any(|finding| finding.what.contains(&name))
    );
    // Writes go on: damage in a file is no reason to refuse a commit.
    let mut batch = WriteBatch::new();
    batch.put(table, b"more", b"1").unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
}

#[test]
fn the_check_does_not_trust_the_cache() {
    let place = filled();
    let store = place.open();
    let table = id(&store, &PLAIN);
    assert_eq!(
        rows(&store.begin_read().unwrap(), table).len(),
        ROWS as usize
    );
    // Everything is in the cache now, so plain reads do not see what happens to the file.
    let file = largest(&place, ".sst");
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.engine_check.unwrap().contains("files"));
    flip(&file, fs::metadata(&file).unwrap().len() as usize / 2);
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    assert!(!report.findings.is_empty());
    // A byte behind the end changes no row and is found all the same.
    let mut bytes = fs::read(&file).unwrap();
    bytes.push(0);
    fs::write(&file, bytes).unwrap();
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let by_size = |finding: &storage_api::Finding| finding.place.ends_with(name);
    assert!(report.findings.iter().any(by_size), "{report:?}");
}

#[test]
fn a_table_file_that_is_missing_or_short_is_damage() {
    let place = filled();
    let file = largest(&place, ".sst");
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&place).is_corruption(), "{:?}", refused(&place));
    fs::remove_file(&file).unwrap();
    let error = refused(&place);
    assert!(
        error.is_corruption() && format!("{error}").contains(&name),
        "{error:?}"
    );
    fs::write(&file, &bytes).unwrap();
    assert_eq!(count(&place.open()), ROWS as usize);
}

#[test]
fn a_damaged_or_missing_list_of_files_is_damage_and_never_a_new_database() {
    let place = filled();
    let manifest = largest(&place, "MANIFEST");
    let bytes = fs::read(&manifest).unwrap();
    flip(&manifest, bytes.len() / 2);
    assert!(
        is_damage_in(&refused(&place), "MANIFEST"),
        "{:?}",
        refused(&place)
    );
    fs::remove_file(&manifest).unwrap();
    assert!(refused(&place).is_corruption(), "{:?}", refused(&place));
    fs::write(&manifest, &bytes).unwrap();

    let current = place.data().join("CURRENT");
    let bytes = fs::read(&current).unwrap();
    fs::write(&current, b"nonsense").unwrap();
    assert!(refused(&place).is_corruption(), "{:?}", refused(&place));
    let data = place.data();
    fs::remove_file(&current).unwrap();
    let error = refused(&place);
    assert!(is_damage_in(&error, "CURRENT"), "{error:?}");
    fs::write(data.join("CURRENT"), bytes).unwrap();
    assert_eq!(count(&place.open()), ROWS as usize);
}

/// A record of the list of files whose kind says, by one flipped bit, that it is of a log that was
/// used again, kept RocksDB reading that record for ever: opening never ended. The list was checked
/// only after RocksDB had read it once.
#[test]
fn no_bit_of_a_head_in_the_list_of_files_keeps_an_opening_from_ending() {
    const HEAD_BYTES: usize = 7;
    let place = filled();
    let manifest = largest(&place, "MANIFEST");
    let bytes = fs::read(&manifest).unwrap();
    let (mut at, mut flips) = (0, 0);
    while at < bytes.len() {
        for (byte, bit) in (at..at + HEAD_BYTES).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
        {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1 << bit;
            fs::write(&manifest, damaged).unwrap();
            let error = refused(&place);
            assert!(
                is_damage_in(&error, "MANIFEST"),
                "byte {byte}, bit {bit}: {error:?}"
            );
            flips += 1;
        }
        at += HEAD_BYTES + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
    }
    assert!(flips > 10 * 8 * HEAD_BYTES, "{flips}");
    fs::write(&manifest, &bytes).unwrap();
    assert_eq!(count(&place.open()), ROWS as usize);
}

/// The store was never closed: without a seal, damage in its log may be the trace of a power cut.
fn unseal(place: &Place) {
    fs::remove_file(place.path.join("CHAINSTORE.seal")).unwrap();
}

/// A store that was closed holds what it held then, or is refused; and what a refused one holds is
/// not touched, so that it can be restored.
#[test]
fn a_damaged_log_of_a_closed_store_is_refused_and_kept() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    for number in 0..200 {
        let mut batch = WriteBatch::new();
        batch.put(table, &key(number), &[9; 200]).unwrap();
        store.apply(&batch, Durability::Buffered).unwrap();
    }
    drop(store);
    let log = largest(&place, ".log");
    let whole = fs::read(&log).unwrap();
    for damaged in [2_000, whole.len() / 2, whole.len() - 10] {
        flip(&log, damaged);
        let before = fs::read(&log).unwrap();
        for options in [OpenOptions::new(), OpenOptions::read_only()] {
            let error = place.try_open(&options).unwrap_err();
            assert!(error.is_corruption(), "{error:?}");
        }
        assert!(fs::read(&log).unwrap() == before);
        fs::write(&log, &whole).unwrap();
    }
    assert_eq!(count(&place.open()), 200);
}

#[test]
fn a_damaged_log_keeps_what_comes_before_or_is_refused_as_asked() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    for number in 0..200 {
        let mut batch = WriteBatch::new();
        batch.put(table, &key(number), &[9; 200]).unwrap();
        store.apply(&batch, Durability::Durable).unwrap();
    }
    drop(store);
    let log = largest(&place, ".log");
    let whole = fs::read(&log).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&log, written / 2);
    unseal(&place);
    let mut options = RocksOptions::default();
    options.damaged_log = DamagedLog::Refuse;
    let error = open_at(&place.path, &OpenOptions::new(), &options).unwrap_err();
    assert!(error.is_corruption(), "{error:?}");
    let store = place.open();
    let left = rows(&store.begin_read().unwrap(), table);
    assert!(
        !left.is_empty() && left.len() < 200,
        "{} rows left",
        left.len()
    );
    // A prefix of the commits, without a gap.
    assert!(
        left.keys()
            .enumerate()
            .all(|(at, found)| found[..] == key(at as u32))
    );
    let seq = store.stats().unwrap().commit_seq.get();
    assert_eq!(seq, left.len() as u64);
}

#[test]
fn a_log_that_is_cut_off_loses_its_last_commit_only() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    for number in 0..20 {
        let mut batch = WriteBatch::new();
        batch.put(table, &key(number), &[9; 200]).unwrap();
        store.apply(&batch, Durability::Buffered).unwrap();
    }
    drop(store);
    let log = largest(&place, ".log");
    let whole = fs::read(&log).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&log, &whole[..written - 20]).unwrap();
    unseal(&place);
    let mut options = RocksOptions::default();
    options.damaged_log = DamagedLog::Refuse;
    let store = open_at(&place.path, &OpenOptions::new(), &options).unwrap();
    assert_eq!(rows(&store.begin_read().unwrap(), table).len(), 19);
}

/// A store of two rows in [`PLAIN`], the first of which is in a log that RocksDB has closed: it
/// goes on with a new one when the memtable of any table is full.
fn of_two_logs(place: &Place) -> RocksStore {
    let mut options = OpenOptions::new();
    options.memory_budget_bytes = Some(8 << 20);
    let store = place.try_open(&options).unwrap();
    let (plain, hinted) = (id(&store, &PLAIN), id(&store, &HINTED));
    let put = |table, number: u32, value: &[u8]| {
        let mut batch = WriteBatch::new();
        batch.put(table, &key(number), value).unwrap();
        store.apply(&batch, Durability::Durable).unwrap();
    };
    put(plain, 0, b"early");
    let full = (0..1_000).any(|number| {
        put(hinted, number, &[number as u8; 30_000]);
        with_name(place, ".log").len() > 1 && !with_name(place, ".sst").is_empty()
    });
    assert!(full, "no memtable was ever flushed");
    put(plain, 1, b"late");
    store
}

/// Opened without the old log, the store would lose early commits, keep late ones and say nothing.
#[test]
fn a_log_that_is_gone_is_damage_and_not_a_gap_in_the_commits() {
    let place = Place::new();
    drop(of_two_logs(&place));
    let first = with_name(&place, ".log").remove(0);
    let kept = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    for options in [OpenOptions::new(), OpenOptions::read_only()] {
        let error = place.try_open(&options).unwrap_err();
        assert!(error.is_corruption(), "{error:?}");
    }
    fs::write(&first, &kept[..kept.len() / 2]).unwrap();
    assert!(refused(&place).is_corruption());
    fs::write(&first, kept).unwrap();
    assert_eq!(count(&place.open()), 2);
}

/// What was not flushed yet is in the log alone, and a store that lost it would open without.
#[test]
fn a_store_whose_only_log_is_gone_is_damaged() {
    let place = Place::new();
    let store = place.open();
    let mut batch = WriteBatch::new();
    batch.put(id(&store, &PLAIN), b"k", b"v").unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
    drop(store);
    let logs = with_name(&place, ".log");
    assert_eq!(logs.len(), 1, "{logs:?}");
    let kept = fs::read(&logs[0]).unwrap();
    fs::remove_file(&logs[0]).unwrap();
    for options in [OpenOptions::new(), OpenOptions::read_only()] {
        let error = place.try_open(&options).unwrap_err();
        assert!(error.is_corruption(), "{error:?}");
        assert_eq!(with_name(&place, ".log"), Vec::<PathBuf>::new());
    }
    fs::write(&logs[0], kept).unwrap();
    assert_eq!(count(&place.open()), 1);
    // Nothing was committed to these, and each has its log.
    let empty = Place::new();
    let copy = Place::new();
    drop(empty.open());
    empty
        .open()
        .as_backup()
        .unwrap()
        .backup(&copy.path)
        .unwrap();
    for place in [empty, copy] {
        assert_eq!(count(&place.open()), 0);
        assert_eq!(count(&place.open()), 0);
    }
}

#[test]
fn a_backup_of_several_logs_is_whole() {
    let place = Place::new();
    let store = of_two_logs(&place);
    let copy = Place::new();
    store.as_backup().unwrap().backup(&copy.path).unwrap();
    assert_eq!(count(&copy.open()), 2);
    assert_eq!(count(&copy.open()), 2);
}

fn count(store: &RocksStore) -> usize {
    rows(&store.begin_read().unwrap(), id(store, &PLAIN)).len()
}

#[test]
fn a_flipped_bit_in_a_large_value_is_found() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let mut random = Random(3);
    let value: Vec<u8> = (0..4_000)
        .flat_map(|_| random.next().to_be_bytes())
        .collect();
    let mut batch = WriteBatch::new();
    batch.put(table, b"body", &value).unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
    store.as_compact().unwrap().compact().unwrap();
    drop(store);
    let file = largest(&place, ".blob");
    flip(&file, fs::metadata(&file).unwrap().len() as usize / 2);
    let store = place.open();
    let view = store.begin_read().unwrap();
    let error = view.get(table, b"body").unwrap_err();
    assert!(error.is_corruption(), "{error:?}");
    drop(view);
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    let by_engine = |finding: &storage_api::Finding| finding.place == "table hinted";
    assert!(
        report.findings.iter().filter(|f| by_engine(f)).count() >= 2,
        "{report:?}"
    );
}
