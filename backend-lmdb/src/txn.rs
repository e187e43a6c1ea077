//! The write transaction, which is the batch too: LMDB has nothing cheaper for blind writes.
//!
//! Invariants: it stays on the thread that began it, because LMDB's write mutex belongs to a thread
//! and a commit elsewhere hangs (heed#339; heed's own type is `Send`, this one is not); dropping it
//! aborts; after LMDB failed an operation every further one fails and only an abort is left; a
//! commit is durable when it returns, whatever was asked.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use backend_kit::{CommitFailure, RawBatch, RawTxn};
use heed::{MdbError, PutFlags, RoTxn, RwTxn};
use self_cell::self_cell;
use storage_api::{Count, Durability, Error, ErrorKind, KeyRange, Reader, Result, TableId, Writer};

use crate::cursor::LmdbCursor;
use crate::engine::{LmdbEngine, Writing};
use crate::env::{Db, OpenEnv};
use crate::error::{ENGINE, is_before_writing, is_map_full};
use crate::view;

/// heed's transaction until it is committed.
type Running<'a> = Option<RwTxn<'a>>;

self_cell!(
    struct Held {
        owner: Arc<OpenEnv>,
        #[covariant]
        dependent: Running,
    }
);

/// The write transaction.
pub struct LmdbTxn<'e> {
    held: Held,
    engine: &'e LmdbEngine,
    // Dropped after LMDB's transaction.
    _writing: Writing<'e>,
    /// LMDB's number of the commit this will be.
    id: usize,
    /// Append-only tables where a key did not come last; they get no more attempts in this
    /// transaction.
    unordered: Vec<TableId>,
    /// Not `Send`.
    thread: PhantomData<*const ()>,
}

impl fmt::Debug for LmdbTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbTxn")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'e> LmdbTxn<'e> {
    /// Begins the write transaction; the caller is the only writer.
    ///
    /// # Errors
    /// `Poisoned`, `Io`.
    pub(crate) fn begin(engine: &'e LmdbEngine, open: Arc<OpenEnv>) -> Result<Self> {
        let held = Held::try_new(open, |open| match open.env().write_txn() {
            Ok(txn) => Ok(Some(txn)),
            Err(error) => Err(open.error("begin_write", error)),
        })?;
        let id = held.borrow_dependent().as_ref().map_or(0, |txn| txn.id());
        Ok(Self {
            held,
            engine,
            _writing: engine.writing(),
            id,
            unordered: Vec::new(),
            thread: PhantomData,
        })
    }

    fn open(&self) -> &OpenEnv {
        self.held.borrow_owner()
    }

    fn reading(&self) -> Result<&RoTxn<'_>> {
        match self.held.borrow_dependent() {
            Some(txn) => Ok(txn),
            None => Err(finished()),
        }
    }

    /// Runs one write on a table.
    fn write(
        &mut self,
        operation: &'static str,
        table: TableId,
        write: impl FnOnce(Db, &mut RwTxn<'_>) -> heed::Result<()>,
    ) -> Result<()> {
        let Some(db) = self.open().table(table)? else {
            return Err(Error::new(ErrorKind::ReadOnly).with_engine(ENGINE));
        };
        let outcome = self.held.with_dependent_mut(|_, txn| match txn {
            Some(txn) => Ok(write(db, txn)),
            None => Err(finished()),
        })?;
        outcome.map_err(|error| self.failed(operation, error))
    }

    #[cold]
    fn failed(&self, operation: &'static str, error: heed::Error) -> Error {
        if is_map_full(&error) {
            self.engine.note_map_full(self.open().map_bytes());
        }
        self.open().error(operation, error)
    }

    /// Whether to try the cheaper way for a key behind all others.
    fn may_append(&self, table: TableId) -> bool {
        self.open().is_append_only(table) && !self.unordered.contains(&table)
    }

    /// Puts a key behind all others; `false` when it does not belong there, and then nothing
    /// happened.
    pub(crate) fn append(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<bool> {
        let mut appended = true;
        self.write("put", table, |db, txn| {
            match db.put_with_flags(txn, PutFlags::APPEND, key, value) {
                Err(heed::Error::Mdb(MdbError::KeyExist)) => {
                    appended = false;
                    Ok(())
                }
                outcome => outcome,
            }
        })?;
        if !appended {
            self.unordered.push(table);
        }
        Ok(appended)
    }
}

#[cold]
fn finished() -> Error {
    Error::new(ErrorKind::TxnFailed).with_engine(ENGINE)
}

impl Reader for LmdbTxn<'_> {
    type Value<'a>
        = &'a [u8]
    where
        Self: 'a;
    type Cursor<'a>
        = LmdbCursor<'a>
    where
        Self: 'a;

    #[inline]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        view::get(self.open(), self.reading()?, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<LmdbCursor<'_>> {
        let db = self.open().table(table)?;
        Ok(LmdbCursor::new(self.open(), self.reading()?, db, range))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        view::count(self.open(), self.reading()?, table)
    }
}

impl Writer for LmdbTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        if self.may_append(table) && self.append(table, key, value)? {
            return Ok(());
        }
        self.write("put", table, |db, txn| db.put(txn, key, value))
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.write("delete", table, |db, txn| db.delete(txn, key).map(drop))
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.write("delete_range", table, |db, txn| {
            if range.is_all() {
                return db.clear(txn);
            }
            let start = match range.start() {
                [] => Bound::Unbounded,
                start => Bound::Included(start),
            };
            let end = range.end().map_or(Bound::Unbounded, Bound::Excluded);
            db.delete_range(txn, &(start, end)).map(drop)
        })
    }
}

impl RawBatch for LmdbTxn<'_> {
    fn commit(mut self, _asked: Durability) -> Result<(), CommitFailure> {
        let outcome = self
            .held
            .with_dependent_mut(|_, txn| txn.take().map(RwTxn::commit));
        match outcome {
            Some(Ok(())) => {
                self.open().lengthen();
                Ok(())
            }
            Some(Err(source)) => {
                let aborted = self.is_known_aborted(&source);
                let error = self.failed("commit", source);
                Err(if aborted {
                    CommitFailure::Aborted(error)
                } else {
                    CommitFailure::Unknown(error)
                })
            }
            None => Err(CommitFailure::Aborted(finished())),
        }
    }
}

impl LmdbTxn<'_> {
    /// Whether a commit that failed is certain to have left nothing behind: it stopped before
    /// writing, or the disk was full while pages were written that no commit leads to, the meta
    /// page is still that of the commit before, and LMDB itself still goes on. Everything else, a
    /// failed sync above all, is not known.
    fn is_known_aborted(&self, source: &heed::Error) -> bool {
        let open = self.open();
        is_before_writing(source)
            || (open.is_disk_full(source)
                && open.env().info().last_txn_id < self.id
                && open.begin_read().is_ok())
    }
}

impl RawTxn for LmdbTxn<'_> {}
