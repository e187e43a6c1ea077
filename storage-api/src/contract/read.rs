//! Reading: [`Reader`] for gets and cursors, [`Cursor`] for ordered movement, [`ReadTxn`] for an
//! owned consistent view.
//!
//! Invariants: a reader never changes under its user (traps 7 and 10); what a key held when the
//! view began is what it holds until the view drops. A cursor never leaves its range. Cost: a get
//! allocates nothing beyond the engine's own work; a cursor allocates at most once and nothing per
//! row.

use std::ops::{ControlFlow, Deref};

use crate::commit::CommitSeq;
use crate::error::Result;
use crate::range::KeyRange;
use crate::table::TableId;

/// A row lent by a cursor until its next move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// A number of rows and whether it is exact (trap 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly this many.
    Exact(u64),
    /// About this many.
    Estimate(u64),
}

impl Count {
    /// The number, whatever its exactness.
    #[must_use]
    pub const fn get(self) -> u64 {
        match self {
            Self::Exact(rows) | Self::Estimate(rows) => rows,
        }
    }

    /// Whether it is exact.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

/// Anything that can be read: a view, a write transaction, an overlay.
pub trait Reader {
    /// A borrowed value, usable as `&[u8]`, which the reader outlives.
    type Value<'a>: Deref<Target = [u8]>
    where
        Self: 'a;

    /// A cursor over this reader.
    type Cursor<'a>: Cursor
    where
        Self: 'a;

    /// The value of a key, or `None`. An empty key and a key past the limit are absent (traps 1 and
    /// 2).
    ///
    /// # Errors
    /// `UnknownTable`, `Corruption`, `ReaderTooOld`, `Io`.
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>>;

    /// A cursor over a range of a table, standing before its first row.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>>;

    /// How many rows the table has, in constant time; see [`crate::Capabilities::count`].
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn count(&self, table: TableId) -> Result<Count>;

    /// Whether the key is present.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        Ok(self.get(table, key)?.is_some())
    }

    /// Hands the value to `sink` if the key is present, and says whether it was. Never allocates,
    /// on the erased form too.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.get(table, key)?;
        if let Some(value) = &value {
            sink(value);
        }
        Ok(value.is_some())
    }

    /// Looks several keys up and hands each answer to `sink` with its place in `keys`, each place
    /// once, in any order.
    ///
    /// # Errors
    /// As [`Reader::get`], of no keys too; `sink` may have been called for some of the keys.
    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        if keys.is_empty() {
            // The table is refused or not, whatever is asked of it.
            return self.count(table).map(drop);
        }
        for (at, key) in keys.iter().enumerate() {
            sink(at, self.get(table, key)?.as_deref());
        }
        Ok(())
    }
}

/// Ordered movement over a range. A move that finds no row returns `None` and leaves the cursor
/// usable: behind the last row `prev` steps back onto it, before the first row `next` steps onto
/// it.
///
/// A fresh cursor stands before the first row, so `next` gives the first; `prev` on a fresh one
/// gives `None`. After an error that is a corruption of one row's envelope, the cursor stands on
/// that row and can move on.
pub trait Cursor {
    /// Moves to the first row of the range.
    ///
    /// # Errors
    /// `Corruption`, `ReaderTooOld`, `Io`.
    fn first(&mut self) -> Result<Option<Entry<'_>>>;

    /// Moves to the last row of the range.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn last(&mut self) -> Result<Option<Entry<'_>>>;

    /// Moves to the first row at or after `key` inside the range; a key before the range means its
    /// beginning.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>>;

    /// Moves to the last row at or before `key` inside the range; a key behind the range means its
    /// end.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>>;

    /// Moves to the next row.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn next(&mut self) -> Result<Option<Entry<'_>>>;

    /// Moves to the previous row.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn prev(&mut self) -> Result<Option<Entry<'_>>>;

    /// Moves on from row to row as [`Cursor::next`] does and hands each to `visit`, until it breaks
    /// or no row is left. The cursor then stands where that last move led it: on the row that
    /// `visit` broke at, or behind the last row. Cost: what a move costs besides the engine's own
    /// step is paid once a scan and not once a row, in the erased form too.
    ///
    /// # Errors
    /// As [`Cursor::next`]; `visit` may have been called for some of the rows.
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        while let Some(entry) = self.next()? {
            if visit(entry.key, entry.value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// What takes the rows of a scan, key before value, and breaks to end it.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// An owned, consistent view of all tables at one commit. It may move between threads, and it
/// outlives the store's handle (which keeps the directory locked until the view drops). Not
/// promised `Sync`: begin one per thread.
pub trait ReadTxn: Reader + Send + 'static {
    /// The last ordered commit that this view sees.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn commit_seq(&self) -> Result<CommitSeq>;
}

/// Conveniences on every reader. They copy where they say so.
pub trait ReaderExt: Reader {
    /// The value of a key as an owned copy.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn get_copied(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.get(table, key)?.map(|value| value.to_vec()))
    }

    /// Hands every row of the range to `visit`, in order, until it breaks. Cost: one cursor.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn scan(
        &self,
        table: TableId,
        range: KeyRange,
        mut visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.cursor(table, range)?
            .scan(&mut |key, value| visit(Entry { key, value }))
    }

    /// The rows of the range as an iterator of owned copies; two allocations a row.
    ///
    /// # Errors
    /// As [`Reader::cursor`]; each row can fail as [`Cursor::next`].
    fn rows(&self, table: TableId, range: KeyRange) -> Result<Rows<Self::Cursor<'_>>> {
        Ok(Rows {
            cursor: self.cursor(table, range)?,
            failed: false,
        })
    }

    /// The exact number of rows. Cost: constant where `count` is exact, a scan elsewhere.
    ///
    /// # Errors
    /// As [`Cursor::first`].
    fn count_exact(&self, table: TableId) -> Result<u64> {
        if let Count::Exact(rows) = self.count(table)? {
            return Ok(rows);
        }
        let mut rows = 0;
        self.cursor(table, KeyRange::all())?.scan(&mut |_, _| {
            rows += 1;
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

impl<R: Reader + ?Sized> ReaderExt for R {}

/// Owned rows of a cursor, in order; ends after the first error.
#[derive(Debug)]
pub struct Rows<C> {
    cursor: C,
    failed: bool,
}

impl<C: Cursor> Iterator for Rows<C> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.cursor.next() {
            Ok(row) => row.map(|row| Ok((row.key.to_vec(), row.value.to_vec()))),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
