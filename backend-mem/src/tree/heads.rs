//! Key heads: the eight bytes of a key that decide most comparisons without touching the key
//! itself.
//!
//! A node keeps, beside its packed keys, one big-endian `u64` per key taken after the prefix that
//! all its keys share. Invariant used everywhere: with a common prefix of `skip` bytes,
//! `a < b` implies `head(a) <= head(b)`, so different heads decide and equal heads need the keys.
//! Unused head slots hold `u64::MAX`. Cost of a search: one pass over a few cache lines.

use std::cmp::Ordering;
use std::hint::black_box;
use std::ops::Range;

/// The padding of unused head slots; it sorts after or beside every real head.
pub(super) const PAD: u64 = u64::MAX;

/// The eight bytes of `key` after its first `skip`, big-endian, zero-padded.
#[inline]
pub(super) fn head(key: &[u8], skip: usize) -> u64 {
    let tail = key.get(skip..).unwrap_or_default();
    if let Some(chunk) = tail.first_chunk::<8>() {
        return u64::from_be_bytes(*chunk);
    }
    let mut padded = [0u8; 8];
    padded[..tail.len()].copy_from_slice(tail);
    u64::from_be_bytes(padded)
}

/// Reads one value for the sake of its cache line. Counter updates are locked instructions, which
/// wait for each other; plain reads of their lines beforehand miss the cache side by side.
#[inline]
pub(super) fn touch<T: Copy>(value: &T) {
    black_box(*value);
}

/// How many leading bytes `a` and `b` have in common.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The shortest string `s` with `left < s <= right`; `left < right` must hold.
pub(super) fn separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    &right[..(common_prefix(left, right) + 1).min(right.len())]
}

/// Where `key` stands against a prefix that all keys of a node share.
#[inline]
pub(super) fn against_prefix(key: &[u8], prefix: &[u8]) -> Ordering {
    key[..key.len().min(prefix.len())].cmp(prefix)
}

/// The indexes in the sorted `heads` whose head equals `wanted`; empty at the insertion point when
/// there are none.
#[inline]
pub(super) fn equal_heads(heads: &[u64], wanted: u64) -> Range<usize> {
    let low = heads.partition_point(|head| *head < wanted);
    let mut high = low;
    while heads.get(high) == Some(&wanted) {
        high += 1;
    }
    low..high
}
