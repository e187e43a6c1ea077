//! What a [`crate::DynStore`] begins: [`DynReadTxn`], [`DynWriteTxn`], and the [`DynValue`] and
//! [`DynCursor`] they lend.
//!
//! Invariants: every call is passed on; a write transaction is not `Send`, whatever is behind it.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::commit::{Commit, CommitSeq, Durability};
use crate::contract::{Count, Cursor, Entry, ReadTxn, Reader, Savepoint, Visit, WriteTxn, Writer};
use crate::erased::traits::{ErasedReadTxn, ErasedReader, ErasedWriteTxn};
use crate::error::Result;
use crate::range::KeyRange;
use crate::table::TableId;

/// A copied value; up to 64 bytes of it without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynValue(SmallVec<[u8; 64]>);

impl Deref for DynValue {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A cursor of any type.
pub struct DynCursor<'a>(Box<dyn Cursor + 'a>);

impl fmt::Debug for DynCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynCursor").finish_non_exhaustive()
    }
}

impl Cursor for DynCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.0.first()
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.0.last()
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.0.seek(key)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.0.seek_back(key)
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.0.next()
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.0.prev()
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.0.scan(visit)
    }
}

fn get(
    reader: &(impl ErasedReader + ?Sized),
    table: TableId,
    key: &[u8],
) -> Result<Option<DynValue>> {
    // Made of the whole slice at once: a value that grows takes twice the time.
    let mut value = None;
    reader.erased_get_with(table, key, &mut |bytes| {
        value = Some(DynValue(SmallVec::from_slice(bytes)));
    })?;
    Ok(value)
}

/// A view of any store.
pub struct DynReadTxn(Box<dyn ErasedReadTxn>);

impl fmt::Debug for DynReadTxn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynReadTxn").finish_non_exhaustive()
    }
}

impl DynReadTxn {
    pub(super) fn new(view: Box<dyn ErasedReadTxn>) -> Self {
        Self(view)
    }
}

impl Reader for DynReadTxn {
    type Value<'a> = DynValue;
    type Cursor<'a> = DynCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<DynValue>> {
        get(&*self.0, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<DynCursor<'_>> {
        self.0.erased_cursor(table, range).map(DynCursor)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.0.erased_count(table)
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        self.0.erased_contains(table, key)
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.0.erased_get_with(table, key, sink)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.0.erased_multi_get(table, keys, sink)
    }
}

impl ReadTxn for DynReadTxn {
    fn commit_seq(&self) -> Result<CommitSeq> {
        self.0.erased_commit_seq()
    }
}

/// The write transaction of any store.
#[must_use = "dropping a write transaction aborts it"]
pub struct DynWriteTxn<'s>(Box<dyn ErasedWriteTxn + 's>);

impl fmt::Debug for DynWriteTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynWriteTxn").finish_non_exhaustive()
    }
}

impl<'s> DynWriteTxn<'s> {
    pub(super) fn new(txn: Box<dyn ErasedWriteTxn + 's>) -> Self {
        Self(txn)
    }
}

impl Reader for DynWriteTxn<'_> {
    type Value<'a>
        = DynValue
    where
        Self: 'a;

    type Cursor<'a>
        = DynCursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<DynValue>> {
        get(&*self.0, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<DynCursor<'_>> {
        self.0.erased_cursor(table, range).map(DynCursor)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.0.erased_count(table)
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        self.0.erased_contains(table, key)
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.0.erased_get_with(table, key, sink)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.0.erased_multi_get(table, keys, sink)
    }
}

impl Writer for DynWriteTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.0.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.0.delete_range(table, range)
    }
}

impl WriteTxn for DynWriteTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.0.erased_savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.0.erased_rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.0.erased_release(savepoint)
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        self.0.erased_commit(durability)
    }

    fn abort(self) -> Result<()> {
        self.0.erased_abort()
    }
}
