//! The formats of chain files, told from a file's first bytes or from a stored body.
//!
//! Must always hold: a format is told from content, never from a name; where first bytes could be
//! two formats, the work of a Bitcoin header decides, which chance does not meet; a stored body is
//! of a format only when that format's own check accepts it and gives the height, hash and parent
//! that the index has. Cost: a look at [`SNIFF_BYTES`], or the decoding of one block.

use std::fmt;

use chain_files::antelope::LogReader;
use chain_files::{Fault, FileFormat, Hash, ReadOptions};
use storage_api::Reader;
use storage_api::blocks::{BlockError, BlockInfo, BlockResult, BlockStore, Height};

use crate::bitcoin::{Block, DecodeError, HEADER_BYTES, Header, Network};

/// Bytes of a file that tell its format: the beginning of a block log with the keys of its genesis,
/// or the first record of another file as far as its header.
pub const SNIFF_BYTES: usize = 4096;

const MAGIC_BYTES: usize = 4;
const FRAME_BYTES: usize = 8;
/// The head of a list whose length is stated in four bytes.
const RLP_LIST_HEAD_MAX: u8 = 0xfb;

/// A format of chain files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChainFormat {
    /// Block files of Bitcoin: `magic length block` repeated, or one bare block.
    Bitcoin,
    /// Concatenated RLP blocks of an Ethereum chain, as `geth export` writes them.
    EthereumRlp,
    /// An era1 file of an Ethereum chain.
    Era1,
    /// A `blocks.log` of an Antelope chain.
    Antelope,
}

/// The kinds of chains; one store holds blocks of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChainKind {
    /// Bitcoin.
    Bitcoin,
    /// Ethereum.
    Ethereum,
    /// Antelope.
    Antelope,
}

impl fmt::Display for ChainKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bitcoin => "Bitcoin",
            Self::Ethereum => "Ethereum",
            Self::Antelope => "Antelope",
        })
    }
}

impl fmt::Display for ChainFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why first bytes do not tell a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// There is nothing.
    #[error("the file is empty")]
    Empty,
    /// They fit none.
    #[error(
        "neither a Bitcoin block file, nor an Ethereum RLP chain, nor era1, nor an Antelope block \
         log"
    )]
    Unknown,
}

/// What is wrong with a body that a format's own check refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyFault {
    /// As a block of Bitcoin.
    #[error(transparent)]
    Bitcoin(#[from] DecodeError),
    /// As a block of one of the other formats.
    #[error(transparent)]
    File(#[from] Fault),
}

/// What a body says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockFacts {
    /// Its height, where the body states it for certain; a block of Bitcoin does not.
    pub height: Option<Height>,
    /// Its hash.
    pub hash: Hash,
    /// The hash of the block before.
    pub parent: Hash,
    /// Number of its transactions.
    pub tx_count: usize,
}

impl BlockFacts {
    /// Whether the index says the same of the block.
    #[must_use]
    pub fn agree_with(&self, info: &BlockInfo) -> bool {
        self.height.is_none_or(|height| height == info.height)
            && self.hash == info.hash.as_bytes()
            && self.parent == info.parent.as_bytes()
            && u32::try_from(self.tx_count).is_ok_and(|count| count == info.tx_count)
    }
}

impl From<FileFormat> for ChainFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::EthereumRlp => Self::EthereumRlp,
            FileFormat::Era1 => Self::Era1,
            FileFormat::AntelopeLog => Self::Antelope,
        }
    }
}

impl ChainFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Bitcoin, Self::EthereumRlp, Self::Era1, Self::Antelope];

    /// The word for it on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bitcoin => "bitcoin",
            Self::EthereumRlp => "ethereum-rlp",
            Self::Era1 => "era1",
            Self::Antelope => "antelope",
        }
    }

    /// The kind of chain that files of this format hold.
    #[must_use]
    pub const fn chain(self) -> ChainKind {
        match self {
            Self::Bitcoin => ChainKind::Bitcoin,
            Self::EthereumRlp | Self::Era1 => ChainKind::Ethereum,
            Self::Antelope => ChainKind::Antelope,
        }
    }

    /// Tells the format from the first bytes of a file, decompressed, best [`SNIFF_BYTES`] of them.
    /// One bare block of Bitcoin is told by its work, which regtest does not ask for.
    ///
    /// # Errors
    /// [`DetectError`].
    pub fn detect(first_bytes: &[u8]) -> std::result::Result<Self, DetectError> {
        if first_bytes.is_empty() {
            return Err(DetectError::Empty);
        }
        // Bitcoin comes first, and is taken on evidence that no other file gives.
        let mut formats = Self::ALL.into_iter();
        formats
            .find(|format| format.fits(first_bytes))
            .ok_or(DetectError::Unknown)
    }

    /// Whether a file of this format may begin so.
    #[must_use]
    pub fn fits(self, first_bytes: &[u8]) -> bool {
        match self {
            Self::Bitcoin => fits_bitcoin(first_bytes),
            // Blocks of 4 GiB and more are not read.
            Self::EthereumRlp => {
                chain_files::detect(first_bytes) == Some(FileFormat::EthereumRlp)
                    && first_bytes.first() <= Some(&RLP_LIST_HEAD_MAX)
            }
            Self::Era1 => chain_files::detect(first_bytes) == Some(FileFormat::Era1),
            Self::Antelope => {
                chain_files::detect(first_bytes) == Some(FileFormat::AntelopeLog)
                    // A short number at the beginning is little; the rest of it has to be there.
                    && match LogReader::new(first_bytes, ReadOptions::default()) {
                        Ok(_) => true,
                        Err(error) => {
                            error.fault.is_truncation() && first_bytes.len() >= SNIFF_BYTES
                        }
                    }
            }
        }
    }

    /// Checks a stored body as one of this format and says what it tells of itself. Cost: as
    /// decoding it; the hashes of all transactions.
    ///
    /// # Errors
    /// [`BodyFault`].
    pub fn check_body(self, body: &[u8]) -> std::result::Result<BlockFacts, BodyFault> {
        let format = match self {
            Self::Bitcoin => return check_bitcoin(body),
            Self::EthereumRlp => FileFormat::EthereumRlp,
            Self::Era1 => FileFormat::Era1,
            Self::Antelope => FileFormat::AntelopeLog,
        };
        let mut tx_ids = Vec::new();
        let facts = format.check_body(body, &mut tx_ids)?;
        Ok(BlockFacts {
            height: Some(Height::new(facts.link.number)),
            hash: facts.link.hash,
            parent: facts.parent,
            tx_count: tx_ids.len(),
        })
    }

    /// The format of a stored body: the one whose check accepts it and agrees with the index;
    /// `None` where none does, as for blocks that a node of its own kind stored.
    #[must_use]
    pub fn of_body(body: &[u8], info: &BlockInfo) -> Option<Self> {
        Self::ALL.into_iter().find(|format| {
            let facts = format.check_body(body);
            facts.is_ok_and(|facts| facts.agree_with(info))
        })
    }

    /// The format of the newest block of a store; `None` where there is no block, where its body is
    /// of no known format, or in a file that is absent. Cost: one body.
    ///
    /// # Errors
    /// Of the store.
    pub fn of_tip<B: BlockStore, R: Reader>(blocks: &B, reader: &R) -> BlockResult<Option<Self>> {
        let Some(tip) = blocks.tip(reader)? else {
            return Ok(None);
        };
        let Some(info) = blocks.info(reader, tip.height)? else {
            return Ok(None);
        };
        let mut format = None;
        let read = blocks.with_body(reader, tip.height, &mut |body| {
            format = Self::of_body(body, &info);
        });
        match read {
            Ok(_) | Err(BlockError::BodyAbsent { .. }) => Ok(format),
            Err(error) => Err(error),
        }
    }
}

fn check_bitcoin(body: &[u8]) -> std::result::Result<BlockFacts, BodyFault> {
    let block = Block::decode(body.to_vec(), None)?;
    Ok(BlockFacts {
        height: None,
        hash: *block.hash().as_bytes(),
        parent: *block.parent().as_bytes(),
        tx_count: block.transactions().len(),
    })
}

/// A network's magic, at the beginning or behind zeros, and no better explanation of it; or a
/// header that meets its own target, which takes millions of hashes on all networks but regtest.
fn fits_bitcoin(first_bytes: &[u8]) -> bool {
    let zeros = first_bytes.iter().take_while(|byte| **byte == 0).count();
    let record = first_bytes.get(zeros..).unwrap_or_default();
    let magic = record.first_chunk::<MAGIC_BYTES>();
    if let Some(network) = magic.and_then(|magic| Network::from_magic(*magic)) {
        let meets_target = |header: &[u8]| {
            Header::decode(header).is_ok_and(|header| header.check_work(Some(network)).is_ok())
        };
        // The magic of regtest is also the beginning of a list of RLP of 12 MB, whose header has no
        // reason to meet a target.
        return chain_files::detect(record).is_none()
            || record
                .get(FRAME_BYTES..FRAME_BYTES + HEADER_BYTES)
                .is_some_and(meets_target);
    }
    let networks = Network::ALL.into_iter();
    let mut hard = networks.filter(|network| *network != Network::Regtest);
    Header::decode(first_bytes)
        .is_ok_and(|header| hard.any(|network| header.check_work(Some(network)).is_ok()))
}
