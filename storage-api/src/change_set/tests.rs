//! Change sets against a model of two maps: capture, undo, squash, order, counts.
//!
//! Random batches come from a fixed seed, which is printed with the round that fails.

use std::collections::BTreeMap;
use std::ops::Bound;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Change, ChangeSet};
use crate::contract::{Count, Cursor, Entry, Reader, WriteBatch, Writer};
use crate::error::{ErrorKind, Result};
use crate::range::KeyRange;
use crate::table::TableId;

const SEED: u64 = 0x0c4a_2611_2155_aa01;
const ROUNDS: u32 = 400;
const T1: TableId = TableId::new(1);
const T2: TableId = TableId::new(2);

type Row = (Vec<u8>, Vec<u8>);

/// A change with its own bytes.
type Owned = (TableId, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

/// The state of a store, written and read by the contract's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    rows: BTreeMap<(TableId, Vec<u8>), Vec<u8>>,
}

impl Model {
    fn after(&self, batch: &WriteBatch) -> Result<Self> {
        let mut next = self.clone();
        batch.replay(&mut next)?;
        Ok(next)
    }
}

impl Writer for Model {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.rows.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.rows.remove(&(table, key.to_vec()));
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.rows
            .retain(|(of, key), _| *of != table || !range.contains(key));
        Ok(())
    }
}

/// Rows of a range, copied. Stands `at` rows behind the first position, which is before the first
/// row.
struct Rows {
    rows: Vec<Row>,
    at: usize,
}

impl Rows {
    fn stand(&mut self, at: usize) -> Result<Option<Entry<'_>>> {
        self.at = at;
        let row = at.checked_sub(1).and_then(|at| self.rows.get(at));
        Ok(row.map(|(key, value)| Entry { key, value }))
    }
}

impl Cursor for Rows {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand(1)
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand(self.rows.len())
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let before = self.rows.partition_point(|row| row.0.as_slice() < key);
        self.stand(before + 1)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let upto = self.rows.partition_point(|row| row.0.as_slice() <= key);
        self.stand(upto)
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand((self.at + 1).min(self.rows.len() + 1))
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand(self.at.saturating_sub(1))
    }
}

impl Reader for Model {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = Rows;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.rows.get(&(table, key.to_vec())).map(Vec::as_slice))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Rows> {
        let within = |row: &(&(TableId, Vec<u8>), &Vec<u8>)| {
            let (of, key) = row.0;
            *of == table && range.contains(key)
        };
        let copy =
            |((_, key), value): (&(TableId, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        let rows = self.rows.iter().filter(within).map(copy).collect();
        Ok(Rows { rows, at: 0 })
    }

    fn count(&self, table: TableId) -> Result<Count> {
        let rows = self.rows.keys().filter(|(of, _)| *of == table).count();
        Ok(Count::Exact(rows as u64))
    }
}

/// The difference of two states by brute force: what a change set between them must hold.
fn difference(before: &Model, after: &Model) -> Vec<Owned> {
    let mut keys: Vec<_> = before.rows.keys().chain(after.rows.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .map(|at| {
            (
                at.0,
                at.1.clone(),
                before.rows.get(at).cloned(),
                after.rows.get(at).cloned(),
            )
        })
        .filter(|(_, _, old, new)| old != new)
        .collect()
}

fn assert_is_difference(set: &ChangeSet, before: &Model, after: &Model, what: &str) {
    let found: Vec<_> = set
        .iter()
        .map(|c| {
            let (old, new) = (c.old.map(<[u8]>::to_vec), c.new.map(<[u8]>::to_vec));
            (c.table, c.key.to_vec(), old, new)
        })
        .collect();
    let expected = difference(before, after);
    assert_eq!(found, expected, "{what}");
    assert_eq!(set.len(), expected.len(), "{what}");
    assert_eq!(set.is_empty(), expected.is_empty(), "{what}");
    let len = |side: &Option<Vec<u8>>| side.as_ref().map_or(0, Vec::len);
    let bytes: usize = expected
        .iter()
        .map(|(_, key, old, new)| key.len() + len(old) + len(new))
        .sum();
    assert_eq!(set.payload_bytes(), bytes, "{what}");
    for (table, key, old, new) in &expected {
        let change = Change {
            table: *table,
            key,
            old: old.as_deref(),
            new: new.as_deref(),
        };
        assert_eq!(set.get(*table, key), Some(change), "{what}");
    }
}

/// Few keys and values, so that operations meet each other.
fn key(rng: &mut impl Rng) -> Vec<u8> {
    let len = rng.random_range(1..4);
    (0..len)
        .map(|_| *[0, b'a', b'b', 0xff].choose(rng).unwrap_or(&0))
        .collect()
}

fn value(rng: &mut impl Rng) -> Vec<u8> {
    vec![b'v'; rng.random_range(0..3)]
}

fn range(rng: &mut impl Rng) -> KeyRange {
    let (start, end) = (key(rng), key(rng));
    match rng.random_range(0..5) {
        0 => KeyRange::all(),
        1 => KeyRange::prefix(&start),
        2 => KeyRange::from_key(&start),
        3 => KeyRange::new(Bound::Excluded(&start), Bound::Included(&end)),
        _ => KeyRange::half_open(&start, &end),
    }
}

fn batch(rng: &mut impl Rng) -> Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for _ in 0..rng.random_range(0..24) {
        let table = if rng.random() { T1 } else { T2 };
        match rng.random_range(0..12) {
            0 => batch.delete_range(table, &range(rng))?,
            1..4 => batch.delete(table, &key(rng))?,
            _ => batch.put(table, &key(rng), &value(rng))?,
        }
    }
    Ok(batch)
}

#[test]
fn capture_undo_and_squash_agree_with_the_model() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let start = Model::default();
    let mut state = start.clone();
    let mut history = Vec::new();
    for round in 0..ROUNDS {
        let what = format!("seed {SEED:#x} round {round}");
        let batch = batch(&mut rng)?;
        let next = state.after(&batch)?;
        let set = ChangeSet::capture(&state, &batch)?;
        assert_is_difference(&set, &state, &next, &what);

        let mut redone = state.clone();
        set.apply(&mut redone)?;
        assert_eq!(redone, next, "{what}");
        let mut undone = next.clone();
        set.clone().invert().apply(&mut undone)?;
        assert_eq!(undone, state, "{what}");
        assert_is_difference(&set.clone().invert(), &next, &state, &what);
        assert_eq!(set.clone().invert().invert(), set, "{what}");

        history.push((state, set));
        state = next;
        // The last few commits squashed into one, in both ways of bracketing.
        let first = history.len() - rng.random_range(1..=history.len().min(5));
        let mut forward = ChangeSet::new();
        for (_, set) in &history[first..] {
            forward.merge(set.clone())?;
        }
        assert_is_difference(&forward, &history[first].0, &state, &what);
        let mut backward = ChangeSet::new();
        for (_, set) in history[first..].iter().rev() {
            let mut earlier = set.clone();
            earlier.merge(backward)?;
            backward = earlier;
        }
        assert_eq!(backward, forward, "{what}");
    }
    let mut all = ChangeSet::new();
    for (_, set) in &history {
        all.merge(set.clone())?;
    }
    assert_is_difference(&all, &start, &state, "all");
    all.merge(all.clone().invert())?;
    assert_eq!(all, ChangeSet::new());
    Ok(())
}

#[test]
fn recording_writes_one_by_one_is_the_same_as_capturing_them() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ 1);
    let mut base = Model::default();
    for round in 0..ROUNDS {
        let what = format!("seed {:#x} round {round}", SEED ^ 1);
        let mut state = base.clone();
        let (mut by_step, mut by_base) = (ChangeSet::new(), ChangeSet::new());
        let mut batch = WriteBatch::new();
        for _ in 0..rng.random_range(0..30) {
            let (key, new) = (key(&mut rng), rng.random::<bool>().then(|| value(&mut rng)));
            let new = new.as_deref();
            // The value before this write and the value before the commit must come to the same.
            by_step.record(T1, &key, state.get(T1, &key)?, new);
            by_base.record(T1, &key, base.get(T1, &key)?, new);
            match new {
                Some(value) => batch.put(T1, &key, value)?,
                None => batch.delete(T1, &key)?,
            }
            state = base.after(&batch)?;
        }
        assert_is_difference(&by_step, &base, &state, &what);
        assert_eq!(by_step, by_base, "{what}");
        assert_eq!(by_step, ChangeSet::capture(&base, &batch)?, "{what}");
        base = state;
    }
    Ok(())
}

#[test]
fn absent_and_empty_are_different() {
    let mut set = ChangeSet::new();
    set.record(T1, b"k", None, Some(b""));
    assert_eq!((set.len(), set.payload_bytes()), (1, 1));
    set.record(T1, b"k", Some(b""), None);
    assert_eq!(set, ChangeSet::new());
    set.record(T1, b"k", Some(b"same"), Some(b"same"));
    set.record(T1, b"l", None, None);
    assert_eq!(set, ChangeSet::new());
}

#[test]
fn order_inside_a_batch_counts() -> Result<()> {
    let mut state = Model::default();
    state.put(T1, b"b", b"old")?;
    let mut batch = WriteBatch::new();
    batch.put(T1, b"a", b"1")?;
    batch.delete_range(T1, &KeyRange::all())?;
    batch.put(T1, b"c", b"2")?;
    batch.put(T2, b"b", b"3")?;
    let set = ChangeSet::capture(&state, &batch)?;
    let changes: Vec<_> = set.iter().map(|c| (c.table, c.key, c.old, c.new)).collect();
    assert_eq!(
        changes,
        [
            (T1, &b"b"[..], Some(&b"old"[..]), None),
            (T1, b"c", None, Some(&b"2"[..])),
            (T2, b"b", None, Some(&b"3"[..])),
        ]
    );
    batch.put(T1, b"b", b"old")?;
    assert_eq!(ChangeSet::capture(&state, &batch)?.get(T1, b"b"), None);
    Ok(())
}

#[test]
fn sets_that_are_not_consecutive_are_refused_and_change_nothing() {
    let mut set = ChangeSet::new();
    set.record(T1, b"a", None, Some(b"1"));
    set.record(T2, b"secret", Some(b"hidden"), Some(b"22"));
    let before = set.clone();
    for old in [None, Some(&b"hidden"[..])] {
        let mut later = ChangeSet::new();
        later.record(T1, b"b", None, Some(b"9"));
        later.record(T2, b"secret", old, Some(b"x"));
        let refusal = set.merge(later);
        let text = refusal.as_ref().map_err(ToString::to_string);
        let found = old.map_or("an absent key".into(), |old| {
            format!("a value of {} bytes", old.len())
        });
        let expected = format!(
            "merge: table #2: invalid argument: change sets are not consecutive: expected a value \
             of 2 bytes before the later one, found {found}"
        );
        assert_eq!(text, Err(expected));
        assert!(refusal.is_err_and(|e| matches!(e.kind(), ErrorKind::InvalidArgument { .. })));
        assert_eq!(set, before);
    }
}
