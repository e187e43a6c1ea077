//! Opening a block store: the log and the index are brought together.
//!
//! Invariants: the index, which the store committed, says how far the log has to go; what lies
//! beyond goes, because no commit knows it; a log that ends before is damage and is told, never
//! made to fit or cut; segments below the tail go, if rows and record agree that it is the tail;
//! opening to read changes nothing. Opening again after a crash inside opening comes to the same.

use std::sync::{Arc, Mutex};

use seglog::disk::Disk;
use seglog::tools::Tools;
use seglog::{ChainTag, Log, LogError, LogOptions, Reader as LogReader, Recovered, SegmentNumber};
use storage_api::blocks::{BlockError, BlockIndex, BlockRef, BlockResult};
use storage_api::{Error, KvStore, Reader, TableId};

use crate::error::of_log;
use crate::layout;
use crate::store::{Moment, SegmentBlocks, Writing, no_place};
use crate::tools::BodyState;

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

/// The newest block, and the record behind its own: what the index says of the log. `None` for an
/// index without blocks.
fn end_of_index<S: KvStore>(
    store: &S,
    index: &BlockIndex,
    places: TableId,
) -> BlockResult<Option<(BlockRef, seglog::Height)>> {
    let view = store.begin_read()?;
    let Some(tip) = index.tip(&view)? else {
        return Ok(None);
    };
    let row = view.get(places, &BlockIndex::key(tip.height))?;
    let at = layout::decode_place(&row.ok_or_else(|| no_place(tip.height))?)?;
    Ok(Some((tip, at.record.next())))
}

/// Refuses an index of blocks beside a folder without any segment, before one is made there.
fn refuse_lost_segments(tip: BlockRef, disk: &dyn Disk) -> BlockResult<()> {
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
        // A body is durable before its row is put, so what the index names was durable.
        let committed = end_of_index(&*store, &index, places)?;
        if let Some((tip, _)) = committed {
            refuse_lost_segments(tip, &*disk)?;
        }
        let options = LogOptions {
            chain: options.chain,
            segment_bytes_max: options.segment_bytes_max,
            advance_bytes: options.advance_bytes,
            uncounted_bytes: layout::trailer_bytes,
            durable_until: committed.map_or_else(seglog::Height::default, |(_, end)| end),
            ..LogOptions::default()
        };
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
        let next = committed.map_or(log.next(), |(_, end)| end);
        if let Some((tip, _)) = committed {
            let view = blocks.store.begin_read()?;
            let at = blocks.known_place(&view, tip.height)?;
            blocks.read_at(tip.height, &at, &mut Vec::new())?;
        }
        opened.beyond_commit = log.next().get() - next.get();
        if opened.beyond_commit > 0 {
            blocks.refuse_places_above(committed.map(|(tip, _)| tip))?;
            blocks.refuse_place_of_another(committed.map(|(tip, _)| tip))?;
            tracing::info!(
                records = opened.beyond_commit,
                "bodies beyond the last commit are removed"
            );
            // The index that was found may be in the system's memory only, and an older one that a
            // power cut brings back must find its records.
            blocks.store.sync()?;
            log.truncate(next).map_err(of_log)?;
        }
        blocks.prune_what_is_left(&mut log)?;
        let synced = log.next();
        blocks.writing = Some(Mutex::new(Writing {
            log,
            synced,
            appended: synced,
            cut_end: seglog::Height::default(),
            cut: Moment::now(),
            staged: Moment::now(),
            emptied: Moment::now(),
            waiting: Vec::new(),
        }));
        Ok((blocks, opened))
    }

    /// Refuses an index with places above its tip, before what they name is cut: the row of totals,
    /// which says what the tip is, is not the one that was committed last.
    fn refuse_places_above(&self, tip: Option<BlockRef>) -> BlockResult<()> {
        let placed = self.placed_tip(&self.store.begin_read()?)?;
        let Some((tip, placed)) = tip.zip(placed).filter(|(tip, it)| *it > tip.height) else {
            return Ok(());
        };
        let what = format!(
            "its tip is {}, and there are places of blocks up to {placed}: nothing was changed",
            tip.height
        );
        Err(Error::corruption("table blocks.state", what).into())
    }

    /// Refuses a tip whose place is not that of its own record, before what is behind it is cut:
    /// with the place of another block that would be committed blocks.
    fn refuse_place_of_another(&self, tip: Option<BlockRef>) -> BlockResult<()> {
        let view = self.store.begin_read()?;
        let info = tip.map(|tip| self.index.info(&view, tip.height));
        let Some(info) = info.transpose()?.flatten() else {
            return Ok(());
        };
        let what = match self.check_body(&view, &info, &mut Vec::new())? {
            BodyState::Sound(_) => return Ok(()),
            BodyState::Unplaced(what) | BodyState::Damaged(_, what) | BodyState::Differs(what) => {
                what
            }
            BodyState::Absent(_) => "its segment is absent".to_owned(),
        };
        let what = format!(
            "block {}, the tip: {what}; nothing was changed",
            info.height
        );
        Err(Error::corruption("the index", what).into())
    }

    /// Takes the segments that a pruning has left which was killed, or whose views were open to the
    /// end. Where the tail cannot be believed they stay: they cost space and nothing else.
    fn prune_what_is_left(&self, log: &mut Log) -> BlockResult<()> {
        let segments = self.reader.segments();
        let Some((_, second)) = segments.get(1) else {
            return Ok(());
        };
        let tail = match self.believed_tail(&self.store.begin_read()?, *second) {
            Err(BlockError::Store(error)) if error.is_corruption() => {
                tracing::warn!(%error, "what lies below the tail is not cut");
                return Ok(());
            }
            tail => tail?,
        };
        let Some(record) = tail else {
            return Ok(());
        };
        tracing::info!("segments of pruned blocks are removed");
        // As above: an older index that a power cut brings back must find its records.
        self.store.sync()?;
        log.prune(record).map_err(of_log)?;
        Ok(())
    }

    /// The record of the tail, if there is something to cut before it, no row of the index is of a
    /// block below it, and record and rows are of the same block.
    fn believed_tail<R: Reader>(
        &self,
        view: &R,
        second: seglog::Height,
    ) -> BlockResult<Option<seglog::Height>> {
        let Some(tail) = self.index.tail(view)? else {
            return Ok(None);
        };
        let record = self.known_place(view, tail.height)?.record;
        let lowest = self.row_heights(view)?.map(|(lowest, _)| lowest);
        if record < second || lowest != Some(tail.height) {
            return Ok(None);
        }
        let Some(info) = self.index.info(view, tail.height)? else {
            return Ok(None);
        };
        let state = self.check_body(view, &info, &mut Vec::new())?;
        Ok(matches!(state, BodyState::Sound(_)).then_some(record))
    }

    /// Opens the segments to be read: writes nothing. Damage keeps nobody from reading the blocks
    /// that are sound: it is told when a block is read that it is about.
    ///
    /// # Errors
    /// `Store` with `UnknownTable`, `Corruption` (of the index), `FormatTooNew`, `Io`.
    pub fn open_read_only(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        chain: ChainTag,
    ) -> BlockResult<(Self, Opened)> {
        let (index, places) = Self::resolve(store.catalogue())?;
        let (reader, next, log) = match LogReader::open(Arc::clone(&disk), chain) {
            Err(error @ (LogError::Damaged { .. } | LogError::Foreign { .. })) => {
                tracing::warn!(%error, "segments are damaged, sound blocks can be read");
                let reader = Tools::new(disk, chain).reader().map_err(of_log)?;
                (reader, None, Recovered::default())
            }
            opened => opened.map_err(of_log)?,
        };
        // A writer beside may have committed more since the log was looked at.
        let committed = end_of_index(&*store, &index, places)?;
        let beyond_commit = match (next, committed) {
            (Some(next), Some((_, end))) => next.get().saturating_sub(end.get()),
            _ => 0,
        };
        let blocks = Self {
            store,
            index,
            places,
            reader,
            writing: None,
        };
        Ok((blocks, Opened { beyond_commit, log }))
    }
}
