//! A creation under way, and how it is undone when it fails.
//!
//! Invariants: only what this creation made is removed, because the directory stays locked from the
//! look that found it empty until the undoing is over; a crash inside leaves a marker that says
//! `creating`, or no marker and nothing else of ours.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Directory, LOCK_FILE, Lock, MARKER_FILE, SEAL_FILE, State, read_marker};

/// A creation under way; it holds the directory's lock beside the store that is being made.
#[derive(Debug)]
#[must_use = "a creation that failed is undone by it"]
pub struct Creation {
    path: PathBuf,
    existed: bool,
    lock: Option<Arc<Lock>>,
}

impl Creation {
    pub(super) fn of(directory: &Directory) -> Self {
        Self {
            path: directory.path.clone(),
            existed: directory.existed,
            lock: directory.lock.clone(),
        }
    }

    /// Removes what the creation has made: nothing half-done stays.
    ///
    /// The engine must have let go of its files. What cannot be removed is marked `creating`, so
    /// the next creation does. A folder that existed before stays.
    pub fn undo(self) {
        let Self {
            path,
            existed,
            lock,
        } = self;
        let directory = Directory {
            path,
            existed,
            lock,
        };
        if let Ok(Some(mut marker)) = read_marker(&directory.path)
            && marker.state == State::Ready
        {
            marker.state = State::Creating;
            if directory.write_marker(&marker).is_err() {
                // A marker that promises a whole store must not outlive its files.
                return;
            }
        }
        for folder in [directory.segments_path(), directory.data_path()] {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => {}
            }
        }
        for file in [MARKER_FILE, SEAL_FILE, LOCK_FILE] {
            let _gone = fs::remove_file(directory.path.join(file));
        }
        if !existed {
            let _gone = fs::remove_dir(&directory.path);
        }
    }
}
