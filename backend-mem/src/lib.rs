//! Engine in memory: multi-version, with views in constant time.
//!
//! Every table is a copy-on-write [`tree::Tree`]; a commit publishes a new list of roots, a view
//! holds the list it began with. Readers take a lock for the time of one counter increment, never
//! while anyone writes.
//!
//! Invariants: safe code only; nothing outlives the process, so every durability is accepted and
//! reported as [`storage_api::Effective::Process`]; memory is bounded by
//! `OpenOptions::memory_budget_bytes`, past which writes are refused with `Full` and nothing is
//! lost.
//!
//! ```
//! use storage_api::{Durability, Engine, KvStore, Location, Reader, Schema, TableDef, WriteTxn,
//! Writer};
//! # fn main() -> storage_api::Result<()> {
//! const NAMES: TableDef = TableDef::new("names");
//! let schema = Schema::new([&NAMES])?;
//! let (store, _) = backend_mem::MemStore::open(Location::Memory, &schema, &Default::default(),
//! &Default::default())?;
//! let names = store.catalogue().id("names")?;
//! let mut txn = store.begin_write()?;
//! txn.put(names, b"alice", b"1")?;
//! txn.commit(Durability::Volatile)?;
//! assert_eq!(store.begin_read()?.get(names, b"alice")?.as_deref(), Some(&b"1"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod bulk;
mod engine;
mod read;
pub mod tree;
mod write;

pub use bulk::MemLoader;
pub use engine::{MemEngine, MemOptions};
pub use read::{MemCursor, MemView};
pub use write::MemTxn;

/// A store in memory.
pub type MemStore = backend_kit::Store<MemEngine>;

/// Blocks in memory, committing by themselves.
pub type MemBlockStore = storage_api::blocks::KvBlockStore<MemStore>;
