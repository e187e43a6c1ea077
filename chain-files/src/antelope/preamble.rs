//! What stands before the first entry of a block log.
//!
//! Must always hold: the bytes are kept as they were, so a copy of a log begins with the same
//! bytes. Memory: the preamble, at most some hundred bytes unless the genesis key is a long web
//! authentication key, which the limit bounds.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::block::Layout;
use super::pack::{SliceSource, Source, StreamSource};
use crate::error::{Fault, Hash};
use crate::input::Input;

/// Set in the version by nodes that prune the beginning of their log.
const PRUNED_FLAG: u32 = 1 << 31;
const VERSION_MAX: u32 = 4;
/// The longest preamble that is read.
const PREAMBLE_BYTES_MAX: u64 = 64 * 1024;
/// Genesis time, then after the key: the initial configuration.
const GENESIS_TIME_BYTES: u64 = 8;
const GENESIS_CONFIGURATION_BYTES: u64 = 68;
const TOTEM: u64 = u64::MAX;

/// The beginning of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    bytes: Vec<u8>,
    version: u32,
    first_block: u32,
    chain_id: Hash,
}

impl Preamble {
    /// Takes the beginning of a log from its bytes.
    ///
    /// # Errors
    ///
    /// [`Fault::Overrun`], [`Fault::Unsupported`], [`Fault::Value`], [`Fault::Trailing`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut source = SliceSource::new(bytes);
        let preamble = Self::read(&mut source)?;
        let left = (bytes.len() - source.taken()) as u64;
        if left > 0 {
            return Err(Fault::Trailing {
                what: "beginning of the log",
                count_bytes: left,
            });
        }
        Ok(preamble)
    }

    /// The beginning of a log that starts later than with block 1 (version 3).
    ///
    /// # Errors
    ///
    /// As [`from_chain_id_as`](Self::from_chain_id_as).
    pub fn from_chain_id(chain_id: Hash, first_block: u32) -> Result<Self, Fault> {
        Self::from_chain_id_as(chain_id, first_block, Layout::Plain)
    }

    /// The same for blocks that are packed in this way: version 3, or 4 for [`Layout::Prunable`].
    ///
    /// # Errors
    ///
    /// [`Fault::Unsupported`] when the first block is 0 or 1: a log from there holds the genesis
    /// state, which a chain id cannot stand for.
    pub fn from_chain_id_as(
        chain_id: Hash,
        first_block: u32,
        layout: Layout,
    ) -> Result<Self, Fault> {
        if first_block < 2 {
            return Err(Fault::Unsupported {
                what: "first block of a log without genesis state",
                found: u64::from(first_block),
            });
        }
        let version = match layout {
            Layout::Plain => 3_u32,
            Layout::Prunable => 4,
        };
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&first_block.to_le_bytes());
        bytes.extend_from_slice(&chain_id);
        bytes.extend_from_slice(&TOTEM.to_le_bytes());
        Ok(Self {
            bytes,
            version,
            first_block,
            chain_id,
        })
    }

    pub(super) fn from_input<R: Read>(input: &mut Input<R>) -> Result<Self, Fault> {
        let mut bytes = Vec::new();
        Self::read(&mut StreamSource {
            input,
            bytes: &mut bytes,
            limit_bytes: PREAMBLE_BYTES_MAX,
        })
    }

    fn read(source: &mut impl Source) -> Result<Self, Fault> {
        let version = u32::from_le_bytes(source.array("version of the block log")?);
        if version == 0 || version > VERSION_MAX {
            let what = if version & PRUNED_FLAG == 0 {
                "version of the block log"
            } else {
                "version of the block log, with pruning,"
            };
            return Err(Fault::Unsupported {
                what,
                found: u64::from(version),
            });
        }
        let first_block = match version {
            1 => 1,
            _ => u32::from_le_bytes(source.array("first block number")?),
        };
        if first_block == 0 {
            return Err(Fault::Unsupported {
                what: "first block number",
                found: 0,
            });
        }
        let chain_id = if version < 3 || first_block == 1 {
            let start = source.taken();
            source.take(GENESIS_TIME_BYTES, "genesis time")?;
            source.public_key()?;
            source.take(GENESIS_CONFIGURATION_BYTES, "genesis configuration")?;
            let genesis = source.bytes().get(start..source.taken());
            Sha256::digest(genesis.unwrap_or_default()).into()
        } else {
            source.array("chain id")?
        };
        if version > 1 {
            let found = u64::from_le_bytes(source.array("mark before the blocks")?);
            if found != TOTEM {
                return Err(Fault::Value {
                    what: "mark before the blocks",
                    expected: TOTEM,
                    found,
                });
            }
        }
        let bytes = source.bytes().get(..source.taken()).unwrap_or_default();
        Ok(Self {
            bytes: bytes.to_vec(),
            version,
            first_block,
            chain_id,
        })
    }

    /// The bytes as they stand in the log.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The version of the log, 1 to 4.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The number of the first block, from 1.
    #[must_use]
    pub fn first_block(&self) -> u32 {
        self.first_block
    }

    /// The chain's id: as stated, or the SHA-256 of the genesis state.
    #[must_use]
    pub fn chain_id(&self) -> Hash {
        self.chain_id
    }

    /// How blocks are packed in a log of this version.
    #[must_use]
    pub fn layout(&self) -> Layout {
        if self.version < 4 {
            Layout::Plain
        } else {
            Layout::Prunable
        }
    }
}
