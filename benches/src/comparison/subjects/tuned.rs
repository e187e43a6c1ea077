//! The engines used raw with one tuning at a time left out or taken from another side, so that what
//! each is worth shows beside the engine as we use it.
//!
//! Invariants: the first store of an engine is the raw one of the comparison, which has the tunings
//! of ours; every other differs from it in one thing. What RocksDB offers that breaks the atomicity
//! of a batch or a durable commit is not here.

use crate::comparison::contestant::Maker;

/// A store with one tuning turned.
#[derive(Clone, Copy, Debug)]
pub struct Tuned {
    /// The engine.
    pub engine: &'static str,
    /// What is turned; empty for the engine as we use it.
    pub turned: &'static str,
    /// Why ours has it otherwise, or what ours does instead.
    pub why_not: &'static str,
    /// How it is made.
    pub make: Maker,
}

impl Tuned {
    /// The name among all of them.
    #[must_use]
    pub fn name(&self) -> String {
        match self.turned {
            "" => self.engine.to_owned(),
            turned => format!("{}: {turned}", self.engine),
        }
    }
}

/// What is turned, why ours has it otherwise, how it is made.
type Turn = (&'static str, &'static str, Maker);

#[cfg(feature = "rocks")]
const ROCKS: &[Turn] = &[
    ("", "", super::rocks::make),
    ("no filters", "misses pay for it", |dir, bytes| {
        super::rocks::make_with(dir, bytes, super::rocks::Tuning::NoFilter)
    }),
    (
        "blocks of 4 KiB",
        "scans and the index pay for it; tables with the hint `PointLookups` have it",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::SmallBlocks),
    ),
    (
        "hash index in blocks",
        "no gain that repeats",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::HashIndex),
    ),
    (
        "no compression",
        "state of chains compresses; hashes are stored as they are either way",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::Uncompressed),
    ),
    (
        "LRU cache",
        "its lock is shared by all readers",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::LruCache),
    ),
    (
        "checksums not verified",
        "damage must not be read",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::Unverified),
    ),
    (
        "an iterator for each range",
        "views keep theirs",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::IteratorPerRange),
    ),
    ("values copied", "values are pinned", |dir, bytes| {
        super::rocks::make_with(dir, bytes, super::rocks::Tuning::CopiedValues)
    }),
    (
        "load by sorted batches",
        "table files are ingested",
        |dir, bytes| super::rocks::make_with(dir, bytes, super::rocks::Tuning::LoadByBatches),
    ),
];

#[cfg(feature = "lmdb")]
const LMDB: &[Turn] = &[
    ("", "", super::lmdb::make),
    (
        "a transaction for each read",
        "views keep theirs",
        |dir, _| super::lmdb::make_with(dir, super::lmdb::Tuning::TxnPerRead),
    ),
    ("load by sorted puts", "rows are appended", |dir, _| {
        super::lmdb::make_with(dir, super::lmdb::Tuning::SortedPuts)
    }),
    (
        "load by puts as they come",
        "rows are sorted first",
        |dir, _| super::lmdb::make_with(dir, super::lmdb::Tuning::PutsAsTheyCome),
    ),
];

#[cfg(feature = "redb")]
const REDB: &[Turn] = &[
    ("", "", super::redb::make),
    (
        "a table opened for each read",
        "views keep theirs",
        |dir, bytes| super::redb::make_with(dir, bytes, super::redb::Tuning::TablePerRead),
    ),
    (
        "load by sorted inserts",
        "a cursor inserts",
        |dir, bytes| super::redb::make_with(dir, bytes, super::redb::Tuning::SortedInserts),
    ),
    (
        "load by inserts as they come",
        "rows are sorted first",
        |dir, bytes| super::redb::make_with(dir, bytes, super::redb::Tuning::InsertsAsTheyCome),
    ),
    (
        "no quick repair",
        "opening after a crash would walk every page; an option has it",
        |dir, bytes| super::redb::make_with(dir, bytes, super::redb::Tuning::NoQuickRepair),
    ),
    (
        "one sync in a commit",
        "a torn commit would be told by its checksum alone; an option has it",
        |dir, bytes| super::redb::make_with(dir, bytes, super::redb::Tuning::OnePhase),
    ),
];

/// The engines and their turns.
const ENGINES: &[(&str, &[Turn])] = &[
    #[cfg(feature = "rocks")]
    ("rocks", ROCKS),
    #[cfg(feature = "lmdb")]
    ("lmdb", LMDB),
    #[cfg(feature = "redb")]
    ("redb", REDB),
];

/// Every store of this build, the engine as we use it before its turns.
#[must_use]
pub fn tuned() -> Vec<Tuned> {
    let engines = ENGINES.iter();
    let all = engines.flat_map(|(engine, turns)| turns.iter().map(|turn| (*engine, *turn)));
    all.map(|(engine, (turned, why_not, make))| Tuned {
        engine,
        turned,
        why_not,
        make,
    })
    .collect()
}
