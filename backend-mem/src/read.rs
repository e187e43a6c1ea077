//! Views and cursors: a version's trees, read without copying.
//!
//! Invariants: a view holds its version alive; a cursor never leaves its range and allocates
//! nothing.

use storage_api::{
    Count, Cursor, Entry, Error, ErrorKind, KeyRange, Reader, Result, TableId, Visit,
};

use crate::engine::Roots;
use crate::tree::{self, Tree};

/// A view: the roots of one commit.
#[derive(Debug)]
pub struct MemView {
    roots: Roots,
}

impl MemView {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots }
    }
}

#[inline]
pub(crate) fn table(tables: &[Tree], id: TableId) -> Result<&Tree> {
    match tables.get(id.index()) {
        Some(table) => Ok(table),
        None => Err(unknown(id)),
    }
}

#[cold]
fn unknown(id: TableId) -> Error {
    Error::new(ErrorKind::UnknownTable {
        table: id.to_string(),
    })
}

impl Reader for MemView {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = MemCursor<'a>;

    #[inline(always)]
    fn get(&self, id: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(table(&self.roots, id)?.get(key))
    }

    fn cursor(&self, id: TableId, range: KeyRange) -> Result<MemCursor<'_>> {
        Ok(MemCursor::new(table(&self.roots, id)?, range))
    }

    fn count(&self, id: TableId) -> Result<Count> {
        Ok(Count::Exact(table(&self.roots, id)?.len() as u64))
    }

    fn multi_get(
        &self,
        id: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        table(&self.roots, id)?.get_many(keys, sink);
        Ok(())
    }
}

/// Where a cursor stands, seen from its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    On,
    Behind,
}

/// A cursor over a range of one table.
#[derive(Debug)]
pub struct MemCursor<'t> {
    inner: tree::Cursor<'t>,
    range: KeyRange,
    place: Place,
}

type Row<'t> = Option<(&'t [u8], &'t [u8])>;

impl<'t> MemCursor<'t> {
    pub(crate) fn new(table: &'t Tree, range: KeyRange) -> Self {
        Self {
            inner: table.cursor(),
            range,
            place: Place::Before,
        }
    }

    /// Takes a row reached upwards: it may lie behind the range.
    #[inline]
    fn upwards(&mut self, row: Row<'t>) -> Option<Entry<'t>> {
        match row {
            Some((key, value)) if self.range.is_below_end(key) => {
                self.place = Place::On;
                Some(Entry { key, value })
            }
            _ => {
                self.place = Place::Behind;
                None
            }
        }
    }

    /// Takes a row reached downwards: it may lie before the range.
    #[inline]
    fn downwards(&mut self, row: Row<'t>) -> Option<Entry<'t>> {
        match row {
            Some((key, value)) if key >= self.range.start() => {
                self.place = Place::On;
                Some(Entry { key, value })
            }
            _ => {
                self.place = Place::Before;
                None
            }
        }
    }

    fn reach_first(&mut self) -> Option<Entry<'t>> {
        let row = self.inner.seek(self.range.start());
        self.upwards(row)
    }

    fn reach_last(&mut self) -> Option<Entry<'t>> {
        let row = match self.range.end() {
            None => self.inner.last(),
            Some(end) => match self.inner.seek_back(end) {
                Some((key, _)) if key == end => self.inner.prev(),
                row => row,
            },
        };
        self.downwards(row)
    }
}

impl Cursor for MemCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(self.reach_first())
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(self.reach_last())
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if key <= self.range.start() {
            return Ok(self.reach_first());
        }
        let row = self.inner.seek(key);
        Ok(self.upwards(row))
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if !self.range.is_below_end(key) {
            return Ok(self.reach_last());
        }
        let row = self.inner.seek_back(key);
        Ok(self.downwards(row))
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(match self.place {
            Place::On => {
                let row = self.inner.next();
                self.upwards(row)
            }
            Place::Before => self.reach_first(),
            Place::Behind => None,
        })
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(match self.place {
            Place::On => {
                let row = self.inner.prev();
                self.downwards(row)
            }
            Place::Before => None,
            Place::Behind => self.reach_last(),
        })
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let mut entry = match self.place {
            Place::On => {
                let row = self.inner.next();
                self.upwards(row)
            }
            Place::Before => self.reach_first(),
            Place::Behind => None,
        };
        while let Some(row) = entry {
            if visit(row.key, row.value).is_break() {
                break;
            }
            let row = self.inner.next();
            entry = self.upwards(row);
        }
        Ok(())
    }
}
