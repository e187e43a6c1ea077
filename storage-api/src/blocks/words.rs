//! The words of a chain: height, block hash, transaction id, and what is known of a block.
//!
//! Invariant: none of them is ever a bare number or a bare byte string in a signature. Hashes hold
//! the chain's own internal byte order; printing them the way the chain's tools do is the caller's,
//! who knows the chain.

use std::fmt;

use crate::error::{Error, Result};

/// The longest block hash or transaction id, in bytes.
pub const HASH_BYTES_MAX: usize = 64;

/// A block's distance from the chain's first block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(u64);

impl Height {
    /// The first block of a chain.
    pub const ZERO: Self = Self(0);

    /// The height of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The height above; the last one is its own.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The height below, `None` for the first.
    #[must_use]
    pub const fn prev(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! short_bytes {
    ($name:ident, $what:literal) => {
        #[doc = concat!("A ", $what, ": 1..=64 bytes in the chain's internal order.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            // The length is compared after the bytes, which are zero behind it.
            bytes: [u8; HASH_BYTES_MAX],
            len: u8,
        }

        impl $name {
            #[doc = concat!("A ", $what, " of these bytes.")]
            ///
            /// # Errors
            /// `InvalidArgument` unless there are 1..=64 of them.
            pub fn new(source: &[u8]) -> Result<Self> {
                let mut bytes = [0; HASH_BYTES_MAX];
                match (bytes.get_mut(..source.len()), u8::try_from(source.len())) {
                    (Some(target), Ok(len)) if len > 0 => {
                        target.copy_from_slice(source);
                        Ok(Self { bytes, len })
                    }
                    _ => Err(Error::invalid(format!(
                        "{} of {} bytes, 1..={HASH_BYTES_MAX} expected",
                        $what,
                        source.len()
                    ))),
                }
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.bytes.split_at(usize::from(self.len)).0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_bytes()
                    .iter()
                    .try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    };
}

short_bytes!(BlockHash, "block hash");
short_bytes!(TxId, "transaction id");

/// Height and hash of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

/// A block to be stored, borrowed from its owner.
#[derive(Clone, Copy, Debug)]
pub struct NewBlock<'b> {
    /// Its height: the tip's plus one; any for the first block of a store.
    pub height: Height,
    /// Its hash: not yet in the store.
    pub hash: BlockHash,
    /// Its parent's hash: the tip's; not checked for the first block of a store.
    pub parent: BlockHash,
    /// Ids of its transactions, in order.
    pub tx_ids: &'b [TxId],
    /// Its bytes; they may be empty.
    pub body: &'b [u8],
}

/// What the index knows of a block, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its parent's hash.
    pub parent: BlockHash,
    /// Number of its transactions.
    pub tx_count: u32,
    /// Length of its body in bytes.
    pub body_bytes: u64,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxPlace {
    /// Height of its block.
    pub height: Height,
    /// Its place in the block, from 0.
    pub position: u32,
}

/// What the store holds, kept up to date in each commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockTotals {
    /// Blocks.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
}

/// Which blocks a range read wants: from `start` upwards until a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockQuery {
    /// Lowest height wanted; heights below the tail begin at the tail.
    pub start: Height,
    /// Most blocks.
    pub blocks_max: u64,
    /// Most bytes of bodies. The first block is given whatever its size, so that a reader always
    /// gets on.
    pub body_bytes_max: u64,
}

impl BlockQuery {
    /// Every block from this height on.
    #[must_use]
    pub const fn from(start: Height) -> Self {
        Self {
            start,
            blocks_max: u64::MAX,
            body_bytes_max: u64::MAX,
        }
    }
}
