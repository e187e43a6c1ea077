//! Reading: one record by its place, records in a row, and a check of everything.
//!
//! Invariants: no byte is given that was not compared with its checksum; reading writes nothing and
//! waits for no writer; what is damaged hides nothing that lies before it. Cost of a record: one
//! positioned read; in a row, one for each 256 KiB.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::checksum::{self, checksum};
use crate::disk::{Access, read_full, read_up_to_error};
use crate::error::{LogError, LogResult};
use crate::log::{Known, Shared};
use crate::record::{self, Header};
use crate::segment::SegmentNumber;
use crate::walk::{CHUNK_BYTES, Segment, Step, Walk};
use crate::{Height, Place};

/// Reads a log. Cheap to copy, for any thread.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// The beginning of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its length, at most the payload's.
    pub bytes: u32,
    /// CRC-32C of it.
    pub checksum: u32,
}

/// A record whose beginning is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its height.
    pub height: Height,
    /// Its place.
    pub place: Place,
    /// How much of its payload.
    pub prefix: Prefix,
}

impl Wanted {
    /// Bytes of the file from its header to the end of what is wanted.
    fn bytes(&self) -> u64 {
        crate::HEADER_BYTES + u64::from(self.prefix.bytes)
    }

    /// Whether its record lies right behind this one, in the same segment.
    #[must_use]
    pub const fn follows(&self, before: &Place) -> bool {
        let bytes = crate::HEADER_BYTES + before.payload_bytes as u64;
        // Places come from rows, which may say anything.
        self.place.segment.get() == before.segment.get()
            && self.place.offset == before.offset.saturating_add(bytes)
    }
}

/// Something that does not check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub place: String,
    /// Its segment.
    pub segment: SegmentNumber,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl Reader {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The numbers of the segments that are there, and the first height of each.
    #[must_use]
    pub fn segments(&self) -> Vec<(SegmentNumber, Height)> {
        self.shared.known(|known| {
            known
                .firsts
                .iter()
                .map(|(number, first)| (*number, *first))
                .collect()
        })
    }

    fn segment(&self, number: SegmentNumber) -> LogResult<Arc<Segment>> {
        if let Some(segment) = self.shared.known(|known| known.open.get(&number).cloned()) {
            return Ok(segment);
        }
        let cuts = self.shared.cuts();
        let segment = Arc::new(self.shared.open_segment(number, Access::Read)?);
        self.shared.change(|known| {
            // A cut may have made another file of it since it was opened.
            if cuts.is_none() || cuts != self.shared.cuts() {
                return;
            }
            known.keep_open(number, Arc::clone(&segment));
        });
        Ok(segment)
    }

    /// Reads the payload of the record at this height and place. `buffer` keeps its memory from
    /// call to call, and holds [`crate::HEADER_BYTES`] before the payload. Cost: one positioned
    /// read and a checksum.
    ///
    /// # Errors
    /// `Damaged`, also when the place is not that of the record; `Absent`, `Io`.
    pub fn read<'b>(
        &self,
        height: Height,
        place: &Place,
        buffer: &'b mut Vec<u8>,
    ) -> LogResult<&'b [u8]> {
        let whole = Prefix {
            bytes: place.payload_bytes,
            checksum: place.payload_checksum,
        };
        self.read_prefix(height, place, whole, buffer)
    }

    /// As [`Reader::read`], of the beginning of a payload only, whose checksum is known.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_prefix<'b>(
        &self,
        height: Height,
        place: &Place,
        prefix: Prefix,
        buffer: &'b mut Vec<u8>,
    ) -> LogResult<&'b [u8]> {
        let known = self.shared.known.load();
        if let Some(segment) = known.open.get(&place.segment) {
            return self.read_in(segment, height, (place, prefix), buffer);
        }
        let segment = self.segment(place.segment)?;
        self.read_in(&segment, height, (place, prefix), buffer)
    }

    fn read_in<'b>(
        &self,
        segment: &Segment,
        height: Height,
        (place, prefix): (&Place, Prefix),
        buffer: &'b mut Vec<u8>,
    ) -> LogResult<&'b [u8]> {
        let damaged = |what| Err(self.damaged_or_absent(segment, place, what));
        let bytes = usize::try_from(prefix.bytes).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_add(record::HEADER_LEN);
        if is_beyond(segment, (place.offset, bytes), buffer)? {
            return damaged(BEYOND);
        }
        buffer.resize(bytes, 0);
        let Some(sum) = read_checked(segment, place.offset, buffer)? else {
            return damaged(BEYOND);
        };
        let wanted = Wanted {
            height,
            place: *place,
            prefix,
        };
        match compare(segment, &wanted, buffer, sum) {
            Ok(payload) => Ok(payload),
            Err(what) => damaged(what),
        }
    }

    /// Reads records that lie one behind the other, see [`Wanted::follows`], with one positioned
    /// read, and lends what is wanted of each in its order. `buffer` keeps its memory from call to
    /// call. Records before one that does not check are lent.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_run(
        &self,
        run: &[Wanted],
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]),
    ) -> LogResult<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let segment = self.segment(first.place.segment)?;
        let begin = first.place.offset;
        let bytes = last.place.offset.saturating_add(last.bytes());
        let bytes = usize::try_from(bytes.saturating_sub(begin)).unwrap_or(usize::MAX);
        if is_beyond(&segment, (begin, bytes), buffer)? {
            let end = segment.len()?;
            let is_within = |it: &&Wanted| it.place.offset.saturating_add(it.bytes()) <= end;
            let within = run.iter().take_while(is_within).count();
            let (within, beyond) = run.split_at(within);
            self.read_run(within, buffer, take)?;
            let place = &beyond.first().unwrap_or(last).place;
            return Err(self.damaged_or_absent(&segment, place, BEYOND));
        }
        buffer.resize(bytes, 0);
        let (read, mut failed) = match read_up_to_error(&*segment.file, begin, buffer) {
            (read, Ok(())) => (read, None),
            (read, Err(error)) => (read, Some(error)),
        };
        let read = buffer.get(..read).unwrap_or_default();
        for wanted in run {
            let damaged = |what| self.damaged_or_absent(&segment, &wanted.place, what);
            let at = wanted.place.offset.checked_sub(begin);
            let at = at.and_then(|at| usize::try_from(at).ok());
            let record = at.and_then(|at| {
                let bytes = usize::try_from(wanted.bytes()).ok()?;
                read.get(at..)?.get(..bytes)
            });
            let record = record.ok_or_else(|| match failed.take() {
                Some(error) => segment.io(error),
                None => damaged(BEYOND),
            })?;
            let sum = checksum(record.get(record::HEADER_LEN..).unwrap_or_default());
            take(compare(&segment, wanted, record, sum).map_err(damaged)?);
        }
        Ok(())
    }

    /// What it means that a record is not where it should be: whoever is behind a cut meets a file
    /// that is gone, or has become another one.
    #[cold]
    fn damaged_or_absent(&self, segment: &Segment, place: &Place, what: &'static str) -> LogError {
        let is_there = |known: &Known| known.firsts.contains_key(&place.segment);
        if self.shared.known(is_there) {
            return segment.damaged(place.offset, what);
        }
        LogError::Absent {
            place: segment.place.to_string(),
            segment: place.segment,
        }
    }

    /// Records in a row from the first one of a segment, up to and without the height `until`.
    ///
    /// # Errors
    /// `Absent`, `Damaged`, `Io`.
    pub fn scan_segment(&self, number: SegmentNumber, until: Height) -> LogResult<Scan> {
        let walk = Walk::new((*self.segment(number)?).clone());
        Ok(self.scan_from(walk, until))
    }

    /// Records in a row from this one, up to and without the height `until`.
    ///
    /// # Errors
    /// As [`Reader::scan_segment`].
    pub fn scan(&self, height: Height, place: &Place, until: Height) -> LogResult<Scan> {
        let walk = Walk::from(
            (*self.segment(place.segment)?).clone(),
            place.offset,
            height,
        );
        Ok(self.scan_from(walk, until))
    }

    fn scan_from(&self, walk: Walk, until: Height) -> Scan {
        Scan {
            reader: self.clone(),
            walk,
            until,
        }
    }

    /// Compares every byte of every segment with its checksum and every segment with its
    /// neighbours. Writes nothing.
    ///
    /// # Errors
    /// `Io`; what does not check is an answer.
    pub fn check(&self) -> LogResult<Vec<Finding>> {
        let mut findings = Vec::new();
        for (number, _) in self.segments() {
            findings.extend(self.check_beside(number)?);
        }
        Ok(findings)
    }

    /// Checks a segment, again if what was found may be the work of a cut or of a rollover.
    fn check_beside(&self, number: SegmentNumber) -> LogResult<Option<Finding>> {
        let look = || {
            self.shared.known(|known| {
                let mut from = known.firsts.range(number..);
                let is_there = from.next().is_some_and(|(found, _)| *found == number);
                let following = from.next().map(|(number, first)| (*number, *first));
                (
                    is_there,
                    following,
                    self.shared.cuts.load(Ordering::Acquire),
                )
            })
        };
        let mut before = look();
        while let (true, following, _) = before {
            let found = self.check_segment(number, following);
            let after = look();
            match found {
                Ok(None) => break,
                Err(LogError::Io { .. }) => return found,
                _ if after != before => before = after,
                Ok(found) => return Ok(found),
                Err(error) => return self.finding_of(number, error).map(Some),
            }
        }
        Ok(None)
    }

    /// What an error of a segment that was checked says of it.
    fn finding_of(&self, number: SegmentNumber, error: LogError) -> LogResult<Finding> {
        match error {
            LogError::Damaged {
                place,
                segment,
                offset,
                what,
            } => Ok(Finding {
                place,
                segment,
                offset,
                what: what.to_owned(),
            }),
            LogError::Foreign { .. } | LogError::Absent { .. } => Ok(Finding {
                place: self.shared.disk.place(&number.file_name()),
                segment: number,
                offset: 0,
                what: error.to_string(),
            }),
            error => Err(error),
        }
    }

    fn check_segment(
        &self,
        number: SegmentNumber,
        following: Option<(SegmentNumber, Height)>,
    ) -> LogResult<Option<Finding>> {
        let segment = self.shared.open_segment(number, Access::Read)?;
        let mut walk = Walk::new(segment.clone());
        // Only of the newest segment does what lies behind say anything.
        let (what, proves_damage) = match following {
            None => {
                let (what, behind) = walk.go_to_end(&mut |_, _| {})?;
                (what, behind.proves_damage)
            }
            Some(_) => loop {
                match walk.step()? {
                    Step::Record(..) => {}
                    Step::End(what) => break (what, false),
                }
            },
        };
        let offset = walk.offset;
        let found = |what: String| {
            Some(Finding {
                place: segment.place.to_string(),
                segment: number,
                offset,
                what,
            })
        };
        match following {
            None if proves_damage => Ok(found(what.to_owned())),
            None => Ok(None),
            Some(_) if offset != segment.len()? => Ok(found(what.to_owned())),
            Some((next, first)) if next == number.next() && first != walk.next => {
                Ok(found(format!(
                    "the segment ends before height {}, the next one begins at {first}",
                    walk.next
                )))
            }
            Some((next, _)) if next != number.next() => Ok(found(format!(
                "the files of the segments up to {next} are absent"
            ))),
            Some(_) => Ok(None),
        }
    }
}

/// What is said of a place that is not true.
const BEYOND: &str = "the record is beyond the end of the file";

/// Whether so many bytes from here on end behind every file, or behind this one, which is looked at
/// only where the buffer would take much memory for them: a place that is not true is not given it,
/// and no system is asked for an offset that it has not.
fn is_beyond(
    segment: &Segment,
    (offset, bytes): (u64, usize),
    buffer: &Vec<u8>,
) -> LogResult<bool> {
    let end = offset.saturating_add(bytes as u64);
    if i64::try_from(end).is_err() {
        return Ok(true);
    }
    let is_much = bytes > buffer.capacity().max(CHUNK_BYTES);
    Ok(is_much && end > segment.len()?)
}

/// What is wanted of a record whose header and payload these bytes are, with this checksum of the
/// latter; what is wrong with them otherwise.
fn compare<'b>(
    segment: &Segment,
    wanted: &Wanted,
    record: &'b [u8],
    sum: u32,
) -> Result<&'b [u8], &'static str> {
    let split = record.split_first_chunk();
    let (header, payload) = split.ok_or("the record is shorter than its header")?;
    let header = Header::decode(header, segment.checksum);
    let (header, _) = header.ok_or("the header of the record does not check")?;
    if header.height != wanted.height
        || header.payload_bytes != wanted.place.payload_bytes
        || header.payload_checksum != wanted.place.payload_checksum
    {
        return Err("another record than expected is here");
    }
    if sum != wanted.prefix.checksum {
        return Err("the payload of the record does not check");
    }
    Ok(payload)
}

/// Fills the buffer from here on, with a header and what lies behind it, and gives the checksum of
/// the latter: what is long is compared part by part, while the processor's cache still has it.
/// `None` where the file ends before.
fn read_checked(segment: &Segment, offset: u64, buffer: &mut [u8]) -> LogResult<Option<u32>> {
    let (mut at, mut sum) = (0, checksum::checksum(&[]));
    while at < buffer.len() {
        let end = buffer.len().min(at + CHUNK_BYTES);
        let part = buffer.get_mut(at..end).unwrap_or_default();
        let read = read_full(&*segment.file, offset + at as u64, part);
        if read.map_err(|error| segment.io(error))? < part.len() {
            return Ok(None);
        }
        let header = record::HEADER_LEN.saturating_sub(at);
        sum = checksum::append(sum, part.get(header..).unwrap_or_default());
        at = end;
    }
    Ok(Some(sum))
}

/// Records in a row; see [`Reader::scan`].
#[derive(Debug)]
pub struct Scan {
    reader: Reader,
    walk: Walk,
    until: Height,
}

impl Scan {
    /// The next record: its height, place and payload.
    ///
    /// # Errors
    /// `Damaged` where the next record should be, `Absent`, `Io`.
    pub fn read_next(&mut self) -> LogResult<Option<(Height, Place, &[u8])>> {
        if self.walk.next >= self.until {
            return Ok(None);
        }
        if self.walk.is_at_end()? {
            let next = self.walk.segment.header.number.next();
            let segment = self.reader.segment(next)?;
            if segment.header.first != self.walk.next {
                let what = "the segment does not begin where the one before it ends";
                return Err(segment.damaged(0, what));
            }
            self.walk.go_on((*segment).clone());
        }
        match self.walk.step()? {
            Step::Record(place, header) => Ok(Some((header.height, place, self.walk.payload()))),
            Step::End(what) => Err(self.walk.segment.damaged(self.walk.offset, what)),
        }
    }
}
