//! Blocks that are not final: the current branch, fork switches, and C-A15's move to the log,
//! exactly once, with the power cut or a failure at every step, and again in the recovery.

use std::io::ErrorKind;
use std::sync::Arc;

use backend_mem_store::{copy_of, new_store};
use blocks::{LogBlock, LogBlocksOptions, SegmentOptions};
use chain_store::AnyStore;
use compat::chainbase::{BlockLog, ChainbaseBlocks, ReversibleBlocks};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockError, BlockHash, BlockResult, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{append_each, block, chain, is_log, open, options, schema};
use crate::stores::{Lab, engines, rows_of};

const SEED: u64 = 0x6d6f_7665;

/// Stores in memory, which a power cut of the disk below the log does not touch.
mod backend_mem_store {
    use std::sync::Arc;

    use chain_store::AnyStore;

    use crate::stores::{put_rows, rows_of};

    pub(super) fn new_store() -> Arc<AnyStore> {
        Arc::new(AnyStore::open("mem:", &super::schema::<AnyStore>()).unwrap())
    }

    /// Another store with what this one committed.
    pub(super) fn copy_of(store: &AnyStore) -> Arc<AnyStore> {
        let copy = new_store();
        put_rows(&*copy, "", &rows_of(store, ""));
        copy
    }
}

fn add_each(chain: &ChainbaseBlocks<AnyStore>, blocks: &[LogBlock]) {
    for block in blocks {
        chain.add(&block.as_new()).unwrap();
    }
}

/// Blocks up to `final_count` are in the log and there alone, the others here and here alone.
fn is_divided(
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
        assert_eq!(
            (found.moved_blocks, found.dropped_blocks),
            (1, 1),
            "{engine}"
        );
        drop(store);
        let (chainbase, _) = open(&lab.store(), lab.disk()).unwrap();
        let mut expected = blocks[..4].to_vec();
        expected.push(other);
        is_divided(&chainbase, &expected, 5, engine.as_str());
    }
}

/// One step of a life.
#[derive(Clone, Copy, Debug)]
enum Act {
    Add(usize),
    Move(u64),
    /// A move whose transaction is given up.
    GiveUp(u64),
    Switch(usize),
    Pop,
}

/// What a life has committed, and what it was doing when it ended.
#[derive(Clone, Debug, Default)]
struct Told {
    blocks: Vec<LogBlock>,
    final_count: usize,
    /// How many may be final because a move was under way, or was given up.
    final_max: usize,
}

fn acts(dice: &mut ChaCha8Rng) -> Vec<Act> {
    let mut acts = vec![Act::Add(4), Act::Move(2)];
    for _ in 0..12 {
        acts.push(match dice.random_range(0..9) {
            0..=3 => Act::Add(dice.random_range(1..4)),
            4 | 5 => Act::Move(dice.random_range(1..4)),
            6 => Act::GiveUp(dice.random_range(1..4)),
            7 => Act::Switch(dice.random_range(1..3)),
            _ => Act::Pop,
        });
    }
    acts
}

fn small(seed: u64) -> LogBlocksOptions {
    LogBlocksOptions {
        segments: SegmentOptions {
            segment_bytes_max: 900,
            advance_bytes: [0, 1_000][(seed % 2) as usize],
            ..SegmentOptions::default()
        },
        ..LogBlocksOptions::default()
    }
}

fn open_sim(
    store: &Arc<AnyStore>,
    disk: &SimDisk,
    seed: u64,
) -> BlockResult<ChainbaseBlocks<AnyStore>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = ChainbaseBlocks::open(Arc::clone(store), disk, &small(seed), Durability::Durable)?;
    Ok(opened.0)
}

/// Ends a life at this commit, before or after it takes effect.
#[derive(Clone, Copy, Debug)]
struct Crash {
    at_commit: u64,
    is_committed: bool,
}

struct Life {
    told: Told,
    commits: u64,
    crash: Option<Crash>,
}

/// Why a life ended.
#[derive(Debug)]
enum End {
    Crashed,
    Failed(BlockError),
}

impl From<BlockError> for End {
    fn from(error: BlockError) -> Self {
        Self::Failed(error)
    }
}

impl Life {
    fn commit(&mut self, txn: impl WriteTxn, next: Told) -> Result<(), End> {
        let commit = self.commits;
        self.commits += 1;
        let crash = self.crash.filter(|crash| crash.at_commit == commit);
        if crash.is_some_and(|crash| !crash.is_committed) {
            drop(txn);
            return Err(End::Crashed);
        }
        txn.commit(Durability::Durable).unwrap();
        self.told = next;
        match crash {
            Some(_) => Err(End::Crashed),
            None => Ok(()),
        }
    }

    fn act(
        &mut self,
        chain: &ChainbaseBlocks<AnyStore>,
        act: Act,
        dice: &mut ChaCha8Rng,
    ) -> Result<(), End> {
        let reversible = chain.reversible();
        let mut next = self.told.clone();
        let begin = || chain.store().begin_write().unwrap();
        let grow = |next: &mut Told, dice: &mut ChaCha8Rng| {
            let above = next
                .blocks
                .last()
                .map(|block| (block.info.height, block.info.hash));
            let (number, parent) = above.map_or_else(
                || (1, BlockHash::new(&[1; 32]).unwrap()),
                |(height, hash)| (height.get() + 1, hash),
            );
            next.blocks.push(block(dice, number, parent));
            next.blocks.last().unwrap().clone()
        };
        match act {
            Act::Add(count) => {
                for _ in 0..count {
                    let new = grow(&mut next, dice);
                    let mut txn = begin();
                    reversible.add(&mut txn, &new.as_new())?;
                    next.final_max = next.final_count;
                    self.commit(txn, next.clone())?;
                }
            }
            Act::Move(count) | Act::GiveUp(count) => {
                let to = (next.final_count + count as usize).min(next.blocks.len());
                if to == next.final_count {
                    return Ok(());
                }
                let mut txn = begin();
                // From here on the blocks may be final after a crash, committed or not.
                self.told.final_max = to.max(self.told.final_max);
                let up_to = next.blocks[to - 1].info.height;
                reversible.make_irreversible(&mut txn, up_to)?;
                if matches!(act, Act::GiveUp(_)) {
                    return Ok(());
                }
                next.final_count = to;
                next.final_max = to;
                self.commit(txn, next)?;
            }
            Act::Switch(count) => {
                let kept = next
                    .blocks
                    .len()
                    .saturating_sub(count)
                    .max(next.final_count);
                next.blocks.truncate(kept);
                let mut txn = begin();
                let from = next
                    .blocks
                    .last()
                    .map_or(1, |block| block.info.height.get() + 1);
                reversible.remove_from(&mut txn, Height::new(from))?;
                for _ in 0..=count {
                    let new = grow(&mut next, dice);
                    reversible.add(&mut txn, &new.as_new())?;
                }
                next.final_max = next.final_count;
                self.told.final_max = self.told.final_count;
                self.commit(txn, next)?;
            }
            Act::Pop => {
                let mut txn = begin();
                let popped = reversible.pop(&mut txn)?;
                if next.blocks.len() > next.final_count {
                    assert_eq!(popped, next.blocks.pop());
                    next.final_max = next.final_count;
                    self.told.final_max = self.told.final_count;
                }
                self.commit(txn, next)?;
            }
        }
        Ok(())
    }
}

/// Lives until the end, a crash, or a failure; what was told, and how many commits there were.
fn live(store: &Arc<AnyStore>, disk: &SimDisk, seed: u64, crash: Option<Crash>) -> Life {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let acts = acts(&mut dice);
    let mut life = Life {
        told: Told::default(),
        commits: 0,
        crash,
    };
    if let Ok(chain) = open_sim(store, disk, seed) {
        for act in acts {
            if life.act(&chain, act, &mut dice).is_err() {
                break;
            }
        }
    }
    life
}

/// After opening, every block that was told is in exactly one of the two.
fn judge(store: &Arc<AnyStore>, disk: &SimDisk, seed: u64, told: &Told, context: &str) {
    let chain = open_sim(store, disk, seed).unwrap_or_else(|error| panic!("{context}: {error}"));
    let head = chain.last_irreversible().unwrap();
    let final_count = usize::try_from(head.map_or(0, |head| head.height.get())).unwrap();
    assert!(
        (told.final_count..=told.final_max).contains(&final_count),
        "{context}: {final_count} final, {} to {} expected",
        told.final_count,
        told.final_max
    );
    is_divided(&chain, &told.blocks, final_count, context);
    // It goes on: one block more, and everything becomes final.
    let mut dice = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let above = told
        .blocks
        .last()
        .map(|block| (block.info.height, block.info.hash));
    let (number, parent) = above.map_or_else(
        || (1, BlockHash::new(&[1; 32]).unwrap()),
        |(height, hash)| (height.get() + 1, hash),
    );
    let mut grown = told.blocks.clone();
    grown.push(block(&mut dice, number, parent));
    chain.add(&grown.last().unwrap().as_new()).unwrap();
    chain.make_irreversible(Height::new(number)).unwrap();
    is_divided(&chain, &grown, grown.len(), context);
}

/// Cuts the power at each step of the recovery, and judges what the next recovery makes of it.
fn judge_recovery(store: &AnyStore, image: &SimDisk, seed: u64, told: &Told, context: &str) -> u64 {
    let probe = image.after_kill();
    drop(open_sim(&copy_of(store), &probe, seed));
    let steps = probe.steps();
    for step in 0..steps {
        let (again, copy) = (image.after_kill(), copy_of(store));
        again.plan(step, Trouble::PowerCut);
        drop(open_sim(&copy, &again, seed));
        let second = again.after_power_cut(seed + step);
        judge(
            &copy,
            &second,
            seed,
            told,
            &format!("{context}, recovery cut at {step}"),
        );
    }
    // Killed between the opening of the log and that of the blocks above it.
    let (again, copy) = (image.after_kill(), copy_of(store));
    let disk: Arc<dyn Disk> = Arc::new(again.clone());
    drop(BlockLog::open(Arc::clone(&copy), disk, &small(seed)).unwrap());
    judge(
        &copy,
        &again,
        seed,
        told,
        &format!("{context}, killed between"),
    );
    steps + 1
}

#[test]
fn a_block_moves_exactly_once_with_the_power_cut_at_every_step_and_again_in_the_recovery() {
    let lives = scaled(12) as u64;
    println!("seed {SEED:#x}, {lives} lives");
    let (mut images, mut nested) = (0, 0);
    for life in 0..lives {
        let seed = SEED + life;
        let whole = SimDisk::new();
        live(&new_store(), &whole, seed, None);
        for step in 0..whole.steps() {
            let (store, disk) = (new_store(), SimDisk::new());
            disk.plan(step, Trouble::PowerCut);
            let told = live(&store, &disk, seed, None).told;
            for image in 0..3 {
                let context = format!("seed {seed:#x}, step {step}, image {image}");
                let image = disk.after_power_cut(seed ^ (step << 8) ^ image);
                nested += judge_recovery(&store, &image, seed, &told, &context);
                judge(&copy_of(&store), &image, seed, &told, &context);
                images += 1;
            }
            let context = format!("seed {seed:#x}, step {step}, killed");
            judge(&copy_of(&store), &disk.after_kill(), seed, &told, &context);
            images += 1;
        }
    }
    println!("{images} images, {nested} more of recoveries");
}

#[test]
fn a_block_moves_exactly_once_with_a_crash_at_every_commit() {
    let lives = scaled(20) as u64;
    println!("seed {SEED:#x}, {lives} lives");
    let mut crashes = 0;
    for life in 0..lives {
        let seed = SEED + 1_000 + life;
        let commits = live(&new_store(), &SimDisk::new(), seed, None).commits;
        for at_commit in 0..commits {
            for is_committed in [false, true] {
                let (store, disk) = (new_store(), SimDisk::new());
                let crash = Crash {
                    at_commit,
                    is_committed,
                };
                let told = live(&store, &disk, seed, Some(crash)).told;
                let context = format!("seed {seed:#x}, {crash:?}");
                // The process died, and then the power went; both.
                judge(&copy_of(&store), &disk.after_kill(), seed, &told, &context);
                let cut = disk.after_power_cut(seed ^ at_commit);
                judge_recovery(&store, &cut, seed, &told, &context);
                judge(&copy_of(&store), &cut, seed, &told, &context);
                crashes += 1;
            }
        }
    }
    println!("{crashes} crashes");
}

#[test]
fn a_failure_at_every_step_moves_no_block_twice_and_loses_none() {
    let lives = scaled(10) as u64;
    println!("seed {SEED:#x}, {lives} lives");
    let mut failures = 0;
    for life in 0..lives {
        let seed = SEED + 2_000 + life;
        let whole = SimDisk::new();
        live(&new_store(), &whole, seed, None);
        for step in 0..whole.steps() {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let (store, disk) = (new_store(), SimDisk::new());
                disk.plan(step, Trouble::Fail(kind));
                let mut dice = ChaCha8Rng::seed_from_u64(seed);
                let acts = acts(&mut dice);
                let mut life = Life {
                    told: Told::default(),
                    commits: 0,
                    crash: None,
                };
                let context = format!("seed {seed:#x}, step {step}, {kind:?}");
                let mut chain = open_sim(&store, &disk, seed).ok();
                for act in acts {
                    let Some(open) = &chain else {
                        chain = open_sim(&store, &disk, seed).ok();
                        continue;
                    };
                    if let Err(End::Failed(error)) = life.act(open, act, &mut dice) {
                        let is_poisoned = matches!(&error, BlockError::Store(error)
                            if error.needs_reopen() || !matches!(error.kind(),
                                storage_api::ErrorKind::DiskFull));
                        if is_poisoned {
                            // It was opened again: what a move had written may be final now.
                            drop(chain.take());
                            chain = open_sim(&store, &disk, seed).ok();
                            let reopened = chain
                                .as_ref()
                                .and_then(|chain| chain.last_irreversible().unwrap());
                            let count = reopened.map_or(0, |head| head.height.get());
                            let count = usize::try_from(count).unwrap();
                            if chain.is_some() {
                                assert!(count >= life.told.final_count, "{context}");
                                assert!(count <= life.told.final_max, "{context}");
                                life.told.final_count = count;
                                life.told.final_max = count;
                            }
                        }
                    }
                }
                drop(chain);
                judge(
                    &store,
                    &disk.after_power_cut(step),
                    seed,
                    &life.told,
                    &context,
                );
                failures += 1;
            }
        }
    }
    println!("{failures} failures");
}
