//! The random model test: operations, savepoints and reads on an overlay against plain maps.
//!
//! The model of an overlay is a copy of the base's maps with the operations applied; of a
//! savepoint, a copy of those. Keys are short and of few bytes, so that own rows, base rows, hidden
//! ranges and bounds fall on each other all the time.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::map::{MapReader, Tables};
use crate::contract::{Count, Cursor, Entry, Reader, Savepoint, WriteBatch, Writer};
use crate::overlay::index::Index;
use crate::overlay::{Overlay, OverlayWrites};
use crate::range::KeyRange;
use crate::table::TableId;

const TABLES: [TableId; 3] = [TableId::new(1), TableId::new(2), TableId::new(5)];
const SEEDS: u64 = 300;
const STEPS: usize = 120;

struct Walk {
    rng: ChaCha8Rng,
    overlay: Overlay<MapReader>,
    model: Tables,
    marks: Vec<(Savepoint, Tables)>,
    what: String,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut base = Tables::default();
        for _ in 0..rng.random_range(0..60) {
            let (table, key, value) = (table(&mut rng), key(&mut rng), value(&mut rng));
            base.put(table, &key, &value).unwrap();
        }
        Self {
            rng,
            overlay: Overlay::new(MapReader::new(base.clone())),
            model: base,
            marks: Vec::new(),
            what: String::new(),
        }
    }

    fn change(&mut self) {
        let table = table(&mut self.rng);
        match self.rng.random_range(0..20) {
            0..8 => {
                let (key, value) = (key(&mut self.rng), value(&mut self.rng));
                self.overlay.put(table, &key, &value).unwrap();
                self.model.put(table, &key, &value).unwrap();
            }
            8..12 => {
                let key = key(&mut self.rng);
                self.overlay.delete(table, &key).unwrap();
                self.model.delete(table, &key).unwrap();
            }
            12..15 => {
                let range = range(&mut self.rng);
                self.overlay.delete_range(table, &range).unwrap();
                self.model.delete_range(table, &range).unwrap();
            }
            15..17 => {
                let mark = self.overlay.savepoint().unwrap();
                self.marks.push((mark, self.model.clone()));
            }
            17..19 => {
                if let Some(at) = self.some_mark() {
                    self.overlay.rollback_to(self.marks[at].0).unwrap();
                    self.model = self.marks[at].1.clone();
                    self.marks.truncate(at + 1);
                }
            }
            _ => {
                if let Some(at) = self.some_mark() {
                    self.overlay.release(self.marks[at].0).unwrap();
                    self.marks.truncate(at);
                }
            }
        }
    }

    fn some_mark(&mut self) -> Option<usize> {
        (!self.marks.is_empty()).then(|| self.rng.random_range(0..self.marks.len()))
    }

    fn check_points(&mut self) {
        let table = table(&mut self.rng);
        let keys: Vec<Vec<u8>> = (0..8).map(|_| key(&mut self.rng)).collect();
        let rows = self.model.rows(table);
        for key in &keys {
            let expected = rows.get(key).map(Vec::as_slice);
            let found = self.overlay.get(table, key).unwrap();
            assert_eq!(found.as_deref(), expected, "get {key:?}, {}", self.what);
            let contained = self.overlay.contains(table, key).unwrap();
            assert_eq!(contained, expected.is_some(), "{}", self.what);
            let mut lent = None;
            let mut sink = |value: &[u8]| lent = Some(value.to_vec());
            let found = self.overlay.get_with(table, key, &mut sink).unwrap();
            assert_eq!(found, expected.is_some(), "{}", self.what);
            assert_eq!(lent.as_deref(), expected, "{}", self.what);
        }
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut answers = vec![None; keys.len()];
        let mut sink = |at: usize, value: Option<&[u8]>| {
            let before = answers[at].replace(value.map(<[u8]>::to_vec));
            assert!(before.is_none(), "place {at} was answered twice");
        };
        self.overlay.multi_get(table, &asked, &mut sink).unwrap();
        let expected: Vec<_> = keys
            .iter()
            .map(|key| Some(rows.get(key).cloned()))
            .collect();
        assert_eq!(answers, expected, "{}", self.what);
        let count = Count::Exact(rows.len() as u64);
        assert_eq!(self.overlay.count(table).unwrap(), count, "{}", self.what);
    }

    fn check_cursor(&mut self) {
        let (table, range) = (table(&mut self.rng), range(&mut self.rng));
        let model = MapReader::shared(Arc::new(self.model.clone()));
        let mut expected = model.cursor(table, range.clone()).unwrap();
        let mut cursor = self.overlay.cursor(table, range.clone()).unwrap();
        let mut moves = Vec::new();
        for _ in 0..30 {
            let target = key(&mut self.rng);
            let kind = self.rng.random_range(0..20);
            moves.push((kind, target.clone()));
            let found = go(&mut cursor, kind, &target);
            let expected = go(&mut expected, kind, &target);
            assert_eq!(found, expected, "{range:?} {moves:?}, {}", self.what);
        }
    }
}

fn go<'c>(cursor: &'c mut impl Cursor, kind: u32, target: &[u8]) -> Option<Entry<'c>> {
    let moved = match kind {
        0 => cursor.first(),
        1 => cursor.last(),
        2..4 => cursor.seek(target),
        4..6 => cursor.seek_back(target),
        6..13 => cursor.next(),
        _ => cursor.prev(),
    };
    moved.unwrap()
}

fn table(rng: &mut ChaCha8Rng) -> TableId {
    TABLES[rng.random_range(0..TABLES.len())]
}

fn key(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let alphabet = [0x00, 0x01, b'a', b'b', 0xfe, 0xff];
    let bytes = rng.random_range(1..=2);
    let key = (0..bytes).map(|_| alphabet[rng.random_range(0..alphabet.len())]);
    let mut key: Vec<u8> = key.collect();
    if rng.random_range(0..10) == 0 {
        key.resize(60, b'k');
    }
    key
}

fn value(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let bytes = match rng.random_range(0..12) {
        0 => 0,
        1 => 9_000,
        _ => rng.random_range(1..40),
    };
    vec![rng.random(); bytes]
}

fn range(rng: &mut ChaCha8Rng) -> KeyRange {
    match rng.random_range(0..12) {
        0 => KeyRange::all(),
        1 => KeyRange::empty(),
        2..4 => KeyRange::from_key(&key(rng)),
        4 => KeyRange::half_open(b"", &key(rng)),
        5 => KeyRange::prefix(&key(rng)),
        _ => KeyRange::half_open(&key(rng), &key(rng)),
    }
}

/// The same operations in an overlay that was never rolled back and never read.
fn indexed_anew(batch: &WriteBatch) -> OverlayWrites {
    let mut fresh = OverlayWrites::new();
    batch.replay(&mut fresh).unwrap();
    assert!(
        !fresh
            .contains(&MapReader::new(Tables::default()), TABLES[0], b"?")
            .unwrap()
    );
    fresh
}

fn assert_same_index(kept: &Index, fresh: &Index, what: &str) {
    assert_eq!(kept.indexed(), fresh.indexed(), "{what}");
    assert_eq!(kept.written_tables(), fresh.written_tables(), "{what}");
    for (_, table) in fresh.written_tables() {
        let puts = table.entries.values().filter(|slot| slot.is_put());
        assert_eq!(table.puts(), puts.count(), "{what}");
        let ranges: Vec<KeyRange> = table.hidden.ranges().collect();
        for pair in ranges.windows(2) {
            assert!(pair[0].end().unwrap() < pair[1].start(), "{what}");
        }
    }
}

#[test]
fn an_overlay_is_its_base_with_the_operations_applied() {
    println!("seeds 0..{SEEDS}");
    for seed in 0..SEEDS {
        let mut walk = Walk::new(seed);
        let base = walk.model.clone();
        for step in 0..STEPS {
            walk.what = format!("seed {seed}, step {step}");
            walk.change();
            if walk.rng.random_bool(0.4) {
                walk.check_points();
                walk.check_cursor();
            }
        }
        let mut applied = base.clone();
        applied.apply(walk.overlay.batch()).unwrap();
        let rows = TABLES.map(|table| walk.model.rows(table) == applied.rows(table));
        assert_eq!(rows, [true; 3], "seed {seed}");
        assert_eq!(*walk.overlay.base().tables, base, "seed {seed}");
    }
}

#[test]
fn a_rolled_back_index_equals_one_built_anew() {
    println!("seeds 0..{SEEDS}");
    for seed in 0..SEEDS {
        let mut walk = Walk::new(seed);
        for step in 0..STEPS {
            let what = format!("seed {seed}, step {step}");
            walk.change();
            if walk.rng.random_bool(0.5) {
                walk.check_points();
                let (base, mut writes) = walk.overlay.into_parts();
                let mut fresh = indexed_anew(writes.batch());
                assert_same_index(writes.indexed_now(), fresh.indexed_now(), &what);
                let open = !walk.marks.is_empty();
                assert!(open || writes.indexed_now().undo_records() == 0, "{what}");
                walk.overlay = Overlay::from_parts(base, writes);
            }
        }
    }
}
