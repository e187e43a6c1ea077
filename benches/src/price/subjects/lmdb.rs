//! LMDB used raw through heed, and well: one read transaction kept, one iterator for each piece of
//! work, a named table as every program with more than one has it.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, RoTxn, WithoutTls};

use super::{Subject, expect, look, look_at_row, missing, starts};
use crate::price::case::{Block, Operation};
use crate::price::rows::{Rows, Turn};

/// Address space, of which only what is used becomes a file. More than a round of the long timings
/// fills, and as much as valgrind has room for.
pub(super) const MAP_BYTES: u64 = 16 << 30;

type Table = Database<'static, Bytes, Bytes>;

struct Reading {
    txn: RoTxn<'static, WithoutTls>,
    table: Table,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Reading {
    fn gets(&mut self, keys: fn(&Rows) -> &[[u8; 32]], times: usize, wanted: usize) -> Result<()> {
        let keys = keys(&self.rows);
        let mut found = 0;
        for _ in 0..times {
            let key = &keys[self.turn.next(keys.len())];
            if let Some(value) = self.table.get(&self.txn, key)? {
                look(value);
                found += 1;
            }
        }
        expect(found, wanted)
    }

    fn multi_gets(&mut self, at_once: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            for at in self.turn.next_many(at_once, self.rows.hits.len()) {
                let value = self.table.get(&self.txn, &self.rows.hits[at])?;
                look(value.context("a row is gone")?);
            }
        }
        Ok(())
    }

    fn seeks(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            let from = (Bound::Included(&key[..]), Bound::Unbounded);
            let mut rows = self.table.range(&self.txn, &from)?;
            let (key, value) = rows.next().context("a row is gone")??;
            look_at_row(key, value);
        }
        Ok(())
    }

    fn ranges(&mut self, most: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            let at = self.turn.next(starts(&self.rows, most));
            let from = (Bound::Included(&self.rows.keys[at][..]), Bound::Unbounded);
            let mut found = 0;
            for row in self.table.range(&self.txn, &from)?.take(most) {
                let (key, value) = row?;
                look_at_row(key, value);
                found += 1;
            }
            expect(found, most.min(self.rows.keys.len()))?;
        }
        Ok(())
    }

    fn scan(&self) -> Result<()> {
        let mut found = 0;
        for row in self.table.iter(&self.txn)? {
            let (key, value) = row?;
            look_at_row(key, value);
            found += 1;
        }
        expect(found, self.rows.keys.len())
    }

    fn scan_back(&self) -> Result<()> {
        let mut found = 0;
        for row in self.table.rev_iter(&self.txn)? {
            let (key, value) = row?;
            look_at_row(key, value);
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
    env: Env<WithoutTls>,
}

impl Raw {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        let env = backend_lmdb::open_raw(dir, MAP_BYTES)?;
        let table = env
            .create_databases_and_commit(env.write_txn()?, |opener, txn| {
                let table = opener.create_database::<Bytes, Bytes>(txn, Some("rows"))?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
            })?
            .commit()
            .context("the table was not made")?;
        let mut txn = env.write_txn()?;
        for (at, key) in rows.keys.iter().enumerate() {
            table.put(&mut txn, key, rows.value(at, 0))?;
        }
        txn.commit()?;
        let reading = Reading {
            txn: env.clone().static_read_txn()?,
            table,
            rows,
            turn: Turn::default(),
        };
        Ok(Self {
            reading,
            version: 0,
            env,
        })
    }

    fn batch(&mut self, puts: usize) -> Result<()> {
        self.version += 1;
        let rows = &self.reading.rows;
        let mut places: Vec<usize> = self.reading.turn.next_many(puts, rows.hits.len()).collect();
        if puts >= 1_000 {
            places.sort_unstable_by_key(|at| &rows.hits[*at]);
        }
        let mut txn = self.env.write_txn()?;
        for at in places {
            let value = rows.value(at, self.version);
            self.reading.table.put(&mut txn, &rows.hits[at], value)?;
        }
        Ok(txn.commit()?)
    }

    fn transaction(&mut self, block: Block) -> Result<()> {
        self.version += 1;
        let Reading {
            table, rows, turn, ..
        } = &mut self.reading;
        let mut txn = self.env.write_txn()?;
        let places = turn.next_many(block.operations, rows.hits.len());
        for (number, at) in places.enumerate() {
            let key = &rows.hits[at];
            if number * block.reads_percent % 100 + block.reads_percent >= 100 {
                look(table.get(&txn, key)?.context("a row is gone")?);
            } else {
                table.put(&mut txn, key, rows.value(at, self.version))?;
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
                (None, None) => drop(std::hint::black_box(self.env.read_txn()?)),
            }
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(Some(Box::new(Reading {
            txn: self.env.clone().static_read_txn()?,
            table: self.reading.table,
            rows: Arc::clone(&self.reading.rows),
            turn: Turn::default(),
        })))
    }
}
