//! Views: what they see, how long they last, what they cost the writer.

use backend_kit::{RawBatch, RawEngine};
use storage_api::{Count, Durability, ErrorKind, KeyRange, Reader, TableId, Writer};

use crate::support::{A, B, FAR, Opening, all, change, get, in_memory, put};

#[test]
fn a_view_never_changes_and_outlives_its_engine() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    put(&engine, A, b"k", b"1");
    put(&engine, FAR, b"k", b"far");
    let old = engine.view().unwrap();
    for n in 0..300_u32 {
        change(&engine, Durability::Durable, |txn| {
            txn.put(A, b"k", &n.to_be_bytes())?;
            txn.put(A, &n.to_be_bytes(), &[7; 500])?;
            txn.delete_range(FAR, &KeyRange::all())
        });
    }
    assert_eq!(
        get(&engine.view().unwrap(), A, b"k"),
        Some(299_u32.to_be_bytes().to_vec())
    );
    drop(engine);
    // The table is opened only now, after the engine is gone.
    assert_eq!(get(&old, A, b"k"), Some(b"1".to_vec()));
    assert_eq!(get(&old, FAR, b"k"), Some(b"far".to_vec()));
    assert_eq!(
        (all(&old, A).len(), old.count(A).unwrap()),
        (1, Count::Exact(1))
    );
    // While the view lives the file is open, and then it is not.
    let busy = Opening::again().open(directory.path()).unwrap_err();
    assert!(
        matches!(busy.kind(), ErrorKind::AlreadyOpen { .. }),
        "{busy}"
    );
    drop(old);
    let (engine, opened) = Opening::again().open(directory.path()).unwrap();
    assert_eq!(opened.recovered, None);
    assert_eq!(engine.view().unwrap().count(A).unwrap(), Count::Exact(301));
}

#[test]
fn views_begun_together_are_of_one_commit() {
    let engine = in_memory();
    std::thread::scope(|scope| {
        let engine = &engine;
        let writer = scope.spawn(move || {
            for n in 0..2_000_u32 {
                change(engine, Durability::Volatile, |txn| {
                    txn.put(A, b"n", &n.to_be_bytes())?;
                    txn.put(B, b"n", &n.to_be_bytes())
                });
            }
        });
        while !writer.is_finished() {
            let views = engine.views(4).unwrap();
            let seen = get(&views[0], A, b"n");
            for view in views {
                // Views move between threads.
                let (a, b) = std::thread::scope(|inner| {
                    inner
                        .spawn(move || (get(&view, A, b"n"), get(&view, B, b"n")))
                        .join()
                        .unwrap()
                });
                assert_eq!((&a, &b), (&seen, &seen));
            }
        }
    });
}

#[test]
fn unknown_tables_are_refused() {
    let engine = in_memory();
    let mut txn = engine.begin().unwrap();
    let view = engine.view().unwrap();
    for table in [TableId::new(3), TableId::new(u16::MAX)] {
        let errors = [
            view.get(table, b"k").err(),
            view.cursor(table, KeyRange::all()).err(),
            view.count(table).err(),
            txn.get(table, b"k").err(),
            txn.put(table, b"k", b"v").err(),
            txn.delete_range(table, &KeyRange::all()).err(),
        ];
        for error in errors {
            assert!(matches!(
                error.unwrap().kind(),
                ErrorKind::UnknownTable { .. }
            ));
        }
    }
}

#[test]
fn a_view_pins_what_it_sees_and_lets_go() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    let rewrite = |byte: u8| {
        change(&engine, Durability::Durable, |txn| {
            (0..500_u32).try_for_each(|n| txn.put(A, &n.to_be_bytes(), &[byte; 1000]))
        });
    };
    (0..6).for_each(rewrite);
    let settled = engine.used_bytes();
    assert!(settled > 1_000_000, "{settled}");
    (0..6).for_each(rewrite);
    assert_eq!(engine.used_bytes(), settled, "pages are used again");
    let view = engine.view().unwrap();
    (0..6).for_each(rewrite);
    let pinned = engine.used_bytes() - settled;
    assert!(pinned >= 400_000, "{pinned}");
    drop(view);
    let after = engine.used_bytes();
    (0..12).for_each(rewrite);
    let grown = engine.used_bytes() - after;
    assert!(grown < 2_000_000, "{grown} of 6,000,000 bytes written");
}

#[test]
fn long_keys_and_values_come_back_whole() {
    let engine = in_memory();
    let key = vec![b'k'; RedbCaps::KEY];
    let value: Vec<u8> = (0..5_000_000_u32).map(|n| n as u8).collect();
    let mut batch = engine.begin_batch().unwrap();
    batch.put(A, &key, &value).unwrap();
    batch.put(A, b"empty", b"").unwrap();
    batch.commit(Durability::Durable).unwrap();
    let view = engine.view().unwrap();
    assert_eq!(get(&view, A, &key), Some(value));
    assert_eq!(get(&view, A, b"empty"), Some(Vec::new()));
    assert_eq!(get(&view, A, b"absent"), None);
    assert!(view.contains(A, b"empty").unwrap());
}

struct RedbCaps;

impl RedbCaps {
    const KEY: usize = backend_redb::RedbEngine::CAPABILITIES.key_bytes_max;
}
