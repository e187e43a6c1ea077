//! Targets of block stores: records that a log holds and no writer of ours wrote, and rows that a
//! damaged or foreign store may hold.
//!
//! Whatever the rows say, every call answers or reports corruption, in time and memory that follow
//! from the rows that are there and not from the numbers in them. An index that was made again from
//! records agrees with them.

use std::ops::ControlFlow;
use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{SegmentBlocks, SegmentOptions};
use seglog::sim::SimDisk;
use seglog::{ChainTag, Log, LogOptions};
use storage_api::blocks::{
    BlockError, BlockHash, BlockQuery, BlockResult, BlockStore, Height, KvBlocks, NewBlock, TxId,
};
use storage_api::{
    ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions, Schema, WriteBatch,
    WriteTxn, Writer,
};

use crate::{must, take_long, take_short};

/// Records, rows and answers of one input.
const COUNT_MAX: usize = 64;

fn store(schema: &Schema) -> Arc<MemStore> {
    let options = OpenOptions::default();
    let opened = MemStore::open(Location::Memory, schema, &options, &Default::default());
    Arc::new(must("a store in memory", opened).0)
}

fn segment_store() -> Arc<MemStore> {
    let schema = SegmentBlocks::<MemStore>::schema(ChecksumSetting::None);
    store(&must("the schema", schema))
}

/// An error that says what is wrong with the bytes, and no other.
fn check_error(error: &BlockError) {
    let is_right = match error {
        BlockError::Store(error) => error.is_corruption(),
        _ => true,
    };
    assert!(is_right, "{error}");
}

/// Records of a log, `length (2) payload` each: the index made again from them agrees with them.
pub(crate) fn records(data: &[u8]) {
    let disk = SimDisk::new();
    let options = LogOptions {
        segment_bytes_max: 1_000,
        advance_bytes: 0,
        chain: ChainTag::new(0),
        ..LogOptions::default()
    };
    let (mut log, _) = must("a log", Log::open(Arc::new(disk.clone()), options));
    let mut rest = data;
    for _ in 0..COUNT_MAX {
        let Some(payload) = take_long(&mut rest) else {
            break;
        };
        must("a record", log.append(log.next(), payload));
    }
    must("a sync", log.sync());
    drop(log);
    let store = segment_store();
    let blocks = open(&store, &disk);
    let blocks = must("segments without an index", blocks);
    let mut txn = must("a transaction", store.begin_write());
    match blocks.rebuild_index(&mut txn) {
        Ok(rebuilt) => {
            assert_eq!(rebuilt.records, rebuilt.blocks + rebuilt.passed_over);
            must("a commit", txn.commit(Durability::Volatile));
            let view = must("a view", store.begin_read());
            let checked = must("a check", blocks.check(&view));
            assert_eq!(checked.sound_blocks, rebuilt.blocks, "{checked:?}");
            assert!(checked.blocks.is_empty() && checked.segments.is_empty());
            ask(&blocks, &*store);
        }
        Err(error) => check_error(&error),
    }
}

fn open(store: &Arc<MemStore>, disk: &SimDisk) -> BlockResult<SegmentBlocks<MemStore>> {
    let options = SegmentOptions {
        chain: ChainTag::new(0),
        segment_bytes_max: 1_000,
        advance_bytes: 0,
    };
    let disk = Arc::new(disk.clone());
    let opened = SegmentBlocks::open(Arc::clone(store), disk, &options);
    opened.map(|(blocks, _)| blocks)
}

/// Three blocks of two transactions.
fn fill<B: BlockStore>(blocks: &B, store: &MemStore) {
    for height in 1..=3_u8 {
        let ids = [TxId::new(&[height; 4]), TxId::new(&[9; 4])];
        let ids = ids.map(|id| must("an id", id));
        let body = [height; 40];
        let staged = blocks.stage(NewBlock {
            height: Height::new(height.into()),
            hash: must("a hash", BlockHash::new(&[height; 8])),
            parent: must("a hash", BlockHash::new(&[height - 1; 8])),
            tx_ids: &ids,
            body: &body,
        });
        let mut txn = must("a transaction", store.begin_write());
        must("a block", blocks.append(&mut txn, must("a block", staged)));
        must("a commit", txn.commit(Durability::Volatile));
    }
}

/// Puts rows into tables, `table (1) length (1) key length (1) value` each; an empty value removes
/// the row.
fn put_rows(store: &MemStore, data: &[u8]) {
    let tables: Vec<_> = store.catalogue().iter().map(|table| table.id).collect();
    let mut batch = WriteBatch::new();
    let mut rest = data;
    for _ in 0..COUNT_MAX {
        let Some((table, behind)) = rest.split_first() else {
            break;
        };
        rest = behind;
        let (key, value) = (take_short(&mut rest), take_short(&mut rest));
        let table = tables.get(usize::from(*table) % tables.len().max(1));
        let (Some(table), Some(key), Some(value)) = (table, key, value) else {
            break;
        };
        if key.is_empty() {
            continue;
        }
        let put = match value {
            [] => batch.delete(*table, key),
            value => batch.put(*table, key, value),
        };
        must("a row", put);
    }
    must("a commit", store.apply(&batch, Durability::Volatile));
}

/// Hostile rows beside good segments: every call of the block store.
pub(crate) fn segment_rows(data: &[u8]) {
    let (store, disk) = (segment_store(), SimDisk::new());
    let blocks = must("an empty store", open(&store, &disk));
    fill(&blocks, &store);
    put_rows(&store, data);
    let view = must("a view", store.begin_read());
    if let Err(error) = blocks.check(&view) {
        check_error(&error);
    }
    drop(view);
    ask(&blocks, &*store);
    cut(&blocks, &*store);
    drop(blocks);
    match open(&store, &disk) {
        Ok(blocks) => {
            let mut txn = must("a transaction", store.begin_write());
            if let Err(error) = blocks.rebuild_index(&mut txn) {
                check_error(&error);
            }
        }
        Err(error) => check_error(&error),
    }
}

/// Hostile rows of the block store over rows alone.
pub(crate) fn kv_rows(data: &[u8]) {
    let store = store(&must("the schema", KvBlocks::schema(ChecksumSetting::None)));
    let blocks = must("the tables", KvBlocks::resolve(store.catalogue()));
    fill(&blocks, &store);
    put_rows(&store, data);
    ask(&blocks, &*store);
    cut(&blocks, &*store);
}

/// Heights that hostile rows are likely to be at.
fn heights() -> impl Iterator<Item = Height> {
    [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX]
        .map(Height::new)
        .into_iter()
}

/// Every question that a block store answers.
fn ask<B: BlockStore, S: KvStore>(blocks: &B, store: &S) {
    let view = must("a view", store.begin_read());
    let told = |result: BlockResult<()>| {
        if let Err(error) = result {
            check_error(&error);
        }
    };
    told(blocks.tip(&view).map(drop));
    told(blocks.tail(&view).map(drop));
    told(blocks.totals(&view).map(drop));
    for height in heights() {
        told(blocks.tx_ids(&view, height).map(drop));
        told(blocks.body(&view, height).map(drop));
        told(blocks.info(&view, height).and_then(|info| {
            let Some(info) = info else { return Ok(()) };
            assert_eq!(info.height, height);
            blocks.height_of(&view, &info.hash).map(drop)
        }));
        let mut query = BlockQuery::from(height);
        query.blocks_max = COUNT_MAX as u64;
        let mut last = None;
        let range = blocks.range(&view, query, &mut |info, body| {
            assert!(last.is_none_or(|last| last < info.height) && info.height >= height);
            assert_eq!(body.len() as u64, info.body_bytes);
            last = Some(info.height);
            ControlFlow::Continue(())
        });
        told(range.map(drop));
    }
    for id in [&[1; 4][..], &[9; 4]] {
        let id = must("an id", TxId::new(id));
        told(blocks.tx_place(&view, &id).map(drop));
        told(blocks.tx_places(&view, &id).map(drop));
    }
}

/// Every cut; each in a transaction that is given up, the last one committed and finished.
fn cut<B: BlockStore, S: KvStore>(blocks: &B, store: &S) {
    for height in heights() {
        for is_prune in [false, true] {
            let mut txn = must("a transaction", store.begin_write());
            let tip = blocks.tip(&txn);
            let cut = if is_prune {
                blocks.prune(&mut txn, height)
            } else {
                blocks.truncate(&mut txn, Some(height))
            };
            match cut {
                // The tip that stays has its body still, if it had one.
                Ok(_) if tip.is_ok_and(|tip| tip.is_some_and(|tip| tip.height == height)) => {
                    let view = must("a view", store.begin_read());
                    if let Ok(Some(before)) = blocks.body(&view, height) {
                        let after = blocks.body(&txn, height);
                        assert_eq!(must("the tip's body", after), Some(before));
                    }
                }
                Ok(_) => {}
                Err(error) => check_error(&error),
            }
        }
    }
    let mut txn = must("a transaction", store.begin_write());
    match blocks.truncate(&mut txn, None) {
        Ok(cleanup) => {
            must("a commit", txn.commit(Durability::Volatile));
            if let Err(error) = blocks.finish(cleanup) {
                check_error(&error);
            }
        }
        Err(error) => check_error(&error),
    }
}
