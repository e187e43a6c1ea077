//! Blocks in files without checksums: what segments are measured against.
//!
//! Invariants: offsets are kept in memory, nothing is compared, and nothing is found again after
//! the process ends; the four syncs are those of data, offsets, a description that is replaced, and
//! its folder.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Subject;

/// One file of lengths and bodies, the offsets in memory.
#[derive(Debug)]
pub(super) struct Plain {
    file: File,
    end: u64,
    places: Vec<(u64, usize)>,
    buffer: Vec<u8>,
}

impl Plain {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).append(true).create_new(true);
        Ok(Self {
            file: options.open(dir.join("blocks"))?,
            end: 0,
            places: Vec::new(),
            buffer: Vec::new(),
        })
    }
}

impl Subject for Plain {
    fn append(&mut self, _first: u64, bodies: &[&[u8]]) -> Result<()> {
        for body in bodies {
            self.buffer.clear();
            self.buffer
                .extend_from_slice(&u32::try_from(body.len())?.to_le_bytes());
            self.buffer.extend_from_slice(body);
            self.file.write_all(&self.buffer)?;
            self.places.push((self.end + 4, body.len()));
            self.end += self.buffer.len() as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let (at, len) = self.places[usize::try_from(height)?];
        self.buffer.resize(len, 0);
        self.file.read_exact_at(&mut self.buffer, at)?;
        Ok(len)
    }

    fn scan(&mut self) -> Result<u64> {
        self.buffer.resize(1 << 20, 0);
        let mut at = 0;
        loop {
            match self.file.read_at(&mut self.buffer, at)? {
                0 => return Ok(at - 4 * self.places.len() as u64),
                read => at += read as u64,
            }
        }
    }
}

/// Data, offsets and a description that is replaced, each synced, and the folder.
#[derive(Debug)]
pub(super) struct FourSyncs {
    data: Plain,
    offsets: File,
    dir: PathBuf,
}

impl FourSyncs {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        Ok(Self {
            data: Plain::new(dir)?,
            offsets: File::create_new(dir.join("offsets"))?,
            dir: dir.to_owned(),
        })
    }
}

impl Subject for FourSyncs {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        for body in bodies {
            self.offsets.write_all(&self.data.end.to_le_bytes())?;
            self.data.append(first, &[body])?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.data.sync()?;
        self.offsets.sync_data()?;
        let temporary = self.dir.join("description.tmp");
        let mut description = File::create(&temporary)?;
        description.write_all(&self.data.end.to_le_bytes())?;
        description.sync_data()?;
        fs::rename(&temporary, self.dir.join("description"))?;
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        self.data.read(height)
    }

    fn scan(&mut self) -> Result<u64> {
        self.data.scan()
    }
}
