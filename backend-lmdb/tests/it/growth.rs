//! The map: growth beside readers, its limit, and going on after it was reached.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backend_kit::{CommitFailure, RawBatch, RawEngine};
use backend_lmdb::LmdbEngine;
use storage_api::{Count, Durability, ErrorKind, KeyRange, Reader, Result, TableId, Writer};

use crate::setup::{ROWS, aborted, open_sized, put_all};

const MIB: u64 = 1 << 20;
const COUNTER: &[u8] = b"counter";

/// Adds rows in one commit together with their number.
fn add(engine: &LmdbEngine, from: u32, rows: u32) -> Result<()> {
    let mut txn = engine.begin()?;
    for i in from..from + rows {
        txn.put(ROWS, &i.to_be_bytes(), &[i as u8; 1_000])?;
    }
    txn.put(TableId::INTERNAL, COUNTER, &(from + rows).to_be_bytes())?;
    txn.commit(Durability::Durable)
        .map_err(|failure| match failure {
            CommitFailure::Aborted(error) => error,
            CommitFailure::Unknown(error) => panic!("not a clean abort: {error:?}"),
        })
}

fn counter(reader: &impl Reader) -> u64 {
    let value = reader.get(TableId::INTERNAL, COUNTER).unwrap();
    value.map_or(0, |bytes| {
        u64::from(u32::from_be_bytes((*bytes).try_into().unwrap()))
    })
}

fn is_full(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Full { .. })
}

#[test]
fn the_map_grows_beside_readers() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_sized(directory.path(), MIB, 64 * MIB);
    let (done, views) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let view = engine.view().unwrap();
                    let rows = counter(&view);
                    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(rows));
                    if let Some(last) = rows.checked_sub(1) {
                        let key = (last as u32).to_be_bytes();
                        assert_eq!(
                            view.get(ROWS, &key).unwrap(),
                            Some(&[last as u8; 1_000][..])
                        );
                    }
                    views.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut at = 0;
        let mut full = 0;
        while at < 20_000 {
            match add(&engine, at, 400) {
                Ok(()) => at += 400,
                Err(error) => {
                    assert!(is_full(error.kind()), "{error:?}");
                    full += 1;
                    assert!(
                        full < 1_000,
                        "the map never grew past {} bytes",
                        engine.used_bytes()
                    );
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(engine.used_bytes() > 20 * MIB);
    assert!(views.load(Ordering::Relaxed) > 0);
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(20_000)
    );
}

#[test]
fn a_live_view_holds_growth_back_and_its_end_lets_it_go() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_sized(directory.path(), MIB, 16 * MIB);
    add(&engine, 0, 100).unwrap();
    let view = engine.view().unwrap();
    for _ in 0..2 {
        let error = add(&engine, 100, 3_000).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Full { limit_bytes: MIB });
        assert_eq!(view.count(ROWS).unwrap(), Count::Exact(100));
    }
    // What fits is still taken beside the view.
    add(&engine, 100, 10).unwrap();
    assert_eq!(counter(&view), 100);
    drop(view);
    let mut attempts = 0;
    while let Err(error) = add(&engine, 110, 3_000) {
        attempts += 1;
        assert!(is_full(error.kind()) && attempts <= 4, "{error:?}");
    }
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(3_110)
    );
}

#[test]
fn a_full_store_aborts_cleanly_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_sized(directory.path(), 2 * MIB, 2 * MIB);
    let mut at = 0;
    let error = loop {
        match add(&engine, at, 50) {
            Ok(()) => at += 50,
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.kind(),
        &ErrorKind::Full {
            limit_bytes: 2 * MIB
        }
    );
    assert!(at >= 500, "{at}");
    assert_eq!(engine.space().unwrap().limit_bytes, Some(2 * MIB));
    let view = engine.view().unwrap();
    assert_eq!(view.count(ROWS).unwrap(), Count::Exact(u64::from(at)));
    drop(view);
    // After a failed operation only an abort is left.
    let mut txn = engine.begin().unwrap();
    let failed = (0..).find_map(|i: u32| {
        txn.put(ROWS, &(1 << 20 | i).to_be_bytes(), &[0; 1_000])
            .err()
    });
    assert!(is_full(failed.unwrap().kind()));
    assert_eq!(
        txn.put(ROWS, b"k", b"v").unwrap_err().kind(),
        &ErrorKind::TxnFailed
    );
    assert_eq!(
        txn.get(ROWS, b"k").unwrap_err().kind(),
        &ErrorKind::TxnFailed
    );
    let error = aborted(txn.commit(Durability::Durable));
    assert_eq!(error.kind(), &ErrorKind::TxnFailed);
    // Deleting makes room.
    let mut txn = engine.begin().unwrap();
    txn.delete_range(ROWS, &KeyRange::half_open(&[0; 4], &(at / 2).to_be_bytes()))
        .unwrap();
    txn.commit(Durability::Durable).unwrap();
    for i in 0..5 {
        add(&engine, at + i * 20, 20).unwrap();
    }
    let kept = u64::from(at - at / 2) + 100;
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(kept)
    );
    drop(engine);
    // So does a larger map.
    let engine = open_sized(directory.path(), 8 * MIB, 8 * MIB);
    add(&engine, at + 100, 2_000).unwrap();
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(kept + 2_000)
    );
}

#[test]
fn a_smaller_maximum_than_the_store_is_raised_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_sized(directory.path(), 8 * MIB, 8 * MIB);
    add(&engine, 0, 3_000).unwrap();
    let used = engine.used_bytes();
    drop(engine);
    let engine = open_sized(directory.path(), MIB, MIB);
    assert_eq!(engine.space().unwrap().limit_bytes, Some(used));
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(3_000)
    );
}

#[test]
fn the_default_map_is_address_space_and_not_disk() {
    let directory = tempfile::tempdir().unwrap();
    let engine = crate::setup::open(directory.path());
    put_all(&engine, ROWS, &[(b"k", &[1; 100_000])]);
    assert!(engine.space().unwrap().limit_bytes.unwrap() >= 1 << 30);
    let data = std::fs::metadata(directory.path().join("data.mdb")).unwrap();
    assert!((100_000..MIB).contains(&data.len()), "{}", data.len());
}
