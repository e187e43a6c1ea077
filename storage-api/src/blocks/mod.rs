//! Blocks in the caller's transaction: the [`BlockStore`] contract, the index that every block
//! store shares ([`BlockIndex`]), and the block store that is nothing but rows ([`KvBlocks`]).
//!
//! One block is one commit: a caller opens a write transaction, appends the block, writes its own
//! state, commits. What a block store has to do outside (file work) comes before (`stage`) and
//! after (`finish`) the transaction and is idempotent, so a crash between leaves nothing half-done.
//! [`AutoCommit`] serves callers without a transaction of their own.
//!
//! Invariants: heights have no gap between tail and tip; each block's parent is the block below it;
//! a hash stands for one block; a transaction id maps to every place that carries it (Bitcoin has
//! duplicates), a lookup returns the newest, and truncation restores the one before. Source:
//! RepChain's block chapter.

mod auto_commit;
mod check;
mod index;
mod kv;
mod layout;
#[cfg(test)]
mod tests;
mod words;

use std::ops::ControlFlow;

pub use auto_commit::{AutoCommit, KvBlockStore};
pub use index::{BlockIndex, RowSink, VisitInfo};
pub use kv::KvBlocks;
pub use words::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, HASH_BYTES_MAX, Height, NewBlock,
    TxId, TxPlace,
};

use crate::contract::{Reader, WriteTxn};
use crate::error::Error;

/// What can go wrong with blocks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The store below failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The block does not follow the tip.
    #[error("block at height {found} offered, height {expected} comes next")]
    HeightMismatch {
        /// The height that comes next.
        expected: Height,
        /// The height that was offered.
        found: Height,
    },
    /// The block's parent is not the tip.
    #[error("block at height {height} has parent {found}, the tip is {expected}")]
    ParentMismatch {
        /// Height of the block that was offered.
        height: Height,
        /// Hash of the tip.
        expected: Box<BlockHash>,
        /// Parent of the block that was offered.
        found: Box<BlockHash>,
    },
    /// A block of this hash is stored already.
    #[error("block {hash} is already stored at height {height}")]
    DuplicateHash {
        /// The hash.
        hash: Box<BlockHash>,
        /// Where it is.
        height: Height,
    },
    /// The height is not between tail and tip.
    #[error("height {asked} is not stored: blocks {tail} to {tip} are")]
    OutOfRange {
        /// The height asked for.
        asked: Height,
        /// Lowest stored height.
        tail: Height,
        /// Highest stored height.
        tip: Height,
    },
    /// There is no block at all.
    #[error("no block is stored")]
    Empty,
    /// The file with the body is not there: it was archived or lost. Everything but the body is
    /// known.
    #[error("the body of block {height} is in a file that is absent: {place}")]
    BodyAbsent {
        /// Height of the block.
        height: Height,
        /// The file.
        place: String,
    },
}

/// What block calls return.
pub type BlockResult<T> = Result<T, BlockError>;

/// Blocks by height, hash and transaction, in the caller's transaction.
pub trait BlockStore: Send + Sync + 'static {
    /// A block whose file work is done.
    type Staged<'b>;

    /// File work that remains after a commit. It must be handed to [`BlockStore::finish`] once the
    /// commit returned; losing it in a crash costs space until the next opening and nothing
    /// else.
    type Cleanup;

    /// Does the file work of a block before the transaction. Nothing of it is visible, and it is
    /// forgotten without harm.
    ///
    /// Of blocks that share a commit all are staged before the first one is appended: where bodies
    /// are files, an append makes everything that was staged so far durable with one sync, and a
    /// block that is staged after it costs another.
    ///
    /// # Errors
    /// `Store` with `DiskFull`, `Io`.
    fn stage<'b>(&self, block: NewBlock<'b>) -> BlockResult<Self::Staged<'b>>;

    /// Appends a staged block on the tip. Cost: one index row, one row a transaction, and the body.
    ///
    /// # Errors
    /// `HeightMismatch`, `ParentMismatch`, `DuplicateHash`, `Store`.
    fn append<W: WriteTxn>(&self, txn: &mut W, staged: Self::Staged<'_>) -> BlockResult<BlockRef>;

    /// The newest block.
    ///
    /// # Errors
    /// `Store`.
    fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>>;

    /// The oldest block kept.
    ///
    /// # Errors
    /// `Store`.
    fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>>;

    /// How much is stored. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals>;

    /// What the index knows of the block at a height.
    ///
    /// # Errors
    /// `Store`.
    fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>>;

    /// The height of a hash.
    ///
    /// # Errors
    /// `Store`.
    fn height_of<R: Reader>(&self, reader: &R, hash: &BlockHash) -> BlockResult<Option<Height>>;

    /// Ids of the transactions of the block at a height, in order; empty when there is none.
    ///
    /// # Errors
    /// `Store`.
    fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>>;

    /// Every place of a transaction id, newest first.
    ///
    /// # Errors
    /// `Store`.
    fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>>;

    /// The newest place of a transaction id.
    ///
    /// # Errors
    /// `Store`.
    fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>>;

    /// Lends the body of the block at a height to `sink`, and says whether there is one. Cost: one
    /// get.
    ///
    /// # Errors
    /// `Store`.
    fn with_body<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        sink: &mut dyn FnMut(&[u8]),
    ) -> BlockResult<bool>;

    /// A copy of the body of the block at a height.
    ///
    /// # Errors
    /// `Store`.
    fn body<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<Vec<u8>>> {
        let mut copy = Vec::new();
        let found = self.with_body(reader, height, &mut |body| copy.extend_from_slice(body))?;
        Ok(found.then_some(copy))
    }

    /// Lends blocks upwards from a height until a limit is reached or `visit` breaks; returns the
    /// next height to ask for, or `None` behind the tip.
    ///
    /// # Errors
    /// `Store`.
    fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>>;

    /// Cuts at the tip: `Some(height)` becomes the tip, `None` removes every block. Cost:
    /// proportional to what is cut.
    ///
    /// # Errors
    /// `OutOfRange`, `Empty`, `Store`.
    fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>)
    -> BlockResult<Self::Cleanup>;

    /// Cuts at the tail: `tail` becomes the oldest block kept. Cost: proportional to what is cut.
    ///
    /// # Errors
    /// `OutOfRange`, `Empty`, `Store`.
    fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<Self::Cleanup>;

    /// Does the file work left after a commit. Idempotent. Of a transaction that was aborted, or
    /// whose commit is to come yet, it takes nothing away that is committed. Files that a view from
    /// before the commit may still read go with a later call.
    ///
    /// # Errors
    /// `Store` with `Io`.
    fn finish(&self, cleanup: Self::Cleanup) -> BlockResult<()>;
}
