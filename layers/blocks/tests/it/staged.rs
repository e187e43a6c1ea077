//! Blocks that are staged early, in another order than they are appended in, or beside blocks that
//! are cut away again, and file work that comes late: what is committed is there, now and after the
//! next opening.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{SegmentBlocks, SegmentOptions};
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock};
use storage_api::{ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions, WriteTxn};

use crate::{folder, small};

type Blocks = SegmentBlocks<MemStore>;

fn store() -> Arc<MemStore> {
    let schema = Blocks::schema(ChecksumSetting::None).unwrap();
    let options = OpenOptions::new();
    let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
    Arc::new(opened.unwrap().0)
}

fn open(store: &Arc<MemStore>, path: &Path) -> Blocks {
    let opened = SegmentBlocks::open(Arc::clone(store), folder(path), &small());
    opened.unwrap().0
}

/// A block whose hash is told by its height and the beginning of its body.
fn block(height: u64, parent: &[u8], body: &'static [u8]) -> NewBlock<'static> {
    let hash = |height: u64, body: &[u8]| {
        let body = body.get(..8).unwrap_or(body);
        BlockHash::new(&[&height.to_be_bytes()[..], body].concat()).unwrap()
    };
    NewBlock {
        height: Height::new(height),
        hash: hash(height, body),
        parent: hash(height.wrapping_sub(1), parent),
        tx_ids: &[],
        body,
    }
}

fn append(store: &Arc<MemStore>, blocks: &Blocks, staged: <Blocks as BlockStore>::Staged<'_>) {
    let mut txn = store.begin_write().unwrap();
    blocks.append(&mut txn, staged).unwrap();
    txn.commit(Durability::Durable).unwrap();
}

fn put(store: &Arc<MemStore>, blocks: &Blocks, block: NewBlock<'_>) {
    append(store, blocks, blocks.stage(block).unwrap());
}

/// Cuts at the tip and gives the file work, which remains.
fn cut(store: &Arc<MemStore>, blocks: &Blocks, tip: u64) -> blocks::Cleanup {
    let mut txn = store.begin_write().unwrap();
    let cleanup = blocks.truncate(&mut txn, Some(Height::new(tip))).unwrap();
    txn.commit(Durability::Durable).unwrap();
    cleanup
}

/// The bodies from height 1 on are these, and nothing is wrong with any.
fn expect(store: &Arc<MemStore>, blocks: &Blocks, bodies: &[&[u8]]) {
    let view = store.begin_read().unwrap();
    for (height, body) in (1..).zip(bodies) {
        let found = blocks.body(&view, Height::new(height)).unwrap();
        assert_eq!(found.as_deref(), Some(*body), "block {height}");
    }
    let checked = blocks.check(&view).unwrap();
    assert_eq!(checked.sound_blocks, bodies.len() as u64, "{checked:?}");
    assert!(checked.segments.is_empty(), "{checked:?}");
}

/// As [`expect`], also after the next opening, and in an index that is made again.
fn expect_to_stay(store: &Arc<MemStore>, path: &Path, blocks: Blocks, bodies: &[&[u8]]) {
    expect(store, &blocks, bodies);
    drop(blocks);
    let blocks = open(store, path);
    expect(store, &blocks, bodies);
    let mut txn = store.begin_write().unwrap();
    let rebuilt = blocks.rebuild_index(&mut txn).unwrap();
    txn.commit(Durability::Durable).unwrap();
    assert_eq!(rebuilt.blocks, bodies.len() as u64);
    expect(store, &blocks, bodies);
}

#[test]
fn blocks_staged_in_another_order_than_they_are_appended_in_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    let third = blocks.stage(block(3, b"two", b"three")).unwrap();
    let second = blocks.stage(block(2, b"one", b"two")).unwrap();
    append(&store, &blocks, second);
    append(&store, &blocks, third);
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"two", b"three"]);
}

#[test]
fn a_block_whose_record_was_cut_with_another_can_be_appended() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    let better = blocks.stage(block(2, b"one", b"better")).unwrap();
    put(&store, &blocks, block(2, b"one", b"worse"));
    let cleanup = cut(&store, &blocks, 1);
    blocks.finish(cleanup).unwrap();
    append(&store, &blocks, better);
    put(&store, &blocks, block(3, b"better", b"three"));
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"better", b"three"]);
}

/// The bodies of committed blocks went when what was left to do of an aborted cut was done.
#[test]
fn a_cut_that_was_not_committed_takes_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    // Three bodies to a segment, so that a pruning has files to take.
    let options = SegmentOptions {
        segment_bytes_max: 150,
        ..small()
    };
    let opened = SegmentBlocks::open(Arc::clone(&store), folder(dir.path()), &options);
    let blocks = opened.unwrap().0;
    let body = &[7; 50];
    put(&store, &blocks, block(1, b"", body));
    for height in 2..=12 {
        put(&store, &blocks, block(height, body, body));
    }
    for tip in [Some(Height::new(5)), None] {
        let mut txn = store.begin_write().unwrap();
        let cleanup = blocks.truncate(&mut txn, tip).unwrap();
        txn.abort().unwrap();
        blocks.finish(cleanup).unwrap();
    }
    let mut txn = store.begin_write().unwrap();
    let cleanup = blocks.prune(&mut txn, Height::new(9)).unwrap();
    drop(txn);
    blocks.finish(cleanup).unwrap();
    put(&store, &blocks, block(13, body, body));
    expect_to_stay(&store, dir.path(), blocks, &[&body[..]; 13]);
}

#[test]
fn a_cut_that_waits_for_a_view_takes_no_block_that_was_appended_since() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    let better = blocks.stage(block(2, b"one", b"better")).unwrap();
    put(&store, &blocks, block(2, b"one", b"worse"));
    let view = store.begin_read().unwrap();
    let cleanup = cut(&store, &blocks, 1);
    blocks.finish(cleanup).unwrap();
    append(&store, &blocks, better);
    drop(view);
    // Whatever is cut next does the work that waited.
    let mut txn = store.begin_write().unwrap();
    let cleanup = blocks.prune(&mut txn, Height::new(1)).unwrap();
    txn.commit(Durability::Durable).unwrap();
    blocks.finish(cleanup).unwrap();
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"better"]);
}

#[test]
fn a_block_that_is_appended_again_after_its_transaction_was_aborted_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    let staged = blocks.stage(block(2, b"one", b"two")).unwrap();
    let mut txn = store.begin_write().unwrap();
    blocks.append(&mut txn, staged).unwrap();
    txn.abort().unwrap();
    append(&store, &blocks, staged);
    let view = store.begin_read().unwrap();
    let place = blocks.record_place(&view, Height::new(2)).unwrap().unwrap();
    drop(view);
    put(&store, &blocks, block(3, b"two", b"three"));
    let view = store.begin_read().unwrap();
    let next = blocks.record_place(&view, Height::new(3)).unwrap().unwrap();
    drop(view);
    let bytes = seglog::HEADER_BYTES + u64::from(place.payload_bytes);
    assert_eq!(next.offset, place.offset + bytes);
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"two", b"three"]);
}

#[test]
fn a_cut_that_waits_takes_nothing_of_an_index_that_was_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    put(&store, &blocks, block(2, b"one", b"two"));
    let view = store.begin_read().unwrap();
    let cleanup = cut(&store, &blocks, 1);
    blocks.finish(cleanup).unwrap();
    let mut txn = store.begin_write().unwrap();
    let rebuilt = blocks.rebuild_index(&mut txn).unwrap();
    txn.commit(Durability::Durable).unwrap();
    assert_eq!(rebuilt.blocks, 2, "the chain that the last record ends");
    drop(view);
    let mut txn = store.begin_write().unwrap();
    let cleanup = blocks.prune(&mut txn, Height::new(1)).unwrap();
    txn.commit(Durability::Durable).unwrap();
    blocks.finish(cleanup).unwrap();
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"two"]);
}

#[test]
fn file_work_that_is_done_again_cuts_nothing_of_what_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    put(&store, &blocks, block(2, b"one", b"worse"));
    let cleanup = cut(&store, &blocks, 1);
    blocks.finish(cleanup).unwrap();
    // Its record has the number of the one that was cut.
    put(&store, &blocks, block(2, b"one", b"better"));
    blocks.finish(cleanup).unwrap();
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"better"]);
}

#[test]
fn file_work_of_a_pruning_that_comes_late_takes_no_block_of_a_chain_that_was_begun_since() {
    static BODIES: [[u8; 1_000]; 20] = [[7; 1_000]; 20];
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    let fill = || {
        for (height, body) in (1..).zip(&BODIES) {
            let parent = if height == 1 { &[][..] } else { body };
            put(&store, &blocks, block(height, parent, body));
        }
    };
    fill();
    let mut txn = store.begin_write().unwrap();
    let late = blocks.prune(&mut txn, Height::new(15)).unwrap();
    txn.commit(Durability::Durable).unwrap();
    let mut txn = store.begin_write().unwrap();
    let cleanup = blocks.truncate(&mut txn, None).unwrap();
    txn.commit(Durability::Durable).unwrap();
    blocks.finish(cleanup).unwrap();
    fill();
    blocks.finish(late).unwrap();
    let bodies = BODIES.each_ref().map(|body| &body[..]);
    expect_to_stay(&store, dir.path(), blocks, &bodies);
}

#[test]
fn file_work_from_before_an_index_was_made_again_takes_none_of_its_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    put(&store, &blocks, block(2, b"one", b"two"));
    let late = cut(&store, &blocks, 1);
    let mut txn = store.begin_write().unwrap();
    blocks.rebuild_index(&mut txn).unwrap();
    txn.commit(Durability::Durable).unwrap();
    blocks.finish(late).unwrap();
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"two"]);
}

#[test]
fn a_block_that_was_staged_before_its_store_was_opened_again_is_staged_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let blocks = open(&store, dir.path());
    put(&store, &blocks, block(1, b"", b"one"));
    blocks.stage(block(2, b"one", b"other")).unwrap();
    let staged = blocks.stage(block(2, b"one", b"two")).unwrap();
    drop(blocks);
    let blocks = open(&store, dir.path());
    append(&store, &blocks, staged);
    expect_to_stay(&store, dir.path(), blocks, &[b"one", b"two"]);
}
