//! [`BlockHelp`]: RepChain's raw block files, four calls over files and positions (R20, R24).
//!
//! In the original these calls are below the index: whoever stores blocks asks for a file's length,
//! whether a block needs a new file, and writes at that position. Here the chain itself
//! ([`super::Blocks`]) does not go through them, since its files have an index to agree with;
//! `BlockHelp` has a segmented log of its own in a folder of its own. A position counts the bytes
//! of blocks in a file, without the log's own headers, so positions and lengths are those that the
//! original's files would have.
//!
//! Invariants: files grow at their end only, and what was written is durable when the call returns;
//! no byte is given whose checksum was not compared; a read gives all bytes or an error, never
//! fewer and never zeros in their place. Numbers begin at 0, and no number is skipped: a block
//! longer than the limit has a file of its own, the first one included. Cost: a write is one write
//! and one sync; a read is one positioned read for each block that it touches, and the first one in
//! a file reads that file once. Memory: 32 bytes a block of the [`FILES_KEPT`] files in use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seglog::disk::Disk;
use seglog::{Height, Log, LogError, LogOptions, Place, Reader, Recovered};

use super::error::Error;
use super::words::{FileNo, Options};

/// Files whose blocks are known by position at a time.
const FILES_KEPT: usize = 16;

/// A position in a raw block file: how many bytes of blocks are before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePos(u64);

impl FilePos {
    /// The position behind so many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The bytes before it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FilePos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The blocks of a file in order: where each ends, and where it lies.
#[derive(Debug, Default)]
struct File {
    blocks: Vec<(u64, Place)>,
    first: Height,
}

impl File {
    fn bytes(&self) -> u64 {
        self.blocks.last().map_or(0, |(end, _)| *end)
    }

    fn push(&mut self, place: Place) {
        let end = self.bytes() + u64::from(place.payload_bytes);
        self.blocks.push((end, place));
    }
}

#[derive(Debug)]
struct Inner {
    log: Log,
    files: BTreeMap<FileNo, File>,
}

/// Raw block files; see the module's head.
#[derive(Debug)]
pub struct BlockHelp {
    reader: Reader,
    file_bytes_max: u64,
    inner: Mutex<Inner>,
}

impl BlockHelp {
    /// Opens the raw files of a system in a folder, or makes it. The folder is the caller's, who
    /// makes sure that nobody else writes to it. Of the options it takes the system's name, the
    /// files' length and what is written in advance.
    ///
    /// # Errors
    /// `Log` with `Damaged`, `Foreign`, `TooNew`, `Full`, `Io`.
    pub fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<(Self, Recovered), Error> {
        let log = LogOptions {
            chain: options.chain(),
            segment_bytes_max: options.file_bytes_max,
            advance_bytes: options.advance_bytes,
            ..LogOptions::default()
        };
        let (log, recovered) = Log::open(disk, log)?;
        let help = Self {
            reader: log.reader(),
            file_bytes_max: options.file_bytes_max,
            inner: Mutex::new(Inner {
                log,
                files: BTreeMap::new(),
            }),
        };
        Ok((help, recovered))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked while it held the log left it between two calls of it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `getFileLength` (R20): bytes of blocks in a file; 0 when there is none.
    ///
    /// # Errors
    /// `Log` with `Damaged`, `Absent`, `Io`.
    pub fn get_file_length(&self, file_no: FileNo) -> Result<u64, Error> {
        let mut inner = self.inner();
        let file = self.file(&mut inner, file_no)?;
        Ok(file.map_or(0, |file| file.bytes()))
    }

    /// The file that is written to.
    #[must_use]
    pub fn get_max_file_no(&self) -> FileNo {
        self.inner().log.segment().into()
    }

    /// `isAddFile` (R20): whether a block of this length needs a file behind this one: it would
    /// exceed the limit here, or the file takes no more.
    ///
    /// # Errors
    /// As [`BlockHelp::get_file_length`].
    pub fn is_add_file(&self, file_no: FileNo, block_bytes: u64) -> Result<bool, Error> {
        let mut inner = self.inner();
        let newest = FileNo::from(inner.log.segment());
        if file_no != newest {
            return Ok(file_no < newest);
        }
        let file = self.file(&mut inner, file_no)?;
        Ok(self.is_full(file.map_or(0, |file| file.bytes()), block_bytes))
    }

    const fn is_full(&self, file_bytes: u64, block_bytes: u64) -> bool {
        // An empty file takes any block, so that none is skipped.
        file_bytes > 0 && file_bytes.saturating_add(block_bytes) > self.file_bytes_max
    }

    /// `readBlock` (R20): bytes of a file, of one block or of several, wherever they begin and end.
    ///
    /// # Errors
    /// `ShortRead` where the file does not have them all, also when there is no such file; nothing
    /// was allocated then. `Log` with `Damaged`, `Absent`, `Io`.
    pub fn read_block(&self, file_no: FileNo, start: FilePos, len: u32) -> Result<Vec<u8>, Error> {
        let parts = self.parts(file_no, start, len)?;
        let (mut bytes, mut buffer) = (Vec::new(), Vec::new());
        for part in parts {
            let block = self.reader.read(part.height, &part.place, &mut buffer)?;
            let end = part.skip.saturating_add(part.take);
            bytes.extend_from_slice(block.get(part.skip..end).unwrap_or_default());
        }
        Ok(bytes)
    }

    /// Which blocks have the bytes, and what of each.
    fn parts(&self, file_no: FileNo, start: FilePos, len: u32) -> Result<Vec<Part>, Error> {
        let mut inner = self.inner();
        let none = File::default();
        let file = match self.file(&mut inner, file_no)? {
            Some(file) => &*file,
            None => &none,
        };
        let file_bytes = file.bytes();
        let end = start.get().checked_add(u64::from(len));
        let Some(end) = end.filter(|end| *end <= file_bytes) else {
            return Err(Error::ShortRead {
                file_no,
                start,
                len,
                file_bytes,
            });
        };
        let at = file
            .blocks
            .partition_point(|(block_end, _)| *block_end <= start.get());
        let mut parts = Vec::new();
        let mut next = start.get();
        for (number, (block_end, place)) in file.blocks.iter().enumerate().skip(at) {
            if next >= end {
                break;
            }
            let begin = block_end - u64::from(place.payload_bytes);
            let until = end.min(*block_end);
            // Both are within a block, whose length fits.
            let within = |position: u64| usize::try_from(position - begin).unwrap_or(usize::MAX);
            parts.push(Part {
                height: Height::new(file.first.get().saturating_add(number as u64)),
                place: *place,
                skip: within(next),
                take: within(until) - within(next),
            });
            next = until;
        }
        Ok(parts)
    }

    /// `writeBlock` (R20): writes a block at the end, durably: in the newest file at its length, or
    /// in the one behind it at 0 if [`BlockHelp::is_add_file`] says so. Of no bytes nothing is
    /// written.
    ///
    /// # Errors
    /// `NotTheEnd` for any other place, with where the end is; nothing was written then. `Log` with
    /// `Full` (nothing was added), `Poisoned`, `TooLarge`, `Io`.
    pub fn write_block(&self, file_no: FileNo, start: FilePos, bytes: &[u8]) -> Result<(), Error> {
        let mut inner = self.inner();
        let newest = FileNo::from(inner.log.segment());
        let file = self.file(&mut inner, newest)?;
        let file_bytes = file.map_or(0, |file| file.bytes());
        let (end_no, end) = if self.is_full(file_bytes, bytes.len() as u64) {
            (FileNo::new(newest.get().saturating_add(1)), FilePos(0))
        } else {
            (newest, FilePos(file_bytes))
        };
        if (file_no, start) != (end_no, end) {
            return Err(Error::NotTheEnd {
                file_no,
                start,
                end_no,
                end,
            });
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let height = inner.log.next();
        let place = inner.log.append(height, bytes)?;
        if let Err(error) = inner.log.sync() {
            // What found no space would be written with the next block.
            if let LogError::Full { .. } = error {
                inner.log.truncate(height)?;
            }
            return Err(error.into());
        }
        let file = inner
            .files
            .entry(place.segment.into())
            .or_insert_with(|| File {
                blocks: Vec::new(),
                first: height,
            });
        file.push(place);
        while inner.files.len() > FILES_KEPT {
            inner.files.pop_first();
        }
        Ok(())
    }

    /// The blocks of a file; read once when they are not known yet.
    fn file<'i>(
        &self,
        inner: &'i mut Inner,
        file_no: FileNo,
    ) -> Result<Option<&'i mut File>, Error> {
        if !inner.files.contains_key(&file_no) {
            let Some(file) = self.scan(&inner.log, file_no)? else {
                return Ok(None);
            };
            while inner.files.len() >= FILES_KEPT {
                // The newest one is in use most.
                inner.files.pop_first();
            }
            inner.files.insert(file_no, file);
        }
        Ok(inner.files.get_mut(&file_no))
    }

    fn scan(&self, log: &Log, file_no: FileNo) -> Result<Option<File>, Error> {
        let segments = self.reader.segments();
        let is_it = |(number, _): &(_, _)| *number == file_no.segment();
        let Some(at) = segments.iter().position(is_it) else {
            return Ok(None);
        };
        let following = segments.get(at + 1).map(|(_, first)| *first);
        let mut file = File {
            blocks: Vec::new(),
            first: segments
                .get(at)
                .map(|(_, first)| *first)
                .unwrap_or_default(),
        };
        let until = following.unwrap_or(log.next());
        let mut scan = self.reader.scan_segment(file_no.segment(), until)?;
        loop {
            match scan.read_next() {
                Ok(Some((_, place, _))) => file.push(place),
                // Where the file behind it is absent, this one ends all the same.
                Err(LogError::Absent { segment, .. }) if segment != file_no.segment() => break,
                Ok(None) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(file))
    }
}

/// A part of a block.
struct Part {
    height: Height,
    place: Place,
    skip: usize,
    take: usize,
}
