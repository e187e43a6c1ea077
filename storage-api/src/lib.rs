//! The storage contract of a blockchain node: what every store means, whatever engine is behind it.
//!
//! # What this is
//! Named, ordered tables of bytes ([`TableDef`], [`KeyRange`], [`Cursor`]), owned consistent views
//! ([`ReadTxn`]), one serializable writer ([`WriteTxn`]) and blind batches ([`WriteBatch`]), with
//! declared durability ([`Durability`]), capabilities ([`Capabilities`]) and structured errors
//! ([`Error`]); a block store in the caller's transaction ([`blocks`]); and the pieces that several
//! crates need exactly alike: [`overlay`], [`ChangeSet`], [`codec`], [`Clock`].
//!
//! # What this is not
//! No engine, no file, no thread: this crate does no input or output, and nothing in its dependency
//! tree does.
//!
//! # Starting points
//! [`KvStore`] for a store, [`Engine`] for opening one, [`blocks::BlockStore`] for blocks,
//! [`Error`] for what can go wrong.
//!
//! ```
//! use storage_api::{Durability, KvStore, KvStoreExt, Reader, Result, TableId, Writer};
//!
//! fn deposit<S: KvStore>(store: &S, accounts: TableId, name: &[u8], amount: u64) -> Result<u64> {
//!     let (balance, _) = store.update(Durability::Durable, |txn| {
//!         let old = txn.get(accounts, name)?.map_or(0, |v| v.iter().fold(0, |n, b| n << 8 |
//! u64::from(*b)));
//!         let new = old + amount;
//!         txn.put(accounts, name, &new.to_be_bytes())?;
//!         Ok(new)
//!     })?;
//!     Ok(balance)
//! }
//! ```
#![forbid(unsafe_code)]

pub mod blocks;
mod capability;
mod change_set;
mod clock;
pub mod codec;
mod commit;
mod contract;
pub mod envelope;
mod erased;
mod error;
pub mod overlay;
mod range;
mod table;

pub use capability::{BitRot, BulkMode, Capabilities, CountMode, Mode, Sharing, ValueLane};
pub use change_set::{Change, ChangeSet};
pub use clock::{Clock, ManualClock, SystemClock};
pub use commit::{Commit, CommitSeq, Durability, Effective};
pub use contract::{
    Access, Backup, BackupReport, BatchOp, Bulk, BulkLoad, BulkOptions, BulkReport, ChainId,
    CommitOrder, Compact, CompactReport, Count, Cursor, Engine, Entry, Finding, IfMissing, KvStore,
    KvStoreExt, Location, OldestReader, OpenOptions, OpenReport, Persistence, ReadTxn, Reader,
    ReaderExt, ReaderLimits, Rows, Savepoint, StoreStats, TableCheck, TableStats, Verify,
    VerifyReport, Visit, WriteBatch, WriteTxn, Writer,
};
pub use erased::{DynStore, ErasedStore};
pub use error::{Error, ErrorKind, Result, Source};
pub use range::{KeyRange, prefix_end};
pub use table::{
    AccessHint, Catalogue, ChecksumSetting, KEY_BYTES_MAX_PORTABLE, KeyLimit, Schema,
    TABLE_NAME_BYTES_MAX, TableDef, TableHints, TableId, TableInfo, ValueHint,
};
