//! Importing a chain: decoded blocks in, commits out: one for each block that is to be durable, one
//! for many where the caller asks for less.
//!
//! Invariants: a block is stored whole or not at all (body, index, world state and the summary are
//! in one commit); what came before a bad record stays; running the same import again passes over
//! what is stored or was pruned and goes on behind it. The decoder stands behind an iterator of
//! records, so that another source of blocks needs nothing from here.

mod below;
mod bitcoin;
mod files;
mod group;
mod preamble;
mod source;
mod unspent;

use std::fmt;
use std::path::{Path, PathBuf};

use storage_api::Reader;
use storage_api::blocks::{BlockError, BlockHash, BlockStore, Height};

use crate::bitcoin::{BtcHash, Error as BitcoinError, Network, OutPoint, RecordPosition};
use crate::format::{ChainFormat, ChainKind, DetectError};

pub use bitcoin::BitcoinImport;
pub use files::FileImport;
pub use preamble::AntelopeState;
pub use source::SourceFile;
pub use unspent::{BitcoinSummary, UnspentSet};

/// Whether an import may begin in the middle of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// From the chain's beginning: every spent output must be known.
    #[default]
    Whole,
    /// From any block on: spent outputs that were never seen are counted.
    Partial,
}

/// Which block ended an import, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// File, record and offset.
    pub at: RecordPosition,
    /// The block's hash.
    pub hash: BtcHash,
}

impl fmt::Display for BlockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: block {}", self.at, self.hash)
    }
}

/// Why an import stopped. Every block before the one named is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] storage_api::Error),
    /// The block store refused the block.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// The file is not readable or not what it should be.
    #[error(transparent)]
    Source(#[from] BitcoinError),
    /// The store and the file are of two networks.
    #[error("{place}: the file is of {found}, the store of {expected}")]
    Network {
        /// The block.
        place: Box<BlockPlace>,
        /// The store's network.
        expected: Network,
        /// The file's network.
        found: Network,
    },
    /// The block's parent is not stored: the file leaves blocks out, or is of another chain, or
    /// its block is below the tail and nothing says so (mainnet's before height 227,931 state
    /// none), and then the file of the lowest stored block is the one to begin with.
    #[error(
        "{place}: its parent {parent} is not stored; blocks {tail} to {height} are, the tip is \
         {tip}"
    )]
    MissingParent {
        /// The block.
        place: Box<BlockPlace>,
        /// Its parent.
        parent: Box<BtcHash>,
        /// The store's tip.
        tip: Box<BtcHash>,
        /// The tip's height.
        height: Height,
        /// The height of the lowest stored block.
        tail: Height,
    },
    /// The block's parent is stored below the tip: a fork, which an import does not follow.
    #[error("{place}: a fork: its parent is stored at height {parent}, the tip is at {tip}")]
    Fork {
        /// The block.
        place: Box<BlockPlace>,
        /// The parent's height.
        parent: Height,
        /// The tip's height.
        tip: Height,
    },
    /// The first block is not the chain's first, and the import was not told that this is meant.
    #[error("{place}: begins in mid-chain; say --partial to count spent outputs never seen")]
    MidChain {
        /// The block.
        place: Box<BlockPlace>,
    },
    /// Nothing says how high the first block is.
    #[error("{place}: nothing says its height; say --first-height")]
    UnknownHeight {
        /// The block.
        place: Box<BlockPlace>,
    },
    /// What was said of the first block's height is not so.
    #[error("{place}: its height is {found}, not {asked} as said by --first-height")]
    WrongHeight {
        /// The block.
        place: Box<BlockPlace>,
        /// Height that was said.
        asked: Height,
        /// Height that the chain gives.
        found: Height,
    },
    /// The block spends an output that does not exist or was spent before.
    #[error(
        "{place}: spends output {}:{}, which does not exist or is spent",
        .output.tx_id,
        .output.vout
    )]
    MissingOutput {
        /// The block.
        place: Box<BlockPlace>,
        /// The output.
        output: Box<OutPoint>,
    },
    /// The file cannot be opened, read or decompressed.
    #[error("cannot read {}", .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first bytes do not tell the format of the file.
    #[error("{}: unknown format", .file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: DetectError,
    },
    /// The file is of another format than was said.
    #[error("{}: the file is {found}, {expected} was said", .file.display())]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// The format that was said.
        expected: ChainFormat,
        /// The format of the file.
        found: ChainFormat,
    },
    /// The file is of a format that the other kind of import reads.
    #[error("{}: the file is {found}, which this import does not read", .file.display())]
    OtherImport {
        /// The file.
        file: PathBuf,
        /// The format of the file.
        found: ChainFormat,
    },
    /// The file is of another kind of chain than the blocks that are stored.
    #[error("{}: the file is of {found}, the store holds blocks of {expected}", .file.display())]
    OtherChain {
        /// The file.
        file: PathBuf,
        /// The chain of the stored blocks.
        expected: ChainKind,
        /// The chain of the file.
        found: ChainKind,
    },
    /// The file is a log of another chain than that whose log came first.
    #[error(
        "{}: the log is of chain {}, the store of chain {}",
        .file.display(),
        hex(.found),
        hex(.expected)
    )]
    OtherLog {
        /// The file.
        file: PathBuf,
        /// The chain id of the store.
        expected: Box<chain_files::Hash>,
        /// The chain id of the log.
        found: Box<chain_files::Hash>,
    },
    /// The store holds another block at that height: a fork, or another chain.
    #[error(
        "{}: {at}: another chain or a fork: block {found} at height {height}, where {stored} is \
         stored",
        .file.display()
    )]
    OtherBlock {
        /// The file.
        file: PathBuf,
        /// The record and its offset.
        at: chain_files::Position,
        /// The block's height.
        height: Height,
        /// The block that is stored there.
        stored: Box<BlockHash>,
        /// The block of the file.
        found: Box<BlockHash>,
    },
    /// A record of the file is not what it should be.
    #[error("{}: {what}", .file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// The record, its offset, and what is wrong.
        what: Box<chain_files::Error>,
    },
    /// The store refuses a block of the file: it does not follow the tip.
    #[error("{}: {at}: {why}", .file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// The record and its offset.
        at: chain_files::Position,
        /// Why.
        why: BlockError,
    },
    /// A block higher than this format's 32-bit heights.
    #[error("{place}: height {height} is past the limit of {}", u32::MAX)]
    TooHigh {
        /// The block.
        place: Box<BlockPlace>,
        /// Its height.
        height: Height,
    },
}

impl ImportError {
    /// Whether the store failed, and not the file.
    const fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Blocks(BlockError::Store(_)))
    }
}

/// What an import did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The file that is being read.
    pub file: PathBuf,
    /// Bytes read of that file as it lies on disk, compressed or not, for progress against its
    /// length.
    pub file_bytes_read: u64,
    /// Blocks stored.
    pub blocks: u64,
    /// Blocks that were passed over: stored before, or below the tail.
    pub known_blocks: u64,
    /// Those of them that are below the tail, pruned or never stored, so nothing but the links of
    /// the file says of which chain they are.
    pub below_tail_blocks: u64,
    /// Transactions stored.
    pub transactions: u64,
    /// Bytes of bodies stored.
    pub body_bytes: u64,
    /// The tip's height after the last block.
    pub tip: Option<Height>,
    /// It was asked to stop, and did so between two commits.
    pub stopped: bool,
}

impl ImportReport {
    fn pass_below_tail(&mut self) {
        self.known_blocks += 1;
        self.below_tail_blocks += 1;
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a file of another kind of chain than the newest stored block is of. Blocks of no known
/// format are left to the checks of hashes and links. Cost: one body.
fn check_chain<B: BlockStore, R: Reader>(
    blocks: &B,
    reader: &R,
    file: &Path,
    found: ChainKind,
) -> Result<(), ImportError> {
    match ChainFormat::of_tip(blocks, reader)? {
        Some(stored) if stored.chain() != found => Err(ImportError::OtherChain {
            file: file.to_owned(),
            expected: stored.chain(),
            found,
        }),
        _ => Ok(()),
    }
}

/// Whether blocks are stored and all of them are higher. Cost: two gets, above the tip; else four.
fn is_below_tail<B: BlockStore, R: Reader>(
    blocks: &B,
    reader: &R,
    height: Height,
) -> Result<bool, BlockError> {
    // A block above the tip needs nothing of the tail, which may be what is damaged.
    if blocks.tip(reader)?.is_none_or(|tip| height > tip.height) {
        return Ok(false);
    }
    Ok(blocks
        .tail(reader)?
        .is_some_and(|tail| height < tail.height))
}
