//! A run: sorted rows in a temporary file, in sections that can be read on their own.
//!
//! Invariants: a run is read by the load that wrote it; where its sections begin, their first keys,
//! their number of rows and checksums are kept in memory, and each section's are compared at its
//! end, which comes before the load's commit, so that a damaged run fails the load. A row in the
//! file is the length of its key and of its value, four bytes little-endian each, and their bytes;
//! the file outlives its process as trash only. Cost: a copy into a buffer and a checksum over it,
//! both ways; in memory at most about [`SECTIONS_MAX`] keys for a run.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::path::{Path, PathBuf};

use storage_api::{Error, Result};

/// Bytes written at once.
const WRITE_BYTES: usize = 256 << 10;

/// The least bytes of a section but the last.
const SECTION_BYTES_MIN: u64 = 128 << 10;

/// About as many sections a run has at most.
const SECTIONS_MAX: u64 = 64;

/// The lengths before a row.
const LENS_BYTES: usize = 8;

/// The keys that are wanted: from the first one on, to before the second one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds<'k> {
    pub(super) from: Option<&'k [u8]>,
    pub(super) until: Option<&'k [u8]>,
}

/// Rows next to each other in a run.
#[derive(Debug)]
struct Section {
    first: Box<[u8]>,
    at: u64,
    bytes: u64,
    rows: u64,
    checksum: u32,
}

/// A sorted run on disk.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    sections: Vec<Section>,
    bytes: u64,
}

/// Writes a run row by row.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: File,
    run: Run,
    section_bytes: u64,
    /// The section being written; its bytes are those that left the buffer.
    section: Section,
    buffer: Vec<u8>,
}

fn explain(path: &Path, error: io::Error) -> Error {
    Error::from_io(error, path.display().to_string())
}

fn begin_section(at: u64) -> Section {
    Section {
        first: Box::default(),
        at,
        bytes: 0,
        rows: 0,
        checksum: 0,
    }
}

impl Run {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first key of each section, and its bytes.
    pub(super) fn samples(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let sections = self.sections.iter();
        sections.map(|section| (&*section.first, section.bytes))
    }
}

impl RunWriter {
    /// Begins a run of at most so many bytes.
    pub(super) fn create(path: PathBuf, bytes_max: u64) -> Result<Self> {
        let file = File::create_new(&path).map_err(|error| explain(&path, error))?;
        Ok(Self {
            file,
            run: Run {
                path,
                sections: Vec::new(),
                bytes: 0,
            },
            section_bytes: SECTION_BYTES_MIN.max(bytes_max / SECTIONS_MAX),
            section: begin_section(0),
            buffer: Vec::with_capacity(WRITE_BYTES + (64 << 10)),
        })
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.section.rows == 0 {
            self.section.first = key.into();
        }
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.buffer.extend_from_slice(&len(key));
        self.buffer.extend_from_slice(&len(value));
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value);
        self.section.rows += 1;
        if self.section.bytes + self.buffer.len() as u64 >= self.section_bytes {
            self.write()?;
            let next = begin_section(self.section.at + self.section.bytes);
            let full = mem::replace(&mut self.section, next);
            self.run.sections.push(full);
        } else if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let section = &mut self.section;
        section.checksum = crc32c::crc32c_append(section.checksum, &self.buffer);
        section.bytes += self.buffer.len() as u64;
        let written = self.file.write_all(&self.buffer);
        written.map_err(|error| explain(&self.run.path, error))?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Run> {
        self.write()?;
        let Self {
            mut run, section, ..
        } = self;
        run.bytes = section.at + section.bytes;
        if section.rows > 0 {
            run.sections.push(section);
        }
        Ok(run)
    }
}

/// A run, or the part of it with the wanted keys, being read.
#[derive(Debug)]
pub(super) struct Reading<'r> {
    run: &'r Run,
    bounds: Bounds<'r>,
    file: File,
    /// The section being read and those that follow; the last one may reach beyond the bounds.
    sections: &'r [Section],
    /// Rows and bytes of the section that were not read yet, and the checksum of those that were.
    rows_left: u64,
    bytes_left: u64,
    checksum: u32,
    /// Bytes of the section; those from `at` on were not taken yet.
    buffer: Vec<u8>,
    buffer_bytes: usize,
    at: usize,
    /// Where the present row's key and value begin, and where it ends.
    row: (usize, usize, usize),
}

impl<'r> Reading<'r> {
    /// Opens a run before its first wanted row; `buffer_bytes` are read at once.
    pub(super) fn open(run: &'r Run, bounds: Bounds<'r>, buffer_bytes: usize) -> Result<Self> {
        let sections = &run.sections;
        let end = bounds.until.map_or(sections.len(), |until| {
            sections.partition_point(|section| &*section.first < until)
        });
        // The section before the first that begins at or after the bound may hold it.
        let begin = bounds.from.map_or(0, |from| {
            let after = sections.partition_point(|section| &*section.first <= from);
            after.saturating_sub(1)
        });
        let sections = sections.get(begin..end).unwrap_or_default();
        let mut file = File::open(&run.path).map_err(|error| explain(&run.path, error))?;
        if let Some(first) = sections.first() {
            let sought = file.seek(SeekFrom::Start(first.at));
            sought.map_err(|error| explain(&run.path, error))?;
        }
        let mut reading = Self {
            run,
            bounds,
            file,
            sections,
            rows_left: 0,
            bytes_left: 0,
            checksum: 0,
            buffer: Vec::with_capacity(buffer_bytes),
            buffer_bytes,
            at: 0,
            row: (0, 0, 0),
        };
        reading.begin();
        Ok(reading)
    }

    /// Begins the first of the sections.
    fn begin(&mut self) {
        if let Some(section) = self.sections.first() {
            self.rows_left = section.rows;
            self.bytes_left = section.bytes;
        }
        self.checksum = 0;
        self.buffer.clear();
        self.at = 0;
    }

    fn damaged(&self, what: &str) -> Error {
        let place = self.run.path.display().to_string();
        Error::corruption(place, format!("a spilled run {what}"))
    }

    /// The present row.
    pub(super) fn row(&self) -> (&[u8], &[u8]) {
        let (key, value, end) = self.row;
        (&self.buffer[key..value], &self.buffer[value..end])
    }

    /// Goes to the next wanted row; false at the end. A section of which some rows are not wanted
    /// is read all the same, because its checksum is over all of it.
    pub(super) fn advance(&mut self) -> Result<bool> {
        loop {
            let Some(section) = self.sections.first() else {
                return Ok(false);
            };
            if self.rows_left == 0 {
                if self.bytes_left > 0 || self.at < self.buffer.len() {
                    return Err(self.damaged("has other rows than were written"));
                }
                if self.checksum != section.checksum {
                    return Err(self.damaged("is not what was written"));
                }
                self.sections = self.sections.get(1..).unwrap_or_default();
                self.begin();
                continue;
            }
            self.read_row()?;
            let key = self.row().0;
            let is_before = self.bounds.from.is_some_and(|from| key < from);
            let is_last = self.sections.len() == 1;
            let is_after = is_last && self.bounds.until.is_some_and(|until| key >= until);
            if !is_before && !is_after {
                // All that follow are greater.
                self.bounds.from = None;
                return Ok(true);
            }
        }
    }

    fn read_row(&mut self) -> Result<()> {
        self.fill(LENS_BYTES)?;
        let lens = self.buffer.get(self.at..).unwrap_or_default();
        let Some(&[a, b, c, d, e, f, g, h]) = lens.first_chunk() else {
            return Err(self.damaged("ends early"));
        };
        let key_len = u32::from_le_bytes([a, b, c, d]) as usize;
        let value_len = u32::from_le_bytes([e, f, g, h]) as usize;
        let row_bytes = LENS_BYTES.saturating_add(key_len).saturating_add(value_len);
        self.fill(row_bytes)?;
        let key = self.at + LENS_BYTES;
        self.row = (key, key + key_len, self.at + row_bytes);
        self.at += row_bytes;
        self.rows_left -= 1;
        Ok(())
    }

    /// Makes sure that this many bytes of the section lie in the buffer. A length that a flipped
    /// bit made is not asked memory for: no more is read than the section has.
    fn fill(&mut self, bytes: usize) -> Result<()> {
        let there = self.buffer.len() - self.at;
        if there >= bytes {
            return Ok(());
        }
        if (bytes - there) as u64 > self.bytes_left {
            return Err(self.damaged("has other rows than were written"));
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = (bytes.max(self.buffer_bytes) - there) as u64;
        let wanted = wanted.min(self.bytes_left);
        let read = (&mut self.file).take(wanted).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| explain(&self.run.path, error))? as u64;
        self.bytes_left -= read;
        if read < wanted {
            return Err(self.damaged("ends early"));
        }
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer[there..]);
        Ok(())
    }
}
