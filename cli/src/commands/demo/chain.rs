//! The chain of the demonstration: blocks of transfers between accounts, made from a seed.
//!
//! ```text
//! body      header (80 bytes), then transfers (88 bytes each)
//! header    height (8)  parent hash (32)  root (32)  time (8)
//! transfer  from (4)  to (4)  amount (8)  number (8)  signature (64)
//! ```
//!
//! All numbers little-endian. A block's hash is the SHA-256 of its header, a transfer's id the
//! SHA-256 of its bytes, the root the SHA-256 of all ids. Invariants: the same seed makes the same
//! chain, byte by byte; a transfer never spends what an account does not have; signatures are
//! random bytes, there to be stored. Memory: one block and the balances.

use anyhow::Result;
use sha2::{Digest, Sha256};
use storage_api::blocks::{BlockHash, Height, TxId};

use crate::exit::Stop;

/// Accounts of the chain.
pub(super) const ACCOUNTS: u32 = 1_000;
/// What every account begins with, in the first block.
pub(super) const FIRST_BALANCE: u64 = 1_000_000;
/// Seconds between two blocks.
const BLOCK_SECONDS: u64 = 600;
const HEADER_BYTES: usize = 80;
const TRANSFER_BYTES: usize = 88;

/// Where random numbers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(pub(super) u64);

/// How many transfers every block but the first one carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransfersPerBlock(pub(super) u32);

/// `SplitMix64`, by Sebastiano Vigna (public domain): enough for made-up data, on every machine
/// the same.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn account(&mut self) -> u32 {
        // Fewer accounts than 2^32.
        self.below(u64::from(ACCOUNTS)) as u32
    }
}

/// One movement of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) amount: u64,
}

/// One block of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) height: Height,
    pub(super) hash: BlockHash,
    pub(super) parent: BlockHash,
    pub(super) tx_ids: Vec<TxId>,
    pub(super) body: Vec<u8>,
}

/// The chain, block after block, without end.
#[derive(Debug)]
pub(super) struct Chain {
    random: Random,
    transfers_per_block: TransfersPerBlock,
    balances: Vec<u64>,
    height: u64,
    parent: [u8; 32],
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Chain {
    /// The chain of a seed, from its first block on.
    pub(super) fn new(seed: Seed, transfers_per_block: TransfersPerBlock) -> Self {
        Self {
            random: Random(seed.0),
            transfers_per_block,
            balances: vec![FIRST_BALANCE; ACCOUNTS as usize],
            height: 0,
            parent: [0; 32],
        }
    }

    /// Makes the next block.
    pub(super) fn next_block(&mut self) -> Result<Block> {
        let count = if self.height == 0 {
            0
        } else {
            self.transfers_per_block.0
        };
        let mut body = vec![0; HEADER_BYTES];
        let mut tx_ids = Vec::with_capacity(count as usize);
        let mut root = Sha256::new();
        for position in 0..count {
            let at = body.len();
            self.push_transfer(&mut body, position);
            let id = sha256(&body[at..]);
            root.update(id);
            tx_ids.push(TxId::new(&id)?);
        }
        let root: [u8; 32] = root.finalize().into();
        body[..8].copy_from_slice(&self.height.to_le_bytes());
        body[8..40].copy_from_slice(&self.parent);
        body[40..72].copy_from_slice(&root);
        body[72..80].copy_from_slice(&(self.height * BLOCK_SECONDS).to_le_bytes());
        let hash = sha256(&body[..HEADER_BYTES]);
        let block = Block {
            height: Height::new(self.height),
            hash: BlockHash::new(&hash)?,
            parent: BlockHash::new(&self.parent)?,
            tx_ids,
            body,
        };
        self.height += 1;
        self.parent = hash;
        Ok(block)
    }

    fn push_transfer(&mut self, body: &mut Vec<u8>, position: u32) {
        let from = self.random.account();
        let to = (from + 1 + self.random.account() % (ACCOUNTS - 1)) % ACCOUNTS;
        // One account in a thousand can have at most all there is, far below 2^64.
        let most = self.balances[from as usize].min(FIRST_BALANCE / 100);
        let amount = self.random.below(most + 1);
        self.balances[from as usize] -= amount;
        self.balances[to as usize] += amount;
        // The number makes every transfer, and so its id, its own.
        let number = self.height << 32 | u64::from(position);
        body.extend_from_slice(&from.to_le_bytes());
        body.extend_from_slice(&to.to_le_bytes());
        body.extend_from_slice(&amount.to_le_bytes());
        body.extend_from_slice(&number.to_le_bytes());
        for _ in 0..8 {
            body.extend_from_slice(&self.random.next().to_le_bytes());
        }
    }
}

/// Reads the transfers of a body.
pub(super) fn transfers(body: &[u8]) -> Result<Vec<Transfer>> {
    let malformed = || Stop::Different(format!("a body of {} bytes is no block", body.len()));
    let rest = body.get(HEADER_BYTES..).ok_or_else(malformed)?;
    if !rest.len().is_multiple_of(TRANSFER_BYTES) {
        return Err(malformed().into());
    }
    let parse = |transfer: &[u8]| {
        let (from, rest) = transfer.split_first_chunk()?;
        let (to, rest) = rest.split_first_chunk()?;
        let (amount, _) = rest.split_first_chunk()?;
        let transfer = Transfer {
            from: u32::from_le_bytes(*from),
            to: u32::from_le_bytes(*to),
            amount: u64::from_le_bytes(*amount),
        };
        (transfer.from.max(transfer.to) < ACCOUNTS).then_some(transfer)
    };
    rest.chunks_exact(TRANSFER_BYTES)
        .map(|transfer| parse(transfer).ok_or_else(|| malformed().into()))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn blocks(seed: u64, count: usize) -> Vec<Block> {
        let mut chain = Chain::new(Seed(seed), TransfersPerBlock(7));
        (0..count).map(|_| chain.next_block().unwrap()).collect()
    }

    #[test]
    fn a_seed_makes_the_same_linked_chain() {
        let chain = blocks(1, 20);
        assert_eq!(chain, blocks(1, 20));
        assert_ne!(chain[1].hash, blocks(2, 2)[1].hash);
        for pair in chain.windows(2) {
            assert_eq!(pair[1].parent, pair[0].hash);
            assert_eq!(pair[1].height, pair[0].height.next());
            assert_eq!(pair[1].tx_ids.len(), 7);
        }
        let mut ids: Vec<_> = chain.iter().flat_map(|block| &block.tx_ids).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 19 * 7);
    }

    #[test]
    fn transfers_are_affordable_and_never_to_oneself() {
        let mut balances = vec![FIRST_BALANCE; ACCOUNTS as usize];
        for block in blocks(3, 500) {
            for transfer in transfers(&block.body).unwrap() {
                assert_ne!(transfer.from, transfer.to);
                let from = &mut balances[transfer.from as usize];
                *from = from.checked_sub(transfer.amount).unwrap();
                balances[transfer.to as usize] += transfer.amount;
            }
        }
        let total: u64 = balances.iter().sum();
        assert_eq!(total, FIRST_BALANCE * u64::from(ACCOUNTS));
    }

    #[test]
    fn a_body_that_is_no_block_is_refused() {
        let body = blocks(4, 2).pop().unwrap().body;
        assert!(transfers(&body[..79]).is_err());
        assert!(transfers(&body[..body.len() - 1]).is_err());
        let mut bad = body;
        bad[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&ACCOUNTS.to_le_bytes());
        assert!(transfers(&bad).is_err());
    }
}
