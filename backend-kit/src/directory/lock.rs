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
    _file: File,
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
        let opened = match access {
            Access::ReadWrite => owner_only()
                .read(true)
                .create(true)
                .truncate(false)
                .open(&path),
            Access::ReadOnly => match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => make_for_readers(&path),
                opened => opened,
            },
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if access == Access::ReadOnly && is_read_only_mount(&error) => {
                return Ok(None);
            }
            Err(error) => return Err(io_error(error, &path)),
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
        if access == Access::ReadWrite {
            write_pid(&mut file).map_err(|error| io_error(error, &path))?;
        }
        Ok(Some(Self { _file: file }))
    }
}

fn make_for_readers(path: &Path) -> io::Result<File> {
    owner_only()
        .read(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn is_read_only_mount(error: &io::Error) -> bool {
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
