//! The lock file: the writer holds it exclusively, readers share it; the kernel frees it when the
//! process dies.
//!
//! Invariants: a stale file never blocks anyone, because the lock is the kernel's and not the
//! file's existence; the process id in it is a hint for messages only; a reader writes nothing and
//! makes nothing. Where the lock file is missing, as in a copy that was made by hand, a reader
//! shares the lock of the directory itself, and a writer, which makes the file, tries that lock as
//! well before it goes on.

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
    /// Takes the lock, or `None` where there is no lock file and the system locks no directories.
    ///
    /// # Errors
    /// `AlreadyOpen`, `PermissionDenied`, `Io`.
    pub fn acquire(directory: &Path, access: Access) -> Result<Option<Self>> {
        let path = directory.join(LOCK_FILE);
        loop {
            let Some(mut file) = open(&path, access)? else {
                match lock_directory(directory, &path)? {
                    Without::File(lock) => return Ok(lock),
                    Without::Made => continue,
                }
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
                check_no_reader(directory)?;
                // A hint only: a full disk must not keep a node from opening its store.
                let _hint = write_pid(&mut file);
            }
            return Ok(Some(Self { file }));
        }
    }
}

/// What a reader has that found no lock file.
enum Without {
    /// The lock of the directory, where there is such a thing.
    File(Option<Lock>),
    /// Nothing: somebody has made the file meanwhile.
    Made,
}

/// Shares the lock of a directory that has no lock file.
fn lock_directory(directory: &Path, path: &Path) -> Result<Without> {
    let Ok(folder) = File::open(directory) else {
        return Ok(Without::File(None));
    };
    match folder.try_lock_shared() {
        Ok(()) => {}
        // A writer is just looking whether there is such a reader, and has made the file before.
        Err(TryLockError::WouldBlock) => return Ok(Without::Made),
        Err(TryLockError::Error(_)) => return Ok(Without::File(None)),
    }
    // Only a lock that was taken while there was no file is one that every writer sees.
    let made = path
        .try_exists()
        .map_err(|error| io_error(error, directory))?;
    Ok(if made {
        Without::Made
    } else {
        Without::File(Some(Lock { file: folder }))
    })
}

/// Refuses a writer while a reader has the lock of the directory.
fn check_no_reader(directory: &Path) -> Result<()> {
    let Ok(folder) = File::open(directory) else {
        return Ok(());
    };
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::AlreadyOpen {
            path: directory.display().to_string(),
            holder_pid: None,
        })),
        // Where directories have no locks, readers take none.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Opens the lock file; `None` where a reader finds none.
fn open(path: &Path, access: Access) -> Result<Option<File>> {
    let opened = match access {
        Access::ReadWrite => make(path),
        Access::ReadOnly => match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
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

    #[test]
    fn a_reader_without_lock_file_makes_none_and_keeps_writers_out() -> Result<()> {
        let place = tempfile::tempdir().map_err(|error| Error::from_io(error, "temporary"))?;
        let reader = Lock::acquire(place.path(), Access::ReadOnly)?;
        let other = Lock::acquire(place.path(), Access::ReadOnly)?;
        assert!(reader.is_some() && other.is_some());
        assert!(!place.path().join(LOCK_FILE).exists());
        for _ in 0..2 {
            let writer = Lock::acquire(place.path(), Access::ReadWrite);
            assert!(
                matches!(
                    writer.as_ref().map_err(Error::kind),
                    Err(ErrorKind::AlreadyOpen { .. })
                ),
                "{writer:?}"
            );
        }
        drop((reader, other));
        let writer = Lock::acquire(place.path(), Access::ReadWrite)?;
        let reader = Lock::acquire(place.path(), Access::ReadOnly);
        assert!(writer.is_some() && reader.is_err());
        Ok(())
    }

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
