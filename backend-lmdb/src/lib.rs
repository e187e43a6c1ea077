//! The LMDB engine: a memory-mapped, copy-on-write B+tree, through heed.
//!
//! # What this is
//! [`LmdbStore`], the contract over [`LmdbEngine`]. Reads borrow from the map (no copy, no cache of
//! its own), views are read transactions that own a reader slot and may move between threads, the
//! writer is one transaction that stays on its thread. Each table is one named database of the
//! environment; rows are as given.
//!
//! # What it costs and what it does not do
//! A commit is durable when it returns (two syncs of the device), whatever was asked: LMDB's modes
//! without a sync can lose the file and are not offered. Keys are 1..=511 bytes. The file never
//! shrinks except by `compact`; pages that an old view may still read are not used again. LMDB does
//! not check what it reads: flipped bits in values come back as they are (the checksum envelope
//! finds them), flipped bits in tree pages can end the process.
//!
//! # Starting points
//! [`LmdbOptions`] for the size of the map; `engine` for growth and compaction; `env` for the only
//! unsafe calls.
#![deny(unsafe_code)]

mod bulk;
mod check;
mod cursor;
mod engine;
mod env;
mod error;
mod header;
mod options;
mod register;
mod txn;
mod view;

pub use bulk::LmdbLoader;
pub use cursor::LmdbCursor;
pub use engine::LmdbEngine;
#[cfg(feature = "raw")]
pub use env::open_raw;
pub use options::{LmdbOptions, ReadAhead};
pub use txn::LmdbTxn;
pub use view::LmdbView;

/// A store on LMDB.
pub type LmdbStore = backend_kit::Store<LmdbEngine>;

/// Blocks on LMDB, committing by themselves.
pub type LmdbBlockStore = storage_api::blocks::KvBlockStore<LmdbStore>;
