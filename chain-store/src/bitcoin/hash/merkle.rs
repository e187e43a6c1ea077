//! The Merkle root of a list of transaction hashes, and whether the list was tampered with.
//!
//! Must always hold: a list in which some level pairs two equal hashes is reported, because
//! repeating the end of a list can leave the root unchanged (CVE-2012-2459; Bitcoin Core
//! `ComputeMerkleRoot`). Cost: one double hash per pair, in the memory of the list itself.

use super::{BtcHash, sha256d};

/// A root, and whether two equal hashes were paired to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bitcoin) struct Root {
    /// The root; zero for an empty list.
    pub(in crate::bitcoin) hash: BtcHash,
    /// True when the list repeats itself so that a shorter list may have the same root.
    pub(in crate::bitcoin) mutated: bool,
}

/// Hashes the list pairwise, level by level, until one hash is left; the last hash of an odd
/// level is paired with itself.
pub(in crate::bitcoin) fn root(mut level: Vec<[u8; 32]>) -> Root {
    let mut mutated = false;
    while level.len() > 1 {
        let count = level.len();
        for pair in 0..count.div_ceil(2) {
            let left = level[2 * pair];
            let right = match level.get(2 * pair + 1) {
                Some(right) => {
                    mutated |= *right == left;
                    *right
                }
                None => left,
            };
            level[pair] = sha256d(&[&left, &right]);
        }
        level.truncate(count.div_ceil(2));
    }
    Root {
        hash: BtcHash::from_bytes(level.first().copied().unwrap_or_default()),
        mutated,
    }
}
