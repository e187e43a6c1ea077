//! chainbase's block log and reversible blocks: what EOSIO's do, an index that is lost in every
//! way, a log that is cut at every byte, power cuts at every step of a move, real files.

mod appending;
mod exactly_once;
mod files;
mod following;
mod moving;
mod tail;

use std::sync::Arc;

use blocks::{Followed, IndexCheck, LogBlock, LogBlocksOptions, SegmentOptions};
use compat::chainbase::ChainbaseBlocks;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use storage_api::blocks::{BlockHash, BlockInfo, BlockResult, Height, TxId};
use storage_api::{ChecksumSetting, Durability, KvStore, Schema};

/// Segments of a few blocks, so that a test has several.
pub(crate) fn options(check: IndexCheck) -> LogBlocksOptions {
    LogBlocksOptions {
        segments: SegmentOptions {
            segment_bytes_max: 1_500,
            advance_bytes: 0,
            ..SegmentOptions::default()
        },
        check,
    }
}

pub(crate) fn schema<S: KvStore>() -> Schema {
    ChainbaseBlocks::<S>::schema(ChecksumSetting::None).unwrap()
}

/// Opens log and reversible blocks over a store.
pub(crate) fn open<S: KvStore>(
    store: &Arc<S>,
    disk: Arc<dyn Disk>,
) -> BlockResult<(ChainbaseBlocks<S>, Followed)> {
    let options = options(IndexCheck::Rows);
    let opened = ChainbaseBlocks::open(Arc::clone(store), disk, &options, Durability::Durable)?;
    Ok((opened.0, opened.1.0))
}

/// A chain of blocks from this number on, some without transactions, some with the same one.
pub(crate) fn chain(seed: u64, first: u64, count: usize) -> Vec<LogBlock> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut blocks: Vec<LogBlock> = Vec::new();
    for number in (first..).take(count) {
        let parent = blocks.last().map(|block| block.info.hash);
        let parent = parent.unwrap_or_else(|| BlockHash::new(&[9; 32]).unwrap());
        blocks.push(block(&mut dice, number, parent));
    }
    blocks
}

pub(crate) fn block(dice: &mut ChaCha8Rng, number: u64, parent: BlockHash) -> LogBlock {
    let tx_ids: Vec<TxId> = (0..dice.random_range(0..4))
        .map(|_| TxId::new(&[dice.random_range(1..9); 8]).unwrap())
        .collect();
    let body: Vec<u8> = (0..dice.random_range(0..300))
        .map(|_| dice.random())
        .collect();
    LogBlock {
        info: BlockInfo {
            height: Height::new(number),
            hash: BlockHash::new(&dice.random::<[u8; 32]>()).unwrap(),
            parent,
            tx_count: u32::try_from(tx_ids.len()).unwrap(),
            body_bytes: body.len() as u64,
        },
        tx_ids,
        body,
    }
}

/// Appends blocks to the log, each in a commit.
pub(crate) fn append_each<S: KvStore>(chain: &ChainbaseBlocks<S>, blocks: &[LogBlock]) {
    use storage_api::WriteTxn;
    for block in blocks {
        let mut txn = chain.store().begin_write().unwrap();
        chain.log().append(&mut txn, &block.as_new()).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
}

/// The log has exactly these blocks, by number, by id and backwards, and its index is sound.
pub(crate) fn is_log<S: KvStore>(chain: &ChainbaseBlocks<S>, blocks: &[LogBlock], context: &str) {
    let log = chain.log();
    let view = chain.store().begin_read().unwrap();
    let head = log.head(&view).unwrap();
    let expected = blocks.last().map(|block| block.info);
    assert_eq!(
        head.map(|head| (head.height, head.hash)),
        expected.map(|info| (info.height, info.hash)),
        "{context}: head"
    );
    for block in blocks {
        let info = &block.info;
        let found = log.read_block_by_num(&view, info.height).unwrap();
        assert_eq!(found.as_ref(), Some(block), "{context}: by number");
        let found = log.read_block_by_id(&view, &info.hash).unwrap();
        assert_eq!(found.as_ref(), Some(block), "{context}: by id");
        for (position, tx_id) in (0..).zip(&block.tx_ids) {
            let places = log.blocks().index().tx_places(&view, tx_id).unwrap();
            let is_there = |place: &storage_api::blocks::TxPlace| {
                place.height == info.height && place.position == position
            };
            assert!(places.iter().any(is_there), "{context}: by transaction");
        }
    }
    let backwards: Vec<LogBlock> = log
        .walk_back(&view)
        .unwrap()
        .collect::<BlockResult<_>>()
        .unwrap();
    assert!(
        backwards.iter().eq(blocks.iter().rev()),
        "{context}: backwards"
    );
    let compared = log.verify(&view).unwrap();
    assert!(compared.is_sound(), "{context}: {compared:?}");
    assert_eq!(compared.records, blocks.len() as u64, "{context}");
}
