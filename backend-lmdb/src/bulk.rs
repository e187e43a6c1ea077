//! The bulk load: rows put behind all others in one transaction, which fills pages to the end and
//! descends for none of them.
//!
//! Invariants: a row that does not come behind all of its table is put the ordinary way, so the
//! contents never depend on the lane; everything is one transaction with the number of its commit.
//! Cost: dirty pages are held in memory till LMDB spills them, 512 MiB at most.

use std::fmt;

use backend_kit::{CommitFailure, NoPart, RawBatch, RawLoader, seq_row};
use storage_api::{CommitSeq, Durability, Result, TableId, Writer};

use crate::txn::LmdbTxn;

/// A load of one table.
pub struct LmdbLoader<'e> {
    txn: LmdbTxn<'e>,
    table: TableId,
    /// Whether rows still come behind all others.
    appends: bool,
}

impl fmt::Debug for LmdbLoader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbLoader")
            .field("table", &self.table)
            .field("appends", &self.appends)
            .finish_non_exhaustive()
    }
}

impl<'e> LmdbLoader<'e> {
    /// Loads this table through a transaction that was just begun.
    pub(crate) const fn new(txn: LmdbTxn<'e>, table: TableId) -> Self {
        Self {
            txn,
            table,
            appends: true,
        }
    }
}

impl RawLoader for LmdbLoader<'_> {
    type Part = NoPart;

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.appends {
            if self.txn.append(self.table, key, value)? {
                return Ok(());
            }
            self.appends = false;
        }
        self.txn.put(self.table, key, value)
    }

    fn next_group(&mut self) -> Result<()> {
        self.appends = false;
        Ok(())
    }

    fn commit(mut self, seq: CommitSeq) -> Result<(), CommitFailure> {
        let (key, value) = seq_row(seq);
        let put = self.txn.put(TableId::INTERNAL, key, &value);
        put.map_err(CommitFailure::Aborted)?;
        self.txn.commit(Durability::Durable)
    }
}
