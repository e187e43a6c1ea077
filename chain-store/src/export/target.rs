//! A file that appears under its name when it is whole.
//!
//! What is written goes into `NAME.part` beside the target, which is synced and then gets the name.
//! Must always hold: until then nothing stands under the name but what stood there before; an
//! existing file is replaced only when that was said; a dropped target takes its part away, and one
//! that a killed process left is taken over by the next export of the same name, while one that a
//! living process writes is not touched. Only regular files are replaced.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ExportError;

/// Attempts at a part that others take away at the same moment.
const ATTEMPTS: usize = 8;

/// What to do with a file that has the name of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the export is refused.
    #[default]
    Refuse,
    /// It is replaced, at once and by the whole export.
    Replace,
}

/// A file under way.
#[derive(Debug)]
pub struct TargetFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    existing: Existing,
    named: bool,
}

impl TargetFile {
    /// Makes the part. Cost: two files are looked at.
    ///
    /// # Errors
    /// `Exists`, `NoFile`, `Busy`, `Target`.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, ExportError> {
        check(path, existing)?;
        let Some(name) = path.file_name() else {
            let file = path.to_owned();
            return Err(ExportError::NoFile { file });
        };
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = path.with_file_name(part_name);
        let file = take_part(&part)?;
        file.set_len(0).map_err(|source| at(&part, source))?;
        Ok(Self {
            path: path.to_owned(),
            part,
            file,
            existing,
            named: false,
        })
    }

    /// Syncs what was written and gives it the name of the target.
    ///
    /// # Errors
    /// `Target`; `Exists` when a file of that name was made meanwhile.
    pub fn finish(mut self) -> Result<(), ExportError> {
        self.file
            .sync_all()
            .map_err(|source| at(&self.part, source))?;
        self.name()?;
        self.named = true;
        sync_folder(&self.path).map_err(|source| at(&self.path, source))
    }

    fn name(&self) -> Result<(), ExportError> {
        let path = &self.path;
        if self.existing == Existing::Refuse {
            // A second name is made only where none is; a rename would replace.
            #[cfg(unix)]
            match fs::hard_link(&self.part, path) {
                Ok(()) => return fs::remove_file(&self.part).map_err(|source| at(path, source)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(ExportError::Exists { file: path.clone() });
                }
                // Not every file system has second names.
                Err(_) => {}
            }
            check(path, self.existing)?;
        }
        fs::rename(&self.part, path).map_err(|source| at(path, source))
    }
}

impl Write for TargetFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be taken away is taken over by the next export.
            let _left = fs::remove_file(&self.part);
        }
    }
}

fn at(file: &Path, source: io::Error) -> ExportError {
    ExportError::Target {
        file: file.to_owned(),
        source,
    }
}

/// Whether the target may be made or replaced.
fn check(path: &Path, existing: Existing) -> Result<(), ExportError> {
    let file = path.to_owned();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(at(path, source)),
        Ok(about) if !about.is_file() => Err(ExportError::NoFile { file }),
        Ok(_) if existing == Existing::Refuse => Err(ExportError::Exists { file }),
        Ok(_) => Ok(()),
    }
}

/// Opens the part and locks it, so that two processes never write the same one.
fn take_part(part: &Path) -> Result<File, ExportError> {
    let busy = || ExportError::Busy {
        file: part.to_owned(),
    };
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(part);
        let file = opened.map_err(|source| at(part, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(source)) => return Err(at(part, source)),
        }
        if is_only_at(&file, part).map_err(|source| at(part, source))? {
            return Ok(file);
        }
    }
    Err(busy())
}

/// Whether the open file has this name and no other. Between opening and locking, the process that
/// wrote it may have given it the name of the target; or one may have been killed between giving it
/// that name and taking this one away, which is then done here. Either way it is a finished export
/// and not to be touched.
#[cfg(unix)]
fn is_only_at(file: &File, part: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    let is_there = match fs::symlink_metadata(part) {
        Ok(about) => (about.dev(), about.ino()) == (own.dev(), own.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if is_there && own.nlink() > 1 {
        fs::remove_file(part)?;
        return Ok(false);
    }
    Ok(is_there)
}

/// Elsewhere a file that is open keeps its name, and none gets a second one.
#[cfg(not(unix))]
fn is_only_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Makes the name durable.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
