//! [`DynStore`]: any store behind a pointer, as a store.
//!
//! Invariant: every call is passed on, and nothing is added.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::capability::Capabilities;
use crate::commit::{Commit, Durability};
use crate::contract::{Backup, Bulk, Compact, KvStore, StoreStats, TableStats, Verify, WriteBatch};
use crate::erased::traits::ErasedStore;
use crate::erased::txn::{DynReadTxn, DynWriteTxn};
use crate::error::Result;
use crate::table::{Catalogue, TableId};

/// A store of any engine, chosen at run time. Cost: a virtual call for each call, one allocation
/// for each view, transaction and cursor, none for each row.
pub struct DynStore(Box<dyn ErasedStore>);

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynStore")
            .field(&self.engine_name())
            .finish()
    }
}

impl DynStore {
    /// Erases the type of a store.
    #[must_use]
    pub fn new(store: impl ErasedStore) -> Self {
        Self(Box::new(store))
    }
}

impl From<Box<dyn ErasedStore>> for DynStore {
    fn from(store: Box<dyn ErasedStore>) -> Self {
        Self(store)
    }
}

impl KvStore for DynStore {
    type ReadTxn = DynReadTxn;
    type WriteTxn<'s> = DynWriteTxn<'s>;

    fn engine_name(&self) -> &str {
        self.0.erased_engine_name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.0.erased_capabilities()
    }

    fn catalogue(&self) -> &Catalogue {
        self.0.erased_catalogue()
    }

    fn begin_read(&self) -> Result<DynReadTxn> {
        self.0.erased_begin_read().map(DynReadTxn::new)
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<DynReadTxn>> {
        let views = self.0.erased_begin_read_many(views)?;
        Ok(views.into_iter().map(DynReadTxn::new).collect())
    }

    fn begin_write(&self) -> Result<DynWriteTxn<'_>> {
        self.0.erased_begin_write().map(DynWriteTxn::new)
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<DynWriteTxn<'_>>> {
        let txn = self.0.erased_try_begin_write(wait)?;
        Ok(txn.map(DynWriteTxn::new))
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        self.0.erased_apply(batch, durability)
    }

    fn sync(&self) -> Result<()> {
        self.0.erased_sync()
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        self.0.erased_table_stats(table)
    }

    fn stats(&self) -> Result<StoreStats> {
        self.0.erased_stats()
    }

    fn as_bulk(&self) -> Option<&dyn Bulk> {
        self.0.erased_as_bulk()
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        self.0.erased_as_compact()
    }

    fn as_backup(&self) -> Option<&dyn Backup> {
        self.0.erased_as_backup()
    }

    fn as_verify(&self) -> Option<&dyn Verify> {
        self.0.erased_as_verify()
    }
}
