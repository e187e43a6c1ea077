//! The seam between the log and the files: what a log asks of a folder, and the real one.
//!
//! Invariants: everything that a log does to a disk goes through [`Disk`] and [`DiskFile`], so a
//! test can make any step of it fail, stop or be forgotten; names are given by this crate's grammar
//! only, never by a file's contents.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// What an opened file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads and writes.
    Write,
    /// Writes; what the file holds is of no interest.
    Overwrite,
}

/// A folder of files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Names of all files, in any order.
    ///
    /// # Errors
    /// Of the system.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, or of the system.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, to be written; its name is durable after [`Disk::sync_names`].
    ///
    /// # Errors
    /// `AlreadyExists`, or of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, at once or not at all; durable after [`Disk::sync_names`].
    ///
    /// # Errors
    /// Of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; durable after [`Disk::sync_names`].
    ///
    /// # Errors
    /// Of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable.
    ///
    /// # Errors
    /// Of the system.
    fn sync_names(&self) -> io::Result<()>;

    /// The path of a file, for people.
    fn place(&self, name: &str) -> String;

    /// Does work that nobody waits for, if it can on a thread of its own, which is given back to be
    /// joined.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> Option<JoinHandle<()>> {
        work();
        None
    }
}

/// An open file, used at positions.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads at most as much as there is room for, one part after the other; 0 at the end.
    ///
    /// # Errors
    /// Of the system.
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Writes at most all of the parts, one after the other, and says how much.
    ///
    /// # Errors
    /// Of the system.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// Of the system.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts it, or makes it longer by zeros; durable when it returns, or after the next sync.
    ///
    /// # Errors
    /// Of the system.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes its contents and length durable.
    ///
    /// # Errors
    /// Any error means that nothing since the last sync may be taken for durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at this path, which exists, or is only read and then is empty.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            // A folder that nobody has made yet has no files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            // Names that are no text are not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read);
        let file = options.open(self.path.join(name))?;
        if access == Access::Write {
            // After a failed sync the system may show bytes that never reached the disk. What it
            // holds unchanged is read anew; where it cannot forget, nothing is lost but that.
            let _advised = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // As the files of the engines beside it: for its owner alone.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Arc::new(RealFile(options.open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn place(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> Option<JoinHandle<()>> {
        let thread = thread::Builder::new().name("seglog".to_owned());
        // Without a thread the work is left out: nobody waits for it.
        thread.spawn(work).ok()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(match parts {
            // The system takes one part faster than a list of one.
            [part] => rustix::io::pread(&self.0, &mut **part, offset)?,
            parts => rustix::io::preadv(&self.0, parts, offset)?,
        })
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(match parts {
            [part] => rustix::io::pwrite(&self.0, part, offset)?,
            parts => rustix::io::pwritev(&self.0, parts, offset)?,
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)?;
        // A sync of the data alone need not make a shorter length durable.
        self.0.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Writes parts, one behind the other, however few bytes the system takes at once.
///
/// # Errors
/// Of the system; a part of the bytes may be written then.
pub(crate) fn write_all<const N: usize>(
    file: &dyn DiskFile,
    offset: u64,
    mut parts: [&[u8]; N],
) -> io::Result<()> {
    let mut at = offset;
    let mut left: usize = parts.iter().map(|part| part.len()).sum();
    while left > 0 {
        let mut written = match file.write_at(at, &parts.map(IoSlice::new)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written.min(left),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        at += written as u64;
        left -= written;
        for part in &mut parts {
            let taken = written.min(part.len());
            *part = part.get(taken..).unwrap_or_default();
            written -= taken;
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends, and says how much.
///
/// # Errors
/// Of the system.
pub(crate) fn read_full(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let (read, ended) = read_up_to_error(file, offset, buffer);
    ended.map(|()| read)
}

/// As [`read_full`], and says how much was read before an error.
pub(crate) fn read_up_to_error(
    file: &dyn DiskFile,
    offset: u64,
    buffer: &mut [u8],
) -> (usize, io::Result<()>) {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + read as u64, &mut [IoSliceMut::new(rest)]) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (read, Err(error)),
        }
    }
    (read, Ok(()))
}
