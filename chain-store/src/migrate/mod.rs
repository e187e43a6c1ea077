//! Migration: a store moved to another engine, and proved to be the same.
//!
//! One view of the source is read table by table and loaded into the target in chunks of ascending
//! keys, each one commit by the bulk lane. Tables keep their numbers, settings and hints, the store
//! keeps its chain, commits go on from the source's number. At the end both sides are read again
//! and their content digests compared; only then is the target a store. Bodies in segment files are
//! copied file by file, compared byte by byte, and held against the target's index (`segments`).
//!
//! Invariants: the source is opened read-only and not changed; a target that is not empty is
//! refused and not touched, unless it is an unfinished copy of the same state of the same source,
//! which is gone on with behind the last row of each table; until the digests agree the target says
//! that it is unfinished and no ordinary opening takes it for a store; an interruption leaves whole
//! chunks. Cost: memory for the loader's buffers; the source is read twice, the target once.

mod error;
mod segments;

use std::fs;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_kit::directory::{self, FillSource};
use backend_kit::{FillPlan, Filled};
use storage_api::{
    BulkLoad, BulkOptions, Count, Cursor, KeyRange, KvStore, OpenOptions, ReadTxn, Reader, Result,
    TableId, TableInfo,
};

use crate::any::{AnyReadTxn, AnyStore, EngineName, EngineOptions, Opener, StoreUrl};
use crate::digest::ContentDigest;

pub use error::MigrateError;

/// Bytes of rows after which a chunk is committed.
const CHUNK_BYTES_DEFAULT: u64 = 256 << 20;

/// Rows between two looks at whether to go on.
const ROWS_BETWEEN_LOOKS: u64 = 8_192;

/// What a migration is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Copying the rows of this table.
    Copy(String),
    /// Reading the source again for its digest.
    DigestSource,
    /// Reading the target for its digest.
    DigestTarget,
    /// Copying the segment files with the bodies of blocks.
    CopySegments,
    /// Comparing both sides' segment files, and the target's with its index.
    CheckSegments,
}

/// How far a migration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub step: Step,
    /// Rows done of this step; rows that were there before a resumption count.
    pub rows: u64,
    /// Rows of the whole store, as the source knows or estimates.
    pub rows_total: u64,
    /// Bytes of keys and values copied in this run.
    pub bytes: u64,
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Tables.
    pub tables: usize,
    /// Rows of the target.
    pub rows: u64,
    /// Rows copied in this run; fewer than `rows` after a resumption.
    pub copied_rows: u64,
    /// Bytes of keys and values copied in this run.
    pub copied_bytes: u64,
    /// The digest that both sides have.
    pub digest: ContentDigest,
    /// Whether an unfinished copy was gone on with.
    pub is_resumed: bool,
    /// Time it took.
    pub took: Duration,
}

/// A migration to be run.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The store to be moved.
    pub from: StoreUrl,
    /// Where it goes: an engine and a directory that does not exist, is empty, or holds the same
    /// migration unfinished.
    pub to: StoreUrl,
    /// Memory for caches and buffers of each side, in bytes.
    pub memory_budget_bytes: Option<u64>,
    /// What only one engine knows.
    pub engines: EngineOptions,
    /// Bytes of rows after which a chunk is committed, 1 MiB at least: what an interruption
    /// repeats.
    pub chunk_bytes: u64,
}

impl Migration {
    /// A migration with what suits most stores.
    #[must_use]
    pub fn new(from: StoreUrl, to: StoreUrl) -> Self {
        Self {
            from,
            to,
            memory_budget_bytes: None,
            engines: EngineOptions::default(),
            chunk_bytes: CHUNK_BYTES_DEFAULT,
        }
    }

    /// Runs it, or goes on with it. `go_on` is told how far it is, and breaks to end between two
    /// chunks.
    ///
    /// # Errors
    /// [`MigrateError`]; after `Interrupted` and after failures of the system the same migration
    /// can be run again.
    pub fn run(
        &self,
        go_on: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Migrated, MigrateError> {
        let span = tracing::info_span!("migrate", from = %self.from, to = %self.to);
        let _in_span = span.enter();
        let began = Instant::now();
        let (engine, path) = self.target()?;
        let source = self.open_source()?;
        let view = source.begin_read().map_err(MigrateError::Source)?;
        let plan = self.plan(&source, &view)?;
        let (target, filled) = self
            .opener(OpenOptions::new())
            .open_to_fill(engine, path, &plan)
            .map_err(MigrateError::Target)?;
        let target = Arc::new(target);
        let rows_total = rows_of(&view, &plan.tables).map_err(MigrateError::Source)?;
        let mut run = Run {
            view: &view,
            target: &target,
            chunk_bytes: self.chunk_bytes.max(1 << 20),
            go_on,
            progress: Progress {
                step: Step::DigestSource,
                rows: 0,
                rows_total,
                bytes: 0,
            },
            copied_rows: 0,
        };
        for table in &plan.tables {
            run.copy(table)?;
        }
        let (copied_rows, copied_bytes) = (run.copied_rows, run.progress.bytes);
        run.copy_segments(&source)?;
        let digest = run.prove(&source)?;
        let rows = run.progress.rows;
        run.prove_segments(&source)?;
        target.finish_filling().map_err(MigrateError::Target)?;
        let migrated = Migrated {
            tables: plan.tables.len(),
            rows,
            copied_rows,
            copied_bytes,
            digest,
            is_resumed: filled == Filled::Before,
            took: began.elapsed(),
        };
        tracing::info!(
            rows,
            copied_rows,
            copied_bytes,
            digest = %digest,
            took_seconds = migrated.took.as_secs_f64(),
            "migrated"
        );
        Ok(migrated)
    }

    fn opener(&self, options: OpenOptions) -> Opener {
        let mut opener = Opener {
            options,
            engines: self.engines.clone(),
            ..Opener::default()
        };
        opener.options.memory_budget_bytes = self.memory_budget_bytes;
        opener
    }

    /// The engine and the directory of the target.
    fn target(&self) -> Result<(EngineName, &Path), MigrateError> {
        let (engine, path) = match &self.to {
            StoreUrl::Engine(engine, path) if *engine != EngineName::Mem => (*engine, path),
            _ => return Err(MigrateError::NoTarget(self.to.clone())),
        };
        let (StoreUrl::Engine(_, from) | StoreUrl::Path(from)) = &self.from else {
            return Err(MigrateError::NoSource(self.from.clone()));
        };
        let (from_place, to_place) = (resolved(from), resolved(path));
        if from_place.starts_with(&to_place) || to_place.starts_with(&from_place) {
            return Err(MigrateError::SamePlace {
                from: from.clone(),
                to: path.clone(),
            });
        }
        Ok((engine, path))
    }

    fn open_source(&self) -> Result<Arc<AnyStore>, MigrateError> {
        let opened = self.opener(OpenOptions::read_only()).open(&self.from);
        Ok(Arc::new(opened.map_err(MigrateError::Source)?.0))
    }

    fn plan(&self, source: &AnyStore, view: &AnyReadTxn) -> Result<FillPlan, MigrateError> {
        let (StoreUrl::Engine(_, path) | StoreUrl::Path(path)) = &self.from else {
            return Err(MigrateError::NoSource(self.from.clone()));
        };
        let marker = directory::read_marker(path)
            .map_err(MigrateError::Source)?
            .ok_or_else(|| MigrateError::NoSource(self.from.clone()))?;
        let mut tables: Vec<TableInfo> = source.catalogue().iter().cloned().collect();
        tables.sort_by_key(|table| table.id.get());
        Ok(FillPlan {
            source: FillSource {
                store_id: marker.store_id,
                commit: view.commit_seq().map_err(MigrateError::Source)?,
            },
            tables,
            next_table: marker.next_table,
            chain_id: marker.chain_id,
        })
    }
}

/// The place that a path names, without links and dots, also where it is not there yet: what is
/// missing of it would be made as directories. Cost: a look at each part that is not there.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut there = absolute.as_path();
    loop {
        match fs::canonicalize(there) {
            Ok(found) => {
                return missing.iter().rev().fold(found, |mut path: PathBuf, part| {
                    match part {
                        Component::ParentDir => {
                            path.pop();
                        }
                        part => path.push(part),
                    }
                    path
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(parent), Some(part)) = (there.parent(), there.components().next_back())
                else {
                    return absolute;
                };
                missing.push(part);
                there = parent;
            }
            Err(_) => return absolute,
        }
    }
}

fn rows_of(view: &AnyReadTxn, tables: &[TableInfo]) -> Result<u64> {
    tables
        .iter()
        .map(|table| view.count(table.id).map(Count::get))
        .sum()
}

/// Begins a load of a table.
fn begin(target: &AnyStore, table: TableId) -> Result<Box<dyn BulkLoad + '_>> {
    let bulk = target
        .as_bulk()
        .ok_or_else(|| storage_api::Error::unsupported("bulk"))?;
    bulk.begin_bulk(table, &BulkOptions::default())
}

/// A migration under way.
struct Run<'m> {
    view: &'m AnyReadTxn,
    target: &'m Arc<AnyStore>,
    chunk_bytes: u64,
    go_on: &'m mut dyn FnMut(&Progress) -> ControlFlow<()>,
    progress: Progress,
    copied_rows: u64,
}

impl Run<'_> {
    fn tell(&mut self) -> ControlFlow<()> {
        (self.go_on)(&self.progress)
    }

    /// Copies what the target does not have of a table.
    fn copy(&mut self, table: &TableInfo) -> Result<(), MigrateError> {
        self.progress.step = Step::Copy(table.def.name().to_owned());
        let last = self.last_key(table.id).map_err(MigrateError::Target)?;
        let range = match &last {
            None => KeyRange::all(),
            Some(last) => {
                let there = self
                    .target
                    .begin_read()
                    .and_then(|view| storage_api::ReaderExt::count_exact(&view, table.id));
                self.progress.rows += there.map_err(MigrateError::Target)?;
                KeyRange::new(Bound::Excluded(&last[..]), Bound::Unbounded)
            }
        };
        let mut cursor = self
            .view
            .cursor(table.id, range)
            .map_err(MigrateError::Source)?;
        loop {
            if self.tell().is_break() {
                return Err(MigrateError::Interrupted {
                    rows: self.progress.rows,
                });
            }
            if !self.copy_chunk(table.id, &mut cursor)? {
                return Ok(());
            }
        }
    }

    fn last_key(&self, table: TableId) -> Result<Option<Vec<u8>>> {
        let view = self.target.begin_read()?;
        let mut cursor = view.cursor(table, KeyRange::all())?;
        Ok(cursor.last()?.map(|row| row.key.to_vec()))
    }

    /// Copies one chunk; false at the end of the table.
    fn copy_chunk(
        &mut self,
        table: TableId,
        cursor: &mut impl Cursor,
    ) -> Result<bool, MigrateError> {
        let target: &AnyStore = self.target;
        let mut load: Option<Box<dyn BulkLoad + '_>> = None;
        let (mut rows, mut bytes, mut told_rows) = (0u64, 0u64, 0u64);
        let is_more = loop {
            let Some(row) = cursor.next().map_err(MigrateError::Source)? else {
                break false;
            };
            let load = match &mut load {
                Some(load) => load,
                none => none.insert(begin(target, table).map_err(MigrateError::Target)?),
            };
            load.put(row.key, row.value).map_err(MigrateError::Target)?;
            rows += 1;
            bytes += (row.key.len() + row.value.len()) as u64;
            if bytes >= self.chunk_bytes {
                break true;
            }
            if rows.is_multiple_of(ROWS_BETWEEN_LOOKS) {
                self.progress.rows += rows - told_rows;
                told_rows = rows;
                // What is under way is finished all the same.
                let _asked = (self.go_on)(&self.progress);
            }
        };
        if let Some(load) = load {
            load.finish().map_err(MigrateError::Target)?;
        }
        self.progress.rows += rows - told_rows;
        self.progress.bytes += bytes;
        self.copied_rows += rows;
        Ok(is_more)
    }

    /// Reads both sides and compares what they hold.
    fn prove(&mut self, source: &AnyStore) -> Result<ContentDigest, MigrateError> {
        self.progress.step = Step::DigestSource;
        let (source_digest, source_rows) = self
            .digest(self.view, source)
            .map_err(MigrateError::Source)?;
        self.progress.step = Step::DigestTarget;
        let target = self.target;
        let view = target.begin_read().map_err(MigrateError::Target)?;
        let (target_digest, target_rows) =
            self.digest(&view, target).map_err(MigrateError::Target)?;
        if source_digest != target_digest {
            return Err(MigrateError::Differs {
                source_digest,
                source_rows,
                target_digest,
                target_rows,
            });
        }
        Ok(target_digest)
    }

    fn digest(&mut self, view: &AnyReadTxn, store: &AnyStore) -> Result<(ContentDigest, u64)> {
        self.progress.rows = 0;
        let digest = ContentDigest::compute(view, store.catalogue(), &mut |rows| {
            self.progress.rows = rows;
            let _asked = (self.go_on)(&self.progress);
        })?;
        Ok((digest, self.progress.rows))
    }
}
