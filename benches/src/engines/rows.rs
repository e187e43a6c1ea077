//! The rows of the table: what is measured, in the order of a store's life.

use crate::figures::Unit;

/// One measured thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Row {
    /// Batches of 1000 puts, `Buffered`.
    Load,
    /// The `sync` after the load.
    LoadSync,
    /// Hits right after the load, nothing settled.
    GetFresh,
    /// Closing and opening the loaded store.
    Reopen,
    /// Hits, one view.
    GetHit,
    /// Misses, one view.
    GetMiss,
    /// Hits on two threads with a view each.
    GetHitTwo,
    /// Misses on two threads with a view each.
    GetMissTwo,
    /// A cursor from a key and ten rows of it.
    Range,
    /// A cursor over everything.
    Scan,
    /// A view begun and dropped.
    Snapshot,
    /// Block-sized commits, `Durable`: the median.
    CommitMiddle,
    /// The same, the 99th percentile.
    CommitSlow,
    /// A block of 20 KiB in a commit of its own, `Durable`.
    BlockAppend,
    /// A random body, lent.
    BlockRead,
    /// Bytes on disk for each byte loaded, after reopening.
    DiskLoaded,
    /// Bytes on disk for each live byte after the commits.
    DiskUpdated,
    /// The same after compaction.
    DiskCompacted,
}

impl Row {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Load,
        Self::LoadSync,
        Self::GetFresh,
        Self::Reopen,
        Self::GetHit,
        Self::GetMiss,
        Self::GetHitTwo,
        Self::GetMissTwo,
        Self::Range,
        Self::Scan,
        Self::Snapshot,
        Self::CommitMiddle,
        Self::CommitSlow,
        Self::BlockAppend,
        Self::BlockRead,
        Self::DiskLoaded,
        Self::DiskUpdated,
        Self::DiskCompacted,
    ];

    /// The first cell of the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load, batches of 1000, buffered (keys)",
            Self::LoadSync => "sync after the load",
            Self::GetFresh => "get hit, straight after the load",
            Self::Reopen => "close and reopen, loaded",
            Self::GetHit => "get hit",
            Self::GetMiss => "get miss",
            Self::GetHitTwo => "get hit, 2 threads",
            Self::GetMissTwo => "get miss, 2 threads",
            Self::Range => "range of 10 (ranges)",
            Self::Scan => "full scan (rows)",
            Self::Snapshot => "snapshot, begin and drop",
            Self::CommitMiddle => "block commit, durable, p50",
            Self::CommitSlow => "block commit, durable, p99",
            Self::BlockAppend => "append 20 KiB block, durable (blocks)",
            Self::BlockRead => "read a random block (blocks)",
            Self::DiskLoaded => "disk / payload, after the load",
            Self::DiskUpdated => "disk / payload, after the commits",
            Self::DiskCompacted => "disk / payload, compacted",
        }
    }

    /// How its figures are written.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::LoadSync | Self::Reopen | Self::CommitMiddle | Self::CommitSlow => Unit::Time,
            Self::DiskLoaded | Self::DiskUpdated | Self::DiskCompacted => Unit::Factor,
            _ => Unit::Rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_listed_in_order_and_once() {
        assert!(Row::ALL.is_sorted_by(|a, b| a < b && a.name() != b.name()));
        assert_eq!(Row::ALL.last(), Some(&Row::DiskCompacted));
    }
}
