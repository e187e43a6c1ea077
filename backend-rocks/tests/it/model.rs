//! Cursors and views against a map: random writes in every lane, random ranges, random moves.

use std::ops::Bound;

use backend_rocks::RocksStore;
use storage_api::{
    Cursor, Durability, Entry, KeyRange, KvStore, Reader, ReaderExt, TableId, WriteBatch, WriteTxn,
    Writer,
};

use crate::support::{DEFAULT, HINTED, PLAIN, Place, Random, Rows, id, rows};

type Row = Option<(Vec<u8>, Vec<u8>)>;

/// A cursor over a map, by the contract's words.
struct Model<'m> {
    rows: Vec<(&'m Vec<u8>, &'m Vec<u8>)>,
    /// One more than the row's place; 0 is before the first, `rows.len() + 1` behind the last.
    at: usize,
}

impl<'m> Model<'m> {
    fn new(rows: &'m Rows, range: &KeyRange) -> Self {
        let inside = rows.iter().filter(|(key, _)| range.contains(key));
        Self {
            rows: inside.collect(),
            at: 0,
        }
    }

    fn row(&self) -> Row {
        let at = self.at.checked_sub(1)?;
        self.rows.get(at).map(|(k, v)| ((*k).clone(), (*v).clone()))
    }

    fn go(&mut self, to: &Move) -> Row {
        self.at = match to {
            Move::First => 1,
            Move::Last => self.rows.len(),
            Move::Seek(key) => 1 + self.rows.partition_point(|(k, _)| *k < key),
            Move::SeekBack(key) => self.rows.partition_point(|(k, _)| *k <= key),
            Move::Next => (self.at + 1).min(self.rows.len() + 1),
            Move::Prev => self.at.saturating_sub(1),
        };
        self.row()
    }
}

#[derive(Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>),
    SeekBack(Vec<u8>),
    Next,
    Prev,
}

fn random_move(random: &mut Random) -> Move {
    match random.below(12) {
        0 => Move::First,
        1 => Move::Last,
        2 | 3 => Move::Seek(random.key()),
        4 | 5 => Move::SeekBack(random.key()),
        6..=8 => Move::Next,
        _ => Move::Prev,
    }
}

fn owned(entry: Option<Entry<'_>>) -> Row {
    entry.map(|entry| (entry.key.to_vec(), entry.value.to_vec()))
}

fn go(cursor: &mut impl Cursor, to: &Move) -> Row {
    owned(
        match to {
            Move::First => cursor.first(),
            Move::Last => cursor.last(),
            Move::Seek(key) => cursor.seek(key),
            Move::SeekBack(key) => cursor.seek_back(key),
            Move::Next => cursor.next(),
            Move::Prev => cursor.prev(),
        }
        .unwrap(),
    )
}

fn walk(random: &mut Random, reader: &impl Reader, table: TableId, expected: &Rows, seed: u64) {
    let range = random.range();
    let mut model = Model::new(expected, &range);
    let mut cursor = reader.cursor(table, range.clone()).unwrap();
    for step in 0..random.below(12) {
        let to = random_move(random);
        let row = go(&mut cursor, &to);
        assert_eq!(
            row,
            model.go(&to),
            "seed {seed} step {step} {to:?} in {range:?}"
        );
    }
}

fn write(random: &mut Random, to: &mut impl Writer, table: TableId, rows: &mut Rows) {
    for _ in 0..random.below(12) {
        let key = random.key();
        match random.below(10) {
            0 => {
                let range = random.range();
                to.delete_range(table, &range).unwrap();
                rows.retain(|key, _| !range.contains(key));
            }
            1..=3 => {
                to.delete(table, &key).unwrap();
                rows.remove(&key);
            }
            _ => {
                let value = vec![random.below(256) as u8; random.below(40) as usize];
                to.put(table, &key, &value).unwrap();
                rows.insert(key, value);
            }
        }
    }
}

/// One step of the life of a store: a commit in one of two lanes, with reads inside.
fn step(random: &mut Random, store: &RocksStore, table: TableId, expected: &mut Rows, seed: u64) {
    let durability = Durability::Buffered;
    if random.below(2) == 0 {
        let mut batch = WriteBatch::new();
        write(random, &mut batch, table, expected);
        store.apply(&batch, durability).unwrap();
        return;
    }
    let before = expected.clone();
    let mut txn = store.begin_write().unwrap();
    write(random, &mut txn, table, expected);
    walk(random, &txn, table, expected, seed);
    if random.below(3) == 0 {
        let kept = expected.clone();
        let mark = txn.savepoint().unwrap();
        write(random, &mut txn, table, expected);
        walk(random, &txn, table, expected, seed);
        txn.rollback_to(mark).unwrap();
        *expected = kept;
        walk(random, &txn, table, expected, seed);
        write(random, &mut txn, table, expected);
    }
    if random.below(4) == 0 {
        drop(txn);
        *expected = before;
    } else {
        assert_eq!(rows(&txn, table), *expected, "seed {seed}");
        txn.commit(durability).unwrap();
    }
}

#[test]
fn every_lane_and_every_move_agree_with_a_map() {
    for (seed, table) in [(1, &PLAIN), (2, &HINTED), (3, &DEFAULT), (4, &PLAIN)] {
        let place = Place::new();
        let store = place.open();
        let table = id(&store, table);
        let mut random = Random(seed);
        let mut expected = Rows::new();
        // Views of earlier commits, which must not change.
        let mut kept = Vec::new();
        for round in 0..400 {
            step(&mut random, &store, table, &mut expected, seed);
            let view = store.begin_read().unwrap();
            for _ in 0..4 {
                walk(&mut random, &view, table, &expected, seed);
            }
            let key = random.key();
            let found = view.get_copied(table, &key).unwrap();
            assert_eq!(found.as_ref(), expected.get(&key), "seed {seed}");
            if round % 40 == 0 {
                kept.push((view, expected.clone()));
                store.engine_compacts(round);
            }
            if let Some((view, rows)) = kept.last() {
                walk(&mut random, view, table, rows, seed);
            }
        }
        for (view, then) in &kept {
            assert_eq!(rows(view, table), *then, "seed {seed}");
        }
        drop(kept);
        drop(store);
        let store = place.open();
        let view = store.begin_read().unwrap();
        assert_eq!(
            rows(&view, table),
            expected,
            "seed {seed} after opening again"
        );
    }
}

/// Compaction now and then, so that rows are read from files of several levels too.
trait Compacts {
    fn engine_compacts(&self, round: usize);
}

impl Compacts for RocksStore {
    fn engine_compacts(&self, round: usize) {
        if round.is_multiple_of(80) {
            self.as_compact().unwrap().compact().unwrap();
        }
    }
}

#[test]
fn a_long_run_of_deleted_rows_is_left_by_a_bounded_iterator() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    let key = |number: u32| number.to_be_bytes();
    let mut batch = WriteBatch::new();
    for number in 0..6_000 {
        batch.put(table, &key(number), b"row").unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    batch.clear();
    // Only 2,000 and 4,000 are left, with point deletes around and between.
    for number in (0..6_000).filter(|number| number % 2_000 != 0 || *number == 0) {
        batch.delete(table, &key(number)).unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    let left: Rows = [2_000, 4_000]
        .map(|number| (key(number).to_vec(), b"row".to_vec()))
        .into();
    let bounds = [0, 1, 1_999, 2_000, 2_001, 3_000, 4_000, 4_001, 5_999].map(key);
    let view = store.begin_read().unwrap();
    for from in bounds {
        for to in bounds.into_iter().filter(|to| *to > from) {
            let range = KeyRange::new(Bound::Included(&from), Bound::Excluded(&to));
            let mut model = Model::new(&left, &range);
            let mut cursor = view.cursor(table, range.clone()).unwrap();
            let moves = [
                Move::Next,
                Move::Next,
                Move::Next,
                Move::Prev,
                Move::Prev,
                Move::Prev,
                Move::Last,
                Move::Prev,
                Move::Next,
                Move::Seek(key(1_500).to_vec()),
                Move::Next,
                Move::SeekBack(key(4_500).to_vec()),
                Move::Prev,
                Move::First,
            ];
            for (at, to) in moves.iter().enumerate() {
                let row = go(&mut cursor, to);
                assert_eq!(row, model.go(to), "move {at} {to:?} in {range:?}");
            }
        }
    }
}

#[test]
fn several_gets_in_one_call_agree_with_single_ones() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let mut random = Random(7);
    let mut expected = Rows::new();
    let mut batch = WriteBatch::new();
    // Several files of many blocks each, and a memtable.
    for file in 0..4 {
        for _ in 0..1_500 {
            let mut key = random.key();
            key.extend_from_slice(&random.next().to_be_bytes()[..1]);
            let value = random.next().to_be_bytes().repeat(12);
            batch.put(table, &key, &value).unwrap();
            expected.insert(key, value);
        }
        store.apply(&batch, Durability::Buffered).unwrap();
        batch.clear();
        if file < 3 {
            store.as_compact().unwrap().compact().unwrap();
        }
    }
    let view = store.begin_read().unwrap();
    batch.delete_range(table, &KeyRange::all()).unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
    let stored: Vec<&Vec<u8>> = expected.keys().collect();
    for count in [0, 1, 3, 4, 40, 500] {
        // Unsorted with repeats, sorted with repeats, sorted without.
        let mut keys: Vec<Vec<u8>> = (0..count)
            .map(|at| match at % 3 {
                0 => random.key(),
                _ => stored[random.below(stored.len() as u64) as usize].clone(),
            })
            .collect();
        for pass in 0..3 {
            let asked: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            let mut seen = vec![0; asked.len()];
            view.multi_get(table, &asked, &mut |at, value| {
                seen[at] += 1;
                assert_eq!(
                    value,
                    expected.get(asked[at]).map(|v| &v[..]),
                    "pass {pass}"
                );
            })
            .unwrap();
            assert!(seen.iter().all(|times| *times == 1));
            keys.sort();
            if pass == 1 {
                keys.dedup();
            }
        }
    }
}

#[test]
fn views_of_one_commit_are_of_one_commit() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    let mut batch = WriteBatch::new();
    batch.put(table, b"a", b"1").unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
    let views = store.begin_read_many(4.try_into().unwrap()).unwrap();
    batch.put(table, b"a", b"2").unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
    drop(store);
    // The views outlive the handle and go to other threads.
    std::thread::scope(|scope| {
        for view in views {
            scope.spawn(move || {
                assert_eq!(view.get(table, b"a").unwrap().as_deref(), Some(&b"1"[..]));
                assert_eq!(rows(&view, table).len(), 1);
            });
        }
    });
    place.open();
}
