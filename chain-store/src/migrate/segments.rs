//! The part of a migration that is files: segments with the bodies of blocks.
//!
//! Invariants: a file has its name in the target once it is durable there; both sides are compared
//! byte by byte, and every block of the target's index with its record, before the target is a
//! store. A segment that is absent in the source (archived) is absent in the target. What a
//! migration before left is kept where it still is what the source has: files change without a
//! commit when they are packed, mended or cut.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use storage_api::{Error, KvStore};

use super::{MigrateError, Run, Step};
use crate::any::AnyStore;
use crate::bodies::{Bodies, segments_of};
use crate::verify;

/// Bytes compared at once.
const COMPARED_BYTES: usize = 256 << 10;

fn explain(error: io::Error, place: &Path) -> Error {
    Error::from_io(error, place.display().to_string())
}

/// Whether two files have the same bytes.
fn are_equal(left: &Path, right: &Path) -> io::Result<bool> {
    let (left, right) = (File::open(left)?, File::open(right)?);
    let mut bytes = left.metadata()?.len();
    if bytes != right.metadata()?.len() {
        return Ok(false);
    }
    let mut left = BufReader::with_capacity(COMPARED_BYTES, left);
    let mut right = BufReader::with_capacity(COMPARED_BYTES, right);
    let (mut one, mut other) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    while bytes > 0 {
        let part = usize::try_from(bytes).unwrap_or(COMPARED_BYTES);
        let part = part.min(COMPARED_BYTES);
        let (one, other) = (&mut one[..part], &mut other[..part]);
        left.read_exact(one)?;
        right.read_exact(other)?;
        if one != other {
            return Ok(false);
        }
        bytes -= part as u64;
    }
    Ok(true)
}

/// Removes the files of an unfinished target that are not those of the source.
fn remove_others(from: &Path, to: &Path) -> Result<(), MigrateError> {
    let failed = |error, place: &Path| MigrateError::Target(explain(error, place));
    let entries = match fs::read_dir(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| failed(error, to))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(error, to))?;
        let (left, right) = (from.join(entry.file_name()), entry.path());
        let is_kept = match are_equal(&left, &right) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            equal => equal.map_err(|error| failed(error, &right))?,
        };
        if !is_kept {
            fs::remove_file(&right).map_err(|error| failed(error, &right))?;
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Whether there are segments to be moved.
    fn has_segments(&self) -> Result<bool, MigrateError> {
        let bodies = Bodies::of(self.target.catalogue()).map_err(MigrateError::Source)?;
        Ok(bodies == Some(Bodies::Segments))
    }

    /// Copies the files that the target does not have as the source has them.
    pub(super) fn copy_segments(&mut self, source: &Arc<AnyStore>) -> Result<(), MigrateError> {
        if !self.has_segments()? {
            return Ok(());
        }
        self.progress.step = Step::CopySegments;
        let _asked_between_chunks_only = self.tell();
        let from = segments_of(source).map_err(MigrateError::Source)?;
        let to = segments_of(self.target).map_err(MigrateError::Target)?;
        remove_others(&from, &to)?;
        backend_kit::copy_folder(&from, &to).map_err(MigrateError::Target)
    }

    /// Compares the files of both sides, and the target's index with its files.
    pub(super) fn prove_segments(&mut self, source: &Arc<AnyStore>) -> Result<(), MigrateError> {
        if !self.has_segments()? {
            return Ok(());
        }
        self.progress.step = Step::CheckSegments;
        let _asked_between_chunks_only = self.tell();
        let from = segments_of(source).map_err(MigrateError::Source)?;
        let to = segments_of(self.target).map_err(MigrateError::Target)?;
        let entries = match fs::read_dir(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| MigrateError::Source(explain(error, &from)))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| MigrateError::Source(explain(error, &from)))?;
            if !entry.file_type().is_ok_and(|about| about.is_file()) {
                continue;
            }
            let (left, right) = (entry.path(), to.join(entry.file_name()));
            let equal = are_equal(&left, &right);
            if !equal.map_err(|error| MigrateError::Target(explain(error, &right)))? {
                return Err(MigrateError::Segments {
                    what: format!("{} and {} differ", left.display(), right.display()),
                    more: 0,
                });
            }
        }
        let findings = verify::segments(self.target).map_err(MigrateError::Target)?;
        match findings.split_first() {
            None => Ok(()),
            Some((first, others)) => Err(MigrateError::Segments {
                what: first.to_string(),
                more: others.len(),
            }),
        }
    }
}
