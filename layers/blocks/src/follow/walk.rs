//! Walking a block log backwards, from parent to parent.
//!
//! Invariants: each block that is given is the parent of the one given before, by height and by
//! hash; the walk ends behind the oldest block, and after an error. Memory: one block. Cost of a
//! block: one get and one positioned read.

use storage_api::blocks::{BlockHash, BlockResult, Height};
use storage_api::{Error, KvStore, Reader};

use super::{LogBlock, LogBlocks};

/// Blocks from one of them down to the oldest; see [`LogBlocks::walk_back`].
#[derive(Debug)]
pub struct WalkBack<'w, S, R> {
    blocks: &'w LogBlocks<S>,
    reader: &'w R,
    next: Option<Height>,
    tail: Height,
    /// What the next block's hash has to be.
    expected: Option<BlockHash>,
    buffer: Vec<u8>,
}

impl<S: KvStore> LogBlocks<S> {
    /// Walks from the block at `from`, or from the newest one, down to the oldest. Nothing comes
    /// when there is no such block.
    ///
    /// # Errors
    /// `Store`.
    pub fn walk_back<'w, R: Reader>(
        &'w self,
        reader: &'w R,
        from: Option<Height>,
    ) -> BlockResult<WalkBack<'w, S, R>> {
        let ends = self.index.tail(reader)?.zip(self.index.tip(reader)?);
        let start = ends.and_then(|(tail, tip)| {
            let from = from.unwrap_or(tip.height);
            (tail.height..=tip.height).contains(&from).then_some(from)
        });
        Ok(WalkBack {
            blocks: self,
            reader,
            next: start,
            tail: ends.map_or(Height::ZERO, |(tail, _)| tail.height),
            expected: None,
            buffer: Vec::new(),
        })
    }
}

impl<S: KvStore, R: Reader> WalkBack<'_, S, R> {
    fn read(&mut self, height: Height) -> BlockResult<LogBlock> {
        let at = self.blocks.known_place(self.reader, height)?;
        let block = self.blocks.block_at(height, &at, &mut self.buffer)?;
        if self
            .expected
            .is_some_and(|expected| expected != block.info.hash)
        {
            let what = format!("block {height} is not the parent of the block above it");
            return Err(Error::corruption("the block log", what).into());
        }
        self.expected = Some(block.info.parent);
        self.next = height.prev().filter(|below| *below >= self.tail);
        Ok(block)
    }
}

impl<S: KvStore, R: Reader> Iterator for WalkBack<'_, S, R> {
    type Item = BlockResult<LogBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        // After an error the walk is over.
        let height = self.next.take()?;
        Some(self.read(height))
    }
}
