//! What a store can do, as data: declared here, and each field tested in both directions by the
//! suite.
//!
//! Invariant: declared means that the conformance case passes; not declared means that the call
//! returns `Unsupported`.

use crate::commit::{Durability, Effective};

/// Who may hold a directory at the same time as a writer in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Not persistent, nothing to share.
    None,
    /// Many read-only openers or one writer.
    ReadersOrWriter,
}

/// How an extension works beside live views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The store does not have it; the call returns `Unsupported`.
    None,
    /// Runs beside readers and writers.
    Online,
    /// Needs the store to itself: refuses with `Busy` while views live.
    Exclusive,
}

/// How a table is loaded in bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkMode {
    /// The store does not have it.
    None,
    /// Rows are sorted and put one after the other in one commit.
    Insertion,
    /// Rows are sorted and given to the engine's own loader.
    Loader,
}

/// Which counts are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountMode {
    /// Constant time and exact.
    Exact,
    /// Constant time and an estimate.
    Estimate,
}

/// What the bytes of a returned value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueLane {
    /// Borrowed from the engine's own memory or map.
    Borrowed,
    /// Pinned in the engine's cache.
    Pinned,
    /// Copied.
    Copied,
}

/// Who finds damaged bytes on a plain read without our envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitRot {
    /// The engine checks what it reads.
    DetectedOnRead,
    /// Only `verify` or the checksum envelope finds them.
    NotDetected,
    /// There is no medium to rot.
    NotApplicable,
}

/// What a store declares. Limits are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Longest key with [`crate::KeyLimit::Engine`], in bytes; with the portable limit it is 511.
    pub key_bytes_max: usize,
    /// Longest value, in bytes.
    pub value_bytes_max: usize,
    /// Most tables.
    pub tables_max: usize,
    /// Most views at once, `None` when memory is the limit.
    pub readers_max: Option<u32>,
    /// Largest transaction in bytes, `None` when there is no limit.
    pub txn_bytes_max: Option<u64>,
    /// Longest life of a transaction in seconds, `None` when there is no limit.
    pub txn_age_seconds_max: Option<u64>,
    /// Contents outlive the process.
    pub persistent: bool,
    /// Blind batches of several threads run beside each other.
    pub concurrent_batches: bool,
    /// Savepoints are the engine's own (otherwise one shared journal does them). They work either
    /// way.
    pub native_savepoints: bool,
    /// A range delete costs the same whatever it covers.
    pub constant_range_delete: bool,
    /// Several gets in one call are cheaper than one by one.
    pub batched_reads: bool,
    /// Exactness of `count`.
    pub count: CountMode,
    /// Effective durability of `Volatile`, `Buffered`, `Durable`, in this order.
    pub effective: [Effective; 3],
    /// Sharing of a directory between processes.
    pub sharing: Sharing,
    /// Can be opened read-only.
    pub read_only_open: bool,
    /// `Bulk`.
    pub bulk: BulkMode,
    /// `Compact`.
    pub compact: Mode,
    /// `Backup`.
    pub backup: Mode,
    /// Damage found on plain reads.
    pub bit_rot: BitRot,
    /// What `get` returns.
    pub value_lane: ValueLane,
    /// The size limit of the store, when it has one, can be raised on reopening.
    pub size_limit: bool,
}

impl Capabilities {
    /// The capabilities of a plain in-memory store, to be adjusted field by field.
    pub const IN_MEMORY: Self = Self {
        key_bytes_max: u16::MAX as usize,
        value_bytes_max: u32::MAX as usize - 16,
        tables_max: 1024,
        readers_max: None,
        txn_bytes_max: None,
        txn_age_seconds_max: None,
        persistent: false,
        concurrent_batches: false,
        native_savepoints: false,
        constant_range_delete: false,
        batched_reads: false,
        count: CountMode::Exact,
        effective: [Effective::Process; 3],
        sharing: Sharing::None,
        read_only_open: false,
        bulk: BulkMode::None,
        compact: Mode::None,
        backup: Mode::None,
        bit_rot: BitRot::NotApplicable,
        value_lane: ValueLane::Borrowed,
        size_limit: false,
    };

    /// What the store really does when asked for this durability.
    #[must_use]
    pub const fn effective(&self, asked: Durability) -> Effective {
        let [volatile, buffered, durable] = self.effective;
        match asked {
            Durability::Volatile => volatile,
            Durability::Buffered => buffered,
            Durability::Durable => durable,
        }
    }
}
