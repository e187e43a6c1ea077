//! [`MapReader`]: the plainest reader there is, an ordered map, both as the base under test and as
//! the model beside it.
//!
//! It counts how often its cursors move and can hold rows that fail when they are read.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use crate::contract::{BatchOp, Count, Cursor, Entry, Reader, WriteBatch, Writer};
use crate::error::{Error, Result};
use crate::range::KeyRange;
use crate::table::TableId;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows of all tables; a missing table has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables(BTreeMap<TableId, Rows>);

static NO_ROWS: Rows = Rows::new();

impl Tables {
    pub(crate) fn rows(&self, table: TableId) -> &Rows {
        self.0.get(&table).unwrap_or(&NO_ROWS)
    }

    pub(crate) fn apply(&mut self, batch: &WriteBatch) -> Result<()> {
        batch.ops().try_for_each(|op| match op {
            BatchOp::Put { table, key, value } => self.put(table, key, value),
            BatchOp::Delete { table, key } => self.delete(table, key),
            BatchOp::DeleteRange { table, start, end } => {
                let end = end.map_or(Bound::Unbounded, Bound::Excluded);
                self.delete_range(table, &KeyRange::new(Bound::Included(start), end))
            }
        })
    }
}

impl Writer for Tables {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        let rows = self.0.entry(table).or_default();
        rows.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.0.entry(table).or_default().remove(key);
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        let rows = self.0.entry(table).or_default();
        rows.retain(|key, _| !range.contains(key));
        Ok(())
    }
}

/// How a [`MapReader`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    Exact,
    Estimate,
}

/// A reader of fixed tables.
#[derive(Clone, Debug)]
pub(crate) struct MapReader {
    pub(crate) tables: Arc<Tables>,
    pub(crate) counting: Counting,
    /// Keys whose rows fail when a cursor moves onto them.
    pub(crate) damaged: BTreeSet<Vec<u8>>,
}

impl MapReader {
    pub(crate) fn new(tables: Tables) -> Self {
        Self::shared(Arc::new(tables))
    }

    pub(crate) fn shared(tables: Arc<Tables>) -> Self {
        Self {
            tables,
            counting: Counting::Exact,
            damaged: BTreeSet::new(),
        }
    }
}

impl Reader for MapReader {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = MapCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.tables.rows(table).get(key).map(Vec::as_slice))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<MapCursor<'_>> {
        Ok(MapCursor {
            rows: self.tables.rows(table),
            damaged: &self.damaged,
            range,
            place: Place::Before,
            moves: Rc::default(),
        })
    }

    fn count(&self, table: TableId) -> Result<Count> {
        let rows = self.tables.rows(table).len() as u64;
        Ok(match self.counting {
            Counting::Exact => Count::Exact(rows),
            Counting::Estimate => Count::Estimate(rows),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Before,
    On(Vec<u8>),
    Behind,
}

/// A cursor that searches the map anew at every move.
#[derive(Debug)]
pub(crate) struct MapCursor<'a> {
    rows: &'a Rows,
    damaged: &'a BTreeSet<Vec<u8>>,
    range: KeyRange,
    place: Place,
    pub(crate) moves: Rc<Cell<usize>>,
}

impl MapCursor<'_> {
    fn upward(&mut self, from: Bound<&[u8]>) -> Result<Option<Entry<'_>>> {
        let after = (from, Bound::Unbounded);
        let mut rows = self.rows.range::<[u8], _>(after);
        let row = rows.find(|(key, _)| self.range.contains(key));
        self.stand(row, Place::Behind)
    }

    fn downward(&mut self, to: Bound<&[u8]>) -> Result<Option<Entry<'_>>> {
        let before = (Bound::Unbounded, to);
        let mut rows = self.rows.range::<[u8], _>(before);
        let row = rows.rfind(|(key, _)| self.range.contains(key));
        self.stand(row, Place::Before)
    }

    fn stand<'s>(
        &'s mut self,
        row: Option<(&'s Vec<u8>, &'s Vec<u8>)>,
        otherwise: Place,
    ) -> Result<Option<Entry<'s>>> {
        self.moves.set(self.moves.get() + 1);
        let Some((key, value)) = row else {
            self.place = otherwise;
            return Ok(None);
        };
        self.place = Place::On(key.clone());
        if self.damaged.contains(key) {
            return Err(Error::corruption("a row", "damaged on purpose"));
        }
        Ok(Some(Entry { key, value }))
    }
}

impl Cursor for MapCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.upward(Bound::Unbounded)
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.downward(Bound::Unbounded)
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.upward(Bound::Included(key))
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.downward(Bound::Included(key))
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        match self.place.clone() {
            Place::Before => self.upward(Bound::Unbounded),
            Place::On(key) => self.upward(Bound::Excluded(&key)),
            Place::Behind => Ok(None),
        }
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        match self.place.clone() {
            Place::Before => Ok(None),
            Place::On(key) => self.downward(Bound::Excluded(&key)),
            Place::Behind => self.downward(Bound::Unbounded),
        }
    }
}
