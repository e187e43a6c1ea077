//! The accumulator of an era1 file: one root over block hashes and total difficulties.
//!
//! SSZ `hash_tree_root` of `List[HeaderRecord, 8192]`, SHA-256: a leaf is the hash of block hash
//! and total difficulty; the tree is 13 levels high whatever the count, empty places being zero;
//! the count is mixed in last. Cost: 32 bytes a block, and as many hashes as there are blocks.

use sha2::{Digest, Sha256};

use super::BLOCKS_MAX;
use crate::error::{Fault, Hash};

const LEVELS: u32 = BLOCKS_MAX.ilog2();

/// Collects the blocks of a file.
#[derive(Clone, Debug, Default)]
pub struct Accumulator {
    leaves: Vec<Hash>,
}

impl Accumulator {
    /// Adds the next block; the total difficulty has its least significant byte first.
    ///
    /// # Errors
    ///
    /// [`Fault::OverLimit`] after [`BLOCKS_MAX`] blocks.
    pub fn push(&mut self, hash: &Hash, total_difficulty: TotalDifficulty) -> Result<(), Fault> {
        if self.leaves.len() as u64 >= BLOCKS_MAX {
            return Err(Fault::OverLimit {
                what: "number of blocks in the file",
                found: BLOCKS_MAX + 1,
                limit: BLOCKS_MAX,
            });
        }
        self.leaves.push(pair(hash, &total_difficulty.0));
        Ok(())
    }

    /// The root over the blocks so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut level = self.leaves.clone();
        let mut zero = [0; 32];
        for _ in 0..LEVELS {
            if !level.len().is_multiple_of(2) {
                level.push(zero);
            }
            level = level
                .chunks_exact(2)
                .filter_map(|two| match two {
                    [left, right] => Some(pair(left, right)),
                    _ => None,
                })
                .collect();
            zero = pair(&zero, &zero);
        }
        let root = level.first().copied().unwrap_or(zero);
        let mut count = [0; 32];
        for (slot, byte) in count
            .iter_mut()
            .zip((self.leaves.len() as u64).to_le_bytes())
        {
            *slot = byte;
        }
        pair(&root, &count)
    }
}

/// A total difficulty: 256 bits, least significant byte first, as in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TotalDifficulty(pub [u8; 32]);

impl TotalDifficulty {
    /// The total with one more block, whose difficulty has its most significant byte first; `None`
    /// when it is more than 256 bits.
    #[must_use]
    pub fn plus(self, difficulty: [u8; 32]) -> Option<Self> {
        let mut sum = self.0;
        let mut carry = 0_u16;
        for (slot, byte) in sum.iter_mut().zip(difficulty.iter().rev()) {
            let digit = u16::from(*slot) + u16::from(*byte) + carry;
            *slot = (digit & 0xff) as u8;
            carry = digit >> 8;
        }
        (carry == 0).then_some(Self(sum))
    }
}

fn pair(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}
