//! A chunk: rows gathered in memory, and sorted there.
//!
//! A chunk is small enough for the processor's caches, because sorting and reading rows in another
//! order than they came is bound by memory; measured, many small chunks that are merged load faster
//! than one large one.
//!
//! Invariants: bytes lie one after the other in one buffer, a row is three numbers and the head of
//! its key beside them; sorting keeps of equal keys the one that came last. Cost: 24 bytes a row
//! beside its own.

use std::cmp::Ordering;
use std::ops::Range;

/// Keys that stand for a chunk where a merge is split.
const SAMPLES: usize = 32;

/// Rows in memory.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Whether the keys came in strictly ascending order.
    pub(super) is_ascending: bool,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// The first eight bytes of the key, big-endian, padded with zeros.
    head: u64,
    at: usize,
    key_len: u32,
    value_len: u32,
}

impl Row {
    const fn len(&self) -> usize {
        self.key_len as usize + self.value_len as usize
    }
}

pub(super) fn head(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let len = key.len().min(8);
    head[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(head)
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self {
            is_ascending: true,
            ..Self::default()
        }
    }

    /// A chunk that cannot be sorted without a panic, as none that was filled by `push` is.
    #[cfg(test)]
    pub(super) fn broken() -> Self {
        let row = Row {
            head: 0,
            at: 1,
            key_len: 1,
            value_len: 0,
        };
        Self {
            bytes: Vec::new(),
            rows: vec![row; 2],
            is_ascending: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Where, in a sorted chunk, the rows from this key on begin.
    pub(super) fn place(&self, key: &[u8]) -> usize {
        self.rows.partition_point(|row| self.key(row) < key)
    }

    /// Some keys of a sorted chunk, each with the bytes from it to the next.
    pub(super) fn samples(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let every = self.rows.len().div_ceil(SAMPLES).max(1);
        let count = self.rows.len().div_ceil(every).max(1);
        let bytes = self.used_bytes() / count;
        let rows = self.rows.iter().step_by(every);
        rows.map(move |row| (self.key(row), bytes as u64))
    }

    /// Bytes of memory in use.
    pub(super) fn used_bytes(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<Row>()
    }

    /// Takes a row; lengths are below 2^32, as the rules of tables make sure.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        if self.is_ascending
            && let Some(last) = self.rows.last()
        {
            self.is_ascending = self.key(last) < key;
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.rows.push(Row {
            head: head(key),
            at,
            key_len: len(key),
            value_len: len(value),
        });
    }

    fn key(&self, row: &Row) -> &[u8] {
        &self.bytes[row.at..row.at + row.key_len as usize]
    }

    fn entry(&self, row: &Row) -> (&[u8], &[u8]) {
        self.bytes[row.at..row.at + row.len()].split_at(row.key_len as usize)
    }

    /// Sorts by key; of equal keys the one that came last stays.
    pub(super) fn sort(&mut self) {
        if self.is_ascending {
            return;
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|a, b| match a.head.cmp(&b.head) {
            // Newer rows first, so that the first of equal keys is the one that stays.
            Ordering::Equal => (self.key(a), b.at).cmp(&(self.key(b), a.at)),
            order => order,
        });
        rows.dedup_by(|later, kept| later.head == kept.head && self.key(later) == self.key(kept));
        self.rows = rows;
        self.is_ascending = true;
    }

    /// The rows in their present order.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|row| self.entry(row))
    }

    /// The row at this place.
    pub(super) fn get(&self, at: usize) -> Option<(&[u8], &[u8])> {
        self.rows.get(at).map(|row| self.entry(row))
    }

    /// Replaces what is here by as many of these rows of another chunk as have so many bytes
    /// together, and says how many they are.
    pub(super) fn copy(&mut self, other: &Self, rows: Range<usize>, bytes_max: usize) -> usize {
        self.clear();
        for row in other.rows.get(rows).unwrap_or_default() {
            let (at, len) = (self.bytes.len(), row.len());
            if at + len > bytes_max {
                break;
            }
            self.bytes
                .extend_from_slice(&other.bytes[row.at..row.at + len]);
            self.rows.push(Row { at, ..*row });
        }
        self.rows.len()
    }

    /// The head of the key at this place; keys with different heads are ordered as their heads.
    pub(super) fn head(&self, at: usize) -> u64 {
        self.rows.get(at).map_or(u64::MAX, |row| row.head)
    }

    /// Forgets all rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.is_ascending = true;
    }
}
