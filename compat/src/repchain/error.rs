//! What can go wrong with a chain of blocks and with raw block files.
//!
//! Invariants: a refusal says what was expected and what was found, and comes before anything is
//! written; what the original answers with null, an empty buffer or a lost count is a value or a
//! typed error here. What is not there (a hash, a height, a transaction) is `None` and no error.

use std::fmt;

use seglog::LogError;
use storage_api::blocks::{BlockError, BlockHash, Height};

use super::codec::CodecError;
use super::help::FilePos;
use super::words::FileNo;

/// A previous hash, as a block has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousHash(pub(crate) Option<Box<BlockHash>>);

impl PreviousHash {
    pub(crate) fn of(hash: Option<&BlockHash>) -> Self {
        Self(hash.map(|hash| Box::new(*hash)))
    }

    /// The hash; `None` for the empty one of a first block.
    #[must_use]
    pub fn hash(&self) -> Option<&BlockHash> {
        self.0.as_deref()
    }
}

impl fmt::Display for PreviousHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(hash) = &self.0 else {
            return f.write_str("none");
        };
        let bytes = hash.as_bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.iter().all(u8::is_ascii_graphic) => f.write_str(text),
            _ => write!(f, "0x{hash}"),
        }
    }
}

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block store or the store below it.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A raw block file.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The bytes are no block.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The block does not follow the last one; nothing was written.
    #[error("the block to be number {height} follows {found}, {expected} is the last one")]
    WrongPrevious {
        /// The height that comes next.
        height: Height,
        /// The hash of the last block; none in an empty chain.
        expected: PreviousHash,
        /// What the block has.
        found: PreviousHash,
    },
    /// The block is in the chain already, and is not the last one; nothing was written.
    #[error("the block is in the chain already, at height {height}")]
    AlreadyStored {
        /// Where it is.
        height: Height,
    },
    /// The file system has less space left than is to be kept free; nothing was written.
    #[error("{free} bytes are left on the disk, {least} are to be kept free")]
    LowDiskSpace {
        /// Bytes that are left.
        free: u64,
        /// Bytes that have to be left.
        least: u64,
    },
    /// A raw block file ends before the bytes asked for do.
    #[error("file {file_no} has {file_bytes} bytes, {len} were asked for from {start}")]
    ShortRead {
        /// The file.
        file_no: FileNo,
        /// Where the bytes asked for begin.
        start: FilePos,
        /// How many were asked for.
        len: u32,
        /// The file's length; 0 when there is none.
        file_bytes: u64,
    },
    /// Raw block files grow at their end only.
    #[error("a block was to be written to file {file_no} at {start}, the end is {end_no} at {end}")]
    NotTheEnd {
        /// The file that was named.
        file_no: FileNo,
        /// The position that was named.
        start: FilePos,
        /// The file in which a block of this length would go.
        end_no: FileNo,
        /// The position at which it would go.
        end: FilePos,
    },
}

impl From<storage_api::Error> for Error {
    fn from(error: storage_api::Error) -> Self {
        Self::Block(error.into())
    }
}

/// Some blocks of a list were restored, and then one was not.
#[derive(Debug, thiserror::Error)]
#[error("{restored} blocks of the list were restored, the next one was not")]
pub struct RestoreError {
    /// How many were, from the beginning of the list; they are durable.
    pub restored: u64,
    /// Why the next one was not.
    pub source: Error,
}
