//! Reading an era1 file from front to back.
//!
//! Must always hold: compressed and decompressed bytes are each held against the limit, the
//! decompressed ones of a block all together; the accumulator and the index are checked when all
//! blocks before them were read, that is by the call that would give the block after the last.
//! Memory: one block, the compressed form of its longest part, 140 KiB of the decompressor, and
//! 40 bytes for each block of the file.

use std::io::{Cursor, Read};

use snap::read::FrameDecoder;

use super::BLOCKS_MAX;
use super::accumulator::{Accumulator, TotalDifficulty};
use super::body::{Era1Body, begin_part, end_part};
use crate::e2store::{HEAD_BYTES, RecordHead, kind};
use crate::error::{Fault, Hash, Position, Result};
use crate::input::{BlockLink, Input, Links, ReadOptions, ResumePoint};
use crate::stream::FileBlock;

/// What a framed snappy stream begins with.
const SNAPPY_IDENTIFIER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

type Faulty<T> = std::result::Result<T, Fault>;

/// Reads an era1 file.
pub struct Era1Reader<R> {
    input: Input<R>,
    limit_bytes: u64,
    links: Links,
    decoder: FrameDecoder<Cursor<Vec<u8>>>,
    block: Vec<u8>,
    tx_ids: Vec<Hash>,
    total_difficulty: Option<TotalDifficulty>,
    accumulator: Accumulator,
    /// Offsets of the blocks that were read, from record `first_record` on.
    offsets: Vec<u64>,
    first_record: u64,
    ended: bool,
}

impl<R: Read> Era1Reader<R> {
    /// Begins at the first byte of a file.
    ///
    /// # Errors
    ///
    /// [`Fault::RecordType`] or [`Fault::Length`] when there is no version record; [`Fault::Read`],
    /// [`Fault::Truncated`].
    pub fn new(input: R, options: ReadOptions) -> Result<Self> {
        let mut reader = Self {
            input: Input::new(input),
            limit_bytes: options.limit_bytes(),
            links: Links::new(options.after),
            decoder: FrameDecoder::new(Cursor::new(Vec::new())),
            block: Vec::new(),
            tx_ids: Vec::new(),
            total_difficulty: None,
            accumulator: Accumulator::default(),
            offsets: Vec::new(),
            first_record: 0,
            ended: false,
        };
        let version = reader
            .head(kind::VERSION)
            .and_then(|head| sized(head, "version", 0));
        version.map_err(|fault| reader.input.error(fault))?;
        reader.input.begin();
        Ok(reader)
    }

    /// Goes on in a file that was read in part before; `input` stands at its first byte.
    ///
    /// The accumulator, which needs every block, is then not checked, nor are the index entries of
    /// the blocks before.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`Fault::Truncated`] when the file has become shorter,
    /// [`Fault::RecordType`] or [`Fault::Length`] when no block ends there.
    pub fn resume(input: R, options: ReadOptions, point: ResumePoint) -> Result<Self> {
        let after = Some(point.last);
        let mut reader = Self::new(input, ReadOptions { after, ..options })?;
        if let Some(record) = point.at.record.checked_sub(1) {
            // The block before ends in its total difficulty, which the next one's must follow.
            let offset = point.at.offset.saturating_sub(HEAD_BYTES + 32);
            reader.input.skip_to(Position { record, offset })?;
            let total = reader.total_difficulty();
            let total = total.map_err(|fault| reader.input.error(fault))?;
            reader.total_difficulty = Some(total);
            reader.input.end_record();
        }
        reader.input.skip_to(point.at)?;
        reader.first_record = point.at.record;
        Ok(reader)
    }

    fn total_difficulty(&mut self) -> Faulty<TotalDifficulty> {
        let head = self.head(kind::TOTAL_DIFFICULTY)?;
        sized(head, "total difficulty", 32)?;
        self.input.array("total difficulty").map(TotalDifficulty)
    }

    /// The next block; `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, or of the accumulator and the index after the last one.
    pub fn next_block(&mut self) -> Result<Option<FileBlock<'_>>> {
        if self.ended {
            return Ok(None);
        }
        let read = self.read();
        let of_it = (&self.tx_ids[..], &self.block[..]);
        self.input.hand_out(read, &mut self.ended, of_it)
    }

    fn read(&mut self) -> Faulty<Option<(BlockLink, Hash, Position)>> {
        let head = RecordHead::decode(self.input.array("head of the record")?)?;
        let read_before = self.first_record > 0 || !self.offsets.is_empty();
        if head.kind == kind::ACCUMULATOR && read_before {
            self.read_end(head)?;
            return Ok(None);
        }
        let head = head.expect(kind::HEADER)?;
        let at = self.input.position();
        check_count(self.count().saturating_add(1))?;
        self.block.clear();
        self.compressed(head, "header")?;
        for (kind, what) in [(kind::BODY, "body"), (kind::RECEIPTS, "receipts")] {
            self.input.begin();
            let head = self.head(kind)?;
            self.compressed(head, what)?;
        }
        self.input.begin();
        let head = self.head(kind::TOTAL_DIFFICULTY)?;
        sized(head, "total difficulty", 32)?;
        self.input.append(&mut self.block, 32, "total difficulty")?;
        let (link, parent) = self.check()?;
        self.offsets.push(at.offset);
        self.input.end_record();
        Ok(Some((link, parent, at)))
    }

    /// Checks the block by itself and against the one before.
    fn check(&mut self) -> Faulty<(BlockLink, Hash)> {
        let stored = Era1Body::parse(&self.block)?;
        let header = stored.check(&mut self.tx_ids)?;
        let link = BlockLink {
            number: header.number,
            hash: header.hash,
        };
        self.links.follow(link, &header.parent)?;
        if let Some(before) = self.total_difficulty {
            stored.check_difficulty(before, &header)?;
        }
        self.total_difficulty = Some(stored.total_difficulty);
        self.accumulator.push(&link.hash, stored.total_difficulty)?;
        Ok((link, header.parent))
    }

    /// Blocks of the file so far.
    fn count(&self) -> u64 {
        self.first_record.saturating_add(self.offsets.len() as u64)
    }

    /// The head of the record that begins here, which must be of this type.
    fn head(&mut self, kind: u16) -> Faulty<RecordHead> {
        RecordHead::decode(self.input.array("head of the record")?)?.expect(kind)
    }

    /// Appends the decompressed data of a record to the block, behind its length.
    fn compressed(&mut self, head: RecordHead, what: &'static str) -> Faulty<()> {
        let length_bytes = u64::from(head.length_bytes);
        if length_bytes > self.limit_bytes {
            return Err(Fault::OverLimit {
                what: "length of the record in bytes",
                found: length_bytes,
                limit: self.limit_bytes,
            });
        }
        let cursor = self.decoder.get_mut();
        cursor.set_position(0);
        cursor.get_mut().clear();
        self.input.append(cursor.get_mut(), length_bytes, what)?;
        // The decoder is used again and asks for the identifier only once.
        if !cursor.get_ref().starts_with(SNAPPY_IDENTIFIER) {
            return Err(Fault::Kind {
                what,
                expected: "framed snappy stream",
            });
        }
        let start = begin_part(&mut self.block);
        let room = self.limit_bytes.saturating_sub(self.block.len() as u64);
        (&mut self.decoder)
            .take(room + 1)
            .read_to_end(&mut self.block)
            .map_err(|source| Fault::Compressed { what, source })?;
        if self.block.len() as u64 > self.limit_bytes {
            return Err(Fault::OverLimit {
                what: "decompressed length of the block in bytes",
                found: self.block.len() as u64,
                limit: self.limit_bytes,
            });
        }
        end_part(&mut self.block, start);
        Ok(())
    }

    /// Checks what follows the last block: accumulator, index, nothing.
    fn read_end(&mut self, head: RecordHead) -> Faulty<()> {
        sized(head, "accumulator", 32)?;
        let stated: Hash = self.input.array("accumulator")?;
        let computed = self.accumulator.root();
        if self.first_record == 0 && stated != computed {
            return Err(Fault::Mismatch {
                what: "accumulator",
                stated,
                computed,
            });
        }
        self.input.begin();
        let start = self.input.offset();
        let head = self.head(kind::BLOCK_INDEX)?;
        let count = check_count(self.count())?;
        sized(head, "block index", 16 + 8 * count)?;
        self.read_index(start, count)?;
        self.input.begin();
        if !self.input.is_at_end()? {
            return Err(Fault::Trailing {
                what: "block index",
                count_bytes: 1,
            });
        }
        Ok(())
    }

    fn read_index(&mut self, start: u64, count: u64) -> Faulty<()> {
        let what = "block index";
        let next_number = self
            .links
            .last()
            .map_or(0, |last| last.number.saturating_add(1));
        let expected = next_number.saturating_sub(count);
        let found = u64::from_le_bytes(self.input.array(what)?);
        if found != expected {
            return Err(Fault::Number { expected, found });
        }
        for record in 0..count {
            let relative = i64::from_le_bytes(self.input.array(what)?);
            let found = i128::from(start) + i128::from(relative);
            let Some(at) = record.checked_sub(self.first_record) else {
                continue;
            };
            let expected = self.offsets.get(at as usize).copied().unwrap_or_default();
            if found != i128::from(expected) {
                return Err(Fault::Index {
                    what,
                    number: next_number.saturating_sub(count - record),
                    expected,
                    found,
                });
            }
        }
        let found = u64::from_le_bytes(self.input.array(what)?);
        if found != count {
            return Err(Fault::Value {
                what: "number of blocks in the index",
                expected: count,
                found,
            });
        }
        Ok(())
    }
}

impl<R> std::fmt::Debug for Era1Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Era1Reader")
            .field("links", &self.links)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

fn check_count(count: u64) -> Faulty<u64> {
    if count <= BLOCKS_MAX {
        return Ok(count);
    }
    Err(Fault::OverLimit {
        what: "number of blocks in the file",
        found: count,
        limit: BLOCKS_MAX,
    })
}

fn sized(head: RecordHead, what: &'static str, expected_bytes: u64) -> Faulty<()> {
    let found_bytes = u64::from(head.length_bytes);
    if found_bytes == expected_bytes {
        return Ok(());
    }
    Err(Fault::Length {
        what,
        expected_bytes,
        found_bytes,
    })
}
