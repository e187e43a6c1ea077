//! [`Bulk`]: loading many rows of one table at the speed of the engine's own loader.
//!
//! Invariants: a load is one commit, all or nothing; rows come in any order and of equal keys the
//! last one wins; rows that were there stay unless a loaded key replaces them; nothing of a load is
//! seen before [`BulkLoad::finish`]; a load that is dropped, fails or is killed leaves no trace, in
//! the files neither. Memory is bounded by the options, whatever the number of rows: unsorted rows
//! are sorted in chunks, spilled beside the store and merged.

use std::time::Duration;

use crate::commit::Commit;
use crate::error::Result;
use crate::table::TableId;

/// A store that can be loaded in bulk.
pub trait Bulk {
    /// Begins loading a table. Rows that come in ascending order go straight to the engine, which
    /// takes the writer's place until the load ends, on every engine; other rows are only gathered,
    /// and the writer's place is taken by [`BulkLoad::finish`].
    ///
    /// # Errors
    /// `UnknownTable`, `ReadOnly`, `Poisoned`.
    fn begin_bulk<'s>(
        &'s self,
        table: TableId,
        options: &BulkOptions,
    ) -> Result<Box<dyn BulkLoad + 's>>;
}

/// A load under way. Dropping it abandons the load.
pub trait BulkLoad {
    /// Takes one row.
    ///
    /// # Errors
    /// As [`crate::Writer::put`], and as [`crate::KvStore::begin_write`] when rows begin to go to
    /// the engine; `DiskFull` and `Io` of spilling. After any error but that of a refused key or
    /// value the load can only be dropped.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Makes all rows visible in one commit, durable when this returns.
    ///
    /// # Errors
    /// As [`crate::KvStore::begin_write`] and [`crate::WriteTxn::commit`]; `Corruption` when what
    /// was spilled is not what was written.
    fn finish(self: Box<Self>) -> Result<BulkReport>;
}

/// Memory of a load when its options name none, in bytes: little, because spilling early measured
/// faster than gathering more; see `docs/decisions/0011`.
const MEMORY_BUDGET_BYTES_DEFAULT: u64 = 16 << 20;

/// How a table is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkOptions {
    /// Bytes of sorted rows kept in memory before they are spilled; 1 MiB at least. It is no limit
    /// of the load's memory: chunks being gathered and sorted, buffers of spilled runs and what the
    /// engine holds come on top, at the default about one and a half times as much; see
    /// `docs/decisions/0011`. A store in memory does not spill.
    pub memory_budget_bytes: u64,
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self {
            memory_budget_bytes: MEMORY_BUDGET_BYTES_DEFAULT,
        }
    }
}

/// What a load did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkReport {
    /// Rows handed to the engine. A key that was put several times counts once, or twice when its
    /// first row had gone straight to the engine; so this is the number of distinct keys or a
    /// little more, and never more than the rows that were put.
    pub rows: u64,
    /// Bytes of their keys and values as they are stored, checksum envelopes included.
    pub bytes: u64,
    /// Sorted runs that were spilled to disk; 0 when everything was in order or fitted in memory.
    pub spilled_runs: u32,
    /// The commit.
    pub commit: Commit,
    /// Time from the beginning to the end of the load.
    pub took: Duration,
}
