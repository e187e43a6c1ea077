//! Cuts after commits that a crash may take back: the files lose nothing that the index may still
//! come back to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use backend_redb::RedbStore;
use blocks::SegmentBlocks;
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock};
use storage_api::{ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions, WriteTxn};

use crate::{folder, small};

type Blocks = SegmentBlocks<RedbStore>;

fn open(place: &Path) -> (Arc<RedbStore>, Blocks) {
    let schema = Blocks::schema(ChecksumSetting::None).unwrap();
    let (at, segments) = (place.join("store"), place.join("segments"));
    let options = OpenOptions::new();
    let location = Location::Directory(&at);
    let opened = RedbStore::open(location, &schema, &options, &Default::default());
    let store = Arc::new(opened.unwrap().0);
    fs::create_dir_all(&segments).unwrap();
    let opened = SegmentBlocks::open(Arc::clone(&store), folder(&segments), &small());
    (store, opened.unwrap().0)
}

/// The files as a process that is killed now leaves them.
pub(crate) fn killed(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&copy).unwrap();
            killed(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).unwrap();
        }
    }
}

fn append(store: &RedbStore, blocks: &Blocks, height: u64, durability: Durability) {
    let hash = |height: u64| BlockHash::new(&height.to_be_bytes()).unwrap();
    let body = [height as u8; 1_000];
    let staged = blocks.stage(NewBlock {
        height: Height::new(height),
        hash: hash(height),
        parent: hash(height - 1),
        tx_ids: &[],
        body: &body,
    });
    let mut txn = store.begin_write().unwrap();
    blocks.append(&mut txn, staged.unwrap()).unwrap();
    txn.commit(durability).unwrap();
}

#[test]
fn a_cut_after_a_commit_that_a_crash_takes_back_takes_no_body_of_what_comes_back() {
    for durability in [
        Durability::Volatile,
        Durability::Buffered,
        Durability::Durable,
    ] {
        for is_prune in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (store, blocks) = open(dir.path());
            (1..=20).for_each(|height| append(&store, &blocks, height, Durability::Durable));
            let mut txn = store.begin_write().unwrap();
            let cleanup = if is_prune {
                blocks.prune(&mut txn, Height::new(15)).unwrap()
            } else {
                blocks.truncate(&mut txn, Some(Height::new(7))).unwrap()
            };
            txn.commit(durability).unwrap();
            blocks.finish(cleanup).unwrap();
            let after = tempfile::tempdir().unwrap();
            killed(dir.path(), after.path());
            let (store, blocks) = open(after.path());
            let view = store.begin_read().unwrap();
            let tail = blocks.tail(&view).unwrap().unwrap().height.get();
            let tip = blocks.tip(&view).unwrap().unwrap().height.get();
            for height in tail..=tip {
                let body = blocks.body(&view, Height::new(height)).unwrap();
                assert_eq!(body, Some(vec![height as u8; 1_000]), "{durability:?}");
            }
        }
    }
}
