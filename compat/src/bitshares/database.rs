//! [`BlockDatabase`]: storing, removing and fetching, in the caller's transaction.
//!
//! Invariants: a number has one block or none; what is stored at it replaces what was; a record is
//! durable before its row is committed, and the commit is the only commit point. A block that was
//! removed or replaced stays in the log as trash, as upstream leaves it: nothing here reclaims it,
//! but what was never committed goes at the next opening where it ends the log. Cost of a block:
//! one write, one sync for all blocks of a call, two rows; of a fetch, one get and one positioned
//! read. Source: BitShares' `block_database.cpp`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blocks::of_log;
use seglog::{Finding, Log, Reader as LogReader};
use storage_api::blocks::{BlockHash, Height};
use storage_api::{
    ChecksumSetting, Cursor, Error, ErrorKind, KeyRange, KvStore, Reader, Result, Schema, TableDef,
    TableId, WriteTxn,
};

use super::layout::{self, At, BLOCKS, END_KEY, Entry, LOG};
use super::{DatabaseError, DatabaseResult, NumberOfId};

/// Blocks by number and id; see the head of this file.
pub struct BlockDatabase<S> {
    pub(super) store: Arc<S>,
    pub(super) blocks: TableId,
    pub(super) ends: TableId,
    pub(super) reader: LogReader,
    pub(super) log: Mutex<Log>,
    pub(super) number_of: NumberOfId,
}

impl<S> fmt::Debug for BlockDatabase<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDatabase")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

/// Key and value of an entry.
type Row = ([u8; 8], Vec<u8>);

/// A block as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its number.
    pub number: Height,
    /// Its id.
    pub id: BlockHash,
    /// Its bytes, one at least.
    pub block: Vec<u8>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseCheck {
    /// Blocks that are there, whole, and what their rows say.
    pub sound_blocks: u64,
    /// Numbers whose block was removed.
    pub removed_blocks: u64,
    /// Records that no row points to: replaced, removed or never committed.
    pub trash_records: u64,
    /// What is wrong in the files of the log.
    pub segments: Vec<Finding>,
    /// Blocks whose record is not what the row says, and why.
    pub blocks: Vec<(Height, String)>,
}

/// What scanning back from the end took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// Rows of removed blocks.
    pub removed_rows: u64,
    /// Rows of blocks whose record is damaged or absent.
    pub lost_rows: u64,
}

impl<S: KvStore> BlockDatabase<S> {
    /// The tables, without checksum envelope.
    pub const TABLES: [TableDef; 2] = [BLOCKS, LOG];

    /// The tables as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let tables = Self::TABLES.map(|table| table.with_checksum(checksum));
        Schema::new(&tables)
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Whoever panicked while it held the log left it between two calls of it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a block at the number that its id says, in the place of what is there.
    ///
    /// # Errors
    /// As [`Self::store_all`].
    pub fn store_block<W: WriteTxn>(
        &self,
        txn: &mut W,
        id: &BlockHash,
        block: &[u8],
    ) -> DatabaseResult<()> {
        self.store_all(txn, &[(*id, block)])
    }

    /// Stores blocks with one sync. Of two at one number the last one stays.
    ///
    /// # Errors
    /// `Store` with `InvalidArgument` for a block without bytes, or an id without number; with
    /// `DiskFull`, `Io`, `Poisoned`. The transaction is as it was before unless its engine failed,
    /// and the log as well, unless it failed itself.
    pub fn store_all<W: WriteTxn>(
        &self,
        txn: &mut W,
        blocks: &[(BlockHash, &[u8])],
    ) -> DatabaseResult<()> {
        let mut log = self.log();
        let before = log.next();
        let rows = match self.append_to(&mut log, blocks) {
            Ok(rows) => rows,
            Err(error) => {
                // What was refused, or found no space, would be written with the next block, and
                // each try would gather more. A log that failed takes no cut.
                drop(log.truncate(before));
                return Err(error.into());
            }
        };
        for (key, value) in rows {
            txn.put(self.blocks, &key, &value)?;
        }
        txn.put(self.ends, END_KEY, &layout::encode_end(log.next()))?;
        Ok(())
    }

    /// Appends blocks, durably, and gives their rows.
    fn append_to(&self, log: &mut Log, blocks: &[(BlockHash, &[u8])]) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(blocks.len());
        for (id, block) in blocks {
            let number = (self.number_of)(id)?;
            let too_long = |_| Error::invalid(format!("a block of {} bytes", block.len()));
            let block_bytes = u32::try_from(block.len()).map_err(too_long)?;
            if block_bytes == 0 {
                let what = "a block without bytes: size 0 stands for a removed one";
                return Err(Error::invalid(what));
            }
            let record = log.next();
            let trailer = layout::encode_trailer(number, id);
            let appended = log.append_parts(record, (block, &trailer));
            let (place, _) = appended.map_err(of_log)?;
            let entry = Entry {
                id: *id,
                block_bytes,
                at: Some(At { record, place }),
            };
            rows.push((layout::number_key(number), layout::encode_entry(&entry)));
        }
        log.sync().map_err(of_log)?;
        Ok(rows)
    }

    pub(super) fn entry<R: Reader>(&self, reader: &R, number: Height) -> Result<Option<Entry>> {
        let value = reader.get(self.blocks, &layout::number_key(number))?;
        value.map(|value| layout::decode_entry(&value)).transpose()
    }

    /// The entry of an id that is not removed, and its number.
    fn entry_of<R: Reader>(
        &self,
        reader: &R,
        id: &BlockHash,
    ) -> DatabaseResult<Option<(Height, At)>> {
        let number = (self.number_of)(id)?;
        let entry = self.entry(reader, number)?;
        let entry = entry.filter(|entry| entry.id == *id);
        Ok(entry.and_then(|entry| Some((number, entry.at?))))
    }

    fn highest<R: Reader>(&self, reader: &R) -> Result<Option<Height>> {
        let mut rows = reader.cursor(self.blocks, KeyRange::all())?;
        let row = rows.last()?;
        row.map(|row| layout::number_of_key(row.key)).transpose()
    }

    /// Removes a block: it is not fetched any more, and its number keeps its id, as upstream's
    /// entry of size 0. Whether it was there: nothing happens when its number has another block or
    /// none.
    ///
    /// # Errors
    /// `NotContained` above the highest number, `Store`.
    pub fn remove<W: WriteTxn>(&self, txn: &mut W, id: &BlockHash) -> DatabaseResult<bool> {
        let number = (self.number_of)(id)?;
        let Some(entry) = self.entry(txn, number)? else {
            if self.highest(txn)?.is_none_or(|highest| highest < number) {
                return Err(DatabaseError::NotContained { number });
            }
            return Ok(false);
        };
        if entry.id != *id || entry.at.is_none() {
            return Ok(false);
        }
        let removed = Entry {
            id: *id,
            block_bytes: 0,
            at: None,
        };
        let key = layout::number_key(number);
        txn.put(self.blocks, &key, &layout::encode_entry(&removed))?;
        Ok(true)
    }

    /// Whether the block of an id is there. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    pub fn contains<R: Reader>(&self, reader: &R, id: &BlockHash) -> DatabaseResult<bool> {
        Ok(self.entry_of(reader, id)?.is_some())
    }

    /// The id at a number, also when its block was removed. Cost: one get.
    ///
    /// # Errors
    /// `NotContained`, `Store`.
    pub fn fetch_block_id<R: Reader>(
        &self,
        reader: &R,
        number: Height,
    ) -> DatabaseResult<BlockHash> {
        match self.entry(reader, number)? {
            Some(entry) => Ok(entry.id),
            None => Err(DatabaseError::NotContained { number }),
        }
    }

    /// The block of an id; none when its number has another block, none, or a removed one.
    ///
    /// # Errors
    /// `Store` with `Corruption` where upstream finds nothing: damage is told.
    pub fn fetch_optional<R: Reader>(
        &self,
        reader: &R,
        id: &BlockHash,
    ) -> DatabaseResult<Option<StoredBlock>> {
        match self.entry_of(reader, id)? {
            Some((number, at)) => Ok(Some(self.read(number, id, &at)?)),
            None => Ok(None),
        }
    }

    /// The block at a number; none when there is none or a removed one.
    ///
    /// # Errors
    /// As [`Self::fetch_optional`].
    pub fn fetch_by_number<R: Reader>(
        &self,
        reader: &R,
        number: Height,
    ) -> DatabaseResult<Option<StoredBlock>> {
        match self.entry(reader, number)? {
            Some(Entry {
                id, at: Some(at), ..
            }) => Ok(Some(self.read(number, &id, &at)?)),
            _ => Ok(None),
        }
    }

    pub(super) fn read(&self, number: Height, id: &BlockHash, at: &At) -> Result<StoredBlock> {
        let mut buffer = Vec::new();
        let read = self.reader.read(at.record, &at.place, &mut buffer);
        let (found, found_id, block) = layout::decode_record(read.map_err(of_log)?)?;
        if found != number || found_id != *id {
            let what = format!("block {number} {id} is said to be where block {found} is");
            return Err(Error::corruption(format!("table {}", BLOCKS.name()), what));
        }
        Ok(StoredBlock {
            number,
            id: found_id,
            block: block.to_vec(),
        })
    }

    /// The entry of the highest number whose block was not removed.
    fn last_entry<R: Reader>(&self, reader: &R) -> DatabaseResult<Option<(Height, BlockHash, At)>> {
        let mut rows = reader.cursor(self.blocks, KeyRange::all())?;
        let mut row = rows.last()?;
        while let Some(entry) = row {
            let Entry { id, at, .. } = layout::decode_entry(entry.value)?;
            if let Some(at) = at {
                return Ok(Some((layout::number_of_key(entry.key)?, id, at)));
            }
            row = rows.prev()?;
        }
        Ok(None)
    }

    /// The block of the highest number; removed ones are passed over. Cost: a row for each that is
    /// passed over, and one positioned read.
    ///
    /// # Errors
    /// `Store` with `Corruption` when that block is damaged: upstream takes it away and goes on,
    /// which [`Self::truncate_to_last_valid`] does on purpose.
    pub fn last<R: Reader>(&self, reader: &R) -> DatabaseResult<Option<StoredBlock>> {
        match self.last_entry(reader)? {
            Some((number, id, at)) => Ok(Some(self.read(number, &id, &at)?)),
            None => Ok(None),
        }
    }

    /// The id of the block of the highest number.
    ///
    /// # Errors
    /// As [`Self::last`].
    pub fn last_id<R: Reader>(&self, reader: &R) -> DatabaseResult<Option<BlockHash>> {
        Ok(self.last(reader)?.map(|block| block.id))
    }

    /// Scans back from the highest number, as upstream does when it looks for the last block, and
    /// takes away the rows of removed, damaged and absent blocks until one is whole.
    ///
    /// # Errors
    /// `Store`.
    pub fn truncate_to_last_valid<W: WriteTxn>(&self, txn: &mut W) -> DatabaseResult<Truncated> {
        let mut truncated = Truncated::default();
        while let Some(number) = self.highest(txn)? {
            match self.fetch_by_number(txn, number) {
                Ok(Some(_)) => break,
                Ok(None) => truncated.removed_rows += 1,
                Err(DatabaseError::Store(error)) if is_lost(&error) => truncated.lost_rows += 1,
                Err(error) => return Err(error),
            }
            txn.delete(self.blocks, &layout::number_key(number))?;
        }
        Ok(truncated)
    }

    /// Makes everything durable that was stored, which storing and committing did already.
    ///
    /// # Errors
    /// `Store` with `Io`, `Poisoned`.
    pub fn flush(&self) -> DatabaseResult<()> {
        self.log().sync().map_err(of_log)?;
        Ok(self.store.sync()?)
    }

    /// Flushes and closes.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn close(self) -> DatabaseResult<()> {
        self.flush()
    }

    /// Compares every row with its record, and every byte of the log with its checksum. Writes
    /// nothing. Cost: two reads of the log.
    ///
    /// # Errors
    /// `Store` with `Io`, or with `Corruption` for a key that is no number; other things that do
    /// not agree are an answer.
    pub fn check<R: Reader>(&self, reader: &R) -> DatabaseResult<DatabaseCheck> {
        let mut check = DatabaseCheck {
            segments: self.reader.check().map_err(of_log)?,
            ..DatabaseCheck::default()
        };
        let mut rows = reader.cursor(self.blocks, KeyRange::all())?;
        let mut named = 0_u64;
        while let Some(row) = rows.next()? {
            let number = layout::number_of_key(row.key)?;
            let entry = layout::decode_entry(row.value);
            let is_removed = matches!(entry, Ok(Entry { at: None, .. }));
            let read = entry.and_then(|entry| match entry.at {
                Some(at) => self.read(number, &entry.id, &at).map(drop),
                None => Ok(()),
            });
            match read {
                Ok(()) if is_removed => check.removed_blocks += 1,
                Ok(()) => check.sound_blocks += 1,
                Err(error) => check.blocks.push((number, error.to_string())),
            }
            named += u64::from(!is_removed);
        }
        let log = self.log();
        let records = log.next().get().saturating_sub(log.first().get());
        check.trash_records = records.saturating_sub(named);
        Ok(check)
    }
}

/// Whether a block is lost: its bytes are not what was stored, or their file is absent.
fn is_lost(error: &Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        ErrorKind::Corruption { .. } | ErrorKind::FileMissing { .. }
    )
}
