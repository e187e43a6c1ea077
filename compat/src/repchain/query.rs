//! What can be asked of [`Blocks`]: one block, blocks in a row, the chain as a whole.
//!
//! Invariants: what is not there is `None` or empty, never an error; each call reads one view, so
//! what it gives belongs together; the forms that give decoded blocks decode what the other forms
//! give; nothing is decoded that is not given. Blocks in a row come as an array, bounded by its
//! limit, or one by one (`visit_*`, [`BlockIter`]), bounded by count and bytes.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use storage_api::KvStore;
use storage_api::blocks::{
    BlockError, BlockHash, BlockInfo, BlockQuery, BlockStore, Height, TxId, TxPlace,
};

use super::blocks::{Blocks, NO_PARENT};
use super::codec::BlockCodec;
use super::error::Error;
use super::proto::BlockchainInfo;
use super::words::{BlockIndexEntry, FileNo, Limits};

impl<S: KvStore, C: BlockCodec> Blocks<S, C> {
    /// `getBlockByBase64Hash` (R11): the bytes of the block of a hash, which is given in standard
    /// Base64 with padding. What is not Base64 is no hash.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_by_base64_hash(&self, base64: &str) -> Result<Option<Vec<u8>>, Error> {
        match STANDARD.decode(base64) {
            Ok(hash) => self.get_block_by_hash(hash),
            Err(_) => Ok(None),
        }
    }

    /// `getBlockByHash` (R11): the bytes of the block of a hash, as the block that follows names
    /// it; with [`super::Codec2018`] as text. Cost: two gets and one positioned read.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_by_hash(&self, hash: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let view = self.store.begin_read()?;
        match self.height_in(&view, hash.as_ref())? {
            Some(height) => Ok(self.blocks.body(&view, height)?),
            None => Ok(None),
        }
    }

    fn height_in(&self, view: &S::ReadTxn, hash: &[u8]) -> Result<Option<Height>, Error> {
        match BlockHash::new(hash) {
            Ok(hash) => Ok(self.blocks.height_of(view, &hash)?),
            // What is too short or too long is no hash.
            Err(_) => Ok(None),
        }
    }

    /// `getBlockHeightByHash`: the height of a hash. Cost: one get.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_height_by_hash(
        &self,
        hash: impl AsRef<[u8]>,
    ) -> Result<Option<Height>, Error> {
        self.height_in(&self.store.begin_read()?, hash.as_ref())
    }

    fn place_in(&self, view: &S::ReadTxn, txid: &[u8]) -> Result<Option<TxPlace>, Error> {
        match TxId::new(txid) {
            Ok(txid) => Ok(self.blocks.tx_place(view, &txid)?),
            Err(_) => Ok(None),
        }
    }

    /// `getBlockByTxId` (R11): the bytes of the block that contains a transaction; of several, the
    /// newest. Cost: one seek, one get and one positioned read.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_by_tx_id(&self, txid: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let view = self.store.begin_read()?;
        match self.place_in(&view, txid.as_ref())? {
            Some(place) => Ok(self.blocks.body(&view, place.height)?),
            None => Ok(None),
        }
    }

    /// `getBlockByHeight` (R11): the bytes of the block at a height. Cost: one get and one
    /// positioned read.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_by_height(&self, height: Height) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.blocks.body(&self.store.begin_read()?, height)?)
    }

    /// `getBlock4ObjectByHeight` (R13): the block at a height.
    ///
    /// # Errors
    /// `Block`, `Codec`.
    pub fn get_block4object_by_height(&self, height: Height) -> Result<Option<C::Block>, Error> {
        let bytes = self.get_block_by_height(height)?;
        let block = bytes.map(|bytes| self.codec.decode(&bytes));
        Ok(block.transpose()?)
    }

    /// Where a row of blocks begins, if there is a block at that height.
    fn begins(&self, view: &S::ReadTxn, height: Height) -> Result<Option<Height>, Error> {
        let Some(tip) = self.blocks.tip(view)?.map(|tip| tip.height) else {
            return Ok(None);
        };
        if height == Height::ZERO || height > tip {
            return Ok(None);
        }
        match self.blocks.tail(view)?.map(|tail| tail.height) {
            // What was pruned is told: the blocks from the tail on would be others than asked for.
            Some(tail) if height < tail => {
                let asked = height;
                Err(BlockError::OutOfRange { asked, tail, tip }.into())
            }
            _ => Ok(Some(height)),
        }
    }

    /// `getBlocksFromHeight` (R12, D2): the bytes of the blocks from a height on, that one
    /// included. Empty for height 0 and above the last block. A limit of 0 means 1000; any other
    /// one is kept to, no more than [`super::Options::blocks_max`].
    ///
    /// # Errors
    /// `Block`, with `OutOfRange` for a height that was pruned.
    pub fn get_blocks_from_height(
        &self,
        height: Height,
        limits: impl Into<Limits>,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut found = Vec::new();
        self.visit_blocks_from_height(self.query(height, limits.into()), &mut |_, bytes| {
            found.push(bytes.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn query(&self, height: Height, limits: Limits) -> BlockQuery {
        BlockQuery {
            blocks_max: limits.blocks(self.options.blocks_max),
            ..BlockQuery::from(height)
        }
    }

    /// `getBlocks4ObjectFromHeight(h)` (R13): the blocks from a height on, a thousand at most.
    ///
    /// # Errors
    /// As [`Blocks::get_blocks_from_height`]; `Codec`.
    pub fn get_blocks4object_from_height(&self, height: Height) -> Result<Vec<C::Block>, Error> {
        self.get_blocks4object_from_height_limits(height, Limits::Default)
    }

    /// `getBlocks4ObjectFromHeight(h, limits)` (R13): the blocks from a height on; limits as in
    /// [`Blocks::get_blocks_from_height`].
    ///
    /// # Errors
    /// As [`Blocks::get_blocks_from_height`]; `Codec`.
    pub fn get_blocks4object_from_height_limits(
        &self,
        height: Height,
        limits: impl Into<Limits>,
    ) -> Result<Vec<C::Block>, Error> {
        let mut found = Vec::new();
        let query = self.query(height, limits.into());
        self.visit_blocks4object_from_height(query, &mut |_, block| {
            found.push(block);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Lends the bytes of blocks from a height on, one by one, until a limit of the query is
    /// reached or `visit` breaks; gives the next height to ask for, `None` behind the last block.
    /// The first block is given whatever its size. Memory: one block.
    ///
    /// # Errors
    /// As [`Blocks::get_blocks_from_height`].
    pub fn visit_blocks_from_height(
        &self,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> Result<Option<Height>, Error> {
        let view = self.store.begin_read()?;
        match self.begins(&view, query.start)? {
            Some(_) => Ok(self.blocks.range(&view, query, visit)?),
            None => Ok(None),
        }
    }

    /// As [`Blocks::visit_blocks_from_height`], decoded.
    ///
    /// # Errors
    /// As [`Blocks::visit_blocks_from_height`]; `Codec`.
    pub fn visit_blocks4object_from_height(
        &self,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, C::Block) -> ControlFlow<()>,
    ) -> Result<Option<Height>, Error> {
        let mut failed = None;
        let next = self.visit_blocks_from_height(query, &mut |info, bytes| match self
            .codec
            .decode(bytes)
        {
            Ok(block) => visit(info, block),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(next), |error| Err(error.into()))
    }

    /// Blocks from a height on as an iterator over one view, until a limit of the query is reached.
    /// While it lives, files of blocks that are taken back meanwhile are kept.
    ///
    /// # Errors
    /// As [`Blocks::get_blocks_from_height`].
    pub fn blocks_from_height(&self, query: BlockQuery) -> Result<BlockIter<'_, S, C>, Error> {
        let view = self.store.begin_read()?;
        let next = self.begins(&view, query.start)?;
        Ok(BlockIter {
            blocks: self,
            view,
            next,
            query,
            given: 0,
            given_bytes: 0,
        })
    }

    /// `getBlockChainInfo` (R14): height, transactions, hashes of the last block and of the one
    /// before it, hash of the world state. Hashes are empty where there is no block. Cost: two gets
    /// and a read of the last block.
    ///
    /// # Errors
    /// `Block`, `Codec`.
    pub fn get_block_chain_info(&self) -> Result<BlockchainInfo, Error> {
        let view = self.store.begin_read()?;
        let Some(tip) = self.blocks.tip(&view)? else {
            return Ok(BlockchainInfo::default());
        };
        let totals = self.blocks.totals(&view)?;
        let bytes = self.blocks.body(&view, tip.height)?.unwrap_or_default();
        let facts = self.facts(&bytes)?;
        let previous = facts.previous.map(|hash| hash.as_bytes().to_vec());
        Ok(BlockchainInfo {
            height: tip.height.get(),
            total_transactions: totals.transactions,
            current_block_hash: tip.hash.as_bytes().to_vec(),
            previous_block_hash: previous.unwrap_or_default(),
            current_world_state_hash: facts.state_hash,
        })
    }

    /// `getBlockHeight` (R16): the height of the last block, 0 without one. Cost: two gets.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_height(&self) -> Result<Height, Error> {
        let tip = self.blocks.tip(&self.store.begin_read()?)?;
        Ok(tip.map_or(Height::ZERO, |tip| tip.height))
    }

    /// `getBlockAllTxNumber` (R16): how many transactions are in all blocks. Cost: one get.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_all_tx_number(&self) -> Result<u64, Error> {
        let totals = self.blocks.totals(&self.store.begin_read()?)?;
        Ok(totals.transactions)
    }

    /// `getMaxFileNo` (R16): the file in which the last block is, 0 without one. It is told by the
    /// block's own row, so no counter can be behind. Cost: three gets.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_max_file_no(&self) -> Result<FileNo, Error> {
        let view = self.store.begin_read()?;
        let Some(tip) = self.blocks.tip(&view)? else {
            return Ok(FileNo::default());
        };
        self.file_of(&view, tip.height)
    }

    /// The file of a block that is there.
    pub(crate) fn file_of(&self, view: &S::ReadTxn, height: Height) -> Result<FileNo, Error> {
        let place = self.blocks.record_place(view, height)?;
        Ok(place.map_or_else(FileNo::default, |place| place.segment.into()))
    }

    /// `getBlockIdxByHeight` (R22): what the index knows of the block at a height. Cost: three
    /// gets.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_idx_by_height(
        &self,
        height: Height,
    ) -> Result<Option<BlockIndexEntry>, Error> {
        self.entry_in(&self.store.begin_read()?, height)
    }

    /// `getBlockIdxByHash` (R22): what the index knows of the block of a hash. Cost: four gets.
    ///
    /// # Errors
    /// `Block`.
    pub fn get_block_idx_by_hash(
        &self,
        hash: impl AsRef<[u8]>,
    ) -> Result<Option<BlockIndexEntry>, Error> {
        let view = self.store.begin_read()?;
        match self.height_in(&view, hash.as_ref())? {
            Some(height) => self.entry_in(&view, height),
            None => Ok(None),
        }
    }

    fn entry_in(
        &self,
        view: &S::ReadTxn,
        height: Height,
    ) -> Result<Option<BlockIndexEntry>, Error> {
        let info = self.blocks.info(view, height)?;
        let place = self.blocks.record_place(view, height)?;
        let (Some(info), Some(place)) = (info, place) else {
            return Ok(None);
        };
        Ok(Some(BlockIndexEntry {
            height,
            hash: info.hash,
            previous: (info.parent.as_bytes() != NO_PARENT).then_some(info.parent),
            tx_ids: self.blocks.tx_ids(view, height)?,
            file_no: place.segment.into(),
            file_pos: place.offset,
            block_bytes: info.body_bytes,
        }))
    }
}

/// Blocks in a row; see [`Blocks::blocks_from_height`]. After an error it ends.
pub struct BlockIter<'b, S: KvStore, C: BlockCodec> {
    blocks: &'b Blocks<S, C>,
    view: S::ReadTxn,
    next: Option<Height>,
    query: BlockQuery,
    given: u64,
    given_bytes: u64,
}

impl<S: KvStore, C: BlockCodec> std::fmt::Debug for BlockIter<'_, S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockIter")
            .field("next", &self.next)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

impl<S: KvStore, C: BlockCodec> BlockIter<'_, S, C> {
    /// The height to go on from once the limits are reached, `None` behind the last block.
    #[must_use]
    pub const fn next_height(&self) -> Option<Height> {
        self.next
    }

    /// The block at a height; `None` where the limits say so or no block is there.
    fn step(&mut self, height: Height) -> Result<Option<(BlockInfo, Vec<u8>)>, Error> {
        let blocks = &self.blocks.blocks;
        let Some(info) = blocks.info(&self.view, height)? else {
            self.next = None;
            return Ok(None);
        };
        let bytes = self.given_bytes.saturating_add(info.body_bytes);
        let is_full = self.given > 0 && bytes > self.query.body_bytes_max;
        if self.given >= self.query.blocks_max || is_full {
            return Ok(None);
        }
        let body = blocks.body(&self.view, height)?;
        self.given += 1;
        self.given_bytes = bytes;
        self.next = (height.next() > height).then_some(height.next());
        Ok(body.map(|body| (info, body)))
    }
}

impl<S: KvStore, C: BlockCodec> Iterator for BlockIter<'_, S, C> {
    type Item = Result<(BlockInfo, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step(self.next?);
        if step.is_err() {
            self.next = None;
        }
        step.transpose()
    }
}
