//! The one place where bytes enter: a counted stream with a limit, and the link check.
//!
//! Must always hold: a length is held against the limit before anything is set aside for it, and
//! memory then grows only as bytes arrive; offsets count from the first byte of the file, also
//! when reading starts later. Cost: each byte is copied once, out of a 64 KiB buffer.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Error, Fault, Hash, Position};
use crate::stream::FileBlock;

/// Bytes set aside before the first byte of a record has arrived.
const FIRST_BYTES: u64 = 64 * 1024;

/// Largest limit that may be set: lengths are kept in 32 bits by two of the formats.
const LIMIT_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

/// A block by number and hash: what the next one must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockLink {
    /// The block's number.
    pub number: u64,
    /// The block's hash or id.
    pub hash: Hash,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The longest block, in bytes; for an era1 file both compressed and decompressed. Values
    /// above 4 GiB are lowered to that.
    pub block_bytes_max: u64,
    /// The block that the first one of the file must follow; `None` takes any first block.
    pub after: Option<BlockLink>,
}

impl ReadOptions {
    /// The default limit: 64 MiB.
    pub const BLOCK_BYTES_MAX: u64 = 64 * 1024 * 1024;

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.block_bytes_max.min(LIMIT_BYTES_MAX)
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            block_bytes_max: Self::BLOCK_BYTES_MAX,
            after: None,
        }
    }
}

/// Where to go on in a file that was read in part before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResumePoint {
    /// The next block's number in the file, and the offset of its first byte.
    pub at: Position,
    /// The block before it; the next one must follow it.
    pub last: BlockLink,
}

/// A stream that knows its place.
pub(crate) struct Input<R> {
    inner: BufReader<R>,
    offset: u64,
    at: Position,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner: BufReader::with_capacity(FIRST_BYTES as usize, inner),
            offset: 0,
            at: Position::default(),
        }
    }

    /// The offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The record that is being read.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// A record, or a further part of it that errors shall name, begins at the next byte.
    pub(crate) fn begin(&mut self) {
        self.at.offset = self.offset;
    }

    /// The record is whole; the next one begins at the next byte.
    pub(crate) fn end_record(&mut self) {
        self.at.record = self.at.record.saturating_add(1);
        self.begin();
    }

    pub(crate) fn error(&self, fault: Fault) -> Error {
        fault.at(self.at)
    }

    /// What a reader hands out of what it read; nothing comes after the end or an error.
    pub(crate) fn hand_out<'b>(
        &self,
        read: Result<Option<(BlockLink, Hash, Position)>, Fault>,
        ended: &mut bool,
        (tx_ids, body): (&'b [Hash], &'b [u8]),
    ) -> Result<Option<FileBlock<'b>>, Error> {
        *ended = !matches!(read, Ok(Some(_)));
        let block = |(link, parent, at): (BlockLink, Hash, Position)| FileBlock {
            number: link.number,
            hash: link.hash,
            parent,
            tx_ids,
            body,
            at,
            next: self.position(),
        };
        match read {
            Ok(read) => Ok(read.map(block)),
            Err(fault) => Err(self.error(fault)),
        }
    }

    /// True when no byte is left.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, Fault> {
        loop {
            match self.inner.fill_buf() {
                Ok(buffer) => return Ok(buffer.is_empty()),
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Fault::Read(source)),
            }
        }
    }

    /// Appends exactly `count` bytes to `bytes`.
    pub(crate) fn append(
        &mut self,
        bytes: &mut Vec<u8>,
        count: u64,
        what: &'static str,
    ) -> Result<(), Fault> {
        let wanted_bytes = (self.offset - self.at.offset).saturating_add(count);
        let mut left = count;
        while left > 0 {
            // Doubling what has arrived keeps the copying linear and the waste within one record.
            let step = left.min(FIRST_BYTES.max(bytes.len() as u64));
            bytes.reserve_exact(step as usize);
            let before = bytes.len();
            let read = self.inner.by_ref().take(step).read_to_end(bytes);
            let got = (bytes.len() - before) as u64;
            self.offset += got;
            left -= got;
            read.map_err(Fault::Read)?;
            if got < step {
                return Err(Fault::Truncated {
                    what,
                    wanted_bytes,
                    got_bytes: self.offset - self.at.offset,
                });
            }
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        let mut got = 0;
        while got < N {
            match self.inner.read(&mut bytes[got..]) {
                Ok(0) => {
                    return Err(Fault::Truncated {
                        what,
                        wanted_bytes: self.offset - self.at.offset + (N - got) as u64,
                        got_bytes: self.offset - self.at.offset,
                    });
                }
                Ok(count) => {
                    got += count;
                    self.offset += count as u64;
                }
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Fault::Read(source)),
            }
        }
        Ok(bytes)
    }

    /// Passes over bytes up to the point where reading goes on.
    pub(crate) fn skip_to(&mut self, at: Position) -> Result<(), Error> {
        let ahead = at.offset.saturating_sub(self.offset);
        let passed = io::copy(&mut self.inner.by_ref().take(ahead), &mut io::sink())
            .map_err(|source| Fault::Read(source).at(at))?;
        self.offset += passed;
        if self.offset != at.offset {
            let what = "the part that was read before";
            return Err(Fault::Truncated {
                what,
                wanted_bytes: at.offset,
                got_bytes: self.offset,
            }
            .at(at));
        }
        self.at = at;
        Ok(())
    }
}

/// Holds every block against the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    last: Option<BlockLink>,
}

impl Links {
    pub(crate) fn new(last: Option<BlockLink>) -> Self {
        Self { last }
    }

    pub(crate) fn last(&self) -> Option<BlockLink> {
        self.last
    }

    /// Checks the number first, so that a gap is called one, and then the parent.
    pub(crate) fn follow(&mut self, block: BlockLink, parent: &Hash) -> Result<(), Fault> {
        if let Some(last) = self.last {
            // After the last number there is none that could follow, so the sum may stay put.
            let expected = last.number.saturating_add(1);
            if block.number != expected || last.number == u64::MAX {
                return Err(Fault::Number {
                    expected,
                    found: block.number,
                });
            }
            if *parent != last.hash {
                return Err(Fault::Parent {
                    expected: last.hash,
                    found: *parent,
                });
            }
        }
        self.last = Some(block);
        Ok(())
    }
}
