//! The bulk load: an empty table is built bottom-up from ascending rows, packed and without a
//! descent, in several parts at the same time where the rows come in parts; a table with rows takes
//! them one by one.
//!
//! Invariants: nothing is published before the commit; the memory limit is checked at every row, by
//! the bytes of keys and values while a tree is built, and while parts are built at every
//! [`PART_LOOK_BYTES`] of each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend_kit::{CommitFailure, RawBatch, RawLoader, RawPart, seq_row};
use storage_api::{
    CommitSeq, Count, Durability, Error, ErrorKind, Reader, Result, TableId, Writer,
};

use crate::tree::{TreeBuilder, TreePart};
use crate::write::MemTxn;

/// Bytes of a part between two looks at what all parts hold.
const PART_LOOK_BYTES: u64 = 64 << 10;

fn full(limit_bytes: u64) -> Error {
    Error::new(ErrorKind::Full { limit_bytes })
}

fn not_in_order() -> Error {
    Error::invalid("the rows of a load are not in order")
}

/// A part of the tree that is being built.
pub struct MemPart {
    part: TreePart,
    built_bytes: u64,
    /// What of them is not in `all_bytes` yet.
    new_bytes: u64,
    /// Bytes of all parts.
    all_bytes: Arc<AtomicU64>,
    /// The memory limit of the store, and how many bytes all parts may hold.
    limit_bytes: u64,
    room_bytes: u64,
}

impl fmt::Debug for MemPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemPart")
            .field("built_bytes", &self.built_bytes)
            .finish_non_exhaustive()
    }
}

impl RawPart for MemPart {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if !self.part.push(key, value) {
            return Err(not_in_order());
        }
        self.new_bytes += (key.len() + value.len()) as u64;
        if self.new_bytes >= PART_LOOK_BYTES {
            return self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let new_bytes = std::mem::take(&mut self.new_bytes);
        self.built_bytes += new_bytes;
        let before = self.all_bytes.fetch_add(new_bytes, Ordering::Relaxed);
        if before + new_bytes > self.room_bytes {
            return Err(full(self.limit_bytes));
        }
        Ok(())
    }
}

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

    /// Begins to build, if the table has no rows.
    fn begin(&mut self) -> Result<()> {
        if !self.is_begun {
            self.is_begun = true;
            if self.txn.count(self.table)? == Count::Exact(0) {
                self.builder = Some(TreeBuilder::new());
            }
        }
        Ok(())
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
    type Part = MemPart;

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.begin()?;
        let Some(builder) = &mut self.builder else {
            return self.txn.put(self.table, key, value);
        };
        if !builder.push(key, value) {
            return Err(not_in_order());
        }
        self.built_bytes += (key.len() + value.len()) as u64;
        match self.txn.limit_bytes() {
            Some(limit_bytes) if self.txn.memory_bytes() + self.built_bytes > limit_bytes => {
                Err(full(limit_bytes))
            }
            _ => Ok(()),
        }
    }

    fn next_group(&mut self) -> Result<()> {
        self.is_begun = true;
        self.settle()
    }

    fn parts(&mut self, count: usize) -> Result<Vec<MemPart>> {
        self.begin()?;
        if self.builder.is_none() {
            return Ok(Vec::new());
        }
        let all_bytes = Arc::new(AtomicU64::new(0));
        let limit_bytes = self.txn.limit_bytes().unwrap_or(u64::MAX);
        let part = |_| MemPart {
            part: TreePart::new(),
            built_bytes: 0,
            new_bytes: 0,
            all_bytes: Arc::clone(&all_bytes),
            limit_bytes,
            room_bytes: limit_bytes.saturating_sub(self.txn.memory_bytes()),
        };
        Ok((0..count).map(part).collect())
    }

    fn join(&mut self, parts: Vec<MemPart>) -> Result<()> {
        let builder = self.builder.get_or_insert_default();
        for part in parts {
            if !builder.append(part.part) {
                return Err(not_in_order());
            }
            self.built_bytes += part.built_bytes;
        }
        Ok(())
    }

    fn commit(mut self, seq: CommitSeq) -> Result<(), CommitFailure> {
        self.settle().map_err(CommitFailure::Aborted)?;
        let (key, value) = seq_row(seq);
        let put = self.txn.put(TableId::INTERNAL, key, &value);
        put.map_err(CommitFailure::Aborted)?;
        self.txn.commit(Durability::Durable)
    }
}
