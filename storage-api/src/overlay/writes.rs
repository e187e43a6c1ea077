//! [`OverlayWrites`]: the writes of an overlay without a reader, readable over any base that is
//! lent to it.
//!
//! Invariants: the batch holds every operation in order; the index is either ready for the whole
//! batch (in `ready`, only while nobody can write, since writing needs `&mut`) or parked with a
//! prefix of it. That is why a cursor may hold plain borrows of the index. Always read one
//! `OverlayWrites` over one and the same base, or its answers mean nothing.

use std::cell::{Cell, OnceCell};
use std::fmt;

use crate::contract::{Count, Cursor, Reader, Savepoint, WriteBatch, Writer};
use crate::error::{Error, Result};
use crate::overlay::cursor::OverlayCursor;
use crate::overlay::index::{Index, TableIndex};
use crate::overlay::reader::OverlayValue;
use crate::range::KeyRange;
use crate::table::TableId;

/// Ordered writes with savepoints, and the state they give over a base.
///
/// `Send`, not `Sync`. The key rules of the contract are the owner's to check before it writes.
#[derive(Default)]
pub struct OverlayWrites {
    batch: WriteBatch,
    marks: Vec<usize>,
    ready: OnceCell<Index>,
    parked: Cell<Index>,
}

impl fmt::Debug for OverlayWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayWrites")
            .field("operations", &self.batch.len())
            .field("payload_bytes", &self.batch.payload_bytes())
            .field("savepoints", &self.marks.len())
            .field("indexed", &self.ready.get().is_some())
            .finish()
    }
}

/// What the overlay itself knows of a key.
enum State<'w> {
    Put(&'w [u8]),
    Deleted,
    Unwritten,
}

impl OverlayWrites {
    /// No writes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Every operation, in order.
    #[must_use]
    pub fn batch(&self) -> &WriteBatch {
        &self.batch
    }

    /// Every operation, in order; the overlay is used up.
    #[must_use]
    pub fn into_batch(self) -> WriteBatch {
        self.batch
    }

    /// Forgets all writes and savepoints and keeps the batch's memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.marks.clear();
        *self.parked_index() = Index::default();
    }

    /// The index of the whole batch.
    #[inline]
    fn index(&self) -> &Index {
        self.ready.get_or_init(|| {
            let mut index = self.parked.take();
            index.catch_up(&self.batch, self.marks.first().copied());
            index
        })
    }

    /// Parks the index, since the batch is about to grow.
    #[inline]
    fn park(&mut self) {
        if self.ready.get().is_some()
            && let Some(index) = self.ready.take()
        {
            self.parked.set(index);
        }
    }

    fn parked_index(&mut self) -> &mut Index {
        self.park();
        self.parked.get_mut()
    }

    #[inline]
    fn state<'w>(&'w self, own: &'w TableIndex, key: &[u8]) -> State<'w> {
        match own.entries.get(key) {
            Some(slot) => slot.value(&self.batch).map_or(State::Deleted, State::Put),
            None if own.hidden.contains(key) => State::Deleted,
            None => State::Unwritten,
        }
    }

    /// The value of a key over `base`, as [`Reader::get`]. Allocates nothing beside what the index
    /// needs.
    ///
    /// # Errors
    /// As the base's [`Reader::get`].
    #[inline]
    pub fn get<'a, R: Reader>(
        &'a self,
        base: &'a R,
        table: TableId,
        key: &[u8],
    ) -> Result<Option<OverlayValue<'a, R::Value<'a>>>> {
        if let Some(own) = self.index().table(table) {
            match self.state(own, key) {
                State::Put(value) => return Ok(Some(OverlayValue::Own(value))),
                State::Deleted => return Ok(None),
                State::Unwritten => {}
            }
        }
        if key.is_empty() {
            return Ok(None);
        }
        Ok(base.get(table, key)?.map(OverlayValue::Base))
    }

    /// Whether the key is present over `base`, as [`Reader::contains`].
    ///
    /// # Errors
    /// As the base's [`Reader::contains`].
    pub fn contains<R: Reader>(&self, base: &R, table: TableId, key: &[u8]) -> Result<bool> {
        if let Some(own) = self.index().table(table) {
            match self.state(own, key) {
                State::Put(_) => return Ok(true),
                State::Deleted => return Ok(false),
                State::Unwritten => {}
            }
        }
        Ok(!key.is_empty() && base.contains(table, key)?)
    }

    /// Hands the value of a key over `base` to `sink`, as [`Reader::get_with`].
    ///
    /// # Errors
    /// As the base's [`Reader::get_with`].
    pub fn get_with<R: Reader>(
        &self,
        base: &R,
        table: TableId,
        key: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        if let Some(own) = self.index().table(table) {
            match self.state(own, key) {
                State::Put(value) => {
                    sink(value);
                    return Ok(true);
                }
                State::Deleted => return Ok(false),
                State::Unwritten => {}
            }
        }
        Ok(!key.is_empty() && base.get_with(table, key, sink)?)
    }

    /// Looks several keys up over `base`, as [`Reader::multi_get`]: one call of the base for the
    /// keys not written here. Cost beside that: two allocations when the table has own writes.
    ///
    /// # Errors
    /// As the base's [`Reader::multi_get`].
    pub fn multi_get<R: Reader>(
        &self,
        base: &R,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let Some(own) = self.index().table(table).filter(|_| !keys.is_empty()) else {
            return base.multi_get(table, keys, sink);
        };
        let mut places = Vec::with_capacity(keys.len());
        let mut unwritten = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().enumerate() {
            match self.state(own, key) {
                State::Put(value) => sink(place, Some(value)),
                State::Deleted => sink(place, None),
                State::Unwritten => {
                    places.push(place);
                    unwritten.push(*key);
                }
            }
        }
        if unwritten.is_empty() {
            return Ok(());
        }
        base.multi_get(table, &unwritten, &mut |at, value| {
            if let Some(place) = places.get(at) {
                sink(*place, value);
            }
        })
    }

    /// A cursor over `base` with the writes applied, as [`Reader::cursor`]. It allocates nothing of
    /// its own unless keys are longer than 40 bytes or values of the base stand between own rows;
    /// then buffers grow once and are reused.
    ///
    /// # Errors
    /// As the base's [`Reader::cursor`].
    pub fn cursor<'a, R: Reader>(
        &'a self,
        base: &'a R,
        table: TableId,
        range: KeyRange,
    ) -> Result<OverlayCursor<'a, R::Cursor<'a>>> {
        match self.index().table(table) {
            None => Ok(OverlayCursor::plain(base.cursor(table, range)?)),
            Some(own) => {
                let cursor = base.cursor(table, range.clone())?;
                Ok(OverlayCursor::over(cursor, own, &self.batch, range))
            }
        }
    }

    /// How many rows the table has over `base`; exact exactly when the base's count is.
    ///
    /// Cost: constant without own writes to the table and where the base estimates. An exact count
    /// costs one lookup in the base for each own key, and a scan of what range deletes hide there
    /// unless that is the whole table.
    ///
    /// # Errors
    /// As the base's [`Reader::count`], [`Reader::contains`] and [`Reader::cursor`].
    pub fn count<R: Reader>(&self, base: &R, table: TableId) -> Result<Count> {
        let rows = base.count(table)?;
        let Some(own) = self.index().table(table) else {
            return Ok(rows);
        };
        match rows {
            Count::Estimate(_) if own.hidden.is_all() => Ok(Count::Estimate(own.puts() as u64)),
            Count::Estimate(rows) => {
                let rows = rows.saturating_add(own.puts() as u64);
                Ok(Count::Estimate(rows.saturating_sub(own.deletes() as u64)))
            }
            Count::Exact(_) if own.hidden.is_all() => Ok(Count::Exact(own.puts() as u64)),
            Count::Exact(rows) => {
                let gone = hidden_rows(base, table, own)?;
                let mut rows = rows.saturating_sub(gone);
                for (key, slot) in &own.entries {
                    let visible = !own.hidden.contains(key) && base.contains(table, key)?;
                    match (slot.is_put(), visible) {
                        (true, false) => rows += 1,
                        (false, true) => rows = rows.saturating_sub(1),
                        _ => {}
                    }
                }
                Ok(Count::Exact(rows))
            }
        }
    }

    /// Marks the present state, as [`crate::WriteTxn::savepoint`].
    ///
    /// # Errors
    /// `InvalidArgument` when there are 2^32 of them.
    pub fn savepoint(&mut self) -> Result<Savepoint> {
        let depth = u32::try_from(self.marks.len())
            .map_err(|_| Error::invalid("2^32 savepoints are open already"))?;
        self.marks.push(self.batch.len());
        Ok(Savepoint::at_depth(depth))
    }

    /// Takes back everything written since the mark, which stays, as
    /// [`crate::WriteTxn::rollback_to`]. Cost: that of the operations taken back.
    ///
    /// # Errors
    /// `InvalidArgument` when the mark is gone.
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let (depth, len) = self.mark(savepoint)?;
        self.marks.truncate(depth + 1);
        self.park();
        self.parked.get_mut().unwind(&self.batch, len);
        self.batch.truncate(len);
        Ok(())
    }

    /// Forgets the mark and marks inside it, keeping what was written, as
    /// [`crate::WriteTxn::release`].
    ///
    /// # Errors
    /// `InvalidArgument` when the mark is gone.
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        let (depth, _) = self.mark(savepoint)?;
        self.marks.truncate(depth);
        if depth == 0 {
            self.parked_index().forget_undo();
        }
        Ok(())
    }

    fn mark(&self, savepoint: Savepoint) -> Result<(usize, usize)> {
        let depth = savepoint.depth() as usize;
        let len = self.marks.get(depth).ok_or_else(|| {
            Error::invalid(format!(
                "savepoint of depth {depth} is gone or not of this transaction, which has {}",
                self.marks.len()
            ))
        })?;
        Ok((depth, *len))
    }

    #[cfg(test)]
    pub(super) fn indexed_now(&mut self) -> &Index {
        self.parked_index()
    }
}

fn hidden_rows<R: Reader>(base: &R, table: TableId, own: &TableIndex) -> Result<u64> {
    let mut rows = 0;
    for range in own.hidden.ranges() {
        let mut cursor = base.cursor(table, range)?;
        while cursor.next()?.is_some() {
            rows += 1;
        }
    }
    Ok(rows)
}

impl Writer for OverlayWrites {
    #[inline]
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.park();
        self.batch.put(table, key, value)
    }

    #[inline]
    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.park();
        self.batch.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.park();
        self.batch.delete_range(table, range)
    }
}
