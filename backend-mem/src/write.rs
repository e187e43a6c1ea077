//! The write transaction: a private version, published whole by the commit.
//!
//! Invariants: readers see nothing of it before the commit; a savepoint is a clone of the roots, so
//! taking one and going back cost the number of tables; the memory limit is checked at every put,
//! before anything is published.

use std::fmt;

use backend_kit::{CommitFailure, RawBatch, RawTxn};
use storage_api::{Count, Durability, Error, ErrorKind, KeyRange, Reader, Result, TableId, Writer};

use crate::engine::{COPIED_BYTES_MAX, MemEngine, memory_bytes};
use crate::read::{MemCursor, table};
use crate::tree::Tree;

/// The write transaction.
pub struct MemTxn<'e> {
    engine: &'e MemEngine,
    tables: Vec<Tree>,
    savepoints: Vec<Vec<Tree>>,
    memory_bytes: u64,
    written_bytes: u64,
}

impl fmt::Debug for MemTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemTxn")
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

impl<'e> MemTxn<'e> {
    pub(crate) fn new(engine: &'e MemEngine) -> Self {
        let tables = engine.roots().to_vec();
        let memory_bytes = memory_bytes(&tables);
        Self {
            engine,
            tables,
            savepoints: Vec::new(),
            memory_bytes,
            written_bytes: 0,
        }
    }

    /// The memory limit of the store.
    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        self.engine.limit_bytes()
    }

    /// Memory of all tables of this version.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Puts a tree that was built elsewhere in a table's place.
    pub(crate) fn replace(&mut self, id: TableId, tree: Tree, written_bytes: u64) -> Result<()> {
        self.written_bytes += written_bytes;
        self.change(id, |table| *table = tree)?;
        match self.engine.limit_bytes() {
            Some(limit_bytes) if self.memory_bytes > limit_bytes => {
                Err(Error::new(ErrorKind::Full { limit_bytes }))
            }
            _ => Ok(()),
        }
    }

    /// Changes one table and keeps the sum of memory.
    fn change<T>(&mut self, id: TableId, change: impl FnOnce(&mut Tree) -> T) -> Result<T> {
        let table = self.tables.get_mut(id.index()).ok_or_else(|| {
            Error::new(ErrorKind::UnknownTable {
                table: id.to_string(),
            })
        })?;
        let before = table.memory_bytes() as u64;
        let done = change(table);
        let after = table.memory_bytes() as u64;
        self.memory_bytes = (self.memory_bytes + after).saturating_sub(before);
        Ok(done)
    }
}

impl Reader for MemTxn<'_> {
    type Value<'a>
        = &'a [u8]
    where
        Self: 'a;
    type Cursor<'a>
        = MemCursor<'a>
    where
        Self: 'a;

    fn get(&self, id: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(table(&self.tables, id)?.get(key))
    }

    fn cursor(&self, id: TableId, range: KeyRange) -> Result<MemCursor<'_>> {
        Ok(MemCursor::new(table(&self.tables, id)?, range))
    }

    fn count(&self, id: TableId) -> Result<Count> {
        Ok(Count::Exact(table(&self.tables, id)?.len() as u64))
    }
}

impl Writer for MemTxn<'_> {
    fn put(&mut self, id: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.written_bytes += (key.len() + value.len()) as u64 + COPIED_BYTES_MAX;
        self.change(id, |table| table.insert(key, value))?;
        match self.engine.limit_bytes() {
            Some(limit_bytes) if self.memory_bytes > limit_bytes => {
                Err(Error::new(ErrorKind::Full { limit_bytes }))
            }
            _ => Ok(()),
        }
    }

    fn delete(&mut self, id: TableId, key: &[u8]) -> Result<()> {
        self.written_bytes += COPIED_BYTES_MAX;
        self.change(id, |table| table.remove(key)).map(|_| ())
    }

    fn delete_range(&mut self, id: TableId, range: &KeyRange) -> Result<()> {
        self.change(id, |table| table.remove_range(range.start(), range.end()))
            .map(|_| ())
    }
}

impl RawBatch for MemTxn<'_> {
    fn commit(self, _durability: Durability) -> Result<(), CommitFailure> {
        self.engine.publish(self.tables, self.written_bytes);
        Ok(())
    }
}

impl RawTxn for MemTxn<'_> {
    const NATIVE_SAVEPOINTS: bool = true;

    fn push_savepoint(&mut self) -> Result<()> {
        self.savepoints.push(self.tables.clone());
        Ok(())
    }

    fn rollback_to_depth(&mut self, depth: u32) -> Result<()> {
        self.savepoints.truncate(depth as usize + 1);
        if let Some(kept) = self.savepoints.last() {
            self.tables.clone_from(kept);
            self.memory_bytes = memory_bytes(&self.tables);
        }
        Ok(())
    }

    fn release_depth(&mut self, depth: u32) -> Result<()> {
        self.savepoints.truncate(depth as usize);
        Ok(())
    }
}
