//! The write transaction and the batch: both lanes against a map, durability, what an abort leaves.

use backend_kit::{RawBatch, RawEngine};
use backend_redb::CommitStrategy;
use storage_api::{Count, Durability, Effective, KeyRange, Location, Reader, Result, Writer};

use crate::support::{A, B, Dice, Disk, Opening, Rows, all, change, get, in_memory};

/// One random operation, on a writer and on the map.
fn operate(writer: &mut impl Writer, rows: &mut Rows, dice: &mut Dice) -> Result<()> {
    match dice.below(12) {
        0 => {
            let range = dice.range();
            if !range.is_empty() {
                writer.delete_range(A, &range)?;
                rows.retain(|key, _| !range.contains(key));
            }
        }
        1..=3 => {
            let key = dice.key();
            writer.delete(A, &key)?;
            rows.remove(&key);
        }
        4..=6 => {
            // A run of ascending keys, some of them there already.
            let first = dice.below(2_000) as u16;
            for n in first..first + dice.below(30) as u16 {
                let (key, value) = ([b'm', n as u8, (n >> 8) as u8], vec![n as u8; 20]);
                let key = if dice.below(2) == 0 {
                    [b'm', key[2], key[1]]
                } else {
                    key
                };
                writer.put(A, &key, &value)?;
                rows.insert(key.to_vec(), value);
            }
        }
        7 => {
            let (key, value) = (dice.key(), vec![9; dice.below(100_000) as usize]);
            writer.put(A, &key, &value)?;
            rows.insert(key, value);
        }
        _ => {
            let (key, value) = (
                dice.key(),
                vec![dice.below(256) as u8; dice.below(8) as usize],
            );
            writer.put(A, &key, &value)?;
            rows.insert(key, value);
        }
    }
    Ok(())
}

#[test]
fn both_lanes_agree_with_a_map() {
    let mut dice = Dice::new(0xbead5);
    let engine = in_memory();
    let mut rows = Rows::new();
    for round in 0..60 {
        let before = rows.clone();
        if round % 2 == 0 {
            let mut txn = engine.begin().unwrap();
            for _ in 0..dice.below(40) {
                operate(&mut txn, &mut rows, &mut dice).unwrap();
                let key = dice.key();
                assert_eq!(get(&txn, A, &key).as_ref(), rows.get(&key));
            }
            assert_eq!(all(&txn, A), rows);
            assert_eq!(txn.count(A).unwrap(), Count::Exact(rows.len() as u64));
            if round % 3 == 0 {
                drop(txn);
                rows = before;
            } else {
                txn.commit(Durability::Durable).unwrap();
            }
        } else {
            let mut batch = engine.begin_batch().unwrap();
            for _ in 0..dice.below(40) {
                operate(&mut batch, &mut rows, &mut dice).unwrap();
            }
            if round % 5 == 0 {
                drop(batch);
                rows = before;
            } else {
                batch.commit(Durability::Volatile).unwrap();
            }
        }
        let view = engine.view().unwrap();
        assert_eq!(all(&view, A), rows, "round {round}");
        assert_eq!(view.count(A).unwrap(), Count::Exact(rows.len() as u64));
        assert!(all(&view, B).is_empty());
    }
}

#[test]
fn a_batch_puts_the_last_value_whatever_the_run() {
    let engine = in_memory();
    let mut batch = engine.begin_batch().unwrap();
    for round in 0..3_u8 {
        for n in 0..100_u8 {
            batch.put(A, &[n], &[round, n]).unwrap();
            batch.put(B, &[n], &[round, n]).unwrap();
        }
    }
    batch.put(A, &[5], b"again").unwrap();
    batch.put(A, &[5], b"last").unwrap();
    batch.delete(A, &[6]).unwrap();
    batch
        .delete_range(A, &KeyRange::half_open(&[10], &[20]))
        .unwrap();
    batch.put(A, &[15], b"behind").unwrap();
    batch.commit(Durability::Durable).unwrap();
    let view = engine.view().unwrap();
    assert_eq!(get(&view, A, &[5]), Some(b"last".to_vec()));
    assert_eq!(get(&view, A, &[6]), None);
    assert_eq!(get(&view, A, &[7]), Some(vec![2, 7]));
    assert_eq!(get(&view, A, &[15]), Some(b"behind".to_vec()));
    assert_eq!(view.count(A).unwrap(), Count::Exact(90));
    assert_eq!(view.count(B).unwrap(), Count::Exact(100));
}

#[test]
fn a_table_that_was_emptied_is_still_there() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    change(&engine, Durability::Durable, |txn| {
        (0..2_000_u32).try_for_each(|n| txn.put(A, &n.to_be_bytes(), &[1; 100]))
    });
    let old = engine.view().unwrap();
    change(&engine, Durability::Durable, |txn| {
        txn.delete_range(A, &KeyRange::all())
    });
    assert_eq!(engine.view().unwrap().count(A).unwrap(), Count::Exact(0));
    assert_eq!(old.count(A).unwrap(), Count::Exact(2_000));
    let mut txn = engine.begin().unwrap();
    txn.put(A, b"k", b"v").unwrap();
    txn.delete_range(A, &KeyRange::all()).unwrap();
    txn.put(A, b"k2", b"v2").unwrap();
    assert_eq!(all(&txn, A).len(), 1);
    drop(txn);
    drop((old, engine));
    let (engine, _) = Opening::again().open(directory.path()).unwrap();
    assert_eq!(engine.view().unwrap().count(A).unwrap(), Count::Exact(0));
    assert!(engine.check().unwrap().unwrap().findings.is_empty());
}

/// What a process that is killed now would leave.
fn killed(disk: &Disk) -> Disk {
    Disk::of(disk.image())
}

fn reopened(disk: &Disk) -> Rows {
    let disk = disk.clone();
    let opening = Opening::again().on(move || Box::new(disk.clone()));
    let (engine, _) = opening.open("unused".as_ref()).unwrap();
    let found = engine.check().unwrap().unwrap().findings;
    assert!(found.is_empty(), "{found:?}");
    all(&engine.view().unwrap(), A)
}

#[test]
fn durable_and_buffered_commits_survive_and_sync_saves_volatile_ones() {
    for strategy in [
        CommitStrategy::QuickRepair,
        CommitStrategy::TwoPhase,
        CommitStrategy::OnePhase,
    ] {
        let disk = Disk::default();
        let kept = disk.clone();
        let mut opening = Opening::fresh().on(move || Box::new(kept.clone()));
        opening.redb.commit_strategy = strategy;
        let (engine, _) = opening.open("unused".as_ref()).unwrap();
        change(&engine, Durability::Durable, |txn| {
            txn.put(A, b"1", b"durable")
        });
        assert_eq!(reopened(&killed(&disk)).len(), 1, "{strategy:?}");
        change(&engine, Durability::Buffered, |txn| {
            txn.put(A, b"2", b"buffered")
        });
        assert_eq!(reopened(&killed(&disk)).len(), 2, "{strategy:?}");
        change(&engine, Durability::Volatile, |txn| {
            txn.put(A, b"3", b"volatile")
        });
        assert_eq!(engine.view().unwrap().count(A).unwrap(), Count::Exact(3));
        assert_eq!(reopened(&killed(&disk)).len(), 2, "{strategy:?}");
        engine.sync().unwrap();
        assert_eq!(reopened(&killed(&disk)).len(), 3, "{strategy:?}");
        change(&engine, Durability::Volatile, |txn| {
            txn.put(A, b"4", b"closed")
        });
        drop(engine);
        assert_eq!(reopened(&disk).len(), 4, "{strategy:?}");
    }
    let effective = |caps: storage_api::Capabilities| caps.effective;
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    assert_eq!(
        effective(engine.capabilities()),
        [Effective::Volatile, Effective::Durable, Effective::Durable]
    );
    assert_eq!(
        effective(in_memory().capabilities()),
        [Effective::Process; 3]
    );
}

#[test]
fn a_store_in_memory_does_not_grow_with_its_commits() {
    let disk = Disk::default();
    let kept = disk.clone();
    let opening = Opening::fresh().on(move || Box::new(kept.clone()));
    let (engine, _) = opening.at(Location::Memory).unwrap();
    let rewrite = |rounds: std::ops::Range<u32>| {
        for n in rounds {
            change(&engine, Durability::Durable, |txn| {
                txn.put(A, &(n % 100).to_be_bytes(), &n.to_be_bytes().repeat(25))
            });
        }
    };
    rewrite(0..1_000);
    let settled = disk.image().len();
    rewrite(0..20_000);
    assert_eq!(disk.image().len(), settled);
    assert!(engine.check().unwrap().unwrap().findings.is_empty());
}
