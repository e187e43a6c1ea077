//! Writing: records gather in memory and go to the file in large pieces; a sync makes them durable.
//!
//! Invariants: what has gathered lies right before the end of the log and nothing of it is in the
//! file for sure; a piece ends where a multiple of [`CHUNK_BYTES`] of the file does, unless it ends
//! what was appended; of a record that is longer, the header is written last; a record that is
//! refused leaves what gathered before it as it was. What is written where space lies behind it
//! ends at the end of a page, in zeros.
//!
//! The file system keeps what one write brought in units as large as the write and its place allow,
//! and both writing and reading cost by the unit: measured, records of 20 KB take half the time to
//! write and to read than one write for each does. A page of which a part is written is read from
//! the disk before, unless memory has it; a whole one is not, so a recycled file costs no reads.

use std::io;

use crate::disk::write_all;
use crate::error::{LogError, LogResult};
use crate::log::Log;
use crate::read::Prefix;
use crate::record::Header;
use crate::walk::CHUNK_BYTES;
use crate::{HEADER_BYTES, Height, Place, SEGMENT_HEADER_BYTES, checksum};

/// A batch of this many bytes and more gains nothing from space written in advance.
const FREQUENT_BYTES_MAX: u64 = 64 << 10;

/// Records up to this length are copied to what gathers.
const COPIED_BYTES_MAX: usize = 32 << 10;

/// What file systems and disks write as a whole.
pub(crate) const PAGE_BYTES: u64 = 4 << 10;

/// Zeros that are written at once. A sync looks at all of the unit that it is kept in, so larger
/// ones make each sync of a small record dearer: measured, by half where they are of 1 MiB.
pub(crate) static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// How many bytes from here on go up to the next multiple of this.
fn bytes_up_to_next(multiple: usize, at: u64) -> usize {
    // Less than the multiple, which is a usize.
    multiple - (at % multiple as u64) as usize
}

/// Zeros from here up to the end of the page, if the file has room for them.
pub(crate) fn rest_of_page(at: u64, file_bytes: u64) -> &'static [u8] {
    let end = at.next_multiple_of(PAGE_BYTES);
    let rest = if end <= file_bytes { end - at } else { 0 };
    // Less than a page.
    ZEROS.get(..rest as usize).unwrap_or_default()
}

impl Log {
    /// Appends a record behind the last one. It can be read after [`Log::flush`], and is durable
    /// after [`Log::sync`]. Cost: a checksum and a copy, and one write for each 256 KiB of records;
    /// at the beginning of a segment three syncs.
    ///
    /// # Errors
    /// `Gap`, `OutOfRange` at 2^64 - 1, `TooLarge`, `Full` (nothing was added), `Poisoned`, `Io`
    /// (which poisons).
    pub fn append(&mut self, height: Height, payload: &[u8]) -> LogResult<Place> {
        let (place, _) = self.append_parts(height, (payload, &[]))?;
        Ok(place)
    }

    /// As [`Log::append`], of a payload of two parts, of which the second lies behind the first;
    /// also gives what reading the first part alone takes.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_parts(
        &mut self,
        height: Height,
        (payload, trailer): (&[u8], &[u8]),
    ) -> LogResult<(Place, Prefix)> {
        let payload_bytes = self.check_append(height, (payload, trailer))?;
        let end = if trailer.is_empty() { payload } else { trailer };
        let counted = self.options.counted_bytes(payload_bytes, end);
        let is_empty = self.tip.end == SEGMENT_HEADER_BYTES;
        if self.tip.counted_bytes + counted > self.options.segment_bytes_max && !is_empty {
            self.roll()?;
        }
        let mut header = Header {
            payload_bytes,
            height,
            link: self.tip.link,
            nonce: self.nonce,
            unsynced: self.unsynced,
            payload_checksum: 0,
        };
        let offset = self.tip.end;
        let (first_checksum, checksum) = self.put_record(&mut header, payload, trailer)?;
        let record_bytes = HEADER_BYTES + u64::from(payload_bytes);
        self.tip.end += record_bytes;
        self.tip.file_bytes = self.tip.file_bytes.max(self.written());
        self.tip.counted_bytes += counted;
        self.tip.link = checksum;
        self.next = height.next();
        self.unsynced = self.unsynced.saturating_add(1);
        self.unsynced_bytes += record_bytes;
        let place = Place {
            segment: self.segment(),
            offset,
            payload_bytes,
            payload_checksum: header.payload_checksum,
        };
        let first = Prefix {
            // The whole payload is a u32.
            bytes: payload_bytes - trailer.len() as u32,
            checksum: first_checksum,
        };
        Ok((place, first))
    }

    /// The length of a payload that may be appended at this height.
    fn check_append(&self, height: Height, (payload, trailer): (&[u8], &[u8])) -> LogResult<u32> {
        self.check_writable()?;
        if height != self.next {
            return Err(LogError::Gap {
                expected: self.next,
                found: height,
            });
        }
        if height.get() == u64::MAX {
            // None could follow it, so opening would not take it either.
            let (first, next) = (self.first(), self.next);
            return Err(LogError::OutOfRange {
                asked: height,
                first,
                next,
            });
        }
        let bytes = payload.len() as u64 + trailer.len() as u64;
        u32::try_from(bytes).map_err(|_| LogError::TooLarge { bytes })
    }

    /// Where what has gathered begins in the file.
    fn written(&self) -> u64 {
        self.tip.end - self.gathered.len() as u64
    }

    /// Puts a record behind the last one, and gives the checksums of the payload's first part and
    /// of the header.
    fn put_record(
        &mut self,
        header: &mut Header,
        payload: &[u8],
        trailer: &[u8],
    ) -> LogResult<(u32, u32)> {
        if payload.len() > CHUNK_BYTES {
            return self.write_long(header, payload, trailer);
        }
        let sum = checksum(payload);
        header.payload_checksum = checksum::append(sum, trailer);
        let (bytes, checksum) = header.encode(self.tip.segment.checksum);
        let (begin, before) = (self.written(), self.gathered.len());
        let record_bytes = bytes.len() + payload.len() + trailer.len();
        if record_bytes > COPIED_BYTES_MAX {
            let rest = rest_of_page(self.tip.end + record_bytes as u64, self.tip.file_bytes);
            let gathered = std::mem::take(&mut self.gathered);
            let written = self.write(begin, [&gathered, &bytes, payload, trailer, rest]);
            self.gathered = gathered;
            written?;
            self.gathered.clear();
            return Ok((sum, checksum));
        }
        if before == 0 {
            self.gathered_from = header.height;
        }
        for part in [&bytes, payload, trailer] {
            self.gathered.extend_from_slice(part);
        }
        let piece = bytes_up_to_next(CHUNK_BYTES, begin);
        if self.gathered.len() >= piece {
            // A record that is copied is shorter than a piece, so there is one at most.
            let gathered = std::mem::take(&mut self.gathered);
            let written = self.write(begin, [gathered.get(..piece).unwrap_or_default()]);
            self.gathered = gathered;
            if let Err(error) = written {
                self.gathered.truncate(before);
                return Err(error);
            }
            self.gathered.drain(..piece);
            self.gathered_from = header.height;
        }
        Ok((sum, checksum))
    }

    /// As [`Self::put_record`], part by part, each compared and written while the processor's cache
    /// has it. The header comes last: without it, nothing is there.
    fn write_long(
        &mut self,
        header: &mut Header,
        payload: &[u8],
        trailer: &[u8],
    ) -> LogResult<(u32, u32)> {
        self.flush()?;
        let (mut sum, mut at) = (checksum(&[]), self.tip.end + HEADER_BYTES);
        let mut left = payload;
        while !left.is_empty() {
            let piece = bytes_up_to_next(CHUNK_BYTES, at).min(left.len());
            let (part, rest) = left.split_at(piece);
            sum = checksum::append(sum, part);
            self.write(at, [part])?;
            at += part.len() as u64;
            left = rest;
        }
        let rest = rest_of_page(at + trailer.len() as u64, self.tip.file_bytes);
        if !trailer.is_empty() || !rest.is_empty() {
            self.write(at, [trailer, rest])?;
        }
        header.payload_checksum = checksum::append(sum, trailer);
        let (bytes, checksum) = header.encode(self.tip.segment.checksum);
        self.write(self.tip.end, [&bytes])?;
        Ok((sum, checksum))
    }

    /// Writes parts behind each other. A disk that is full takes back what was written in advance
    /// before anything is refused.
    fn write<const N: usize>(&mut self, at: u64, parts: [&[u8]; N]) -> LogResult<()> {
        let mut written = write_all(&*self.tip.segment.file, at, parts);
        let is_full = |error: &io::Error| LogError::is_full(error);
        if written.as_ref().is_err_and(is_full) && self.ahead.give_back(&self.shared) {
            written = write_all(&*self.tip.segment.file, at, parts);
        }
        // Space in advance goes as well: of a record that is refused it may hold all but zeros, or
        // all but the zeros behind it.
        let kept = self.tip.end.min(self.tip.file_bytes);
        written.map_err(|error| self.failed_write(error, kept))
    }

    /// What a failed write means: without space nothing was added, and what lies behind what is
    /// kept of the file is given back; anything else poisons.
    fn failed_write(&mut self, error: io::Error, kept: u64) -> LogError {
        let error = self.tip.segment.io(error);
        if !matches!(error, LogError::Full { .. }) {
            return self.poison(error);
        }
        let file = &self.tip.segment.file;
        let given_back = match file.bytes() {
            Ok(bytes) if bytes > kept => file.set_len(kept),
            bytes => bytes.map(drop),
        };
        if let Err(failed) = given_back {
            let failed = self.tip.segment.io(failed);
            return self.poison(failed);
        }
        self.tip.file_bytes = kept;
        error
    }

    /// Gives everything that was appended to the system: readers see it, and it outlives the
    /// process. Cost: at most one write.
    ///
    /// # Errors
    /// `Full` (what was appended stays, and may be written later), `Poisoned`, `Io` (which
    /// poisons).
    pub fn flush(&mut self) -> LogResult<()> {
        self.check_writable()?;
        if self.gathered.is_empty() {
            return Ok(());
        }
        let (begin, bytes) = (self.written(), self.gathered.len());
        let rest = rest_of_page(self.tip.end, self.tip.file_bytes);
        let mut gathered = std::mem::take(&mut self.gathered);
        // One part is what the system takes fastest.
        gathered.extend_from_slice(rest);
        let written = self.write(begin, [&gathered]);
        gathered.truncate(bytes);
        self.gathered = gathered;
        written?;
        self.gathered.clear();
        self.tip.file_bytes = self.tip.file_bytes.max(self.tip.end);
        Ok(())
    }

    /// Lets go of what gathered, all of which is about to be cut: until then, what comes next is
    /// not right.
    pub(crate) fn forget_gathered(&mut self) {
        self.tip.end = self.written();
        self.gathered.clear();
    }

    /// Makes every record durable. Cost: one write and one sync of one file, none without a new
    /// record.
    ///
    /// # Errors
    /// As [`Log::flush`]; after `Io`, what was appended since the last sync may be there after
    /// opening or not.
    pub fn sync(&mut self) -> LogResult<()> {
        self.check_writable()?;
        if self.unsynced == 0 {
            return Ok(());
        }
        self.flush()?;
        self.write_in_advance()?;
        self.sync_file()?;
        // From the middle of a segment on there is time for the next one, which will be as long.
        let is_half_full = self.tip.counted_bytes >= self.options.segment_bytes_max / 2;
        if is_half_full && self.is_frequent() {
            let number = self.segment();
            self.ahead.begin(&self.shared, number, 2 * self.tip.end);
        }
        self.unsynced = 0;
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// Whether syncs come so often that space in advance makes them cheaper.
    fn is_frequent(&self) -> bool {
        self.unsynced_bytes <= FREQUENT_BYTES_MAX && self.options.advance_bytes > 0
    }

    pub(crate) fn sync_file(&mut self) -> LogResult<()> {
        self.syncs += 1;
        let synced = self.tip.segment.file.sync();
        synced.map_err(|error| {
            let error = self.tip.segment.io(error);
            self.poison(error)
        })
    }

    /// Writes zeros behind the records, if syncs are frequent and the next batch would find none.
    fn write_in_advance(&mut self) -> LogResult<()> {
        let batch = self.unsynced_bytes;
        if !self.is_frequent() || self.tip.end + batch <= self.tip.file_bytes {
            return Ok(());
        }
        let limit = self.options.segment_bytes_max;
        let left = limit.saturating_sub(self.tip.counted_bytes);
        let end = self.tip.file_bytes + self.options.advance_bytes.min(left.max(batch));
        while self.tip.file_bytes < end {
            let at = self.tip.file_bytes;
            let step = (end - at).min(bytes_up_to_next(ZEROS.len(), at) as u64);
            // At most the zeros that there are.
            let zeros = ZEROS.get(..step as usize).unwrap_or_default();
            let written = write_all(&*self.tip.segment.file, at, [zeros]);
            match written.map_err(|error| self.failed_write(error, at)) {
                Ok(()) => self.tip.file_bytes += step,
                // Space in advance is not needed; what it lacks, the next record will say.
                Err(LogError::Full { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // What was appended and never synced was not promised; it is kept where that is easy.
        if self.check_writable().is_ok()
            && let Err(error) = self.flush()
        {
            tracing::warn!(%error, "records that were not synced are lost");
        }
    }
}
