//! A walk over the records of one segment, from one to the next.
//!
//! Invariants: a record is given when its header checks in this segment, follows the header before
//! it, has the next height, lies within the file, and its payload checks; the walk ends before the
//! first that does not, and says why. Memory: a buffer, which grows to the longest record and no
//! further than the file has bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::checksum;
use crate::disk::{DiskFile, read_full};
use crate::error::{LogError, LogResult};
use crate::record::{self, Header};
use crate::segment::{SegmentHeader, SegmentNumber};
use crate::{ChainTag, Height, Place};

/// Bytes read at once: few enough to stay in the processor's cache until they are compared.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

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
            .map_err(|error| LogError::of_file(&place, of.1, error))?;
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
        LogError::of_file(&self.place, self.header.number, error)
    }

    pub(crate) fn damaged(&self, offset: u64, what: &'static str) -> LogError {
        LogError::Damaged {
            place: self.place.to_string(),
            segment: self.header.number,
            offset,
            what,
        }
    }

    /// Whether its file is packed, which its name tells.
    pub(crate) fn is_packed(&self) -> bool {
        self.place.ends_with(".segz")
    }

    pub(crate) fn len(&self) -> LogResult<u64> {
        self.file.bytes().map_err(|error| self.io(error))
    }
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record; [`Walk::payload`] has its payload until the next step.
    Record(Place, Header),
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
    /// Room for what is read; only its first `filled` bytes are of the file.
    buffer: Vec<u8>,
    filled: usize,
    /// Where in the file the buffer begins.
    buffer_at: u64,
    /// Where in the buffer the payload of the last step is.
    payload: Range<usize>,
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
            filled: 0,
            buffer_at: 0,
            payload: 0..0,
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
        let is_buffered = self.offset < self.buffer_at + self.filled as u64;
        Ok(!is_buffered && self.offset >= self.segment.len()?)
    }

    /// Goes on at the first record of another segment, with the same buffer.
    pub(crate) fn go_on(&mut self, segment: Segment) {
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self {
            buffer,
            ..Self::new(segment)
        };
    }

    /// The payload of the record that the last step came to.
    pub(crate) fn payload(&self) -> &[u8] {
        self.buffer.get(self.payload.clone()).unwrap_or_default()
    }

    /// Makes room for these bytes of the file in the buffer, keeps what it has of them, and says
    /// where they begin. What was read is moved only where the room behind it ends.
    fn make_room(&mut self, offset: u64, bytes: usize) -> LogResult<usize> {
        let skipped = offset.checked_sub(self.buffer_at);
        let skipped = skipped.and_then(|bytes| usize::try_from(bytes).ok());
        match skipped.filter(|skipped| *skipped < self.filled) {
            Some(skipped) if skipped.saturating_add(bytes) <= self.buffer.len() => {
                return Ok(skipped);
            }
            Some(skipped) => {
                self.buffer.copy_within(skipped..self.filled, 0);
                self.filled -= skipped;
            }
            None => self.filled = 0,
        }
        self.buffer_at = offset;
        if self.buffer.len() < bytes {
            let left = self.segment.len()?.saturating_sub(offset);
            // Beside a long record there is room for what was read with the header before it.
            let wanted = bytes.saturating_add(CHUNK_BYTES);
            let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(wanted.max(self.buffer.len()), 0);
        }
        Ok(0)
    }

    /// Reads on behind what is in the buffer, up to this place in it; how much is there then.
    fn fill(&mut self, until: usize) -> LogResult<usize> {
        let offset = self.buffer_at + self.filled as u64;
        if let Some(rest) = self.buffer.get_mut(self.filled..until) {
            let read = read_full(&*self.segment.file, offset, rest);
            self.filled += read.map_err(|error| self.segment.io(error))?;
        }
        Ok(self.filled)
    }

    /// Makes sure that these bytes of the file are in the buffer, and says where; fewer at its end.
    fn fetch(&mut self, offset: u64, bytes: usize) -> LogResult<Range<usize>> {
        let at = self.make_room(offset, bytes.max(CHUNK_BYTES))?;
        let end = at.saturating_add(bytes);
        if end > self.filled {
            self.fill(end.max(at + CHUNK_BYTES).min(self.buffer.len()))?;
        }
        Ok(at..self.filled.min(end))
    }

    /// As [`Walk::fetch`], with the checksum: what is long is compared part by part, while the
    /// processor's cache still has it.
    fn fetch_checked(&mut self, offset: u64, bytes: usize) -> LogResult<(Range<usize>, u32)> {
        if bytes <= CHUNK_BYTES {
            let range = self.fetch(offset, bytes)?;
            let there = self.buffer.get(range.clone()).unwrap_or_default();
            return Ok((range, checksum::checksum(there)));
        }
        let at = self.make_room(offset, bytes)?;
        let end = at.saturating_add(bytes);
        let (mut done, mut sum) = (at, checksum::checksum(&[]));
        loop {
            let there = self.filled.min(end);
            sum = checksum::append(sum, self.buffer.get(done..there).unwrap_or_default());
            done = there;
            if done == end || self.fill(end.min(done + CHUNK_BYTES))? == done {
                return Ok((at..done, sum));
            }
        }
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// `Io`; a record that does not check is an answer and no error.
    pub(crate) fn step(&mut self) -> LogResult<Step> {
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
        // The last of all numbers is no height: none could follow it.
        if header.height != self.next || header.height.get() == u64::MAX {
            return Ok(Step::End("a record has another height than follows"));
        }
        if self.link != Link::To(header.link) && self.link != Link::Any {
            return Ok(Step::End("a record does not follow the one before it"));
        }
        let payload_at = offset + crate::HEADER_BYTES;
        let payload_bytes = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
        let end = payload_at + u64::from(header.payload_bytes);
        let is_buffered = end <= self.buffer_at + self.filled as u64;
        if !is_buffered && end > self.segment.len()? {
            return Ok(Step::End("a record reaches beyond the file"));
        }
        let (range, sum) = self.fetch_checked(payload_at, payload_bytes)?;
        if range.len() != payload_bytes || sum != header.payload_checksum {
            return Ok(Step::End("the payload of a record does not check"));
        }
        self.payload = range;
        self.offset = end;
        self.next = header.height.next();
        self.link = Link::To(checksum);
        let place = Place {
            segment: self.segment.header.number,
            offset,
            payload_bytes: header.payload_bytes,
            payload_checksum: header.payload_checksum,
        };
        Ok(Step::Record(place, header))
    }

    /// Goes on to the end of the segment, and says why it ends there and what lies behind.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn go_to_end(
        &mut self,
        see: &mut dyn FnMut(&Place, &[u8]),
    ) -> LogResult<(&'static str, Behind)> {
        let mut is_read_anew = false;
        loop {
            let what = match self.step()? {
                Step::Record(place, _) => {
                    see(&place, self.payload());
                    is_read_anew = false;
                    continue;
                }
                Step::End(what) => what,
            };
            let behind = self.look_behind()?;
            if !behind.proves_damage || is_read_anew {
                return Ok((what, behind));
            }
            // Beside a writer, the record that is missing may have come after it was looked for. It
            // came before what says that it was durable, so it is there by now.
            self.filled = 0;
            is_read_anew = true;
        }
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
