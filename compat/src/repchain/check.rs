//! The check of a few blocks of each file at the start, as an explicit call (R26).
//!
//! Invariants: writes nothing; which blocks are looked at follows from the seed alone; everything
//! that is known of a block is compared with its bytes: hash, previous hash, transactions, and the
//! ways to find it. What does not agree is an answer and no error. Cost: a few reads a block, and
//! some 20 gets a file to find where it ends.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use sha2::{Digest, Sha256};
use storage_api::KvStore;
use storage_api::blocks::{BlockHash, BlockStore, Height, TxPlace};

use super::blocks::{Blocks, NO_PARENT};
use super::codec::BlockCodec;
use super::error::Error;
use super::words::FileNo;

/// Which blocks a self-check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfCheckOptions {
    /// Chooses the blocks: another one at each start looks at others.
    pub seed: u64,
    /// How many of each file; all of them where there are fewer.
    pub blocks_per_file: NonZeroU32,
}

impl SelfCheckOptions {
    /// Ten blocks of each file, as in the original.
    #[must_use]
    pub const fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            blocks_per_file: NonZeroU32::MIN.saturating_add(9),
        }
    }
}

/// A block that is not what the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its file.
    pub file_no: FileNo,
    /// Its height.
    pub height: Height,
    /// What does not agree.
    pub what: String,
}

/// What a self-check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfCheck {
    /// The files that have blocks.
    pub files: u64,
    /// The blocks that were looked at.
    pub blocks: u64,
    /// What does not agree.
    pub faults: Vec<Fault>,
}

/// Heights of a file, chosen by the seed.
fn choose(options: &SelfCheckOptions, file_no: FileNo, (first, last): (u64, u64)) -> BTreeSet<u64> {
    let there = (last - first).saturating_add(1);
    let wanted = u64::from(options.blocks_per_file.get());
    if there <= wanted {
        return (first..=last).collect();
    }
    let mut chosen = BTreeSet::new();
    let mut draw = 0_u64;
    while (chosen.len() as u64) < wanted {
        let mut hash = Sha256::new();
        for number in [options.seed, file_no.get(), draw] {
            hash.update(number.to_be_bytes());
        }
        draw += 1;
        let digest: [u8; 32] = hash.finalize().into();
        let number = digest
            .first_chunk()
            .map_or(draw, |bytes| u64::from_be_bytes(*bytes));
        chosen.insert(first + number % there);
    }
    chosen
}

impl<S: KvStore, C: BlockCodec> Blocks<S, C> {
    /// Compares some blocks of each file with what the index says of them; writes nothing. A check
    /// of everything is [`blocks::SegmentBlocks::check`].
    ///
    /// # Errors
    /// `Block` when the store fails; what does not agree is an answer.
    pub fn self_check(&self, options: &SelfCheckOptions) -> Result<SelfCheck, Error> {
        let view = self.store.begin_read()?;
        let mut found = SelfCheck::default();
        let (Some(tail), Some(tip)) = (self.blocks.tail(&view)?, self.blocks.tip(&view)?) else {
            return Ok(found);
        };
        let tip = tip.height.get();
        let mut next = Some(tail.height.get());
        while let Some(first) = next {
            let file_no = self.file_of(&view, Height::new(first))?;
            let last = self.last_in_file(&view, file_no, (first, tip))?;
            found.files += 1;
            for height in choose(options, file_no, (first, last)) {
                let height = Height::new(height);
                found.blocks += 1;
                if let Some(what) = self.fault_of(&view, height) {
                    found.faults.push(Fault {
                        file_no,
                        height,
                        what,
                    });
                }
            }
            next = last.checked_add(1).filter(|next| *next <= tip);
        }
        Ok(found)
    }

    /// The last height in the file of the first one. Files are in the order of heights.
    fn last_in_file(
        &self,
        view: &S::ReadTxn,
        file_no: FileNo,
        (first, tip): (u64, u64),
    ) -> Result<u64, Error> {
        let (mut inside, mut outside) = (first, tip.saturating_add(1));
        while outside - inside > 1 {
            let middle = inside + (outside - inside) / 2;
            if self.file_of(view, Height::new(middle))? == file_no {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        Ok(inside)
    }

    /// What does not agree of a block.
    fn fault_of(&self, view: &S::ReadTxn, height: Height) -> Option<String> {
        match self.compare(view, height) {
            Ok(what) => what.map(str::to_owned),
            Err(error) => Some(error.to_string()),
        }
    }

    fn compare(&self, view: &S::ReadTxn, height: Height) -> Result<Option<&'static str>, Error> {
        let Some(info) = self.blocks.info(view, height)? else {
            return Ok(Some("it has no entry in the index"));
        };
        let Some(bytes) = self.blocks.body(view, height)? else {
            return Ok(Some("it has no place in a file"));
        };
        let facts = self.facts(&bytes)?;
        if facts.hash != info.hash {
            return Ok(Some("its hash is another one"));
        }
        let no_parent = BlockHash::new(&NO_PARENT)?;
        if facts.previous.unwrap_or(no_parent) != info.parent {
            return Ok(Some("its previous hash is another one"));
        }
        if self.blocks.height_of(view, &facts.hash)? != Some(height) {
            return Ok(Some("its hash leads to another height"));
        }
        if self.blocks.tx_ids(view, height)? != facts.tx_ids {
            return Ok(Some("its transactions are others"));
        }
        for (position, tx_id) in (0_u32..).zip(&facts.tx_ids) {
            let place = TxPlace { height, position };
            if !self.blocks.tx_places(view, tx_id)?.contains(&place) {
                return Ok(Some("one of its transactions does not lead to it"));
            }
        }
        Ok(None)
    }
}
