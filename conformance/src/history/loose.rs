//! A store of weaker isolation than is promised, for the tests of the checker: its transactions do
//! not exclude each other.
//!
//! Invariants: a transaction reads the state at its beginning and its own writes; a commit is
//! atomic. With [`Rule::FirstWins`] that is snapshot isolation, which allows write skew and nothing
//! else; with [`Rule::LastWins`] updates are lost as well.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use storage_api::overlay::Overlay;
use storage_api::{
    BatchOp, Capabilities, Catalogue, Commit, Count, Durability, ErrorKind, KeyRange, KvStore,
    OpenOptions, Reader, ReaderExt, Result, Savepoint, Schema, StoreStats, TableDef, TableId,
    TableStats, WriteBatch, WriteTxn, Writer,
};

use crate::model::{Medium, ModelDisk, ModelStore, ModelView};

/// Who goes on when two transactions write one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The first to commit; the other is told of a conflict.
    FirstWins,
    /// Both, and the last to commit is what is left.
    LastWins,
}

/// The model without its gate.
pub(super) struct LooseStore {
    inner: ModelStore,
    rule: Rule,
    /// Held by a commit while it compares and applies.
    committing: Mutex<()>,
}

impl LooseStore {
    /// A new store in memory with these tables.
    pub(super) fn new(rule: Rule, tables: &[TableDef]) -> Result<Self> {
        let disk = Arc::new(ModelDisk::new(Medium::Memory));
        let (inner, _) = ModelStore::open(&disk, &Schema::new(tables)?, &OpenOptions::new())?;
        Ok(Self {
            inner,
            rule,
            committing: Mutex::new(()),
        })
    }
}

/// A transaction beside others.
pub(super) struct LooseTxn<'s> {
    overlay: Overlay<ModelView>,
    store: &'s LooseStore,
}

impl LooseTxn<'_> {
    /// Whether another commit wrote a key that this one put.
    fn is_overtaken(&self) -> Result<bool> {
        let now = self.store.inner.begin_read()?;
        for op in self.overlay.batch().ops() {
            if let BatchOp::Put { table, key, .. } = op {
                let began_with = self.overlay.base().get_copied(table, key)?;
                if now.get_copied(table, key)? != began_with {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Reader for LooseTxn<'_> {
    type Value<'a>
        = <Overlay<ModelView> as Reader>::Value<'a>
    where
        Self: 'a;
    type Cursor<'a>
        = <Overlay<ModelView> as Reader>::Cursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.overlay.get(table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.overlay.cursor(table, range)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.overlay.count(table)
    }
}

impl Writer for LooseTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        // Others begin meanwhile.
        thread::yield_now();
        self.overlay.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.overlay.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.overlay.delete_range(table, range)
    }
}

impl WriteTxn for LooseTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.overlay.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.release(savepoint)
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        let lock = self.store.committing.lock();
        let _committing = lock.unwrap_or_else(PoisonError::into_inner);
        if self.store.rule == Rule::FirstWins && self.is_overtaken()? {
            return Err(ErrorKind::Conflict.into());
        }
        self.store.inner.apply(self.overlay.batch(), durability)
    }

    fn abort(self) -> Result<()> {
        Ok(())
    }
}

impl KvStore for LooseStore {
    type ReadTxn = ModelView;
    type WriteTxn<'s> = LooseTxn<'s>;

    fn engine_name(&self) -> &str {
        self.inner.engine_name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn catalogue(&self) -> &Catalogue {
        self.inner.catalogue()
    }

    fn begin_read(&self) -> Result<ModelView> {
        self.inner.begin_read()
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<ModelView>> {
        self.inner.begin_read_many(views)
    }

    fn begin_write(&self) -> Result<LooseTxn<'_>> {
        Ok(LooseTxn {
            overlay: Overlay::new(self.inner.begin_read()?),
            store: self,
        })
    }

    fn try_begin_write(&self, _wait: Duration) -> Result<Option<LooseTxn<'_>>> {
        self.begin_write().map(Some)
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        self.inner.apply(batch, durability)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        self.inner.table_stats(table)
    }

    fn stats(&self) -> Result<StoreStats> {
        self.inner.stats()
    }
}
