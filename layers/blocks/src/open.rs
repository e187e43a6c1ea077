//! Opening a block store: the log and the index are brought together.
//!
//! Invariants: the index, which the store committed, says how far the log has to go; what lies
//! beyond goes, because no commit knows it; a log that ends before is damage and is told, never
//! made to fit; opening to read changes nothing. Opening again after a crash inside opening comes
//! to the same.

use std::sync::{Arc, Mutex};

use seglog::disk::Disk;
use seglog::{ChainTag, Log, LogOptions, Reader as LogReader, SegmentNumber};
use storage_api::blocks::{BlockIndex, BlockResult};
use storage_api::{Error, KvStore};

use crate::error::of_log;
use crate::layout;
use crate::store::{SegmentBlocks, Writing};

/// How the segments are laid out.
#[derive(Clone, Copy, Debug)]
pub struct SegmentOptions {
    /// Stands for the chain, so that files of two chains are not mixed up.
    pub chain: ChainTag,
    /// Most bytes of bodies in a segment, unless a single one is longer; what lies behind each does
    /// not count.
    pub segment_bytes_max: u64,
    /// Bytes written in advance, so that the sync of a block does not change a file's size.
    pub advance_bytes: u64,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        let log = LogOptions::default();
        Self {
            chain: log.chain,
            segment_bytes_max: log.segment_bytes_max,
            advance_bytes: log.advance_bytes,
        }
    }
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Records beyond the last commit that were removed, or passed over when opened to read.
    pub beyond_commit: u64,
    /// What the log itself found.
    pub log: seglog::Recovered,
}

/// Where the log has to end for the index: behind the record of the tip, which is there and whole.
/// `None` for an index without blocks.
fn end_of_index<S: KvStore>(
    blocks: &SegmentBlocks<S>,
    next: seglog::Height,
) -> BlockResult<Option<seglog::Height>> {
    let view = blocks.store.begin_read()?;
    let Some(tip) = blocks.index.tip(&view)? else {
        return Ok(None);
    };
    let at = blocks.known_place(&view, tip.height)?;
    if at.record >= next {
        let what = format!(
            "the index goes up to block {} in record {}, the log ends before record {next}: \
             restore the segments, or make the index again from them",
            tip.height, at.record
        );
        return Err(Error::corruption("the segments", what).into());
    }
    blocks.read_at(tip.height, &at, &mut Vec::new())?;
    Ok(Some(at.record.next()))
}

/// Refuses an index of blocks beside a folder without any segment, before one is made there.
fn refuse_lost_segments<S: KvStore>(
    store: &S,
    index: &BlockIndex,
    disk: &dyn Disk,
) -> BlockResult<()> {
    let Some(tip) = index.tip(&store.begin_read()?)? else {
        return Ok(());
    };
    let names = disk.names();
    let names = names.map_err(|error| Error::from_io(error, disk.place("")))?;
    let mut numbers = names
        .iter()
        .filter_map(|name| SegmentNumber::of_file_name(name));
    if numbers.next().is_some() {
        return Ok(());
    }
    let what = format!(
        "the index goes up to block {}, and there is no segment: put the files back",
        tip.height
    );
    Err(Error::corruption(disk.place(""), what).into())
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Opens the segments in a folder beside a store that was opened with [`Self::schema`], and
    /// removes what no commit knows. The folder is the caller's, who makes sure that nobody else
    /// writes to it: it lies in the store's directory, under its lock.
    ///
    /// # Errors
    /// `Store` with `UnknownTable`, `Corruption` (damage, or segments that end before the index
    /// does), `FormatTooNew`, `DiskFull`, `Io`.
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &SegmentOptions,
    ) -> BlockResult<(Self, Opened)> {
        let (index, places) = Self::resolve(store.catalogue())?;
        let options = LogOptions {
            chain: options.chain,
            segment_bytes_max: options.segment_bytes_max,
            advance_bytes: options.advance_bytes,
            uncounted_bytes: layout::trailer_bytes,
            ..LogOptions::default()
        };
        refuse_lost_segments(&*store, &index, &*disk)?;
        let (mut log, recovered) = Log::open(disk, options).map_err(of_log)?;
        let mut blocks = Self {
            store,
            index,
            places,
            reader: log.reader(),
            writing: None,
        };
        let mut opened = Opened {
            beyond_commit: 0,
            log: recovered,
        };
        // Without a block in the index nothing says what the records are: they may be all that is
        // left of a chain whose index was lost, so they stay.
        let next = end_of_index(&blocks, log.next())?.unwrap_or(log.next());
        opened.beyond_commit = log.next().get() - next.get();
        if opened.beyond_commit > 0 {
            tracing::info!(
                records = opened.beyond_commit,
                "bodies beyond the last commit are removed"
            );
            // The index that was found may be in the system's memory only, and an older one that a
            // power cut brings back must find its records.
            blocks.store.sync()?;
            log.truncate(next).map_err(of_log)?;
        }
        let synced = log.next();
        blocks.writing = Some(Mutex::new(Writing {
            log,
            synced,
            appended: synced,
            cut_end: seglog::Height::default(),
            cuts: 0,
            waiting: Vec::new(),
        }));
        Ok((blocks, opened))
    }

    /// Opens the segments to be read: writes nothing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        chain: ChainTag,
    ) -> BlockResult<(Self, Opened)> {
        let (index, places) = Self::resolve(store.catalogue())?;
        let (reader, next, recovered) = LogReader::open(disk, chain).map_err(of_log)?;
        let blocks = Self {
            store,
            index,
            places,
            reader,
            writing: None,
        };
        let next = next.unwrap_or_default();
        let known = end_of_index(&blocks, next)?.unwrap_or(next);
        let opened = Opened {
            beyond_commit: next.get() - known.get(),
            log: recovered,
        };
        Ok((blocks, opened))
    }
}
