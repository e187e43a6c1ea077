//! Blocks that a log of final blocks refuses: of a call, all are in the chain or none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{LogBlocks, LogBlocksOptions};
use storage_api::blocks::{BlockError, BlockHash, Height, NewBlock};
use storage_api::{ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions, WriteTxn};

use crate::{folder, small};

type Blocks = LogBlocks<MemStore>;

fn store() -> Arc<MemStore> {
    let schema = Blocks::schema(ChecksumSetting::None).unwrap();
    let options = OpenOptions::new();
    let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
    Arc::new(opened.unwrap().0)
}

fn open(store: &Arc<MemStore>, path: &Path) -> Blocks {
    let options = LogBlocksOptions {
        segments: small(),
        ..LogBlocksOptions::default()
    };
    Blocks::open(Arc::clone(store), folder(path), &options)
        .unwrap()
        .0
}

fn block(height: u64, body: &[u8]) -> NewBlock<'_> {
    let hash = |height: u64| BlockHash::new(&height.to_be_bytes()).unwrap();
    NewBlock {
        height: Height::new(height),
        hash: hash(height),
        parent: hash(height - 1),
        tx_ids: &[],
        body,
    }
}

#[test]
fn of_blocks_of_which_one_is_refused_none_is_in_the_chain() {
    // Records that gather, that are written at once, and that fill segments of their own.
    for bytes in [10, 1_500, 40_000, 300_000] {
        let body = vec![7; bytes];
        let dir = tempfile::tempdir().unwrap();
        let store = store();
        let blocks = open(&store, dir.path());
        let mut txn = store.begin_write().unwrap();
        blocks.append(&mut txn, &block(1, &body)).unwrap();
        let wrong = [block(2, &body), block(3, &body), block(5, &body)];
        let refused = blocks.append_all(&mut txn, &wrong).unwrap_err();
        assert!(
            matches!(refused, BlockError::HeightMismatch { .. }),
            "{refused}"
        );
        txn.commit(Durability::Durable).unwrap();
        drop(blocks);
        let blocks = open(&store, dir.path());
        let tip = blocks.tip(&store.begin_read().unwrap()).unwrap().unwrap();
        assert_eq!(tip.height, Height::new(1), "bodies of {bytes} bytes");
        let mut txn = store.begin_write().unwrap();
        blocks
            .append_all(&mut txn, &[block(2, &body), block(3, &body)])
            .unwrap();
        txn.commit(Durability::Durable).unwrap();
        let view = store.begin_read().unwrap();
        assert!(blocks.compare(&view).unwrap().is_sound());
    }
}
