//! The bulk load: an empty table is built bottom-up from ascending rows, packed and without a
//! descent; a table with rows takes them one by one.
//!
//! Invariants: nothing is published before the commit; the memory limit is checked at every row, by
//! the bytes of keys and values while a tree is built.

use std::fmt;

use backend_kit::{CommitFailure, RawBatch, RawLoader, seq_row};
use storage_api::{
    CommitSeq, Count, Durability, Error, ErrorKind, Reader, Result, TableId, Writer,
};

use crate::tree::TreeBuilder;
use crate::write::MemTxn;

/// A load of one table.
pub struct MemLoader<'e> {
    txn: MemTxn<'e>,
    table: TableId,
    /// The tree being built, while only the first group has come to a table without rows.
    builder: Option<TreeBuilder>,
    built_bytes: u64,
    is_begun: bool,
}

impl fmt::Debug for MemLoader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemLoader")
            .field("table", &self.table)
            .field("built_bytes", &self.built_bytes)
            .finish_non_exhaustive()
    }
}

impl<'e> MemLoader<'e> {
    /// Loads this table through a transaction that was just begun.
    pub(crate) const fn new(txn: MemTxn<'e>, table: TableId) -> Self {
        Self {
            txn,
            table,
            builder: None,
            built_bytes: 0,
            is_begun: false,
        }
    }

    /// Puts the finished tree in the table's place.
    fn settle(&mut self) -> Result<()> {
        match self.builder.take() {
            Some(builder) => self
                .txn
                .replace(self.table, builder.finish(), self.built_bytes),
            None => Ok(()),
        }
    }
}

impl RawLoader for MemLoader<'_> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if !self.is_begun {
            self.is_begun = true;
            if self.txn.count(self.table)? == Count::Exact(0) {
                self.builder = Some(TreeBuilder::new());
            }
        }
        let Some(builder) = &mut self.builder else {
            return self.txn.put(self.table, key, value);
        };
        if !builder.push(key, value) {
            return Err(Error::invalid("the rows of a load are not in order"));
        }
        self.built_bytes += (key.len() + value.len()) as u64;
        match self.txn.limit_bytes() {
            Some(limit_bytes) if self.txn.memory_bytes() + self.built_bytes > limit_bytes => {
                Err(Error::new(ErrorKind::Full { limit_bytes }))
            }
            _ => Ok(()),
        }
    }

    fn next_group(&mut self) -> Result<()> {
        self.is_begun = true;
        self.settle()
    }

    fn commit(mut self, seq: CommitSeq) -> Result<(), CommitFailure> {
        self.settle().map_err(CommitFailure::Aborted)?;
        let (key, value) = seq_row(seq);
        let put = self.txn.put(TableId::INTERNAL, key, &value);
        put.map_err(CommitFailure::Aborted)?;
        self.txn.commit(Durability::Durable)
    }
}
