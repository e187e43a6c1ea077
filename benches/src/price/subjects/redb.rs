//! redb used raw: the table opened once in a read transaction that is kept, and, for the naive
//! loop, both anew for each call.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use super::{Subject, expect, look, look_at_row, missing, starts};
use crate::engines::MEMORY_BUDGET_BYTES;
use crate::price::case::{Block, Operation};
use crate::price::rows::{Rows, Turn};

type Bytes = &'static [u8];

const ROWS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("rows");

fn open(rows: &Rows, dir: &Path) -> Result<Database> {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(MEMORY_BUDGET_BYTES)?);
    let database = builder.create(dir.join("rows.redb"))?;
    let txn = begin(&database)?;
    {
        let mut table = txn.open_table(ROWS)?;
        for (at, key) in rows.keys.iter().enumerate() {
            table.insert(&key[..], rows.value(at, 0))?;
        }
    }
    txn.commit()?;
    Ok(database)
}

/// A transaction whose commit is as durable and as quickly reopened as ours.
fn begin(database: &Database) -> Result<WriteTransaction> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

struct Reading {
    table: ReadOnlyTable<Bytes, Bytes>,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Reading {
    fn new(database: &Database, rows: Arc<Rows>) -> Result<Self> {
        Ok(Self {
            table: database.begin_read()?.open_table(ROWS)?,
            rows,
            turn: Turn::default(),
        })
    }

    fn gets(&mut self, keys: fn(&Rows) -> &[[u8; 32]], times: usize, wanted: usize) -> Result<()> {
        let keys = keys(&self.rows);
        let mut found = 0;
        for _ in 0..times {
            let key = &keys[self.turn.next(keys.len())];
            if let Some(value) = self.table.get(&key[..])? {
                look(value.value());
                found += 1;
            }
        }
        expect(found, wanted)
    }

    fn multi_gets(&mut self, at_once: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            for at in self.turn.next_many(at_once, self.rows.hits.len()) {
                let key = &self.rows.hits[at];
                look(self.table.get(&key[..])?.context("a row is gone")?.value());
            }
        }
        Ok(())
    }

    fn seeks(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            let mut rows = self.table.range(&key[..]..)?;
            let (key, value) = rows.next().context("a row is gone")??;
            look_at_row(key.value(), value.value());
        }
        Ok(())
    }

    fn ranges(&mut self, most: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            let at = self.turn.next(starts(&self.rows, most));
            let mut found = 0;
            for row in self.table.range(&self.rows.keys[at][..]..)?.take(most) {
                let (key, value) = row?;
                look_at_row(key.value(), value.value());
                found += 1;
            }
            expect(found, most.min(self.rows.keys.len()))?;
        }
        Ok(())
    }

    fn scan(&self) -> Result<()> {
        let mut found = 0;
        for row in self.table.iter()? {
            let (key, value) = row?;
            look_at_row(key.value(), value.value());
            found += 1;
        }
        expect(found, self.rows.keys.len())
    }

    fn scan_back(&self) -> Result<()> {
        let mut found = 0;
        for row in self.table.iter()?.rev() {
            let (key, value) = row?;
            look_at_row(key.value(), value.value());
            found += 1;
        }
        expect(found, self.rows.keys.len())
    }
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
    database: Database,
}

impl Raw {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        let database = open(&rows, dir)?;
        Ok(Self {
            reading: Reading::new(&database, rows)?,
            version: 0,
            database,
        })
    }

    fn batch(&mut self, puts: usize) -> Result<()> {
        self.version += 1;
        let rows = &self.reading.rows;
        let mut places: Vec<usize> = self.reading.turn.next_many(puts, rows.hits.len()).collect();
        if puts >= 1_000 {
            places.sort_unstable_by_key(|at| &rows.hits[*at]);
        }
        let txn = begin(&self.database)?;
        {
            let mut table = txn.open_table(ROWS)?;
            for at in places {
                table.insert(&rows.hits[at][..], rows.value(at, self.version))?;
            }
        }
        Ok(txn.commit()?)
    }

    fn transaction(&mut self, block: Block) -> Result<()> {
        self.version += 1;
        let rows = &self.reading.rows;
        let txn = begin(&self.database)?;
        {
            let mut table = txn.open_table(ROWS)?;
            let places = self
                .reading
                .turn
                .next_many(block.operations, rows.hits.len());
            for (number, at) in places.enumerate() {
                let key = &rows.hits[at][..];
                if number * block.reads_percent % 100 + block.reads_percent >= 100 {
                    look(table.get(key)?.context("a row is gone")?.value());
                } else {
                    table.insert(key, rows.value(at, self.version))?;
                }
            }
        }
        Ok(txn.commit()?)
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
                (None, None) => drop(std::hint::black_box(self.database.begin_read()?)),
            }
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        let reading = Reading::new(&self.database, Arc::clone(&self.reading.rows))?;
        Ok(Some(Box::new(reading)))
    }
}

/// A read transaction and an opened table for each get.
pub(super) struct Naive {
    database: Database,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Naive {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        Ok(Self {
            database: open(&rows, dir)?,
            rows,
            turn: Turn::default(),
        })
    }
}

impl Subject for Naive {
    fn has(&self, operation: Operation) -> bool {
        operation == Operation::GetHit
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        if !self.has(operation) {
            return missing(operation);
        }
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            let table = self.database.begin_read()?.open_table(ROWS)?;
            look(table.get(&key[..])?.context("a row is gone")?.value());
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(None)
    }
}
