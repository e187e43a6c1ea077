//! The view: a read transaction of LMDB that owns its share of the environment.
//!
//! Invariants: a view never changes and may move between threads (its reader slot belongs to it,
//! not to a thread); it keeps the environment open; fields drop in the order that LMDB needs, the
//! transaction before the environment. While it lives, pages that it may read are not used again,
//! so the file can grow; the store around the engine watches that.

use std::fmt;
use std::sync::Arc;

use heed::{RoTxn, WithoutTls};
use storage_api::{Count, KeyRange, Reader, Result, TableId};

use crate::cursor::LmdbCursor;
use crate::env::OpenEnv;

/// A view of one commit.
pub struct LmdbView {
    txn: RoTxn<'static, WithoutTls>,
    open: Arc<OpenEnv>,
}

impl fmt::Debug for LmdbView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbView")
            .field("txn", &self.txn.id())
            .finish_non_exhaustive()
    }
}

impl LmdbView {
    /// Begins a view of the last commit.
    ///
    /// # Errors
    /// `TooManyReaders`, `Poisoned`, `Io`.
    pub(crate) fn begin(open: Arc<OpenEnv>) -> Result<Self> {
        let txn = open.begin_read()?;
        Ok(Self { txn, open })
    }

    /// LMDB's number of the commit it sees.
    pub(crate) fn txn_id(&self) -> usize {
        self.txn.id()
    }
}

impl Reader for LmdbView {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = LmdbCursor<'a>;

    #[inline]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        get(&self.open, &self.txn, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<LmdbCursor<'_>> {
        let db = self.open.table(table)?;
        Ok(LmdbCursor::new(&self.open, &self.txn, db, range))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        count(&self.open, &self.txn, table)
    }
}

/// The value of a key, in the map.
///
/// # Errors
/// `UnknownTable`, `Corruption`.
#[inline]
pub(crate) fn get<'a>(
    open: &OpenEnv,
    txn: &'a RoTxn<'a>,
    table: TableId,
    key: &[u8],
) -> Result<Option<&'a [u8]>> {
    match open.table(table)? {
        Some(db) => db.get(txn, key).map_err(|error| open.error("get", error)),
        None => Ok(None),
    }
}

/// The number of rows; LMDB keeps it beside the root of the tree.
///
/// # Errors
/// `UnknownTable`, `Corruption`.
pub(crate) fn count(open: &OpenEnv, txn: &RoTxn<'_>, table: TableId) -> Result<Count> {
    match open.table(table)? {
        Some(db) => db
            .len(txn)
            .map(Count::Exact)
            .map_err(|error| open.error("count", error)),
        None => Ok(Count::Exact(0)),
    }
}
