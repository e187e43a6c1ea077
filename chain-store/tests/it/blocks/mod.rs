//! Blocks as rows at the ends of what heights and totals can be, and with rows that are damaged;
//! and beside them blocks in segments (`segments`, `ranges`, `memory`).

#[cfg(unix)]
mod memory;
#[cfg(unix)]
mod ranges;
#[cfg(unix)]
mod segments;

use std::sync::Arc;

use chain_store::AnyStore;
use storage_api::blocks::{
    BlockError, BlockHash, BlockStore, Height, KvBlockStore, KvBlocks, NewBlock, TxId,
};
use storage_api::{ChecksumSetting, Durability, KvStore, KvStoreExt, Reader, WriteTxn, Writer};

type Blocks = KvBlockStore<AnyStore>;

fn empty() -> Blocks {
    let schema = KvBlocks::schema(ChecksumSetting::None).unwrap();
    let store = Arc::new(AnyStore::open("mem:", &schema).unwrap());
    KvBlockStore::over(store, Durability::Volatile).unwrap()
}

fn hash(height: u64) -> BlockHash {
    BlockHash::new(&height.to_be_bytes()).unwrap()
}

fn append(blocks: &Blocks, height: u64) {
    let tx_ids = [TxId::new(b"same in every block").unwrap()];
    let block = NewBlock {
        height: Height::new(height),
        hash: hash(height),
        parent: hash(height.wrapping_sub(1)),
        tx_ids: &tx_ids,
        body: b"body",
    };
    blocks.append(block).unwrap();
}

fn damaged<T>(result: Result<T, BlockError>) -> bool {
    matches!(result, Err(BlockError::Store(error)) if error.is_corruption())
}

#[test]
fn the_last_height_of_all_is_a_height_like_any_other() {
    let blocks = empty();
    append(&blocks, u64::MAX - 1);
    append(&blocks, u64::MAX);
    blocks.truncate(Some(Height::new(u64::MAX))).unwrap();
    assert_eq!(blocks.totals().unwrap().blocks, 2);
    blocks.prune(Height::new(u64::MAX)).unwrap();
    assert_eq!(blocks.tail().unwrap(), blocks.tip().unwrap());
    assert_eq!(blocks.totals().unwrap().blocks, 1);
    blocks.truncate(None).unwrap();
    assert_eq!(blocks.tip().unwrap(), None);
    for table in blocks.store().catalogue().iter() {
        let view = blocks.store().begin_read().unwrap();
        assert_eq!(
            view.count(table.id).unwrap().get(),
            0,
            "{}",
            table.def.name()
        );
    }
}

/// Without its ids a block's places cannot be found; they must not stay behind and answer for it.
#[test]
fn a_block_whose_transaction_ids_are_lost_is_not_cut_in_part() {
    let blocks = empty();
    for height in 0..3 {
        append(&blocks, height);
    }
    let ids = blocks.store().catalogue().id("blocks.tx-ids").unwrap();
    let lose = |txn: &mut <AnyStore as KvStore>::WriteTxn<'_>| txn.delete(ids, &2u64.to_be_bytes());
    blocks.store().update(Durability::Volatile, lose).unwrap();
    assert!(damaged(blocks.truncate(Some(Height::new(1)))));
    assert_eq!(blocks.tip().unwrap().unwrap().height, Height::new(2));
}

#[test]
fn totals_that_cannot_be_are_damage_and_no_overflow() {
    let blocks = empty();
    append(&blocks, 0);
    let state = blocks.store().catalogue().id("blocks.state").unwrap();
    let mut txn = blocks.store().begin_write().unwrap();
    let mut row = txn.get(state, b"totals").unwrap().unwrap().to_vec();
    row[33..].fill(0xff);
    txn.put(state, b"totals", &row).unwrap();
    txn.commit(Durability::Volatile).unwrap();
    let block = NewBlock {
        height: Height::new(1),
        hash: hash(1),
        parent: hash(0),
        tx_ids: &[],
        body: b"body",
    };
    assert!(damaged(blocks.append(block)));
    let view = blocks.store().begin_read().unwrap();
    assert!(
        blocks
            .blocks()
            .info(&view, Height::new(1))
            .unwrap()
            .is_none()
    );
}
