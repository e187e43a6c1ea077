//! Reading a block log backwards, from its newest block, by the trailers.
//!
//! Must always hold: a trailer is followed only to a place behind the beginning of the log and
//! before itself; each block that is given out is the parent of the one given out before; the walk
//! ends exactly at the first entry. A log with a cut tail has no good last trailer: that is an
//! error at once, and reading forward says where to cut. Memory: one block and 64 bytes for each
//! of its transactions. Cost: two positioned reads for each block.

use std::io::{Read, Seek, SeekFrom};

use super::block::{AntelopeBlock, Layout, decode_block};
use super::preamble::Preamble;
use super::reader::{ENTRY_HEAD_BYTES, TRAILER_BYTES, body_bytes};
use crate::error::{Error, Fault, Hash, Position, Result};
use crate::input::{BlockLink, Input, ReadOptions};
use crate::stream::FileBlock;

type Faulty<T> = std::result::Result<T, Fault>;

/// Reads a block log backwards.
pub struct LogWalker<R> {
    input: R,
    preamble: Preamble,
    limit_bytes: u64,
    /// Where the next trailer ends: the beginning of the entry that was read last.
    end: u64,
    /// What the next block must be.
    expected: Option<BlockLink>,
    block: Vec<u8>,
    tx_ids: Vec<Hash>,
    ended: bool,
}

impl<R: Read + Seek> LogWalker<R> {
    /// Stands at the end of a log; `options.after` is not used.
    ///
    /// # Errors
    ///
    /// As [`LogReader::new`](super::LogReader::new).
    pub fn new(mut input: R, options: ReadOptions) -> Result<Self> {
        let start = Position::default();
        let seek = |source| Fault::Read(source).at(start);
        input.seek(SeekFrom::Start(0)).map_err(seek)?;
        let preamble = {
            let mut beginning = Input::new(&mut input);
            Preamble::from_input(&mut beginning).map_err(|fault| beginning.error(fault))?
        };
        let end = input.seek(SeekFrom::End(0)).map_err(seek)?;
        Ok(Self {
            input,
            preamble,
            limit_bytes: options.limit_bytes(),
            end,
            expected: None,
            block: Vec::new(),
            tx_ids: Vec::new(),
            ended: false,
        })
    }

    /// What stands before the first entry.
    #[must_use]
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The block before; `None` behind the first one and after an error.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the entry. An error names the end of the entry as its offset while the
    /// beginning is not known, and 0 as its record, since records are counted from the front.
    pub fn next_block(&mut self) -> Result<Option<FileBlock<'_>>> {
        if self.ended || self.end == self.preamble.bytes().len() as u64 {
            return Ok(None);
        }
        let next = self.position(self.end);
        match self.read() {
            Ok((block, offset)) => {
                let record = u64::from(block.number.saturating_sub(self.preamble.first_block()));
                Ok(Some(FileBlock {
                    number: u64::from(block.number),
                    hash: block.id,
                    parent: block.previous,
                    tx_ids: &self.tx_ids,
                    body: &self.block,
                    at: Position { record, offset },
                    next: Position {
                        record: record + 1,
                        ..next
                    },
                }))
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }

    fn position(&self, offset: u64) -> Position {
        let record = self.expected.map_or(0, |block| {
            block
                .number
                .saturating_sub(u64::from(self.preamble.first_block()))
        });
        Position { record, offset }
    }

    fn read(&mut self) -> std::result::Result<(AntelopeBlock, u64), Error> {
        let end = self.position(self.end);
        let start = self.preamble.bytes().len() as u64;
        let entry = self.trailer(start).map_err(|fault| fault.at(end))?;
        let at = self.position(entry);
        let block = self.entry(entry).map_err(|fault| fault.at(at))?;
        let first = u64::from(self.preamble.first_block());
        let number = u64::from(block.number);
        let expected = match self.expected {
            Some(expected) => {
                if number != expected.number {
                    let (expected, found) = (expected.number, number);
                    return Err(Fault::Number { expected, found }.at(at));
                }
                expected.hash
            }
            None => block.id,
        };
        if block.id != expected {
            let found = block.id;
            return Err(Fault::Parent {
                expected: found,
                found: expected,
            }
            .at(at));
        }
        // The first entry holds the first block, and no other entry does.
        if (entry == start) != (number == first) || number < first {
            let (expected, found) = (first, number);
            return Err(Fault::Number { expected, found }.at(at));
        }
        self.expected = Some(BlockLink {
            number: number.saturating_sub(1),
            hash: block.previous,
        });
        self.end = entry;
        Ok((block, entry))
    }

    /// The place that the trailer before `end` points to, and leaves the input there.
    fn trailer(&mut self, start: u64) -> Faulty<u64> {
        let what = "trailer of the last block";
        let trailer = self.end.saturating_sub(TRAILER_BYTES);
        if trailer <= start {
            return Err(Fault::Truncated {
                what,
                wanted_bytes: TRAILER_BYTES,
                got_bytes: self.end.saturating_sub(start),
            });
        }
        self.input
            .seek(SeekFrom::Start(trailer))
            .map_err(Fault::Read)?;
        let mut bytes = [0; TRAILER_BYTES as usize];
        self.input.read_exact(&mut bytes).map_err(Fault::Read)?;
        let found = u64::from_le_bytes(bytes);
        if found < start || found >= trailer {
            return Err(Fault::Index {
                what: "trailer",
                number: self.expected.map_or(0, |block| block.number),
                expected: start,
                found: i128::from(found),
            });
        }
        self.input
            .seek(SeekFrom::Start(found))
            .map_err(Fault::Read)?;
        Ok(found)
    }

    /// Reads and checks the entry that begins here and ends at `end`.
    fn entry(&mut self, entry: u64) -> Faulty<AntelopeBlock> {
        self.block.clear();
        let mut input = Input::new(&mut self.input);
        let length_bytes = self.end - entry - TRAILER_BYTES;
        let body = match self.preamble.layout() {
            Layout::Plain => length_bytes,
            Layout::Prunable => {
                let body = body_bytes(input.array("head of the entry")?, self.limit_bytes)?;
                if body + ENTRY_HEAD_BYTES != length_bytes {
                    return Err(Fault::Length {
                        what: "entry",
                        expected_bytes: length_bytes,
                        found_bytes: body + ENTRY_HEAD_BYTES,
                    });
                }
                body
            }
        };
        if body > self.limit_bytes {
            return Err(Fault::OverLimit {
                what: "length of the block in bytes",
                found: body,
                limit: self.limit_bytes,
            });
        }
        input.append(&mut self.block, body, "block")?;
        decode_block(&self.block, self.preamble.layout(), &mut self.tx_ids)
    }
}

impl<R> std::fmt::Debug for LogWalker<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWalker")
            .field("preamble", &self.preamble)
            .field("end", &self.end)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
