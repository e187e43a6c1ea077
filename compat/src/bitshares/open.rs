//! Opening a block database.
//!
//! Invariants: the rows, which the store committed, say how far the log goes; what lies beyond is
//! of no commit and goes. A log that ends before is damage: it is told and nothing is changed,
//! unless scanning back was asked for, as upstream does without being asked.

use std::sync::{Arc, Mutex};

use blocks::{SegmentOptions, of_log};
use seglog::disk::Disk;
use seglog::{Log, LogOptions, Reader as LogReader};
use storage_api::blocks::{BlockHash, Height};
use storage_api::{Cursor, Durability, Error, KeyRange, KvStore, Reader, Result, WriteTxn, Writer};

use super::layout::{self, BLOCKS, END_KEY, LOG};
use super::{BlockDatabase, DatabaseResult};

/// What finds the number of a block in its id.
pub type NumberOfId = fn(&BlockHash) -> Result<Height>;

/// BitShares' numbers: the first four bytes of the id, the most significant first.
///
/// # Errors
/// `InvalidArgument` for an id of fewer bytes, or of zeros alone: upstream's id of nothing.
pub fn num_from_id(id: &BlockHash) -> Result<Height> {
    match id.as_bytes().first_chunk::<4>() {
        Some(number) if id.as_bytes().iter().any(|byte| *byte != 0) => {
            Ok(Height::new(u64::from(u32::from_be_bytes(*number))))
        }
        _ => Err(Error::invalid(format!("the id {id} has no block number"))),
    }
}

/// What to do with a log that ends before its rows do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfShort {
    /// Refuse, and change nothing.
    #[default]
    Refuse,
    /// Take away the rows whose records are lost: the last block that is whole becomes the last.
    /// The log ends at the first record that is damaged; what lies behind it is lost with it, whole
    /// or not, where one sync made all of it durable.
    ScanBack,
}

/// How a block database is opened.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseOptions {
    /// The segments.
    pub segments: SegmentOptions,
    /// A log that ends before its rows do.
    pub if_short: IfShort,
    /// Numbers of ids.
    pub number_of: NumberOfId,
}

impl Default for DatabaseOptions {
    /// Refusing, with [`num_from_id`].
    fn default() -> Self {
        Self {
            segments: SegmentOptions::default(),
            if_short: IfShort::default(),
            number_of: num_from_id,
        }
    }
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenedDatabase {
    /// What the log itself found.
    pub log: seglog::Recovered,
    /// Records of no commit that were removed.
    pub uncommitted_records: u64,
    /// Rows whose records are lost that were taken away.
    pub lost_rows: u64,
}

impl<S: KvStore> BlockDatabase<S> {
    /// Opens the log in a folder beside a store that was opened with [`Self::schema`]. The folder
    /// is the caller's, who makes sure that nobody else writes to it: it lies in the store's
    /// directory, under its lock. Cost: two reads of the log's last segment; a read of all rows
    /// where it is short and scanning back was asked for.
    ///
    /// # Errors
    /// `Store` with `Corruption` (damage, or a log that ends before its rows do), `UnknownTable`,
    /// `FormatTooNew`, `DiskFull`, `Io`.
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &DatabaseOptions,
    ) -> DatabaseResult<(Self, OpenedDatabase)> {
        let blocks = store.catalogue().id(BLOCKS.name())?;
        let ends = store.catalogue().id(LOG.name())?;
        let segments = &options.segments;
        let log_options = LogOptions {
            chain: segments.chain,
            segment_bytes_max: segments.segment_bytes_max,
            advance_bytes: segments.advance_bytes,
            ..LogOptions::default()
        };
        let end = {
            let view = store.begin_read()?;
            let value = view.get(ends, END_KEY)?;
            value.map(|value| layout::decode_end(&value)).transpose()?
        };
        if let Some(end) = end.filter(|_| options.if_short == IfShort::Refuse) {
            // Opening to write cuts off a record that is not whole; here that would be a loss.
            let looked = LogReader::open(Arc::clone(&disk), segments.chain);
            let (_, next, _) = looked.map_err(of_log)?;
            check_reach(end, next.unwrap_or_default())?;
        }
        let (mut log, recovered) = Log::open(disk, log_options).map_err(of_log)?;
        let mut opened = OpenedDatabase {
            log: recovered,
            ..OpenedDatabase::default()
        };
        // Without that row nothing says what the records are: they may be all that is left of a
        // store that was lost, so they stay.
        let end = end.unwrap_or(log.next());
        if end < log.next() {
            opened.uncommitted_records = log.next().get() - end.get();
            log.truncate(end.max(log.first())).map_err(of_log)?;
        }
        if end > log.next() {
            opened.lost_rows = drop_lost(&*store, (blocks, ends), log.next())?;
            tracing::warn!(
                rows = opened.lost_rows,
                "the log of a block database ended before its rows, which were taken away"
            );
        }
        let database = Self {
            store,
            blocks,
            ends,
            reader: log.reader(),
            log: Mutex::new(log),
            number_of: options.number_of,
        };
        Ok((database, opened))
    }
}

/// The log goes as far as the rows.
fn check_reach(end: seglog::Height, next: seglog::Height) -> Result<()> {
    if end <= next {
        return Ok(());
    }
    let what = format!(
        "the rows go up to record {end}, the log ends before record {next}: restore the segments, \
         or open with scanning back"
    );
    Err(Error::corruption("the block database", what))
}

/// Takes the rows away whose records are at `next` or beyond, and makes it the end.
fn drop_lost<S: KvStore>(
    store: &S,
    (blocks, ends): (storage_api::TableId, storage_api::TableId),
    next: seglog::Height,
) -> Result<u64> {
    let mut lost = Vec::new();
    let mut txn = store.begin_write()?;
    {
        let mut rows = txn.cursor(blocks, KeyRange::all())?;
        while let Some(row) = rows.next()? {
            let at = layout::decode_entry(row.value)?.at;
            if at.is_some_and(|at| at.record >= next) {
                lost.push(row.key.to_vec());
            }
        }
    }
    for key in &lost {
        txn.delete(blocks, key)?;
    }
    txn.put(ends, END_KEY, &layout::encode_end(next))?;
    txn.commit(Durability::Durable)?;
    Ok(lost.len() as u64)
}
