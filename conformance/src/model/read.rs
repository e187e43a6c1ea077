//! Reading the model: views, and a cursor over an ordered map.

use std::ops::Bound;
use std::sync::Arc;

use storage_api::{
    CommitSeq, Count, Cursor, Entry, ErrorKind, KeyRange, ReadTxn, Reader, Result, TableId,
};

use super::disk::Snapshot;
use super::store::Core;
use crate::ops::TableRows;

/// A view of one commit.
#[derive(Debug)]
pub struct ModelView {
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    number: u64,
}

impl ModelView {
    pub(super) fn new(core: Arc<Core>, snapshot: Arc<Snapshot>, number: u64) -> Self {
        Self {
            core,
            snapshot,
            number,
        }
    }

    pub(crate) fn check_age(&self) -> Result<()> {
        self.core.check_age(self.number)
    }

    fn table(&self, table: TableId, operation: &'static str) -> Result<&TableRows> {
        self.core
            .table_def(table)
            .map_err(|error| error.with_operation(operation))?;
        self.check_age()?;
        Ok(self
            .snapshot
            .tables
            .get(&table)
            .map_or(&self.core.no_rows, |rows| &**rows))
    }
}

impl Drop for ModelView {
    fn drop(&mut self) {
        self.core.forget_view(self.number);
    }
}

impl Reader for ModelView {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = ModelTableCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.table(table, "get")?.get(key).map(Vec::as_slice))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<ModelTableCursor<'_>> {
        let mut cursor = ModelTableCursor::new(self.table(table, "cursor")?, range);
        cursor.view = Some(self);
        Ok(cursor)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        Ok(Count::Exact(self.table(table, "count")?.len() as u64))
    }
}

impl ReadTxn for ModelView {
    fn commit_seq(&self) -> Result<CommitSeq> {
        Ok(self.snapshot.seq)
    }
}

/// A cursor over the rows of one table.
#[derive(Debug)]
pub struct ModelTableCursor<'a> {
    rows: &'a TableRows,
    range: KeyRange,
    place: Place<'a>,
    /// The view that grows old under the cursor; none in a transaction.
    view: Option<&'a ModelView>,
}

#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Before,
    On(&'a [u8]),
    Behind,
}

impl<'a> ModelTableCursor<'a> {
    pub(super) fn new(rows: &'a TableRows, range: KeyRange) -> Self {
        Self {
            rows,
            range,
            place: Place::Before,
            view: None,
        }
    }

    fn check_age(&self) -> Result<()> {
        self.view.map_or(Ok(()), ModelView::check_age)
    }

    fn first_of(&mut self, part: &KeyRange) -> Option<Entry<'a>> {
        let part = part.intersect(&self.range);
        let end = part.end().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self
            .rows
            .range::<[u8], _>((Bound::Included(part.start()), end))
            .next();
        self.place = found.map_or(Place::Behind, |(key, _)| Place::On(key));
        found.map(|(key, value)| Entry { key, value })
    }

    fn last_of(&mut self, part: &KeyRange) -> Option<Entry<'a>> {
        let part = part.intersect(&self.range);
        let end = part.end().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self
            .rows
            .range::<[u8], _>((Bound::Included(part.start()), end))
            .next_back();
        self.place = found.map_or(Place::Before, |(key, _)| Place::On(key));
        found.map(|(key, value)| Entry { key, value })
    }
}

impl Cursor for ModelTableCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(self.first_of(&KeyRange::all()))
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(self.last_of(&KeyRange::all()))
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(self.first_of(&KeyRange::from_key(key)))
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(self.last_of(&KeyRange::new(Bound::Unbounded, Bound::Included(key))))
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(match self.place {
            Place::Before => self.first_of(&KeyRange::all()),
            Place::On(key) => self.first_of(&KeyRange::new(Bound::Excluded(key), Bound::Unbounded)),
            Place::Behind => None,
        })
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.check_age()?;
        Ok(match self.place {
            Place::Before => None,
            Place::On(key) => self.last_of(&KeyRange::new(Bound::Unbounded, Bound::Excluded(key))),
            Place::Behind => self.last_of(&KeyRange::all()),
        })
    }
}

/// What reading an unknown table gives.
pub(super) fn unknown(table: TableId) -> storage_api::Error {
    ErrorKind::UnknownTable {
        table: table.to_string(),
    }
    .into()
}
