//! Views: a snapshot with what reading it needs, and its pool of iterators.
//!
//! Invariants: everything here owns what it borrows from, link by link (database, snapshot,
//! iterator), so a view can outlive the store's handle and move between threads; the write
//! transaction reads without a snapshot, because nothing is written while it lives. Cost: a get is
//! RocksDB's own get; an iterator is built once for a table and as many cursors as are open on it
//! at a time, and used again by the next cursor, since building one costs more than a short range
//! (reth 27210 spent most of its lookup time there). An iterator in the pool keeps the files and
//! memtables it was built over until the view drops.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rocksdb::properties::ESTIMATE_NUM_KEYS;
use rocksdb::{DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};
use storage_api::{Count, KeyRange, Reader, Result, TableId};

use crate::cursor::RocksCursor;
use crate::error::fail;
use crate::tables::Db;

/// Iterators of each kind kept for one table.
const POOL_ITERATORS_MAX: usize = 4;

/// Keys in one call from which RocksDB's own look-up of several is used.
const BATCHED_GET_FROM: usize = 4;

/// An iterator of the pool gives up after so many deleted rows in one move, and the cursor goes on
/// with one that knows the bounds of its range. About what building that one costs.
const SKIPPED_ROWS_MAX: u64 = 64;

/// When an iterator of the pool gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// After [`SKIPPED_ROWS_MAX`].
    Short,
    /// Never.
    Endless,
}

/// What is read and how.
pub(crate) struct Lens<'d> {
    // The options point to the snapshot, so they go before it.
    options: ReadOptions,
    snapshot: Option<Snapshot<'d>>,
}

impl<'d> Lens<'d> {
    fn new(snapshot: Option<Snapshot<'d>>) -> Self {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &snapshot {
            options.set_snapshot(snapshot);
        }
        Self { options, snapshot }
    }

    fn iterator_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }
}

self_cell::self_cell!(
    /// A state of the database that does not change.
    pub(crate) struct Frozen {
        owner: Arc<Db>,

        #[covariant]
        dependent: Lens,
    }
);

impl Frozen {
    /// The last commit.
    pub(crate) fn snapshot(db: Arc<Db>) -> Arc<Self> {
        Arc::new(Self::new(db, |db| Lens::new(Some(db.raw().snapshot()))))
    }

    /// The present state, which the caller keeps from changing.
    pub(crate) fn present(db: Arc<Db>) -> Arc<Self> {
        Arc::new(Self::new(db, |_| Lens::new(None)))
    }

    #[inline]
    pub(crate) fn db(&self) -> &Db {
        self.borrow_owner()
    }
}

type Rows<'f> = DBRawIterator<'f>;

self_cell::self_cell!(
    /// An iterator that owns the state it reads.
    pub(crate) struct Walker {
        owner: Arc<Frozen>,

        #[covariant]
        dependent: Rows,
    }
);

impl Walker {
    fn build(frozen: &Arc<Frozen>, table: TableId, options: ReadOptions) -> Option<Self> {
        Self::try_new(Arc::clone(frozen), |frozen| {
            let db = frozen.db();
            let table = db.table(table).ok_or(())?;
            Ok::<_, ()>(db.raw().raw_iterator_cf_opt(&table, options))
        })
        .ok()
    }

    /// Moves the iterator.
    #[inline]
    pub(crate) fn go(&mut self, walk: impl FnOnce(&mut Rows<'_>)) {
        self.with_dependent_mut(|_, rows| walk(rows));
    }

    /// The iterator.
    #[inline]
    pub(crate) fn rows(&self) -> &Rows<'_> {
        self.borrow_dependent()
    }
}

/// An owned view of one commit.
pub struct RocksView {
    /// By [`shelf`]; idle iterators only.
    pool: RefCell<Vec<Vec<Walker>>>,
    frozen: Arc<Frozen>,
}

impl fmt::Debug for RocksView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.frozen.borrow_dependent().snapshot.as_ref();
        f.debug_struct("RocksView")
            .field("sequence", &snapshot.map(Snapshot::sequence_number))
            .finish_non_exhaustive()
    }
}

impl RocksView {
    pub(crate) fn new(frozen: Arc<Frozen>) -> Self {
        Self {
            pool: RefCell::default(),
            frozen,
        }
    }

    #[inline]
    pub(crate) fn db(&self) -> &Db {
        self.frozen.db()
    }

    /// An iterator over the whole table, an idle one if there is one; `None` when the files do not
    /// have the table.
    pub(crate) fn take(&self, table: TableId, patience: Patience) -> Option<Walker> {
        let idle = self
            .pool
            .borrow_mut()
            .get_mut(shelf(table, patience))
            .and_then(Vec::pop);
        idle.or_else(|| {
            let mut options = self.frozen.borrow_dependent().iterator_options();
            if patience == Patience::Short {
                options.set_max_skippable_internal_keys(SKIPPED_ROWS_MAX);
            }
            Walker::build(&self.frozen, table, options)
        })
    }

    /// Takes an iterator of [`RocksView::take`] back.
    pub(crate) fn put_back(&self, table: TableId, patience: Patience, walker: Walker) {
        let shelf = shelf(table, patience);
        let mut pool = self.pool.borrow_mut();
        if pool.len() <= shelf {
            pool.resize_with(shelf + 1, Vec::new);
        }
        if let Some(idle) = pool.get_mut(shelf)
            && idle.len() < POOL_ITERATORS_MAX
        {
            idle.push(walker);
        }
    }

    /// An iterator that knows the bounds of one range, so that it does not look at what was deleted
    /// around it.
    pub(crate) fn bounded(&self, table: TableId, range: &KeyRange) -> Option<Walker> {
        let mut options = self.frozen.borrow_dependent().iterator_options();
        if !range.start().is_empty() {
            options.set_iterate_lower_bound(range.start());
        }
        if let Some(end) = range.end() {
            options.set_iterate_upper_bound(end);
        }
        Walker::build(&self.frozen, table, options)
    }

    #[cfg(test)]
    pub(crate) fn idle(&self, table: TableId, patience: Patience) -> usize {
        let pool = self.pool.borrow();
        pool.get(shelf(table, patience)).map_or(0, Vec::len)
    }
}

/// The place of a table's idle iterators in the pool.
fn shelf(table: TableId, patience: Patience) -> usize {
    table.index() * 2 + usize::from(patience == Patience::Endless)
}

/// A value pinned in RocksDB's cache.
pub struct RocksValue<'a>(DBPinnableSlice<'a>);

impl Deref for RocksValue<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RocksValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RocksValue").field(&self.0.len()).finish()
    }
}

impl Reader for RocksView {
    type Value<'a> = RocksValue<'a>;
    type Cursor<'a> = RocksCursor<'a>;

    #[inline]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<RocksValue<'_>>> {
        let db = self.db();
        let Some(handle) = db.table(table) else {
            return Ok(None);
        };
        let options = &self.frozen.borrow_dependent().options;
        match db.raw().get_pinned_cf_opt(&handle, key, options) {
            Ok(value) => Ok(value.map(RocksValue)),
            Err(error) => Err(fail(error, db.path())),
        }
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<RocksCursor<'_>> {
        Ok(RocksCursor::new(self, table, range))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.db()
            .number(table, ESTIMATE_NUM_KEYS)
            .map(Count::Estimate)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let db = self.db();
        let handle = match db.table(table) {
            Some(handle) if keys.len() >= BATCHED_GET_FROM => handle,
            _ => {
                for (at, key) in keys.iter().enumerate() {
                    sink(at, self.get(table, key)?.as_deref());
                }
                return Ok(());
            }
        };
        let sorted = keys.is_sorted_by(|a, b| a < b);
        let options = &self.frozen.borrow_dependent().options;
        let values =
            db.raw()
                .batched_multi_get_cf_opt(&handle, keys.iter().copied(), sorted, options);
        for (at, value) in values.into_iter().enumerate() {
            let value = value.map_err(|error| fail(error, db.path()))?;
            sink(at, value.as_deref());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use backend_kit::RawEngine;
    use storage_api::{
        Cursor, Durability, Engine, KeyRange, KvStore, Location, Reader, Result, Schema, TableDef,
        WriteBatch, Writer,
    };

    use super::Patience;
    use crate::RocksStore;

    #[test]
    fn cursors_share_iterators_and_leave_them_to_the_next() -> Result<()> {
        const ROWS: TableDef = TableDef::new("rows");
        let parent = tempfile::tempdir().map_err(|e| storage_api::Error::from_io(e, "temp"))?;
        let place = parent.path().join("store");
        let schema = Schema::new([&ROWS])?;
        let location = Location::Directory(&place);
        let (store, _) =
            RocksStore::open(location, &schema, &Default::default(), &Default::default())?;
        let table = store.catalogue().id("rows")?;
        let mut batch = WriteBatch::new();
        for number in 0..1_000u32 {
            batch.put(table, &number.to_be_bytes(), b"row")?;
            batch.delete(table, &(number + 1_000).to_be_bytes())?;
        }
        store.apply(&batch, Durability::Buffered)?;
        let view = store.engine().view()?;
        let ranges = [KeyRange::all(), KeyRange::from_key(b"\0")];
        for (range, patience) in ranges.iter().zip([Patience::Endless, Patience::Short]) {
            for _ in 0..3 {
                let mut cursor = view.cursor(table, range.clone())?;
                assert!(cursor.next()?.is_some());
                assert_eq!(view.idle(table, patience), 0);
                drop(cursor);
                assert_eq!(view.idle(table, patience), 1);
            }
            let cursors = (0..9).map(|_| view.cursor(table, range.clone()));
            drop(cursors.collect::<Result<Vec<_>>>()?);
            assert_eq!(view.idle(table, patience), super::POOL_ITERATORS_MAX);
        }
        // An iterator that gave up on deleted rows goes back as soon as the cursor has its own.
        let idle = || view.idle(table, Patience::Short);
        let mut cursor = view.cursor(table, KeyRange::from_key(&999u32.to_be_bytes()))?;
        assert!(cursor.next()?.is_some());
        assert_eq!(idle(), super::POOL_ITERATORS_MAX - 1);
        assert!(cursor.next()?.is_none());
        assert_eq!(idle(), super::POOL_ITERATORS_MAX);
        assert!(cursor.prev()?.is_some());
        // One over the whole table walks to the end.
        let mut whole = view.cursor(table, KeyRange::all())?;
        assert!(whole.seek(&999u32.to_be_bytes())?.is_some());
        assert!(whole.next()?.is_none());
        assert!(whole.prev()?.is_some());
        drop(whole);
        assert_eq!(
            view.idle(table, Patience::Endless),
            super::POOL_ITERATORS_MAX
        );
        Ok(())
    }

    #[test]
    fn an_iterator_that_gives_up_far_from_its_mark_is_followed_from_the_same_row() -> Result<()> {
        const ROWS: TableDef = TableDef::new("rows");
        let parent = tempfile::tempdir().map_err(|e| storage_api::Error::from_io(e, "temp"))?;
        let place = parent.path().join("store");
        let schema = Schema::new([&ROWS])?;
        let location = Location::Directory(&place);
        let (store, _) =
            RocksStore::open(location, &schema, &Default::default(), &Default::default())?;
        let table = store.catalogue().id("rows")?;
        let key = u32::to_be_bytes;
        let mut batch = WriteBatch::new();
        // Two islands of rows in a sea of deleted ones.
        for number in 0..3_000u32 {
            if (300..450).contains(&number) || (1_000..1_150).contains(&number) {
                batch.put(table, &key(number), b"row")?;
            } else {
                batch.delete(table, &key(number))?;
            }
        }
        store.apply(&batch, Durability::Buffered)?;
        let view = store.engine().view()?;
        let range = KeyRange::half_open(&key(310), &key(1_140));
        let wanted: Vec<u32> = (310..450).chain(1_000..1_140).collect();
        let mut cursor = view.cursor(table, range.clone())?;
        for number in &wanted {
            let row = cursor.next()?.map(|row| row.key.to_vec());
            assert_eq!(row.as_deref(), Some(&key(*number)[..]));
        }
        assert!(cursor.next()?.is_none());
        let mut cursor = view.cursor(table, range)?;
        let mut row = cursor.last()?.map(|row| row.key.to_vec());
        for number in wanted.iter().rev() {
            assert_eq!(row.as_deref(), Some(&key(*number)[..]));
            row = cursor.prev()?.map(|row| row.key.to_vec());
        }
        assert_eq!(row, None);
        Ok(())
    }
}
