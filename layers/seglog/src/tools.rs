//! Segments as they lie in the folder, for tools that look at logs which do not open.
//!
//! Invariants: looking writes nothing and goes on behind damage, at the next header that checks;
//! nothing is called a record that does not check; cutting goes from the newest file to the oldest,
//! each step durable before the next, so that a cut that was interrupted is done by the same call
//! again. Whoever cuts keeps every [`crate::Log`] of the folder closed meanwhile.

use std::io;
use std::sync::Arc;

use crate::ahead::AHEAD;
use crate::disk::{Access, Disk, DiskFile, read_full, write_all};
use crate::error::{LogError, LogResult};
use crate::log::Shared;
use crate::pack::PACKING;
use crate::pack::file::{BAD_FRAME, PackedFile};
use crate::read::Reader;
use crate::record::{self, Header};
use crate::segment::{COMING, HEADER_LEN, SPARE, SegmentHeader, SegmentNumber};
use crate::walk::{NOTHING, Segment, Step, Walk};
use crate::write::PAGE_BYTES;
use crate::{ChainTag, Height, Place};

/// Bytes read at once in search of a header.
const SEARCHED_BYTES: usize = 256 << 10;

/// A file in the folder of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: SeenKind,
}

/// What a file in the folder of a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenKind {
    /// The segment of its name.
    Segment {
        /// Its number.
        number: SegmentNumber,
        /// The height of its first record.
        first: Height,
    },
    /// A segment of the same chain under a name that is not its own: that of another one, that of
    /// its own other form (a plain file named as a packed one), or any other.
    Renamed {
        /// Its own number.
        number: SegmentNumber,
        /// The name that it should have, plain or packed.
        own_name: String,
    },
    /// It has the name of a segment, and its header is not that of one.
    Bad {
        /// The number of its name.
        number: SegmentNumber,
        /// What is wrong.
        what: String,
    },
    /// What was left of making a segment.
    Coming,
    /// Kept for its bytes, or removed by the next opening to write: written in advance, being
    /// packed, or the packed form of a segment that is still plain.
    Spare,
    /// None of the log's.
    Other,
}

/// A part of a segment's file, behind its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'p> {
    /// A record that checks.
    Record(Height, Place, &'p [u8]),
    /// Bytes that are no record: from the offset, so many, and why.
    Damage(u64, u64, &'static str),
    /// Zeros up to the end of the file, or up to what a recycled file still holds of the segment
    /// that it was before.
    Nothing(u64, u64),
}

/// A folder of segments in whatever state; see the head of this file.
#[derive(Clone, Debug)]
pub struct Tools {
    shared: Arc<Shared>,
}

impl Tools {
    /// Looks at a folder: nothing is read yet.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, chain: ChainTag) -> Self {
        Self {
            shared: Arc::new(Shared::new(disk, chain)),
        }
    }

    fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    /// The path of a segment's file, for people.
    #[must_use]
    pub fn place(&self, number: SegmentNumber) -> String {
        self.disk().place(&number.file_name())
    }

    /// The files of the folder, by name. Cost: a read of each header.
    ///
    /// # Errors
    /// `Io`.
    pub fn files(&self) -> LogResult<Vec<SeenFile>> {
        let names = self.disk().names();
        let mut names = names.map_err(|error| self.shared.io("", error))?;
        names.sort();
        let looked = names.iter().map(|name| self.look_at(name, &names));
        looked.collect()
    }

    fn look_at(&self, name: &str, names: &[String]) -> LogResult<SeenFile> {
        let by_name = SegmentNumber::of_file_name(name);
        let file = match look_at_header(self.disk(), name) {
            // A folder, or a file that may not be read and is none of ours.
            Err(_) if by_name.is_none() => Header64::default(),
            file => file.map_err(|error| self.shared.io(name, error))?,
        };
        let chain = self.shared.chain;
        let header = file.header.as_deref().unwrap_or_default();
        let decode =
            |number| SegmentHeader::decode(header, (chain, number), &|| self.disk().place(name));
        let own = file.number().filter(|own| decode(*own).is_ok());
        let own_name = |number: SegmentNumber| {
            if file.is_packed {
                number.packed_name()
            } else {
                number.file_name()
            }
        };
        let is_doubled = match by_name {
            Some(number) => self.is_doubled(name, number, names)?,
            None => false,
        };
        let kind = match (name, by_name, own) {
            (COMING, ..) => SeenKind::Coming,
            (SPARE | AHEAD | PACKING, ..) => SeenKind::Spare,
            (_, Some(_), _) if is_doubled => SeenKind::Spare,
            // Whoever opens a segment goes by its name, also in what form its bytes are.
            (_, Some(number), Some(own)) if own == number && name == own_name(own) => {
                SeenKind::Segment {
                    number,
                    first: decode(number).map_or(Height::default(), |(header, _)| header.first),
                }
            }
            (_, _, Some(number)) => SeenKind::Renamed {
                number,
                own_name: own_name(number),
            },
            (_, Some(number), None) => SeenKind::Bad {
                number,
                what: match (file.fault, decode(number)) {
                    (Some(fault), _) => fault,
                    (None, Err(LogError::Damaged { what, .. })) => what.to_owned(),
                    (None, Err(error)) => error.to_string(),
                    (None, Ok(_)) => "the header is that of another segment".to_owned(),
                },
            },
            (_, None, None) => SeenKind::Other,
        };
        let (name, bytes) = (name.to_owned(), file.bytes);
        Ok(SeenFile { name, bytes, kind })
    }

    /// Whether a file is the packed form of a segment that is still plain. A plain name under which
    /// there is another segment, or a packed file, makes no double of the packed one.
    fn is_doubled(&self, name: &str, number: SegmentNumber, names: &[String]) -> LogResult<bool> {
        let plain = number.file_name();
        if name != number.packed_name() || !names.contains(&plain) {
            return Ok(false);
        }
        let plain = self.look_at(&plain, names)?;
        Ok(!matches!(plain.kind, SeenKind::Renamed { .. }))
    }

    /// A reader of these files that needs no sound log: of a damaged one it gives what checks.
    ///
    /// # Errors
    /// `Io`.
    pub fn reader(&self) -> LogResult<Reader> {
        let names = self.disk().names();
        let names = names.map_err(|error| self.shared.io("", error))?;
        let numbers = names
            .iter()
            .filter_map(|name| SegmentNumber::of_file_name(name));
        self.shared.change(|known| {
            // That a file is there is what tells damage from absence; its heights are not used.
            known.firsts = numbers.map(|number| (number, Height::default())).collect();
        });
        Ok(Reader::new(Arc::clone(&self.shared)))
    }

    /// Goes through a segment from its first record to the end of its file, damage included.
    /// Memory: one record. Cost: a read of the file.
    ///
    /// # Errors
    /// Of opening the segment (`Damaged`, `Foreign`, `TooNew`, `Absent`), `Io`; what `visit` says.
    pub fn walk<E: From<LogError>>(
        &self,
        number: SegmentNumber,
        visit: &mut dyn FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (segment, packed) = self.open_to_walk(number)?;
        let is_lost = |part| packed.as_ref().is_some_and(|packed| packed.is_lost(part));
        let end = segment.len()?;
        let mut walk = Walk::new(segment.clone());
        loop {
            let offset = walk.offset;
            let why = match walk.step()? {
                Step::Record(place, header) => {
                    visit(Part::Record(header.height, place, walk.payload()))?;
                    continue;
                }
                Step::End(why) => why,
            };
            if offset >= end {
                return Ok(());
            }
            let next = next_header(&segment, offset + 1)?;
            let until = next.map_or(end, |(at, _)| at);
            let is_empty = next.is_none() && why == NOTHING && is_nothing(&segment, offset)?;
            visit(if is_lost(offset..until) {
                Part::Damage(offset, until - offset, BAD_FRAME)
            } else if is_empty {
                Part::Nothing(offset, until - offset)
            } else {
                Part::Damage(offset, until - offset, why)
            })?;
            let Some((at, height)) = next else {
                return Ok(());
            };
            walk = Walk::from(segment.clone(), at, height);
        }
    }

    /// Opens a segment for a walk that goes on behind damage: of a packed one, frames that do not
    /// unpack are zeros.
    fn open_to_walk(&self, number: SegmentNumber) -> LogResult<(Segment, Option<Arc<PackedFile>>)> {
        let mut segment = self.shared.open_segment(number, Access::Read)?;
        if !segment.is_packed() {
            return Ok((segment, None));
        }
        let file = self.disk().open(&number.packed_name(), Access::Read);
        let packed = file.and_then(PackedFile::open);
        let packed = packed.map_err(|error| segment.io(error))?;
        let packed = Arc::new(packed.with_zeros_for_bad_frames());
        segment.file = Arc::<PackedFile>::clone(&packed);
        Ok((segment, Some(packed)))
    }

    /// Hands a part of a file on, some bytes at a time.
    ///
    /// # Errors
    /// `Absent`, `Io`; what `take` says.
    pub fn read_bytes<E: From<LogError>>(
        &self,
        name: &str,
        offset: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let io = |error| self.shared.io(name, error);
        let file = self.disk().open(name, Access::Read).map_err(io)?;
        let mut buffer = vec![0; SEARCHED_BYTES];
        let mut at = offset;
        loop {
            let read = read_full(&*file, at, &mut buffer).map_err(io)?;
            if read == 0 {
                return Ok(());
            }
            take(buffer.get(..read).unwrap_or_default())?;
            at += read as u64;
        }
    }

    /// Ends the log at an offset of a segment, durably: the segments behind it go, the newest
    /// first, and its file is cut; a packed one is plain then. Calling it again does what is left.
    ///
    /// # Errors
    /// `Absent`, `Io`; `Damaged` where a packed segment does not unpack up to there.
    pub fn cut(&self, number: SegmentNumber, end: u64) -> LogResult<()> {
        let names = self.disk().names();
        let names = names.map_err(|error| self.shared.io("", error))?;
        let of_segment = |name: &String| SegmentNumber::of_file_name(name).zip(Some(name.clone()));
        let mut behind: Vec<_> = names.iter().filter_map(of_segment).collect();
        behind.retain(|(other, _)| *other > number);
        behind.sort_unstable();
        for (_, name) in behind.into_iter().rev() {
            self.remove(&name)?;
        }
        let segment = self.shared.open_segment(number, Access::Read)?;
        if segment.is_packed() {
            return self.unpack(&segment, end);
        }
        let name = number.file_name();
        let io = |error| self.shared.io(&name, error);
        let file = self.disk().open(&name, Access::Write).map_err(io)?;
        if file.bytes().map_err(io)? > end {
            file.set_len(end).map_err(io)?;
        }
        file.sync().map_err(io)
    }

    /// Makes the beginning of a packed segment a plain one, in the order in which packing does it.
    fn unpack(&self, packed: &Segment, end: u64) -> LogResult<()> {
        self.remove(PACKING)?;
        let io = |error| self.shared.io(PACKING, error);
        let file = self.disk().create(PACKING).map_err(io)?;
        let mut part = vec![0; SEARCHED_BYTES];
        let mut at = 0;
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let part = &mut part[..left.min(SEARCHED_BYTES)];
            let read = read_full(&*packed.file, at, part);
            if read.map_err(|error| packed.io(error))? < part.len() {
                return Err(packed.damaged(at, "the packed segment ends before it should"));
            }
            write_all(&*file, at, [part]).map_err(io)?;
            at += part.len() as u64;
        }
        file.sync().map_err(io)?;
        let number = packed.header.number;
        self.rename_to(PACKING, &number.file_name())?;
        self.remove(&number.packed_name())
    }

    /// Takes a file away, durably; one that is not there is gone.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(&self, name: &str) -> LogResult<()> {
        let gone = match self.disk().remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            gone => gone,
        };
        let gone = gone.and_then(|()| self.disk().sync_names());
        gone.map_err(|error| self.shared.io(name, error))
    }

    /// Gives a file another name, durably.
    ///
    /// # Errors
    /// `Io`.
    pub fn rename_to(&self, from: &str, to: &str) -> LogResult<()> {
        let renamed = self.disk().rename(from, to);
        let renamed = renamed.and_then(|()| self.disk().sync_names());
        renamed.map_err(|error| self.shared.io(from, error))
    }
}

/// The header of a file that may be a segment, plain or packed.
#[derive(Default)]
struct Header64 {
    bytes: u64,
    header: Option<Vec<u8>>,
    is_packed: bool,
    /// Why a packed file does not unpack.
    fault: Option<String>,
}

impl Header64 {
    fn long(&self, at: usize) -> Option<u64> {
        let bytes = self.header.as_ref()?.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn number(&self) -> Option<SegmentNumber> {
        self.long(24).map(SegmentNumber::new)
    }
}

/// Reads a header; of a packed file, that of the segment in it.
fn look_at_header(disk: &dyn Disk, name: &str) -> io::Result<Header64> {
    let file = disk.open(name, Access::Read)?;
    let bytes = file.bytes()?;
    let read = |file: &dyn DiskFile| {
        let mut header = vec![0; HEADER_LEN];
        let read = read_full(file, 0, &mut header)?;
        header.truncate(read);
        Ok::<_, io::Error>(header)
    };
    let plain = read(&*file)?;
    if !plain.starts_with(&PackedFile::MAGIC) {
        return Ok(Header64 {
            bytes,
            header: Some(plain),
            ..Header64::default()
        });
    }
    let unpacked = PackedFile::open(file).and_then(|file| read(&file));
    let (header, fault) = match unpacked {
        Ok(header) => (Some(header), None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => (None, Some(error.to_string())),
        Err(error) => return Err(error),
    };
    Ok(Header64 {
        bytes,
        header,
        is_packed: true,
        fault,
    })
}

/// The chain tag in the header of a file, if that is whole. Cost: a read.
///
/// # Errors
/// Of the system.
pub fn chain_tag(disk: &dyn Disk, name: &str) -> io::Result<Option<ChainTag>> {
    let file = look_at_header(disk, name)?;
    let Some((chain, number)) = file.long(16).map(ChainTag::new).zip(file.number()) else {
        return Ok(None);
    };
    let header = file.header.as_deref().unwrap_or_default();
    let decoded = SegmentHeader::decode(header, (chain, number), &String::new);
    Ok(decoded.ok().map(|(header, _)| header.chain))
}

/// The next header of a segment from this offset on.
fn next_header(segment: &Segment, from: u64) -> LogResult<Option<(u64, Height)>> {
    let mut buffer = vec![0; SEARCHED_BYTES];
    let mut at = from;
    loop {
        let read = read_full(&*segment.file, at, &mut buffer);
        let read = read.map_err(|error| segment.io(error))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        for begin in 0..bytes.len() {
            let Some(header) = bytes.get(begin..).and_then(|bytes| bytes.first_chunk()) else {
                break;
            };
            if let Some((header, _)) = Header::decode(header, segment.checksum) {
                return Ok(Some((at + begin as u64, header.height)));
            }
        }
        if read < SEARCHED_BYTES {
            return Ok(None);
        }
        // The next part begins where a header could have been cut in two.
        at += (read - (record::HEADER_LEN - 1)) as u64;
    }
}

/// Whether a file is zeros from here on, or up to the end of the page and then holds records of
/// another segment: those of this one were looked for.
fn is_nothing(segment: &Segment, from: u64) -> LogResult<bool> {
    let mut buffer = vec![0; SEARCHED_BYTES];
    let page_end = from.next_multiple_of(PAGE_BYTES);
    let (mut at, mut is_zero) = (from, true);
    loop {
        let read = read_full(&*segment.file, at, &mut buffer);
        let read = read.map_err(|error| segment.io(error))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        let other = bytes.iter().position(|byte| *byte != 0);
        if is_zero && other.is_some_and(|other| at + (other as u64) < page_end) {
            return Ok(false);
        }
        is_zero &= other.is_none();
        if !is_zero
            && bytes
                .windows(record::HEADER_LEN)
                .any(record::looks_like_header)
        {
            return Ok(true);
        }
        if read < SEARCHED_BYTES {
            return Ok(is_zero);
        }
        // The next part begins where a header could have been cut in two.
        at += (read - (record::HEADER_LEN - 1)) as u64;
    }
}
