//! The traits of the contract: read, write, batch, bulk, store, open, extend.
//!
//! Design: bytes at the bottom, unsigned lexicographic order, reads by `&self` and writes by `&mut
//! self` so that writing while iterating does not compile, borrowed values, lending cursors.
//! `KvStore` has no `open`, no associated constant and no generic method, so engines, decorators,
//! the enum of engines and the erased form are all stores.

mod batch;
mod bulk;
mod extend;
mod open;
mod read;
mod store;
mod write;

#[cfg(test)]
mod tests;

pub use batch::{BatchOp, WriteBatch};
pub use bulk::{Bulk, BulkLoad, BulkOptions, BulkReport};
pub use extend::{
    Backup, BackupReport, Compact, CompactReport, Finding, TableCheck, Verify, VerifyReport,
};
pub use open::{
    Access, ChainId, CommitOrder, Engine, IfMissing, Location, OpenOptions, OpenReport,
    Persistence, ReaderLimits,
};
pub use read::{Count, Cursor, Entry, ReadTxn, Reader, ReaderExt, Rows, Visit};
pub use store::{KvStore, KvStoreExt, OldestReader, StoreStats, TableStats};
pub use write::{Savepoint, WriteTxn, Writer};
