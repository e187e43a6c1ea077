//! [`Timed`]: a store that also times every single get and seek.
//!
//! Invariants: it is a [`KvStore`] and changes no meaning; what it adds is one histogram by table
//! and operation, `chainstore_read_seconds`. Cost: two readings of the clock and one record, about
//! 0.1 us, for each get, `multi_get` and seek, on histograms that all readers share; so it is
//! wrapped around a store only while somebody wants to know.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_kit::metrics::READ_SECONDS;
use metrics::Histogram;
use storage_api::{
    Backup, Bulk, Capabilities, Catalogue, Commit, CommitSeq, Compact, Count, Cursor, Durability,
    Entry, KeyRange, KvStore, ReadTxn, Reader, Result, Savepoint, StoreStats, TableId, TableStats,
    Verify, Visit, WriteBatch, WriteTxn, Writer,
};

/// The histograms of one table.
#[derive(Clone, Debug)]
struct TableTimes {
    get: Histogram,
    multi_get: Histogram,
    seek: Histogram,
}

/// The histograms of a store, by table number.
#[derive(Debug)]
struct Times(Vec<Option<TableTimes>>);

impl Times {
    fn of(engine: &str, catalogue: &Catalogue) -> Self {
        let mut tables = Vec::new();
        for table in catalogue.iter() {
            let number = table.id.index();
            if tables.len() <= number {
                tables.resize_with(number + 1, || None);
            }
            let op = |op| READ_SECONDS.histogram(&[engine, table.def.name(), op]);
            tables[number] = Some(TableTimes {
                get: op("get"),
                multi_get: op("multi_get"),
                seek: op("seek"),
            });
        }
        Self(tables)
    }

    /// The histograms of a table; a table that the store does not have has none.
    fn table(&self, table: TableId) -> Option<&TableTimes> {
        self.0.get(table.index())?.as_ref()
    }
}

/// Runs a read and records how long it took, whatever came of it.
fn time<T>(histogram: Option<&Histogram>, read: impl FnOnce() -> T) -> T {
    let Some(histogram) = histogram else {
        return read();
    };
    let began = Instant::now();
    let done = read();
    histogram.record(began.elapsed().as_secs_f64());
    done
}

/// A store that times single reads. A recorder has to be installed before it is made.
///
/// ```
/// # fn main() -> storage_api::Result<()> {
/// use chain_store::{AnyStore, Timed};
/// use storage_api::{KvStore, Schema};
///
/// let store = Timed::new(AnyStore::open("mem:", &Schema::empty())?);
/// store.begin_read()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Timed<S> {
    inner: S,
    times: Arc<Times>,
}

impl<S: KvStore> Timed<S> {
    /// Times the single reads of a store.
    pub fn new(inner: S) -> Self {
        let times = Arc::new(Times::of(inner.engine_name(), inner.catalogue()));
        Self { inner, times }
    }

    /// The store inside, whose reads are not timed.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// The store that was inside.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn wrap<T>(&self, inner: T) -> TimedTxn<T> {
        TimedTxn {
            inner,
            times: Arc::clone(&self.times),
        }
    }
}

impl<S: KvStore> KvStore for Timed<S> {
    type ReadTxn = TimedTxn<S::ReadTxn>;
    type WriteTxn<'s> = TimedTxn<S::WriteTxn<'s>>;

    fn engine_name(&self) -> &str {
        self.inner.engine_name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn catalogue(&self) -> &Catalogue {
        self.inner.catalogue()
    }

    fn begin_read(&self) -> Result<Self::ReadTxn> {
        Ok(self.wrap(self.inner.begin_read()?))
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<Self::ReadTxn>> {
        let views = self.inner.begin_read_many(views)?;
        Ok(views.into_iter().map(|view| self.wrap(view)).collect())
    }

    fn begin_write(&self) -> Result<Self::WriteTxn<'_>> {
        Ok(self.wrap(self.inner.begin_write()?))
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<Self::WriteTxn<'_>>> {
        let begun = self.inner.try_begin_write(wait)?;
        Ok(begun.map(|txn| self.wrap(txn)))
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

    fn as_bulk(&self) -> Option<&dyn Bulk> {
        self.inner.as_bulk()
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        self.inner.as_compact()
    }

    fn as_backup(&self) -> Option<&dyn Backup> {
        self.inner.as_backup()
    }

    fn as_verify(&self) -> Option<&dyn Verify> {
        self.inner.as_verify()
    }
}

/// A view or a write transaction whose single reads are timed.
#[derive(Debug)]
#[must_use = "a write transaction that is dropped aborts"]
pub struct TimedTxn<T> {
    inner: T,
    times: Arc<Times>,
}

impl<R: Reader> Reader for TimedTxn<R> {
    type Value<'a>
        = R::Value<'a>
    where
        Self: 'a;
    type Cursor<'a>
        = TimedCursor<'a, R::Cursor<'a>>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        let times = self.times.table(table);
        time(times.map(|t| &t.get), || self.inner.get(table, key))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        Ok(TimedCursor {
            inner: self.inner.cursor(table, range)?,
            seek: self.times.table(table).map(|times| &times.seek),
        })
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.inner.count(table)
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        let times = self.times.table(table);
        time(times.map(|t| &t.get), || self.inner.contains(table, key))
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let times = self.times.table(table);
        let get = || self.inner.get_with(table, key, sink);
        time(times.map(|t| &t.get), get)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let times = self.times.table(table);
        let get = || self.inner.multi_get(table, keys, sink);
        time(times.map(|t| &t.multi_get), get)
    }
}

impl<R: ReadTxn> ReadTxn for TimedTxn<R> {
    fn commit_seq(&self) -> Result<CommitSeq> {
        self.inner.commit_seq()
    }
}

impl<W: Writer> Writer for TimedTxn<W> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.inner.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.inner.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.inner.delete_range(table, range)
    }
}

impl<W: WriteTxn> WriteTxn for TimedTxn<W> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.inner.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.inner.rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.inner.release(savepoint)
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        self.inner.commit(durability)
    }

    fn abort(self) -> Result<()> {
        self.inner.abort()
    }
}

/// A cursor whose seeks are timed; `next` and `prev` are not.
#[derive(Debug)]
pub struct TimedCursor<'t, C> {
    inner: C,
    seek: Option<&'t Histogram>,
}

impl<C: Cursor> Cursor for TimedCursor<'_, C> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        time(self.seek, || self.inner.first())
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        time(self.seek, || self.inner.last())
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        time(self.seek, || self.inner.seek(key))
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        time(self.seek, || self.inner.seek_back(key))
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.inner.next()
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.inner.prev()
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.inner.scan(visit)
    }
}
