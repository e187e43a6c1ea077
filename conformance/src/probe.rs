//! The contract without its generic parts, so that every case is compiled once and not once for
//! each store.
//!
//! Invariants: a probe adds nothing and hides nothing: each call is one call of the store, values
//! are copied out, errors pass unchanged. A store type costs one set of forwarding functions. This
//! is not [`storage_api::DynStore`] on purpose: that form is itself under test.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

use storage_api::{
    Backup, Bulk, Capabilities, Catalogue, Commit, CommitSeq, Compact, Count, Cursor, Durability,
    Entry, KeyRange, KvStore, KvStoreExt, ReadTxn, Reader, ReaderExt, Result, Savepoint,
    StoreStats, TableId, TableStats, Verify, WriteBatch, WriteTxn, Writer,
};

/// A row as an owned copy.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// A store under test.
pub(crate) type Store = Box<dyn StoreProbe>;

/// A view of a store under test.
pub(crate) type View = Box<dyn ViewProbe>;

/// A write transaction of a store under test.
pub(crate) type Txn<'s> = Box<dyn TxnProbe + 's>;

/// What [`ReadProbe::hold`] hands its values to.
pub(crate) type HoldSink<'s> = &'s mut dyn FnMut(&[Option<&[u8]>]);

/// [`Reader`] and [`ReaderExt`].
pub(crate) trait ReadProbe {
    /// A copy of the value.
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// [`Reader::contains`].
    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool>;
    /// [`Reader::get_with`].
    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool>;
    /// [`Reader::multi_get`].
    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()>;
    /// Gets all values, keeps them all borrowed, and only then looks at them.
    fn hold(&self, table: TableId, keys: &[&[u8]], sink: HoldSink<'_>) -> Result<()>;
    /// [`Reader::cursor`].
    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Box<dyn Cursor + '_>>;
    /// [`Reader::count`].
    fn count(&self, table: TableId) -> Result<Count>;
    /// [`ReaderExt::count_exact`].
    fn count_exact(&self, table: TableId) -> Result<u64>;
    /// [`ReaderExt::rows`], collected.
    fn rows(&self, table: TableId, range: KeyRange) -> Result<Vec<Row>>;
    /// [`ReaderExt::scan`].
    fn scan(
        &self,
        table: TableId,
        range: KeyRange,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;
}

impl<R: Reader> ReadProbe for R {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(Reader::get(self, table, key)?.map(|value| value.to_vec()))
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        Reader::contains(self, table, key)
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Reader::get_with(self, table, key, sink)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        Reader::multi_get(self, table, keys, sink)
    }

    fn hold(&self, table: TableId, keys: &[&[u8]], sink: HoldSink<'_>) -> Result<()> {
        let values: Vec<_> = keys
            .iter()
            .map(|key| Reader::get(self, table, key))
            .collect::<Result<_>>()?;
        let slices: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref()).collect();
        sink(&slices);
        Ok(())
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(Reader::cursor(self, table, range)?))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        Reader::count(self, table)
    }

    fn count_exact(&self, table: TableId) -> Result<u64> {
        ReaderExt::count_exact(self, table)
    }

    fn rows(&self, table: TableId, range: KeyRange) -> Result<Vec<Row>> {
        ReaderExt::rows(self, table, range)?.collect()
    }

    fn scan(
        &self,
        table: TableId,
        range: KeyRange,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        ReaderExt::scan(self, table, range, visit)
    }
}

/// [`ReadTxn`].
pub(crate) trait ViewProbe: ReadProbe + Send {
    /// [`ReadTxn::commit_seq`].
    fn commit_seq(&self) -> Result<CommitSeq>;
}

impl<R: ReadTxn> ViewProbe for R {
    fn commit_seq(&self) -> Result<CommitSeq> {
        ReadTxn::commit_seq(self)
    }
}

/// [`WriteTxn`].
pub(crate) trait TxnProbe: ReadProbe + Writer {
    /// [`WriteTxn::savepoint`].
    fn savepoint(&mut self) -> Result<Savepoint>;
    /// [`WriteTxn::rollback_to`].
    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()>;
    /// [`WriteTxn::release`].
    fn release(&mut self, savepoint: Savepoint) -> Result<()>;
    /// [`WriteTxn::commit`].
    fn commit(self: Box<Self>, durability: Durability) -> Result<Commit>;
    /// [`WriteTxn::abort`].
    fn abort(self: Box<Self>) -> Result<()>;
}

impl<T: WriteTxn> TxnProbe for T {
    fn savepoint(&mut self) -> Result<Savepoint> {
        WriteTxn::savepoint(self)
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        WriteTxn::rollback_to(self, savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        WriteTxn::release(self, savepoint)
    }

    fn commit(self: Box<Self>, durability: Durability) -> Result<Commit> {
        WriteTxn::commit(*self, durability)
    }

    fn abort(self: Box<Self>) -> Result<()> {
        WriteTxn::abort(*self)
    }
}

/// What [`StoreProbe::update`] runs inside the transaction.
pub(crate) type Change<'c> = &'c mut dyn FnMut(&mut dyn TxnProbe) -> Result<()>;

/// [`KvStore`] and [`KvStoreExt`].
pub(crate) trait StoreProbe: Send + Sync {
    /// [`KvStore::engine_name`].
    fn engine_name(&self) -> &str;
    /// [`KvStore::capabilities`].
    fn capabilities(&self) -> &Capabilities;
    /// [`KvStore::catalogue`].
    fn catalogue(&self) -> &Catalogue;
    /// [`KvStore::begin_read`].
    fn begin_read(&self) -> Result<View>;
    /// [`KvStore::begin_read_many`].
    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<View>>;
    /// [`KvStore::begin_write`].
    fn begin_write(&self) -> Result<Txn<'_>>;
    /// [`KvStore::try_begin_write`].
    fn try_begin_write(&self, wait: Duration) -> Result<Option<Txn<'_>>>;
    /// [`KvStore::apply`].
    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit>;
    /// [`KvStore::sync`].
    fn sync(&self) -> Result<()>;
    /// [`KvStore::table_stats`].
    fn table_stats(&self, table: TableId) -> Result<TableStats>;
    /// [`KvStore::stats`].
    fn stats(&self) -> Result<StoreStats>;
    /// [`KvStore::as_bulk`].
    fn as_bulk(&self) -> Option<&dyn Bulk>;
    /// [`KvStore::as_compact`].
    fn as_compact(&self) -> Option<&dyn Compact>;
    /// [`KvStore::as_backup`].
    fn as_backup(&self) -> Option<&dyn Backup>;
    /// [`KvStore::as_verify`].
    fn as_verify(&self) -> Option<&dyn Verify>;
    /// [`KvStoreExt::update`].
    fn update(&self, durability: Durability, change: Change<'_>) -> Result<Commit>;
    /// [`KvStoreExt::view`].
    fn view(&self, read: &mut dyn FnMut(&dyn ReadProbe) -> Result<()>) -> Result<()>;
}

impl<S: KvStore> StoreProbe for S {
    fn engine_name(&self) -> &str {
        KvStore::engine_name(self)
    }

    fn capabilities(&self) -> &Capabilities {
        KvStore::capabilities(self)
    }

    fn catalogue(&self) -> &Catalogue {
        KvStore::catalogue(self)
    }

    fn begin_read(&self) -> Result<View> {
        Ok(Box::new(KvStore::begin_read(self)?))
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<View>> {
        let views = KvStore::begin_read_many(self, views)?;
        Ok(views
            .into_iter()
            .map(|view| Box::new(view) as View)
            .collect())
    }

    fn begin_write(&self) -> Result<Txn<'_>> {
        Ok(Box::new(KvStore::begin_write(self)?))
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<Txn<'_>>> {
        let txn = KvStore::try_begin_write(self, wait)?;
        Ok(txn.map(|txn| Box::new(txn) as Txn<'_>))
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        KvStore::apply(self, batch, durability)
    }

    fn sync(&self) -> Result<()> {
        KvStore::sync(self)
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        KvStore::table_stats(self, table)
    }

    fn stats(&self) -> Result<StoreStats> {
        KvStore::stats(self)
    }

    fn as_bulk(&self) -> Option<&dyn Bulk> {
        KvStore::as_bulk(self)
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        KvStore::as_compact(self)
    }

    fn as_backup(&self) -> Option<&dyn Backup> {
        KvStore::as_backup(self)
    }

    fn as_verify(&self) -> Option<&dyn Verify> {
        KvStore::as_verify(self)
    }

    fn update(&self, durability: Durability, change: Change<'_>) -> Result<Commit> {
        let ((), commit) = KvStoreExt::update(self, durability, |txn| change(txn))?;
        Ok(commit)
    }

    fn view(&self, read: &mut dyn FnMut(&dyn ReadProbe) -> Result<()>) -> Result<()> {
        KvStoreExt::view(self, |view| read(view))
    }
}
