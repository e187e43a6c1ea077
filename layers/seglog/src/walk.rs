//! A walk over the records of one segment, from one to the next.
//!
//! Invariants: a record is given when its header checks in this segment, follows the header before
//! it, has the next height, lies within the file, and its payload checks; the walk ends before the
//! first that does not, and says why. Memory: a buffer, which grows to the longest record and no
//! further than the file has bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::{DiskFile, read_full};
use crate::error::{LogError, LogResult};
use crate::record::{self, Header};
use crate::segment::{SegmentHeader, SegmentNumber};
use crate::{ChainTag, Height, Place};

/// Bytes read at once: few enough to stay in the processor's cache until they are compared.
const CHUNK_BYTES: usize = 256 << 10;

/// An open segment, with its header read.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) checksum: u32,
    /// Its path, for people.
    pub(crate) place: Arc<str>,
}

impl Segment {
    /// Reads and checks the header of a file.
    pub(crate) fn open(
        file: Arc<dyn DiskFile>,
        place: Arc<str>,
        of: (ChainTag, SegmentNumber),
    ) -> LogResult<Self> {
        let mut bytes = [0; crate::segment::HEADER_LEN];
        let read = read_full(&*file, 0, &mut bytes)
            .map_err(|error| LogError::io(place.to_string(), error))?;
        let read = bytes.get(..read).unwrap_or_default();
        let (header, checksum) = SegmentHeader::decode(read, of, &|| place.to_string())?;
        Ok(Self {
            file,
            header,
            checksum,
            place,
        })
    }

    pub(crate) fn io(&self, error: std::io::Error) -> LogError {
        LogError::io(self.place.to_string(), error)
    }

    pub(crate) fn damaged(&self, offset: u64, what: &'static str) -> LogError {
        LogError::Damaged {
            place: self.place.to_string(),
            segment: self.header.number,
            offset,
            what,
        }
    }

    pub(crate) fn len(&self) -> LogResult<u64> {
        self.file.bytes().map_err(|error| self.io(error))
    }
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) enum Step<'w> {
    /// A record, with its payload.
    Record(Place, Header, &'w [u8]),
    /// No record begins here, for this reason.
    End(&'static str),
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) segment: Segment,
    /// Where the next record begins.
    pub(crate) offset: u64,
    /// Its height, and the checksum that it has to name.
    pub(crate) next: Height,
    pub(crate) link: Link,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    buffer_at: u64,
}

/// What the next header has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The header with this checksum.
    To(u32),
    /// Any: the walk begins in the middle.
    Any,
}

impl Walk {
    /// A walk from the first record on.
    pub(crate) fn new(segment: Segment) -> Self {
        Self {
            offset: crate::SEGMENT_HEADER_BYTES,
            next: segment.header.first,
            link: Link::To(segment.checksum),
            segment,
            buffer: Vec::new(),
            buffer_at: 0,
        }
    }

    /// A walk from a known record on.
    pub(crate) fn from(segment: Segment, offset: u64, height: Height) -> Self {
        Self {
            offset,
            next: height,
            link: Link::Any,
            ..Self::new(segment)
        }
    }

    /// Whether the file ends here.
    pub(crate) fn is_at_end(&self) -> LogResult<bool> {
        let is_buffered = self.offset < self.buffer_at + self.buffer.len() as u64;
        Ok(!is_buffered && self.offset >= self.segment.len()?)
    }

    /// Goes on at the first record of another segment, with the same buffer.
    pub(crate) fn go_on(&mut self, segment: Segment) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        *self = Self {
            buffer,
            ..Self::new(segment)
        };
    }

    /// Makes sure that these bytes of the file are in the buffer, and says where; fewer at its end.
    fn fetch(&mut self, offset: u64, bytes: usize) -> LogResult<Range<usize>> {
        let end = self.buffer_at + self.buffer.len() as u64;
        if offset < self.buffer_at || offset + bytes as u64 > end {
            // What is there already is not read again.
            let skipped = offset.checked_sub(self.buffer_at).filter(|_| offset <= end);
            let skipped = skipped.and_then(|bytes| usize::try_from(bytes).ok());
            self.buffer.drain(..skipped.unwrap_or(self.buffer.len()));
            self.buffer_at = offset;
            let there = self.buffer.len();
            let left = self.segment.len()?.saturating_sub(offset);
            let wanted = bytes.max(CHUNK_BYTES);
            let wanted = wanted
                .min(usize::try_from(left).unwrap_or(usize::MAX))
                .max(there);
            self.buffer.resize(wanted, 0);
            let rest = self.buffer.get_mut(there..).unwrap_or_default();
            let read = read_full(&*self.segment.file, offset + there as u64, rest);
            let read = read.map_err(|error| self.segment.io(error))?;
            self.buffer.truncate(there + read);
        }
        let at = usize::try_from(offset - self.buffer_at).unwrap_or(usize::MAX);
        Ok(at..self.buffer.len().min(at.saturating_add(bytes)))
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// `Io`; a record that does not check is an answer and no error.
    pub(crate) fn step(&mut self) -> LogResult<Step<'_>> {
        let offset = self.offset;
        let range = self.fetch(offset, record::HEADER_LEN)?;
        let Some(bytes) = self.buffer.get(range).and_then(|bytes| bytes.first_chunk()) else {
            return Ok(Step::End("the file ends"));
        };
        let Some((header, checksum)) = Header::decode(bytes, self.segment.checksum) else {
            let is_empty = bytes.iter().all(|byte| *byte == 0);
            return Ok(Step::End(if is_empty {
                NOTHING
            } else {
                "the header of a record does not check"
            }));
        };
        if header.height != self.next {
            return Ok(Step::End("a record has another height than follows"));
        }
        if self.link != Link::To(header.link) && self.link != Link::Any {
            return Ok(Step::End("a record does not follow the one before it"));
        }
        let payload_at = offset + crate::HEADER_BYTES;
        let payload_bytes = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
        let end = payload_at + u64::from(header.payload_bytes);
        let is_buffered = end <= self.buffer_at + self.buffer.len() as u64;
        if !is_buffered && end > self.segment.len()? {
            return Ok(Step::End("a record reaches beyond the file"));
        }
        let range = self.fetch(payload_at, payload_bytes)?;
        let payload = self.buffer.get(range).unwrap_or_default();
        if payload.len() != payload_bytes || crate::checksum(payload) != header.payload_checksum {
            return Ok(Step::End("the payload of a record does not check"));
        }
        self.offset = end;
        self.next = header.height.next();
        self.link = Link::To(checksum);
        let place = Place {
            segment: self.segment.header.number,
            offset,
            payload_bytes: header.payload_bytes,
            payload_checksum: header.payload_checksum,
        };
        Ok(Step::Record(place, header, payload))
    }

    /// Looks for headers of this segment behind the end of the walk: the first one that says that
    /// the record missing here was durable when it was written, and whether there is any at all.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn look_behind(&mut self) -> LogResult<Behind> {
        let mut behind = Behind::default();
        let end = self.segment.len()?;
        let mut at = self.offset;
        while at < end {
            let range = self.fetch(at, CHUNK_BYTES)?;
            let bytes = self.buffer.get(range).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            for (begin, _) in bytes
                .windows(4)
                .enumerate()
                .filter(|(_, w)| *w == record::MARKER)
            {
                let header = bytes.get(begin..).and_then(|bytes| bytes.first_chunk());
                let Some(header) = header else { continue };
                if let Some((header, _)) = Header::decode(header, self.segment.checksum) {
                    behind.is_there = true;
                    let ahead = header.height.get().checked_sub(self.next.get());
                    let was_durable = ahead.is_some_and(|ahead| ahead > u64::from(header.unsynced));
                    behind.proves_damage |= was_durable;
                }
            }
            // The next chunk begins where a header could have been cut in two.
            let step = bytes.len().saturating_sub(record::HEADER_LEN - 1).max(1);
            if bytes.len() < CHUNK_BYTES {
                break;
            }
            at += step as u64;
        }
        Ok(behind)
    }
}

/// Why a walk ends where nothing was written.
pub(crate) const NOTHING: &str = "nothing was written here";

/// What lies behind the end of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// A header of this segment.
    pub(crate) is_there: bool,
    /// The record at the end of the walk was durable once.
    pub(crate) proves_damage: bool,
}
