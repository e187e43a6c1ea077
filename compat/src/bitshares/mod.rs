//! BitShares' block database: blocks by number and id, replaced by fork switches, removed by undo.
//!
//! | upstream | here |
//! |---|---|
//! | `blocks` | records of a log: a block, and which one it is |
//! | `index`: position, size and id for each number | rows of the store |
//! | `remove`: size 0 | the same; the number keeps its id |
//! | `last`, `last_id`: back to the last valid entry | back over removed ones; damage is told |
//! | the truncating that comes with it | [`BlockDatabase::truncate_to_last_valid`] |
//! | an index that is longer than the blocks | refused, or scanned back ([`IfShort`]) |
//! | fetching finds nothing where bytes are damaged | `Corruption`, with segment and offset |
//!
//! ```
//! use std::sync::Arc;
//!
//! use chain_store::AnyStore;
//! use compat::bitshares::{BlockDatabase, BlockDatabaseStore, DatabaseOptions};
//! use seglog::disk::Folder;
//! use storage_api::blocks::{BlockHash, Height};
//! use storage_api::{ChecksumSetting, Durability};
//!
//! let dir = tempfile::tempdir()?;
//! let schema = BlockDatabase::<AnyStore>::schema(ChecksumSetting::None)?;
//! let store = Arc::new(AnyStore::open("mem:", &schema)?);
//! let disk = Arc::new(Folder::new(dir.path()));
//! let (database, _) = BlockDatabase::open(store, disk, &DatabaseOptions::default())?;
//! let blocks = BlockDatabaseStore::new(database, Durability::Durable);
//!
//! // The number is in the first four bytes of the id.
//! let first = BlockHash::new(&[0, 0, 0, 1, 0xaa])?;
//! let second = BlockHash::new(&[0, 0, 0, 2, 0xbb])?;
//! blocks.store(&first, b"one")?;
//! blocks.store(&second, b"two")?;
//! assert!(blocks.remove(&second)?);
//! assert_eq!(blocks.last_id()?, Some(first));
//! assert_eq!(blocks.fetch_by_number(Height::new(2))?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants: a record is durable before its row is committed; the commit is the only commit
//! point; a fetched block is the one that was stored under its number and id, every byte compared.
//! Rows and records: `docs/format/bitshares.md`.

mod committing;
mod database;
mod layout;
mod open;
#[cfg(test)]
mod tests;

pub use committing::BlockDatabaseStore;
pub use database::{BlockDatabase, DatabaseCheck, StoredBlock, Truncated};
pub use open::{DatabaseOptions, IfShort, NumberOfId, OpenedDatabase, num_from_id};

use storage_api::blocks::Height;

/// What can go wrong with a block database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The store or the log below failed, or is damaged.
    #[error(transparent)]
    Store(#[from] storage_api::Error),
    /// There is no entry of this number.
    #[error("block number {number} is not in the block database")]
    NotContained {
        /// The number.
        number: Height,
    },
}

/// What calls of this module return.
pub type DatabaseResult<T> = Result<T, DatabaseError>;
