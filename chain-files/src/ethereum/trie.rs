//! The root of a Merkle-Patricia trie whose keys are the numbers 0, 1, 2 ... in RLP.
//!
//! Yellow Paper, appendix D. The trie is never held: its nodes are made from the sorted keys, which
//! follow from their number alone, and are hashed at once. Must always hold: recursion is at most
//! ten deep, the nibbles of the longest key. Cost: one Keccak-256 over each value, and a seventh
//! of the number of values in branches.

use std::ops::Range;

use sha3::{Digest, Keccak256};

use super::keccak;
use crate::error::{Fault, Hash};
use crate::rlp::{self, Kind};

/// The RLP of a key and how many bytes of it are used; numbers stay below 2^32.
struct Key {
    bytes: [u8; 5],
    nibbles: usize,
}

impl Key {
    fn new(number: usize) -> Self {
        let [b0, b1, b2, b3] = (number as u32).to_be_bytes();
        let (bytes, length) = match (b0, b1, b2, b3) {
            (0, 0, 0, 0) => ([0x80, 0, 0, 0, 0], 1),
            (0, 0, 0, b3) if b3 < 0x80 => ([b3, 0, 0, 0, 0], 1),
            (0, 0, 0, b3) => ([0x81, b3, 0, 0, 0], 2),
            (0, 0, b2, b3) => ([0x82, b2, b3, 0, 0], 3),
            (0, b1, b2, b3) => ([0x83, b1, b2, b3, 0], 4),
            (b0, b1, b2, b3) => ([0x84, b0, b1, b2, b3], 5),
        };
        let nibbles = 2 * length;
        Self { bytes, nibbles }
    }

    /// The key's place in the order of keys: 1 to 127 come first, as themselves, then 0 (0x80),
    /// then the others (0x81...).
    fn at_rank(rank: usize, count: usize) -> (usize, Self) {
        let low = count.min(128) - 1;
        let number = match rank {
            _ if rank < low => rank + 1,
            _ if rank == low => 0,
            _ => rank,
        };
        (number, Self::new(number))
    }

    fn nibble(&self, at: usize) -> u8 {
        let byte = self.bytes.get(at / 2).copied().unwrap_or(0);
        if at.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 0x0f
        }
    }

    /// The nibbles of a range in the compact form of leaves and extensions.
    fn compact(&self, range: Range<usize>, leaf: bool) -> Vec<u8> {
        let flag = if leaf { 0x20 } else { 0x00 };
        let mut out = Vec::with_capacity(6);
        let mut at = range.start;
        if range.len().is_multiple_of(2) {
            out.push(flag);
        } else {
            out.push(flag | 0x10 | self.nibble(at));
            at += 1;
        }
        while at + 1 < range.end {
            out.push((self.nibble(at) << 4) | self.nibble(at + 1));
            at += 2;
        }
        out
    }
}

/// The root over `count` values, which `value` gives by their number.
///
/// # Errors
///
/// Those of `value`.
pub(super) fn ordered_root<'a>(
    count: usize,
    value: impl Fn(usize) -> Result<&'a [u8], Fault>,
) -> Result<Hash, Fault> {
    if count == 0 {
        return Ok(keccak(&[0x80]));
    }
    let trie = Trie { count, value };
    let (head, tail) = trie.node(0..count, 0)?;
    Ok(hash(&head, tail))
}

struct Trie<F> {
    count: usize,
    value: F,
}

/// A node in two parts: what was made for it, and the value that a leaf ends with.
type Node<'a> = (Vec<u8>, &'a [u8]);

impl<'a, F: Fn(usize) -> Result<&'a [u8], Fault>> Trie<F> {
    /// The node over the keys of these ranks, which share their first `depth` nibbles.
    fn node(&self, ranks: Range<usize>, depth: usize) -> Result<Node<'a>, Fault> {
        let (number, first) = Key::at_rank(ranks.start, self.count);
        if ranks.len() == 1 {
            return self.leaf(number, &first.compact(depth..first.nibbles, true));
        }
        let (_, last) = Key::at_rank(ranks.end - 1, self.count);
        // The keys are sorted, so what the first and the last share, all share.
        let shared = (depth..first.nibbles.min(last.nibbles))
            .take_while(|at| first.nibble(*at) == last.nibble(*at))
            .count();
        if shared > 0 {
            let mut payload = Vec::with_capacity(40);
            rlp::put_bytes(&mut payload, &first.compact(depth..depth + shared, false));
            payload.extend(reference(self.node(ranks, depth + shared)?));
            return Ok((list(&payload), &[]));
        }
        let mut payload = Vec::with_capacity(16 * 33 + 1);
        let mut start = ranks.start;
        for nibble in 0..16 {
            let mut end = start;
            while end < ranks.end && Key::at_rank(end, self.count).1.nibble(depth) == nibble {
                end += 1;
            }
            if start == end {
                payload.push(0x80);
            } else {
                payload.extend(reference(self.node(start..end, depth + 1)?));
            }
            start = end;
        }
        // No key is the beginning of another, so a branch never has a value of its own.
        payload.push(0x80);
        Ok((list(&payload), &[]))
    }

    fn leaf(&self, number: usize, path: &[u8]) -> Result<Node<'a>, Fault> {
        let value = (self.value)(number)?;
        let mut payload = Vec::with_capacity(24);
        rlp::put_bytes(&mut payload, path);
        if !matches!(value, [byte] if *byte < 0x80) {
            rlp::put_head(&mut payload, Kind::Bytes, value.len());
        }
        let mut head = Vec::with_capacity(32);
        rlp::put_head(&mut head, Kind::List, payload.len() + value.len());
        head.extend_from_slice(&payload);
        Ok((head, value))
    }
}

/// A node inside another: itself when shorter than a hash, else its hash.
fn reference((head, tail): Node<'_>) -> Vec<u8> {
    if head.len() + tail.len() < 32 {
        return [&head, tail].concat();
    }
    let mut out = Vec::with_capacity(33);
    rlp::put_bytes(&mut out, &hash(&head, tail));
    out
}

fn hash(head: &[u8], tail: &[u8]) -> Hash {
    Keccak256::new()
        .chain_update(head)
        .chain_update(tail)
        .finalize()
        .into()
}

fn list(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 3);
    rlp::put_head(&mut out, Kind::List, payload.len());
    out.extend_from_slice(payload);
    out
}
