//! The log being written, what it shares with its readers, and rolling over to the next segment.
//!
//! Invariants: a segment is full when one more payload would exceed its limit, exactly full is not
//! too full, and a record longer than the limit has a segment of its own; what of a payload counts,
//! its owner says; the old segment is durable before the new one has its name, and a segment has
//! its name before it has a record; at most [`OPEN_FILES_MAX`] files are kept open for a log and
//! all of its readers.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::ahead::Ahead;
use crate::disk::{Access, Disk, write_all};
use crate::error::{LogError, LogResult};
use crate::pack::file::PackedFile;
use crate::read::Reader;
use crate::segment::{COMING, SPARE, SegmentHeader, SegmentNumber};
use crate::walk::Segment;
use crate::write::rest_of_page;
use crate::{ChainTag, Height, SEGMENT_HEADER_BYTES};

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
    /// Records below this one are known to have been durable, to whoever keeps an index of them: a
    /// log that ends before is damaged there, and nothing behind the damage is cut.
    pub durable_until: Height,
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
            durable_until: Height::default(),
        }
    }
}

impl LogOptions {
    /// How many bytes of a payload of this length and end count towards a segment's limit.
    pub(crate) fn counted_bytes(&self, payload_bytes: u32, end: &[u8]) -> u64 {
        u64::from(payload_bytes).saturating_sub((self.uncounted_bytes)(end))
    }
}

/// Files that are kept open.
const OPEN_FILES_MAX: usize = 128;

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
    /// Held while a segment is packed, or made plain beside whoever packs; taken before the names.
    pub(crate) packing: Mutex<()>,
    /// Counts beginnings and ends of cuts, while names are held: odd while one is on its way, and
    /// for good if it failed.
    pub(crate) cuts: AtomicU64,
}

/// The segments of a log, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The first height of each; those whose files are absent are not here.
    pub(crate) firsts: BTreeMap<SegmentNumber, Height>,
    /// Those that are open.
    pub(crate) open: BTreeMap<SegmentNumber, Arc<Segment>>,
}

impl Known {
    /// Keeps a segment open, and so many of them at most, whether anybody reads or not.
    pub(crate) fn keep_open(&mut self, number: SegmentNumber, segment: Arc<Segment>) {
        while self.open.len() >= OPEN_FILES_MAX && !self.open.contains_key(&number) {
            // The newest is the one that is written to.
            self.open.pop_first();
        }
        self.open.insert(number, segment);
    }
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
        }
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many cuts there were; `None` while one is on its way.
    pub(crate) fn cuts(&self) -> Option<u64> {
        let cuts = self.cuts.load(Ordering::Acquire);
        cuts.is_multiple_of(2).then_some(cuts)
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
        let open_plain = || match self.disk.open(&name, access) {
            Err(error) if is_missing(&error) => Ok(None),
            opened => {
                let file = opened.map_err(|error| LogError::io(place.clone(), error))?;
                let of = (self.chain, number);
                Segment::open(file, place.clone().into(), of).map(Some)
            }
        };
        if let Some(plain) = open_plain()? {
            return Ok(plain);
        }
        let packed_place = self.disk.place(&packed_name);
        let file = match self.disk.open(&packed_name, Access::Read) {
            Err(error) if is_missing(&error) => {
                // Whoever cuts may have made it plain in between.
                return open_plain()?.ok_or(LogError::Absent {
                    place: place.clone(),
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
    /// Where the next record goes. The last ones may not be in the file yet.
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
    pub(crate) unsynced: u32,
    pub(crate) unsynced_bytes: u64,
    pub(crate) syncs: u64,
    poison: Option<String>,
    /// Records at the end of the log that are not in the file yet.
    pub(crate) gathered: Vec<u8>,
    /// The first record of which something has gathered, if anything has.
    pub(crate) gathered_from: Height,
    pub(crate) ahead: Ahead,
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
            gathered: Vec::new(),
            gathered_from: next,
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

    /// A way to read what was flushed, synced or not. Cheap to copy, for any thread.
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

    /// Ends the present segment and begins the next one.
    pub(crate) fn roll(&mut self) -> LogResult<()> {
        self.flush()?;
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
    let file_bytes = file.bytes().map_err(|error| shared.io(name, error))?;
    let rest = rest_of_page(SEGMENT_HEADER_BYTES, file_bytes);
    let made = write_all(&*file, 0, [&bytes, rest]).and_then(|()| file.sync());
    made.map_err(|error| shared.io(name, error))?;
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
        known.keep_open(number, Arc::new(segment.clone()));
    });
    Ok(Tip {
        segment,
        end: SEGMENT_HEADER_BYTES,
        file_bytes: file_bytes.max(SEGMENT_HEADER_BYTES),
        counted_bytes: 0,
        link: checksum,
    })
}
