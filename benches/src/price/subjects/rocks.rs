//! RocksDB used raw: a snapshot, options with it and an iterator, all kept; and, for the naive
//! loop, an iterator for each range.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DBRawIterator, ReadOptions, Snapshot, WriteBatch, WriteOptions,
};

use super::{Subject, expect, look, look_at_row, missing, starts};
use crate::comparison::subjects::rocks_options;
use crate::engines::MEMORY_BUDGET_BYTES;
use crate::price::case::{Block, Operation};
use crate::price::rows::{Rows, Turn};

/// The column family of the rows.
pub(super) const ROWS: &str = "rows";

/// From so many puts on, a batch is sorted first.
pub(super) const SORTED_FROM: usize = 10_000;

/// The whole table in the last level, as [`open`] leaves it.
pub(super) fn settle_options() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
    options
}

/// The column families with their options.
pub(super) fn tables() -> Result<(rocksdb::Options, Vec<ColumnFamilyDescriptor>)> {
    let mut options = rocks_options(usize::try_from(MEMORY_BUDGET_BYTES)?);
    options.create_missing_column_families(true);
    let tables = ["default", "internal", ROWS]
        .map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
    Ok((options, tables.into()))
}

fn open(rows: &Rows, dir: &Path) -> Result<DB> {
    let (options, tables) = tables()?;
    let db = DB::open_cf_descriptors(&options, dir.join("db"), tables)?;
    let table = db.cf_handle(ROWS).context("no table")?;
    let mut batch = WriteBatch::default();
    for (at, key) in rows.keys.iter().enumerate() {
        batch.put_cf(table, key, rows.value(at, 0));
    }
    db.write(batch)?;
    db.flush_cf(table)?;
    let all = (None::<&[u8]>, None::<&[u8]>);
    db.compact_range_cf_opt(table, all.0, all.1, &settle_options());
    Ok(db)
}

/// What a program keeps while it reads.
struct Kept<'d> {
    iterator: DBRawIterator<'d>,
    options: ReadOptions,
    table: &'d ColumnFamily,
    _snapshot: Snapshot<'d>,
}

impl<'d> Kept<'d> {
    fn new(db: &'d DB) -> Self {
        let table = db
            .cf_handle(ROWS)
            .unwrap_or_else(|| unreachable!("made at opening"));
        let snapshot = db.snapshot();
        let with_snapshot = || {
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            options
        };
        Self {
            iterator: db.raw_iterator_cf_opt(table, with_snapshot()),
            options: with_snapshot(),
            table,
            _snapshot: snapshot,
        }
    }
}

self_cell::self_cell!(
    struct Open {
        owner: Arc<DB>,

        #[covariant]
        dependent: Kept,
    }
);

struct Reading {
    open: Open,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Reading {
    fn new(db: Arc<DB>, rows: Arc<Rows>) -> Self {
        Self {
            open: Open::new(db, |db| Kept::new(db)),
            rows,
            turn: Turn::default(),
        }
    }

    fn gets(&mut self, keys: fn(&Rows) -> &[[u8; 32]], times: usize, wanted: usize) -> Result<()> {
        let keys = keys(&self.rows);
        let (db, kept) = (self.open.borrow_owner(), self.open.borrow_dependent());
        let mut found = 0;
        for _ in 0..times {
            let key = &keys[self.turn.next(keys.len())];
            if let Some(value) = db.get_pinned_cf_opt(kept.table, key, &kept.options)? {
                look(&value);
                found += 1;
            }
        }
        expect(found, wanted)
    }

    fn multi_gets(&mut self, at_once: usize, times: usize) -> Result<()> {
        let (db, kept) = (self.open.borrow_owner(), self.open.borrow_dependent());
        for _ in 0..times {
            let places = self.turn.next_many(at_once, self.rows.hits.len());
            let keys = self.rows.hits[places].iter();
            for value in db.batched_multi_get_cf_opt(kept.table, keys, false, &kept.options) {
                look(&value?.context("a row is gone")?);
            }
        }
        Ok(())
    }

    fn seeks(&mut self, times: usize) -> Result<()> {
        let (rows, turn) = (&self.rows, &mut self.turn);
        self.open.with_dependent_mut(|_, kept| {
            for _ in 0..times {
                kept.iterator.seek(rows.hits[turn.next(rows.hits.len())]);
                let (key, value) = kept.iterator.item().context("a row is gone")?;
                look_at_row(key, value);
            }
            Ok(())
        })
    }

    fn ranges(&mut self, most: usize, times: usize) -> Result<()> {
        let (rows, turn) = (&self.rows, &mut self.turn);
        self.open.with_dependent_mut(|_, kept| {
            for _ in 0..times {
                let at = turn.next(starts(rows, most));
                kept.iterator.seek(rows.keys[at]);
                let found = walk(&mut kept.iterator, most)?;
                expect(found, most.min(rows.keys.len()))?;
            }
            Ok(())
        })
    }

    fn scan(&mut self) -> Result<()> {
        let wanted = self.rows.keys.len();
        self.open.with_dependent_mut(|_, kept| {
            kept.iterator.seek_to_first();
            expect(walk(&mut kept.iterator, usize::MAX)?, wanted)
        })
    }

    fn scan_back(&mut self) -> Result<()> {
        let wanted = self.rows.keys.len();
        self.open.with_dependent_mut(|_, kept| {
            kept.iterator.seek_to_last();
            let mut found = 0;
            while let Some((key, value)) = kept.iterator.item() {
                look_at_row(key, value);
                found += 1;
                kept.iterator.prev();
            }
            kept.iterator.status()?;
            expect(found, wanted)
        })
    }
}

/// Rows from where the iterator stands, at most so many.
fn walk(iterator: &mut DBRawIterator<'_>, most: usize) -> Result<usize> {
    let mut found = 0;
    while let Some((key, value)) = iterator.item() {
        look_at_row(key, value);
        found += 1;
        if found == most {
            return Ok(found);
        }
        iterator.next();
    }
    iterator.status()?;
    Ok(found)
}

impl Subject for Reading {
    fn has(&self, operation: Operation) -> bool {
        !operation.writes() && operation != Operation::BeginRead
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        match operation {
            Operation::GetHit | Operation::GetWith => self.gets(|rows| &rows.hits, times, times),
            Operation::GetMiss => self.gets(|rows| &rows.misses, times, 0),
            Operation::Seek => self.seeks(times),
            Operation::ScanForward => (0..times).try_for_each(|_| self.scan()),
            Operation::ScanReverse => (0..times).try_for_each(|_| self.scan_back()),
            operation => match (operation.keys_at_once(), operation.range_rows()) {
                (Some(at_once), _) => self.multi_gets(at_once, times),
                (_, Some(most)) => self.ranges(most, times),
                (None, None) => missing(operation),
            },
        }
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(None)
    }
}

pub(super) struct Raw {
    reading: Reading,
    version: usize,
    db: Arc<DB>,
}

impl Raw {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        let db = Arc::new(open(&rows, dir)?);
        Ok(Self {
            reading: Reading::new(Arc::clone(&db), rows),
            version: 0,
            db,
        })
    }

    fn batch(&mut self, puts: usize) -> Result<()> {
        self.version += 1;
        let Reading { rows, turn, open } = &mut self.reading;
        let table = open.borrow_dependent().table;
        let places = turn.next_many(puts, rows.hits.len());
        let mut batch = WriteBatch::default();
        if puts >= SORTED_FROM {
            let mut places: Vec<usize> = places.collect();
            places.sort_unstable_by_key(|at| &rows.hits[*at]);
            for at in places {
                batch.put_cf(table, rows.hits[at], rows.value(at, self.version));
            }
        } else {
            for at in places {
                batch.put_cf(table, rows.hits[at], rows.value(at, self.version));
            }
        }
        Ok(self.db.write_opt(batch, &WriteOptions::default())?)
    }

    /// Gets from the database and a batch: what a program does that need not see its own writes.
    fn transaction(&mut self, block: Block) -> Result<()> {
        self.version += 1;
        let Reading { rows, turn, open } = &mut self.reading;
        let table = open.borrow_dependent().table;
        let options = ReadOptions::default();
        let mut batch = WriteBatch::default();
        let places = turn.next_many(block.operations, rows.hits.len());
        for (number, at) in places.enumerate() {
            let key = &rows.hits[at];
            if number * block.reads_percent % 100 + block.reads_percent >= 100 {
                let value = self.db.get_pinned_cf_opt(table, key, &options)?;
                look(&value.context("a row is gone")?);
            } else {
                batch.put_cf(table, key, rows.value(at, self.version));
            }
        }
        Ok(self.db.write_opt(batch, &WriteOptions::default())?)
    }

    fn begin_read(&self) {
        let snapshot = self.db.snapshot();
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        std::hint::black_box(&options);
    }
}

impl Subject for Raw {
    fn has(&self, _: Operation) -> bool {
        true
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        if self.reading.has(operation) {
            return self.reading.run(operation, times);
        }
        for _ in 0..times {
            match (operation.batch(), operation.block()) {
                (Some(puts), _) => self.batch(puts)?,
                (_, Some(block)) => self.transaction(block)?,
                (None, None) => self.begin_read(),
            }
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        let reading = Reading::new(Arc::clone(&self.db), Arc::clone(&self.reading.rows));
        Ok(Some(Box::new(reading)))
    }
}

/// An iterator for each range.
pub(super) struct Naive {
    db: DB,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Naive {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        Ok(Self {
            db: open(&rows, dir)?,
            rows,
            turn: Turn::default(),
        })
    }
}

impl Subject for Naive {
    fn has(&self, operation: Operation) -> bool {
        operation == Operation::Range10
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        let (true, Some(most)) = (self.has(operation), operation.range_rows()) else {
            return missing(operation);
        };
        let table = self.db.cf_handle(ROWS).context("no table")?;
        let snapshot = self.db.snapshot();
        for _ in 0..times {
            let at = self.turn.next(starts(&self.rows, most));
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            let mut iterator = self.db.raw_iterator_cf_opt(table, options);
            iterator.seek(self.rows.keys[at]);
            expect(walk(&mut iterator, most)?, most.min(self.rows.keys.len()))?;
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(None)
    }
}
