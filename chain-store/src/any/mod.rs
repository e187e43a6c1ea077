//! [`AnyStore`]: one type for every compiled engine and for engines from outside, chosen at run
//! time by URL.
//!
//! Invariants: it is a [`KvStore`] like any other and passes the same suite; one predictable branch
//! a call and no allocation; an engine that is not compiled in is an error that names the feature.
//! The delegation is written once, in the macro [`each`], so an engine is added in one list.

/// Runs an expression for whichever engine the value is of. `$kind` is the enum, `$it` the engine's
/// own value inside.
macro_rules! each {
    ($kind:ident, $value:expr, $it:pat => $body:expr) => {
        match $value {
            $kind::Mem($it) => $body,
            #[cfg(feature = "redb")]
            $kind::Redb($it) => $body,
            #[cfg(feature = "lmdb")]
            $kind::Lmdb($it) => $body,
            #[cfg(feature = "rocks")]
            $kind::Rocks($it) => $body,
            $kind::Dyn($it) => $body,
        }
    };
}

/// As [`each`], with the engine's result wrapped in the enum's variant of the same engine.
macro_rules! each_into {
    ($kind:ident, $value:expr, $into:ident, $it:pat => $body:expr) => {
        match $value {
            $kind::Mem($it) => $body.map($into::Mem),
            #[cfg(feature = "redb")]
            $kind::Redb($it) => $body.map($into::Redb),
            #[cfg(feature = "lmdb")]
            $kind::Lmdb($it) => $body.map($into::Lmdb),
            #[cfg(feature = "rocks")]
            $kind::Rocks($it) => $body.map($into::Rocks),
            $kind::Dyn($it) => $body.map($into::Dyn),
        }
    };
}

mod open;
mod read;
mod url;
mod write;

use std::num::NonZeroUsize;
use std::time::Duration;

use storage_api::{
    Backup, Bulk, Capabilities, Catalogue, Commit, Compact, Durability, DynStore, KvStore, Result,
    StoreStats, TableId, TableStats, Verify, WriteBatch,
};

pub use open::{EngineOptions, Opener};
pub use read::{AnyCursor, AnyReadTxn, AnyValue};
pub use url::{EngineName, StoreUrl};
pub use write::{AnyWriteCursor, AnyWriteTxn, AnyWriteValue};

/// A store of any engine.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyStore {
    /// In memory.
    Mem(backend_mem::MemStore),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(backend_redb::RedbStore),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(backend_lmdb::LmdbStore),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(backend_rocks::RocksStore),
    /// An engine from outside this repository.
    Dyn(DynStore),
}

impl KvStore for AnyStore {
    type ReadTxn = AnyReadTxn;
    type WriteTxn<'s> = AnyWriteTxn<'s>;

    fn engine_name(&self) -> &str {
        each!(Self, self, store => store.engine_name())
    }

    fn capabilities(&self) -> &Capabilities {
        each!(Self, self, store => store.capabilities())
    }

    fn catalogue(&self) -> &Catalogue {
        each!(Self, self, store => store.catalogue())
    }

    #[inline]
    fn begin_read(&self) -> Result<AnyReadTxn> {
        each_into!(Self, self, AnyReadTxn, store => store.begin_read())
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<AnyReadTxn>> {
        fn wrap<T>(views: Vec<T>, wrap: impl Fn(T) -> AnyReadTxn) -> Vec<AnyReadTxn> {
            views.into_iter().map(wrap).collect()
        }
        match self {
            Self::Mem(store) => store
                .begin_read_many(views)
                .map(|v| wrap(v, AnyReadTxn::Mem)),
            #[cfg(feature = "redb")]
            Self::Redb(store) => store
                .begin_read_many(views)
                .map(|v| wrap(v, AnyReadTxn::Redb)),
            #[cfg(feature = "lmdb")]
            Self::Lmdb(store) => store
                .begin_read_many(views)
                .map(|v| wrap(v, AnyReadTxn::Lmdb)),
            #[cfg(feature = "rocks")]
            Self::Rocks(store) => store
                .begin_read_many(views)
                .map(|v| wrap(v, AnyReadTxn::Rocks)),
            Self::Dyn(store) => store
                .begin_read_many(views)
                .map(|v| wrap(v, AnyReadTxn::Dyn)),
        }
    }

    #[inline]
    fn begin_write(&self) -> Result<AnyWriteTxn<'_>> {
        each_into!(Self, self, AnyWriteTxn, store => store.begin_write())
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<AnyWriteTxn<'_>>> {
        match self {
            Self::Mem(store) => store
                .try_begin_write(wait)
                .map(|txn| txn.map(AnyWriteTxn::Mem)),
            #[cfg(feature = "redb")]
            Self::Redb(store) => store
                .try_begin_write(wait)
                .map(|txn| txn.map(AnyWriteTxn::Redb)),
            #[cfg(feature = "lmdb")]
            Self::Lmdb(store) => store
                .try_begin_write(wait)
                .map(|txn| txn.map(AnyWriteTxn::Lmdb)),
            #[cfg(feature = "rocks")]
            Self::Rocks(store) => store
                .try_begin_write(wait)
                .map(|txn| txn.map(AnyWriteTxn::Rocks)),
            Self::Dyn(store) => store
                .try_begin_write(wait)
                .map(|txn| txn.map(AnyWriteTxn::Dyn)),
        }
    }

    #[inline]
    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        each!(Self, self, store => store.apply(batch, durability))
    }

    fn sync(&self) -> Result<()> {
        each!(Self, self, store => store.sync())
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        each!(Self, self, store => store.table_stats(table))
    }

    fn stats(&self) -> Result<StoreStats> {
        each!(Self, self, store => store.stats())
    }

    fn as_bulk(&self) -> Option<&dyn Bulk> {
        each!(Self, self, store => store.as_bulk())
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        each!(Self, self, store => store.as_compact())
    }

    fn as_backup(&self) -> Option<&dyn Backup> {
        each!(Self, self, store => store.as_backup())
    }

    fn as_verify(&self) -> Option<&dyn Verify> {
        each!(Self, self, store => store.as_verify())
    }
}
