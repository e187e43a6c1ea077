//! The work: keys, values, reads and commits, made from a seed before any clock runs.
//!
//! Invariants: one seed and one [`Sizes`] give one [`Plan`], so every engine of a round does the
//! same operations on the same bytes; values do not compress; [`Plan::model`] is what a correct
//! store holds at the end. Keys are 32 random bytes, which is the shape of a hash and the worst for
//! a B-tree.

use std::collections::BTreeMap;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a value in bytes.
pub const VALUE_BYTES: usize = 150;
/// Operations of one batch of the load and of one block commit.
pub const BATCH_OPS: usize = 1000;
/// Length of a block's body in bytes.
pub const BODY_BYTES: usize = 20 * 1024;

const READS_OF_COMMIT: usize = BATCH_OPS / 10;
const OVERWRITES_OF_COMMIT: usize = BATCH_OPS / 2;
const DELETES_OF_COMMIT: usize = BATCH_OPS / 10;
const INSERTS_OF_COMMIT: usize =
    BATCH_OPS - READS_OF_COMMIT - OVERWRITES_OF_COMMIT - DELETES_OF_COMMIT;

/// Of ten reads before a commit, so many look for a key that is there.
const HITS_OF_TEN: usize = 7;

const POOL_BYTES: usize = 1 << 20;

/// A key.
pub type Key = [u8; KEY_BYTES];

/// How much is done in one round, and how many rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sizes {
    /// Keys loaded.
    pub keys: usize,
    /// Single reads of each kind, and of each thread.
    pub reads: usize,
    /// Ranges of ten rows.
    pub ranges: usize,
    /// Scans of the whole table.
    pub scans: usize,
    /// Views begun and dropped.
    pub snapshots: usize,
    /// Block-sized commits.
    pub commits: usize,
    /// Blocks appended.
    pub blocks: usize,
    /// Blocks read.
    pub block_reads: usize,
    /// Rounds of engines beside each other.
    pub rounds: usize,
    /// Rounds of the facade's forms beside each other.
    pub facade_rounds: usize,
}

impl Sizes {
    /// A run that measures: about two minutes with 200,000 keys and four engines.
    #[must_use]
    pub fn measuring(keys: usize) -> Self {
        let keys = keys.max(BATCH_OPS);
        Self {
            keys,
            reads: keys.min(100_000),
            ranges: keys.min(20_000),
            scans: (500_000 / keys).clamp(1, 10),
            snapshots: 20_000,
            commits: 40,
            blocks: 200,
            block_reads: 5_000,
            rounds: 5,
            facade_rounds: 21,
        }
    }

    /// Rows and reads alone, for work that makes its own changes.
    #[must_use]
    pub(crate) fn of_reads(keys: usize, reads: usize) -> Self {
        Self {
            keys,
            reads,
            commits: 0,
            blocks: 1,
            block_reads: 0,
            ..Self::smoke()
        }
    }

    /// A run that only shows that everything works, in a second or two.
    #[must_use]
    pub const fn smoke() -> Self {
        Self {
            keys: 1_000,
            reads: 500,
            ranges: 50,
            scans: 1,
            snapshots: 10,
            commits: 2,
            blocks: 5,
            block_reads: 10,
            rounds: 1,
            facade_rounds: 3,
        }
    }
}

/// Bytes of values and bodies: windows of one pool of random bytes, so that no clock times a
/// generator and no engine finds anything to compress.
#[derive(Clone, Debug)]
pub struct Bytes {
    pool: Vec<u8>,
}

impl Bytes {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut pool = vec![0; POOL_BYTES];
        rng.fill_bytes(&mut pool);
        Self { pool }
    }

    fn window(&self, place: u64, len: usize) -> &[u8] {
        let at = (place % (POOL_BYTES - len) as u64) as usize;
        &self.pool[at..at + len]
    }

    /// The value of a key after so many overwrites of anything; version 0 is the load.
    #[must_use]
    pub fn value(&self, key: &Key, version: u32) -> &[u8] {
        let [a, b, c, d, ..] = *key;
        let place = u64::from(u32::from_be_bytes([a, b, c, d])) + u64::from(version) * 7919;
        self.window(place, VALUE_BYTES)
    }

    /// The body of the block of this number.
    #[must_use]
    pub fn body(&self, number: u64) -> &[u8] {
        self.window(number.wrapping_mul(104_729), BODY_BYTES)
    }
}

/// One write of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to its value of this version.
    Put(Key, u32),
    /// Removes the key, which is there.
    Delete(Key),
}

/// One block-sized commit: reads first, then writes.
#[derive(Clone, Debug)]
pub struct BlockCommit {
    /// Keys looked up before anything is written; seven of ten are there.
    pub reads: Vec<Key>,
    /// How many of them are there.
    pub found: usize,
    /// The writes: overwrites, deletes and inserts, mixed.
    pub writes: Vec<Write>,
}

/// All work of one round.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How much of everything.
    pub sizes: Sizes,
    /// Values and bodies.
    pub bytes: Bytes,
    /// What is loaded, in this order.
    pub keys: Vec<Key>,
    /// Loaded keys, drawn with repetition.
    pub hits: Vec<Key>,
    /// Keys that no store has.
    pub misses: Vec<Key>,
    /// Commits after all reads.
    pub commits: Vec<BlockCommit>,
    /// Numbers of blocks to read, each below `sizes.blocks`.
    pub heights: Vec<u64>,
    /// Rows after the last commit.
    pub rows_after: usize,
}

fn fresh(rng: &mut ChaCha8Rng) -> Key {
    let mut key = [0; KEY_BYTES];
    rng.fill_bytes(&mut key);
    key
}

fn pick(rng: &mut ChaCha8Rng, keys: &[Key]) -> Key {
    keys[rng.random_range(0..keys.len())]
}

fn commit(rng: &mut ChaCha8Rng, live: &mut Vec<Key>, version: u32) -> BlockCommit {
    let found = READS_OF_COMMIT * HITS_OF_TEN / 10;
    let reads = (0..READS_OF_COMMIT).map(|at| {
        if at < found {
            pick(rng, live)
        } else {
            fresh(rng)
        }
    });
    let reads = reads.collect();
    let mut writes = Vec::with_capacity(BATCH_OPS);
    for at in 0..OVERWRITES_OF_COMMIT {
        writes.push(Write::Put(pick(rng, live), version));
        if at < DELETES_OF_COMMIT {
            let gone = rng.random_range(0..live.len());
            writes.push(Write::Delete(live.swap_remove(gone)));
        }
        if at < INSERTS_OF_COMMIT {
            live.push(fresh(rng));
            writes.push(Write::Put(live[live.len() - 1], version));
        }
    }
    BlockCommit {
        reads,
        found,
        writes,
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let bytes = Bytes::new(&mut rng);
        let keys: Vec<Key> = (0..sizes.keys).map(|_| fresh(&mut rng)).collect();
        let hits = (0..sizes.reads).map(|_| pick(&mut rng, &keys)).collect();
        let misses = (0..sizes.reads).map(|_| fresh(&mut rng)).collect();
        let mut live = keys.clone();
        let commits = (1..)
            .take(sizes.commits)
            .map(|version| commit(&mut rng, &mut live, version))
            .collect();
        let blocks = sizes.blocks as u64;
        let heights = (0..sizes.block_reads)
            .map(|_| rng.random_range(0..blocks))
            .collect();
        Self {
            sizes,
            bytes,
            keys,
            hits,
            misses,
            commits,
            heights,
            rows_after: live.len(),
        }
    }

    /// What a correct store holds after the load and all commits: the version of every key.
    #[must_use]
    pub fn model(&self) -> BTreeMap<Key, u32> {
        let mut rows: BTreeMap<Key, u32> = self.keys.iter().map(|key| (*key, 0)).collect();
        for write in self.commits.iter().flat_map(|commit| &commit.writes) {
            match *write {
                Write::Put(key, version) => rows.insert(key, version),
                Write::Delete(key) => rows.remove(&key),
            };
        }
        rows
    }
}

/// Bytes of keys and values of so many rows.
#[must_use]
pub const fn payload_bytes(rows: usize) -> u64 {
    (rows * (KEY_BYTES + VALUE_BYTES)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed() {
        let [one, same, other] = [7, 7, 8].map(|seed| Plan::new(seed, Sizes::smoke()));
        assert_eq!((&one.keys, &one.hits), (&same.keys, &same.hits));
        assert_eq!(one.model(), same.model());
        assert_ne!(one.keys, other.keys);
        assert_eq!(one.bytes.pool, same.bytes.pool);
    }

    #[test]
    fn commits_have_the_stated_mix() {
        let plan = Plan::new(3, Sizes::smoke());
        let mut rows: BTreeMap<Key, u32> = plan.keys.iter().map(|key| (*key, 0)).collect();
        for commit in &plan.commits {
            assert_eq!(commit.reads.len() + commit.writes.len(), BATCH_OPS);
            let found = commit.reads.iter().filter(|key| rows.contains_key(*key));
            assert_eq!((found.count(), commit.reads.len()), (70, 100));
            let [mut inserts, mut overwrites, mut deletes] = [0; 3];
            for write in &commit.writes {
                match *write {
                    Write::Put(key, version) if rows.insert(key, version).is_some() => {
                        overwrites += 1;
                    }
                    Write::Put(..) => inserts += 1,
                    Write::Delete(key) => {
                        assert!(rows.remove(&key).is_some(), "a delete must find its key");
                        deletes += 1;
                    }
                }
            }
            assert_eq!((inserts, overwrites, deletes), (300, 500, 100));
        }
        assert_eq!(rows, plan.model());
        assert_eq!(rows.len(), plan.rows_after);
    }

    #[test]
    fn versions_have_values_of_their_own() {
        let plan = Plan::new(3, Sizes::smoke());
        let key = &plan.keys[0];
        assert_ne!(plan.bytes.value(key, 0), plan.bytes.value(key, 1));
        assert_eq!(plan.bytes.value(key, 9).len(), VALUE_BYTES);
        assert_eq!(plan.bytes.body(u64::MAX).len(), BODY_BYTES);
        assert_eq!(payload_bytes(2), 364);
    }
}
