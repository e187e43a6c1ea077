//! Views and the write transaction: stability, several views of one commit, what a failed operation
//! leaves.

use std::sync::atomic::{AtomicBool, Ordering};

use backend_kit::{RawBatch, RawEngine};
use storage_api::{Count, Durability, ErrorKind, KeyRange, Reader, TableId, Writer};

use crate::setup::{LOG, ROWS, open, put_all, rows};

#[test]
fn a_view_outlives_the_engine_and_never_changes() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    put_all(&engine, ROWS, &[(b"a", b"1"), (b"b", b"")]);
    let view = engine.view().unwrap();
    put_all(&engine, ROWS, &[(b"a", b"2"), (b"c", b"3")]);
    let mut txn = engine.begin().unwrap();
    txn.delete_range(ROWS, &KeyRange::all()).unwrap();
    txn.commit(Durability::Buffered).unwrap();
    engine.compact().unwrap_err();
    drop(engine);
    let seen = std::thread::spawn(move || {
        assert_eq!(view.get(ROWS, b"b").unwrap(), Some(&b""[..]));
        assert_eq!(view.get(ROWS, b"c").unwrap(), None);
        rows(&view, ROWS, KeyRange::all()).unwrap()
    });
    let expected = vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())];
    assert_eq!(seen.join().unwrap(), expected);
    // The view was the last holder, so the environment is closed and can be opened again.
    assert_eq!(
        open(directory.path()).view().unwrap().count(ROWS).unwrap(),
        Count::Exact(0)
    );
}

#[test]
fn several_views_see_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    put_all(&engine, ROWS, &[(b"a", b"1")]);
    let views = engine.views(50).unwrap();
    put_all(&engine, ROWS, &[(b"a", b"2")]);
    assert_eq!(views.len(), 50);
    for view in &views {
        assert_eq!(view.get(ROWS, b"a").unwrap(), Some(&b"1"[..]));
    }
    assert_eq!(engine.views(0).unwrap().len(), 0);
    // Beside a writer that never rests.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0_u32.. {
                put_all(&engine, ROWS, &[(b"a", &i.to_be_bytes())]);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..200 {
            let views = engine.views(20).unwrap();
            let first = views[0].get(ROWS, b"a").unwrap();
            assert!(
                views
                    .iter()
                    .all(|view| view.get(ROWS, b"a").unwrap() == first)
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_transaction_reads_its_writes_and_dropping_it_aborts() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    put_all(&engine, ROWS, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
    let mut txn = engine.begin().unwrap();
    txn.put(ROWS, b"b2", b"new").unwrap();
    txn.delete(ROWS, b"c").unwrap();
    txn.delete(ROWS, b"never").unwrap();
    txn.delete_range(ROWS, &KeyRange::half_open(b"a", b"b"))
        .unwrap();
    txn.put(ROWS, b"a", b"again").unwrap();
    txn.put(LOG, b"other", b"table").unwrap();
    assert_eq!(txn.get(ROWS, b"a").unwrap(), Some(&b"again"[..]));
    assert_eq!(txn.get(ROWS, b"c").unwrap(), None);
    assert_eq!(txn.count(ROWS).unwrap(), Count::Exact(3));
    assert_eq!(engine.view().unwrap().count(ROWS).unwrap(), Count::Exact(3));
    drop(txn);
    let view = engine.view().unwrap();
    assert_eq!(view.get(ROWS, b"a").unwrap(), Some(&b"1"[..]));
    assert_eq!(view.get(LOG, b"other").unwrap(), None);
}

#[test]
fn an_unknown_table_is_refused_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let view = engine.view().unwrap();
    let mut txn = engine.begin().unwrap();
    // One number in the gap between the tables, one past them.
    for table in [TableId::new(2), TableId::new(9)] {
        let unknown = ErrorKind::UnknownTable {
            table: table.to_string(),
        };
        assert_eq!(view.get(table, b"k").unwrap_err().kind(), &unknown);
        assert_eq!(view.count(table).unwrap_err().kind(), &unknown);
        assert_eq!(
            view.cursor(table, KeyRange::all()).unwrap_err().kind(),
            &unknown
        );
        assert_eq!(txn.put(table, b"k", b"v").unwrap_err().kind(), &unknown);
        assert_eq!(
            txn.delete_range(table, &KeyRange::all())
                .unwrap_err()
                .kind(),
            &unknown
        );
        assert_eq!(engine.table_bytes(table).unwrap_err().kind(), &unknown);
    }
}

#[test]
fn clearing_a_table_in_one_transaction_with_puts_keeps_the_puts() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let big = vec![1; 50_000];
    put_all(&engine, ROWS, &[(b"a", b"1"), (b"b", &big), (b"c", b"3")]);
    let mut txn = engine.begin().unwrap();
    txn.put(ROWS, b"d", &big).unwrap();
    txn.delete_range(ROWS, &KeyRange::all()).unwrap();
    assert_eq!(txn.count(ROWS).unwrap(), Count::Exact(0));
    txn.put(ROWS, b"e", b"5").unwrap();
    txn.delete_range(LOG, &KeyRange::all()).unwrap();
    txn.commit(Durability::Durable).unwrap();
    let view = engine.view().unwrap();
    let found = rows(&view, ROWS, KeyRange::all()).unwrap();
    assert_eq!(found, vec![(b"e".to_vec(), b"5".to_vec())]);
}

#[test]
fn space_is_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let empty = engine.used_bytes();
    let view = engine.view().unwrap();
    let value = vec![3; 100_000];
    for i in 0..20_u8 {
        put_all(&engine, ROWS, &[(&[i], &value)]);
    }
    let grown = engine.used_bytes() - empty;
    assert!(grown >= 2_000_000, "{grown}");
    let table = engine.table_bytes(ROWS).unwrap().unwrap().get();
    assert!(
        (2_000_000..grown + 8_192).contains(&table),
        "{table} of {grown}"
    );
    assert!(engine.space().unwrap().free_bytes.unwrap() < 500_000);
    drop(view);
    let mut txn = engine.begin().unwrap();
    txn.delete_range(ROWS, &KeyRange::all()).unwrap();
    txn.commit(Durability::Durable).unwrap();
    assert!(engine.space().unwrap().free_bytes.unwrap() >= 2_000_000);
    assert_eq!(engine.table_bytes(ROWS).unwrap(), Some(Count::Exact(0)));
    engine.sync().unwrap();
}
