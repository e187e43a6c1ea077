//! The log being written: append, sync, roll over.
//!
//! Invariants: a record goes where the one before it ends, in one positioned write, or in several
//! of which that of the header is the last; a segment is full when one more payload would exceed
//! its limit, exactly full is not too full, and a record longer than the limit has a segment of
//! its own; what of a payload counts, its owner says; the old segment is durable before the new
//! one has its name, and a segment has its name before it has a record. Where syncs are frequent,
//! space is written in advance, so that a sync does not change the file's size: measured, that is
//! what makes it cheap.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::ahead::Ahead;
use crate::checksum;
use crate::disk::{Access, Disk, write_all};
use crate::error::{LogError, LogResult};
use crate::pack::file::PackedFile;
use crate::read::{Prefix, Reader};
use crate::record::Header;
use crate::segment::{COMING, SPARE, SegmentHeader, SegmentNumber};
use crate::walk::{CHUNK_BYTES, Segment};
use crate::{ChainTag, HEADER_BYTES, Height, Place, SEGMENT_HEADER_BYTES};

/// A batch of this many bytes and more gains nothing from space written in advance.
const FREQUENT_BYTES_MAX: u64 = 64 << 10;

/// Payloads up to this length are copied behind their header before they are written.
const COPIED_BYTES_MAX: usize = 32 << 10;

/// How a log is laid out.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The chain.
    pub chain: ChainTag,
    /// The height of the first record of a new log.
    pub first: Height,
    /// Most bytes of payloads in a segment, unless a single one is longer.
    pub segment_bytes_max: u64,
    /// How many bytes at the end of a payload do not count towards that limit, told from the
    /// payload's end: of a payload of two parts it is given the second one. What opening finds is
    /// counted by it as well, so it takes any bytes.
    pub uncounted_bytes: fn(&[u8]) -> u64,
    /// Bytes written in advance where syncs are frequent, until a whole segment is; 0 for none.
    pub advance_bytes: u64,
}

impl Default for LogOptions {
    /// Segments of 128 MiB, of which every byte counts; 1 MiB in advance.
    fn default() -> Self {
        Self {
            chain: ChainTag::default(),
            first: Height::default(),
            segment_bytes_max: 128 << 20,
            uncounted_bytes: |_| 0,
            advance_bytes: 1 << 20,
        }
    }
}

impl LogOptions {
    /// How many bytes of a payload of this length and end count towards a segment's limit.
    pub(crate) fn counted_bytes(&self, payload_bytes: u32, end: &[u8]) -> u64 {
        u64::from(payload_bytes).saturating_sub((self.uncounted_bytes)(end))
    }
}

/// What the log and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) chain: ChainTag,
    /// Replaced as a whole, so that a reader takes no lock and counts nothing.
    pub(crate) known: ArcSwap<Known>,
    changing: Mutex<()>,
    /// Held while names change that a segment may take.
    names: Mutex<()>,
    /// Held while a segment is packed.
    pub(crate) packing: Mutex<()>,
    /// Counts beginnings and ends of cuts, while names are held: odd while one is on its way, and
    /// for good if it failed.
    pub(crate) cuts: AtomicU64,
    /// The spare was written in this life of the log.
    pub(crate) spare_is_warm: AtomicBool,
}

/// The segments of a log, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The first height of each; those whose files are absent are not here.
    pub(crate) firsts: BTreeMap<SegmentNumber, Height>,
    /// Those that are open.
    pub(crate) open: BTreeMap<SegmentNumber, Arc<Segment>>,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, chain: ChainTag) -> Self {
        Self {
            disk,
            chain,
            known: ArcSwap::default(),
            changing: Mutex::default(),
            names: Mutex::default(),
            packing: Mutex::default(),
            cuts: AtomicU64::default(),
            spare_is_warm: AtomicBool::default(),
        }
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.load())
    }

    /// Cost: a copy of the list of segments.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Known::clone(&self.known.load());
        let changed = change(&mut known);
        self.known.store(Arc::new(known));
        changed
    }

    pub(crate) fn io(&self, name: &str, error: io::Error) -> LogError {
        LogError::io(self.disk.place(name), error)
    }

    /// The file of a segment, plain or packed, its header checked. A packed one is never opened to
    /// be written: [`crate::pack::make_plain`] comes first.
    pub(crate) fn open_segment(&self, number: SegmentNumber, access: Access) -> LogResult<Segment> {
        let (name, packed_name) = (number.file_name(), number.packed_name());
        let place = self.disk.place(&name);
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match self.disk.open(&name, access) {
            Err(error) if is_missing(&error) => {}
            opened => {
                let file = opened.map_err(|error| LogError::io(place.clone(), error))?;
                return Segment::open(file, place.into(), (self.chain, number));
            }
        }
        let packed_place = self.disk.place(&packed_name);
        let file = match self.disk.open(&packed_name, Access::Read) {
            Err(error) if is_missing(&error) => {
                return Err(LogError::Absent {
                    place,
                    segment: number,
                });
            }
            opened => opened.and_then(PackedFile::open),
        };
        let file = file.map_err(|error| LogError::of_file(&packed_place, number, error))?;
        let of = (self.chain, number);
        Segment::open(Arc::new(file), packed_place.into(), of)
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) segment: Segment,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Length of the file.
    pub(crate) file_bytes: u64,
    /// Bytes of the payloads in it that count towards its limit.
    pub(crate) counted_bytes: u64,
    /// What the next header has to name.
    pub(crate) link: u32,
}

/// A log that is written to. One at a time may be open in a folder, which its owner sees to.
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: LogOptions,
    pub(crate) tip: Tip,
    pub(crate) next: Height,
    pub(crate) nonce: u32,
    /// Records and bytes since the last sync.
    unsynced: u32,
    unsynced_bytes: u64,
    syncs: u64,
    poison: Option<String>,
    scratch: Vec<u8>,
    ahead: Ahead,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("next", &self.next)
            .field("tip", &self.tip.segment.header)
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}

/// A number that no earlier life of the log is likely to have drawn.
pub(crate) fn draw() -> u32 {
    (RandomState::new().hash_one(0) & u64::from(u32::MAX)) as u32
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, options: LogOptions, tip: Tip, next: Height) -> Self {
        Self {
            shared,
            options,
            tip,
            next,
            nonce: draw(),
            unsynced: 0,
            unsynced_bytes: 0,
            syncs: 0,
            poison: None,
            scratch: Vec::new(),
            ahead: Ahead::default(),
        }
    }

    /// The height that comes next.
    #[must_use]
    pub const fn next(&self) -> Height {
        self.next
    }

    /// The first height there is; the next one while there is none.
    #[must_use]
    pub fn first(&self) -> Height {
        let first = |known: &crate::log::Known| known.firsts.values().next().copied();
        self.shared.known(first).unwrap_or(self.next)
    }

    /// The segment that is written to.
    #[must_use]
    pub const fn segment(&self) -> SegmentNumber {
        self.tip.segment.header.number
    }

    /// How often this log made a disk sync a file, so far.
    #[must_use]
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// A way to read what was appended, synced or not. Cheap to copy, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    pub(crate) fn check_writable(&self) -> LogResult<()> {
        match &self.poison {
            None => Ok(()),
            Some(reason) => Err(LogError::Poisoned {
                reason: reason.clone(),
            }),
        }
    }

    /// Ends writing: what is on the disk is not known any more.
    pub(crate) fn poison(&mut self, error: LogError) -> LogError {
        if self.poison.is_none() {
            tracing::error!(%error, "a log takes no more writes");
            self.poison = Some(error.to_string());
        }
        error
    }

    /// Appends a record behind the last one. It can be read at once, and is durable after
    /// [`Log::sync`]. Cost: one write; at the beginning of a segment some more, and three syncs.
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
        let too_large = |_| LogError::TooLarge { bytes };
        let payload_bytes = u32::try_from(bytes).map_err(too_large)?;
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
        let mut written = self.write_record(&mut header, payload, trailer);
        if written.as_ref().is_err_and(LogError::is_full) && self.ahead.give_back(&self.shared) {
            written = self.write_record(&mut header, payload, trailer);
        }
        let (first_checksum, checksum) = written.map_err(|error| self.failed_write(error))?;
        let record_bytes = HEADER_BYTES + u64::from(payload_bytes);
        self.tip.end += record_bytes;
        self.tip.file_bytes = self.tip.file_bytes.max(self.tip.end);
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

    /// Writes a record behind the last one, and gives the checksums of the payload's first part and
    /// of the header.
    fn write_record(
        &mut self,
        header: &mut Header,
        payload: &[u8],
        trailer: &[u8],
    ) -> io::Result<(u32, u32)> {
        let (file, segment) = (&*self.tip.segment.file, self.tip.segment.checksum);
        let is_long = payload.len() > CHUNK_BYTES;
        let (mut sum, mut at) = (checksum::checksum(&[]), self.tip.end + HEADER_BYTES);
        // What is long is compared and written part by part, while the processor's cache has it,
        // and its header comes last: without it, nothing is there.
        for part in payload.chunks(CHUNK_BYTES) {
            sum = checksum::append(sum, part);
            if is_long {
                write_all(file, at, [part])?;
                at += part.len() as u64;
            }
        }
        header.payload_checksum = checksum::append(sum, trailer);
        let (bytes, checksum) = header.encode(segment);
        if is_long {
            write_all(file, at, [trailer])?;
            write_all(file, self.tip.end, [&bytes])?;
            return Ok((sum, checksum));
        }
        let record_bytes = bytes.len() + payload.len() + trailer.len();
        if record_bytes > COPIED_BYTES_MAX {
            write_all(file, self.tip.end, [&bytes, payload, trailer])?;
            return Ok((sum, checksum));
        }
        // What is small is copied to be one part, which the system takes faster.
        self.scratch.clear();
        for part in [&bytes, payload, trailer] {
            self.scratch.extend_from_slice(part);
        }
        write_all(file, self.tip.end, [&self.scratch])?;
        Ok((sum, checksum))
    }

    /// What a failed write means: without space nothing was added, and the space that it took is
    /// given back; anything else poisons.
    fn failed_write(&mut self, error: io::Error) -> LogError {
        let error = self.tip.segment.io(error);
        if !matches!(error, LogError::Full { .. }) {
            return self.poison(error);
        }
        let file = &self.tip.segment.file;
        match file.bytes() {
            Ok(bytes) if bytes > self.tip.file_bytes => {
                if let Err(failed) = file.set_len(self.tip.file_bytes) {
                    let failed = self.tip.segment.io(failed);
                    return self.poison(failed);
                }
            }
            _ => {}
        }
        error
    }

    /// Makes every record durable. Cost: one sync of one file, none without a new record.
    ///
    /// # Errors
    /// `Poisoned`, `Io`: what was appended since the last sync may be there after opening or not.
    pub fn sync(&mut self) -> LogResult<()> {
        self.check_writable()?;
        if self.unsynced == 0 {
            return Ok(());
        }
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
        let left = self
            .options
            .segment_bytes_max
            .saturating_sub(self.tip.counted_bytes);
        let bytes = self.options.advance_bytes.min(left.max(batch));
        let bytes = usize::try_from(bytes).unwrap_or(0);
        let zeros = vec![0; bytes];
        let written = write_all(&*self.tip.segment.file, self.tip.file_bytes, [&zeros]);
        match written {
            Ok(()) => self.tip.file_bytes += bytes as u64,
            Err(error) => {
                // Space in advance is not needed; what it lacks, the next record will say.
                let error = self.failed_write(error);
                if !matches!(error, LogError::Full { .. }) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Ends the present segment and begins the next one.
    fn roll(&mut self) -> LogResult<()> {
        let (end, file_bytes) = (self.tip.end, self.tip.file_bytes);
        if file_bytes > end {
            let cut = self.tip.segment.file.set_len(end);
            cut.map_err(|error| {
                let error = self.tip.segment.io(error);
                self.poison(error)
            })?;
            self.tip.file_bytes = end;
        }
        self.sync_file()?;
        self.unsynced = 0;
        self.unsynced_bytes = 0;
        let begun = begin_segment(&self.shared, self.segment().next(), self.next);
        self.syncs += 1;
        self.tip = begun.map_err(|error| match error {
            // Nothing has the new name yet, and the present segment is whole.
            full @ LogError::Full { .. } => full,
            other => self.poison(other),
        })?;
        Ok(())
    }
}

/// Makes a segment: its header is durable before the file has its name, and the name before the
/// first record.
pub(crate) fn begin_segment(
    shared: &Arc<Shared>,
    number: SegmentNumber,
    first: Height,
) -> LogResult<Tip> {
    let header = SegmentHeader {
        chain: shared.chain,
        number,
        first,
        nonce: draw(),
    };
    let (bytes, checksum) = header.encode();
    let disk = &shared.disk;
    // What an interrupted attempt left behind is used again and not removed first: a disk that
    // keeps changes of names in no order could do the renaming below without the removal, and give
    // the segment's name to what was left.
    let _names = shared.names();
    shared.spare_is_warm.store(false, Ordering::Relaxed);
    let present = [SPARE, COMING].into_iter().find_map(|name| {
        let file = disk.open(name, Access::Overwrite).ok()?;
        Some((name, file))
    });
    let (name, file) = match present {
        Some(present) => present,
        None => {
            let made = disk.create(COMING);
            (COMING, made.map_err(|error| shared.io(COMING, error))?)
        }
    };
    let made = write_all(&*file, 0, [&bytes]).and_then(|()| file.sync());
    made.map_err(|error| shared.io(name, error))?;
    let file_bytes = file.bytes().map_err(|error| shared.io(name, error))?;
    let final_name = number.file_name();
    let named = disk.rename(name, &final_name);
    named.map_err(|error| shared.io(&final_name, error))?;
    // The segment has its name, so nothing that is wrong from here on is without effect.
    disk.sync_names().map_err(|source| LogError::Io {
        place: disk.place(&final_name),
        source,
    })?;
    let segment = Segment {
        file,
        header,
        checksum,
        place: disk.place(&final_name).into(),
    };
    shared.change(|known| {
        known.firsts.insert(number, first);
        known.open.insert(number, Arc::new(segment.clone()));
    });
    Ok(Tip {
        segment,
        end: SEGMENT_HEADER_BYTES,
        file_bytes,
        counted_bytes: 0,
        link: checksum,
    })
}
