//! Exporting a chain: stored blocks out into the files that other programs read.
//!
//! [`Export::plan`] looks at what is asked for and refuses what cannot be had before a byte is
//! written; [`Export::write`] streams the blocks to any output; [`TargetFile`] is an output that
//! appears under its name only when it is whole.
//!
//! Invariants: an export is of one view, so a writer beside it changes nothing; every block is
//! checked again by the format's own writer and held against the index (height, hash, parent)
//! before it counts, and damage ends the export with the height; what was imported comes out as the
//! bytes that came in, but for the compression inside of an era1 file. Memory: one block, once more
//! while it is decoded; for era1 40 bytes a block, which are 8,192 at most. Cost: one range read of
//! the bodies and the hashes of all transactions.

mod error;
mod plan;
mod target;
mod writer;

use std::io::Write;
use std::ops::ControlFlow;

use chain_files::antelope::Preamble;
use storage_api::blocks::{BlockInfo, BlockQuery, BlockStore, Height};
use storage_api::{Catalogue, Reader, Result};

pub use error::{BlockFault, ExportError};
pub use target::{Existing, TargetFile};

use crate::bitcoin::Network;
use crate::format::ChainFormat;
use crate::import::{AntelopeState, UnspentSet};
use plan::Beginning;
use writer::ChainWriter;

/// What is to be exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The format; `None` for that of the first block.
    pub format: Option<ChainFormat>,
    /// The lowest height; `None` for the tail.
    pub first_height: Option<Height>,
    /// The highest height, which is part of the export; `None` for the tip.
    pub last_height: Option<Height>,
    /// The network of a Bitcoin block file; `None` for the one that the store knows.
    pub network: Option<Network>,
}

/// What a store knows of its chain beside the blocks, and a file needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The network of a Bitcoin import.
    pub network: Option<Network>,
    /// The beginning of the block log of an Antelope import.
    pub preamble: Option<Preamble>,
}

impl Origin {
    /// What the tables of the imports say. Cost: two gets.
    ///
    /// # Errors
    /// Of the store; `Corruption`.
    pub fn of<R: Reader>(reader: &R, catalogue: &Catalogue) -> Result<Self> {
        let summary = match UnspentSet::resolve(catalogue) {
            Ok(unspent) => unspent.summary(reader)?,
            Err(_) => None,
        };
        let preamble = match AntelopeState::resolve(catalogue) {
            Some(state) => state.preamble(reader)?,
            None => None,
        };
        Ok(Self {
            network: summary.and_then(|summary| summary.network),
            preamble,
        })
    }
}

/// How far an export came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Blocks written.
    pub blocks: u64,
    /// Bytes of their bodies as they are stored.
    pub body_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Height of the last one; `None` before the first.
    pub last_height: Option<Height>,
    /// It was asked to stop, and did so between two blocks: the file is not whole.
    pub stopped: bool,
}

/// An export that was found to be possible.
#[derive(Debug)]
pub struct Export<'a, B, R> {
    blocks: &'a B,
    reader: &'a R,
    beginning: Beginning,
    first: Height,
    last: Height,
}

impl<B: BlockStore, R: Reader> Export<'_, B, R> {
    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> ChainFormat {
        self.beginning.format()
    }

    /// The network of a Bitcoin block file; `None` of one bare block and of other formats.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        match self.beginning {
            Beginning::Bitcoin(network) => network,
            _ => None,
        }
    }

    /// The lowest height.
    #[must_use]
    pub fn first_height(&self) -> Height {
        self.first
    }

    /// The highest height, which is part of the export.
    #[must_use]
    pub fn last_height(&self) -> Height {
        self.last
    }

    /// Blocks to be written.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        plan::count(self.first, self.last)
    }

    /// Writes the blocks to `output`, and the offsets of a block log to `index`; calls `go_on`
    /// after each. The output is flushed, and whole unless the report says that it was stopped.
    ///
    /// # Errors
    /// [`ExportError`]: `NoIndex`, `Write`, `Block`, `OtherFormat`, `Missing`, `Blocks`.
    pub fn write<'o>(
        &self,
        output: &'o mut (dyn Write + 'o),
        index: Option<&'o mut (dyn Write + 'o)>,
        go_on: &mut dyn FnMut(&ExportReport) -> ControlFlow<()>,
    ) -> std::result::Result<ExportReport, ExportError> {
        let mut writer = ChainWriter::begin(&self.beginning, output, index)?;
        let mut report = ExportReport {
            blocks: 0,
            body_bytes: 0,
            file_bytes: 0,
            last_height: None,
            stopped: false,
        };
        let mut outcome = Ok(());
        let query = BlockQuery {
            blocks_max: self.block_count(),
            ..BlockQuery::from(self.first)
        };
        self.blocks.range(self.reader, query, &mut |info, body| {
            outcome = self.one(&mut writer, info, body);
            if outcome.is_err() {
                return ControlFlow::Break(());
            }
            report.blocks += 1;
            report.body_bytes += body.len() as u64;
            report.file_bytes = writer.written_bytes();
            report.last_height = Some(info.height);
            report.stopped = go_on(&report).is_break();
            match report.stopped {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        outcome?;
        if !report.stopped {
            if report.blocks != self.block_count() {
                return Err(ExportError::Missing {
                    expected: self.block_count(),
                    found: report.blocks,
                });
            }
            report.file_bytes = writer.finish()?;
        }
        Ok(report)
    }

    fn one(
        &self,
        writer: &mut ChainWriter<'_>,
        info: &BlockInfo,
        body: &[u8],
    ) -> std::result::Result<(), ExportError> {
        writer.block(info, body).map_err(|error| match error {
            // A body of another format is no damage; the heights can be exported apart.
            ExportError::Block { height, .. } => {
                match ChainFormat::of_body(body, info).filter(|found| *found != self.format()) {
                    Some(found) => ExportError::OtherFormat {
                        height,
                        asked: self.format(),
                        found,
                    },
                    None => error,
                }
            }
            other => other,
        })
    }
}
