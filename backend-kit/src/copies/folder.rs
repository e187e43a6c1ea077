//! Copying a folder of files beside the engine's, such as segments with bodies of blocks.
//!
//! Invariants: a file has its name in the copy only once its bytes are durable, so a copy that was
//! cut short goes on behind the files that are there; the source is only read; what was there of a
//! file when it was opened is copied, whatever is appended meanwhile. Cost: one pass over the
//! bytes, one sync a file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use storage_api::{Error, Result};

use crate::directory::{make_durable_folder, sync_folder};

/// What a file is called until it is complete.
const PARTIAL: &str = "copying.part";

/// Copies the files of a folder into another one, durably; folders in it are left out. Without the
/// source there is nothing to do. A file of the same name and length is taken for its copy.
///
/// # Errors
/// `DiskFull`, `PermissionDenied`, `Io`.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let explain =
        |error: io::Error, place: &Path| Error::from_io(error, place.display().to_string());
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| explain(error, from))?,
    };
    make_durable_folder(to)?;
    let partial = to.join(PARTIAL);
    for entry in entries {
        let entry = entry.map_err(|error| explain(error, from))?;
        let source = entry.path();
        let about = entry.metadata().map_err(|error| explain(error, &source))?;
        let target = to.join(entry.file_name());
        let is_there = fs::metadata(&target).is_ok_and(|there| there.len() == about.len());
        if !about.is_file() || is_there {
            continue;
        }
        match copy_file(&source, &partial, about.len()) {
            // What may be used again for another file can get another name meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            copied => copied.map_err(|error| explain(error, &source))?,
        }
        fs::rename(&partial, &target).map_err(|error| explain(error, &target))?;
    }
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(explain(error, &partial));
        }
        _ => {}
    }
    sync_folder(to)
}

fn copy_file(from: &Path, to: &Path, bytes: u64) -> io::Result<()> {
    let source = File::open(from)?;
    let mut target = File::create(to)?;
    io::copy(&mut io::Read::take(source, bytes), &mut target)?;
    target.sync_all()
}
