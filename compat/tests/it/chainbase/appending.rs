//! C-A15: append-only, gap refused, by number and id, walking backwards; and what a transaction
//! that is given up leaves behind.

use std::sync::Arc;

use blocks::LogBlock;
use chain_store::AnyStore;
use compat::chainbase::ChainbaseBlocks;
use storage_api::blocks::{BlockError, BlockHash, BlockResult, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{append_each, chain, is_log, open, schema};
use crate::stores::{Lab, engines, rows_of};

fn numbers(walk: impl Iterator<Item = BlockResult<LogBlock>>) -> Vec<u64> {
    walk.map(|block| block.unwrap().info.height.get()).collect()
}

/// What appending this block says, in a transaction that is committed all the same.
fn refusal(log: &ChainbaseBlocks<AnyStore>, block: &LogBlock) -> BlockError {
    let mut txn = log.store().begin_write().unwrap();
    let refused = log.log().append(&mut txn, &block.as_new());
    txn.commit(Durability::Durable).unwrap();
    refused.unwrap_err()
}

#[test]
fn a_number_that_exists_is_not_written_again() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let blocks = chain(1, 1, 6);
        append_each(&log, &blocks);
        let before = rows_of(&**log.store(), "");
        let other = chain(2, 1, 6);
        for block in blocks.iter().chain(&other) {
            let error = refusal(&log, block);
            let BlockError::HeightMismatch { expected, found } = error else {
                panic!("{engine}: {error}");
            };
            assert_eq!((expected.get(), found), (7, block.info.height), "{engine}");
        }
        assert_eq!(rows_of(&**log.store(), ""), before, "{engine}");
        is_log(&log, &blocks, engine.as_str());
    }
}

#[test]
fn a_gap_is_refused_and_so_is_another_parent() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let blocks = chain(3, 100, 9);
        append_each(&log, &blocks[..5]);
        let before = rows_of(&**log.store(), "");
        for gap in &blocks[6..] {
            let error = refusal(&log, gap);
            assert!(
                matches!(error, BlockError::HeightMismatch { expected, .. }
                    if expected == Height::new(105)),
                "{engine}: {error}"
            );
        }
        let mut orphan = blocks[5].clone();
        orphan.info.parent = BlockHash::new(&[1; 32]).unwrap();
        let error = refusal(&log, &orphan);
        assert!(
            matches!(error, BlockError::ParentMismatch { .. }),
            "{engine}: {error}"
        );
        let mut same_id = blocks[5].clone();
        same_id.info.hash = blocks[2].info.hash;
        let error = refusal(&log, &same_id);
        assert!(
            matches!(error, BlockError::DuplicateHash { .. }),
            "{engine}: {error}"
        );
        assert_eq!(rows_of(&**log.store(), ""), before, "{engine}");
        append_each(&log, &blocks[5..]);
        is_log(&log, &blocks, engine.as_str());
    }
}

#[test]
fn blocks_are_found_by_number_and_by_id_and_others_are_not() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(4, 7, 12);
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let view = log.store().begin_read().unwrap();
        assert_eq!(log.log().first_block_num(&view).unwrap(), None);
        assert_eq!(log.log().read_head(&view).unwrap(), None);
        drop(view);
        append_each(&log, &blocks);
        drop(log);
        let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
        assert_eq!(followed, Default::default(), "{engine}");
        is_log(&log, &blocks, engine.as_str());
        let view = log.store().begin_read().unwrap();
        let names = log.log();
        assert_eq!(names.first_block_num(&view).unwrap(), Some(Height::new(7)));
        assert_eq!(names.read_head(&view).unwrap().as_ref(), blocks.last());
        assert_eq!(names.head_id(&view).unwrap(), Some(blocks[11].info.hash));
        let id = names.read_block_id_by_num(&view, Height::new(9)).unwrap();
        assert_eq!(id, Some(blocks[2].info.hash));
        let at = names.get_block_pos(&view, Height::new(9)).unwrap().unwrap();
        assert_eq!(
            at.record.get(),
            2,
            "record after record is block after block"
        );
        for outside in [0, 6, 19, u64::MAX] {
            let found = names.read_block_by_num(&view, Height::new(outside));
            assert_eq!(found.unwrap(), None, "{engine}: {outside}");
        }
        let unknown = BlockHash::new(&[4; 32]).unwrap();
        assert_eq!(names.read_block_by_id(&view, &unknown).unwrap(), None);
    }
}

#[test]
fn the_log_is_walked_backwards_from_anywhere() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let empty = log.store().begin_read().unwrap();
        assert!(numbers(log.log().walk_back(&empty).unwrap()).is_empty());
        append_each(&log, &chain(5, 0, 5));
        let view = log.store().begin_read().unwrap();
        let names = log.log();
        assert_eq!(numbers(names.walk_back(&view).unwrap()), [4, 3, 2, 1, 0]);
        let from = |number| numbers(names.walk_back_from(&view, Height::new(number)).unwrap());
        assert_eq!(from(2), [2, 1, 0]);
        assert_eq!(from(0), [0]);
        assert!(from(5).is_empty());
        // A view from before a block does not see it, and neither does a walk in it.
        assert!(numbers(names.walk_back(&empty).unwrap()).is_empty());
    }
}

#[test]
fn several_blocks_are_appended_with_one_sync_and_all_or_none() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let blocks = chain(6, 1, 5);
        let new: Vec<_> = blocks[..3].iter().map(LogBlock::as_new).collect();
        let syncs = log.log().blocks().syncs();
        let mut txn = log.store().begin_write().unwrap();
        log.log().append_all(&mut txn, &new).unwrap();
        txn.commit(Durability::Durable).unwrap();
        assert_eq!(log.log().blocks().syncs(), syncs + 1, "{engine}");
        let before = rows_of(&**log.store(), "");
        let mut bad = blocks[4].clone();
        bad.info.height = Height::new(9);
        let new = [blocks[3].as_new(), bad.as_new()];
        let mut txn = log.store().begin_write().unwrap();
        log.log().append_all(&mut txn, &new).unwrap_err();
        txn.commit(Durability::Durable).unwrap();
        assert_eq!(rows_of(&**log.store(), ""), before, "{engine}: all or none");
        is_log(&log, &blocks[..3], engine.as_str());
        // The record of the first of the two is behind the end and goes with the next append.
        append_each(&log, &blocks[3..]);
        is_log(&log, &blocks, engine.as_str());
        drop(log);
        let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
        assert_eq!(followed, Default::default(), "{engine}");
        is_log(&log, &blocks, engine.as_str());
    }
}

/// A transaction that is given up: the next write takes its records back, an opening does not.
#[test]
fn what_was_appended_and_not_committed_goes_with_the_next_write_or_comes_with_the_opening() {
    for engine in engines() {
        for is_reopened in [false, true] {
            let mut lab = Lab::new(engine, schema::<AnyStore>());
            let (log, _) = open(&lab.store(), lab.disk()).unwrap();
            let blocks = chain(7, 1, 4);
            append_each(&log, &blocks[..3]);
            let mut txn = log.store().begin_write().unwrap();
            log.log().append(&mut txn, &blocks[3].as_new()).unwrap();
            txn.abort().unwrap();
            is_log(&log, &blocks[..3], "given up");
            if is_reopened {
                drop(log);
                let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
                assert_eq!((followed.filled_blocks, followed.remade), (1, None));
                is_log(&log, &blocks, engine.as_str());
                continue;
            }
            let other = {
                let mut dice = rand::SeedableRng::seed_from_u64(8);
                super::block(&mut dice, 4, blocks[2].info.hash)
            };
            append_each(&log, std::slice::from_ref(&other));
            let mut grown = blocks[..3].to_vec();
            grown.push(other);
            is_log(&log, &grown, engine.as_str());
            drop(log);
            let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
            assert_eq!(followed, Default::default(), "{engine}");
            is_log(&log, &grown, engine.as_str());
        }
    }
}

/// The log's own work goes into the caller's transaction, beside the caller's rows.
#[test]
fn a_block_and_the_rows_of_the_caller_are_one_commit() {
    use storage_api::{Reader, TableDef, Writer};
    let mut schema = schema::<AnyStore>();
    schema.add(&TableDef::new("caller")).unwrap();
    for engine in engines() {
        let mut lab = Lab::new(engine, schema.clone());
        let (log, _) = open(&lab.store(), lab.disk()).unwrap();
        let table = crate::stores::table_of(&**log.store(), "caller");
        let blocks = chain(9, 1, 2);
        for (block, is_kept) in blocks.iter().zip([true, false]) {
            let mut txn = log.store().begin_write().unwrap();
            log.log().append(&mut txn, &block.as_new()).unwrap();
            txn.put(table, block.info.hash.as_bytes(), b"state")
                .unwrap();
            if is_kept {
                txn.commit(Durability::Durable).unwrap();
            } else {
                drop(txn);
            }
        }
        is_log(&log, &blocks[..1], engine.as_str());
        let view = log.store().begin_read().unwrap();
        let is_there = |at: usize| {
            view.contains(table, blocks[at].info.hash.as_bytes())
                .unwrap()
        };
        assert!(is_there(0) && !is_there(1), "{engine}");
        let _held = Arc::clone(log.log());
    }
}
