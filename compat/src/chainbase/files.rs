//! A block log from and to the files of an Antelope node, `blocks.log` and `blocks.index`.
//!
//! Invariants: a file's own checks (ids, parents, roots, trailers) come before its blocks are
//! stored; a block that is stored already is passed over, and one that is not the block stored at
//! its number is refused; what is exported is, byte by byte, what was imported. Memory: one part of
//! a commit, 4 MiB of blocks or one block; the limit of a block is that of the options.

use std::io::{Read, Write};

use blocks::LogBlock;
use chain_files::antelope::{LogReader, LogWriter};
use chain_files::{FileBlock, ReadOptions};
use storage_api::blocks::{BlockError, BlockHash, BlockInfo, Height, NewBlock, TxId};
use storage_api::{Durability, KvStore, Reader, WriteTxn};

use super::BlockLog;

/// Most bytes of blocks in a commit of an import, but for one block.
const BATCH_BYTES: u64 = 4 << 20;

/// Most blocks in one.
const BATCH_BLOCKS: usize = 1_024;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogFileError {
    /// The file is not as it should be, or was not read or written.
    #[error("the block log file: {0}")]
    File(#[from] chain_files::Error),
    /// The blocks are refused, or the store failed.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// The file is of another chain.
    #[error("the file is of another chain than the log")]
    OtherChain,
    /// Another block is stored at the number.
    #[error("block {number} of the file is {found}, the log has {stored}")]
    OtherBlock {
        /// The number.
        number: Height,
        /// Of the file.
        found: Box<BlockHash>,
        /// Of the log.
        stored: Box<BlockHash>,
    },
    /// It is not known what stands before the first entry.
    #[error("the log has no preamble: say it with `set_preamble`")]
    NoPreamble,
    /// Writing the index failed.
    #[error("the index file")]
    Index(#[source] std::io::Error),
}

impl From<storage_api::Error> for LogFileError {
    fn from(error: storage_api::Error) -> Self {
        Self::Blocks(error.into())
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Blocks that were stored.
    pub blocks: u64,
    /// Blocks that had been stored before.
    pub known_blocks: u64,
}

impl<S: KvStore> BlockLog<S> {
    /// Reads a `blocks.log` from its first byte to its end, several blocks a commit.
    ///
    /// # Errors
    /// [`LogFileError`]; what was committed before stays, and importing again goes on behind it.
    pub fn import(
        &self,
        file: impl Read,
        options: ReadOptions,
        durability: Durability,
    ) -> Result<Imported, LogFileError> {
        let mut reader = LogReader::new(file, options)?;
        let preamble = reader.preamble().clone();
        let store = std::sync::Arc::clone(self.blocks().store());
        let mut txn = store.begin_write()?;
        match self.preamble(&txn)? {
            Some(present) if present.chain_id() != preamble.chain_id() => {
                return Err(LogFileError::OtherChain);
            }
            Some(_) => drop(txn),
            None => {
                self.set_preamble(&mut txn, &preamble)?;
                txn.commit(durability)?;
            }
        }
        let mut imported = Imported::default();
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let mut result = Ok(());
        loop {
            let block = match reader.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(error) => {
                    // What came before the fault is good and stays.
                    result = Err(error.into());
                    break;
                }
            };
            if batch.is_empty() && self.is_known(&block)? {
                imported.known_blocks += 1;
                continue;
            }
            let block = owned(&block)?;
            batch_bytes += block.info.body_bytes;
            batch.push(block);
            if batch.len() >= BATCH_BLOCKS || batch_bytes >= BATCH_BYTES {
                imported.blocks += self.store_batch(&mut batch, durability)?;
                batch_bytes = 0;
            }
        }
        imported.blocks += self.store_batch(&mut batch, durability)?;
        result.map(|()| imported)
    }

    /// Whether a block of a file is stored.
    fn is_known(&self, block: &FileBlock<'_>) -> Result<bool, LogFileError> {
        let view = self.blocks().store().begin_read()?;
        let number = Height::new(block.number);
        let Some(stored) = self.read_block_id_by_num(&view, number)? else {
            return Ok(false);
        };
        let found = BlockHash::new(&block.hash)?;
        if found == stored {
            return Ok(true);
        }
        Err(LogFileError::OtherBlock {
            number,
            found: Box::new(found),
            stored: Box::new(stored),
        })
    }

    fn store_batch(
        &self,
        batch: &mut Vec<LogBlock>,
        durability: Durability,
    ) -> Result<u64, LogFileError> {
        if batch.is_empty() {
            return Ok(0);
        }
        let mut txn = self.blocks().store().begin_write()?;
        let blocks: Vec<NewBlock<'_>> = batch.iter().map(LogBlock::as_new).collect();
        self.append_all(&mut txn, &blocks)?;
        txn.commit(durability)?;
        let stored = batch.len() as u64;
        batch.clear();
        Ok(stored)
    }

    /// Writes the log as a `blocks.log` and its `blocks.index`; how many blocks that were. The
    /// caller flushes or syncs what it gave as outputs. Every block is checked as on import before
    /// it is written.
    ///
    /// # Errors
    /// [`LogFileError`].
    pub fn export<R: Reader>(
        &self,
        reader: &R,
        log: impl Write,
        mut index: impl Write,
    ) -> Result<u64, LogFileError> {
        let preamble = self.preamble(reader)?.ok_or(LogFileError::NoPreamble)?;
        let mut writer = LogWriter::new(log, preamble)?;
        let mut blocks = 0;
        if let Some((first, head)) = self.first_block_num(reader)?.zip(self.head(reader)?) {
            for number in first.get()..=head.height.get() {
                let number = Height::new(number);
                let block = self.read_block_by_num(reader, number)?;
                let block = block.ok_or_else(|| {
                    let what = format!("no place for the block at height {number}");
                    storage_api::Error::corruption("table blocks.places", what)
                })?;
                let offset = writer.write_block(&block.body)?;
                index
                    .write_all(&offset.to_le_bytes())
                    .map_err(LogFileError::Index)?;
                blocks += 1;
            }
        }
        writer.finish()?;
        Ok(blocks)
    }
}

fn owned(block: &FileBlock<'_>) -> Result<LogBlock, LogFileError> {
    let tx_ids = block.tx_ids.iter().map(|id| TxId::new(id));
    let tx_ids: Vec<TxId> = tx_ids.collect::<storage_api::Result<_>>()?;
    let info = BlockInfo {
        height: Height::new(block.number),
        hash: BlockHash::new(&block.hash)?,
        parent: BlockHash::new(&block.parent)?,
        // A block is shorter than 2^32 bytes, and a transaction has one at least.
        tx_count: u32::try_from(tx_ids.len()).unwrap_or(u32::MAX),
        body_bytes: block.body.len() as u64,
    };
    Ok(LogBlock {
        info,
        tx_ids,
        body: block.body.to_vec(),
    })
}
