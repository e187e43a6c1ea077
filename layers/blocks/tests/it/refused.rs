//! Blocks that are refused, and those whose bodies find no space: of a call, all are in the chain
//! or none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{LogBlocks, LogBlocksOptions, SegmentBlocks};
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockError, BlockHash, BlockStore, Height, NewBlock};
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

/// A block that finds no space for its body, appended to what is committed nevertheless: its rows
/// were there without a body, and the store could not be opened any more.
#[test]
fn a_block_whose_body_finds_no_space_leaves_nothing_in_its_transaction() {
    type Segments = SegmentBlocks<MemStore>;
    let kinds = [ErrorKind::StorageFull, ErrorKind::Other];
    for (before, kind) in (0..4_u64).flat_map(|before| kinds.map(|kind| (before, kind))) {
        let schema = Segments::schema(ChecksumSetting::None).unwrap();
        let options = OpenOptions::new();
        let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
        let (store, disk) = (Arc::new(opened.unwrap().0), SimDisk::new());
        let open = || {
            let disk: Arc<dyn Disk> = Arc::new(disk.clone());
            Segments::open(Arc::clone(&store), disk, &small()).map(|(blocks, _)| blocks)
        };
        let blocks = open().unwrap();
        let mut txn = store.begin_write().unwrap();
        for height in 1..=before {
            let staged = blocks.stage(block(height, b"a body")).unwrap();
            blocks.append(&mut txn, staged).unwrap();
        }
        let staged = blocks.stage(block(before + 1, b"another")).unwrap();
        disk.plan(disk.steps(), Trouble::Fail(kind));
        blocks.append(&mut txn, staged).unwrap_err();
        txn.commit(Durability::Durable).unwrap();
        drop(blocks);
        let blocks = open().unwrap();
        let view = store.begin_read().unwrap();
        let tip = blocks.tip(&view).unwrap().map_or(0, |tip| tip.height.get());
        assert_eq!(tip, before, "{kind}");
        let checked = blocks.check(&view).unwrap();
        assert_eq!(checked.sound_blocks, before, "{kind}: {checked:?}");
        assert!(checked.blocks.is_empty(), "{kind}: {checked:?}");
        drop(view);
        let staged = blocks.stage(block(before + 1, b"another")).unwrap();
        let mut txn = store.begin_write().unwrap();
        blocks.append(&mut txn, staged).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
}
