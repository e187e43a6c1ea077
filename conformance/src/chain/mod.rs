//! Block stores under test: the harness for them, their erased form, and the chain that they are
//! compared with.
//!
//! Every [`crate::Harness`] runs the block cases over [`storage_api::blocks::KvBlocks`]; a block
//! store of its own brings a [`BlockHarness`] and [`crate::block_suite!`].

mod model;
mod probe;

pub(crate) use model::{ModelChain, OwnedBlock, hash_of, tx_of};
pub(crate) use probe::{BlockRead, BlockWrite, Blocks, Over, Step};

use std::sync::Arc;

use storage_api::blocks::BlockStore;
use storage_api::{KvStore, OpenOptions, Result, Schema};

/// A place for a block store under test and the way to open it there.
pub trait BlockHarness: Default + 'static {
    /// The store below, whose transactions the blocks are written in.
    type Store: KvStore;

    /// The block store.
    type Blocks: BlockStore;

    /// Opens both, with these tables beside the block store's own.
    ///
    /// # Errors
    /// As [`storage_api::Engine::open`].
    fn open(
        &self,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Arc<Self::Store>, Self::Blocks)>;
}
