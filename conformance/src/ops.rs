//! What the store is compared with: ordered maps, a cursor over a list, and seeded streams of
//! operations.
//!
//! Invariants: plain and obviously right rather than fast; every random choice comes from one seed
//! (`CHAINSTORE_SEED` overrides it) and the name of the case, so a failure repeats; sizes follow
//! `CHAINSTORE_TEST_SCALE` (`tenth`, the default, `full` or `soak`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use storage_api::{Cursor, Entry, KeyRange, Result, TableId, WriteBatch, Writer};

use crate::case::{CaseError, CaseResult, shown};
use crate::probe::Row;

/// The rows of one table.
pub(crate) type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows of several tables.
pub(crate) type Contents = BTreeMap<TableId, TableRows>;

/// How much of the counted work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A tenth, for every build.
    Tenth,
    /// All of it.
    Full,
    /// Ten times as much.
    Soak,
}

impl Scale {
    /// The scale of this run, from `CHAINSTORE_TEST_SCALE`; anything unknown counts as a tenth.
    #[must_use]
    pub fn of_run() -> Self {
        static SCALE: OnceLock<Scale> = OnceLock::new();
        *SCALE.get_or_init(|| match std::env::var("CHAINSTORE_TEST_SCALE").as_deref() {
            Ok("full") => Self::Full,
            Ok("soak") => Self::Soak,
            _ => Self::Tenth,
        })
    }
}

/// A count of full size, as it is for this run; never zero.
#[must_use]
pub fn scaled(full: usize) -> usize {
    match Scale::of_run() {
        Scale::Tenth => (full / 10).max(1),
        Scale::Full => full,
        Scale::Soak => full.saturating_mul(10),
    }
}

/// The seed of this run, from `CHAINSTORE_SEED`, else fixed.
#[must_use]
pub fn seed_of_run() -> u64 {
    const FIXED: u64 = 0x00c0_ffee_5eed_0001;
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        std::env::var("CHAINSTORE_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(FIXED)
    })
}

/// Seeded choices of one case.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The choices that belong to this name in this run.
    pub(crate) fn of(name: &str) -> Self {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let salt = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        Self(ChaCha8Rng::seed_from_u64(seed_of_run() ^ salt))
    }

    /// The choices of this seed alone.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True once in `one_in` times.
    pub(crate) fn once_in(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// One of the items, which are at least one.
    pub(crate) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    /// Any bytes of this length.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes[..]);
        bytes
    }

    /// A key that engines find hard: runs of `00` and `ff`, shared beginnings, few different bytes.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        const STEMS: [&[u8]; 6] = [
            b"",
            b"account/",
            b"\x00\x00\x00",
            b"\xff\xff",
            b"block",
            b"\x7f",
        ];
        let mut key = self.pick(&STEMS).to_vec();
        for _ in 0..=self.below(4) {
            match self.below(4) {
                0 => key.extend(std::iter::repeat_n(0x00, 1 + self.below(3))),
                1 => key.extend(std::iter::repeat_n(0xff, 1 + self.below(3))),
                2 => key.push(b'a' + self.byte() % 3),
                _ => key.push(self.byte()),
            }
        }
        key
    }

    /// A value, mostly short, sometimes empty, rarely of several kilobytes.
    pub(crate) fn value(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => 0,
            1 => 1000 + self.below(4000),
            _ => 1 + self.below(40),
        };
        self.bytes(len)
    }

    /// A range between two hard keys, or a prefix, or open at one end or both, or empty.
    pub(crate) fn range(&mut self) -> KeyRange {
        let (from, to) = (self.key(), self.key());
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        match self.below(12) {
            0 => KeyRange::all(),
            1 => KeyRange::from_key(&low),
            2 => KeyRange::half_open(b"", &high),
            3 | 4 => KeyRange::prefix(&low[..low.len().min(3)]),
            5 => KeyRange::half_open(&high, &low),
            _ => KeyRange::half_open(&low, &high),
        }
    }

    /// A random change: mostly puts, some deletes (half of them of keys that exist), few range
    /// deletes.
    pub(crate) fn op(&mut self, tables: &[TableId], present: &Contents) -> Op {
        let table = *self.pick(tables);
        match self.below(20) {
            0..=12 => Op::Put {
                table,
                key: self.key(),
                value: self.value(),
            },
            13..=17 => {
                let key = self.key();
                let near = present
                    .get(&table)
                    .and_then(|rows| rows.range(key.clone()..).next());
                let key = near.map_or(key, |(near, _)| near.clone());
                Op::Delete { table, key }
            }
            18 => Op::DeleteRange {
                table,
                range: KeyRange::prefix(&self.key()),
            },
            _ => Op::DeleteRange {
                table,
                range: self.short_range(),
            },
        }
    }

    /// A range that seldom covers a whole table, so that contents grow.
    fn short_range(&mut self) -> KeyRange {
        let low = self.key();
        let mut high = low.clone();
        if let Some(last) = high.last_mut() {
            *last = last.saturating_add(2);
        }
        if self.once_in(12) {
            KeyRange::from_key(&low)
        } else {
            KeyRange::half_open(&low, &high)
        }
    }
}

/// One change of one table.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put {
        table: TableId,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        table: TableId,
        key: Vec<u8>,
    },
    DeleteRange {
        table: TableId,
        range: KeyRange,
    },
}

impl Op {
    /// The same change of another table.
    pub(crate) fn on(self, other: TableId) -> Self {
        match self {
            Self::Put { key, value, .. } => Self::Put {
                table: other,
                key,
                value,
            },
            Self::Delete { key, .. } => Self::Delete { table: other, key },
            Self::DeleteRange { range, .. } => Self::DeleteRange {
                table: other,
                range,
            },
        }
    }

    /// Does it to a store.
    pub(crate) fn write(&self, to: &mut dyn Writer) -> Result<()> {
        match self {
            Self::Put { table, key, value } => to.put(*table, key, value),
            Self::Delete { table, key } => to.delete(*table, key),
            Self::DeleteRange { table, range } => to.delete_range(*table, range),
        }
    }

    /// Does it to the model.
    pub(crate) fn note(&self, contents: &mut Contents) {
        match self {
            Self::Put { table, key, value } => {
                contents
                    .entry(*table)
                    .or_default()
                    .insert(key.clone(), value.clone());
            }
            Self::Delete { table, key } => {
                contents.entry(*table).or_default().remove(key);
            }
            Self::DeleteRange { table, range } => {
                contents
                    .entry(*table)
                    .or_default()
                    .retain(|key, _| !range.contains(key));
            }
        }
    }
}

/// Owned rows from borrowed ones.
pub(crate) fn rows_of<const N: usize>(rows: [(&[u8], &[u8]); N]) -> TableRows {
    rows.into_iter()
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// `count` rows with numbered keys of eight bytes, so that their order is that of their numbers.
pub(crate) fn numbered_rows(count: usize) -> TableRows {
    (0..count as u64)
        .map(|n| (n.to_be_bytes().to_vec(), format!("value {n}").into_bytes()))
        .collect()
}

/// The rows of a range, in order. The model asks each key, so that no bound can be off.
pub(crate) fn in_range(rows: &TableRows, range: &KeyRange) -> Vec<Row> {
    let inside = rows.iter().filter(|(key, _)| range.contains(key));
    inside
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// States that two lists of rows are the same, naming the first difference.
pub(crate) fn same_rows(found: &[Row], expected: &[Row], what: &str) -> CaseResult {
    let differs = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    let at = match differs {
        None if found.len() == expected.len() => return Ok(()),
        None => found.len().min(expected.len()),
        Some(at) => at,
    };
    let row = |rows: &[Row]| {
        rows.get(at).map_or_else(
            || "no row".to_owned(),
            |(key, value)| format!("{} = {}", shown(key), shown(value)),
        )
    };
    Err(CaseError::failed(format!(
        "{what}: row {at}: expected {}, found {} ({} rows expected, {} found)",
        row(expected),
        row(found),
        expected.len(),
        found.len()
    )))
}

/// Every row of a cursor from the last to the first.
pub(crate) fn backward(cursor: &mut dyn Cursor) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut row = cursor.last()?.map(owned);
    while let Some(found) = row {
        rows.push(found);
        row = cursor.prev()?.map(owned);
    }
    Ok(rows)
}

/// Every row of a fresh cursor.
pub(crate) fn forward(cursor: &mut dyn Cursor) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    while let Some(found) = cursor.next()? {
        rows.push(owned(found));
    }
    Ok(rows)
}

/// A copy of a lent row.
pub(crate) fn owned(entry: Entry<'_>) -> Row {
    (entry.key.to_vec(), entry.value.to_vec())
}

/// One move of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    First,
    Last,
    Next,
    Prev,
    Seek(Vec<u8>),
    SeekBack(Vec<u8>),
    /// A scan that is broken off at this many rows; one at least.
    Scan(usize),
}

impl Move {
    /// Does it to a store's cursor, and gives the rows that it met to `visit`: one or none, and as
    /// many as it may for a scan.
    pub(crate) fn make(
        &self,
        cursor: &mut dyn Cursor,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let row = match self {
            Self::First => cursor.first(),
            Self::Last => cursor.last(),
            Self::Next => cursor.next(),
            Self::Prev => cursor.prev(),
            Self::Seek(key) => cursor.seek(key),
            Self::SeekBack(key) => cursor.seek_back(key),
            Self::Scan(rows_max) => {
                let mut left = *rows_max;
                return cursor.scan(&mut |key, value| {
                    visit(Entry { key, value });
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
            }
        };
        row?.into_iter().for_each(visit);
        Ok(())
    }
}

/// A cursor over the rows of a range, as the contract words it: a place before, on or behind the
/// rows.
pub(crate) struct ModelCursor<'r> {
    rows: &'r [Row],
    /// 0 stands before the first row, `n` on row `n - 1`, one more than there are rows behind the
    /// last.
    place: usize,
}

impl<'r> ModelCursor<'r> {
    /// A fresh cursor.
    pub(crate) fn new(rows: &'r [Row]) -> Self {
        Self { rows, place: 0 }
    }

    /// Moves and says which rows it met.
    pub(crate) fn make(&mut self, step: &Move) -> &'r [Row] {
        let behind = self.rows.len() + 1;
        if let Move::Scan(rows_max) = step {
            let from = self.place.min(self.rows.len());
            let met = &self.rows[from..][..(*rows_max).min(self.rows.len() - from)];
            self.place = if met.len() == *rows_max {
                from + rows_max
            } else {
                behind
            };
            return met;
        }
        self.place = match step {
            Move::First => 1,
            Move::Last => self.rows.len(),
            Move::Next => (self.place + 1).min(behind),
            Move::Prev => self.place.saturating_sub(1),
            Move::Seek(key) => 1 + self.rows.partition_point(|(row, _)| row < key),
            Move::SeekBack(key) => self.rows.partition_point(|(row, _)| row <= key),
            Move::Scan(_) => behind,
        };
        let row = self
            .place
            .checked_sub(1)
            .and_then(|at| self.rows.get(at..=at));
        row.unwrap_or_default()
    }
}

/// Makes the same moves on both cursors and compares every answer.
pub(crate) fn walk(cursor: &mut dyn Cursor, rows: &[Row], moves: &[Move]) -> CaseResult {
    let mut model = ModelCursor::new(rows);
    for (at, step) in moves.iter().enumerate() {
        let expected = model.make(step);
        // Keys of rows are noted only from the first one on that is another.
        let (mut met, mut other) = (0, None);
        step.make(cursor, &mut |found| {
            let row = expected.get(met);
            if row.is_none_or(|(key, value)| found.key != key || found.value != value) {
                other.get_or_insert((met, found.key.to_vec()));
            }
            met += 1;
        })?;
        if other.is_some() || met != expected.len() {
            let name = |row: Option<&[u8]>| row.map_or_else(|| "nothing".to_owned(), shown);
            let at_row = other.as_ref().map_or(met, |(at, _)| *at);
            return Err(CaseError::failed(format!(
                "after {:?}, {step:?}: row {at_row}: expected {}, found {}",
                &moves[at.saturating_sub(8)..at],
                name(expected.get(at_row).map(|(key, _)| &key[..])),
                name(other.as_ref().map(|(_, key)| &key[..])),
            )));
        }
    }
    Ok(())
}

/// A batch, written by a closure.
pub(crate) fn batch_of(write: impl FnOnce(&mut WriteBatch) -> Result<()>) -> Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    write(&mut batch)?;
    Ok(batch)
}
