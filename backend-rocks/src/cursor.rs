//! The cursor of views and write transactions: an iterator of the pool, kept inside its range by
//! comparing keys.
//!
//! Invariants: a cursor never leaves its range; after a move that found no row it stands before the
//! first or behind the last one. An iterator of the pool has no bounds of its own, so it may meet a
//! long run of deleted rows outside the range; it then gives up, and the cursor goes on from its
//! last row with an iterator that has them. Cost: one allocation at most, when the pool has no idle
//! iterator; a row costs RocksDB's step, a comparison and, inside bounds, a copy of one key in 64.

use std::fmt;

use smallvec::SmallVec;
use storage_api::{Cursor, Entry, KeyRange, Result, TableId, Visit};

use crate::error::{fail, skipped_too_many};
use crate::view::{Patience, RocksView, Walker};

/// Where a cursor stands, seen from its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    On,
    Behind,
}

/// Whose iterator it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// The view's, over the whole table, where no bound could help.
    Whole,
    /// The view's, which gives up on long runs of deleted rows.
    Pooled,
    /// The cursor's own, with the bounds of its range.
    Bounded,
    /// The view's, but an error happened in it.
    Spoilt,
}

/// A move of the iterator, already cut to the range.
#[derive(Clone, Copy)]
enum Move<'k> {
    First,
    Last,
    Seek(&'k [u8]),
    SeekBack(&'k [u8]),
    Next,
    Prev,
}

impl Move<'_> {
    const fn is_step(self) -> bool {
        matches!(self, Self::Next | Self::Prev)
    }

    const fn is_upwards(self) -> bool {
        matches!(self, Self::First | Self::Seek(_) | Self::Next)
    }
}

/// Steps from a mark until the next one is made.
const STEPS_MAX: u32 = 64;

/// A row, and how many steps in one direction led from it to the row that was lent last. Copying
/// every key would cost a short range a twentieth of its time.
#[derive(Default)]
struct Mark {
    key: SmallVec<[u8; 40]>,
    steps: u32,
    upwards: bool,
}

impl Mark {
    /// Notes the row that a move led to.
    #[inline(always)]
    fn note(&mut self, key: &[u8], to: Move<'_>) {
        let goes_on = to.is_step() && self.upwards == to.is_upwards() && self.steps < STEPS_MAX;
        if goes_on {
            self.steps += 1;
        } else {
            self.set(key, to.is_upwards());
        }
    }

    #[inline(never)]
    fn set(&mut self, key: &[u8], upwards: bool) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.steps = 0;
        self.upwards = upwards;
    }

    /// Takes an iterator to the row that was lent last.
    fn find(&self, walker: &mut Walker) {
        walker.go(|rows| {
            rows.seek(&self.key);
            for _ in 0..self.steps {
                if self.upwards {
                    rows.next();
                } else {
                    rows.prev();
                }
            }
        });
    }
}

/// A cursor over a range of one table.
pub struct RocksCursor<'v> {
    view: &'v RocksView,
    table: TableId,
    range: KeyRange,
    place: Place,
    lane: Lane,
    /// The way back to the row that the iterator of the pool stood on last.
    mark: Mark,
    /// Absent when the files do not have the table.
    walker: Option<Walker>,
}

impl fmt::Debug for RocksCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksCursor")
            .field("table", &self.table)
            .field("place", &self.place)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl<'v> RocksCursor<'v> {
    pub(crate) fn new(view: &'v RocksView, table: TableId, range: KeyRange) -> Self {
        let (lane, patience) = if range.is_all() {
            (Lane::Whole, Patience::Endless)
        } else {
            (Lane::Pooled, Patience::Short)
        };
        Self {
            walker: view.take(table, patience),
            view,
            table,
            range,
            place: Place::Before,
            lane,
            mark: Mark::default(),
        }
    }

    /// Moves and lends the row, unless there is none in the range.
    #[inline(always)]
    fn go(&mut self, to: Move<'_>) -> Result<Option<Entry<'_>>> {
        let Some(walker) = &mut self.walker else {
            return Ok(None);
        };
        perform(walker, to, &self.range);
        if !walker.rows().valid() {
            self.settle(to)?;
        }
        Ok(self.lend(to))
    }

    /// Finds out why the iterator stands on no row, and goes on with another if it gave up.
    #[cold]
    fn settle(&mut self, to: Move<'_>) -> Result<()> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        match walker.rows().status() {
            Ok(()) => return Ok(()),
            Err(error) if self.lane == Lane::Pooled && skipped_too_many(&error) => {}
            Err(error) => {
                self.lane = Lane::Spoilt;
                return Err(fail(error, self.view.db().path()));
            }
        }
        let Some(mut bounded) = self.view.bounded(self.table, &self.range) else {
            return Ok(());
        };
        resume(&mut bounded, to, &self.range, &self.mark);
        let status = bounded.rows().status();
        if let Some(pooled) = self.walker.replace(bounded) {
            self.view.put_back(self.table, Patience::Short, pooled);
        }
        self.lane = Lane::Bounded;
        status.map_err(|error| {
            self.lane = Lane::Spoilt;
            fail(error, self.view.db().path())
        })
    }

    /// The iterator's row, if it is one of the range.
    #[inline(always)]
    fn lend(&mut self, to: Move<'_>) -> Option<Entry<'_>> {
        let upwards = to.is_upwards();
        let row = self.walker.as_ref().and_then(|walker| walker.rows().item());
        match row {
            Some((key, value)) if holds(&self.range, key, upwards) => {
                self.place = Place::On;
                if self.lane == Lane::Pooled {
                    self.mark.note(key, to);
                }
                Some(Entry { key, value })
            }
            _ => {
                self.place = if upwards {
                    Place::Behind
                } else {
                    Place::Before
                };
                None
            }
        }
    }
}

/// Whether the range holds a key that was reached upwards from its start or downwards from its end.
#[inline]
fn holds(range: &KeyRange, key: &[u8], upwards: bool) -> bool {
    if upwards {
        range.is_below_end(key)
    } else {
        key >= range.start()
    }
}

#[inline(always)]
fn perform(walker: &mut Walker, to: Move<'_>, range: &KeyRange) {
    walker.go(|rows| match to {
        Move::Next => rows.next(),
        Move::Prev => rows.prev(),
        Move::Seek(key) => rows.seek(key),
        Move::SeekBack(key) => rows.seek_for_prev(key),
        Move::First if range.start().is_empty() => rows.seek_to_first(),
        Move::First => rows.seek(range.start()),
        Move::Last => match range.end() {
            None => rows.seek_to_last(),
            Some(end) => {
                rows.seek_for_prev(end);
                if rows.key() == Some(end) {
                    rows.prev();
                }
            }
        },
    });
}

/// The same move by a fresh iterator, from the row that the one before stood on.
fn resume(walker: &mut Walker, to: Move<'_>, range: &KeyRange, mark: &Mark) {
    if to.is_step() {
        mark.find(walker);
    }
    perform(walker, to, range);
}

impl Drop for RocksCursor<'_> {
    fn drop(&mut self) {
        let patience = match self.lane {
            Lane::Whole => Patience::Endless,
            Lane::Pooled => Patience::Short,
            Lane::Bounded | Lane::Spoilt => return,
        };
        if let Some(walker) = self.walker.take() {
            self.view.put_back(self.table, patience, walker);
        }
    }
}

impl Cursor for RocksCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.go(Move::First)
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.go(Move::Last)
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if key <= self.range.start() {
            return self.go(Move::First);
        }
        if !self.range.is_below_end(key) {
            self.place = Place::Behind;
            return Ok(None);
        }
        self.go(Move::Seek(key))
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if !self.range.is_below_end(key) {
            return self.go(Move::Last);
        }
        if key < self.range.start() {
            self.place = Place::Before;
            return Ok(None);
        }
        self.go(Move::SeekBack(key))
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        match self.place {
            Place::On => self.go(Move::Next),
            Place::Before => self.first(),
            Place::Behind => Ok(None),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        match self.place {
            Place::On => self.go(Move::Prev),
            Place::Before => Ok(None),
            Place::Behind => self.last(),
        }
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let mut to = match self.place {
            Place::On => Move::Next,
            Place::Before => Move::First,
            Place::Behind => return Ok(()),
        };
        loop {
            let Some(walker) = &mut self.walker else {
                return Ok(());
            };
            perform(walker, to, &self.range);
            let flow = match walker.rows().item() {
                Some((key, value)) if self.range.is_below_end(key) => {
                    self.place = Place::On;
                    if self.lane == Lane::Pooled {
                        self.mark.note(key, to);
                    }
                    visit(key, value)
                }
                Some(_) => {
                    self.place = Place::Behind;
                    return Ok(());
                }
                None => {
                    self.settle(to)?;
                    match self.lend(to) {
                        Some(Entry { key, value }) => visit(key, value),
                        None => return Ok(()),
                    }
                }
            };
            if flow.is_break() {
                return Ok(());
            }
            to = Move::Next;
        }
    }
}
