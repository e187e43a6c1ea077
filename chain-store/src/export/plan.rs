//! What is asked for against what is there, before anything is written.
//!
//! Must always hold: a plan that was made fails later only for damage, for a block of another
//! format further up, and for the output.

use chain_files::antelope::Preamble;
use chain_files::era1;
use storage_api::Reader;
use storage_api::blocks::{BlockError, BlockInfo, BlockStore, Height};

use super::{Export, ExportError, ExportOptions, Origin};
use crate::bitcoin::{BtcHash, Network};
use crate::format::ChainFormat;

/// The format of a file and what stands before its first block.
#[derive(Clone, Debug)]
pub(super) enum Beginning {
    /// The network whose magic frames the blocks; none of one bare block.
    Bitcoin(Option<Network>),
    EthereumRlp,
    Era1,
    Antelope(Preamble),
}

impl Beginning {
    pub(super) fn format(&self) -> ChainFormat {
        match self {
            Self::Bitcoin(_) => ChainFormat::Bitcoin,
            Self::EthereumRlp => ChainFormat::EthereumRlp,
            Self::Era1 => ChainFormat::Era1,
            Self::Antelope(_) => ChainFormat::Antelope,
        }
    }
}

/// Blocks from one height to another, both counted; the heights are those of stored blocks.
pub(super) fn count(first: Height, last: Height) -> u64 {
    (last.get() - first.get()).saturating_add(1)
}

impl<'a, B: BlockStore, R: Reader> Export<'a, B, R> {
    /// Looks at the heights, the first block and what the file begins with. Cost: one body.
    ///
    /// # Errors
    /// `Blocks` with `Empty` or `OutOfRange`, `Reversed`, `UnknownFormat`, `OtherFormat`,
    /// `TooManyBlocks`, `UnknownNetwork`, `OtherNetwork`, `NoPreamble`, `Missing`.
    pub fn plan(
        blocks: &'a B,
        reader: &'a R,
        origin: &Origin,
        options: ExportOptions,
    ) -> Result<Self, ExportError> {
        let (Some(tail), Some(tip)) = (blocks.tail(reader)?, blocks.tip(reader)?) else {
            return Err(BlockError::Empty.into());
        };
        let first = options.first_height.unwrap_or(tail.height);
        let last = options.last_height.unwrap_or(tip.height);
        for asked in [first, last] {
            if !(tail.height..=tip.height).contains(&asked) {
                let (tail, tip) = (tail.height, tip.height);
                return Err(BlockError::OutOfRange { asked, tail, tip }.into());
            }
        }
        if last < first {
            return Err(ExportError::Reversed { first, last });
        }
        let missing = ExportError::Missing {
            expected: count(first, last),
            found: 0,
        };
        let Some(info) = blocks.info(reader, first)? else {
            return Err(missing);
        };
        let mut found = None;
        let is_there = blocks.with_body(reader, first, &mut |body| {
            found = ChainFormat::of_body(body, &info);
        })?;
        if !is_there {
            return Err(missing);
        }
        let found = found.ok_or(ExportError::UnknownFormat { height: first })?;
        if let Some(asked) = options.format.filter(|asked| *asked != found) {
            return Err(ExportError::OtherFormat {
                height: first,
                asked,
                found,
            });
        }
        let beginning = match found {
            ChainFormat::Bitcoin => {
                let network = network(origin, options.network, &info)?;
                // One block whose network nothing names came as a bare one and goes as one.
                if network.is_none() && first != last {
                    return Err(ExportError::UnknownNetwork);
                }
                Beginning::Bitcoin(network)
            }
            ChainFormat::EthereumRlp => Beginning::EthereumRlp,
            ChainFormat::Era1 if count(first, last) > era1::BLOCKS_MAX => {
                return Err(ExportError::TooManyBlocks {
                    format: found,
                    blocks: count(first, last),
                    limit: era1::BLOCKS_MAX,
                });
            }
            ChainFormat::Era1 => Beginning::Era1,
            ChainFormat::Antelope => Beginning::Antelope(preamble(origin, first)?),
        };
        Ok(Self {
            blocks,
            reader,
            beginning,
            first,
            last,
        })
    }
}

/// The network that the store knows, else the one whose beginning the first block is or follows,
/// else the one that was said.
fn network(
    origin: &Origin,
    asked: Option<Network>,
    first: &BlockInfo,
) -> Result<Option<Network>, ExportError> {
    let begins = [first.hash, first.parent].into_iter().find_map(|hash| {
        let hash = BtcHash::from_bytes(hash.as_bytes().try_into().ok()?);
        Network::from_genesis(&hash)
    });
    match (origin.network.or(begins), asked) {
        (Some(stored), Some(asked)) if stored != asked => {
            Err(ExportError::OtherNetwork { stored, asked })
        }
        (known, asked) => Ok(known.or(asked)),
    }
}

/// The beginning of a log from this height: that of the log that was imported, else its chain id.
fn preamble(origin: &Origin, first: Height) -> Result<Preamble, ExportError> {
    let absent = |what| ExportError::NoPreamble { first, what };
    let first_block = u32::try_from(first.get());
    let is_late = first_block.is_ok_and(|first| first > 1);
    let what = if is_late { "chain id" } else { "genesis state" };
    let (Some(kept), Ok(first_block)) = (&origin.preamble, first_block) else {
        return Err(absent(what));
    };
    if kept.first_block() == first_block {
        return Ok(kept.clone());
    }
    let made = Preamble::from_chain_id_as(kept.chain_id(), first_block, kept.layout());
    made.map_err(|_| absent(what))
}
