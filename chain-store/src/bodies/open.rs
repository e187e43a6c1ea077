//! Where the segments of a store are, to which chain they belong, and opening them.
//!
//! Invariants: a segment is refused whose chain tag is not that of the others; a log is written to
//! by one [`super::Blocks`] at a time, also within a process; opening to read makes no folder.
//!
//! The chain tag stands for the store in which the segments were begun: the low eight bytes of its
//! store id, which is random. A copy and a migrated store take files and tag along. So on opening
//! the tag is the store's own if any sound segment header has it or there is none, and otherwise
//! the one that most of them have, the lowest segment's among equals.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::blocks::{SegmentBlocks, SegmentOptions};
use backend_kit::directory::{self, SEGMENTS_FOLDER};
use seglog::disk::{Disk, Folder};
use seglog::{ChainTag, SegmentNumber};
use storage_api::blocks::BlockResult;
use storage_api::{Access, Error, ErrorKind, Result};

use super::Segments;
use crate::any::AnyStore;

/// The right to write to the segments of a store.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // A child that another thread is just forking has a copy of the file until it executes its
        // program.
        let _closing_does_it_as_well = self.0.unlock();
    }
}

impl Held {
    /// Takes it, if nothing else in this process has it.
    ///
    /// # Errors
    /// `AlreadyOpen`, `Io`.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let place = || folder.display().to_string();
        let file = File::open(folder).map_err(|error| Error::from_io(error, place()))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::AlreadyOpen {
                path: place(),
                holder_pid: Some(std::process::id()),
            })),
            // Where folders have no locks, the store's lock has to do.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(file)),
        }
    }
}

/// The folder of a store's segments, which need not exist.
///
/// # Errors
/// `Unsupported` without a directory.
pub(crate) fn segments_of(store: &AnyStore) -> Result<PathBuf> {
    let place = store.path().ok_or_else(|| {
        Error::unsupported("bodies in segments, which need a store in a directory")
    })?;
    Ok(place.join(SEGMENTS_FOLDER))
}

/// The chain tag of a store's segments: see the head of this file. Cost: the headers.
///
/// # Errors
/// Of the marker; `Io`.
pub(crate) fn chain_tag(store: &AnyStore) -> Result<ChainTag> {
    let folder = segments_of(store)?;
    let explain = |error: io::Error| Error::from_io(error, folder.display().to_string());
    let marker = store.path().map(directory::read_marker).transpose()?;
    let own = marker
        .flatten()
        .map_or(0, |marker| (marker.store_id & u128::from(u64::MAX)) as u64);
    let disk = Folder::new(&folder);
    let mut names = disk.names().map_err(explain)?;
    names.retain(|name| SegmentNumber::of_file_name(name).is_some());
    names.sort();
    let mut found: Vec<(u64, usize)> = Vec::new();
    for name in names {
        let Some(tag) = seglog::tools::chain_tag(&disk, &name).map_err(explain)? else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == tag.get()) {
            Some((_, count)) => *count += 1,
            None => found.push((tag.get(), 1)),
        }
    }
    let is_own = found.is_empty() || found.iter().any(|(tag, _)| *tag == own);
    // Of equals the last one is given, so the lowest segment's has to come last.
    let most = found.iter().rev().max_by_key(|(_, count)| *count);
    Ok(ChainTag::new(match most {
        Some((tag, _)) if !is_own => *tag,
        _ => own,
    }))
}

/// Opens the segments of a store, for what the store was opened.
pub(super) fn open(store: &Arc<AnyStore>, options: &SegmentOptions) -> BlockResult<Segments> {
    let folder = segments_of(store)?;
    let disk = Arc::new(Folder::new(&folder));
    if store.access() == Access::ReadOnly {
        let chain = chain_tag(store)?;
        let (blocks, _) = SegmentBlocks::open_read_only(Arc::clone(store), disk, chain)?;
        return Ok(Segments {
            blocks,
            _held: None,
        });
    }
    directory::make_durable_folder(&folder)?;
    let held = Held::take(&folder)?;
    let options = SegmentOptions {
        chain: chain_tag(store)?,
        ..*options
    };
    let (blocks, _) = SegmentBlocks::open(Arc::clone(store), disk, &options)?;
    Ok(Segments {
        blocks,
        _held: Some(held),
    })
}
