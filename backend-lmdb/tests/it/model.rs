//! Random writes, reads, ranges and cursor moves against a `BTreeMap`, in views and inside the
//! write transaction.

use std::collections::BTreeMap;
use std::ops::Bound;

use backend_kit::{RawBatch, RawEngine};
use storage_api::{Count, Cursor, Durability, Entry, KeyRange, Reader, Result, Writer};

use crate::setup::{Dice, LOG, ROWS, open};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys that collide, share prefixes, hold 00 and ff, and reach the longest length.
fn key(dice: &mut Dice) -> Vec<u8> {
    const BYTES: [u8; 5] = [0, 1, b'k', 0xfe, 0xff];
    let len = match dice.below(20) {
        0 => 511,
        1 => 510,
        _ => 1 + dice.below(3),
    };
    let mut key: Vec<u8> = (0..3.min(len))
        .map(|_| BYTES[dice.below(5) as usize])
        .collect();
    key.resize(len as usize, BYTES[dice.below(5) as usize]);
    key
}

fn value(dice: &mut Dice) -> Vec<u8> {
    let len = match dice.below(10) {
        0 => 0,
        1 => 5_000 + dice.below(20_000),
        _ => dice.below(60),
    };
    vec![dice.next() as u8; len as usize]
}

fn bound(dice: &mut Dice, key: &[u8]) -> Bound<Vec<u8>> {
    match dice.below(3) {
        0 => Bound::Unbounded,
        1 => Bound::Included(key.to_vec()),
        _ => Bound::Excluded(key.to_vec()),
    }
}

/// A range of any kind; included ends of the longest keys make bounds of 512 bytes.
fn range(dice: &mut Dice) -> KeyRange {
    let (from, to) = (key(dice), key(dice));
    let (from, to) = if dice.below(4) > 0 && to < from {
        (to, from)
    } else {
        (from, to)
    };
    match dice.below(6) {
        0 => KeyRange::all(),
        1 => KeyRange::prefix(&from[..1 + dice.below(from.len() as u64) as usize]),
        _ => {
            let (from, to) = (bound(dice, &from), bound(dice, &to));
            KeyRange::new(
                from.as_ref().map(Vec::as_slice),
                to.as_ref().map(Vec::as_slice),
            )
        }
    }
}

/// Where the model's cursor stands among the rows of its range.
#[derive(Clone, Copy, Debug)]
enum At {
    Before,
    Row(usize),
    After,
}

fn land(at: &mut At, row: Option<usize>, otherwise: At) -> Option<usize> {
    *at = row.map_or(otherwise, At::Row);
    row
}

fn step(rows: &[(Vec<u8>, Vec<u8>)], at: &mut At, op: u64, key: &[u8]) -> Option<usize> {
    let count = rows.len();
    let from = rows.partition_point(|row| row.0.as_slice() < key);
    let up_to = rows.partition_point(|row| row.0.as_slice() <= key);
    match (op, *at) {
        (0, _) => land(at, (count > 0).then_some(0), At::After),
        (1, _) => land(at, count.checked_sub(1), At::Before),
        (2, _) => land(at, (from < count).then_some(from), At::After),
        (3, _) => land(at, up_to.checked_sub(1), At::Before),
        (4, At::Before) => land(at, (count > 0).then_some(0), At::After),
        (4, At::Row(i)) => land(at, (i + 1 < count).then_some(i + 1), At::After),
        (4, At::After) => None,
        (_, At::After) => land(at, count.checked_sub(1), At::Before),
        (_, At::Row(i)) => land(at, i.checked_sub(1), At::Before),
        (_, At::Before) => None,
    }
}

fn run<'c>(cursor: &'c mut impl Cursor, op: u64, key: &[u8]) -> Result<Option<Entry<'c>>> {
    match op {
        0 => cursor.first(),
        1 => cursor.last(),
        2 => cursor.seek(key),
        3 => cursor.seek_back(key),
        4 => cursor.next(),
        _ => cursor.prev(),
    }
}

fn check_cursor(reader: &impl Reader, model: &Model, dice: &mut Dice) {
    let range = range(dice);
    let inside: Vec<_> = model
        .iter()
        .filter(|row| range.contains(row.0))
        .map(|row| (row.0.clone(), row.1.clone()))
        .collect();
    let mut cursor = reader.cursor(ROWS, range.clone()).unwrap();
    let mut at = At::Before;
    for _ in 0..40 {
        // Steps twice as often as seeks and jumps, so that runs and turns both happen.
        let op = dice.below(9).min(5).max(dice.below(6));
        let key = if dice.below(20) == 0 {
            Vec::new()
        } else {
            key(dice)
        };
        let was = at;
        let expected = step(&inside, &mut at, op, &key).map(|i| inside[i].clone());
        let found = run(&mut cursor, op, &key).unwrap();
        let found = found.map(|row| (row.key.to_vec(), row.value.to_vec()));
        assert_eq!(
            found, expected,
            "operation {op} from {was:?} to {key:?} in {range:?}"
        );
    }
}

fn check_all(reader: &impl Reader, model: &Model, dice: &mut Dice) {
    assert_eq!(
        reader.count(ROWS).unwrap(),
        Count::Exact(model.len() as u64)
    );
    for _ in 0..20 {
        let key = key(dice);
        let found = reader.get(ROWS, &key).unwrap().map(|value| value.to_vec());
        assert_eq!(found.as_ref(), model.get(&key));
    }
    for _ in 0..4 {
        check_cursor(reader, model, dice);
    }
    let mut cursor = reader.cursor(ROWS, KeyRange::all()).unwrap();
    for (key, value) in model {
        let row = cursor.next().unwrap().unwrap();
        assert_eq!((row.key, row.value), (&key[..], &value[..]));
    }
    assert!(cursor.next().unwrap().is_none());
    for (key, value) in model.iter().rev() {
        let row = cursor.prev().unwrap().unwrap();
        assert_eq!((row.key, row.value), (&key[..], &value[..]));
    }
    assert!(cursor.prev().unwrap().is_none());
}

#[test]
fn random_work_equals_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut dice = Dice::new(0x1db_5eed_0001);
    let mut model = Model::new();
    for round in 0..120 {
        let before = engine.view().unwrap();
        let mut txn = engine.begin().unwrap();
        let mut changed = model.clone();
        for _ in 0..dice.below(60) {
            match dice.below(12) {
                0 => {
                    let range = range(&mut dice);
                    txn.delete_range(ROWS, &range).unwrap();
                    changed.retain(|key, _| !range.contains(key));
                }
                1..=3 => {
                    let key = key(&mut dice);
                    txn.delete(ROWS, &key).unwrap();
                    changed.remove(&key);
                }
                _ => {
                    let (key, value) = (key(&mut dice), value(&mut dice));
                    txn.put(ROWS, &key, &value).unwrap();
                    changed.insert(key, value);
                }
            }
        }
        check_all(&txn, &changed, &mut dice);
        check_all(&before, &model, &mut dice);
        if round % 5 == 4 {
            drop(txn);
        } else {
            txn.commit(Durability::Durable).unwrap();
            check_all(&before, &model, &mut dice);
            model = changed;
        }
        drop(before);
        check_all(&engine.view().unwrap(), &model, &mut dice);
    }
    assert!(!model.is_empty());
}

#[test]
fn many_pages_are_walked_both_ways_and_cut_out() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut model = Model::new();
    let mut txn = engine.begin().unwrap();
    for i in 0..20_000_u32 {
        let key = i.to_be_bytes().to_vec();
        txn.put(ROWS, &key, &[7; 100]).unwrap();
        model.insert(key, vec![7; 100]);
    }
    txn.commit(Durability::Durable).unwrap();
    let mut dice = Dice::new(0x1db_5eed_0002);
    check_all(&engine.view().unwrap(), &model, &mut dice);
    for _ in 0..30 {
        let (from, len) = (dice.below(20_000) as u32, dice.below(900) as u32);
        let range = KeyRange::half_open(&from.to_be_bytes(), &(from + len).to_be_bytes());
        let mut txn = engine.begin().unwrap();
        txn.delete_range(ROWS, &range).unwrap();
        model.retain(|key, _| !range.contains(key));
        check_all(&txn, &model, &mut dice);
        txn.commit(Durability::Durable).unwrap();
    }
    check_all(&engine.view().unwrap(), &model, &mut dice);
}

#[test]
fn an_append_only_table_takes_keys_in_any_order() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut dice = Dice::new(0x1db_5eed_0003);
    let mut model = Model::new();
    for round in 0..40_u32 {
        let mut txn = engine.begin().unwrap();
        for i in 0..200_u32 {
            let key = if round % 3 == 2 && dice.below(4) == 0 {
                (dice.below(8_000) as u32).to_be_bytes()
            } else {
                (round * 200 + i).to_be_bytes()
            };
            let value = vec![round as u8; dice.below(50) as usize];
            txn.put(LOG, &key, &value).unwrap();
            model.insert(key.to_vec(), value);
        }
        txn.commit(Durability::Durable).unwrap();
    }
    let view = engine.view().unwrap();
    let found = crate::setup::rows(&view, LOG, KeyRange::all()).unwrap();
    assert_eq!(found, model.into_iter().collect::<Vec<_>>());
}
