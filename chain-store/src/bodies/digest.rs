//! [`BlocksDigest`]: one SHA-256 over all blocks of a store, the same wherever bodies are kept.
//!
//! The bytes that are hashed are told in `docs/format/content-digest.md`. Invariant: two stores
//! have the same digest exactly if they hold the same blocks with the same heights, hashes,
//! parents, transaction ids and bodies. Cost: one read of every block.

use std::fmt;
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};
use storage_api::blocks::{BlockHash, BlockQuery, BlockResult, BlockStore, Height, TxId};
use storage_api::{Error, Reader};

const DOMAIN: &[u8] = b"chainstore blocks 1\n";
const BLOCK: u8 = 2;
const END: u8 = 3;

/// Blocks read at once, so that their ids are looked up between two reads of bodies.
const BLOCKS_A_TIME: u64 = 64;
/// Bytes of bodies read at once, unless a single one is longer.
const BODY_BYTES_A_TIME: u64 = 4 << 20;

/// The digest of a store's blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlocksDigest {
    sum: [u8; 32],
    blocks: u64,
}

fn add(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// What of a block comes before its ids, and its body's hash under way.
struct Read {
    height: Height,
    hash: BlockHash,
    parent: BlockHash,
    body: Vec<u8>,
}

impl BlocksDigest {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.sum
    }

    /// Blocks that were read.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Reads every block, reporting blocks read so far. Memory: some blocks, 4 MiB of bodies or
    /// one.
    ///
    /// # Errors
    /// `Store`, `BodyAbsent`.
    pub fn compute<B: BlockStore, R: Reader>(
        blocks: &B,
        reader: &R,
        progress: &mut dyn FnMut(u64),
    ) -> BlockResult<Self> {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        let mut count = 0;
        let mut next = Some(Height::ZERO);
        while let Some(start) = next {
            let query = BlockQuery {
                start,
                blocks_max: BLOCKS_A_TIME,
                body_bytes_max: BODY_BYTES_A_TIME,
            };
            let mut some = Vec::new();
            next = blocks.range(reader, query, &mut |info, body| {
                some.push(Read {
                    height: info.height,
                    hash: info.hash,
                    parent: info.parent,
                    body: body.to_vec(),
                });
                ControlFlow::Continue(())
            })?;
            for block in some {
                let tx_ids = blocks.tx_ids(reader, block.height)?;
                add_block(&mut hash, &block, &tx_ids);
                count += 1;
            }
            progress(count);
        }
        let totals = blocks.totals(reader)?;
        if totals.blocks != count {
            let what = format!("{count} blocks were read, the totals say {}", totals.blocks);
            return Err(Error::corruption("table blocks.index", what).into());
        }
        hash.update([END]);
        hash.update(count.to_le_bytes());
        Ok(Self {
            sum: hash.finalize().into(),
            blocks: count,
        })
    }
}

fn add_block(hash: &mut Sha256, block: &Read, tx_ids: &[TxId]) {
    hash.update([BLOCK]);
    hash.update(block.height.get().to_le_bytes());
    add(hash, block.hash.as_bytes());
    add(hash, block.parent.as_bytes());
    hash.update((tx_ids.len() as u64).to_le_bytes());
    for id in tx_ids {
        add(hash, id.as_bytes());
    }
    add(hash, &block.body);
}

impl fmt::Display for BlocksDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlocksDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {} blocks", self.blocks)
    }
}
