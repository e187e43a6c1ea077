//! Ethereum and Antelope files into blocks.
//!
//! Invariants: one block is one commit; the file's own checks (hashes, links, roots) come before
//! the store sees a block; a block that is stored is passed over, and one that does not follow the
//! tip is refused with its record and offset; what is kept is exactly the body that the file's
//! writer needs to give the block back.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chain_files::{Fault, FileBlock, FileFormat, FileReader, ReadOptions};
use storage_api::blocks::{BlockError, BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{ChecksumSetting, Durability, KvStore, Result, Schema, WriteTxn};

use super::bitcoin::GoOn;
use super::{ImportError, ImportReport};
use crate::any::AnyStore;
use crate::bitcoin::file::{Decompressed, decompressed};
use crate::bodies::{Blocks, Bodies};

/// An import of one chain's files into one store.
#[derive(Debug)]
pub struct FileImport {
    store: Arc<AnyStore>,
    blocks: Blocks,
    durability: Durability,
    block_bytes_max: u64,
    format: Option<FileFormat>,
    report: ImportReport,
}

impl FileImport {
    /// The tables that a store needs for this.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(bodies: Bodies, checksum: ChecksumSetting) -> Result<Schema> {
        bodies.schema(checksum)
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
            durability: Durability::Durable,
            block_bytes_max: ReadOptions::BLOCK_BYTES_MAX,
            format: None,
            report: ImportReport::default(),
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

    /// Asks for another durability of each commit.
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
    /// stored or known. Memory: one block, twice while it is decompressed.
    ///
    /// # Errors
    /// [`ImportError`]; every block before the one it names is stored.
    pub fn file(&mut self, path: &Path, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        self.report.file = path.to_owned();
        self.report.file_bytes_read = 0;
        self.report.stopped = false;
        let cannot_open = |source| ImportError::Open {
            file: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(cannot_open)?;
        let Decompressed {
            mut stream,
            bytes_read,
            ..
        } = decompressed(Box::new(file)).map_err(cannot_open)?;
        let mut head = Vec::with_capacity(chain_files::DETECT_BYTES);
        let taken = stream.by_ref().take(chain_files::DETECT_BYTES as u64);
        { taken }.read_to_end(&mut head).map_err(cannot_open)?;
        self.check_format(path, &head)?;
        let options = ReadOptions {
            block_bytes_max: self.block_bytes_max,
            ..ReadOptions::default()
        };
        let bad_record = |error: chain_files::Error| match error.fault {
            Fault::Read(source) => cannot_open(source),
            fault => ImportError::Record {
                file: path.to_owned(),
                what: Box::new(chain_files::Error {
                    at: error.at,
                    fault,
                }),
            },
        };
        let whole = std::io::Cursor::new(head).chain(stream);
        let mut reader = FileReader::open(whole, options).map_err(bad_record)?;
        while let Some(block) = reader.next_block().map_err(bad_record)? {
            self.report.file_bytes_read = bytes_read.load(Ordering::Relaxed);
            let at = block.at;
            self.block(&block).map_err(|error| match error {
                // A failure of the store is no fault of the file.
                ImportError::Blocks(why) if !matches!(why, BlockError::Store(_)) => {
                    ImportError::Refused {
                        file: path.to_owned(),
                        at,
                        why,
                    }
                }
                other => other,
            })?;
            if go_on(&self.report) == ControlFlow::Break(()) {
                self.report.stopped = true;
                break;
            }
        }
        Ok(())
    }

    fn check_format(&self, path: &Path, head: &[u8]) -> Result<(), ImportError> {
        let found = chain_files::detect(head);
        let what = match (self.format, found) {
            (_, None) => {
                "neither an Ethereum RLP chain, nor era1, nor an Antelope block log".into()
            }
            (Some(wanted), Some(found)) if wanted != found => {
                format!("the file is {found:?}, {wanted:?} was said")
            }
            _ => return Ok(()),
        };
        let file = path.to_owned();
        Err(ImportError::Format { file, what })
    }

    /// Stores one block in one commit, or passes over it when it is stored.
    fn block(&mut self, block: &FileBlock<'_>) -> Result<(), ImportError> {
        let hash = BlockHash::new(&block.hash)?;
        let height = Height::new(block.number);
        let known = {
            let view = self.store.begin_read()?;
            self.blocks.height_of(&view, &hash)?
        };
        if known == Some(height) {
            self.report.known_blocks += 1;
            return Ok(());
        }
        let ids = block.tx_ids.iter().map(|id| TxId::new(id));
        let tx_ids: Vec<TxId> = ids.collect::<Result<_>>()?;
        let mut txn = self.store.begin_write()?;
        let staged = self.blocks.stage(NewBlock {
            height,
            hash,
            parent: BlockHash::new(&block.parent)?,
            tx_ids: &tx_ids,
            body: block.body,
        })?;
        self.blocks.append(&mut txn, staged)?;
        txn.commit(self.durability).map_err(BlockError::from)?;
        self.report.blocks += 1;
        self.report.transactions += tx_ids.len() as u64;
        self.report.body_bytes += block.body.len() as u64;
        self.report.tip = Some(height);
        Ok(())
    }
}
