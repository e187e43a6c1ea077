//! The tree beside other ordered maps in one process, as a table of medians and ratios.
//!
//! Run with `cargo bench -p backend-mem`; the arguments after `--` are the number of entries
//! (1,000,000) and of rounds (7). Every structure does the same work in every round, one after the
//! other, so that only the ratios inside one run mean anything: wall times move with the machine.
//! Keys are 32 random bytes, values 150; half of a batch overwrites, half inserts. A batch "beside
//! snapshots" clones the map first and keeps the last four clones; `BTreeMap` has no cheap clone,
//! so its plain batch is the yardstick there too.
//! Reads of `BTreeMap` take its `RwLock`, one by one; a skip list has neither a snapshot nor an
//! atomic batch. The last lines give the batch beside snapshots as a ratio, round by round, to the
//! plain batch of `BTreeMap` and to our own, and commits of the engine beside views and without.
//! "Warmed" batches use `Tree::warm`; the others have no such call and repeat their plain batch.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use backend_mem::tree::Tree;
use backend_mem::{MemOptions, MemStore};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::{
    Durability, Engine, KvStore, Location, OpenOptions, Result, Schema, TableDef, WriteBatch,
    Writer,
};

const KEY_LEN: usize = 32;
const VALUE_LEN: usize = 150;
const BATCH_LEN: usize = 1000;
const SNAPSHOTS_KEPT: usize = 4;
const READS_PER_ROUND: usize = 200_000;
const RANGES_PER_ROUND: usize = 50_000;
const BATCHES_PER_ROUND: usize = 40;
const CLONES: usize = 100_000;

const WARMED_AT_ONCE: usize = 16;

type Key = [u8; KEY_LEN];

/// Whether a batch is announced to the map, a group of keys at a time, before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Plain,
    Warmed,
}

/// What is measured of every structure. Reads return a sum so that they touch key and value.
trait Map: Default + Sync {
    type Snapshot;
    fn entries(&self) -> usize;
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// The first byte of the value of `key`.
    fn get(&self, key: &[u8]) -> Option<usize>;
    fn scan(&self) -> usize;
    fn range(&self, start: &[u8], rows: usize) -> usize;
    fn snapshot(&self) -> Option<Self::Snapshot>;

    /// Prepares for writes of `keys`; only the tree can.
    fn warm(&self, _keys: &[Key]) {}

    /// The sum over the values of `keys`, looked up in the fastest way the structure has.
    fn get_many(&self, keys: &[Key]) -> usize {
        let values = keys.iter().filter_map(|key| self.get(key));
        values.sum()
    }
}

#[inline]
fn touch(key: &[u8], value: &[u8]) -> usize {
    usize::from(key[0]) + usize::from(value[0])
}

impl Map for Tree {
    type Snapshot = Tree;

    fn entries(&self) -> usize {
        self.len()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key, value);
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        Tree::get(self, key).map(|value| usize::from(value[0]))
    }

    fn scan(&self) -> usize {
        let (mut cursor, mut sum) = (self.cursor(), 0);
        while let Some((key, value)) = cursor.next() {
            sum += touch(key, value);
        }
        sum
    }

    fn range(&self, start: &[u8], rows: usize) -> usize {
        let mut cursor = self.cursor();
        let (mut sum, mut row) = (0, cursor.seek(start));
        for _ in 0..rows {
            let Some((key, value)) = row else { break };
            sum += touch(key, value);
            row = cursor.next();
        }
        sum
    }

    fn snapshot(&self) -> Option<Tree> {
        Some(self.clone())
    }

    fn warm(&self, keys: &[Key]) {
        Tree::warm(self, keys);
    }

    fn get_many(&self, keys: &[Key]) -> usize {
        let mut sum = 0;
        Tree::get_many(self, keys, |_, value| {
            sum += value.map_or(0, |value| usize::from(value[0]));
        });
        sum
    }
}

/// A `BTreeMap` that readers and a writer can share: the usual store in memory.
type Locked = RwLock<BTreeMap<Box<[u8]>, Box<[u8]>>>;

impl Map for Locked {
    type Snapshot = ();

    fn entries(&self) -> usize {
        self.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let map = self.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.insert(key.into(), value.into());
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key).map(|value| usize::from(value[0]))
    }

    fn scan(&self) -> usize {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().map(|(key, value)| touch(key, value)).sum()
    }

    fn range(&self, start: &[u8], rows: usize) -> usize {
        let bounds = (Bound::Included(start), Bound::Unbounded);
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        let rows = map.range::<[u8], _>(bounds).take(rows);
        rows.map(|(key, value)| touch(key, value)).sum()
    }

    fn snapshot(&self) -> Option<()> {
        None
    }
}

/// A skip list that is written without a lock.
type SkipMap = crossbeam_skiplist::SkipMap<Box<[u8]>, Box<[u8]>>;

impl Map for SkipMap {
    type Snapshot = ();

    fn entries(&self) -> usize {
        self.len()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        self.get(key).map(|entry| usize::from(entry.value()[0]))
    }

    fn scan(&self) -> usize {
        let rows = self.iter();
        rows.map(|entry| touch(entry.key(), entry.value())).sum()
    }

    fn range(&self, start: &[u8], rows: usize) -> usize {
        let bounds = (Bound::Included(start), Bound::Unbounded);
        let rows = self.range::<[u8], _>(bounds).take(rows);
        rows.map(|entry| touch(entry.key(), entry.value())).sum()
    }

    fn snapshot(&self) -> Option<()> {
        None
    }
}

/// A persistent red-black tree.
type RedBlack = rpds::RedBlackTreeMapSync<Box<[u8]>, Arc<[u8]>>;

/// `rpds` has no `Default` for its shared form.
struct Persistent(RedBlack);

impl Default for Persistent {
    fn default() -> Self {
        Self(RedBlack::new_sync())
    }
}

impl Map for Persistent {
    type Snapshot = RedBlack;

    fn entries(&self) -> usize {
        self.0.size()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert_mut(key.into(), value.into());
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        self.0.get(key).map(|value| usize::from(value[0]))
    }

    fn scan(&self) -> usize {
        self.0.iter().map(|(key, value)| touch(key, value)).sum()
    }

    fn range(&self, start: &[u8], rows: usize) -> usize {
        let bounds = (Bound::Included(start), Bound::Unbounded);
        let rows = self.0.range::<[u8], _>(bounds).take(rows);
        rows.map(|(key, value)| touch(key, value)).sum()
    }

    fn snapshot(&self) -> Option<RedBlack> {
        Some(self.0.clone())
    }
}

macro_rules! impl_for_imbl {
    ($key:ty, $value:ty) => {
        impl Map for imbl::OrdMap<$key, $value> {
            type Snapshot = Self;

            fn entries(&self) -> usize {
                self.len()
            }

            fn put(&mut self, key: &[u8], value: &[u8]) {
                self.insert(key.into(), value.into());
            }

            fn get(&self, key: &[u8]) -> Option<usize> {
                self.get(key).map(|value| usize::from(value[0]))
            }

            fn scan(&self) -> usize {
                self.iter().map(|(key, value)| touch(key, value)).sum()
            }

            fn range(&self, start: &[u8], rows: usize) -> usize {
                let bounds = (Bound::Included(start), Bound::Unbounded);
                let rows = self.range::<_, [u8]>(bounds).take(rows);
                rows.map(|(key, value)| touch(key, value)).sum()
            }

            fn snapshot(&self) -> Option<Self> {
                Some(self.clone())
            }
        }
    };
}

impl_for_imbl!(Box<[u8]>, Arc<[u8]>);
impl_for_imbl!(Arc<[u8]>, Arc<[u8]>);

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Load,
    Hit,
    HitMany,
    HitTwo,
    Miss,
    Scan,
    Range,
    Batch,
    BatchWarmed,
    Beside,
    BesideWarmed,
    Snapshot,
    Resident,
}

const MEASURES: [(Measure, &str); 13] = [
    (Measure::Load, "load, random order"),
    (Measure::Hit, "get hit"),
    (Measure::HitMany, "get hit, many at once"),
    (Measure::HitTwo, "get hit, 2 threads, per get"),
    (Measure::Miss, "get miss"),
    (Measure::Scan, "scan, per entry"),
    (Measure::Range, "range of 10"),
    (Measure::Batch, "batch of 1000, per key"),
    (Measure::BatchWarmed, "same, warmed"),
    (Measure::Beside, "batch beside snapshots, per key"),
    (Measure::BesideWarmed, "same, warmed"),
    (Measure::Snapshot, "snapshot (clone and drop)"),
    (Measure::Resident, "bytes of RSS per entry"),
];

/// The keys of one round, the same for all structures.
struct Round {
    hits: Vec<Key>,
    misses: Vec<Key>,
    batches: Vec<Vec<Key>>,
    warmed_batches: Vec<Vec<Key>>,
    beside_batches: Vec<Vec<Key>>,
    beside_warmed_batches: Vec<Vec<Key>>,
}

fn fresh(rng: &mut ChaCha8Rng) -> Key {
    let mut key = [0; KEY_LEN];
    rng.fill_bytes(&mut key);
    key
}

impl Round {
    fn new(rng: &mut ChaCha8Rng, known: &[Key]) -> Self {
        let pick = |rng: &mut ChaCha8Rng| known[rng.random_range(0..known.len())];
        let hits = (0..READS_PER_ROUND).map(|_| pick(rng)).collect();
        let misses = (0..READS_PER_ROUND).map(|_| fresh(rng)).collect();
        let mut batches = || {
            let mut key = |at| if at % 2 == 0 { pick(rng) } else { fresh(rng) };
            (0..BATCHES_PER_ROUND)
                .map(|_| (0..BATCH_LEN).map(&mut key).collect())
                .collect()
        };
        Self {
            hits,
            misses,
            batches: batches(),
            warmed_batches: batches(),
            beside_batches: batches(),
            beside_warmed_batches: batches(),
        }
    }
}

/// One structure and its samples, in nanoseconds per operation, by measure.
struct Subject<M: Map> {
    map: M,
    samples: [Vec<f64>; MEASURES.len()],
}

/// What the rounds do with a subject, whatever its structure.
trait Contender {
    fn load(&mut self, keys: &[Key], value: &[u8]);
    fn round(&mut self, round: &Round, value: &mut [u8]);
    fn medians(&self) -> [Option<f64>; MEASURES.len()];
    fn samples(&self, measure: Measure) -> &[f64];
}

fn nanos_per<T>(operations: usize, work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_nanos() as f64 / operations as f64
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

impl<M: Map> Subject<M> {
    fn new() -> Self {
        Self {
            map: M::default(),
            samples: Default::default(),
        }
    }

    fn add(&mut self, measure: Measure, nanos: f64) {
        self.samples[measure as usize].push(nanos);
    }

    fn put_all(&mut self, keys: &[Key], value: &mut [u8], pace: Pace) {
        for group in keys.chunks(WARMED_AT_ONCE) {
            if pace == Pace::Warmed {
                self.map.warm(group);
            }
            for key in group {
                value[..8].copy_from_slice(&key[8..16]);
                self.map.put(key, value);
            }
        }
    }

    fn reads(&mut self, round: &Round) {
        let sum =
            |map: &M, keys: &[Key]| -> usize { keys.iter().filter_map(|key| map.get(key)).sum() };
        let nanos = nanos_per(round.hits.len(), || sum(&self.map, &round.hits));
        self.add(Measure::Hit, nanos);
        let nanos = nanos_per(round.hits.len(), || self.map.get_many(&round.hits));
        self.add(Measure::HitMany, nanos);
        let map = &self.map;
        let halves = round.hits.split_at(round.hits.len() / 2);
        let nanos = nanos_per(round.hits.len(), || {
            std::thread::scope(|scope| {
                scope.spawn(|| black_box(sum(map, halves.0)));
                sum(map, halves.1)
            })
        });
        self.add(Measure::HitTwo, nanos);
        let nanos = nanos_per(round.misses.len(), || sum(&self.map, &round.misses));
        self.add(Measure::Miss, nanos);
        let nanos = nanos_per(self.map.entries(), || self.map.scan());
        self.add(Measure::Scan, nanos);
        let starts = &round.hits[..RANGES_PER_ROUND];
        let nanos = nanos_per(starts.len(), || {
            starts
                .iter()
                .map(|start| self.map.range(start, 10))
                .sum::<usize>()
        });
        self.add(Measure::Range, nanos);
    }

    fn batches(&mut self, batches: &[Vec<Key>], value: &mut [u8], pace: Pace) -> f64 {
        nanos_per(BATCHES_PER_ROUND * BATCH_LEN, || {
            batches
                .iter()
                .for_each(|batch| self.put_all(batch, value, pace));
        })
    }

    fn batches_beside(&mut self, batches: &[Vec<Key>], value: &mut [u8], pace: Pace) -> f64 {
        let mut kept = VecDeque::new();
        nanos_per(BATCHES_PER_ROUND * BATCH_LEN, || {
            for batch in batches {
                kept.extend(self.map.snapshot());
                self.put_all(batch, value, pace);
                if kept.len() > SNAPSHOTS_KEPT {
                    kept.pop_front();
                }
            }
        })
    }
}

impl<M: Map> Contender for Subject<M> {
    fn load(&mut self, keys: &[Key], value: &[u8]) {
        let before = resident_bytes();
        let mut value = value.to_vec();
        let nanos = nanos_per(keys.len(), || self.put_all(keys, &mut value, Pace::Plain));
        self.add(Measure::Load, nanos);
        let grown = resident_bytes().saturating_sub(before);
        self.add(Measure::Resident, grown as f64 / keys.len() as f64);
    }

    fn round(&mut self, round: &Round, value: &mut [u8]) {
        self.reads(round);
        let nanos = self.batches(&round.batches, value, Pace::Plain);
        self.add(Measure::Batch, nanos);
        let nanos = self.batches(&round.warmed_batches, value, Pace::Warmed);
        self.add(Measure::BatchWarmed, nanos);
        let nanos = self.batches_beside(&round.beside_batches, value, Pace::Plain);
        self.add(Measure::Beside, nanos);
        let nanos = self.batches_beside(&round.beside_warmed_batches, value, Pace::Warmed);
        self.add(Measure::BesideWarmed, nanos);
        if self.map.snapshot().is_some() {
            let nanos = nanos_per(CLONES, || {
                (0..CLONES).for_each(|_| drop(self.map.snapshot()));
            });
            self.add(Measure::Snapshot, nanos);
        }
    }

    fn medians(&self) -> [Option<f64>; MEASURES.len()] {
        std::array::from_fn(|index| median(self.samples[index].clone()))
    }

    fn samples(&self, measure: Measure) -> &[f64] {
        &self.samples[measure as usize]
    }
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// The median over the rounds of the ratio of two measures within one round.
fn paired_ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(ratios).unwrap_or(f64::NAN)
}

fn print_table(columns: &[(&str, [Option<f64>; MEASURES.len()])]) {
    print!("{:<34}", "ns, median");
    columns.iter().for_each(|(name, _)| print!("{name:>16}"));
    for (name, _) in &columns[1..] {
        print!("{:>15}", format!("/ {name}"));
    }
    println!();
    for (measure, name) in MEASURES {
        let index = measure as usize;
        print!("{name:<34}");
        for (_, medians) in columns {
            match medians[index] {
                Some(median) => print!("{median:>16.1}"),
                None => print!("{:>16}", "-"),
            }
        }
        let ours = columns[0].1[index];
        for (_, medians) in &columns[1..] {
            match ours.zip(medians[index]) {
                Some((ours, theirs)) => print!("{:>15.2}", ours / theirs),
                None => print!("{:>15}", "-"),
            }
        }
        println!();
    }
}

/// Commits of the engine, beside views that are held and without: nanoseconds of one key. A commit
/// always copies what it changes, because the published version is a view itself.
fn engine_commits(keys: &[Key], value: &[u8], rounds: usize) -> Result<[Vec<f64>; 2]> {
    let schema = Schema::new([&TableDef::new("rows")])?;
    let options = OpenOptions::default();
    let memory = MemOptions::default();
    let (store, _) = MemStore::open(Location::Memory, &schema, &options, &memory)?;
    let table = store.catalogue().id("rows")?;
    let apply = |keys: &[Key]| -> Result<()> {
        let mut batch = WriteBatch::new();
        for key in keys {
            batch.put(table, key, value)?;
        }
        store.apply(&batch, Durability::Volatile)?;
        Ok(())
    };
    keys.chunks(100_000).try_for_each(apply)?;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let round = Round::new(&mut rng, keys);
        for (held_max, batches) in [(0, &round.batches), (SNAPSHOTS_KEPT, &round.beside_batches)] {
            let mut held = VecDeque::new();
            let mut done = Ok(());
            let nanos = nanos_per(batches.len() * BATCH_LEN, || {
                for batch in batches {
                    if held_max > 0 {
                        held.push_back(store.begin_read());
                        if held.len() > held_max {
                            held.pop_front();
                        }
                    }
                    if let Err(error) = apply(batch) {
                        done = Err(error);
                    }
                }
            });
            done?;
            samples[usize::from(held_max > 0)].push(nanos);
        }
    }
    Ok(samples)
}

fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let entries = numbers.first().copied().unwrap_or(1_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(7);
    println!("{entries} entries, {rounds} rounds, {KEY_LEN} byte keys, {VALUE_LEN} byte values");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let keys: Vec<Key> = (0..entries).map(|_| fresh(&mut rng)).collect();
    let mut value = vec![0; VALUE_LEN];
    rng.fill_bytes(&mut value);
    let mut subjects: [(&str, Box<dyn Contender>); 6] = [
        ("tree", Box::new(Subject::<Tree>::new())),
        ("BTreeMap", Box::new(Subject::<Locked>::new())),
        (
            "imbl Box/Arc",
            Box::new(Subject::<imbl::OrdMap<Box<[u8]>, Arc<[u8]>>>::new()),
        ),
        (
            "imbl Arc/Arc",
            Box::new(Subject::<imbl::OrdMap<Arc<[u8]>, Arc<[u8]>>>::new()),
        ),
        ("rpds", Box::new(Subject::<Persistent>::new())),
        ("skip list", Box::new(Subject::<SkipMap>::new())),
    ];
    subjects
        .iter_mut()
        .for_each(|(_, subject)| subject.load(&keys, &value));
    for _ in 0..rounds {
        let round = Round::new(&mut rng, &keys);
        subjects
            .iter_mut()
            .for_each(|(_, subject)| subject.round(&round, &mut value));
    }
    let columns = subjects
        .each_ref()
        .map(|(name, subject)| (*name, subject.medians()));
    print_table(&columns);
    let [(_, tree), (_, locked), ..] = &subjects;
    for (measure, name) in [
        (Measure::Beside, "plain"),
        (Measure::BesideWarmed, "warmed"),
    ] {
        let beside = tree.samples(measure);
        let theirs = paired_ratio(beside, locked.samples(Measure::Batch));
        let ours = paired_ratio(beside, tree.samples(Measure::Batch));
        println!("beside snapshots, {name}: {theirs:.2} of BTreeMap's batch, {ours:.2} of our own");
    }
    println!("The column of BTreeMap beside snapshots is its plain batch: it has no cheap clone.");
    drop(subjects);
    let [without, beside] = engine_commits(&keys, &value, rounds)?;
    let ratio = paired_ratio(&beside, &without);
    let [without, beside] = [without, beside].map(|samples| median(samples).unwrap_or(f64::NAN));
    println!(
        "commits of the engine, per key: {without:.1} without views, {beside:.1} beside four views \
         ({ratio:.2})"
    );
    Ok(())
}
