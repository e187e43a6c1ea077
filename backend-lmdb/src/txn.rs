//! The write transaction, which is the batch too: LMDB has nothing cheaper for blind writes.
//!
//! Invariants: it stays on the thread that began it, because LMDB's write mutex belongs to a thread and a commit elsewhere
//! hangs (heed#339; heed's own type is `Send`, this one is not); dropping it aborts; after LMDB failed an operation every
//! further one fails and only an abort is left; a commit is durable when it returns, whatever was asked.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use backend_kit::{CommitFailure, RawBatch, RawTxn};
use heed::{MdbError, PutFlags, RoTxn, RwTxn};
use self_cell::self_cell;
use storage_api::{
    Count, Durability, Error, ErrorKind, KeyRange, Reader, Result, TableId, Writer,
};

use crate::cursor::LmdbCursor;
use crate::engine::LmdbEngine;
use crate::env::{Db, OpenEnv};
use crate::error::{ENGINE, is_before_writing, is_disk_full, is_map_full};
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
    /// LMDB's number of the commit this will be.
    id: usize,
    /// The table whose keys arrived in ascending order at last, and the one where they did not.
    appends: Appends,
    /// Not `Send`.
    thread: PhantomData<*const ()>,
}

impl fmt::Debug for LmdbTxn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbTxn").field("id", &self.id).finish_non_exhaustive()
    }
}
