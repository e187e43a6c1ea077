//! The folder of one load: made when it is first needed, removed with the load.
//!
//! Invariants: a folder lies in `STORE/bulk/` under a number of its own; the common folder goes
//! with the last load that has one in it; what a killed process leaves behind is removed by the
//! next opening to write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use storage_api::{Error, Result};

use crate::directory::Directory;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Folder {
    /// None in a store without a directory.
    path: Option<PathBuf>,
    is_made: OnceLock<()>,
    files: AtomicU64,
}

/// Numbers the folders of loads that run at the same time in this process.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// Held while folders are made and removed: a load that ends removes the common one when it is the
/// last, which must not happen between another's making that one and its own in it.
static FOLDERS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder {
    pub(super) fn of(directory: Option<&Directory>) -> Self {
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        Self::at(directory.map(|directory| directory.bulk_path().join(number.to_string())))
    }

    /// A folder at this path.
    pub(super) const fn at(path: Option<PathBuf>) -> Self {
        Self {
            path,
            is_made: OnceLock::new(),
            files: AtomicU64::new(0),
        }
    }

    /// Whether there is a directory in which it can be made.
    pub(super) const fn is_possible(&self) -> bool {
        self.path.is_some()
    }

    /// The folder, made if it is not there yet; `None` in a store without a directory.
    pub(super) fn make(&self) -> Result<Option<&Path>> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        if self.is_made.get().is_none() {
            let _alone = alone();
            fs::create_dir_all(path)
                .map_err(|error| Error::from_io(error, path.display().to_string()))?;
            // Another thread of the load may have been first; both made the same folder.
            let _first = self.is_made.set(());
        }
        Ok(Some(path))
    }

    /// A path for the next run; `None` in a store without a directory.
    pub(super) fn next_run(&self) -> Result<Option<PathBuf>> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.make()?.map(|path| path.join(format!("run-{number}")));
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| self.is_made.get().is_some()) {
            // What stays behind is removed by the next opening.
            let _ = fs::remove_dir_all(path);
            if let Some(parent) = path.parent() {
                let _alone = alone();
                // Fails while another load has its folder there.
                let _ = fs::remove_dir(parent);
            }
        }
    }
}
