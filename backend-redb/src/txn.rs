//! Writing: the write transaction, and the blind batch that is appended in runs.
//!
//! Invariants: a table is opened at most once a transaction and closed before the commit, because
//! redb takes a table's new root when it closes; a run of the batch holds ascending keys of one
//! table and is written before anything that could meet it. Cost: a put is one descent; a row of a
//! run that fits one gap of its table, as every append does, costs a small part of that (about 100
//! ns against 450 ns, measured), for one more copy of its bytes.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

use backend_kit::{CommitFailure, RawBatch, RawTxn};
use redb::{Table, WriteTransaction};
use self_cell::self_cell;
use storage_api::{Count, Durability, Error, ErrorKind, KeyRange, Reader, Result, TableId, Writer};

use crate::Bytes;
use crate::engine::Core;
use crate::error::fail;
use crate::view::{Readable, RedbCursor, RedbValue, unknown};

type TxnTable<'t> = Box<Table<'t, Bytes, Bytes>>;

/// Tables of a transaction by number, opened at their first use.
type OpenTables<'t> = Box<[OnceCell<TxnTable<'t>>]>;

self_cell!(
    /// A transaction and its open tables, which borrow it.
    struct TxnCell {
        owner: WriteTransaction,

        #[not_covariant]
        dependent: OpenTables,
    }
);

fn open<'c, 't>(
    txn: &'t WriteTransaction,
    tables: &'c OpenTables<'t>,
    core: &Core,
    table: TableId,
) -> Result<&'c Table<'t, Bytes, Bytes>> {
    let Some(slot) = tables.get(table.index()) else {
        return Err(unknown(table));
    };
    if let Some(opened) = slot.get() {
        return Ok(opened);
    }
    let opened = txn.open_table(core.definition(table)?).map_err(fail)?;
    Ok(slot.get_or_init(|| Box::new(opened)))
}

fn open_mut<'c, 't>(
    txn: &'t WriteTransaction,
    tables: &'c mut OpenTables<'t>,
    core: &Core,
    table: TableId,
) -> Result<&'c mut Table<'t, Bytes, Bytes>> {
    open(txn, tables, core, table)?;
    match tables.get_mut(table.index()).and_then(OnceCell::get_mut) {
        Some(opened) => Ok(opened),
        None => Err(unknown(table)),
    }
}

/// The write transaction. Dropping it aborts.
pub struct RedbTxn<'e> {
    open: OpenTxn,
    core: &'e Core,
}

/// redb aborts when its transaction drops, and panics there when an earlier panic left one of its
/// locks poisoned.
struct OpenTxn(Option<TxnCell>);

impl Drop for OpenTxn {
    fn drop(&mut self) {
        let cell = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(cell))).is_err() {
            tracing::warn!("redb panicked while aborting");
        }
    }
}

impl OpenTxn {
    fn get(&self) -> Result<&TxnCell> {
        self.0.as_ref().ok_or_else(failed)
    }

    fn get_mut(&mut self) -> Result<&mut TxnCell> {
        self.0.as_mut().ok_or_else(failed)
    }
}

#[cold]
fn failed() -> Error {
    Error::new(ErrorKind::TxnFailed)
}

impl fmt::Debug for RedbTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbTxn")
            .field("core", self.core)
            .finish_non_exhaustive()
    }
}

impl<'e> RedbTxn<'e> {
    pub(crate) fn new(txn: WriteTransaction, core: &'e Core) -> Self {
        let slots = core.table_slots();
        let cell = TxnCell::new(txn, |_| (0..slots).map(|_| OnceCell::new()).collect());
        Self {
            open: OpenTxn(Some(cell)),
            core,
        }
    }

    fn with_table<R>(
        &mut self,
        table: TableId,
        change: impl FnOnce(&mut Table<'_, Bytes, Bytes>) -> Result<R>,
    ) -> Result<R> {
        let core = self.core;
        let done = self
            .open
            .get_mut()?
            .with_dependent_mut(|txn, tables| change(open_mut(txn, tables, core, table)?))?;
        core.check_device()?;
        Ok(done)
    }

    /// Empties a table by making it anew, which frees its pages without looking at their rows.
    fn clear(&mut self, table: TableId) -> Result<()> {
        let core = self.core;
        self.open.get_mut()?.with_dependent_mut(|txn, tables| {
            if let Some(slot) = tables.get_mut(table.index()) {
                drop(slot.take());
            }
            txn.delete_table(core.definition(table)?).map_err(fail)?;
            open(txn, tables, core, table)?;
            core.check_device()
        })
    }
}

impl Reader for RedbTxn<'_> {
    type Value<'a>
        = RedbValue<'a>
    where
        Self: 'a;
    type Cursor<'a>
        = RedbCursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<RedbValue<'_>>> {
        self.open
            .get()?
            .with_dependent(|txn, tables| open(txn, tables, self.core, table)?.value(key))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<RedbCursor<'_>> {
        self.open.get()?.with_dependent(|txn, tables| {
            let table: &dyn Readable = open(txn, tables, self.core, table)?;
            Ok(RedbCursor::new(Some(table), range))
        })
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.open
            .get()?
            .with_dependent(|txn, tables| open(txn, tables, self.core, table)?.rows())
    }
}

impl Writer for RedbTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.with_table(table, |table| put(table, key, value))
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.with_table(table, |table| {
            drop(table.remove(key).map_err(fail)?);
            Ok(())
        })
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        if range.is_all() {
            return self.clear(table);
        }
        let end = range.end().map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(range.start()), end);
        self.with_table(table, |table| {
            table
                .retain_in::<&[u8], _>(bounds, |_, _| false)
                .map_err(fail)
        })
    }
}

fn put(table: &mut Table<'_, Bytes, Bytes>, key: &[u8], value: &[u8]) -> Result<()> {
    drop(table.insert(key, value).map_err(fail)?);
    Ok(())
}

impl RawBatch for RedbTxn<'_> {
    fn commit(mut self, durability: Durability) -> Result<(), CommitFailure> {
        let cell = self
            .open
            .0
            .take()
            .ok_or_else(failed)
            .map_err(CommitFailure::Aborted)?;
        self.core.commit(cell.into_owner(), durability)
    }
}

impl RawTxn for RedbTxn<'_> {}

/// A run longer than this is written and begun again, in bytes. redb's cursor puts its rows into
/// the tree a megabyte at a time, and what it holds when it closes: loads in order measured a tenth
/// slower with runs of 64 KiB.
const RUN_BYTES_MAX: usize = 1 << 20;

/// A run shorter than this is not worth a cursor.
const RUN_ROWS_MIN: usize = 4;

/// Ascending puts of one table, not written yet.
#[derive(Debug, Default)]
struct Run {
    table: Option<TableId>,
    bytes: Vec<u8>,
    /// Lengths of key and value, in order.
    rows: Vec<(usize, usize)>,
    /// Where the last key begins.
    last_at: usize,
}

impl Run {
    fn last_key(&self) -> Option<&[u8]> {
        let (key_len, _) = self.rows.last()?;
        Some(&self.bytes[self.last_at..self.last_at + key_len])
    }

    fn takes(&self, table: TableId, key: &[u8], value: &[u8]) -> bool {
        self.table == Some(table)
            && self.last_key().is_none_or(|last| key > last)
            && self.bytes.len() + key.len() + value.len() <= RUN_BYTES_MAX
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.last_at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.rows.push((key.len(), value.len()));
    }

    fn clear(&mut self) {
        self.table = None;
        self.bytes.clear();
        self.rows.clear();
    }

    fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        self.rows.iter().map(move |(key_len, value_len)| {
            let (row, behind) = rest.split_at(key_len + value_len);
            rest = behind;
            row.split_at(*key_len)
        })
    }

    fn write(&self, table: &mut Table<'_, Bytes, Bytes>) -> Result<()> {
        if self.rows.len() >= RUN_ROWS_MIN && self.write_into_gap(table)? {
            return Ok(());
        }
        self.rows()
            .try_for_each(|(key, value)| put(table, key, value))
    }

    /// Writes the run through redb's cursor, if no row of the table lies between its first key and
    /// its last.
    fn write_into_gap(&self, table: &mut Table<'_, Bytes, Bytes>) -> Result<bool> {
        let (Some((first, _)), Some(last)) = (self.rows().next(), self.last_key()) else {
            return Ok(false);
        };
        let mut gap = table
            .lower_bound_mut(Bound::Included(first))
            .map_err(fail)?;
        let fits = gap
            .peek_next()
            .map_err(fail)?
            .is_none_or(|(next, _)| next.value() > last);
        if fits {
            for (key, value) in self.rows() {
                gap.insert_before(key, value).map_err(fail)?;
            }
        }
        gap.close().map_err(fail)?;
        Ok(fits)
    }
}

/// A blind batch: the write transaction, with puts gathered into runs. Dropping it aborts.
#[derive(Debug)]
pub struct RedbBatch<'e> {
    txn: RedbTxn<'e>,
    run: Run,
}

impl<'e> RedbBatch<'e> {
    pub(crate) fn new(txn: RedbTxn<'e>) -> Self {
        Self {
            txn,
            run: Run::default(),
        }
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(table) = self.run.table {
            let run = &self.run;
            self.txn.with_table(table, |table| run.write(table))?;
            self.run.clear();
        }
        Ok(())
    }
}

impl Writer for RedbBatch<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        if !self.run.takes(table, key, value) {
            self.flush()?;
            if key.len() + value.len() > RUN_BYTES_MAX {
                return self.txn.put(table, key, value);
            }
            self.run.table = Some(table);
        }
        self.run.push(key, value);
        Ok(())
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.flush()?;
        self.txn.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.flush()?;
        self.txn.delete_range(table, range)
    }
}

impl RawBatch for RedbBatch<'_> {
    fn commit(mut self, durability: Durability) -> Result<(), CommitFailure> {
        self.flush().map_err(CommitFailure::Aborted)?;
        self.txn.commit(durability)
    }
}
