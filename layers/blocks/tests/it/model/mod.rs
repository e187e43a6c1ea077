//! Random lives of blocks against a list in memory: staged as they arrive, on any branch, appended
//! in any order, reorganised, cut, pruned, packed and read in views from before, while transactions
//! are aborted, file work comes late or twice, the disk fails, is full or loses its power, and the
//! store is opened again.
//!
//! Invariant: what a life comes to is told by its seed alone; whatever is committed is whole, in
//! every view, and nothing else can be read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod ground;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use blocks::{Cleanup, ReadAhead, SegmentBlocks, SegmentOptions, Staged};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::blocks::{BlockError, BlockQuery, BlockResult, BlockStore, Height, TxId};
use storage_api::{Durability, KvStore, WriteTxn};

use crate::power::Owned;
use crate::small;
use ground::{Ground, OverRedb, OverSim};

const SEED: u64 = 0x6d6f_6465;

/// Its blocks live as long as the test.
type Chain = Vec<&'static Owned>;

struct Life<G: Ground> {
    seed: u64,
    ground: G,
    dice: ChaCha8Rng,
    store: Option<Arc<G::Store>>,
    blocks: Option<SegmentBlocks<G::Store>>,
    chain: Chain,
    /// What a crash may come back to.
    past: Vec<Chain>,
    views: Vec<(<G::Store as KvStore>::ReadTxn, Chain)>,
    staged: Vec<(&'static Owned, Staged<'static>)>,
    late: Vec<Cleanup>,
    counts: HashMap<&'static str, u64>,
}

impl<G: Ground> Life<G> {
    fn new(ground: G, seed: u64) -> Self {
        let mut life = Self {
            seed,
            ground,
            dice: ChaCha8Rng::seed_from_u64(seed),
            store: None,
            blocks: None,
            chain: Vec::new(),
            past: vec![Vec::new()],
            views: Vec::new(),
            staged: Vec::new(),
            late: Vec::new(),
            counts: HashMap::new(),
        };
        life.open();
        life
    }

    fn blocks(&self) -> &SegmentBlocks<G::Store> {
        self.blocks.as_ref().unwrap()
    }

    fn store(&self) -> &Arc<G::Store> {
        self.store.as_ref().unwrap()
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn open(&mut self) {
        (self.blocks, self.store) = (None, None);
        for attempt in 0.. {
            match self.ground.open() {
                Ok((store, blocks)) => {
                    (self.store, self.blocks) = (Some(store), Some(blocks));
                    break;
                }
                Err(error) => {
                    assert!(attempt < 3, "seed {:#x}: {error}", self.seed);
                    if self.ground.is_off() {
                        self.ground.crash(&mut self.dice);
                    }
                }
            }
        }
    }

    /// Ends and begins again; whether as one that was killed, or by its own will.
    fn reopen(&mut self, is_crash: bool) {
        self.views.clear();
        if is_crash || self.ground.is_off() {
            self.count("crash");
            self.ground.crash(&mut self.dice);
        } else {
            self.count("reopen");
            self.past = vec![self.chain.clone()];
        }
        // What was staged or was to be finished before is of no use now, which must do no harm.
        if self.dice.random_bool(0.7) {
            self.staged.clear();
            self.late.clear();
        }
        self.open();
        let view = self.store().begin_read().unwrap();
        let tip = self.blocks().tip(&view).unwrap().map(|tip| tip.hash);
        let tail = self.blocks().tail(&view).unwrap().map(|tail| tail.hash);
        let past = std::mem::take(&mut self.past);
        let found = past.into_iter().rev().find(|chain| {
            tip == chain.last().map(|tip| tip.hash()) && tail == chain.first().map(|it| it.hash())
        });
        self.chain = found.unwrap_or_else(|| panic!("seed {:#x}: {tip:?}", self.seed));
        self.past = vec![self.chain.clone()];
        drop(view);
        self.compare();
    }

    /// A block on one of those that are stored or staged.
    fn arrive(&mut self) -> &'static Owned {
        let dice = &mut self.dice;
        let parent = match dice.random_range(0..10) {
            0..=4 => self.chain.last().copied(),
            5 | 6 if !self.chain.is_empty() => {
                let back = dice.random_range(0..self.chain.len().min(6));
                Some(self.chain[self.chain.len() - 1 - back])
            }
            _ => match self.staged.len() {
                0 => self.chain.last().copied(),
                count => Some(self.staged[dice.random_range(0..count)].0),
            },
        };
        let len = match dice.random_range(0..20) {
            0 => 0,
            1 => dice.random_range(3_000..6_000),
            2 => dice.random_range(30_000..40_000),
            3 if dice.random_bool(0.1) => dice.random_range(250_000..300_000),
            _ => dice.random_range(0..900),
        };
        Box::leak(Box::new(Owned {
            height: parent.map_or(dice.random_range(0..3), |parent| parent.height + 1),
            hash: dice.random(),
            parent: parent.map_or([1; 32], |parent| parent.hash),
            tx_ids: (0..dice.random_range(0..4))
                .map(|_| TxId::new(&[dice.random_range(1..20); 8]).unwrap())
                .collect(),
            body: (0..len).map(|_| dice.random_range(0..8)).collect(),
        }))
    }

    fn stage(&mut self) -> BlockResult<()> {
        let block = self.arrive();
        let staged = self.blocks().stage(block.borrowed())?;
        self.staged.push((block, staged));
        if self.staged.len() > 12 {
            // Forgotten without harm.
            let at = self.dice.random_range(0..self.staged.len());
            self.staged.swap_remove(at);
        }
        Ok(())
    }

    /// Goes over to the branch of a staged block.
    fn choose(&mut self) -> BlockResult<()> {
        let Some(count) = Some(self.staged.len()).filter(|count| *count > 0) else {
            return Ok(());
        };
        let mut at = self.dice.random_range(0..count);
        let mut path = vec![at];
        let kept = loop {
            let block = self.staged[at].0;
            if self.chain.is_empty() {
                break 0;
            }
            let below = self.chain.iter().rposition(|it| it.hash == block.parent);
            if let Some(below) = below {
                break below + 1;
            }
            match self
                .staged
                .iter()
                .position(|(it, _)| it.hash == block.parent)
            {
                Some(parent) => at = parent,
                // On nothing that is there any more.
                None => return Ok(()),
            }
            path.push(at);
        };
        let taken: Vec<_> = path.iter().rev().map(|at| self.staged[*at]).collect();
        if self
            .chain
            .iter()
            .any(|it| taken.iter().any(|(new, _)| new.hash == it.hash))
        {
            return Ok(());
        }
        let mut next = self.chain.clone();
        next.truncate(kept);
        next.extend(taken.iter().map(|(block, _)| *block));
        let tip = kept
            .checked_sub(1)
            .map(|tip| Height::new(self.chain[tip].height));
        let is_cut = kept < self.chain.len();
        let is_aborted = self.dice.random_bool(0.15);
        self.commit(next, is_aborted, |blocks, txn| {
            let cleanup = if is_cut {
                Some(blocks.truncate(txn, tip)?)
            } else {
                None
            };
            for (_, staged) in &taken {
                blocks.append(txn, *staged)?;
            }
            Ok(cleanup)
        })?;
        if self.dice.random_bool(0.8) {
            self.staged
                .retain(|(it, _)| taken.iter().all(|(new, _)| new.hash != it.hash));
        }
        Ok(())
    }

    fn cut(&mut self) -> BlockResult<()> {
        if self.chain.is_empty() {
            return Ok(());
        }
        let mut next = self.chain.clone();
        let gone = self.dice.random_range(0..self.chain.len().min(8) + 1);
        next.truncate(self.chain.len() - gone);
        if self.dice.random_bool(0.02) {
            next.clear();
        }
        let tip = next.last().map(|tip| Height::new(tip.height));
        let is_aborted = self.dice.random_bool(0.15);
        self.commit(next, is_aborted, |blocks, txn| {
            Ok(Some(blocks.truncate(txn, tip)?))
        })
    }

    fn prune(&mut self) -> BlockResult<()> {
        if self.chain.is_empty() {
            return Ok(());
        }
        let mut next = self.chain.clone();
        let gone = self.dice.random_range(0..self.chain.len());
        next.drain(..gone);
        let tail = Height::new(next[0].height);
        let is_aborted = self.dice.random_bool(0.15);
        self.commit(next, is_aborted, |blocks, txn| {
            Ok(Some(blocks.prune(txn, tail)?))
        })
    }

    fn commit(
        &mut self,
        next: Chain,
        is_aborted: bool,
        change: impl FnOnce(
            &SegmentBlocks<G::Store>,
            &mut <G::Store as KvStore>::WriteTxn<'_>,
        ) -> BlockResult<Option<Cleanup>>,
    ) -> BlockResult<()> {
        let durability = self.ground.durability(&mut self.dice);
        let store = Arc::clone(self.store());
        let mut txn = store.begin_write()?;
        let cleanup = change(self.blocks(), &mut txn)?;
        if is_aborted {
            return Ok(txn.abort()?);
        }
        txn.commit(durability)?;
        if durability == Durability::Durable {
            self.past.clear();
        }
        self.past.push(next.clone());
        self.chain = next;
        self.count("commit");
        if let Some(cleanup) = cleanup {
            let when = self.dice.random_range(0..10);
            if when < 3 {
                self.late.push(cleanup);
            }
            if when > 1 {
                self.blocks().finish(cleanup)?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> BlockResult<()> {
        match self.dice.random_range(0..100) {
            0..=39 => self.stage()?,
            40..=64 => self.choose()?,
            65..=69 => self.cut()?,
            70..=74 => self.prune()?,
            75..=79 => {
                let below = self.chain.last().map_or(0, |tip| tip.height + 1);
                let below = below.saturating_sub(self.dice.random_range(0..10));
                let view = self.store().begin_read()?;
                let packed = self.blocks().pack(&view, Height::new(below))?;
                *self.counts.entry("packed").or_default() += packed.segments;
            }
            80..=83 => {
                let view = self.store().begin_read()?;
                self.views.push((view, self.chain.clone()));
            }
            84..=89 if !self.views.is_empty() => {
                let at = self.dice.random_range(0..self.views.len());
                let (view, chain) = self.views.swap_remove(at);
                self.is_seen(&view, &chain);
            }
            90..=92 if !self.late.is_empty() => {
                let at = self.dice.random_range(0..self.late.len());
                let cleanup = self.late.swap_remove(at);
                self.blocks().finish(cleanup)?;
                self.count("late");
            }
            93 | 94 => self.ground.trouble(&mut self.dice),
            95 => self.reopen(false),
            96 => self.reopen(true),
            _ => self.compare(),
        }
        Ok(())
    }

    fn live(&mut self, steps: u64) {
        let mut failures = 0;
        for _ in 0..steps {
            match self.step() {
                Ok(()) => failures = 0,
                Err(error) => {
                    self.count("failed step");
                    let is_damage = matches!(&error,
                        BlockError::Store(error) if error.is_corruption());
                    assert!(!is_damage, "seed {:#x}: {error}", self.seed);
                    failures += 1;
                    // A full disk can be tried again; a log that failed has to be opened again.
                    if failures > 3 || self.ground.is_off() || self.dice.random_bool(0.3) {
                        let is_crash = self.dice.random_bool(0.5);
                        self.reopen(is_crash);
                        failures = 0;
                    }
                }
            }
        }
        self.compare();
    }

    /// Everything of the chain, and nothing else, is there now.
    fn compare(&mut self) {
        let view = self.store().begin_read().unwrap();
        self.is_seen(&view, &self.chain);
        let checked = self.blocks().check(&view).unwrap();
        let seed = self.seed;
        assert!(checked.blocks.is_empty(), "seed {seed:#x}: {checked:?}");
        assert!(checked.segments.is_empty(), "seed {seed:#x}: {checked:?}");
        assert_eq!(
            checked.sound_blocks,
            self.chain.len() as u64,
            "seed {seed:#x}"
        );
    }

    /// A view has these blocks, in every way to read them.
    fn is_seen(&self, view: &<G::Store as KvStore>::ReadTxn, chain: &Chain) {
        let (blocks, seed) = (self.blocks(), self.seed);
        let tip = blocks.tip(view).unwrap().map(|tip| tip.hash);
        assert_eq!(tip, chain.last().map(|tip| tip.hash()), "seed {seed:#x}");
        let mut given = Vec::new();
        let next = blocks.range(view, BlockQuery::from(Height::ZERO), &mut |info, body| {
            given.push((info.height.get(), body.to_vec()));
            ControlFlow::Continue(())
        });
        assert_eq!(next.unwrap(), None, "seed {seed:#x}");
        let expected = chain.iter().map(|it| (it.height, it.body.clone()));
        assert!(given.into_iter().eq(expected), "seed {seed:#x}");
        let ahead = ReadAhead {
            threads: 1,
            bytes_max: 5_000,
        };
        let mut iter = blocks.iter(view, BlockQuery::from(Height::ZERO), ahead);
        for block in chain {
            let height = Height::new(block.height);
            let body = blocks.body(view, height).unwrap();
            assert_eq!(body.as_ref(), Some(&block.body), "seed {seed:#x}: {height}");
            let of_hash = blocks.height_of(view, &block.hash()).unwrap();
            assert_eq!(of_hash, Some(height), "seed {seed:#x}");
            let next = iter.next().unwrap().unwrap();
            assert_eq!((next.info.hash, &*next.body), (block.hash(), &*block.body));
        }
        assert!(iter.next().is_none(), "seed {seed:#x}");
    }
}

fn lives<G: Ground>(lives: u64, steps: u64, ground: impl Fn(u64) -> G) {
    println!("seed {SEED:#x}, {lives} lives of {steps} steps");
    let mut counts: HashMap<&'static str, u64> = HashMap::new();
    for number in 0..lives {
        let mut life = Life::new(ground(number), SEED + number);
        life.live(steps);
        for (what, count) in life.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{counts:?}");
}

fn options(number: u64) -> SegmentOptions {
    SegmentOptions {
        advance_bytes: [0, 3_000][(number % 2) as usize],
        segment_bytes_max: [4_000, 200_000][(number / 2 % 2) as usize],
        ..small()
    }
}

#[test]
fn a_life_on_a_disk_that_fails_is_that_of_a_list() {
    lives(conformance::scaled(40) as u64, 400, |number| {
        OverSim::new(options(number))
    });
}

#[test]
fn a_life_over_commits_that_a_crash_takes_back_is_that_of_a_list() {
    lives(conformance::scaled(10) as u64, 300, |number| {
        OverRedb::new(options(number))
    });
}
