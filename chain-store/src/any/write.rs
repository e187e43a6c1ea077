//! The write transaction of [`super::AnyStore`], its values and its cursors.
//!
//! Invariant: as for views; the transaction is not `Send`, because no engine's is.

use storage_api::{
    Commit, Durability, DynStore, KeyRange, KvStore, Reader, Result, Savepoint, TableId, WriteTxn,
    Writer,
};

use super::read::{any_cursor, any_reader, any_value};

type TxnOf<'s, S> = <S as KvStore>::WriteTxn<'s>;
type ValueOf<'s, 'a, S> = <TxnOf<'s, S> as Reader>::Value<'a>;
type CursorOf<'s, 'a, S> = <TxnOf<'s, S> as Reader>::Cursor<'a>;

/// The write transaction of any engine.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a write transaction that is dropped aborts"]
pub enum AnyWriteTxn<'s> {
    /// In memory.
    Mem(TxnOf<'s, backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(TxnOf<'s, backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(TxnOf<'s, backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(TxnOf<'s, backend_rocks::RocksStore>),
    /// From outside.
    Dyn(TxnOf<'s, DynStore>),
}

/// A value read in the write transaction of any engine.
#[non_exhaustive]
pub enum AnyWriteValue<'s: 'a, 'a> {
    /// In memory.
    Mem(ValueOf<'s, 'a, backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(ValueOf<'s, 'a, backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(ValueOf<'s, 'a, backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(ValueOf<'s, 'a, backend_rocks::RocksStore>),
    /// From outside.
    Dyn(ValueOf<'s, 'a, DynStore>),
}

/// A cursor in the write transaction of any engine.
#[non_exhaustive]
pub enum AnyWriteCursor<'s: 'a, 'a> {
    /// In memory.
    Mem(CursorOf<'s, 'a, backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(CursorOf<'s, 'a, backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(CursorOf<'s, 'a, backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(CursorOf<'s, 'a, backend_rocks::RocksStore>),
    /// From outside.
    Dyn(CursorOf<'s, 'a, DynStore>),
}

any_reader!(
    [<'s>] AnyWriteTxn<'s>,
    AnyWriteValue AnyWriteValue<'s, 'a>,
    AnyWriteCursor AnyWriteCursor<'s, 'a>
);
any_value!(AnyWriteValue AnyWriteValue<'_, '_>);
any_cursor!(AnyWriteCursor AnyWriteCursor<'_, '_>);

impl Writer for AnyWriteTxn<'_> {
    #[inline]
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        each!(Self, self, txn => txn.put(table, key, value))
    }

    #[inline]
    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        each!(Self, self, txn => txn.delete(table, key))
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        each!(Self, self, txn => txn.delete_range(table, range))
    }
}

impl WriteTxn for AnyWriteTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        each!(Self, self, txn => txn.savepoint())
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        each!(Self, self, txn => txn.rollback_to(savepoint))
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        each!(Self, self, txn => txn.release(savepoint))
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        each!(Self, self, txn => txn.commit(durability))
    }

    fn abort(self) -> Result<()> {
        each!(Self, self, txn => txn.abort())
    }
}
