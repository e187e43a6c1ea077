//! [`LogBlocks`]: blocks whose log is the truth and whose index follows it.
//!
//! Invariants: a block that was appended and synced is in the chain, whatever becomes of the index:
//! record after record of the log is block after block, without trash between them; a block is
//! never taken back or replaced; every row of the index can be made again from the log alone, byte
//! by byte. What a transaction appended and did not commit lies behind the end of the index and
//! goes with the next append; a process that ends before it finds the block in the chain when it
//! opens the log again. Cost: one write and one sync for all blocks of a call, the rows of each,
//! and one row for their tally; of a read by height, one get and one positioned read; by hash, one
//! get more. Source: EOSIO's `block_log`. Format: `docs/format/log-blocks.md`.

mod compare;
mod open;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seglog::{Log, Prefix, Reader as LogReader, Scan};
use storage_api::blocks::{
    BlockError, BlockHash, BlockIndex, BlockInfo, BlockRef, BlockResult, BlockTotals, Height,
    NewBlock, RowSink, TxId,
};
use storage_api::{
    ChecksumSetting, Error, KvStore, Reader, Result, Schema, TableDef, TableId, WriteTxn,
};

pub use compare::Compared;
pub use open::{Followed, IndexCheck, LogBlocksOptions};
pub use walk::WalkBack;

use crate::error::{of_body, of_log};
use crate::layout::{self, BodyPlace, PLACES, Recorded};
use tally::{TALLY, TALLY_KEY, Tables, Tally};

/// Blocks in a log, and an index that follows it; see the head of this file.
pub struct LogBlocks<S> {
    store: Arc<S>,
    index: BlockIndex,
    places: TableId,
    tables: Tables,
    reader: LogReader,
    log: Mutex<Log>,
}

impl<S> fmt::Debug for LogBlocks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBlocks")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

/// A block as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBlock {
    /// Height, hash, parent and sizes.
    pub info: BlockInfo,
    /// Ids of its transactions, in order.
    pub tx_ids: Vec<TxId>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl LogBlock {
    /// The block as one to be stored.
    #[must_use]
    pub fn as_new(&self) -> NewBlock<'_> {
        NewBlock {
            height: self.info.height,
            hash: self.info.hash,
            parent: self.info.parent,
            tx_ids: &self.tx_ids,
            body: &self.body,
        }
    }

    fn of(recorded: Recorded<'_>) -> Self {
        Self {
            info: recorded.info,
            body: recorded.body.to_vec(),
            tx_ids: recorded.tx_ids,
        }
    }
}

/// Where the record of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    /// The number of the record in the log, from 0.
    pub record: seglog::Height,
    /// Its place.
    pub place: seglog::Place,
}

impl<S: KvStore> LogBlocks<S> {
    /// The tables, without checksum envelope.
    #[must_use]
    pub fn tables() -> Vec<TableDef> {
        let mut tables = BlockIndex::TABLES.to_vec();
        tables.extend([PLACES, TALLY]);
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

    /// The store of the index.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// How often the log made a disk sync a file, so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.log().syncs()
    }

    /// Makes everything that was appended durable, which appending did already.
    ///
    /// # Errors
    /// `Store` with `Io`, `Poisoned`.
    pub fn flush(&self) -> BlockResult<()> {
        Ok(self.log().sync().map_err(of_log)?)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Whoever panicked while it held the log left it between two calls of it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a block on the tip; see [`Self::append_all`].
    ///
    /// # Errors
    /// As [`Self::append_all`].
    pub fn append<W: WriteTxn>(&self, txn: &mut W, block: &NewBlock<'_>) -> BlockResult<()> {
        self.append_all(txn, std::slice::from_ref(block))
    }

    /// Appends blocks on the tip, all or none: their records are durable when this returns, their
    /// rows with the caller's commit. After an error the transaction is as it was before, and the
    /// log as well, unless it failed itself.
    ///
    /// Cost: a write for each 256 KiB, one sync, and the rows.
    ///
    /// # Errors
    /// `HeightMismatch` (a gap, or a height that has a block), `ParentMismatch`, `DuplicateHash`,
    /// `Store`.
    pub fn append_all<W: WriteTxn>(&self, txn: &mut W, blocks: &[NewBlock<'_>]) -> BlockResult<()> {
        let savepoint = txn.savepoint()?;
        let appended = self.append_within(txn, blocks);
        match &appended {
            Ok(()) => txn.release(savepoint)?,
            // An engine that failed takes nothing back but the whole transaction; what is told is
            // the first error.
            Err(_) => drop(txn.rollback_to(savepoint)),
        }
        appended
    }

    fn append_within<W: WriteTxn>(&self, txn: &mut W, blocks: &[NewBlock<'_>]) -> BlockResult<()> {
        let mut log = self.log();
        self.drop_uncommitted_from(txn, &mut log)?;
        let before = log.next();
        let appended = self.append_to(&mut log, txn, blocks);
        if appended.is_err() {
            // Whoever opens the log next would find them in the chain. A log that failed takes no
            // cut, and is read anew then.
            drop(log.truncate(before));
        }
        appended
    }

    fn append_to<W: WriteTxn>(
        &self,
        log: &mut Log,
        txn: &mut W,
        blocks: &[NewBlock<'_>],
    ) -> BlockResult<()> {
        if blocks.is_empty() {
            // Of no block there is no tally.
            return Ok(());
        }
        let mut tally = self.tally(txn)?;
        for block in blocks {
            self.index.append(txn, block)?;
            let trailer = layout::encode_trailer(block);
            let record = log.next();
            let appended = log.append_parts(record, (block.body, &trailer));
            let (place, body) = appended.map_err(of_log)?;
            let at = BodyPlace {
                record,
                place,
                body,
            };
            self.put_place(txn, block, &at, &mut tally)?;
        }
        log.sync().map_err(of_log)?;
        self.set_tally(txn, tally)
    }

    /// Puts the row of a block's place, and counts all of its rows.
    fn put_place<W: WriteTxn>(
        &self,
        txn: &mut W,
        block: &NewBlock<'_>,
        at: &BodyPlace,
        tally: &mut Tally,
    ) -> BlockResult<()> {
        let key = BlockIndex::key(block.height);
        txn.put(self.places, &key, &layout::encode_place(at))?;
        let info = BlockInfo {
            height: block.height,
            hash: block.hash,
            parent: block.parent,
            tx_count: u32::try_from(block.tx_ids.len()).unwrap_or(u32::MAX),
            body_bytes: block.body.len() as u64,
        };
        self.rows(&info, block.tx_ids, at, &mut |table, key, value| {
            tally.add(self.tables.tag(table), key, value);
            Ok(())
        })
    }

    /// Every row of a block but that of totals.
    fn rows(
        &self,
        info: &BlockInfo,
        tx_ids: &[TxId],
        at: &BodyPlace,
        sink: &mut RowSink<'_>,
    ) -> BlockResult<()> {
        self.index.rows(info, tx_ids, sink)?;
        let key = BlockIndex::key(info.height);
        Ok(sink(self.places, &key, &layout::encode_place(at))?)
    }

    fn tally<R: Reader>(&self, reader: &R) -> Result<Tally> {
        Ok(self.tables.stored(reader)?.unwrap_or_default())
    }

    /// Puts the row of the tally, with the row of totals as it is now.
    fn set_tally<W: WriteTxn>(&self, txn: &mut W, mut tally: Tally) -> BlockResult<()> {
        tally.state = self.tables.state_sum(txn)?;
        let value = tally::encode_tally(&tally);
        Ok(txn.put(self.tables.tally(), TALLY_KEY, &value)?)
    }

    /// Takes the records away that transactions before this one appended and did not commit. There
    /// is one write transaction at a time, so what it does not see no other will commit.
    ///
    /// # Errors
    /// `Store`; with `Poisoned` whenever the log failed, which may have a record that it did not
    /// count.
    pub fn drop_uncommitted<W: WriteTxn>(&self, txn: &W) -> BlockResult<()> {
        self.drop_uncommitted_from(txn, &mut self.log())
    }

    fn drop_uncommitted_from<W: WriteTxn>(&self, txn: &W, log: &mut Log) -> BlockResult<()> {
        let end = self.end(txn)?;
        let next = end.map_or(log.first(), |(_, at)| at.record.next());
        if next <= log.next() {
            // A log that failed refuses, also where it counts no record to cut.
            log.truncate(next).map_err(of_log)?;
        }
        if next > log.next() {
            let what = format!(
                "the index goes up to record {next}, the log ends before record {}: open it again",
                log.next()
            );
            return Err(Error::corruption("the block log", what).into());
        }
        Ok(())
    }

    /// Whether the log lost every block that it had, as opening found; told once, with the commit
    /// of this transaction. What stands on those blocks stands on nothing.
    ///
    /// # Errors
    /// `Store`.
    pub fn take_lost<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<bool> {
        // Only blocks bring a tally, and opening leaves it where it takes them out.
        let is_lost = self.tip(txn)?.is_none() && self.tables.stored(txn)?.is_some();
        if is_lost {
            txn.delete(self.tables.tally(), TALLY_KEY)?;
        }
        Ok(is_lost)
    }

    /// The newest block and its place.
    fn end<R: Reader>(&self, reader: &R) -> BlockResult<Option<(BlockRef, BodyPlace)>> {
        let Some(tip) = self.index.tip(reader)? else {
            return Ok(None);
        };
        Ok(Some((tip, self.known_place(reader, tip.height)?)))
    }

    fn place_of<R: Reader>(&self, reader: &R, height: Height) -> Result<Option<BodyPlace>> {
        let value = reader.get(self.places, &BlockIndex::key(height))?;
        value.map(|value| layout::decode_place(&value)).transpose()
    }

    /// The place of a block that the index has.
    fn known_place<R: Reader>(&self, reader: &R, height: Height) -> Result<BodyPlace> {
        let missing = || {
            let what = format!("no place for the block at height {height}");
            Error::corruption(format!("table {}", PLACES.name()), what)
        };
        self.place_of(reader, height)?.ok_or_else(missing)
    }

    /// The newest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tip(reader)
    }

    /// The oldest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.index.tail(reader)
    }

    /// How much is stored. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    pub fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        self.index.totals(reader)
    }

    /// The index, for the queries by transaction that are its own.
    #[must_use]
    pub fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// Where the record of the block at a height is.
    ///
    /// # Errors
    /// `Store`.
    pub fn record_place<R: Reader>(
        &self,
        reader: &R,
        height: Height,
    ) -> BlockResult<Option<RecordPlace>> {
        let at = self.place_of(reader, height)?;
        Ok(at.map(|at| RecordPlace {
            record: at.record,
            place: at.place,
        }))
    }

    /// The block at a height, every byte of it compared with its checksum, and its height with the
    /// one asked for.
    ///
    /// # Errors
    /// `Store`, with `Corruption` that names segment and offset where the log is damaged;
    /// `BodyAbsent`.
    pub fn block<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<LogBlock>> {
        match self.place_of(reader, height)? {
            Some(at) => self.block_at(height, &at, &mut Vec::new()).map(Some),
            None => Ok(None),
        }
    }

    /// The block of a hash.
    ///
    /// # Errors
    /// As [`Self::block`].
    pub fn block_of_hash<R: Reader>(
        &self,
        reader: &R,
        hash: &BlockHash,
    ) -> BlockResult<Option<LogBlock>> {
        let Some(height) = self.index.height_of(reader, hash)? else {
            return Ok(None);
        };
        let at = self.known_place(reader, height)?;
        let block = self.block_at(height, &at, &mut Vec::new())?;
        if block.info.hash != *hash {
            let what = format!("{hash} is said to be block {height}, which the log has otherwise");
            return Err(Error::corruption("table blocks.hashes", what).into());
        }
        Ok(Some(block))
    }

    fn block_at(
        &self,
        height: Height,
        at: &BodyPlace,
        buffer: &mut Vec<u8>,
    ) -> BlockResult<LogBlock> {
        let read = self.reader.read(at.record, &at.place, buffer);
        let recorded = layout::decode_record(read.map_err(|error| of_body(height, error))?)?;
        if recorded.info.height != height {
            let what = format!(
                "block {height} is said to be where the log has block {}",
                recorded.info.height
            );
            return Err(Error::corruption(format!("table {}", PLACES.name()), what).into());
        }
        Ok(LogBlock::of(recorded))
    }

    /// Decodes the records from the first one up to and without `until`.
    fn for_each_record(&self, until: seglog::Height, take: &mut TakeRecord<'_>) -> BlockResult<()> {
        let mut scan = self.scan_from(None, until)?;
        while let Some((at, recorded)) = next_record(&mut scan)? {
            take(&at, &recorded)?;
        }
        Ok(())
    }

    /// Records in a row from this one, or from the first one, up to and without `until`.
    fn scan_from(&self, from: Option<&BodyPlace>, until: seglog::Height) -> BlockResult<Scan> {
        let scan = match from {
            Some(at) => self.reader.scan(at.record, &at.place, until),
            None => {
                let segments = self.reader.segments();
                let first = segments
                    .first()
                    .map_or_else(Default::default, |(first, _)| *first);
                self.reader.scan_segment(first, until)
            }
        };
        Ok(scan.map_err(of_log)?)
    }
}

/// The block of the next record, and its place.
fn next_record(scan: &mut Scan) -> BlockResult<Option<(BodyPlace, Recorded<'_>)>> {
    let Some((record, place, payload)) = scan.read_next().map_err(of_log)? else {
        return Ok(None);
    };
    let recorded = layout::decode_record(payload)?;
    let body = Prefix {
        bytes: u32::try_from(recorded.body.len()).unwrap_or(u32::MAX),
        checksum: seglog::checksum(recorded.body),
    };
    let at = BodyPlace {
        record,
        place,
        body,
    };
    Ok(Some((at, recorded)))
}

/// What takes the records of a log, each with its place.
type TakeRecord<'t> = dyn FnMut(&BodyPlace, &Recorded<'_>) -> BlockResult<()> + 't;

/// What an unsound index says; other errors are errors.
fn or_unsound<T>(result: BlockResult<T>) -> BlockResult<std::result::Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(BlockError::Store(error)) if error.is_corruption() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
