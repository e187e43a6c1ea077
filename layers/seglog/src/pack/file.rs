//! A packed segment: the bytes of a sealed one in frames of zstd, each found by a table.
//!
//! Invariants: offsets are those of the plain file, so a place stays true when its segment is
//! packed; a frame is unpacked into a buffer of the length that it must have and no other; bytes
//! that come out are compared by whoever reads records, as those of a plain file are. Byte ruler:
//! `docs/format/seglog.md`. Cost of a read: the frames that it touches; memory: a frame and its
//! packed form for each thread that reads at once, of which [`KEPT_MAX`] are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use zstd::bulk::Decompressor;

use crate::checksum::checksum;
use crate::disk::{DiskFile, read_full};

/// What a packed segment begins with.
const MAGIC: [u8; 8] = *b"\x89SEGZ\r\n\x1a";

/// The newest version of the format.
pub(crate) const VERSION: u16 = 1;

pub(crate) const HEADER_LEN: usize = 64;
const CHECKED: usize = HEADER_LEN - 4;

/// Bytes of a plain segment in a frame: few enough to be unpacked for a small record.
pub(crate) const FRAME_BYTES: u32 = 64 << 10;

/// A frame of more bytes is refused, so that a file cannot ask for any memory it likes.
const FRAME_BYTES_MAX: u32 = 16 << 20;

/// What is wrong where a frame is damaged.
pub(crate) const BAD_FRAME: &str = "a frame of the packed segment does not unpack";

/// Unpackers that are kept for the next reads.
const KEPT_MAX: usize = 4;

/// Why a packed file does not give what it should, carried through [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackedFault {
    /// It is damaged, which is noticed at this offset of the plain segment.
    #[error("offset {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
    /// It is of a newer version.
    #[error("packed segment of version {found}, {VERSION} is known")]
    TooNew { found: u16 },
}

fn damage(offset: u64, what: &'static str) -> io::Error {
    let fault = PackedFault::Damaged { offset, what };
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// The header of a packed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedHeader {
    /// Bytes of the plain segment.
    pub(crate) plain_bytes: u64,
    /// Bytes of it in each frame but the last.
    pub(crate) frame_bytes: u32,
    /// CRC-32C of the table.
    pub(crate) table_checksum: u32,
}

impl PackedHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.plain_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.frame_bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.table_checksum.to_le_bytes());
        let checksum = checksum(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> io::Result<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        if bytes.first_chunk() != Some(&MAGIC) {
            return Err(damage(0, "the file does not begin as a packed segment"));
        }
        if checksum(&bytes[..CHECKED]) != word(CHECKED) {
            return Err(damage(0, "the header of the packed segment does not check"));
        }
        let found = u16::from_le_bytes([bytes[8], bytes[9]]);
        if found != VERSION {
            let fault = PackedFault::TooNew { found };
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        let header = Self {
            plain_bytes: u64::from(word(16)) | u64::from(word(20)) << 32,
            frame_bytes: word(24),
            table_checksum: word(28),
        };
        if header.frame_bytes == 0 || header.frame_bytes > FRAME_BYTES_MAX {
            return Err(damage(0, "the packed segment has frames of no length"));
        }
        Ok(header)
    }

    /// How many frames there are.
    pub(crate) fn frames(&self) -> u64 {
        self.plain_bytes.div_ceil(u64::from(self.frame_bytes))
    }
}

/// What unpacks a frame, with its memory.
struct Unpacker {
    zstd: Decompressor<'static>,
    packed: Vec<u8>,
    /// The last frame that was not asked for as a whole.
    frame: Option<u64>,
    plain: Vec<u8>,
}

/// What a read gives of a frame that does not unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadFrames {
    /// An error.
    Refused,
    /// Zeros, which are no record.
    Zeros,
}

/// A packed segment as the plain file that it stands for. Read-only.
pub(crate) struct PackedFile {
    file: Arc<dyn DiskFile>,
    header: PackedHeader,
    /// Where each frame begins, and where the last one ends.
    begins: Vec<u64>,
    kept: Mutex<Vec<Unpacker>>,
    bad_frames: BadFrames,
    /// Those that were read as zeros.
    lost: Mutex<BTreeSet<u64>>,
}

impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedFile")
            .field("file", &self.file)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl PackedFile {
    /// What a packed segment begins with.
    pub(crate) const MAGIC: [u8; 8] = MAGIC;

    /// Reads and checks the header and the table.
    pub(crate) fn open(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let mut header = [0; HEADER_LEN];
        if read_full(&*file, 0, &mut header)? < HEADER_LEN {
            return Err(damage(0, "the file ends inside its header"));
        }
        let header = PackedHeader::decode(&header)?;
        let file_bytes = file.bytes()?;
        let table_bytes = header.frames().saturating_mul(4);
        let first = table_bytes.saturating_add(HEADER_LEN as u64);
        // A table that the file has no room for is not given memory.
        let too_short = || damage(0, "the file ends inside the table of its frames");
        let table_bytes = usize::try_from(table_bytes).map_err(|_| too_short())?;
        if first > file_bytes {
            return Err(too_short());
        }
        let mut table = vec![0; table_bytes];
        if read_full(&*file, HEADER_LEN as u64, &mut table)? < table_bytes {
            return Err(too_short());
        }
        if checksum(&table) != header.table_checksum {
            return Err(damage(0, "the table of frames does not check"));
        }
        let mut begins = Vec::with_capacity(table_bytes / 4 + 1);
        let mut at = first;
        begins.push(at);
        for len in table.chunks_exact(4) {
            let len = len.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
            at = at.saturating_add(u64::from(len));
            begins.push(at);
        }
        if at != file_bytes {
            return Err(damage(0, "the packed segment is not as long as its frames"));
        }
        Ok(Self {
            file,
            header,
            begins,
            kept: Mutex::default(),
            bad_frames: BadFrames::Refused,
            lost: Mutex::default(),
        })
    }

    /// Reads frames that do not unpack as zeros from here on, so that one of them hides no other.
    pub(crate) fn with_zeros_for_bad_frames(mut self) -> Self {
        self.bad_frames = BadFrames::Zeros;
        self
    }

    /// Whether a byte of this part of the plain segment was read as zero for want of its frame.
    pub(crate) fn is_lost(&self, part: Range<u64>) -> bool {
        if part.is_empty() {
            return false;
        }
        let frame_of = |offset: u64| offset / u64::from(self.header.frame_bytes);
        let frames = frame_of(part.start)..=frame_of(part.end - 1);
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.range(frames).next().is_some()
    }

    fn unpacker(&self) -> io::Result<Unpacker> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match kept {
            Some(unpacker) => Ok(unpacker),
            None => Ok(Unpacker {
                zstd: Decompressor::new()?,
                packed: Vec::new(),
                frame: None,
                plain: Vec::new(),
            }),
        }
    }

    fn keep(&self, unpacker: Unpacker) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(unpacker);
        }
    }

    /// Bytes of the plain segment in a frame.
    fn frame_len(&self, frame: u64) -> usize {
        let begin = frame.saturating_mul(u64::from(self.header.frame_bytes));
        let left = self.header.plain_bytes.saturating_sub(begin);
        // At most a frame, which is a u32.
        left.min(u64::from(self.header.frame_bytes)) as usize
    }

    /// Gives exactly the bytes of a frame, or zeros for a damaged one if these were asked for.
    fn unpack(&self, frame: u64, with: &mut Unpacker, into: &mut [u8]) -> io::Result<()> {
        match self.unpack_sound(frame, with, into) {
            Err(error)
                if self.bad_frames == BadFrames::Zeros
                    && error.kind() == io::ErrorKind::InvalidData =>
            {
                into.fill(0);
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.insert(frame);
                Ok(())
            }
            unpacked => unpacked,
        }
    }

    /// Unpacks a frame into exactly its bytes.
    fn unpack_sound(&self, frame: u64, with: &mut Unpacker, into: &mut [u8]) -> io::Result<()> {
        let offset = frame.saturating_mul(u64::from(self.header.frame_bytes));
        let bad = |what| damage(offset, what);
        let at = usize::try_from(frame).unwrap_or(usize::MAX);
        let (Some(begin), Some(end)) = (self.begins.get(at), self.begins.get(at.saturating_add(1)))
        else {
            return Err(bad("the packed segment has no such frame"));
        };
        // A packed frame that is longer than zstd ever makes one is not given memory.
        let packed_bytes = usize::try_from(end - begin).unwrap_or(usize::MAX);
        if packed_bytes > zstd::zstd_safe::compress_bound(into.len()) {
            return Err(bad(
                "a frame of the packed segment is longer than it can be",
            ));
        }
        with.packed.resize(packed_bytes, 0);
        if read_full(&*self.file, *begin, &mut with.packed)? < packed_bytes {
            return Err(bad("the packed segment ends inside a frame"));
        }
        match with.zstd.decompress_to_buffer(&with.packed, into) {
            Ok(bytes) if bytes == into.len() => Ok(()),
            _ => Err(bad(BAD_FRAME)),
        }
    }

    /// Reads up to the end of the part or of the segment, or up to a frame that does not unpack, of
    /// which a read that begins there says what is wrong.
    fn read_part(&self, offset: u64, part: &mut [u8], with: &mut Unpacker) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = part.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(read as u64);
            if at >= self.header.plain_bytes {
                break;
            }
            let frame = at / u64::from(self.header.frame_bytes);
            let within = (at % u64::from(self.header.frame_bytes)) as usize;
            let frame_len = self.frame_len(frame);
            if let (0, Some(whole)) = (within, rest.get_mut(..frame_len)) {
                match self.unpack(frame, with, whole) {
                    Err(_) if read > 0 => break,
                    unpacked => unpacked?,
                }
                read += frame_len;
                continue;
            }
            if with.frame != Some(frame) {
                with.frame = None;
                let mut plain = std::mem::take(&mut with.plain);
                plain.resize(frame_len, 0);
                let unpacked = self.unpack(frame, with, &mut plain);
                with.plain = plain;
                match unpacked {
                    Err(_) if read > 0 => break,
                    unpacked => unpacked?,
                }
                with.frame = Some(frame);
            }
            let there = with.plain.get(within..).unwrap_or_default();
            let taken = there.len().min(rest.len());
            if taken == 0 {
                break;
            }
            rest[..taken].copy_from_slice(&there[..taken]);
            read += taken;
        }
        Ok(read)
    }
}

fn read_only<T>() -> io::Result<T> {
    let what = "a packed segment is not written to";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}

impl DiskFile for PackedFile {
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut unpacker = self.unpacker()?;
        let mut read = 0;
        for part in parts {
            let done = match self.read_part(offset + read as u64, part, &mut unpacker) {
                Err(_) if read > 0 => break,
                done => done.inspect_err(|_| unpacker.frame = None)?,
            };
            read += done;
            if done < part.len() {
                break;
            }
        }
        self.keep(unpacker);
        Ok(read)
    }

    fn write_at(&self, _: u64, _: &[IoSlice<'_>]) -> io::Result<usize> {
        read_only()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.header.plain_bytes)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }
}
