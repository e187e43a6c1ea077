//! Views of [`super::AnyStore`]: one enum each for the view, its values and its cursors.
//!
//! Invariant: a variant holds exactly what the engine gave; nothing is copied and nothing
//! allocated.

use storage_api::{CommitSeq, DynStore, KvStore, ReadTxn, Reader, Result};

type ViewOf<S> = <S as KvStore>::ReadTxn;
type ValueOf<'a, S> = <ViewOf<S> as Reader>::Value<'a>;
type CursorOf<'a, S> = <ViewOf<S> as Reader>::Cursor<'a>;

/// A view of any engine.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyReadTxn {
    /// In memory.
    Mem(ViewOf<backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(ViewOf<backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(ViewOf<backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(ViewOf<backend_rocks::RocksStore>),
    /// From outside.
    Dyn(ViewOf<DynStore>),
}

/// A value read from any engine.
#[non_exhaustive]
pub enum AnyValue<'a> {
    /// In memory.
    Mem(ValueOf<'a, backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(ValueOf<'a, backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(ValueOf<'a, backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(ValueOf<'a, backend_rocks::RocksStore>),
    /// From outside.
    Dyn(ValueOf<'a, DynStore>),
}

/// A cursor over a view of any engine.
#[non_exhaustive]
pub enum AnyCursor<'a> {
    /// In memory.
    Mem(CursorOf<'a, backend_mem::MemStore>),
    /// redb.
    #[cfg(feature = "redb")]
    Redb(CursorOf<'a, backend_redb::RedbStore>),
    /// LMDB.
    #[cfg(feature = "lmdb")]
    Lmdb(CursorOf<'a, backend_lmdb::LmdbStore>),
    /// RocksDB.
    #[cfg(feature = "rocks")]
    Rocks(CursorOf<'a, backend_rocks::RocksStore>),
    /// From outside.
    Dyn(CursorOf<'a, DynStore>),
}

/// The reader of an enum of readers: the view's and the write transaction's are alike.
macro_rules! any_reader {
    ([$($generics:tt)*] $reader:ty, $value:ident $values:ty, $cursor:ident $cursors:ty) => {
        impl $($generics)* storage_api::Reader for $reader {
            type Value<'a>
                = $values
            where
                Self: 'a;
            type Cursor<'a>
                = $cursors
            where
                Self: 'a;

            #[inline(always)]
            fn get(
                &self,
                table: storage_api::TableId,
                key: &[u8],
            ) -> storage_api::Result<Option<Self::Value<'_>>> {
                Ok(match self {
                    Self::Mem(txn) => txn.get(table, key)?.map($value::Mem),
                    #[cfg(feature = "redb")]
                    Self::Redb(txn) => txn.get(table, key)?.map($value::Redb),
                    #[cfg(feature = "lmdb")]
                    Self::Lmdb(txn) => txn.get(table, key)?.map($value::Lmdb),
                    #[cfg(feature = "rocks")]
                    Self::Rocks(txn) => txn.get(table, key)?.map($value::Rocks),
                    Self::Dyn(txn) => txn.get(table, key)?.map($value::Dyn),
                })
            }

            #[inline]
            fn cursor(
                &self,
                table: storage_api::TableId,
                range: storage_api::KeyRange,
            ) -> storage_api::Result<Self::Cursor<'_>> {
                each_into!(Self, self, $cursor, txn => txn.cursor(table, range))
            }

            #[inline]
            fn count(
                &self,
                table: storage_api::TableId,
            ) -> storage_api::Result<storage_api::Count> {
                each!(Self, self, txn => txn.count(table))
            }

            #[inline]
            fn contains(
                &self,
                table: storage_api::TableId,
                key: &[u8],
            ) -> storage_api::Result<bool> {
                each!(Self, self, txn => txn.contains(table, key))
            }

            #[inline]
            fn get_with(
                &self,
                table: storage_api::TableId,
                key: &[u8],
                sink: &mut dyn FnMut(&[u8]),
            ) -> storage_api::Result<bool> {
                each!(Self, self, txn => txn.get_with(table, key, sink))
            }

            #[inline]
            fn multi_get(
                &self,
                table: storage_api::TableId,
                keys: &[&[u8]],
                sink: &mut dyn FnMut(usize, Option<&[u8]>),
            ) -> storage_api::Result<()> {
                each!(Self, self, txn => txn.multi_get(table, keys, sink))
            }
        }
    };
}

/// The value of an enum of values.
macro_rules! any_value {
    ($value:ident $values:ty) => {
        impl std::ops::Deref for $values {
            type Target = [u8];

            #[inline]
            fn deref(&self) -> &[u8] {
                each!(Self, self, value => value)
            }
        }

        impl std::fmt::Debug for $values {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($value), "({} bytes)"), self.len())
            }
        }
    };
}

/// The cursor of an enum of cursors.
macro_rules! any_cursor {
    ($cursor:ident $cursors:ty) => {
        impl storage_api::Cursor for $cursors {
            #[inline]
            fn first(&mut self) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.first())
            }

            #[inline]
            fn last(&mut self) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.last())
            }

            #[inline]
            fn seek(&mut self, key: &[u8]) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.seek(key))
            }

            #[inline]
            fn seek_back(
                &mut self,
                key: &[u8],
            ) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.seek_back(key))
            }

            #[inline(always)]
            fn next(&mut self) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.next())
            }

            #[inline(always)]
            fn prev(&mut self) -> storage_api::Result<Option<storage_api::Entry<'_>>> {
                each!(Self, self, cursor => cursor.prev())
            }

            #[inline]
            fn scan(&mut self, visit: &mut storage_api::Visit<'_>) -> storage_api::Result<()> {
                each!(Self, self, cursor => cursor.scan(visit))
            }
        }

        impl std::fmt::Debug for $cursors {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($cursor))
            }
        }
    };
}

pub(super) use {any_cursor, any_reader, any_value};

any_reader!([] AnyReadTxn, AnyValue AnyValue<'a>, AnyCursor AnyCursor<'a>);
any_value!(AnyValue AnyValue<'_>);
any_cursor!(AnyCursor AnyCursor<'_>);

impl ReadTxn for AnyReadTxn {
    fn commit_seq(&self) -> Result<CommitSeq> {
        each!(Self, self, txn => txn.commit_seq())
    }
}
