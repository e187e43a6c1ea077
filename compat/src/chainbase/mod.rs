//! EOS chainbase's blocks: `blocks.log` with its `blocks.index`, and the reversible blocks before
//! them.
//!
//! | upstream | here |
//! |---|---|
//! | `blocks.log` | [`BlockLog`]: append-only and the truth, in segments |
//! | `blocks.index` | rows of the store, made again when they are gone, short, long or damaged |
//! | the 8 bytes behind an entry | [`BlockLog::walk_back`], from parent to parent |
//! | version, first block, genesis or chain id | [`BlockLog::preamble`] |
//! | `reversible` | [`ReversibleBlocks`]: the current branch above the log |
//! | `block_log` files themselves | [`BlockLog::import`], [`BlockLog::export`] |
//!
//! ```
//! use std::sync::Arc;
//!
//! use blocks::LogBlocksOptions;
//! use chain_store::AnyStore;
//! use compat::chainbase::ChainbaseBlocks;
//! use seglog::disk::Folder;
//! use storage_api::blocks::{BlockHash, Height, NewBlock};
//! use storage_api::{ChecksumSetting, Durability, KvStore};
//!
//! let dir = tempfile::tempdir()?;
//! let place = dir.path().join("store");
//! let schema = ChainbaseBlocks::<AnyStore>::schema(ChecksumSetting::None)?;
//! let store = Arc::new(AnyStore::open(&format!("redb:{}", place.display()), &schema)?);
//! // Here `chainstore blocks check` and its like look for the files, and `copy` takes them along.
//! let files = place.join("segments");
//! std::fs::create_dir_all(&files)?;
//! let disk = Arc::new(Folder::new(&files));
//! let options = LogBlocksOptions::default();
//! let (chain, _) = ChainbaseBlocks::open(store, disk, &options, Durability::Durable)?;
//!
//! let id = |number: u8| BlockHash::new(&[number; 32]);
//! for number in 1..=5 {
//!     chain.add(&NewBlock {
//!         height: Height::new(number.into()),
//!         hash: id(number)?,
//!         parent: id(number - 1)?,
//!         tx_ids: &[],
//!         body: b"a packed block",
//!     })?;
//! }
//! assert_eq!(chain.make_irreversible(Height::new(3))?, 3);
//!
//! let view = chain.store().begin_read()?;
//! let numbers: Vec<u64> = chain
//!     .log()
//!     .walk_back(&view)?
//!     .map(|block| block.map(|block| block.info.height.get()))
//!     .collect::<Result<_, _>>()?;
//! assert_eq!(numbers, [3, 2, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants: the log is the truth and the index follows it; a block that is final is never taken
//! back or replaced; a block is final or not, and never both after opening. Rows:
//! `docs/format/chainbase.md`, `docs/format/log-blocks.md`.

mod committing;
mod files;
mod layout;
mod log;
mod reversible;
#[cfg(test)]
mod tests;

pub use committing::ChainbaseBlocks;
pub use files::{Imported, LogFileError};
pub use log::{BlockLog, chain_tag};
pub use reversible::{Reconciled, ReversibleBlocks};
