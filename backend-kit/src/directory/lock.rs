//! The lock file: the writer holds it exclusively, readers share it; the kernel frees it when the
//! process dies.
//!
//! Invariants: a stale file never blocks anyone, because the lock is the kernel's and not the
//! file's existence; the process id in it is a hint for messages only; a reader writes nothing, and
//! on a read-only mount without lock file it goes on without a lock, because nobody can write
//! there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use storage_api::{Access, Error, ErrorKind, Result};

use super::{LOCK_FILE, io_error};

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file frees the lock only with its last copy, and a child that another thread
        // is just forking has one until it executes its program. Unlocking frees it at once.
        let _closing_does_it_as_well = self.file.unlock();
    }
}

/// Options that write a file which only its owner may read.
pub(super) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Lock {
    /// Takes the lock, or `None` where a reader needs none (read-only mount, no lock file).
    ///
    /// # Errors
    /// `AlreadyOpen`, `PermissionDenied`, `Io`.
    pub fn acquire(directory: &Path, access: Access) -> Result<Option<Self>> {
        let path = directory.join(LOCK_FILE);
        loop {
            let Some(mut file) = open(&path, access)? else {
                return Ok(None);
            };
            let locked = match access {
                Access::ReadWrite => file.try_lock(),
                Access::ReadOnly => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(ErrorKind::AlreadyOpen {
                        path: directory.display().to_string(),
                        holder_pid: read_pid(&mut file),
                    }));
                }
                Err(TryLockError::Error(error)) => return Err(io_error(error, &path)),
            }
            if !is_still_at(&file, &path).map_err(|error| io_error(error, &path))? {
                // A creation was undone between opening and locking; a lock on a file without name
                // keeps nobody out.
                continue;
            }
            if access == Access::ReadWrite {
                // A hint only: a full disk must not keep a node from opening its store.
                let _hint = write_pid(&mut file);
            }
            return Ok(Some(Self { file }));
        }
    }
}

/// Opens the lock file; `None` where a reader finds none and may not make one.
fn open(path: &Path, access: Access) -> Result<Option<File>> {
    let opened = match access {
        Access::ReadWrite => make(path),
        Access::ReadOnly => match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match make(path) {
                Err(error) if is_unwritable(&error) => return Ok(None),
                made => made,
            },
            // A lock file that may not be read may be held by a writer.
            opened => opened,
        },
    };
    opened.map(Some).map_err(|error| io_error(error, path))
}

#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_still_at(_file: &File, _path: &Path) -> io::Result<bool> {
    // An open file keeps its name there.
    Ok(true)
}

fn make(path: &Path) -> io::Result<File> {
    owner_only()
        .read(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn is_unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that was closed could not be opened again while another thread was starting a
    /// process: the child held a copy of the descriptor for a moment, and the lock with it.
    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() -> Result<()> {
        let place = tempfile::tempdir().map_err(|error| Error::from_io(error, "temporary"))?;
        let held = Lock::acquire(place.path(), Access::ReadWrite)?;
        let copy = held.as_ref().map(|lock| lock.file.try_clone());
        assert!(copy.as_ref().is_some_and(io::Result::is_ok));
        drop(held);
        assert!(Lock::acquire(place.path(), Access::ReadWrite)?.is_some());
        drop(copy);
        Ok(())
    }
}
