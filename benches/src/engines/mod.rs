//! Engines side by side: every compiled engine goes through the same life of a store, one after the
//! other in each round, beginning with another one each time.
//!
//! Invariants: a round gives every engine the same [`Plan`] and a new directory; everything is
//! asked through [`AnyStore`], as a node does; reads come after closing, reopening and one warming
//! scan, so that a log-structured engine answers from files and every cache is as warm as the next;
//! a store that forgets on exit is measured and never ranked.

pub mod chain;
mod rows;
pub mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use storage_api::blocks::KvBlocks;
use storage_api::{Durability, Effective, KvStore, Schema, TableDef, TableId};

use crate::figures::{Lap, Ranked, Summary, percentile};
use crate::workload::{Key, Plan, Sizes, payload_bytes};

pub use rows::Row;

/// Memory that every engine may use for caches and buffers, in bytes; LMDB has none of its own.
pub const MEMORY_BUDGET_BYTES: u64 = 512 << 20;

/// The seed of the first round; each further round takes the next one.
pub const SEED: u64 = 0x0063_6861_696e;

const ACCOUNTS: TableDef = TableDef::new("accounts");

/// Whether a run also compares everything stored with the model, outside the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checking {
    /// Counts only.
    Counts,
    /// Every row and every body.
    Contents,
}

/// One engine and what was measured of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The engine.
    pub engine: EngineName,
    /// Whether its contents outlive the process, so that it is ranked.
    pub persistent: bool,
    /// What a commit that asked for `Buffered` was.
    pub buffered: Effective,
    wall: BTreeMap<Row, Vec<f64>>,
    cpu: BTreeMap<Row, Vec<f64>>,
    commit_seconds: Vec<f64>,
}

impl Subject {
    fn new(engine: EngineName) -> Self {
        Self {
            engine,
            persistent: false,
            buffered: Effective::Process,
            wall: BTreeMap::new(),
            cpu: BTreeMap::new(),
            commit_seconds: Vec::new(),
        }
    }

    fn note(&mut self, row: Row, figure: f64) {
        self.wall.entry(row).or_default().push(figure);
    }

    fn time(&mut self, row: Row, operations: usize, lap: Lap) {
        let (wall, cpu) = lap.per(operations);
        self.note(row, wall);
        self.cpu.entry(row).or_default().push(cpu);
    }

    /// The samples of a row, one a round; empty when it was not measured.
    #[must_use]
    pub fn samples(&self, row: Row) -> &[f64] {
        self.wall.get(&row).map_or(&[], Vec::as_slice)
    }

    /// The figure of a row: seconds of one operation, or bytes for a byte.
    #[must_use]
    pub fn figure(&self, row: Row) -> Option<Summary> {
        Summary::of(self.samples(row))
    }

    /// Processor seconds of one operation.
    #[must_use]
    pub fn processor(&self, row: Row) -> Option<Summary> {
        Summary::of(self.cpu.get(&row)?)
    }
}

/// The ranking of a row: among stores that outlive the process, or among all when there is no such.
#[must_use]
pub fn rank(subjects: &[Subject], row: Row) -> Ranked {
    let alone = subjects.iter().all(|subject| !subject.persistent);
    let figures: Vec<Summary> = subjects
        .iter()
        .filter(|subject| subject.persistent || alone)
        .filter_map(|subject| subject.figure(row))
        .collect();
    Ranked::new(&figures)
}

/// Measures these engines in stores below `dir` and tells `progress` what comes next.
///
/// # Errors
/// Of a store; an answer that is not the plan's, with the engine and the round.
pub fn run(
    engines: &[EngineName],
    sizes: Sizes,
    checking: Checking,
    dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Subject>> {
    let mut subjects: Vec<Subject> = engines.iter().copied().map(Subject::new).collect();
    for round in 0..sizes.rounds {
        let seed = SEED + round as u64;
        let plan = Plan::new(seed, sizes);
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let subject = &mut subjects[at];
            let engine = subject.engine;
            progress(&format!(
                "round {} of {}: {engine}",
                round + 1,
                sizes.rounds
            ));
            live(subject, &plan, checking, dir)
                .with_context(|| format!("{engine}, round {}, seed {seed}", round + 1))?;
        }
    }
    for subject in &mut subjects {
        if let Some(slow) = percentile(&subject.commit_seconds, 99) {
            subject.note(Row::CommitSlow, slow);
        }
    }
    Ok(subjects)
}

/// One store's life in a directory of its own.
fn live(subject: &mut Subject, plan: &Plan, checking: Checking, dir: &Path) -> Result<()> {
    let dir = tempfile::Builder::new()
        .prefix("engines-")
        .tempdir_in(dir)?;
    let site = Site::new(subject.engine, &dir.path().join("state"), &[ACCOUNTS])?;
    let store = site.open()?;
    subject.persistent = store.capabilities().persistent;
    let table = store.catalogue().id(ACCOUNTS.name())?;
    load(subject, &store, table, plan)?;
    let store = site.reopened(subject, store)?;
    reads(subject, &store, table, plan)?;
    commits(subject, &store, table, plan)?;
    if checking == Checking::Contents {
        work::verify(&store, table, plan)?;
    }
    compact(subject, &store, table, plan)?;
    if checking == Checking::Contents {
        work::verify(&store, table, plan)?;
    }
    drop(store);
    let site = Site::new(subject.engine, &dir.path().join("chain"), &KvBlocks::TABLES)?;
    blocks(subject, &Arc::new(site.open()?), plan, checking)
}

/// Where a store is and how it is opened.
pub(crate) struct Site {
    url: StoreUrl,
    opener: Opener,
}

impl Site {
    pub(crate) fn new(engine: EngineName, path: &Path, tables: &[TableDef]) -> Result<Self> {
        let url = match engine {
            EngineName::Mem => StoreUrl::Memory,
            engine => StoreUrl::Engine(engine, path.to_path_buf()),
        };
        let mut opener = Opener {
            schema: Schema::new(tables)?,
            ..Opener::default()
        };
        opener.options.memory_budget_bytes = Some(MEMORY_BUDGET_BYTES);
        Ok(Self { url, opener })
    }

    /// A site for the table of accounts.
    pub(crate) fn of_accounts(engine: EngineName, path: &Path) -> Result<Self> {
        Self::new(engine, path, &[ACCOUNTS])
    }

    pub(crate) fn open(&self) -> Result<AnyStore> {
        Ok(self.opener.open(&self.url)?.0)
    }

    /// Closes the store and opens it again, if that gives the same contents back.
    fn reopened(&self, subject: &mut Subject, store: AnyStore) -> Result<AnyStore> {
        if !subject.persistent {
            return Ok(store);
        }
        let (store, lap) = crate::figures::timed(|| {
            drop(store);
            self.open()
        })?;
        subject.time(Row::Reopen, 1, lap);
        Ok(store)
    }
}

fn load(subject: &mut Subject, store: &AnyStore, table: TableId, plan: &Plan) -> Result<()> {
    let (buffered, lap) = work::load(store, table, plan, Durability::Buffered)?;
    subject.buffered = buffered;
    subject.time(Row::Load, plan.keys.len(), lap);
    if subject.persistent {
        let ((), lap) = crate::figures::timed(|| Ok(store.sync()?))?;
        subject.time(Row::LoadSync, 1, lap);
    }
    let view = store.begin_read()?;
    let lap = work::gets(&view, table, &plan.hits, plan.hits.len())?;
    subject.time(Row::GetFresh, plan.hits.len(), lap);
    Ok(())
}

fn reads(subject: &mut Subject, store: &AnyStore, table: TableId, plan: &Plan) -> Result<()> {
    let rows = plan.keys.len();
    let (hits, misses) = (&plan.hits, &plan.misses);
    warm(store, table, &plan.keys)?;
    {
        // A view of its own: what the warming one pinned may have been compacted meanwhile.
        let view = store.begin_read()?;
        subject.time(
            Row::GetHit,
            hits.len(),
            work::gets(&view, table, hits, hits.len())?,
        );
        subject.time(
            Row::GetMiss,
            misses.len(),
            work::gets(&view, table, misses, 0)?,
        );
        let starts = &hits[..plan.sizes.ranges.min(hits.len())];
        subject.time(
            Row::Range,
            starts.len(),
            work::ranges(&view, table, starts)?,
        );
        for _ in 0..plan.sizes.scans {
            subject.time(Row::Scan, rows, work::scan(&view, table, rows)?);
        }
    }
    let lap = work::gets_of_two(store, table, hits, hits.len())?;
    subject.time(Row::GetHitTwo, hits.len() * 2, lap);
    let lap = work::gets_of_two(store, table, misses, 0)?;
    subject.time(Row::GetMissTwo, misses.len() * 2, lap);
    let views = plan.sizes.snapshots;
    subject.time(Row::Snapshot, views, work::snapshots(store, views)?);
    // Last, when background work that reopening set off is done.
    note_disk(subject, Row::DiskLoaded, store, rows)
}

/// Fills the caches, and gives background work that reopening set off the time to end.
pub(crate) fn warm(store: &AnyStore, table: TableId, keys: &[Key]) -> Result<()> {
    let view = store.begin_read()?;
    work::scan(&view, table, keys.len())?;
    work::gets(&view, table, keys, keys.len())?;
    Ok(())
}

fn commits(subject: &mut Subject, store: &AnyStore, table: TableId, plan: &Plan) -> Result<()> {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for commit in &plan.commits {
        let lap = work::block_commit(store, table, plan, commit)?;
        let (seconds, processor) = lap.per(1);
        wall.push(seconds);
        cpu.push(processor);
    }
    if let Some((wall, cpu)) = percentile(&wall, 50).zip(percentile(&cpu, 50)) {
        subject.note(Row::CommitMiddle, wall);
        subject.cpu.entry(Row::CommitMiddle).or_default().push(cpu);
    }
    subject.commit_seconds.extend(wall);
    work::scan(&store.begin_read()?, table, plan.rows_after)?;
    note_disk(subject, Row::DiskUpdated, store, plan.rows_after)
}

fn compact(subject: &mut Subject, store: &AnyStore, table: TableId, plan: &Plan) -> Result<()> {
    let Some(compact) = store.as_compact() else {
        return Ok(());
    };
    compact.compact()?;
    work::scan(&store.begin_read()?, table, plan.rows_after)?;
    note_disk(subject, Row::DiskCompacted, store, plan.rows_after)
}

fn note_disk(subject: &mut Subject, row: Row, store: &AnyStore, rows: usize) -> Result<()> {
    if subject.persistent {
        let disk_bytes = store.stats()?.disk_bytes;
        subject.note(row, disk_bytes as f64 / payload_bytes(rows) as f64);
    }
    Ok(())
}

fn blocks(
    subject: &mut Subject,
    store: &Arc<AnyStore>,
    plan: &Plan,
    checking: Checking,
) -> Result<()> {
    let lap = chain::append(store, plan)?;
    subject.time(Row::BlockAppend, plan.sizes.blocks, lap);
    // The first pass fills the caches.
    chain::read(store, plan)?;
    subject.time(
        Row::BlockRead,
        plan.heights.len(),
        chain::read(store, plan)?,
    );
    match checking {
        Checking::Counts => Ok(()),
        Checking::Contents => chain::verify(store, plan),
    }
}
