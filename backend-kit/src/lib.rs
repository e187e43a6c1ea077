//! What every engine shares, written once: the store directory with marker and lock, the writer
//! gate, the register of views, key and value checks, the checksum envelope, savepoints, commit
//! order, poisoning, verification, backup.
//!
//! An engine implements [`RawEngine`] and gets a [`Store`] that is a [`storage_api::KvStore`] and
//! [`storage_api::Engine`]. Layers never see this crate; only engines and the facade do.
//!
//! Starting points: [`raw`] for what an engine brings, [`Store`] for what it gets, [`directory`]
//! for what is on disk around it (`docs/format/directory.md`).
#![forbid(unsafe_code)]

mod backup;
mod boundary;
pub mod directory;
mod gate;
pub mod raw;
mod read;
mod registry;
mod shared;
mod store;
mod tables;
mod verify;
mod write;

pub use raw::{
    CommitFailure, RawBatch, RawCheck, RawEngine, RawOpen, RawOpened, RawSpace, RawTable, RawTxn,
};
pub use read::{TableCursor, Value, View};
pub use store::Store;
pub use write::Txn;
