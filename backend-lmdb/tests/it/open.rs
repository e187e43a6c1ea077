//! Opening: again in one process, twice, read-only, with more tables, after dead processes;
//! compaction and copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use backend_kit::{RawBatch, RawEngine};
use backend_lmdb::{LmdbEngine, LmdbOptions};
use storage_api::{Count, Durability, ErrorKind, KeyRange, OpenOptions, Reader, TableId, Writer};

use crate::setup::{LOG, ROWS, open, open_read_only, open_with, put_all, rows, tables};

/// Name, bytes and time of last change of every file.
pub(crate) fn contents(directory: &Path) -> Vec<(String, Vec<u8>, SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let modified = entry.metadata().unwrap().modified().unwrap();
            (name, fs::read(entry.path()).unwrap(), modified)
        })
        .collect();
    files.sort();
    files
}

fn fill(engine: &LmdbEngine, rows: u32) {
    let mut txn = engine.begin().unwrap();
    for i in 0..rows {
        txn.put(ROWS, &i.to_be_bytes(), &[i as u8; 500]).unwrap();
    }
    txn.commit(Durability::Durable).unwrap();
}

#[test]
fn a_store_opens_again_in_one_process() {
    let directory = tempfile::tempdir().unwrap();
    for i in 0..20_u8 {
        let engine = open(directory.path());
        assert_eq!(
            engine.view().unwrap().count(ROWS).unwrap(),
            Count::Exact(u64::from(i))
        );
        put_all(&engine, ROWS, &[(&[i], &[i])]);
    }
}

#[test]
fn a_second_handle_is_refused_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    for options in [OpenOptions::new(), OpenOptions::read_only()] {
        let again = open_with(
            directory.path(),
            &tables(),
            &options,
            &LmdbOptions::default(),
        );
        let error = again.unwrap_err();
        let pid = Some(std::process::id());
        assert!(
            matches!(error.kind(), ErrorKind::AlreadyOpen { holder_pid, .. } if *holder_pid == pid),
            "{error:?}"
        );
    }
    put_all(&engine, ROWS, &[(b"k", b"v")]);
    drop(engine);
    assert_eq!(
        open(directory.path())
            .view()
            .unwrap()
            .get(ROWS, b"k")
            .unwrap(),
        Some(&b"v"[..])
    );
}

#[test]
fn readers_of_one_process_share() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()), 100);
    let few = &tables()[..1];
    let options = OpenOptions::read_only();
    let (first, _) = open_with(directory.path(), few, &options, &LmdbOptions::default()).unwrap();
    let second = open_read_only(&directory.path().join(".")).unwrap();
    let view = second.view().unwrap();
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(100));
    let writing = OpenOptions::new();
    let refused = open_with(
        directory.path(),
        &tables(),
        &writing,
        &LmdbOptions::default(),
    );
    assert!(matches!(
        refused.unwrap_err().kind(),
        ErrorKind::AlreadyOpen { .. }
    ));
    drop((first, second));
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(100));
    drop(view);
    fill(&open(directory.path()), 200);
    // Opening and closing at the same time never meets a half-closed environment.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let engine = open_read_only(directory.path()).unwrap();
                    let view = engine.view().unwrap();
                    drop(engine);
                    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(200));
                }
            });
        }
    });
}

#[test]
fn files_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    engine.compact().unwrap();
    for name in ["data.mdb", "lock.mdb"] {
        let mode = fs::metadata(directory.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn opening_with_more_tables_makes_them_and_with_the_same_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let few = &tables()[..2];
    let (engine, _) = open_with(
        directory.path(),
        few,
        &OpenOptions::new(),
        &LmdbOptions::default(),
    )
    .unwrap();
    put_all(&engine, ROWS, &[(b"k", b"v")]);
    drop(engine);
    // Read-only, a table that is not there is empty.
    let engine = open_read_only(directory.path()).unwrap();
    let view = engine.view().unwrap();
    assert_eq!(view.count(LOG).unwrap(), Count::Exact(0));
    assert_eq!(view.get(LOG, b"k").unwrap(), None);
    assert_eq!(rows(&view, LOG, KeyRange::all()).unwrap(), vec![]);
    assert_eq!(view.get(ROWS, b"k").unwrap(), Some(&b"v"[..]));
    drop((view, engine));
    let engine = open(directory.path());
    put_all(&engine, LOG, &[(b"k", b"w")]);
    drop(engine);
    let before = fs::read(directory.path().join("data.mdb")).unwrap();
    let engine = open(directory.path());
    assert_eq!(
        engine.view().unwrap().get(LOG, b"k").unwrap(),
        Some(&b"w"[..])
    );
    drop(engine);
    assert!(fs::read(directory.path().join("data.mdb")).unwrap() == before);
}

#[test]
fn read_only_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()), 5_000);
    let before = contents(directory.path());
    let engine = open_read_only(directory.path()).unwrap();
    let views = engine.views(2_000).unwrap();
    assert_eq!(engine.capabilities().readers_max, None);
    let view = &views[1_999];
    assert_eq!(rows(view, ROWS, KeyRange::all()).unwrap().len(), 5_000);
    assert_eq!(engine.begin().unwrap_err().kind(), &ErrorKind::ReadOnly);
    assert_eq!(
        engine.begin_batch().unwrap_err().kind(),
        &ErrorKind::ReadOnly
    );
    assert_eq!(engine.compact().unwrap_err().kind(), &ErrorKind::ReadOnly);
    engine.sync().unwrap();
    assert!(engine.space().unwrap().free_bytes.is_some());
    let copy = tempfile::tempdir().unwrap();
    assert!(engine.copy_to(copy.path()).unwrap());
    drop((views, engine));
    assert!(contents(directory.path()) == before);
    assert_eq!(
        open(copy.path()).view().unwrap().count(ROWS).unwrap(),
        Count::Exact(5_000)
    );
}

#[test]
fn a_copy_beside_writes_is_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    fill(&engine, 20_000);
    let copy = tempfile::tempdir().unwrap();
    let mut txn = engine.begin().unwrap();
    txn.put(TableId::INTERNAL, b"k", b"v").unwrap();
    txn.commit(Durability::Durable).unwrap();
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| engine.copy_to(copy.path()).unwrap());
        for i in 0..50_u32 {
            let mut txn = engine.begin().unwrap();
            for j in 0..100 {
                txn.delete(ROWS, &(i * 100 + j).to_be_bytes()).unwrap();
            }
            txn.commit(Durability::Durable).unwrap();
        }
        assert!(copying.join().unwrap());
    });
    let mode = fs::metadata(copy.path().join("data.mdb"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let copied = open(copy.path());
    let view = copied.view().unwrap();
    let found = rows(&view, ROWS, KeyRange::all()).unwrap();
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(found.len() as u64));
    assert_eq!(found.len() % 100, 0);
    assert_eq!(view.get(TableId::INTERNAL, b"k").unwrap(), Some(&b"v"[..]));
    // A second copy into the same place is refused and leaves the first alone.
    assert!(engine.copy_to(copy.path()).is_err());
    drop((view, copied));
    assert_eq!(
        open(copy.path()).view().unwrap().count(ROWS).unwrap(),
        Count::Exact(found.len() as u64)
    );
}

/// LMDB's plain copy takes the write mutex, which this thread holds: it would wait for itself.
#[test]
fn a_copy_beside_an_open_transaction_of_the_same_thread_does_not_hang() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    fill(&engine, 2_000);
    let copy = tempfile::tempdir().unwrap();
    let mut txn = engine.begin().unwrap();
    txn.put(LOG, b"unfinished", b"v").unwrap();
    txn.delete_range(ROWS, &KeyRange::all()).unwrap();
    assert!(engine.copy_to(copy.path()).unwrap());
    txn.commit(Durability::Durable).unwrap();
    let copied = open(copy.path());
    let view = copied.view().unwrap();
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(2_000));
    assert_eq!(view.get(LOG, b"unfinished").unwrap(), None);
    let view = engine.view().unwrap();
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(0));
    // Without a transaction, the copy is LMDB's plain one again.
    let plain = tempfile::tempdir().unwrap();
    assert!(engine.copy_to(plain.path()).unwrap());
    let len = |place: &Path| fs::metadata(place.join("data.mdb")).unwrap().len();
    assert!(len(plain.path()) > len(copy.path()));
}

#[test]
fn compaction_shrinks_the_file_and_keeps_the_rows() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    fill(&engine, 20_000);
    put_all(&engine, LOG, &[(b"big", &vec![9; 300_000])]);
    let mut txn = engine.begin().unwrap();
    txn.delete_range(ROWS, &KeyRange::from_key(&2_000_u32.to_be_bytes()))
        .unwrap();
    txn.commit(Durability::Durable).unwrap();
    let expected = rows(&engine.view().unwrap(), ROWS, KeyRange::all()).unwrap();
    let view = engine.view().unwrap();
    assert!(matches!(
        engine.compact().unwrap_err().kind(),
        ErrorKind::Busy { readers: 1, .. }
    ));
    drop(view);
    let len = || {
        fs::metadata(directory.path().join("data.mdb"))
            .unwrap()
            .len()
    };
    let before = len();
    engine.compact().unwrap();
    assert!(len() < before / 3, "{} of {before}", len());
    assert!(engine.space().unwrap().free_bytes.unwrap() < 100_000);
    let check = |engine: &LmdbEngine| {
        let view = engine.view().unwrap();
        assert!(rows(&view, ROWS, KeyRange::all()).unwrap() == expected);
        assert_eq!(view.get(LOG, b"big").unwrap(), Some(&vec![9; 300_000][..]));
    };
    check(&engine);
    put_all(&engine, ROWS, &[(&0_u32.to_be_bytes(), &[0; 500])]);
    check(&engine);
    engine.compact().unwrap();
    drop(engine);
    check(&open(directory.path()));
}

#[test]
fn an_interrupted_compaction_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()), 10);
    let leftover = directory.path().join("data.mdb.compacting");
    fs::write(&leftover, b"half a copy").unwrap();
    let engine = open_read_only(directory.path()).unwrap();
    assert!(leftover.exists());
    drop(engine);
    let engine = open(directory.path());
    assert!(!leftover.exists());
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(10)
    );
    // A compaction that cannot write its copy leaves the store as it was, open.
    fs::create_dir(&leftover).unwrap();
    engine.compact().unwrap_err();
    fs::remove_dir(&leftover).unwrap();
    put_all(&engine, LOG, &[(b"k", b"v")]);
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(10)
    );
}
