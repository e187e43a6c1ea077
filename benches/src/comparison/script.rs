//! The work of one round: rows, reads and changes, made from a seed before any clock runs.
//!
//! Invariants: one seed and one [`Amounts`] give one [`Script`], in every process; values do not
//! compress; a change of a block is an overwrite (half), an insert (four of ten) or a delete (one
//! of ten); a delete finds its row; no key is deleted and used again.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::workload::{Bytes, Key, Plan, Sizes};

/// Changes of one commit.
pub const CHANGES_OF_COMMIT: usize = 1000;

/// Rows of one short range.
pub const RANGE_ROWS: usize = 10;

/// How much of everything one round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Rows loaded.
    pub rows: usize,
    /// Gets of each kind, and of each thread.
    pub gets: usize,
    /// Short ranges.
    pub ranges: usize,
    /// Full scans.
    pub scans: usize,
    /// Block commits of each durability.
    pub blocks: usize,
    /// Commits of overwrites, and as many of deletes.
    pub updates: usize,
}

impl Amounts {
    /// A run that measures.
    #[must_use]
    pub fn measuring(rows: usize) -> Self {
        let rows = rows.max(20 * CHANGES_OF_COMMIT);
        Self {
            rows,
            gets: rows.min(200_000),
            ranges: rows.min(50_000),
            scans: (1_000_000 / rows).clamp(1, 10),
            blocks: 40,
            updates: (rows / CHANGES_OF_COMMIT / 10).min(100),
        }
    }

    /// A run that only shows that everything works.
    #[must_use]
    pub const fn smoke() -> Self {
        Self {
            rows: 4_000,
            gets: 500,
            ranges: 50,
            scans: 1,
            blocks: 1,
            updates: 1,
        }
    }
}

/// One change of a row; the number is the version of the value, 0 being the load's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Put(Key, u32),
    Delete(Key),
}

/// The work of one round.
#[derive(Clone, Debug)]
pub struct Script {
    /// How much of everything.
    pub amounts: Amounts,
    bytes: Bytes,
    keys: Vec<Key>,
    /// Keys that are there until the first block, drawn with repetition.
    pub hits: Vec<Key>,
    /// Keys that are never there.
    pub misses: Vec<Key>,
    durable: Vec<Vec<Change>>,
    buffered: Vec<Vec<Change>>,
    overwrites: Vec<Vec<Change>>,
    deletes: Vec<Vec<Change>>,
}

/// Changes of one commit, with their values.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'s> {
    bytes: &'s Bytes,
    changes: &'s [Change],
}

impl<'s> Changes<'s> {
    /// The changes in order: a key with its new value, or with none when it is deleted.
    pub fn iter(self) -> impl Iterator<Item = (&'s Key, Option<&'s [u8]>)> {
        self.changes.iter().map(move |change| match change {
            Change::Put(key, version) => (key, Some(self.bytes.value(key, *version))),
            Change::Delete(key) => (key, None),
        })
    }

    /// How many they are.
    #[must_use]
    pub fn len(self) -> usize {
        self.changes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.changes.is_empty()
    }
}

fn blocks(rng: &mut ChaCha8Rng, live: &mut Vec<Key>, from: u32, count: usize) -> Vec<Vec<Change>> {
    let block = |version| {
        let mut changes = Vec::with_capacity(CHANGES_OF_COMMIT);
        while changes.len() < CHANGES_OF_COMMIT {
            changes.push(match changes.len() % 10 {
                0 => Change::Delete(live.swap_remove(rng.random_range(0..live.len()))),
                1..=4 => {
                    let key = rng.random();
                    live.push(key);
                    Change::Put(key, version)
                }
                _ => Change::Put(live[rng.random_range(0..live.len())], version),
            });
        }
        changes
    };
    (from..).take(count).map(block).collect()
}

impl Script {
    /// The script of a seed.
    #[must_use]
    pub fn new(seed: u64, amounts: Amounts) -> Self {
        let sizes = Sizes::of_reads(amounts.rows, amounts.gets);
        let plan = Plan::new(seed, sizes);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x006c_6966_6500);
        let mut live = plan.keys.clone();
        let durable = blocks(&mut rng, &mut live, 1, amounts.blocks);
        let buffered = blocks(&mut rng, &mut live, 1_000, amounts.blocks);
        let picked = |rng: &mut ChaCha8Rng, live: &[Key], version| {
            let pick = || Change::Put(live[rng.random_range(0..live.len())], version);
            std::iter::repeat_with(pick)
                .take(CHANGES_OF_COMMIT)
                .collect()
        };
        let overwrites = (10_000..)
            .take(amounts.updates)
            .map(|version| picked(&mut rng, &live, version))
            .collect();
        let mut gone = || {
            let rows = live.len();
            (rows > 0).then(|| Change::Delete(live.swap_remove(rng.random_range(0..rows))))
        };
        let deletes = (0..amounts.updates)
            .map(|_| (0..CHANGES_OF_COMMIT).map_while(|_| gone()).collect())
            .collect();
        Self {
            amounts,
            bytes: plan.bytes,
            keys: plan.keys,
            hits: plan.hits,
            misses: plan.misses,
            durable,
            buffered,
            overwrites,
            deletes,
        }
    }

    /// The same script whose rows come by ascending key.
    #[must_use]
    pub fn ascending(mut self) -> Self {
        self.keys.sort_unstable();
        self
    }

    /// The rows of the load, in random order unless the script is [`Script::ascending`], each key
    /// once.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        let value = |key| (key, self.bytes.value(key, 0));
        self.keys.iter().map(value)
    }

    /// The rows of the load as changes, so many at once, to be committed one after the other.
    #[must_use]
    pub fn load_in_commits(&self, rows: usize) -> Self {
        let put = |key: &Key| Change::Put(*key, 0);
        let commits = self.keys.chunks(rows.max(1));
        Self {
            durable: commits.map(|keys| keys.iter().map(put).collect()).collect(),
            ..self.clone()
        }
    }

    /// The rows of the load by ascending key, for stores whose loader wants them so. Sorting is
    /// part of the load's time.
    #[must_use]
    pub fn sorted_rows(&self) -> Vec<(&Key, &[u8])> {
        let mut rows: Vec<_> = self.rows().collect();
        if !self.keys.is_sorted() {
            rows.sort_unstable_by_key(|(key, _)| *key);
        }
        rows
    }

    fn changes<'s>(&'s self, commits: &'s [Vec<Change>]) -> impl Iterator<Item = Changes<'s>> {
        let bytes = &self.bytes;
        commits
            .iter()
            .map(move |changes| Changes { bytes, changes })
    }

    /// The blocks that are committed durably.
    pub fn durable_blocks(&self) -> impl Iterator<Item = Changes<'_>> {
        self.changes(&self.durable)
    }

    /// The blocks that are committed so that they outlive the process.
    pub fn buffered_blocks(&self) -> impl Iterator<Item = Changes<'_>> {
        self.changes(&self.buffered)
    }

    /// Overwrites of rows that are there after the blocks.
    pub fn overwrites(&self) -> impl Iterator<Item = Changes<'_>> {
        self.changes(&self.overwrites)
    }

    /// Deletes of rows that are there after the overwrites.
    pub fn deletes(&self) -> impl Iterator<Item = Changes<'_>> {
        self.changes(&self.deletes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_script_follows_from_its_seed() {
        let [one, same, other] = [7, 7, 8].map(|seed| Script::new(seed, Amounts::smoke()));
        assert_eq!((&one.keys, &one.durable), (&same.keys, &same.durable));
        assert_ne!(one.keys, other.keys);
    }

    #[test]
    fn changes_have_the_stated_mix_and_deletes_find_their_rows() {
        let script = Script::new(3, Amounts::smoke());
        let mut rows: BTreeMap<&Key, &[u8]> = script.rows().collect();
        assert_eq!(rows.len(), script.amounts.rows);
        let mut mixes = Vec::new();
        let blocks = script.durable_blocks().chain(script.buffered_blocks());
        let updates = script.overwrites().chain(script.deletes());
        for commit in blocks.chain(updates) {
            let [mut inserts, mut overwrites, mut deletes] = [0; 3];
            for (key, value) in commit.iter() {
                match value {
                    Some(value) if rows.insert(key, value).is_some() => overwrites += 1,
                    Some(_) => inserts += 1,
                    None => {
                        assert!(rows.remove(key).is_some(), "a delete must find its row");
                        deletes += 1;
                    }
                }
            }
            mixes.push((inserts, overwrites, deletes));
        }
        let block = (400, 500, 100);
        assert_eq!(mixes, [block, block, (0, 1000, 0), (0, 0, 1000)]);
    }

    #[test]
    fn rows_can_be_had_in_order() {
        let script = Script::new(3, Amounts::smoke());
        assert!(script.sorted_rows().is_sorted_by_key(|(key, _)| *key));
        let sorted = script.sorted_rows();
        let ascending = script.clone().ascending();
        assert!(ascending.rows().eq(sorted));
    }
}
