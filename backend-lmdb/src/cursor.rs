//! The cursor: one iterator of heed at a time, forward or backward, made anew by a seek or a turn.
//!
//! heed's own cursor is private, so a move in the direction of the iterator costs what LMDB's
//! `next` costs, and a seek or a turn costs one descent, one allocation for LMDB's cursor and one
//! for the key. Invariants: the iterator in hand stands on the row of `place`; the end of the range
//! is compared here (heed compares byte by byte); rows are lent from the map without a copy; a row
//! with an empty key cannot have been written and is reported as corruption.

use std::fmt;
use std::mem;
use std::ops::Bound;

use heed::types::Bytes;
use heed::{RoIter, RoRange, RoRevIter, RoRevRange, RoTxn};
use storage_api::{Cursor, Entry, Error, KeyRange, Result, Visit};

use crate::env::{Db, OpenEnv};
use crate::error::{ENGINE, corruption};

type Forward<'a> = RoRange<'a, Bytes, Bytes>;
type Backward<'a> = RoRevRange<'a, Bytes, Bytes>;
type Upwards<'a> = RoIter<'a, Bytes, Bytes>;
type Downwards<'a> = RoRevIter<'a, Bytes, Bytes>;
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
    Forward(Forward<'a>),
    Backward(Backward<'a>),
    /// From the first row of the table on, which heed does with a third fewer instructions a row.
    Upwards(Upwards<'a>),
    /// From the last row of the table back, likewise.
    Downwards(Downwards<'a>),
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

    /// What an iterator gave that is no row of the range: an error, a row past the range, or its
    /// end.
    #[cold]
    fn end(
        &mut self,
        row: Option<heed::Result<Row<'a>>>,
        place: Place<'a>,
    ) -> Result<Option<Entry<'a>>> {
        match row {
            Some(Err(error)) => {
                self.moving = Moving::Not;
                Err(self.open.error("cursor", error))
            }
            Some(Ok(([], _))) => {
                self.moving = Moving::Not;
                let what = "a row without a key, on a page that was never written";
                Err(Error::new(corruption(self.open.env().path(), what)).with_engine(ENGINE))
            }
            Some(Ok(_)) | None => Ok(self.stop(place)),
        }
    }

    /// Takes the row that the forward iterator gave.
    #[inline(always)]
    fn forward_on(&mut self, row: Option<heed::Result<Row<'a>>>) -> Result<Option<Entry<'a>>> {
        if let Some(Ok((key, value))) = row
            && !key.is_empty()
            && self.range.is_below_end(key)
        {
            self.place = Place::On(key);
            return Ok(Some(Entry { key, value }));
        }
        self.end(row, Place::After)
    }

    /// Takes the row that the backward iterator gave.
    #[inline(always)]
    fn backward_on(&mut self, row: Option<heed::Result<Row<'a>>>) -> Result<Option<Entry<'a>>> {
        if let Some(Ok((key, value))) = row
            && !key.is_empty()
            && key >= self.range.start()
        {
            self.place = Place::On(key);
            return Ok(Some(Entry { key, value }));
        }
        self.end(row, Place::Before)
    }

    /// Moves to the first row of a fresh iterator.
    fn start_forward(&mut self, rows: heed::Result<Forward<'a>>) -> Result<Option<Entry<'a>>> {
        match rows {
            Ok(mut rows) => {
                let row = rows.next();
                self.moving = Moving::Forward(rows);
                self.forward_on(row)
            }
            Err(error) => self.end(Some(Err(error)), Place::After),
        }
    }

    /// Moves to the first row of a fresh iterator that goes back.
    fn start_backward(&mut self, rows: heed::Result<Backward<'a>>) -> Result<Option<Entry<'a>>> {
        match rows {
            Ok(mut rows) => {
                let row = rows.next();
                self.moving = Moving::Backward(rows);
                self.backward_on(row)
            }
            Err(error) => self.end(Some(Err(error)), Place::Before),
        }
    }

    fn forward_from(&mut self, from: Bound<&[u8]>) -> Result<Option<Entry<'a>>> {
        match self.table {
            Some(table) => self.start_forward(table.range(self.txn, &(from, Bound::Unbounded))),
            None => Ok(self.stop(Place::After)),
        }
    }

    fn backward_from(&mut self, from: Bound<&[u8]>) -> Result<Option<Entry<'a>>> {
        match self.table {
            Some(table) => {
                self.start_backward(table.rev_range(self.txn, &(Bound::Unbounded, from)))
            }
            None => Ok(self.stop(Place::Before)),
        }
    }

    fn move_first(&mut self) -> Result<Option<Entry<'a>>> {
        let Some(table) = self.table else {
            return Ok(self.stop(Place::After));
        };
        let start = self.range.start();
        if !start.is_empty() {
            let rows = table.range(self.txn, &(Bound::Included(start), Bound::Unbounded));
            return self.start_forward(rows);
        }
        match table.iter(self.txn) {
            Ok(mut rows) => {
                let row = rows.next();
                self.moving = Moving::Upwards(rows);
                self.forward_on(row)
            }
            Err(error) => self.end(Some(Err(error)), Place::After),
        }
    }

    fn move_last(&mut self) -> Result<Option<Entry<'a>>> {
        let Some(table) = self.table else {
            return Ok(self.stop(Place::Before));
        };
        if let Some(end) = self.range.end() {
            let rows = table.rev_range(self.txn, &(Bound::Unbounded, Bound::Excluded(end)));
            return self.start_backward(rows);
        }
        match table.rev_iter(self.txn) {
            Ok(mut rows) => {
                let row = rows.next();
                self.moving = Moving::Downwards(rows);
                self.backward_on(row)
            }
            Err(error) => self.end(Some(Err(error)), Place::Before),
        }
    }

    /// A step up without an iterator that goes there.
    fn turn_forward(&mut self) -> Result<Option<Entry<'a>>> {
        match self.place {
            Place::Before => self.move_first(),
            Place::On(key) => self.forward_from(Bound::Excluded(key)),
            Place::After => Ok(None),
        }
    }

    /// A step down without an iterator that goes there.
    fn turn_backward(&mut self) -> Result<Option<Entry<'a>>> {
        match self.place {
            Place::Before => Ok(None),
            Place::On(key) => self.backward_from(Bound::Excluded(key)),
            Place::After => self.move_last(),
        }
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
        let row = match &mut self.moving {
            Moving::Upwards(rows) => rows.next(),
            Moving::Forward(rows) => rows.next(),
            Moving::Not | Moving::Backward(_) | Moving::Downwards(_) => {
                return self.turn_forward();
            }
        };
        self.forward_on(row)
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        let row = match &mut self.moving {
            Moving::Downwards(rows) => rows.next(),
            Moving::Backward(rows) => rows.next(),
            Moving::Not | Moving::Forward(_) | Moving::Upwards(_) => {
                return self.turn_backward();
            }
        };
        self.backward_on(row)
    }

    /// The iterator is taken out meanwhile: a visitor that panics leaves the cursor without one, at
    /// the place where the scan began.
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        loop {
            let (row, place) = match mem::replace(&mut self.moving, Moving::Not) {
                Moving::Upwards(mut rows) => {
                    let ended = scan_rows(&mut rows, &self.range, visit);
                    self.moving = Moving::Upwards(rows);
                    ended
                }
                Moving::Forward(mut rows) => {
                    let ended = scan_rows(&mut rows, &self.range, visit);
                    self.moving = Moving::Forward(rows);
                    ended
                }
                Moving::Not | Moving::Backward(_) | Moving::Downwards(_) => {
                    match self.turn_forward()? {
                        Some(row) if visit(row.key, row.value).is_continue() => continue,
                        Some(_) | None => return Ok(()),
                    }
                }
            };
            if let Place::On(_) = place {
                self.place = place;
                return Ok(());
            }
            return self.end(row, place).map(|_| ());
        }
    }
}

/// Hands the rows of the range to the visitor. Gives the place of the row that it broke at; else
/// what is no row of the range.
#[inline(always)]
fn scan_rows<'a>(
    rows: &mut impl Iterator<Item = heed::Result<Row<'a>>>,
    range: &KeyRange,
    visit: &mut Visit<'_>,
) -> (Option<heed::Result<Row<'a>>>, Place<'a>) {
    loop {
        match rows.next() {
            Some(Ok((key, value))) if !key.is_empty() && range.is_below_end(key) => {
                if visit(key, value).is_break() {
                    return (None, Place::On(key));
                }
            }
            row => return (row, Place::After),
        }
    }
}
