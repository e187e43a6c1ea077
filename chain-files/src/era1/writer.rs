//! Writing an era1 file.
//!
//! Must always hold: what is written is what [`Era1Reader`](super::Era1Reader) takes, since every
//! block is checked as it is on reading; the file is whole only after
//! [`finish`](Era1Writer::finish). Memory: the compressed form of the longest part, and 40 bytes
//! for each block.

use std::io::Write;

use snap::write::FrameEncoder;

use super::accumulator::{Accumulator, TotalDifficulty};
use super::body::Era1Body;
use crate::e2store::{kind, write_record};
use crate::error::{Fault, Hash, Position, Result};
use crate::input::{BlockLink, Links};

type Faulty<T> = std::result::Result<T, Fault>;

/// Writes an era1 file of at most [`BLOCKS_MAX`](super::BLOCKS_MAX) blocks.
///
/// The caller flushes or syncs what it gave as output.
#[derive(Debug)]
pub struct Era1Writer<W> {
    output: W,
    at: Position,
    links: Links,
    first_number: u64,
    total_difficulty: Option<TotalDifficulty>,
    accumulator: Accumulator,
    offsets: Vec<u64>,
    tx_ids: Vec<Hash>,
    failed: bool,
}

impl<W: Write> Era1Writer<W> {
    /// Begins an empty file; nothing is written before the first block.
    pub fn new(output: W) -> Self {
        Self {
            output,
            at: Position::default(),
            links: Links::default(),
            first_number: 0,
            total_difficulty: None,
            accumulator: Accumulator::default(),
            offsets: Vec::new(),
            tx_ids: Vec::new(),
            failed: false,
        }
    }

    /// Appends a block in its stored form, see [`Era1Body`].
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, after which the writer takes no more.
    pub fn write_block(&mut self, stored: &[u8]) -> Result<()> {
        let at = self.at;
        self.append(stored).map_err(|fault| {
            self.failed = true;
            fault.at(at)
        })
    }

    /// The block that was appended last; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<BlockLink> {
        self.links.last()
    }

    fn append(&mut self, stored: &[u8]) -> Faulty<()> {
        if self.failed {
            return Err(Fault::WriterFailed);
        }
        let stored = Era1Body::parse(stored)?;
        let header = stored.check(&mut self.tx_ids)?;
        let link = BlockLink {
            number: header.number,
            hash: header.hash,
        };
        self.links.follow(link, &header.parent)?;
        if let Some(before) = self.total_difficulty {
            stored.check_difficulty(before, &header)?;
        }
        self.accumulator.push(&link.hash, stored.total_difficulty)?;
        self.total_difficulty = Some(stored.total_difficulty);
        if self.offsets.is_empty() {
            self.first_number = header.number;
            self.record(kind::VERSION, &[])?;
        }
        self.offsets.push(self.at.offset);
        self.compressed(kind::HEADER, stored.header)?;
        self.compressed(kind::BODY, stored.body)?;
        self.compressed(kind::RECEIPTS, stored.receipts)?;
        self.record(kind::TOTAL_DIFFICULTY, &stored.total_difficulty.0)?;
        self.at.record += 1;
        Ok(())
    }

    /// Writes accumulator and index and gives the output back with the accumulator's root, whose
    /// first four bytes stand in the customary name of the file.
    ///
    /// # Errors
    ///
    /// [`Fault::Write`]; [`Fault::WriterFailed`] after a failure, or when there is no block.
    pub fn finish(mut self) -> Result<(W, Hash)> {
        if self.failed || self.offsets.is_empty() {
            return Err(Fault::WriterFailed.at(self.at));
        }
        let root = self.accumulator.root();
        let at = self.at;
        self.end(root).map_err(|fault| fault.at(at))?;
        Ok((self.output, root))
    }

    fn end(&mut self, root: Hash) -> Faulty<()> {
        self.record(kind::ACCUMULATOR, &root)?;
        let start = self.at.offset;
        let mut index = Vec::with_capacity(16 + 8 * self.offsets.len());
        index.extend_from_slice(&self.first_number.to_le_bytes());
        for offset in &self.offsets {
            // Two's complement: the blocks stand before the index.
            index.extend_from_slice(&offset.wrapping_sub(start).to_le_bytes());
        }
        index.extend_from_slice(&(self.offsets.len() as u64).to_le_bytes());
        self.record(kind::BLOCK_INDEX, &index)
    }

    fn compressed(&mut self, kind: u16, rlp: &[u8]) -> Faulty<()> {
        let mut encoder = FrameEncoder::new(Vec::new());
        encoder.write_all(rlp).map_err(Fault::Write)?;
        let data = encoder
            .into_inner()
            .map_err(|failed| Fault::Write(failed.into_error()))?;
        self.record(kind, &data)
    }

    fn record(&mut self, kind: u16, data: &[u8]) -> Faulty<()> {
        self.at.offset += write_record(&mut self.output, kind, data)?;
        Ok(())
    }
}
