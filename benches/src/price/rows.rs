//! The rows of a measured table and the order in which keys are asked for.
//!
//! Invariants: everything follows from the seed; keys are random, so neighbours share no prefix;
//! the writes of a round are distinct keys, so that no form is paid for dropping one.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::workload::{KEY_BYTES, Key};

/// The seed of everything here.
pub const SEED: u64 = 0x5eed_0012;

/// Rows with the orders in which they are used.
#[derive(Debug)]
pub struct Rows {
    /// Keys, ascending.
    pub keys: Vec<Key>,
    /// The keys in random order.
    pub hits: Vec<Key>,
    /// Keys that are not there.
    pub misses: Vec<Key>,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Random bytes that values are taken from.
    pool: Vec<u8>,
}

impl Rows {
    /// So many rows with values of this size.
    #[must_use]
    pub fn new(rows: usize, value_bytes: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(SEED ^ value_bytes as u64);
        let mut key = || {
            let mut key = [0; KEY_BYTES];
            random.fill_bytes(&mut key);
            key
        };
        let mut keys: Vec<Key> = (0..rows).map(|_| key()).collect();
        let misses = (0..rows).map(|_| key()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut hits = keys.clone();
        hits.shuffle(&mut random);
        let mut pool = vec![0; value_bytes + (1 << 16)];
        random.fill(&mut pool[..]);
        Self {
            keys,
            hits,
            misses,
            value_bytes,
            pool,
        }
    }

    /// The value number `version` of the row at this place.
    #[must_use]
    #[inline]
    pub fn value(&self, at: usize, version: usize) -> &[u8] {
        let from = at.wrapping_mul(7).wrapping_add(version.wrapping_mul(131)) & 0xffff;
        &self.pool[from..from + self.value_bytes]
    }
}

/// Keys in turn, over and over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn(usize);

impl Turn {
    /// The next place among so many.
    #[inline]
    pub fn next(&mut self, len: usize) -> usize {
        let at = if self.0 >= len { 0 } else { self.0 };
        self.0 = at + 1;
        at
    }

    /// The next `count` neighbouring places among so many.
    #[inline]
    pub fn next_many(&mut self, count: usize, len: usize) -> std::ops::Range<usize> {
        let count = count.min(len);
        let from = if self.0 + count > len { 0 } else { self.0 };
        self.0 = from + count;
        from..from + count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_repeat_and_turns_go_round() {
        let [a, b] = [(); 2].map(|()| Rows::new(50, 32));
        assert!(a.keys == b.keys && a.hits == b.hits && a.misses == b.misses);
        assert_eq!(a.value(3, 1), b.value(3, 1));
        assert!(a.value(49, 1 << 40).len() == 32 && a.keys.is_sorted());
        assert!(a.misses.iter().all(|miss| !a.keys.contains(miss)));
        let mut turn = Turn::default();
        let places: Vec<usize> = (0..4).map(|_| turn.next(3)).collect();
        assert_eq!(places, [0, 1, 2, 0]);
        let mut turn = Turn::default();
        assert_eq!(turn.next_many(2, 3), 0..2);
        assert_eq!(turn.next_many(2, 3), 0..2);
        assert_eq!(turn.next_many(9, 3), 0..3);
    }
}
