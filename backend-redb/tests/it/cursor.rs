//! The cursor against a model: a list of rows and a place in it, moved at random.

use backend_kit::{RawBatch, RawEngine};
use storage_api::{Cursor, Durability, Entry, KeyRange, Reader, Writer};

use crate::support::{A, Dice, Opening, Rows, all, in_memory};

/// Where the model stands: on a row, or before the row of this number.
#[derive(Clone, Copy, Debug)]
enum Place {
    At(usize),
    Gap(usize),
}

struct Model {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    place: Place,
}

impl Model {
    fn new(rows: &Rows, range: &KeyRange) -> Self {
        let inside = rows.iter().filter(|(key, _)| range.contains(key));
        let rows = inside
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Self {
            rows,
            place: Place::Gap(0),
        }
    }

    fn stand(&mut self, at: Option<usize>, otherwise: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let at = at.filter(|at| *at < self.rows.len());
        self.place = at.map_or(Place::Gap(otherwise), Place::At);
        at.map(|at| self.rows[at].clone())
    }

    fn go(&mut self, step: u64, key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let end = self.rows.len();
        match step {
            0 => self.stand(Some(0), 0),
            1 => self.stand(end.checked_sub(1), 0),
            2 => self.stand(
                Some(self.rows.partition_point(|row| row.0.as_slice() < key)),
                end,
            ),
            3 => {
                let behind = self.rows.partition_point(|row| row.0.as_slice() <= key);
                self.stand(behind.checked_sub(1), 0)
            }
            4..=6 => {
                let next = match self.place {
                    Place::At(at) => at + 1,
                    Place::Gap(before) => before,
                };
                self.stand(Some(next), end)
            }
            _ => {
                let (Place::At(at) | Place::Gap(at)) = self.place;
                self.stand(at.checked_sub(1), 0)
            }
        }
    }
}

fn go(cursor: &mut impl Cursor, step: u64, key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let row = match step {
        0 => cursor.first(),
        1 => cursor.last(),
        2 => cursor.seek(key),
        3 => cursor.seek_back(key),
        4..=6 => cursor.next(),
        _ => cursor.prev(),
    };
    row.unwrap()
        .map(|Entry { key, value }| (key.to_vec(), value.to_vec()))
}

fn compare(reader: &impl Reader, rows: &Rows, dice: &mut Dice) {
    for _ in 0..60 {
        let range = dice.range();
        if range.is_empty() {
            continue;
        }
        let mut model = Model::new(rows, &range);
        let mut cursor = reader.cursor(A, range.clone()).unwrap();
        for _ in 0..80 {
            // Walks are as common as jumps.
            let (step, key) = (dice.below(10), dice.key());
            let place = model.place;
            let (expected, found) = (model.go(step, &key), go(&mut cursor, step, &key));
            assert_eq!(
                found, expected,
                "step {step} to {key:?} from {place:?} in {range:?}"
            );
        }
    }
}

#[test]
fn random_moves_agree_with_the_model_in_views_and_transactions() {
    let mut dice = Dice::new(0x0c0ffee1);
    let engine = in_memory();
    for round in 0..30 {
        let mut txn = engine.begin().unwrap();
        txn.delete_range(A, &KeyRange::all()).unwrap();
        let mut rows = Rows::new();
        for n in 0..dice.below(60) {
            let (key, value) = (dice.key(), vec![round, n as u8]);
            txn.put(A, &key, &value).unwrap();
            rows.insert(key, value);
        }
        compare(&txn, &rows, &mut dice);
        txn.commit(Durability::Durable).unwrap();
        compare(&engine.view().unwrap(), &rows, &mut dice);
    }
}

#[test]
fn moves_cross_pages() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    let mut rows = Rows::new();
    let mut txn = engine.begin().unwrap();
    for n in 0..20_000_u32 {
        let row = (n.to_be_bytes().to_vec(), vec![n as u8; 40]);
        txn.put(A, &row.0, &row.1).unwrap();
        rows.insert(row.0, row.1);
    }
    txn.commit(Durability::Durable).unwrap();
    let view = engine.view().unwrap();
    assert_eq!(all(&view, A), rows);

    // Forward three and back two, across every page boundary.
    let mut cursor = view.cursor(A, KeyRange::all()).unwrap();
    let number = |row: Entry<'_>| u32::from_be_bytes(row.key.try_into().unwrap());
    let mut at = number(cursor.first().unwrap().unwrap());
    while at + 3 < 20_000 {
        for step in [1, 1, 1, -1, -1] {
            let row = if step > 0 {
                cursor.next()
            } else {
                cursor.prev()
            };
            at = at.strict_add_signed(step);
            assert_eq!(number(row.unwrap().unwrap()), at);
        }
    }
}

#[test]
fn a_fresh_cursor_stands_before_the_first_row() {
    let engine = in_memory();
    let mut txn = engine.begin().unwrap();
    for key in [b"a", b"b", b"c"] {
        txn.put(A, key, key).unwrap();
    }
    let mut cursor = txn.cursor(A, KeyRange::from_key(b"b")).unwrap();
    assert!(cursor.prev().unwrap().is_none());
    assert_eq!(
        cursor.next().unwrap().map(|row| row.key.to_vec()),
        Some(b"b".to_vec())
    );
}
