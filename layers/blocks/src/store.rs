//! [`SegmentBlocks`]: staging, appending, reading and cutting.
//!
//! Invariants: a staged block is the next record of the log, whatever becomes of it; what is never
//! appended is trash, which the next opening removes if it lies at the end and a pruning otherwise;
//! a file is cut only after the commit that made its records unreachable is durable, once no view
//! from before that commit is open, and at the tip not if something was staged since; file work
//! that comes late, or again, cuts nothing of what came since, and none takes a record that the
//! committed index names; the record of a block lies behind that of its parent, and no cut that
//! waits takes it. Cost: one write and one sync for all that was staged since the last one, a write
//! more for each 256 KiB, and the rows of each block; of a read by height, one get and one
//! positioned read; of a cut, a sync of the store.

use std::cell::Cell;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use seglog::{HEADER_BYTES, Log, Reader as LogReader};
use storage_api::blocks::{
    AutoCommit, BlockHash, BlockIndex, BlockInfo, BlockQuery, BlockRef, BlockResult, BlockStore,
    BlockTotals, Height, NewBlock, TxId, TxPlace,
};
use storage_api::{
    Catalogue, ChecksumSetting, Error, ErrorKind, KvStore, Reader, Result, Schema, TableDef,
    TableId, WriteTxn,
};

use crate::error::{of_body, of_log};
use crate::layout::{self, BodyPlace, PLACES};

/// A buffer that is longer is given back after a read.
const KEPT_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// What bodies that are lent are read into: making one anew costs more than a small read.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A moment in the life of a log, of which no two are the same, also of two logs: what was staged
/// or cut before it is told from what came behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        static MOMENTS: AtomicU64 = AtomicU64::new(0);
        // They are only told apart, so no order with anything else is needed.
        Self(MOMENTS.fetch_add(1, Ordering::Relaxed))
    }
}

/// The log of a store that may write; readers have none.
pub(crate) struct Writing {
    pub(crate) log: Log,
    /// Records below this one are durable.
    pub(crate) synced: seglog::Height,
    /// No row names a record from here on, committed or not.
    pub(crate) appended: seglog::Height,
    /// No cut at the tip that waits, or will come of what was truncated, takes a record from here
    /// on.
    pub(crate) cut_end: seglog::Height,
    /// The last cut at the tip, or the opening: what was staged before it may be gone.
    pub(crate) cut: Moment,
    /// When the last record was staged, or the index was made again: no cut at the tip from before
    /// takes anything.
    pub(crate) staged: Moment,
    /// When the log was cut down to its first record, or the index was made again: no cut at the
    /// tail from before takes anything.
    pub(crate) emptied: Moment,
    /// Cuts that wait for views to end, and since when.
    pub(crate) waiting: Vec<(Cleanup, Instant)>,
}

/// Blocks with their bodies in segment files; see the head of this file.
pub struct SegmentBlocks<S> {
    pub(crate) store: Arc<S>,
    pub(crate) index: BlockIndex,
    pub(crate) places: TableId,
    pub(crate) reader: LogReader,
    /// None when opened to be read.
    pub(crate) writing: Option<Mutex<Writing>>,
}

impl<S> fmt::Debug for SegmentBlocks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentBlocks")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

/// A block whose body is in the log.
#[derive(Clone, Copy, Debug)]
pub struct Staged<'b> {
    block: NewBlock<'b>,
    at: BodyPlace,
    /// The cut at the tip before it.
    cut: Moment,
}

/// Blocks in segment files beside a store, committing by itself.
pub type SegmentBlockStore<S> = AutoCommit<S, SegmentBlocks<S>>;

/// File work that remains after a commit.
#[derive(Clone, Copy, Debug)]
pub struct Cleanup(Cut);

#[derive(Clone, Copy, Debug)]
enum Cut {
    Nothing,
    /// Records from the first to before the second are unreachable, or all before the second, if
    /// nothing was staged after this.
    Tip(Option<seglog::Height>, seglog::Height, Moment),
    /// Records below this one are, if the log was not emptied after this.
    Tail(seglog::Height, Moment),
}

/// A block of the index has no row of its place.
pub(crate) fn no_place(height: Height) -> Error {
    let what = format!("no place for the body at height {height}");
    Error::corruption(format!("table {}", PLACES.name()), what)
}

impl<S: KvStore> SegmentBlocks<S> {
    /// The tables, without checksum envelope.
    #[must_use]
    pub fn tables() -> Vec<TableDef> {
        let mut tables = BlockIndex::TABLES.to_vec();
        tables.push(PLACES);
        tables
    }

    /// The tables as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let tables = Self::tables().into_iter();
        let tables: Vec<TableDef> = tables.map(|table| table.with_checksum(checksum)).collect();
        Schema::new(&tables)
    }

    pub(crate) fn resolve(catalogue: &Catalogue) -> Result<(BlockIndex, TableId)> {
        Ok((
            BlockIndex::resolve(catalogue)?,
            catalogue.id(PLACES.name())?,
        ))
    }

    /// How often the log made a disk sync a file, so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.writing().map_or(0, |writing| writing.log.syncs())
    }

    /// What packs segments of the log.
    pub(crate) fn packer(&self) -> Result<seglog::Packer> {
        Ok(self.writing()?.log.packer())
    }

    /// Makes everything that was staged durable, and gives the number of the next record. What
    /// waited to be cut stays until the next opening: an index that is made again may have it.
    pub(crate) fn sync_staged(&self) -> Result<seglog::Height> {
        let mut writing = self.writing()?;
        writing.log.sync().map_err(of_log)?;
        writing.synced = writing.log.next();
        // Rows that are made from the records may name any of them.
        writing.appended = writing.synced;
        writing.waiting.clear();
        (writing.staged, writing.emptied) = (Moment::now(), Moment::now());
        Ok(writing.synced)
    }

    fn writing(&self) -> Result<MutexGuard<'_, Writing>> {
        let writing = self.writing.as_ref();
        let writing = writing.ok_or_else(|| Error::new(ErrorKind::ReadOnly))?;
        // Whoever panicked while it held the log left it between two calls of it.
        Ok(writing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the record of a staged block is none that the next row may name: it was cut, a cut
    /// that waits takes it, or it does not lie behind that of the tip, which says where the log
    /// ends. Cost: none for a block that was staged after every other that was appended.
    fn is_out_of_order<R: Reader>(&self, reader: &R, staged: &Staged<'_>) -> BlockResult<bool> {
        let record = staged.at.record;
        {
            let writing = self.writing()?;
            if staged.cut != writing.cut || record < writing.cut_end {
                return Ok(true);
            }
            if record >= writing.appended {
                return Ok(false);
            }
        }
        Ok(self.end(reader)?.is_some_and(|end| record < end))
    }

    /// Puts the row that says where the body of a block is, and makes its record durable.
    fn put_place<W: WriteTxn>(
        &self,
        txn: &mut W,
        staged: Staged<'_>,
        is_out_of_order: bool,
    ) -> BlockResult<()> {
        let Staged { block, at, .. } = if is_out_of_order {
            self.stage(staged.block)?
        } else {
            staged
        };
        let key = BlockIndex::key(block.height);
        txn.put(self.places, &key, &layout::encode_place(&at))?;
        Ok(self.make_durable(&at)?)
    }

    /// Takes the rows of the block at the tip out of a transaction that appended it.
    fn take_back<W: WriteTxn>(&self, txn: &mut W, height: Height) -> BlockResult<()> {
        let tail = self.index.tail(txn)?;
        let is_only = tail.is_none_or(|tail| tail.height == height);
        let below = height.prev().filter(|_| !is_only);
        let rows = self.index.truncate(txn, below)?;
        Ok(txn.delete_range(self.places, &rows)?)
    }

    /// Makes everything that was staged up to this record durable.
    fn make_durable(&self, at: &BodyPlace) -> Result<()> {
        let mut writing = self.writing()?;
        writing.appended = writing.appended.max(at.record.next());
        if at.record >= writing.synced {
            writing.log.sync().map_err(of_log)?;
            writing.synced = writing.log.next();
        }
        Ok(())
    }

    pub(crate) fn place<R: Reader>(&self, reader: &R, height: Height) -> Result<Option<BodyPlace>> {
        let value = reader.get(self.places, &BlockIndex::key(height))?;
        value.map(|value| layout::decode_place(&value)).transpose()
    }

    /// The place of a block that the index has.
    pub(crate) fn known_place<R: Reader>(&self, reader: &R, height: Height) -> Result<BodyPlace> {
        self.place(reader, height)?.ok_or_else(|| no_place(height))
    }

    /// The record behind that of the newest block.
    fn end<R: Reader>(&self, reader: &R) -> BlockResult<Option<seglog::Height>> {
        let Some(tip) = self.index.tip(reader)? else {
            return Ok(None);
        };
        Ok(Some(self.known_place(reader, tip.height)?.record.next()))
    }

    /// Whether there is anything to cut: most prunings take no segment away.
    fn cuts_something(&self, Cleanup(cut): Cleanup) -> bool {
        match cut {
            Cut::Nothing => false,
            Cut::Tip(..) => true,
            Cut::Tail(record, _) => {
                let segments = self.reader.segments();
                segments.get(1).is_some_and(|(_, first)| *first <= record)
            }
        }
    }

    /// Whether the committed index names a record that this would cut: the truncation or the
    /// pruning that it comes of was not committed, or blocks were appended in its place.
    fn is_named(&self, Cleanup(cut): Cleanup) -> BlockResult<bool> {
        let view = self.store.begin_read()?;
        Ok(match cut {
            Cut::Nothing => false,
            Cut::Tip(from, ..) => self.end(&view)?.is_some_and(|end| Some(end) > from),
            Cut::Tail(record, _) => match self.index.tail(&view)? {
                Some(tail) => self.known_place(&view, tail.height)?.record < record,
                None => false,
            },
        })
    }

    /// Does the cuts that no open view can miss.
    fn cut_what_may_go(&self, writing: &mut Writing) -> BlockResult<()> {
        // Before the ages of views are known, or one that began shortly before a cut could seem to
        // have begun after it.
        let now = Instant::now();
        let oldest = self.store.stats()?.oldest_reader;
        let Writing {
            log,
            synced,
            appended,
            cut_end,
            cut: last_cut,
            staged,
            emptied,
            waiting,
        } = writing;
        while let Some((Cleanup(cut), since)) = waiting.first().copied() {
            let elapsed = now.saturating_duration_since(since);
            if oldest.is_some_and(|oldest| oldest.age >= elapsed) {
                return Ok(());
            }
            let next = log.next();
            let done = match cut {
                Cut::Nothing => Ok(()),
                // Other records have these numbers since, which may be committed.
                Cut::Tail(_, before) if before != *emptied => Ok(()),
                Cut::Tail(record, _) => log.prune(record.max(log.first()).min(log.next())),
                // Something was staged since, which may be committed: what lies before it stays.
                Cut::Tip(_, end, before) if before != *staged || log.next() != end => Ok(()),
                Cut::Tip(from, ..) => log.truncate(from.unwrap_or_default().max(log.first())),
            };
            done.map_err(of_log)?;
            if log.next() < next {
                *last_cut = Moment::now();
                if matches!(cut, Cut::Tip(None, ..)) {
                    *emptied = Moment::now();
                }
                for mark in [&mut *synced, &mut *appended, &mut *cut_end] {
                    *mark = (*mark).min(log.next());
                }
            }
            waiting.remove(0);
        }
        Ok(())
    }
}

impl<S: KvStore> BlockStore for SegmentBlocks<S> {
    type Staged<'b> = Staged<'b>;
    type Cleanup = Cleanup;

    fn stage<'b>(&self, block: NewBlock<'b>) -> BlockResult<Staged<'b>> {
        let trailer = layout::encode_trailer(&block);
        let mut writing = self.writing()?;
        let record = writing.log.next();
        let appended = writing.log.append_parts(record, (block.body, &trailer));
        let (place, body) = appended.map_err(of_log)?;
        let at = BodyPlace {
            record,
            place,
            body,
        };
        writing.staged = Moment::now();
        let cut = writing.cut;
        Ok(Staged { block, at, cut })
    }

    fn append<W: WriteTxn>(&self, txn: &mut W, staged: Staged<'_>) -> BlockResult<BlockRef> {
        let is_out_of_order = self.is_out_of_order(txn, &staged)?;
        let appended = self.index.append(txn, &staged.block)?;
        let put = self.put_place(txn, staged, is_out_of_order);
        if put.is_err() {
            // Whoever commits what was in the transaction before commits no block without a body.
            // What is told is the first error; where the store failed, it takes no commit.
            drop(self.take_back(txn, appended.height));
        }
        put.map(|()| appended)
    }

    fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tip(reader)
    }

    fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tail(reader)
    }

    fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        self.index.totals(reader)
    }

    fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>> {
        self.index.info(reader, height)
    }

    fn height_of<R: Reader>(&self, reader: &R, hash: &BlockHash) -> BlockResult<Option<Height>> {
        self.index.height_of(reader, hash)
    }

    fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>> {
        self.index.tx_ids(reader, height)
    }

    fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        self.index.tx_places(reader, tx_id)
    }

    fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        self.index.tx_place(reader, tx_id)
    }

    fn with_body<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        sink: &mut dyn FnMut(&[u8]),
    ) -> BlockResult<bool> {
        // Whoever reads in the sink finds the cell empty, and takes a buffer of its own.
        let mut buffer = BUFFER.take();
        let found = self.read_body(reader, height, &mut buffer);
        let found = found.map(|body| body.map(sink).is_some());
        if buffer.capacity() <= KEPT_BYTES_MAX {
            BUFFER.set(buffer);
        }
        found
    }

    fn body<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<Vec<u8>>> {
        let mut buffer = Vec::new();
        if self.read_body(reader, height, &mut buffer)?.is_none() {
            return Ok(None);
        }
        // What lies before the body is the record's header.
        buffer.drain(..HEADER_BYTES as usize);
        Ok(Some(buffer))
    }

    fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>> {
        self.visit_range(reader, query, visit)
    }

    fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>) -> BlockResult<Cleanup> {
        let end = self.end(txn)?;
        let rows = self.index.truncate(txn, tip)?;
        txn.delete_range(self.places, &rows)?;
        let from = self.end(txn)?;
        let (Some(end), true) = (end, self.writing.is_some()) else {
            return Ok(Cleanup(Cut::Nothing));
        };
        let mut writing = self.writing()?;
        writing.cut_end = writing.cut_end.max(end);
        Ok(Cleanup(Cut::Tip(from, end, writing.staged)))
    }

    fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<Cleanup> {
        let rows = self.index.prune(txn, tail)?;
        txn.delete_range(self.places, &rows)?;
        let record = self.known_place(txn, tail)?.record;
        if self.writing.is_none() {
            return Ok(Cleanup(Cut::Nothing));
        }
        Ok(Cleanup(Cut::Tail(record, self.writing()?.emptied)))
    }

    fn finish(&self, cleanup: Cleanup) -> BlockResult<()> {
        if self.cuts_something(cleanup) {
            if self.is_named(cleanup)? {
                return Ok(());
            }
            // What a crash may take back of the index must find its records. Whoever writes may
            // wait for the log, so this comes before it is held.
            self.store.sync()?;
        }
        let mut writing = self.writing()?;
        writing.waiting.push((cleanup, Instant::now()));
        self.cut_what_may_go(&mut writing)
    }
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Lends the body of the block at a height, if there is one, from `buffer`, which keeps its
    /// memory from call to call. Cost: one get and one positioned read.
    ///
    /// # Errors
    /// `Store`, `BodyAbsent`.
    pub fn read_body<'b, R: Reader>(
        &self,
        reader: &R,
        height: Height,
        buffer: &'b mut Vec<u8>,
    ) -> BlockResult<Option<&'b [u8]>> {
        let Some(at) = self.place(reader, height)? else {
            return Ok(None);
        };
        self.read_at(height, &at, buffer).map(Some)
    }

    /// Where the record of the block at a height lies, which begins with its body. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    pub fn record_place<R: Reader>(
        &self,
        reader: &R,
        height: Height,
    ) -> BlockResult<Option<seglog::Place>> {
        Ok(self.place(reader, height)?.map(|at| at.place))
    }

    pub(crate) fn read_at<'b>(
        &self,
        height: Height,
        at: &BodyPlace,
        buffer: &'b mut Vec<u8>,
    ) -> BlockResult<&'b [u8]> {
        let read = self
            .reader
            .read_prefix(at.record, &at.place, at.body, buffer);
        read.map_err(|error| of_body(height, error))
    }
}
