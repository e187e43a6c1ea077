//! Ethereum and Antelope files into blocks.
//!
//! Invariants: one block is one commit where commits are durable, and many are where they are not;
//! the file's own checks (hashes, links, roots) come before the store sees a block; a block that is
//! stored or below the tail is passed over, and one that does not follow the tip is refused with
//! its record and offset; what is kept is exactly the body that the file's writer needs to give the
//! block back.
//!
//! Blocks below the tail have no hash to hold them against. The reader gives blocks that follow
//! each other, so the block at the tail says whether they were of this chain; only what follows the
//! tip is ever stored, and the beginning of a log only once one of its blocks was found.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use chain_files::antelope::Preamble;
use chain_files::{Fault, FileBlock, FileFormat, FileReader, Position, ReadOptions};
use storage_api::blocks::{BlockError, BlockHash, BlockStore, Height};
use storage_api::{ChecksumSetting, Durability, KvStore, Result, Schema, WriteTxn};

use super::bitcoin::GoOn;
use super::group::{self, Group, Refused, Waiting};
use super::preamble::AntelopeState;
use super::source::SourceFile;
use super::{ImportError, ImportReport, check_chain, is_below_tail};
use crate::any::{AnyStore, AnyWriteTxn};
use crate::bodies::{Blocks, Bodies};
use crate::format::{ChainFormat, ChainKind};

/// An import of one chain's files into one store.
#[derive(Debug)]
pub struct FileImport {
    store: Arc<AnyStore>,
    blocks: Blocks,
    antelope: Option<AntelopeState>,
    /// The beginning of a log, to be kept with the next block.
    preamble: Option<Preamble>,
    durability: Durability,
    block_bytes_max: u64,
    format: Option<FileFormat>,
    report: ImportReport,
    group: Group,
}

impl FileImport {
    /// The tables that a store needs for this.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(bodies: Bodies, checksum: ChecksumSetting) -> Result<Schema> {
        let mut schema = bodies.schema(checksum)?;
        schema.merge(&Schema::new([&AntelopeState::table(checksum)])?)?;
        Ok(schema)
    }

    /// An import into a store that was opened with [`FileImport::schema`], each block durable.
    ///
    /// # Errors
    /// As [`Blocks::open`].
    pub fn into(store: &Arc<AnyStore>) -> Result<Self, ImportError> {
        Ok(Self::over(store, Blocks::open(store)?))
    }

    /// An import into these blocks of the store.
    #[must_use]
    pub fn over(store: &Arc<AnyStore>, blocks: Blocks) -> Self {
        Self {
            store: Arc::clone(store),
            blocks,
            antelope: AntelopeState::resolve(store.catalogue()),
            preamble: None,
            durability: Durability::Durable,
            block_bytes_max: ReadOptions::BLOCK_BYTES_MAX,
            format: None,
            report: ImportReport::default(),
            group: Group::default(),
        }
    }

    /// The blocks that are imported into.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Says of which format the files have to be; otherwise the first bytes of each say it.
    #[must_use]
    pub fn with_format(mut self, format: Option<FileFormat>) -> Self {
        self.format = format;
        self
    }

    /// Asks for another durability of each commit. Below [`Durability::Durable`], blocks of up to
    /// 1 MiB in all are one commit: what a crash may take is not promised, so there is nothing in
    /// a commit for each.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Reads one file to its end, plain, bzip2, gzip or zstd, calling `go_on` after each block,
    /// stored, waiting for its commit or known; when this returns, none waits. Memory: one block,
    /// twice while it is decompressed, and those that wait.
    ///
    /// # Errors
    /// [`ImportError`]; every block before the one it names is stored.
    pub fn file(&mut self, path: &Path, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        self.begin(path);
        self.read(SourceFile::open(path)?, go_on)
    }

    /// Reads a file that was opened before, as [`FileImport::file`] does.
    ///
    /// # Errors
    /// As [`FileImport::file`].
    pub fn source(&mut self, source: SourceFile, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        self.begin(source.path());
        self.read(source, go_on)
    }

    fn begin(&mut self, path: &Path) {
        self.report.file = path.to_owned();
        self.report.file_bytes_read = 0;
        self.report.stopped = false;
    }

    fn read(&mut self, source: SourceFile, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        let path = source.path().to_owned();
        self.check(&source)?;
        let options = ReadOptions {
            block_bytes_max: self.block_bytes_max,
            ..ReadOptions::default()
        };
        let bad_record = |error: chain_files::Error| match error.fault {
            // What the system says is of the file; what a decompressor says is of the record.
            Fault::Read(source) if source.raw_os_error().is_some() => ImportError::Open {
                file: path.clone(),
                source,
            },
            fault => ImportError::Record {
                file: path.clone(),
                what: Box::new(chain_files::Error {
                    at: error.at,
                    fault,
                }),
            },
        };
        let (opened, bytes_read) = source.into_opened();
        let mut reader = FileReader::open(opened.stream, options).map_err(bad_record)?;
        self.check_log(&path, reader.preamble())?;
        let read = loop {
            let block = match reader.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => break Ok(()),
                Err(error) => break Err(bad_record(error)),
            };
            self.report.file_bytes_read = bytes_read.get();
            if let Err(error) = self.block(&block) {
                break Err(error);
            }
            if go_on(&self.report) == ControlFlow::Break(()) {
                self.report.stopped = true;
                break Ok(());
            }
        };
        // What came before a bad record stays; what is wrong with that comes first.
        self.commit_group()?;
        read
    }

    /// The file has to be of the format that was said, and of the chain that the store holds.
    fn check(&self, source: &SourceFile) -> Result<(), ImportError> {
        let found = match self.format {
            Some(said) => {
                let said = ChainFormat::from(said);
                source.expect(said)?;
                said
            }
            None => source.format()?,
        };
        if found.chain() == ChainKind::Bitcoin {
            return Err(ImportError::OtherImport {
                file: source.path().to_owned(),
                found,
            });
        }
        let view = self.store.begin_read()?;
        check_chain(&self.blocks, &view, source.path(), found.chain())
    }

    /// A block log has to be of the chain whose log came first; the first one's beginning is kept.
    fn check_log(&mut self, path: &Path, found: Option<&Preamble>) -> Result<(), ImportError> {
        // That of a log before, of which no block was stored, says nothing of this file.
        self.preamble = None;
        let (Some(found), Some(state)) = (found, self.antelope) else {
            return Ok(());
        };
        match state.preamble(&self.store.begin_read()?)? {
            None => self.preamble = Some(found.clone()),
            Some(kept) if kept.chain_id() != found.chain_id() => {
                return Err(ImportError::OtherLog {
                    file: path.to_owned(),
                    expected: Box::new(kept.chain_id()),
                    found: Box::new(found.chain_id()),
                });
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Stores one block, or puts it to those that wait, or passes over it when it is stored or
    /// below the tail.
    fn block(&mut self, block: &FileBlock<'_>) -> Result<(), ImportError> {
        // What follows a block that is not stored is not stored either.
        if !self.group.is_before(Height::new(block.number)) {
            self.commit_group()?;
            match self.find(block)? {
                Found::Stored => {
                    self.keep_preamble()?;
                    self.report.known_blocks += 1;
                    return Ok(());
                }
                Found::BelowTail => {
                    self.report.pass_below_tail();
                    return Ok(());
                }
                Found::Nowhere => {}
            }
        }
        let waiting = Waiting::of(block)?;
        if self.durability == Durability::Durable {
            return self.commit(&[waiting]);
        }
        self.group.push(waiting);
        if self.group.is_full() {
            self.commit_group()?;
        }
        Ok(())
    }

    /// Where the block stands; another one that is stored at its height is an error.
    fn find(&self, block: &FileBlock<'_>) -> Result<Found, ImportError> {
        let hash = BlockHash::new(&block.hash)?;
        let height = Height::new(block.number);
        let view = self.store.begin_read()?;
        match self.blocks.info(&view, height)? {
            Some(info) if info.hash == hash => Ok(Found::Stored),
            Some(info) => Err(ImportError::OtherBlock {
                file: self.report.file.clone(),
                at: block.at,
                height,
                stored: Box::new(info.hash),
                found: Box::new(hash),
            }),
            None if is_below_tail(&self.blocks, &view, height)? => Ok(Found::BelowTail),
            None => Ok(Found::Nowhere),
        }
    }

    /// Stores the blocks that wait.
    fn commit_group(&mut self) -> Result<(), ImportError> {
        let blocks = self.group.take();
        self.commit(&blocks)
    }

    /// Stores blocks in one commit, those before the first that is refused.
    pub(super) fn commit(&mut self, waiting: &[Waiting<'_>]) -> Result<(), ImportError> {
        let (mut staged, mut refused) = group::stage(&self.blocks, waiting);
        let store = Arc::clone(&self.store);
        while !staged.is_empty() {
            match group::append(&store, &self.blocks, &staged) {
                Ok(txn) => {
                    self.finish(txn, waiting.get(..staged.len()).unwrap_or_default())?;
                    break;
                }
                Err(earlier) => {
                    staged.truncate(earlier.index);
                    refused = Some(match refused {
                        // A store that failed may take nothing more: why it did says more.
                        Some(first) if first.why.is_of_the_store() => Refused {
                            index: earlier.index,
                            why: first.why,
                        },
                        _ => earlier,
                    });
                }
            }
        }
        let Some(Refused { index, why }) = refused else {
            return Ok(());
        };
        let at = waiting.get(index).map(|block| block.at);
        Err(in_file(why, &self.report.file, at.unwrap_or_default()))
    }

    /// Commits these blocks, which are in the transaction, and counts them.
    fn finish(
        &mut self,
        mut txn: AnyWriteTxn<'_>,
        stored: &[Waiting<'_>],
    ) -> Result<(), ImportError> {
        if let (Some(preamble), Some(state)) = (&self.preamble, self.antelope) {
            state.set_preamble(&mut txn, preamble)?;
        }
        txn.commit(self.durability).map_err(BlockError::from)?;
        self.preamble = None;
        for block in stored {
            self.report.blocks += 1;
            self.report.transactions += block.tx_ids.len() as u64;
            self.report.body_bytes += block.body.len() as u64;
            self.report.tip = Some(block.height);
        }
        Ok(())
    }

    /// Keeps the beginning of a log whose first block is stored already.
    fn keep_preamble(&mut self) -> Result<(), ImportError> {
        if let (Some(preamble), Some(state)) = (self.preamble.take(), self.antelope) {
            let mut txn = self.store.begin_write()?;
            state.set_preamble(&mut txn, &preamble)?;
            txn.commit(self.durability)?;
        }
        Ok(())
    }
}

/// Where a block of a file stands in a store.
enum Found {
    Stored,
    /// Lower than any block that is kept: it was pruned, or the store began above it.
    BelowTail,
    Nowhere,
}

/// Adds the file and the record to what the store says of a block. A failure of the store itself is
/// no fault of the file.
fn in_file(error: ImportError, path: &Path, at: Position) -> ImportError {
    match error {
        ImportError::Blocks(why) if !matches!(why, BlockError::Store(_)) => ImportError::Refused {
            file: path.to_owned(),
            at,
            why,
        },
        other => other,
    }
}
