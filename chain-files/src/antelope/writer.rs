//! Writing a block log, and its index beside it.
//!
//! Must always hold: the same beginning and the same blocks give the same bytes as the log they
//! were read from; every block is checked as it is on reading before a byte of it is written.

use std::io::Write;

use super::block::{Layout, decode_block};
use super::preamble::Preamble;
use super::reader::{ENTRY_HEAD_BYTES, TRAILER_BYTES, link};
use crate::error::{Fault, Hash, Position, Result};
use crate::input::{BlockLink, Links};

/// Writes a block log.
///
/// The caller flushes or syncs what it gave as output.
#[derive(Debug)]
pub struct LogWriter<W> {
    output: W,
    preamble: Preamble,
    at: Position,
    links: Links,
    tx_ids: Vec<Hash>,
    failed: bool,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log and writes what stands before the first entry.
    ///
    /// # Errors
    ///
    /// [`Fault::Write`].
    pub fn new(mut output: W, preamble: Preamble) -> Result<Self> {
        output
            .write_all(preamble.bytes())
            .map_err(|source| Fault::Write(source).at(Position::default()))?;
        let offset = preamble.bytes().len() as u64;
        Ok(Self {
            output,
            preamble,
            at: Position { record: 0, offset },
            links: Links::default(),
            tx_ids: Vec::new(),
            failed: false,
        })
    }

    /// Appends a block and gives the offset of its entry, which is also its place in the index.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, and [`Fault::Write`], after which the writer takes no more.
    pub fn write_block(&mut self, block: &[u8]) -> Result<u64> {
        let at = self.at;
        self.append(block).map_err(|fault| fault.at(at))?;
        Ok(at.offset)
    }

    /// The block that was appended last; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<BlockLink> {
        self.links.last()
    }

    fn append(&mut self, bytes: &[u8]) -> std::result::Result<(), Fault> {
        if self.failed {
            return Err(Fault::WriterFailed);
        }
        let layout = self.preamble.layout();
        let block = decode_block(bytes, layout, &mut self.tx_ids)?;
        if self.at.record == 0 && block.number != self.preamble.first_block() {
            return Err(Fault::Number {
                expected: u64::from(self.preamble.first_block()),
                found: u64::from(block.number),
            });
        }
        let length_bytes = bytes.len() as u64 + TRAILER_BYTES;
        let mut head = Vec::new();
        if layout == Layout::Prunable {
            let Ok(stated) = u32::try_from(length_bytes + ENTRY_HEAD_BYTES) else {
                return Err(Fault::OverLimit {
                    what: "length of the entry in bytes",
                    found: length_bytes + ENTRY_HEAD_BYTES,
                    limit: u64::from(u32::MAX),
                });
            };
            head.extend_from_slice(&stated.to_le_bytes());
            head.push(0);
        }
        self.links.follow(link(&block), &block.previous)?;
        let trailer = self.at.offset.to_le_bytes();
        for part in [head.as_slice(), bytes, &trailer] {
            if let Err(source) = self.output.write_all(part) {
                self.failed = true;
                return Err(Fault::Write(source));
            }
        }
        self.at.record += 1;
        self.at.offset += head.len() as u64 + length_bytes;
        Ok(())
    }

    /// The output, after the last block.
    ///
    /// # Errors
    ///
    /// [`Fault::WriterFailed`].
    pub fn finish(self) -> Result<W> {
        if self.failed {
            return Err(Fault::WriterFailed.at(self.at));
        }
        Ok(self.output)
    }
}
