//! RocksDB's own transactions: `OptimisticTransactionDB` at its cheapest, with plain pinned gets
//! that no conflict check follows. Ours are serializable, so the comparison favours RocksDB's.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rocksdb::{
    OptimisticTransactionDB, OptimisticTransactionOptions, ReadOptions, SingleThreaded,
    WriteOptions,
};

use super::rocks::{ROWS, settle_options, tables};
use super::{Subject, look, missing};
use crate::price::case::{Block, Operation};
use crate::price::rows::{Rows, Turn};

type Db = OptimisticTransactionDB<SingleThreaded>;

pub(super) struct Optimistic {
    db: Db,
    rows: Arc<Rows>,
    turn: Turn,
    version: usize,
}

impl Optimistic {
    pub(super) fn new(rows: Arc<Rows>, dir: &Path) -> Result<Self> {
        let (options, tables) = tables()?;
        let db = Db::open_cf_descriptors(&options, dir.join("db"), tables)?;
        let table = db.cf_handle(ROWS).context("no table")?;
        let mut batch = rocksdb::WriteBatchWithTransaction::<true>::default();
        for (at, key) in rows.keys.iter().enumerate() {
            batch.put_cf(table, key, rows.value(at, 0));
        }
        db.write(batch)?;
        db.flush_cf(table)?;
        let all = (None::<&[u8]>, None::<&[u8]>);
        db.compact_range_cf_opt(table, all.0, all.1, &settle_options());
        Ok(Self {
            db,
            rows,
            turn: Turn::default(),
            version: 0,
        })
    }

    fn transaction(&mut self, block: Block) -> Result<()> {
        self.version += 1;
        let table = self.db.cf_handle(ROWS).context("no table")?;
        let reading = ReadOptions::default();
        let options = (
            WriteOptions::default(),
            OptimisticTransactionOptions::default(),
        );
        let txn = self.db.transaction_opt(&options.0, &options.1);
        let places = self.turn.next_many(block.operations, self.rows.hits.len());
        for (number, at) in places.enumerate() {
            let key = &self.rows.hits[at];
            if number * block.reads_percent % 100 + block.reads_percent >= 100 {
                let value = txn.get_pinned_cf_opt(table, key, &reading)?;
                look(&value.context("a row is gone")?);
            } else {
                txn.put_cf(table, key, self.rows.value(at, self.version))?;
            }
        }
        Ok(txn.commit()?)
    }
}

impl Subject for Optimistic {
    fn has(&self, operation: Operation) -> bool {
        operation.block().is_some()
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        let Some(block) = operation.block() else {
            return missing(operation);
        };
        (0..times).try_for_each(|_| self.transaction(block))
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(None)
    }
}
