//! Engine: RocksDB, a log-structured merge tree.
//!
//! A plain database under the shared writer gate: batches of several threads enter RocksDB's write
//! group together and share a sync; a write transaction has the database to itself, reads it as it
//! is and keeps its own writes in an [`Overlay`](storage_api::overlay::Overlay) until the commit.
//! Views are snapshots with pooled iterators.
//!
//! Invariants: safe code only; the write-ahead log is never off, so every commit is atomic over all
//! tables; `Volatile` is strengthened to `Buffered`; checksums of blocks are checked whenever they
//! are read from a file.
//!
//! ```
//! use backend_rocks::RocksStore;
//! use storage_api::{
//!     Durability, Engine, KvStore, Location, Reader, Schema, TableDef, WriteTxn, Writer,
//! };
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const NAMES: TableDef = TableDef::new("names");
//! let schema = Schema::new([&NAMES])?;
//! let parent = tempfile::tempdir()?;
//! let place = parent.path().join("store");
//! let location = Location::Directory(&place);
//! let (store, _) =
//!     RocksStore::open(location, &schema, &Default::default(), &Default::default())?;
//! let names = store.catalogue().id("names")?;
//! let mut txn = store.begin_write()?;
//! txn.put(names, b"alice", b"1")?;
//! txn.commit(Durability::Durable)?;
//! assert_eq!(store.begin_read()?.get(names, b"alice")?.as_deref(), Some(&b"1"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod bulk;
mod check;
mod cursor;
mod engine;
mod error;
mod log;
mod options;
mod tables;
mod txn;
mod view;

pub use bulk::RocksLoader;
pub use cursor::RocksCursor;
pub use engine::{KEY_BYTES_MAX, RocksEngine, VALUE_BYTES_MAX};
pub use options::{DamagedLog, MEMORY_BUDGET_BYTES_DEFAULT, MEMORY_BUDGET_BYTES_MIN, RocksOptions};
pub use txn::{RocksBatch, RocksTxn};
pub use view::{RocksValue, RocksView};

/// A store in a RocksDB database.
pub type RocksStore = backend_kit::Store<RocksEngine>;

/// Blocks in a RocksDB database, committing by themselves.
pub type RocksBlockStore = storage_api::blocks::KvBlockStore<RocksStore>;
