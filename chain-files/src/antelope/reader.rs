//! Reading a block log from front to back.
//!
//! Must always hold: an entry is given out only when its trailer points back at its beginning; the
//! first block has the number that the log begins with, and each next one follows by number and
//! parent. The body that is given out is the packed block (of version 4 with its padding), without
//! trailer. Memory: one block, and 64 bytes for each of its transactions.

use std::io::Read;

use super::block::{AntelopeBlock, Layout, read_block};
use super::pack::{SliceSource, StreamSource};
use super::preamble::Preamble;
use crate::error::{Fault, Hash, Position, Result};
use crate::input::{BlockLink, Input, Links, ReadOptions, ResumePoint};
use crate::stream::FileBlock;

pub(super) const TRAILER_BYTES: u64 = 8;
/// Length and compression before a block of version 4.
pub(super) const ENTRY_HEAD_BYTES: u64 = 5;

type Faulty<T> = std::result::Result<T, Fault>;

/// Reads a block log.
pub struct LogReader<R> {
    input: Input<R>,
    preamble: Preamble,
    limit_bytes: u64,
    links: Links,
    block: Vec<u8>,
    tx_ids: Vec<Hash>,
    ended: bool,
}

impl<R: Read> LogReader<R> {
    /// Begins at the first byte of a log.
    ///
    /// # Errors
    ///
    /// [`Fault::Unsupported`] or [`Fault::Value`] when the first bytes are not those of a log;
    /// [`Fault::Read`], [`Fault::Truncated`].
    pub fn new(input: R, options: ReadOptions) -> Result<Self> {
        let mut input = Input::new(input);
        let preamble = Preamble::from_input(&mut input).map_err(|fault| input.error(fault))?;
        input.begin();
        Ok(Self {
            input,
            preamble,
            limit_bytes: options.limit_bytes(),
            links: Links::new(options.after),
            block: Vec::new(),
            tx_ids: Vec::new(),
            ended: false,
        })
    }

    /// Goes on in a log that was read in part before; `input` stands at its first byte.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`Fault::Truncated`] when the log has become shorter.
    pub fn resume(input: R, options: ReadOptions, point: ResumePoint) -> Result<Self> {
        let after = Some(point.last);
        let mut reader = Self::new(input, ReadOptions { after, ..options })?;
        reader.input.skip_to(point.at)?;
        Ok(reader)
    }

    /// What stands before the first entry.
    #[must_use]
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The next block; `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the entry, with its position.
    pub fn next_block(&mut self) -> Result<Option<FileBlock<'_>>> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read().map(|read| {
            read.map(|(block, at)| {
                let number = u64::from(block.number);
                let hash = block.id;
                (BlockLink { number, hash }, block.previous, at)
            })
        });
        let of_it = (&self.tx_ids[..], &self.block[..]);
        self.input.hand_out(read, &mut self.ended, of_it)
    }

    fn read(&mut self) -> Faulty<Option<(AntelopeBlock, Position)>> {
        self.block.clear();
        if self.input.is_at_end()? {
            return Ok(None);
        }
        let at = self.input.position();
        let block = match self.preamble.layout() {
            Layout::Plain => read_block(
                &mut StreamSource {
                    input: &mut self.input,
                    bytes: &mut self.block,
                    limit_bytes: self.limit_bytes,
                },
                Layout::Plain,
                self.limit_bytes,
                &mut self.tx_ids,
            )?,
            Layout::Prunable => self.read_prunable()?,
        };
        let trailer = u64::from_le_bytes(self.input.array("trailer of the block")?);
        check_trailer(trailer, at.offset, block.number)?;
        let expected = u64::from(self.preamble.first_block());
        if at.record == 0 && u64::from(block.number) != expected {
            let found = u64::from(block.number);
            return Err(Fault::Number { expected, found });
        }
        self.links.follow(link(&block), &block.previous)?;
        self.input.end_record();
        Ok(Some((block, at)))
    }

    fn read_prunable(&mut self) -> Faulty<AntelopeBlock> {
        let head = self.input.array("head of the entry")?;
        let body_bytes = body_bytes(head, self.limit_bytes)?;
        self.input.append(&mut self.block, body_bytes, "block")?;
        let mut source = SliceSource::new(&self.block);
        read_block(
            &mut source,
            Layout::Prunable,
            self.limit_bytes,
            &mut self.tx_ids,
        )
    }
}

impl<R> std::fmt::Debug for LogReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader")
            .field("preamble", &self.preamble)
            .field("links", &self.links)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

pub(super) fn link(block: &AntelopeBlock) -> BlockLink {
    BlockLink {
        number: u64::from(block.number),
        hash: block.id,
    }
}

pub(super) fn check_trailer(found: u64, expected: u64, number: u32) -> Faulty<()> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Index {
        what: "trailer",
        number: u64::from(number),
        expected,
        found: i128::from(found),
    })
}

/// Bytes of the block in an entry of version 4, from the entry's head.
pub(super) fn body_bytes(head: [u8; ENTRY_HEAD_BYTES as usize], limit_bytes: u64) -> Faulty<u64> {
    let [l0, l1, l2, l3, compression] = head;
    let length_bytes = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    if compression != 0 {
        return Err(Fault::Unsupported {
            what: "compression of the entry",
            found: u64::from(compression),
        });
    }
    let Some(body_bytes) = length_bytes.checked_sub(ENTRY_HEAD_BYTES + TRAILER_BYTES) else {
        return Err(Fault::Length {
            what: "entry",
            expected_bytes: ENTRY_HEAD_BYTES + TRAILER_BYTES,
            found_bytes: length_bytes,
        });
    };
    if body_bytes > limit_bytes {
        return Err(Fault::OverLimit {
            what: "length of the block in bytes",
            found: body_bytes,
            limit: limit_bytes,
        });
    }
    Ok(body_bytes)
}
