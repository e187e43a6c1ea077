//! Reading: the view, its values, and the cursor that views and write transactions share.
//!
//! Invariants: a view opens each table at most once and drops its tables before its core, so that
//! redb never closes under a live table; a cursor never leaves its range, and after a move that
//! found no row its gap is at the edge it ran into. Cost: a get is one descent and one count of a
//! cached page; a cursor is placed with one descent and two small allocations of redb's, a turn
//! costs one more row, a row costs two counts of its page.

use std::cell::OnceCell;
use std::fmt;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata,
    StorageError, Table, TableError,
};
use storage_api::{
    Count, Cursor, Entry, Error, ErrorKind, KeyRange, Reader, Result, TableId, Visit,
};

use crate::Bytes;
use crate::engine::{Alive, Core};
use crate::error::fail;

/// A value pinned in redb's page cache.
pub struct RedbValue<'a>(AccessGuard<'a, Bytes>);

impl Deref for RedbValue<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.value()
    }
}

impl fmt::Debug for RedbValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedbValue")
            .field(&self.0.value().len())
            .finish()
    }
}

/// A table that can be read: of a view or of the write transaction.
pub(crate) trait Readable {
    fn value(&self, key: &[u8]) -> Result<Option<RedbValue<'_>>>;

    fn rows(&self) -> Result<Count>;

    /// The gap before the first key that the bound admits.
    fn lower(&self, bound: Bound<&[u8]>) -> Result<Gap<'_>, StorageError>;

    /// The gap behind the last key that the bound admits.
    fn upper(&self, bound: Bound<&[u8]>) -> Result<Gap<'_>, StorageError>;
}

/// redb's cursor: a gap between two rows.
type Gap<'a> = redb::Cursor<'a, Bytes, Bytes>;

macro_rules! readable {
    ($table:ty) => {
        impl Readable for $table {
            #[inline]
            fn value(&self, key: &[u8]) -> Result<Option<RedbValue<'_>>> {
                match ReadableTable::get(self, key) {
                    Ok(Some(value)) => {
                        // redb checks where a value ends when it is looked at, and panics on a
                        // damaged page. That is now, where a panic is caught, and not at the
                        // caller's next use.
                        let _checked = value.value();
                        Ok(Some(RedbValue(value)))
                    }
                    Ok(None) => Ok(None),
                    Err(error) => Err(fail(error)),
                }
            }

            fn rows(&self) -> Result<Count> {
                ReadableTableMetadata::len(self)
                    .map(Count::Exact)
                    .map_err(fail)
            }

            fn lower(&self, bound: Bound<&[u8]>) -> Result<Gap<'_>, StorageError> {
                ReadableTable::lower_bound(self, bound)
            }

            fn upper(&self, bound: Bound<&[u8]>) -> Result<Gap<'_>, StorageError> {
                ReadableTable::upper_bound(self, bound)
            }
        }
    };
}

readable!(ReadOnlyTable<Bytes, Bytes>);
readable!(Table<'_, Bytes, Bytes>);

type ViewTable = Box<ReadOnlyTable<Bytes, Bytes>>;

/// What views read from: dropped before the word that it lives.
pub(crate) struct ViewTxn {
    txn: ReadTransaction,
    alive: Alive,
}

impl ViewTxn {
    pub(crate) fn new(txn: ReadTransaction, alive: Alive) -> Self {
        Self { txn, alive }
    }

    fn core(&self) -> &Core {
        self.alive.core()
    }
}

/// A view of one commit. It keeps the database open.
pub struct RedbView {
    tables: Box<[OnceCell<Option<ViewTable>>]>,
    /// Shared by views that were begun together.
    txn: Arc<ViewTxn>,
}

impl fmt::Debug for RedbView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbView")
            .field("core", self.txn.core())
            .finish_non_exhaustive()
    }
}

impl RedbView {
    pub(crate) fn new(txn: Arc<ViewTxn>) -> Self {
        let slots = txn.core().table_slots();
        let tables = (0..slots).map(|_| OnceCell::new()).collect();
        Self { tables, txn }
    }

    /// The table, opened at its first use; `None` when there is none in a store that is open for
    /// reading.
    #[inline]
    fn table(&self, table: TableId) -> Result<Option<&ReadOnlyTable<Bytes, Bytes>>> {
        match self.tables.get(table.index()).and_then(OnceCell::get) {
            Some(opened) => Ok(opened.as_deref()),
            None => self.table_anew(table),
        }
    }

    #[cold]
    fn table_anew(&self, table: TableId) -> Result<Option<&ReadOnlyTable<Bytes, Bytes>>> {
        let Some(slot) = self.tables.get(table.index()) else {
            return Err(unknown(table));
        };
        let opened = self.open(table)?;
        Ok(slot.get_or_init(|| opened).as_deref())
    }

    fn open(&self, table: TableId) -> Result<Option<ViewTable>> {
        let core = self.txn.core();
        match self.txn.txn.open_table(core.definition(table)?) {
            Ok(opened) => Ok(Some(Box::new(opened))),
            Err(TableError::TableDoesNotExist(_)) if core.reads_missing_as_empty() => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }
}

#[cold]
pub(crate) fn unknown(table: TableId) -> Error {
    Error::new(ErrorKind::UnknownTable {
        table: table.to_string(),
    })
}

impl Reader for RedbView {
    type Value<'a> = RedbValue<'a>;
    type Cursor<'a> = RedbCursor<'a>;

    #[inline]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<RedbValue<'_>>> {
        match self.table(table)? {
            Some(table) => table.value(key),
            None => Ok(None),
        }
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<RedbCursor<'_>> {
        let table = self.table(table)?.map(|table| table as &dyn Readable);
        Ok(RedbCursor::new(table, range))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.table(table)?
            .map_or(Ok(Count::Exact(0)), Readable::rows)
    }
}

/// On which side of the row that the cursor stands on its gap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// It was reached by a backward move.
    Before,
    /// It was reached by a forward move.
    Behind,
}

type Row<'a> = (AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>);

/// A cursor over a range of a table, from a gap between rows to standing on one.
pub struct RedbCursor<'a> {
    /// `None` for a table that is not there: an empty one.
    table: Option<&'a dyn Readable>,
    range: KeyRange,
    /// `None` until the first move.
    gap: Option<Gap<'a>>,
    /// The row it stands on; holds its page in the cache.
    row: Option<Row<'a>>,
    /// Means something while there is a row.
    side: Side,
}

impl fmt::Debug for RedbCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbCursor")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl<'a> RedbCursor<'a> {
    pub(crate) fn new(table: Option<&'a dyn Readable>, range: KeyRange) -> Self {
        Self {
            table,
            range,
            gap: None,
            row: None,
            side: Side::Behind,
        }
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.row.as_ref().map(|(key, value)| Entry {
            key: key.value(),
            value: value.value(),
        })
    }

    fn place_at_start(&mut self) -> Result<()> {
        self.row = None;
        if let Some(table) = self.table {
            let start = self.range.start();
            let bound = if start.is_empty() {
                Bound::Unbounded
            } else {
                Bound::Included(start)
            };
            self.gap = Some(table.lower(bound).map_err(fail)?);
        }
        Ok(())
    }

    fn place_at_end(&mut self) -> Result<()> {
        self.row = None;
        if let Some(table) = self.table {
            let bound = self.range.end().map_or(Bound::Unbounded, Bound::Excluded);
            self.gap = Some(table.upper(bound).map_err(fail)?);
        }
        Ok(())
    }

    /// Steps over the next row inside the range and stands on it; at the edge, the gap stays before
    /// the edge.
    fn step(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(gap) = &mut self.gap else {
            return Ok(None);
        };
        let turned = self.row.is_some() && self.side == Side::Before;
        self.row = None;
        if turned {
            gap.next().map_err(fail)?;
        }
        // Moved into its place at once: a row is 300 bytes, and each move of it is a copy.
        match gap.next() {
            Ok(row) => self.row = row,
            Err(error) => return Err(fail(error)),
        }
        self.side = Side::Behind;
        if let Some((key, _)) = &self.row
            && !self.range.is_below_end(key.value())
        {
            self.row = None;
            gap.prev().map_err(fail)?;
        }
        Ok(self.entry())
    }

    /// [`RedbCursor::step`] the other way.
    fn step_back(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(gap) = &mut self.gap else {
            return Ok(None);
        };
        let turned = self.row.is_some() && self.side == Side::Behind;
        self.row = None;
        if turned {
            gap.prev().map_err(fail)?;
        }
        match gap.prev() {
            Ok(row) => self.row = row,
            Err(error) => return Err(fail(error)),
        }
        self.side = Side::Before;
        if let Some((key, _)) = &self.row
            && key.value() < self.range.start()
        {
            self.row = None;
            gap.next().map_err(fail)?;
        }
        Ok(self.entry())
    }
}

impl Cursor for RedbCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.place_at_start()?;
        self.step()
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.place_at_end()?;
        self.step_back()
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if key <= self.range.start() {
            return self.first();
        }
        if !self.range.is_below_end(key) {
            self.place_at_end()?;
            return Ok(None);
        }
        self.row = None;
        if let Some(table) = self.table {
            self.gap = Some(table.lower(Bound::Included(key)).map_err(fail)?);
        }
        self.step()
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if !self.range.is_below_end(key) {
            return self.last();
        }
        if key < self.range.start() {
            self.place_at_start()?;
            return Ok(None);
        }
        self.row = None;
        if let Some(table) = self.table {
            self.gap = Some(table.upper(Bound::Included(key)).map_err(fail)?);
        }
        self.step_back()
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if self.gap.is_none() {
            self.place_at_start()?;
        }
        self.step()
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.step_back()
    }

    /// A row stays where redb made it and is kept only when the scan ends on it.
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        if self.gap.is_none() {
            self.place_at_start()?;
        }
        let Some(gap) = &mut self.gap else {
            return Ok(());
        };
        let turned = self.row.is_some() && self.side == Side::Before;
        self.row = None;
        self.side = Side::Behind;
        if turned {
            gap.next().map_err(fail)?;
        }
        while let Some((key, value)) = gap.next().map_err(fail)? {
            if !self.range.is_below_end(key.value()) {
                gap.prev().map_err(fail)?;
                break;
            }
            if visit(key.value(), value.value()).is_break() {
                self.row = Some((key, value));
                break;
            }
        }
        Ok(())
    }
}
