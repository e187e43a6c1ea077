//! The cursor: one iterator of heed at a time, forward or backward, made anew by a seek or a turn.
//!
//! heed's own cursor is private, so a move in the direction of the iterator costs what LMDB's `next` costs, and a seek or
//! a turn costs one descent, one allocation for LMDB's cursor and one for the key. Invariants: the iterator in hand stands
//! on the row of `place`; the end of the range is compared here (heed compares byte by byte); rows are lent from the map
//! without a copy; a row with an empty key cannot have been written and is reported as corruption.

use std::fmt;
use std::ops::Bound;

use heed::types::Bytes;
use heed::{RoRange, RoRevRange, RoTxn};
use storage_api::{Cursor, Entry, Error, KeyRange, Result};

use crate::env::{Db, OpenEnv};
use crate::error::{ENGINE, corruption};

type Row<'a> = (&'a [u8], &'a [u8]);

/// Where the cursor stands in its range.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Before,
    On(&'a [u8]),
    After,
}

enum Moving<'a> {
    Not,
    Forward(RoRange<'a, Bytes, Bytes>),
    Backward(RoRevRange<'a, Bytes, Bytes>),
}

/// A cursor over a view or a write transaction.
pub struct LmdbCursor<'a> {
    open: &'a OpenEnv,
    txn: &'a RoTxn<'a>,
    table: Option<Db>,
    range: KeyRange,
    place: Place<'a>,
    moving: Moving<'a>,
}

impl fmt::Debug for LmdbCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbCursor").finish_non_exhaustive()
    }
}

impl<'a> LmdbCursor<'a> {
    /// A cursor before the first row of the range; no table is an empty one.
    pub(crate) fn new(
        open: &'a OpenEnv,
        txn: &'a RoTxn<'a>,
        table: Option<Db>,
        range: KeyRange,
    ) -> Self {
        let table = table.filter(|_| !range.is_empty());
        Self {
            open,
            txn,
            table,
            range,
            place: Place::Before,
            moving: Moving::Not,
        }
    }

    fn stop(&mut self, place: Place<'a>) -> Option<Entry<'a>> {
        self.place = place;
        self.moving = Moving::Not;
        None
    }

    fn fail(&mut self, source: heed::Error) -> Error {
        self.moving = Moving::Not;
        self.open.error("cursor", source)
    }

    #[cold]
    fn empty_key(&mut self) -> Error {
        self.moving = Moving::Not;
        let what = "a row without a key; the page it is on was never written";
        Error::new(corruption(self.open.env().path(), what)).with_engine(ENGINE)
    }

    /// Takes the row that the forward iterator gave.
    #[inline]
    fn forward_on(&mut self, row: Option<heed::Result<Row<'a>>>) -> Result<Option<Entry<'a>>> {
        match row {
            Some(Ok((key, value))) if self.range.is_below_end(key) => {
                if key.is_empty() {
                    return Err(self.empty_key());
                }
                self.place = Place::On(key);
                Ok(Some(Entry { key, value }))
            }
            Some(Err(error)) => Err(self.fail(error)),
            Some(Ok(_)) | None => Ok(self.stop(Place::After)),
        }
    }

    /// Takes the row that the backward iterator gave.
    #[inline]
    fn backward_on(&mut self, row: Option<heed::Result<Row<'a>>>) -> Result<Option<Entry<'a>>> {
        match row {
            Some(Ok((key, value))) if key >= self.range.start() => {
                if key.is_empty() {
                    return Err(self.empty_key());
                }
                self.place = Place::On(key);
                Ok(Some(Entry { key, value }))
            }
            Some(Err(error)) => Err(self.fail(error)),
            Some(Ok(_)) | None => Ok(self.stop(Place::Before)),
        }
    }

    /// Moves to the first row from this bound on.
    fn forward_from(&mut self, from: Bound<&[u8]>) -> Result<Option<Entry<'a>>> {
        let Some(table) = self.table else {
            return Ok(self.stop(Place::After));
        };
        let mut rows = match table.range(self.txn, &(from, Bound::Unbounded)) {
            Ok(rows) => rows,
            Err(error) => return Err(self.fail(error)),
        };
        let row = rows.next();
        self.moving = Moving::Forward(rows);
        self.forward_on(row)
    }

    /// Moves to the last row up to this bound.
    fn backward_from(&mut self, from: Bound<&[u8]>) -> Result<Option<Entry<'a>>> {
        let Some(table) = self.table else {
            return Ok(self.stop(Place::Before));
        };
        let mut rows = match table.rev_range(self.txn, &(Bound::Unbounded, from)) {
            Ok(rows) => rows,
            Err(error) => return Err(self.fail(error)),
        };
        let row = rows.next();
        self.moving = Moving::Backward(rows);
        self.backward_on(row)
    }

    fn move_first(&mut self) -> Result<Option<Entry<'a>>> {
        let range = self.range.clone();
        self.forward_from(included(range.start()))
    }

    fn move_last(&mut self) -> Result<Option<Entry<'a>>> {
        let range = self.range.clone();
        self.backward_from(range.end().map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// LMDB takes no empty key, and every key is at or after it.
fn included(key: &[u8]) -> Bound<&[u8]> {
    if key.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Included(key)
    }
}

impl Cursor for LmdbCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.move_first()
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.move_last()
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if key <= self.range.start() {
            self.move_first()
        } else if self.range.is_below_end(key) {
            self.forward_from(Bound::Included(key))
        } else {
            Ok(self.stop(Place::After))
        }
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if !self.range.is_below_end(key) {
            self.move_last()
        } else if key < self.range.start() || key.is_empty() {
            Ok(self.stop(Place::Before))
        } else {
            self.backward_from(Bound::Included(key))
        }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if let Moving::Forward(rows) = &mut self.moving {
            let row = rows.next();
            return self.forward_on(row);
        }
        match self.place {
            Place::Before => self.move_first(),
            Place::On(key) => self.forward_from(Bound::Excluded(key)),
            Place::After => Ok(None),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        if let Moving::Backward(rows) = &mut self.moving {
            let row = rows.next();
            return self.backward_on(row);
        }
        match self.place {
            Place::Before => Ok(None),
            Place::On(key) => self.backward_from(Bound::Excluded(key)),
            Place::After => self.move_last(),
        }
    }
}
