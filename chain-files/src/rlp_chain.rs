//! Ethereum chain files: RLP blocks one after the other, as `geth export` writes them.
//!
//! Must always hold: the length of a block comes from its own list head and is held against the
//! limit before anything is set aside; each block is checked by
//! [`decode_block`] and follows the one before by number and parent;
//! after an error or the end nothing more comes out; what is written is what was read, byte for
//! byte. A file cut exactly between two blocks cannot be told from a shorter one. Memory: one
//! block and as much again for the hashes of its transactions.

use std::io::{Read, Write};

use crate::error::{Error, Fault, Hash, Position, Result};
use crate::ethereum::decode_block;
use crate::input::{BlockLink, Input, Links, ReadOptions, ResumePoint};
use crate::rlp::{Head, Kind};
use crate::stream::FileBlock;

/// Reads a chain file.
pub struct RlpChainReader<R> {
    input: Input<R>,
    limit_bytes: u64,
    links: Links,
    block: Vec<u8>,
    tx_ids: Vec<Hash>,
    ended: bool,
}

impl<R: Read> RlpChainReader<R> {
    /// Begins at the first byte of a file.
    pub fn new(input: R, options: ReadOptions) -> Self {
        Self {
            input: Input::new(input),
            limit_bytes: options.limit_bytes(),
            links: Links::new(options.after),
            block: Vec::new(),
            tx_ids: Vec::new(),
            ended: false,
        }
    }

    /// Goes on in a file that was read in part before; `input` stands at its first byte.
    ///
    /// # Errors
    ///
    /// [`Fault::Read`]; [`Fault::Truncated`] when the file has become shorter.
    pub fn resume(input: R, options: ReadOptions, point: ResumePoint) -> Result<Self> {
        let after = Some(point.last);
        let mut reader = Self::new(input, ReadOptions { after, ..options });
        reader.input.skip_to(point.at)?;
        Ok(reader)
    }

    /// The next block; `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, with its position.
    pub fn next_block(&mut self) -> Result<Option<FileBlock<'_>>> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read();
        let of_it = (&self.tx_ids[..], &self.block[..]);
        self.input.hand_out(read, &mut self.ended, of_it)
    }

    fn read(&mut self) -> std::result::Result<Option<(BlockLink, Hash, Position)>, Fault> {
        self.block.clear();
        if self.input.is_at_end()? {
            return Ok(None);
        }
        let what = "head of the block";
        let [first] = self.input.array(what)?;
        self.block.push(first);
        let rest = Head::bytes_for(first).saturating_sub(1) as u64;
        self.input.append(&mut self.block, rest, what)?;
        let head = Head::decode(&self.block, "block")?;
        if head.kind != Kind::List {
            return Err(Fault::Kind {
                what: "block",
                expected: "list",
            });
        }
        let length_bytes = head.payload_bytes.saturating_add(head.head_bytes as u64);
        if length_bytes > self.limit_bytes {
            return Err(Fault::OverLimit {
                what: "length of the block in bytes",
                found: length_bytes,
                limit: self.limit_bytes,
            });
        }
        self.input
            .append(&mut self.block, head.payload_bytes, "block")?;
        let header = decode_block(&self.block, &mut self.tx_ids)?;
        let link = BlockLink {
            number: header.number,
            hash: header.hash,
        };
        self.links.follow(link, &header.parent)?;
        let at = self.input.position();
        self.input.end_record();
        Ok(Some((link, header.parent, at)))
    }
}

impl<R> std::fmt::Debug for RlpChainReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RlpChainReader")
            .field("links", &self.links)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Writes a chain file.
///
/// The caller flushes or syncs what it gave as output.
#[derive(Debug)]
pub struct RlpChainWriter<W> {
    output: W,
    at: Position,
    links: Links,
    tx_ids: Vec<Hash>,
    failed: bool,
}

impl<W: Write> RlpChainWriter<W> {
    /// Begins an empty file.
    pub fn new(output: W) -> Self {
        Self {
            output,
            at: Position::default(),
            links: Links::default(),
            tx_ids: Vec::new(),
            failed: false,
        }
    }

    /// Appends a block, which is checked as when it is read.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, and [`Fault::Write`], after which the writer takes no more.
    pub fn write_block(&mut self, block: &[u8]) -> Result<()> {
        self.append(block).map_err(|fault| fault.at(self.at))
    }

    /// The block that was appended last; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<BlockLink> {
        self.links.last()
    }

    fn append(&mut self, block: &[u8]) -> std::result::Result<(), Fault> {
        if self.failed {
            return Err(Fault::WriterFailed);
        }
        let header = decode_block(block, &mut self.tx_ids)?;
        let link = BlockLink {
            number: header.number,
            hash: header.hash,
        };
        self.links.follow(link, &header.parent)?;
        if let Err(source) = self.output.write_all(block) {
            self.failed = true;
            return Err(Fault::Write(source));
        }
        self.at.record += 1;
        self.at.offset += block.len() as u64;
        Ok(())
    }

    /// The output, after the last block.
    ///
    /// # Errors
    ///
    /// [`Fault::WriterFailed`].
    pub fn finish(self) -> std::result::Result<W, Error> {
        if self.failed {
            return Err(Fault::WriterFailed.at(self.at));
        }
        Ok(self.output)
    }
}
