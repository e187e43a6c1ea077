//! Blocks that are not final: the current branch, fork switches, moves to the log and moves that
//! are given up, hostile rows. What crashes do to them: `exactly_once`.

use std::sync::Arc;

use blocks::{IndexCheck, LogBlock};
use chain_store::AnyStore;
use compat::chainbase::{BlockLog, ChainbaseBlocks, ReversibleBlocks};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockError, BlockHash, Height};
use storage_api::{Durability, ErrorKind, KvStore, WriteTxn};

use super::{append_each, block, chain, is_log, open, options, schema};
use crate::stores::{Lab, engines, put_rows, rows_of};

const SEED: u64 = 0x6d6f_7665;

fn add_each(chain: &ChainbaseBlocks<AnyStore>, blocks: &[LogBlock]) {
    for block in blocks {
        chain.add(&block.as_new()).unwrap();
    }
}

/// Blocks up to `final_count` are in the log and there alone, the others here and here alone.
pub(super) fn is_divided(
    chain: &ChainbaseBlocks<AnyStore>,
    blocks: &[LogBlock],
    final_count: usize,
    context: &str,
) {
    is_log(chain, &blocks[..final_count], context);
    let view = chain.store().begin_read().unwrap();
    for (at, block) in blocks.iter().enumerate() {
        let info = &block.info;
        let here = chain.reversible().get(&view, info.height).unwrap();
        let by_id = chain.reversible().get_by_id(&view, &info.hash).unwrap();
        let logged = chain.log().read_block_by_num(&view, info.height).unwrap();
        let is_final = at < final_count;
        assert_eq!(
            here.is_some(),
            !is_final,
            "{context}: block {}",
            info.height
        );
        assert_eq!(by_id, here, "{context}: block {}", info.height);
        assert_eq!(
            logged.is_some(),
            is_final,
            "{context}: block {}",
            info.height
        );
        let found = chain.block_by_num(info.height).unwrap();
        assert_eq!(found.as_ref(), Some(block), "{context}");
        let found = chain.block_by_id(&info.hash).unwrap();
        assert_eq!(found.as_ref(), Some(block), "{context}");
    }
    let head = chain.head().unwrap().map(|head| (head.height, head.hash));
    let expected = blocks
        .last()
        .map(|block| (block.info.height, block.info.hash));
    assert_eq!(head, expected, "{context}: head");
    let rows = rows_of(&**chain.store(), "chainbase.reversible");
    assert_eq!(
        rows.len(),
        2 * (blocks.len() - final_count),
        "{context}: rows"
    );
}

#[test]
fn blocks_wait_and_move_to_the_log_on_every_engine() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(21, 1, 12);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        assert_eq!(chainbase.head().unwrap(), None);
        assert!(matches!(
            chainbase.make_irreversible(Height::new(1)),
            Err(BlockError::Empty)
        ));
        add_each(&chainbase, &blocks[..8]);
        is_divided(&chainbase, &blocks[..8], 0, "nothing is final");
        assert_eq!(chainbase.make_irreversible(Height::new(3)).unwrap(), 3);
        assert_eq!(
            chainbase.make_irreversible(Height::new(3)).unwrap(),
            0,
            "again"
        );
        assert_eq!(
            chainbase.make_irreversible(Height::new(1)).unwrap(),
            0,
            "below"
        );
        is_divided(&chainbase, &blocks[..8], 3, "three are final");
        assert!(matches!(
            chainbase.make_irreversible(Height::new(9)),
            Err(BlockError::OutOfRange { .. })
        ));
        drop(chainbase);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &blocks[..8], 3, "opened again");
        let syncs = chainbase.log().blocks().syncs();
        assert_eq!(chainbase.make_irreversible(Height::new(6)).unwrap(), 3);
        // Three blocks roll over to another segment at most once, for two more.
        assert!(
            chainbase.log().blocks().syncs() <= syncs + 1 + 2 * 3,
            "{engine}"
        );
        assert_eq!(chainbase.make_irreversible(Height::new(8)).unwrap(), 2);
        is_divided(&chainbase, &blocks[..8], 8, "all are final");
        assert!(matches!(
            chainbase.make_irreversible(Height::new(9)),
            Err(BlockError::OutOfRange { .. })
        ));
        add_each(&chainbase, &blocks[8..]);
        is_divided(&chainbase, &blocks, 8, "it goes on");
    }
}

#[test]
fn one_block_a_number_and_a_fork_switch_removes_and_adds() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(22, 1, 8);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        add_each(&chainbase, &blocks);
        chainbase.make_irreversible(Height::new(2)).unwrap();
        let mut dice = ChaCha8Rng::seed_from_u64(23);
        let mut branch = vec![block(&mut dice, 5, blocks[3].info.hash)];
        for number in 6..=9 {
            let parent = branch.last().unwrap().info.hash;
            branch.push(block(&mut dice, number, parent));
        }
        // A number that is taken, a gap, another parent.
        let refused = chainbase.add(&branch[0].as_new());
        assert!(
            matches!(refused, Err(BlockError::HeightMismatch { .. })),
            "{engine}"
        );
        let refused = chainbase.add(&block(&mut dice, 10, blocks[7].info.hash).as_new());
        assert!(
            matches!(refused, Err(BlockError::HeightMismatch { .. })),
            "{engine}"
        );
        let refused = chainbase.add(&branch[4].as_new());
        assert!(
            matches!(refused, Err(BlockError::ParentMismatch { .. })),
            "{engine}"
        );
        let mut same_id = block(&mut dice, 9, blocks[7].info.hash);
        for known in [1, 5] {
            same_id.info.hash = blocks[known].info.hash;
            let refused = chainbase.add(&same_id.as_new());
            assert!(
                matches!(refused, Err(BlockError::DuplicateHash { .. })),
                "{engine}"
            );
        }
        is_divided(&chainbase, &blocks, 2, "refused");
        // A branch that does not fit changes nothing; one that does takes the place.
        let mut bad = branch.clone();
        bad[3].info.parent = BlockHash::new(&[1; 32]).unwrap();
        let new: Vec<_> = bad.iter().map(LogBlock::as_new).collect();
        chainbase.switch_to(&new).unwrap_err();
        is_divided(&chainbase, &blocks, 2, "a bad branch");
        let new: Vec<_> = branch.iter().map(LogBlock::as_new).collect();
        chainbase.switch_to(&new).unwrap();
        let mut switched = blocks[..4].to_vec();
        switched.extend(branch);
        is_divided(&chainbase, &switched, 2, "switched");
        let popped = chainbase.pop().unwrap();
        assert_eq!(popped, switched.pop(), "{engine}");
        drop(chainbase);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &switched, 2, "popped and opened again");
        while chainbase.pop().unwrap().is_some() {}
        is_divided(&chainbase, &switched[..2], 2, "nothing is left to pop");
    }
}

/// A move that is given up leaves the blocks where they were, also when the branch changes then.
#[test]
fn a_move_that_is_given_up_does_not_come_true_after_a_fork_switch() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let mut blocks = chain(24, 1, 6);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        add_each(&chainbase, &blocks);
        chainbase.make_irreversible(Height::new(2)).unwrap();
        let mut txn = chainbase.store().begin_write().unwrap();
        let moved = chainbase
            .reversible()
            .make_irreversible(&mut txn, Height::new(5));
        assert_eq!(moved.unwrap(), 3);
        txn.abort().unwrap();
        is_divided(&chainbase, &blocks, 2, "given up");
        assert_eq!(chainbase.pop().unwrap(), blocks.pop());
        drop(chainbase);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &blocks, 2, "popped and opened again");
        let mut txn = chainbase.store().begin_write().unwrap();
        let moved = chainbase
            .reversible()
            .make_irreversible(&mut txn, Height::new(5));
        assert_eq!(moved.unwrap(), 3);
        txn.abort().unwrap();
        let mut dice = ChaCha8Rng::seed_from_u64(25);
        let other = block(&mut dice, 4, blocks[2].info.hash);
        chainbase.switch_to(&[other.as_new()]).unwrap();
        blocks.truncate(3);
        blocks.push(other);
        drop(chainbase);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &blocks, 2, "the other branch");
        chainbase.make_irreversible(Height::new(4)).unwrap();
        is_divided(&chainbase, &blocks, 4, "the other branch is final");
    }
}

/// A write that fails may be on the disk all the same. The log did not count its record, so the
/// branch was changed beside a log that had failed, and opening again brought the old one back.
#[test]
fn no_branch_is_changed_while_a_move_may_be_in_a_log_that_failed() {
    let mut dice = ChaCha8Rng::seed_from_u64(28);
    let mut blocks = chain(28, 1, 2);
    // Longer than what gathers in memory, so its record is written when it is appended.
    blocks[0].body = vec![7; 40_000];
    blocks[0].info.body_bytes = 40_000;
    let other = block(&mut dice, 1, blocks[0].info.parent);
    let new_store = || Arc::new(AnyStore::open("mem:", &schema::<AnyStore>()).unwrap());
    let probe = SimDisk::new();
    drop(open(&new_store(), Arc::new(probe.clone())).unwrap());
    let (store, disk) = (new_store(), SimDisk::new());
    disk.plan(probe.steps(), Trouble::PowerCut);
    let (chainbase, _) = open(&store, Arc::new(disk.clone())).unwrap();
    add_each(&chainbase, &blocks);
    chainbase.make_irreversible(Height::new(1)).unwrap_err();
    for refused in [
        chainbase.switch_to(&[other.as_new()]),
        chainbase.pop().map(drop),
        chainbase.make_irreversible(Height::new(1)).map(drop),
    ] {
        let Err(BlockError::Store(refused)) = refused else {
            panic!("{refused:?}");
        };
        let is_poisoned = matches!(refused.kind(), ErrorKind::Poisoned { .. });
        assert!(is_poisoned, "{refused}");
    }
    drop(chainbase);
    let (chainbase, _) = open(&store, Arc::new(disk.after_kill())).unwrap();
    is_divided(&chainbase, &blocks, 1, "opened again");
}

/// The log went on by itself, or lost its end: what does not stand on its head is dropped.
#[test]
fn blocks_that_do_not_stand_on_the_log_are_dropped() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(26, 1, 8);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        add_each(&chainbase, &blocks[..6]);
        chainbase.make_irreversible(Height::new(2)).unwrap();
        // Blocks 3 and 4 come to the log by another way.
        append_each(&chainbase, &blocks[2..4]);
        drop(chainbase);
        let (store, disk) = (lab.store(), lab.disk());
        let (log, _) =
            BlockLog::open(Arc::clone(&store), disk, &options(Default::default())).unwrap();
        let (_, found) = ReversibleBlocks::open(Arc::new(log)).unwrap();
        assert_eq!(
            (found.moved_blocks, found.dropped_blocks),
            (2, 0),
            "{engine}"
        );
        drop(store);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &blocks[..6], 4, engine.as_str());
        // Another block 5 comes to the log: block 6 does not follow it.
        let mut dice = ChaCha8Rng::seed_from_u64(27);
        let other = block(&mut dice, 5, blocks[3].info.hash);
        append_each(&chainbase, std::slice::from_ref(&other));
        drop(chainbase);
        let (store, disk) = (lab.store(), lab.disk());
        let (log, _) =
            BlockLog::open(Arc::clone(&store), disk, &options(Default::default())).unwrap();
        let (_, found) = ReversibleBlocks::open(Arc::new(log)).unwrap();
        // The block that waited with the number 5 is another one, and 6 stood on it.
        assert_eq!(
            (found.moved_blocks, found.dropped_blocks),
            (0, 2),
            "{engine}"
        );
        drop(store);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        let mut expected = blocks[..4].to_vec();
        expected.push(other);
        is_divided(&chainbase, &expected, 5, engine.as_str());
    }
}

/// A log that lost every block it had left those above it waiting, and the next move made a log
/// that begins in the middle of the chain.
#[test]
fn blocks_above_a_log_that_lost_all_of_its_own_are_dropped() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = chain(29, 1, 4);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        add_each(&chainbase, &blocks);
        chainbase.make_irreversible(Height::new(1)).unwrap();
        drop(chainbase);
        let file = lab.last_segment();
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let options = options(IndexCheck::Rows);
        let opened = ChainbaseBlocks::open(lab.store(), lab.disk(), &options, Durability::Durable);
        let (chainbase, (followed, reconciled)) = opened.unwrap();
        assert_eq!(followed.trimmed_blocks, 1, "{engine}");
        assert_eq!(reconciled.dropped_blocks, 3, "{engine}");
        assert_eq!(chainbase.head().unwrap(), None, "{engine}");
        add_each(&chainbase, &blocks);
        drop(chainbase);
        // It is told once: what came since stands on its own.
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        is_divided(&chainbase, &blocks, 0, engine.as_str());
        chainbase.make_irreversible(Height::new(2)).unwrap();
        is_divided(&chainbase, &blocks, 2, engine.as_str());
    }
}

/// Rows that somebody else wrote: an error, or the right block; never a panic.
#[test]
fn hostile_rows_give_an_error_or_the_right_block() {
    let count = scaled(1_000);
    println!("seed {SEED:#x}, {count} rows");
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut lab = Lab::new(chain_store::EngineName::Mem, schema::<AnyStore>());
    let store = lab.store();
    let blocks = chain(28, 1, 8);
    let (chainbase, _) = open(&store, lab.disk()).unwrap();
    add_each(&chainbase, &blocks);
    chainbase.make_irreversible(Height::new(2)).unwrap();
    let rows = rows_of(&*store, "chainbase.");
    let mut wrong_ids = 0;
    for step in 0..count {
        let mut harmed = rows.clone();
        let keys: Vec<_> = rows.keys().cloned().collect();
        let key = &keys[dice.random_range(0..keys.len())];
        let other = &keys[dice.random_range(0..keys.len())];
        let mut value = rows[key].clone();
        match dice.random_range(0..4) {
            0 => value.truncate(dice.random_range(0..value.len())),
            1 => value = rows[other].clone(),
            2 => {
                let mut shorter = key.clone();
                shorter.1.truncate(dice.random_range(1..8));
                harmed.insert(shorter, value.clone());
            }
            _ => {
                let bit = dice.random_range(0..64.min(value.len() * 8));
                value[bit / 8] ^= 1 << (bit % 8);
            }
        }
        harmed.insert(key.clone(), value);
        put_rows(&*store, "chainbase.", &harmed);
        let context = format!("seed {SEED:#x}, step {step}");
        for block in &blocks[2..] {
            let view = store.begin_read().unwrap();
            match chainbase.reversible().get_by_id(&view, &block.info.hash) {
                Ok(Some(found)) => assert_eq!(found.info.hash, block.info.hash, "{context}"),
                Ok(None) => {}
                Err(BlockError::Store(error)) => {
                    assert!(error.is_corruption(), "{context}: {error}");
                    wrong_ids += 1;
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
        // What these say is not known; they must come back.
        let _head = chainbase.head();
        let _popped = chainbase.pop();
        let _moved = chainbase.make_irreversible(Height::new(2));
        let _opened = open(&store, lab.disk());
    }
    assert!(wrong_ids > 0);
}
