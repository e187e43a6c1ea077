//! Opening a block log: the index is brought to where the log is.
//!
//! Invariants: the log is not changed but by what its own opening does to a record that was not
//! finished; an index that is sound and ends elsewhere gets what it lacks from its last block on,
//! or loses what the log does not have; an index that is not sound is made again from nothing, once
//! the whole log was read and found to be a chain, so a damaged log leaves the index alone. What
//! is written is committed in parts, each of which is an index that is sound and shorter, so
//! opening again after a crash inside opening comes to the same.

use std::sync::{Arc, Mutex};

use seglog::disk::Disk;
use seglog::{ChainTag, Log, LogError, LogOptions, Reader as LogReader, Recovered, SegmentNumber};
use storage_api::blocks::{BlockError, BlockIndex, BlockResult, Height};
use storage_api::{
    Cursor, Durability, Error, KeyRange, KvStore, Reader, TableId, WriteTxn, Writer,
};

use super::tally::{Tables, Tally};
use super::{LogBlocks, or_unsound};
use crate::error::of_log;
use crate::layout::{self, BodyPlace, PLACES};
use crate::open::SegmentOptions;

/// Most blocks of a commit while an index is filled or trimmed.
const BATCH_BLOCKS: u64 = 4_096;

/// Most bytes of records of such a commit, but for one record.
const BATCH_BYTES: u64 = 8 << 20;

/// How much of an index is looked at when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexCheck {
    /// Every row, against the tally: whatever was deleted, added or changed is noticed. Cost: a
    /// read of the rows, not of the log; see `docs/format/log-blocks.md` for what it takes.
    #[default]
    Rows,
    /// Both ends, the totals, and the number of rows where the engine knows it. Cost: some gets,
    /// however long the chain. What was deleted, cut or added is noticed (on RocksDB, which does
    /// not know how many rows there are, at the ends only); a row in the middle with other contents
    /// is met by whoever reads it, as `Corruption`, because a record says which block it is.
    Ends,
}

/// How a block log is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogBlocksOptions {
    /// The segments.
    pub segments: SegmentOptions,
    /// The index.
    pub check: IndexCheck,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// What the log itself found.
    pub log: seglog::Recovered,
    /// Why the index was made again from nothing, if it was.
    pub remade: Option<String>,
    /// Blocks that the index had and the log has not: they were taken out of the index.
    pub trimmed_blocks: u64,
    /// Blocks that the log has and the index had not: they were put into it.
    pub filled_blocks: u64,
}

impl<S: KvStore> LogBlocks<S> {
    /// Opens the log in a folder beside a store that was opened with [`Self::schema`], and brings
    /// the index to where the log is. The folder is the caller's, who makes sure that nobody else
    /// writes to it: it lies in the store's directory, under its lock.
    ///
    /// Cost: the opening of the log (its last segment is read twice), what [`IndexCheck`] says, and
    /// the rows that are missing; two reads of the whole log where the index is made again.
    ///
    /// # Errors
    /// `Store` with `Corruption` where the log is damaged (segment and offset are named, nothing is
    /// changed) or is not one chain, `UnknownTable`, `FormatTooNew`, `DiskFull`, `Io`.
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &LogBlocksOptions,
    ) -> BlockResult<(Self, Followed)> {
        let index = BlockIndex::resolve(store.catalogue())?;
        let places = store.catalogue().id(PLACES.name())?;
        let tables = Tables::resolve(store.catalogue())?;
        let segments = &options.segments;
        let log_options = LogOptions {
            chain: segments.chain,
            segment_bytes_max: segments.segment_bytes_max,
            advance_bytes: segments.advance_bytes,
            uncounted_bytes: layout::trailer_bytes,
            ..LogOptions::default()
        };
        check_end(&*store, (&index, places), &disk, segments.chain)?;
        let (log, recovered) = Log::open(disk, log_options).map_err(of_log)?;
        let next = log.next();
        let blocks = Self {
            store,
            index,
            places,
            tables,
            reader: log.reader(),
            log: Mutex::new(log),
        };
        let mut followed = Followed {
            log: recovered,
            ..Followed::default()
        };
        let mut why = blocks.look(options.check, next)?;
        if why.is_none() {
            match or_unsound(blocks.trim(next))? {
                Ok(0) => {}
                Ok(trimmed) => {
                    followed.trimmed_blocks = trimmed;
                    why = blocks.look(IndexCheck::Ends, next)?;
                }
                Err(what) => why = Some(what),
            }
        }
        if let Some(why) = why {
            tracing::warn!(why, "the index of a block log is made again from the log");
            blocks.check_chain(next)?;
            blocks.clear()?;
            followed.remade = Some(why);
        }
        followed.filled_blocks = blocks.fill(next)?;
        if followed.filled_blocks > 0 || followed.trimmed_blocks > 0 {
            tracing::info!(
                filled = followed.filled_blocks,
                trimmed = followed.trimmed_blocks,
                "the index of a block log follows it"
            );
        }
        Ok((blocks, followed))
    }

    /// Why the index is not what was committed last, if it is not.
    fn look(&self, check: IndexCheck, next: seglog::Height) -> BlockResult<Option<String>> {
        let view = self.store.begin_read()?;
        Ok(or_unsound(self.look_at(&view, check, next))?.err())
    }

    fn look_at<R: Reader>(
        &self,
        view: &R,
        check: IndexCheck,
        next: seglog::Height,
    ) -> BlockResult<()> {
        let unsound =
            |what: String| Err(Error::corruption("the index of the block log", what).into());
        let Some(stored) = self.tables.stored(view)? else {
            return match self.tables.are_empty(view)? {
                true => Ok(()),
                false => unsound("it has rows and no tally".to_owned()),
            };
        };
        if self.tables.has_others(view)? {
            return unsound("it has more than one tally".to_owned());
        }
        match check {
            IndexCheck::Rows => {
                let found = self.tables.survey(view)?;
                if found != stored {
                    return unsound(format!(
                        "its {} rows are not the {} that were committed",
                        found.rows, stored.rows
                    ));
                }
            }
            IndexCheck::Ends => {
                if self.tables.state_sum(view)? != stored.state {
                    return unsound("the totals are not those that were committed".to_owned());
                }
                let found = self.tables.rows_known(view)?;
                if let Some(found) = found.filter(|found| *found != stored.rows) {
                    let rows = stored.rows;
                    return unsound(format!("it has {found} rows of {rows} that were committed"));
                }
            }
        }
        let ends = self.index.tail(view)?.zip(self.index.tip(view)?);
        let Some((tail, tip)) = ends else {
            return match stored.rows {
                0 => Ok(()),
                rows => unsound(format!("{rows} rows were committed and there is no block")),
            };
        };
        self.look_at_bounds(view, tail.height, tip.height)?;
        let mut buffer = Vec::new();
        for end in [tail, tip] {
            let at = self.known_place(view, end.height)?;
            // What the log does not have any more is trimmed and not compared.
            if at.record < next {
                match self.agrees(view, end.height, &at, &mut buffer) {
                    // The oldest segments may be in an archive.
                    Err(BlockError::BodyAbsent { .. }) if end == tail => {}
                    other => other?,
                }
            }
            if self.index.height_of(view, &end.hash)? != Some(end.height) {
                return unsound(format!("block {} is not found by its hash", end.height));
            }
        }
        Ok(())
    }

    /// The rows by height begin and end with the chain, and the chain begins where the log does, or
    /// before.
    fn look_at_bounds<R: Reader>(&self, view: &R, tail: Height, tip: Height) -> BlockResult<()> {
        let (low, high) = (BlockIndex::key(tail), BlockIndex::key(tip));
        for table in self.tables.by_height() {
            let mut rows = view.cursor(table, KeyRange::all())?;
            let first = rows.first()?.map(|row| row.key.to_vec());
            let last = rows.last()?.map(|row| row.key.to_vec());
            if first.as_deref() != Some(&low) || last.as_deref() != Some(&high) {
                let what = format!("its rows do not begin with block {tail} and end with {tip}");
                return Err(Error::corruption("the index of the block log", what).into());
            }
        }
        let blocks = self.index.totals(view)?.blocks;
        if tip.get().checked_sub(tail.get()) != blocks.checked_sub(1) {
            let what = format!("{blocks} blocks are said to be between {tail} and {tip}");
            return Err(Error::corruption("the index of the block log", what).into());
        }
        let (begins, first) = (self.known_place(view, tail)?.record, self.first_record());
        if begins > first {
            // The oldest segments were in an archive when the index was made, and came back.
            let what = format!("it begins with record {begins}, the log with record {first}");
            return Err(Error::corruption("the index of the block log", what).into());
        }
        Ok(())
    }

    /// Compares the rows of a block with its record.
    pub(super) fn agrees<R: Reader>(
        &self,
        view: &R,
        height: Height,
        at: &BodyPlace,
        buffer: &mut Vec<u8>,
    ) -> BlockResult<()> {
        let block = self.block_at(height, at, buffer)?;
        let is_so = self.index.info(view, height)? == Some(block.info)
            && self.index.tx_ids(view, height)? == block.tx_ids;
        if is_so {
            return Ok(());
        }
        let what = format!("the rows of block {height} are not those of its record");
        Err(Error::corruption("the index of the block log", what).into())
    }

    /// Takes out of the index what the log does not have.
    fn trim(&self, next: seglog::Height) -> BlockResult<u64> {
        let mut trimmed = 0;
        loop {
            let mut txn = self.store.begin_write()?;
            let (Some((tip, at)), Some(tail)) = (self.end(&txn)?, self.index.tail(&txn)?) else {
                return Ok(trimmed);
            };
            let beyond = at.record.next().get().saturating_sub(next.get());
            if beyond == 0 {
                return Ok(trimmed);
            }
            // Record after record is block after block.
            let kept = tip.height.get().checked_sub(beyond.min(BATCH_BLOCKS));
            let kept = kept.filter(|kept| *kept >= tail.height.get());
            let from = kept.map_or(tail.height, |kept| Height::new(kept).next());
            let mut tally = self.tally(&txn)?;
            for height in from.get()..=tip.height.get() {
                let height = Height::new(height);
                let at = self.known_place(&txn, height)?;
                let info = self.index.info(&txn, height)?;
                let missing = || Error::corruption("table blocks.index", "a row is missing");
                let tx_ids = self.index.tx_ids(&txn, height)?;
                let info = info.ok_or_else(missing)?;
                self.rows(&info, &tx_ids, &at, &mut |table, key, value| {
                    tally.take(self.tables.tag(table), key, value);
                    Ok(())
                })?;
                trimmed += 1;
            }
            let rows = self.index.truncate(&mut txn, kept.map(Height::new))?;
            txn.delete_range(self.places, &rows)?;
            self.set_tally(&mut txn, tally)?;
            txn.commit(Durability::Durable)?;
        }
    }

    /// Reads the whole log and makes sure that it is one chain. Writes nothing.
    fn check_chain(&self, next: seglog::Height) -> BlockResult<()> {
        let mut above = None;
        self.for_each_record(next, &mut |at, recorded| {
            let info = &recorded.info;
            let expected = above.replace((info.height.next(), info.hash));
            match expected {
                Some((height, hash)) if height != info.height || hash != info.parent => {
                    Err(no_chain(at.record, "does not follow the one before it"))
                }
                _ => Ok(()),
            }
        })
    }

    /// Removes every row that is made from the log, but for the tally of none.
    fn clear(&self) -> BlockResult<()> {
        let mut txn = self.store.begin_write()?;
        for table in self.tables.made() {
            txn.delete_range(table, &KeyRange::all())?;
        }
        self.set_tally(&mut txn, Tally::default())?;
        txn.commit(Durability::Durable)?;
        Ok(())
    }

    /// Puts into a sound index what it lacks of the log.
    fn fill(&self, next: seglog::Height) -> BlockResult<u64> {
        let mut filled = 0;
        loop {
            let mut txn = self.store.begin_write()?;
            let end = self.end(&txn)?.map(|(_, at)| at);
            let from = end.map_or_else(|| self.first_record(), |at| at.record.next());
            if from >= next {
                return Ok(filled);
            }
            let mut tally = self.tally(&txn)?;
            let (mut blocks, mut bytes) = (0, 0);
            // The record of the last block is read again to get behind it.
            let mut scan = self.scan_from(end.as_ref(), next)?;
            if end.is_some() {
                scan.read_next().map_err(of_log)?;
            }
            while blocks < BATCH_BLOCKS && bytes < BATCH_BYTES {
                let Some((at, recorded)) = super::next_record(&mut scan)? else {
                    break;
                };
                let block = recorded.as_block();
                self.index
                    .append(&mut txn, &block)
                    .map_err(|error| match error {
                        BlockError::Store(error) => BlockError::Store(error),
                        other => no_chain(at.record, &other.to_string()),
                    })?;
                self.put_place(&mut txn, &block, &at, &mut tally)?;
                blocks += 1;
                bytes += u64::from(at.place.payload_bytes);
            }
            self.set_tally(&mut txn, tally)?;
            txn.commit(Durability::Durable)?;
            filled += blocks;
        }
    }

    pub(super) fn first_record(&self) -> seglog::Height {
        let segments = self.reader.segments();
        segments
            .first()
            .map_or_else(Default::default, |(_, first)| *first)
    }
}

/// Refuses a log that ends at a record behind which the index has a sound one in the same segment.
/// Both were durable before their rows were put, so the one that is missing is damaged and not
/// unfinished, and opening to write would cut the sound one off.
fn check_end<S: KvStore>(
    store: &S,
    tables: (&BlockIndex, TableId),
    disk: &Arc<dyn Disk>,
    chain: ChainTag,
) -> BlockResult<()> {
    let looked = LogReader::open(Arc::clone(disk), chain);
    // What is wrong with a log that cannot be looked at, opening it says.
    let Ok((reader, Some(next), Recovered { cut: Some(cut), .. })) = looked else {
        return Ok(());
    };
    let view = store.begin_read()?;
    let Some(until) = sound_behind(&view, tables, &reader, (next, cut.segment))? else {
        return Ok(());
    };
    let short = LogError::Short {
        place: disk.place(&cut.segment.file_name()),
        segment: cut.segment,
        offset: cut.offset,
        what: cut.what,
        next,
        durable_until: until,
    };
    Err(of_log(short).into())
}

/// Where the index ends, if it has a sound record in the segment behind the one that comes next.
/// Cost: two gets, and a get and a read for each block that the index has in the rest of the
/// segment, up to a sound one.
fn sound_behind<R: Reader>(
    view: &R,
    (index, places): (&BlockIndex, TableId),
    reader: &LogReader,
    (next, segment): (seglog::Height, SegmentNumber),
) -> BlockResult<Option<seglog::Height>> {
    let place_of = |height: Height| -> BlockResult<Option<BodyPlace>> {
        let value = view.get(places, &BlockIndex::key(height))?;
        Ok(value
            .map(|value| layout::decode_place(&value))
            .transpose()?)
    };
    // An index that does not tell is not sound, which is found later.
    let Ok(Some(tip)) = or_unsound(index.tip(view))? else {
        return Ok(None);
    };
    let Ok(Some(end)) = or_unsound(place_of(tip.height))? else {
        return Ok(None);
    };
    let behind = end.record.get().checked_sub(next.next().get());
    let from = behind.and_then(|behind| tip.height.get().checked_sub(behind));
    let Some(from) = from else { return Ok(None) };
    let mut buffer = Vec::new();
    for height in from..=tip.height.get() {
        let at = match or_unsound(place_of(Height::new(height)))? {
            Ok(Some(at)) if at.place.segment == segment => at,
            _ => break,
        };
        if reader.read(at.record, &at.place, &mut buffer).is_ok() {
            return Ok(Some(end.record.next()));
        }
    }
    Ok(None)
}

fn no_chain(record: seglog::Height, what: &str) -> BlockError {
    Error::corruption(format!("record {record} of the block log"), what).into()
}
