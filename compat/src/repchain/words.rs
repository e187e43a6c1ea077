//! The words of the block chapter that are no blocks: limits, file numbers, options, and what is
//! known of a block.
//!
//! Invariants: a limit of 0 means 1000, as in the original; no number here can be negative.

use std::fmt;
use std::num::NonZeroU64;

use seglog::{ChainTag, SegmentNumber};
use sha2::{Digest, Sha256};
use storage_api::Durability;
use storage_api::blocks::{BlockHash, Height, TxId};

/// How many blocks a call without a limit gives at most.
pub const BLOCKS_DEFAULT: NonZeroU64 = NonZeroU64::MIN.saturating_add(999);

/// How many blocks are wanted at most: `limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// [`BLOCKS_DEFAULT`].
    #[default]
    Default,
    /// So many, also more than a thousand.
    AtMost(NonZeroU64),
}

impl Limits {
    /// The number, no more than the cap.
    #[must_use]
    pub fn blocks(self, cap: Option<NonZeroU64>) -> u64 {
        let wanted = match self {
            Self::Default => BLOCKS_DEFAULT,
            Self::AtMost(wanted) => wanted,
        };
        cap.map_or(wanted, |cap| cap.min(wanted)).get()
    }
}

impl From<u64> for Limits {
    /// 0 is the default.
    fn from(limits: u64) -> Self {
        NonZeroU64::new(limits).map_or(Self::Default, Self::AtMost)
    }
}

/// The number of a block file, from 0: `fileNo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNo(u64);

impl FileNo {
    /// The file of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The segment that the file is.
    #[must_use]
    pub const fn segment(self) -> SegmentNumber {
        SegmentNumber::new(self.0)
    }
}

impl From<SegmentNumber> for FileNo {
    fn from(segment: SegmentNumber) -> Self {
        Self(segment.get())
    }
}

impl fmt::Display for FileNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a chain of blocks is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The system's name: one chain a system. Files of another one are refused.
    pub system_name: String,
    /// Most bytes of blocks in a file, unless a single one is longer.
    pub file_bytes_max: u64,
    /// Bytes written in advance, so that the sync of a block does not change a file's size.
    pub advance_bytes: u64,
    /// Most blocks that one call gives as an array, whatever its limit; `None` for no cap.
    pub blocks_max: Option<NonZeroU64>,
    /// Bytes that have to be left on the disk of the store for a block to be taken; 0 for no alarm.
    pub disk_free_bytes_min: u64,
    /// What every commit asks for.
    pub durability: Durability,
}

impl Options {
    /// The original's defaults: files of 200,000,000 bytes, no cap; durable commits.
    #[must_use]
    pub fn for_system(system_name: &str) -> Self {
        Self {
            system_name: system_name.to_owned(),
            file_bytes_max: 200_000_000,
            advance_bytes: 1 << 20,
            blocks_max: None,
            disk_free_bytes_min: 0,
            durability: Durability::Durable,
        }
    }

    /// Stands for the system in its files.
    pub(crate) fn chain(&self) -> ChainTag {
        let digest: [u8; 32] = Sha256::digest(self.system_name.as_bytes()).into();
        let tag = digest
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        ChainTag::new(tag)
    }
}

/// What the index knows of a block: `blockindex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockIndexEntry {
    /// `blockHeight`.
    pub height: Height,
    /// `blockHash`.
    pub hash: BlockHash,
    /// `blockPrevHash`; `None` for the first block.
    pub previous: Option<BlockHash>,
    /// `txids`.
    pub tx_ids: Vec<TxId>,
    /// `BlockFileNo`.
    pub file_no: FileNo,
    /// `BlockFilePos`: where the record that begins with the block was written in the file, in
    /// bytes.
    pub file_pos: u64,
    /// `BlockLength`, in bytes.
    pub block_bytes: u64,
}

/// What became of a block that was to be restored; both are the original's `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is the last block now, at this height.
    Written(Height),
    /// It was the last block already, at this height; nothing was written.
    WasHead(Height),
}

impl Restored {
    /// The height of the block.
    #[must_use]
    pub const fn height(self) -> Height {
        match self {
            Self::Written(height) | Self::WasHead(height) => height,
        }
    }
}
