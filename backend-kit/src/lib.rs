//! What every engine shares, written once: the store directory with marker and lock, the writer
//! gate, the register of views, key and value checks, the checksum envelope, savepoints, commit
//! order, poisoning, verification, backup.
//!
//! An engine implements [`RawEngine`] and gets a [`Store`] that is a [`storage_api::KvStore`] and
//! [`storage_api::Engine`]. Layers never see this crate; only engines and the facade do.
//!
//! What a store counts and times goes through the `metrics` facade, see [`metrics`].
//!
//! Starting points: [`raw`] for what an engine brings, [`Store`] for what it gets, [`directory`]
//! for what is on disk around it (`docs/format/directory.md`).
#![forbid(unsafe_code)]

mod boundary;
mod bulk;
mod copies;
pub mod directory;
mod gate;
pub mod metrics;
pub mod raw;
mod read;
mod registry;
mod shared;
mod store;
mod tables;
mod verify;
mod write;

pub use copies::{FillPlan, Filled, copy_folder};
pub use raw::{
    CommitFailure, InsertingLoader, NoPart, RawBatch, RawCheck, RawEngine, RawLoader, RawOpen,
    RawOpened, RawPart, RawSpace, RawTable, RawTxn, seq_row,
};
pub use read::{TableCursor, Value, View};
pub use store::Store;
pub use write::Txn;
