//! [`Overlay`]: writes and the reader they lie over, together; itself a [`Reader`] and a
//! [`Writer`].
//!
//! Invariant: everything is [`OverlayWrites`] over the one base; overlays can lie over overlays.

use std::fmt;
use std::ops::Deref;

use crate::contract::{Count, Reader, Savepoint, WriteBatch, Writer};
use crate::error::Result;
use crate::overlay::cursor::OverlayCursor;
use crate::overlay::writes::OverlayWrites;
use crate::range::KeyRange;
use crate::table::TableId;

/// A value read through an overlay: written in it, or found in its base.
#[derive(Clone, Copy, Debug)]
pub enum OverlayValue<'a, V> {
    /// Written in the overlay.
    Own(&'a [u8]),
    /// Found in the base.
    Base(V),
}

impl<V: Deref<Target = [u8]>> Deref for OverlayValue<'_, V> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(value) => value,
            Self::Base(value) => value,
        }
    }
}

/// Uncommitted writes over a reader: reads see the base with the writes applied; the base itself is
/// untouched.
///
/// The key rules of the contract are the owner's to check before it writes. Dropping forgets the
/// writes.
pub struct Overlay<R> {
    base: R,
    writes: OverlayWrites,
}

impl<R> fmt::Debug for Overlay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("writes", &self.writes)
            .finish_non_exhaustive()
    }
}

impl<R> Overlay<R> {
    /// No writes over this reader, which must not change while the overlay lives.
    #[must_use]
    pub fn new(base: R) -> Self {
        Self::from_parts(base, OverlayWrites::new())
    }

    /// These writes over this reader; the inverse of [`Overlay::into_parts`].
    #[must_use]
    pub fn from_parts(base: R, writes: OverlayWrites) -> Self {
        Self { base, writes }
    }

    /// The reader and the writes.
    #[must_use]
    pub fn into_parts(self) -> (R, OverlayWrites) {
        (self.base, self.writes)
    }

    /// The reader underneath, without the writes.
    #[must_use]
    pub fn base(&self) -> &R {
        &self.base
    }

    /// The writes alone.
    #[must_use]
    pub fn writes(&self) -> &OverlayWrites {
        &self.writes
    }

    /// Every operation, in order.
    #[must_use]
    pub fn batch(&self) -> &WriteBatch {
        self.writes.batch()
    }

    /// Every operation, in order; the reader is dropped.
    #[must_use]
    pub fn into_batch(self) -> WriteBatch {
        self.writes.into_batch()
    }

    /// Forgets all writes and savepoints and keeps the memory.
    pub fn clear(&mut self) {
        self.writes.clear();
    }

    /// Marks the present state; marks nest.
    ///
    /// # Errors
    /// As [`OverlayWrites::savepoint`].
    pub fn savepoint(&mut self) -> Result<Savepoint> {
        self.writes.savepoint()
    }

    /// Takes back everything written since the mark; the mark stays, marks inside it are gone.
    ///
    /// # Errors
    /// As [`OverlayWrites::rollback_to`].
    pub fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.writes.rollback_to(savepoint)
    }

    /// Forgets the mark and marks inside it, keeping what was written.
    ///
    /// # Errors
    /// As [`OverlayWrites::release`].
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.writes.release(savepoint)
    }
}

impl<R: Reader> Reader for Overlay<R> {
    type Value<'a>
        = OverlayValue<'a, R::Value<'a>>
    where
        Self: 'a;

    type Cursor<'a>
        = OverlayCursor<'a, R::Cursor<'a>>
    where
        Self: 'a;

    #[inline]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.writes.get(&self.base, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.writes.cursor(&self.base, table, range)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.writes.count(&self.base, table)
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        self.writes.contains(&self.base, table, key)
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.writes.get_with(&self.base, table, key, sink)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.writes.multi_get(&self.base, table, keys, sink)
    }
}

impl<R> Writer for Overlay<R> {
    #[inline]
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.writes.put(table, key, value)
    }

    #[inline]
    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.writes.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.writes.delete_range(table, range)
    }
}
