//! RepChain's block chapter under its own names: blocks in files, an index beside them.
//!
//! | RepChain | here |
//! |---|---|
//! | `getBlockByBase64Hash` (R11) | [`Blocks::get_block_by_base64_hash`] |
//! | `getBlockByHash` (R11) | [`Blocks::get_block_by_hash`] |
//! | `getBlockByTxId` (R11) | [`Blocks::get_block_by_tx_id`] |
//! | `getBlockByHeight` (R11) | [`Blocks::get_block_by_height`] |
//! | `getBlocksFromHeight` (R12) | [`Blocks::get_blocks_from_height`] |
//! | the same one by one | [`Blocks::visit_blocks_from_height`] |
//! | the same as an iterator | [`Blocks::blocks_from_height`] |
//! | `getBlocks4ObjectFromHeight(h)` (R13) | [`Blocks::get_blocks4object_from_height`] |
//! | `getBlocks4ObjectFromHeight(h, limits)` | [`Blocks::get_blocks4object_from_height_limits`] |
//! | `getBlock4ObjectByHeight` (R13) | [`Blocks::get_block4object_by_height`] |
//! | `getBlockChainInfo` (R14) | [`Blocks::get_block_chain_info`] |
//! | `restoreBlock` (R15, R23) | [`Blocks::restore_block`] |
//! | `restoreBlocks` (R15) | [`Blocks::restore_blocks`] |
//! | `getBlockHeight` (R16) | [`Blocks::get_block_height`] |
//! | `getBlockAllTxNumber` (R16) | [`Blocks::get_block_all_tx_number`] |
//! | `getMaxFileNo` (R16) | [`Blocks::get_max_file_no`] |
//! | `BlockHelp` (R20) | [`BlockHelp`] |
//! | `blockindex` (R22) | [`BlockIndexEntry`] |
//! | `rollbackToHeight` (R26) | [`Blocks::rollback_to_height`] |
//! | the check at the start (R26) | [`Blocks::self_check`] |
//! | the alarm of a full disk (R26) | [`Options::disk_free_bytes_min`] |
//! | `Block`, `Transaction` | [`proto`] |
//! | blocks of another generation | [`BlockCodec`] |
//!
//! Invariants: heights begin at 1, file numbers at 0; a chain takes only the block that follows its
//! last one, and the first block has an empty previous hash, which the index keeps as one zero
//! byte; a refusal changes nothing; counters and file number are rows of the same commit as the
//! block. Files roll over by the bytes of blocks, exactly at the limit.
//!
//! What differs from the original, where it was wrong: the file number outlives a reopening;
//! a read gives all bytes or an error; a list that is restored in part says how far; arrays of what
//! is not there are empty. The bytes in the files are those of `docs/format/seglog.md` and
//! `docs/format/segment-blocks.md`, with checksums, and not those of the original's files. What the
//! original compares with its own world state is here what the last block claims.
//!
//! ```
//! use std::sync::Arc;
//!
//! use chain_store::AnyStore;
//! use compat::repchain::{Blocks, Options, proto};
//! use seglog::disk::Folder;
//! use storage_api::ChecksumSetting;
//! use storage_api::blocks::Height;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let url = format!("redb:{}", dir.path().join("store").display());
//! let schema = Blocks::<AnyStore>::schema(ChecksumSetting::None)?;
//! let store = Arc::new(AnyStore::open(&url, &schema)?);
//! // Here `chainstore blocks check` and its like look for the files, and `copy` takes them along.
//! let files = dir.path().join("store").join("segments");
//! std::fs::create_dir_all(&files)?;
//!
//! let options = Options::for_system("testSystem");
//! let (blocks, _) = Blocks::open(store, Arc::new(Folder::new(&files)), &options)?;
//! for number in 1..=3 {
//!     let info = blocks.get_block_chain_info()?;
//!     let mut block = proto::Block {
//!         version: 1,
//!         previous_block_hash: info.current_block_hash,
//!         ..proto::Block::default()
//!     };
//!     block.transactions.push(proto::Transaction {
//!         txid: format!("transaction {number}"),
//!         ..proto::Transaction::default()
//!     });
//!     blocks.restore_block(&block)?;
//! }
//!
//! assert_eq!(blocks.get_block_height()?, Height::new(3));
//! assert_eq!(blocks.get_block_all_tx_number()?, 3);
//! let second = blocks.get_block_by_tx_id("transaction 2")?;
//! assert_eq!(second, blocks.get_block_by_height(Height::new(2))?);
//! assert_eq!(blocks.get_blocks4object_from_height(Height::new(2))?.len(), 2);
//! assert!(blocks.get_block_by_hash("no hash")?.is_none());
//! # Ok(())
//! # }
//! ```

mod blocks;
mod check;
mod codec;
mod error;
mod help;
pub mod proto;
mod query;
mod words;

pub use blocks::{Blocks, FIRST_HEIGHT, GROUP_BLOCKS};
pub use check::{Fault, SelfCheck, SelfCheckOptions};
pub use codec::{BlockCodec, BlockFacts, Codec2018, CodecError};
pub use error::{Error, PreviousHash, RestoreError};
pub use help::{BlockHelp, FilePos};
pub use query::BlockIter;
pub use words::{BLOCKS_DEFAULT, BlockIndexEntry, FileNo, Limits, Options, Restored};
