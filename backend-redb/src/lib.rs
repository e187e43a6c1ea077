//! Engine: redb, a copy-on-write B+tree in one file, pure Rust. The default engine.
//!
//! # What this is
//! [`RedbEngine`] is what redb brings to [`backend_kit::Store`]; [`RedbStore`] is the store that
//! comes of it. One file, `data.redb`, holds every table of a store, each as a redb table of byte
//! keys and byte values under the table's own name.
//!
//! # What must always hold
//! A table is opened once a transaction and kept, never once an operation. A commit that is asked
//! to be durable is, when it returns: two-phase, with the state of the page allocator in it, so
//! that opening after a crash walks nothing, except beside an old view ([`CommitStrategy`] says
//! when, and can trade it). A read-only store changes no byte of its file, after an unclean end
//! too: what redb would write stays in memory. redb must outlive its read transactions, so every
//! view holds the engine's core.
//!
//! # Cost
//! A get allocates nothing and copies nothing: values are pinned in redb's page cache. A cursor
//! allocates when it is placed and nothing a row. A blind batch in key order is appended through
//! redb's cursor where it fits one gap of a table, several times faster than row by row. Durable
//! commits cost two syncs.
//!
//! # Starting points
//! [`RedbOptions`] for what is particular to redb, [`BackendSource`] for running it on other
//! storage than a file.
#![forbid(unsafe_code)]

mod check;
mod engine;
mod eras;
mod error;
mod file;
mod live;
mod options;
mod txn;
mod used;
mod view;

pub use engine::RedbEngine;
pub use options::{
    BackendFactory, BackendRequest, BackendSource, CommitStrategy, DATA_FILE_NAME, RedbOptions,
};
pub use redb::{BackendError, StorageBackend};
pub use txn::{RedbBatch, RedbTxn};
pub use view::{RedbCursor, RedbValue, RedbView};

/// A store over redb.
pub type RedbStore = backend_kit::Store<RedbEngine>;

/// A block store over redb.
pub type RedbBlockStore = storage_api::blocks::KvBlockStore<RedbStore>;

/// Keys and values as redb sees them.
pub(crate) type Bytes = &'static [u8];
