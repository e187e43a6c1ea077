//! The chain that block stores are compared with: a list of blocks, every answer found by looking
//! at all of them.

use std::ops::ControlFlow;

use storage_api::blocks::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockTotals, Height, NewBlock, TxId, TxPlace,
};

use super::BlockRead;
use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::ops::Dice;

/// A block that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedBlock {
    pub(crate) height: Height,
    pub(crate) hash: BlockHash,
    pub(crate) parent: BlockHash,
    pub(crate) tx_ids: Vec<TxId>,
    pub(crate) body: Vec<u8>,
}

/// A hash of this many bytes that belongs to this number.
pub(crate) fn hash_of(number: u64, len: usize) -> Result<BlockHash, CaseError> {
    let mut bytes = vec![0xb1; len];
    for (at, byte) in number.to_be_bytes().iter().rev().enumerate() {
        if let Some(place) = len
            .checked_sub(1 + at)
            .and_then(|place| bytes.get_mut(place))
        {
            *place = *byte;
        }
    }
    Ok(BlockHash::new(&bytes)?)
}

/// A transaction id that belongs to this number.
pub(crate) fn tx_of(number: u64) -> Result<TxId, CaseError> {
    Ok(TxId::new(
        &[&[0x7c; 24][..], &number.to_be_bytes()].concat(),
    )?)
}

impl OwnedBlock {
    /// A block of this height on a branch, with these transactions and this body.
    pub(crate) fn new(
        height: u64,
        branch: u64,
        parent: BlockHash,
        txs: &[u64],
        body: &[u8],
    ) -> Result<Self, CaseError> {
        Ok(Self {
            height: Height::new(height),
            hash: hash_of(branch << 32 | height, 32)?,
            parent,
            tx_ids: txs.iter().map(|tx| tx_of(*tx)).collect::<Result<_, _>>()?,
            body: body.to_vec(),
        })
    }

    pub(crate) fn borrowed(&self) -> NewBlock<'_> {
        NewBlock {
            height: self.height,
            hash: self.hash,
            parent: self.parent,
            tx_ids: &self.tx_ids,
            body: &self.body,
        }
    }

    pub(crate) fn info(&self) -> BlockInfo {
        BlockInfo {
            height: self.height,
            hash: self.hash,
            parent: self.parent,
            tx_count: u32::try_from(self.tx_ids.len()).unwrap_or(u32::MAX),
            body_bytes: self.body.len() as u64,
        }
    }

    fn block_ref(&self) -> BlockRef {
        BlockRef {
            height: self.height,
            hash: self.hash,
        }
    }
}

/// What is stored, from tail to tip.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelChain {
    pub(crate) blocks: Vec<OwnedBlock>,
}

impl ModelChain {
    /// The next block on a branch: few transactions, some of them seen before.
    pub(crate) fn next(&self, branch: u64, dice: &mut Dice) -> Result<OwnedBlock, CaseError> {
        let tip = self.blocks.last();
        let height = tip.map_or(100, |tip| tip.height.get() + 1);
        let parent = tip.map_or_else(|| hash_of(99, 32), |tip| Ok(tip.hash))?;
        let txs: Vec<u64> = (0..dice.below(6)).map(|_| dice.below(60) as u64).collect();
        OwnedBlock::new(height, branch, parent, &txs, &dice.value())
    }

    /// Several blocks, one on another.
    pub(crate) fn grown(count: usize, dice: &mut Dice) -> Result<Self, CaseError> {
        let mut chain = Self::default();
        for _ in 0..count {
            let block = chain.next(1, dice)?;
            chain.blocks.push(block);
        }
        Ok(chain)
    }

    pub(crate) fn truncate(&mut self, tip: Option<Height>) {
        self.blocks
            .retain(|block| tip.is_some_and(|tip| block.height <= tip));
    }

    pub(crate) fn prune(&mut self, tail: Height) {
        self.blocks.retain(|block| block.height >= tail);
    }

    fn places(&self, tx_id: &TxId) -> Vec<TxPlace> {
        let mut places = Vec::new();
        for block in self.blocks.iter().rev() {
            let carried = (0u32..).zip(&block.tx_ids).filter(|(_, id)| *id == tx_id);
            let mut here: Vec<TxPlace> = carried
                .map(|(position, _)| TxPlace {
                    height: block.height,
                    position,
                })
                .collect();
            here.reverse();
            places.append(&mut here);
        }
        places
    }

    fn totals(&self) -> BlockTotals {
        BlockTotals {
            blocks: self.blocks.len() as u64,
            transactions: self
                .blocks
                .iter()
                .map(|block| block.tx_ids.len() as u64)
                .sum(),
            body_bytes: self
                .blocks
                .iter()
                .map(|block| block.body.len() as u64)
                .sum(),
        }
    }

    /// States that a reader sees exactly this chain, by every way of asking.
    pub(crate) fn is_seen_by(&self, reader: &dyn BlockRead, what: &str) -> CaseResult {
        let (tail, tip) = (self.blocks.first(), self.blocks.last());
        ensure_eq!(reader.tip()?, tip.map(OwnedBlock::block_ref), "{what}: tip");
        ensure_eq!(
            reader.tail()?,
            tail.map(OwnedBlock::block_ref),
            "{what}: tail"
        );
        ensure_eq!(reader.totals()?, self.totals(), "{what}: totals");
        self.blocks_are_seen_by(reader, what)?;
        self.places_are_seen_by(reader, what)?;
        self.nothing_else_is_seen_by(reader, what)
    }

    fn blocks_are_seen_by(&self, reader: &dyn BlockRead, what: &str) -> CaseResult {
        for block in &self.blocks {
            let height = block.height;
            let what = format!("{what}: block {height}");
            ensure_eq!(reader.info(height)?, Some(block.info()), "{what}: info");
            ensure_eq!(
                reader.height_of(&block.hash)?,
                Some(height),
                "{what}: by hash"
            );
            ensure_eq!(reader.tx_ids(height)?, block.tx_ids, "{what}: transactions");
            ensure_eq!(
                reader.body(height)?.as_ref(),
                Some(&block.body),
                "{what}: body"
            );
        }
        let mut seen = Vec::new();
        let next = reader.range(BlockQuery::from(Height::ZERO), &mut |info, body| {
            seen.push((*info, body.to_vec()));
            ControlFlow::Continue(())
        })?;
        let whole = |block: &OwnedBlock| (block.info(), block.body.clone());
        let expected: Vec<_> = self.blocks.iter().map(whole).collect();
        ensure_eq!(
            (seen, next),
            (expected, None),
            "{what}: all blocks in one range"
        );
        Ok(())
    }

    fn places_are_seen_by(&self, reader: &dyn BlockRead, what: &str) -> CaseResult {
        // The numbers below 60 are those that `next` gives out.
        for number in 0..62 {
            let tx = tx_of(number)?;
            let places = self.places(&tx);
            let newest = places.first().copied();
            ensure_eq!(reader.tx_places(&tx)?, places, "{what}: places of {number}");
            ensure_eq!(
                reader.tx_place(&tx)?,
                newest,
                "{what}: newest place of {number}"
            );
        }
        Ok(())
    }

    fn nothing_else_is_seen_by(&self, reader: &dyn BlockRead, what: &str) -> CaseResult {
        let outside = [
            self.blocks.first().and_then(|block| block.height.prev()),
            self.blocks.last().map(|block| block.height.next()),
            Some(Height::new(u64::MAX)),
        ];
        for height in outside.into_iter().flatten() {
            let what = format!("{what}: height {height}, not stored");
            ensure_eq!(reader.info(height)?, None, "{what}: info");
            ensure_eq!(reader.body(height)?, None, "{what}: body");
            ensure!(reader.tx_ids(height)?.is_empty(), "{what}: transactions");
        }
        Ok(())
    }
}
