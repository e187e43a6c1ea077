//! C-A15: a block that is final moves to the log exactly once, with the power cut or a failure at
//! every step, a crash at every commit, and again in the recovery.

use std::io::ErrorKind;
use std::sync::Arc;

use blocks::{LogBlock, LogBlocksOptions, SegmentOptions};
use chain_store::AnyStore;
use compat::chainbase::{BlockLog, ChainbaseBlocks};
use conformance::scaled;
use memory::{copy_of, new_store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockError, BlockHash, BlockResult, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::block;
use super::moving::is_divided;

const SEED: u64 = 0x6d6f_7665;

/// Stores in memory, which a power cut of the disk below the log does not touch.
mod memory {
    use std::sync::Arc;

    use chain_store::AnyStore;

    use crate::stores::{put_rows, rows_of};

    pub(super) fn new_store() -> Arc<AnyStore> {
        Arc::new(AnyStore::open("mem:", &super::super::schema::<AnyStore>()).unwrap())
    }

    /// Another store with what this one committed.
    pub(super) fn copy_of(store: &AnyStore) -> Arc<AnyStore> {
        let copy = new_store();
        put_rows(&*copy, "", &rows_of(store, ""));
        copy
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
    let lives = scaled(8) as u64;
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
    assert!(
        images > 20 && nested > 20,
        "{images} images, {nested} nested"
    );
}

#[test]
fn a_block_moves_exactly_once_with_a_crash_at_every_commit() {
    let lives = scaled(12) as u64;
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
    assert!(crashes > 10, "{crashes} crashes");
}

#[test]
fn a_failure_at_every_step_moves_no_block_twice_and_loses_none() {
    let lives = scaled(6) as u64;
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
