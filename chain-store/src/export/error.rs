//! Why blocks are not exported, as values.
//!
//! Must always hold: an error about a block names its height; a source is never repeated in the
//! message of the error that carries it.

use std::io;
use std::path::PathBuf;

use storage_api::blocks::{BlockError, BlockHash, Height};

use crate::bitcoin::{DecodeError, Network};
use crate::format::ChainFormat;

/// Why an export was refused or ended. Nothing of it is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] storage_api::Error),
    /// The block store failed.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// The last height is below the first one.
    #[error("the last height {last} is below the first height {first}")]
    Reversed {
        /// The lowest height.
        first: Height,
        /// The highest height.
        last: Height,
    },
    /// The first block is of no format that is known here.
    #[error("the block at height {height} is of no format that can be exported")]
    UnknownFormat {
        /// Its height.
        height: Height,
    },
    /// A block is of a format that files of another one cannot hold.
    #[error("the block at height {height} is {found}, which a file of {asked} cannot hold")]
    OtherFormat {
        /// Its height.
        height: Height,
        /// The format of the file.
        asked: ChainFormat,
        /// The format of the block.
        found: ChainFormat,
    },
    /// More blocks than a file of the format holds.
    #[error("{blocks} blocks are more than the {limit} that a file of {format} holds")]
    TooManyBlocks {
        /// The format.
        format: ChainFormat,
        /// Blocks asked for.
        blocks: u64,
        /// Most blocks.
        limit: u64,
    },
    /// Nothing says of which network the blocks are.
    #[error("nothing says of which Bitcoin network the blocks are")]
    UnknownNetwork,
    /// Another network was said than the store knows.
    #[error("the blocks are of {stored}, {asked} was said")]
    OtherNetwork {
        /// The store's network.
        stored: Network,
        /// The network that was said.
        asked: Network,
    },
    /// The genesis state or chain id that a block log begins with is not in the store.
    #[error(
        "a block log from height {first} begins with the {what} of the chain, which the store does \
         not have"
    )]
    NoPreamble {
        /// The lowest height.
        first: Height,
        /// Genesis state or chain id.
        what: &'static str,
    },
    /// An index was asked for beside a file that has none.
    #[error("a file of {format} has no index beside it")]
    NoIndex {
        /// The format.
        format: ChainFormat,
    },
    /// A block is not what it has to be.
    #[error("the block at height {height} is damaged")]
    Block {
        /// Its height.
        height: Height,
        /// What is wrong with it.
        source: BlockFault,
    },
    /// Fewer blocks came than the index has.
    #[error("{found} of {expected} blocks could be read")]
    Missing {
        /// Blocks asked for.
        expected: u64,
        /// Blocks read.
        found: u64,
    },
    /// The output failed.
    #[error("cannot write the export")]
    Write(#[source] io::Error),
    /// The target file, or what it is made from, cannot be made.
    #[error("cannot write {}", .file.display())]
    Target {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is where the target file is to be.
    #[error("{} exists and was not touched", .file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// Where the target file is to be, something is that is no file and is never replaced.
    #[error("{} is no regular file and was not touched", .file.display())]
    NoFile {
        /// The path.
        file: PathBuf,
    },
    /// Another process writes the same target file.
    #[error("another process writes {}", .file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
}

/// What is wrong with a stored block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockFault {
    /// As a block of Bitcoin.
    #[error(transparent)]
    Bitcoin(#[from] DecodeError),
    /// As a block of one of the other formats.
    #[error(transparent)]
    File(#[from] chain_files::Fault),
    /// The body gives another hash or parent than the index has.
    #[error("{what} is {found}, the index has {indexed}")]
    Index {
        /// Hash or parent.
        what: &'static str,
        /// What the index has.
        indexed: Box<BlockHash>,
        /// What the body gives.
        found: Box<BlockHash>,
    },
    /// The body gives another height than the index has.
    #[error("its height is {found}")]
    Height {
        /// What the body gives.
        found: Height,
    },
}
