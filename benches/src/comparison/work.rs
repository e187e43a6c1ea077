//! The rows of the comparison: what is measured, and the words that choose among them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};
use serde::{Deserialize, Serialize};

use crate::figures::Unit;

/// One measured thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Work {
    /// All rows from unsorted input by the store's fastest way, durable at the end.
    BulkLoad,
    /// Closing and opening the loaded store.
    Reopen,
    /// Gets of keys that are there.
    GetHit,
    /// Gets of keys that are not.
    GetMiss,
    /// Hits on two threads.
    GetHitTwo,
    /// Misses on two threads.
    GetMissTwo,
    /// A seek and ten rows from it.
    Range,
    /// Every row once.
    Scan,
    /// A block's changes in one durable commit: the median.
    CommitDurable,
    /// The same, the 99th percentile.
    CommitDurableSlow,
    /// A block's changes in one commit that outlives the process: the median.
    CommitBuffered,
    /// One overwritten row, in buffered commits of 1,000.
    Overwrite,
    /// One deleted row, in buffered commits of 1,000.
    Delete,
    /// Bytes on disk for a byte of rows, after the load.
    DiskLoaded,
    /// The same after all commits, for the rows that are left.
    DiskUpdated,
    /// The same after compaction.
    DiskCompacted,
    /// The most memory that the process held, in bytes.
    PeakMemory,
}

/// A group of works that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Workload {
    /// Loading and reopening.
    Load,
    /// Single gets on one thread and on two.
    Gets,
    /// Short ranges and full scans.
    Scans,
    /// Block commits.
    Commits,
    /// Overwrites and deletes.
    Updates,
    /// Bytes on disk and in memory.
    Space,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Load,
        Self::Gets,
        Self::Scans,
        Self::Commits,
        Self::Updates,
        Self::Space,
    ];

    /// The word that chooses it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Gets => "gets",
            Self::Scans => "scans",
            Self::Commits => "commits",
            Self::Updates => "updates",
            Self::Space => "space",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Workload {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let Some(found) = Self::ALL.into_iter().find(|one| one.as_str() == word) else {
            let known = Self::ALL.map(Self::as_str).join(", ");
            bail!("unknown workload {word:?}; known are {known}")
        };
        Ok(found)
    }
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::BulkLoad,
        Self::Reopen,
        Self::GetHit,
        Self::GetMiss,
        Self::GetHitTwo,
        Self::GetMissTwo,
        Self::Range,
        Self::Scan,
        Self::CommitDurable,
        Self::CommitDurableSlow,
        Self::CommitBuffered,
        Self::Overwrite,
        Self::Delete,
        Self::DiskLoaded,
        Self::DiskUpdated,
        Self::DiskCompacted,
        Self::PeakMemory,
    ];

    /// The first cell of the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BulkLoad => "bulk load, unsorted (rows)",
            Self::Reopen => "close and reopen",
            Self::GetHit => "get hit",
            Self::GetMiss => "get miss",
            Self::GetHitTwo => "get hit, 2 threads",
            Self::GetMissTwo => "get miss, 2 threads",
            Self::Range => "range of 10 (ranges)",
            Self::Scan => "full scan (rows)",
            Self::CommitDurable => "block of 1,000 changes, durable, p50",
            Self::CommitDurableSlow => "block of 1,000 changes, durable, p99",
            Self::CommitBuffered => "block of 1,000 changes, buffered, p50",
            Self::Overwrite => "overwrites, buffered (rows)",
            Self::Delete => "deletes, buffered (rows)",
            Self::DiskLoaded => "disk / payload, loaded",
            Self::DiskUpdated => "disk / payload, updated",
            Self::DiskCompacted => "disk / payload, compacted",
            Self::PeakMemory => "peak memory",
        }
    }

    /// How its figures are written.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Reopen | Self::CommitDurable | Self::CommitDurableSlow | Self::CommitBuffered => {
                Unit::Time
            }
            Self::DiskLoaded | Self::DiskUpdated | Self::DiskCompacted => Unit::Factor,
            Self::PeakMemory => Unit::Bytes,
            _ => Unit::Rate,
        }
    }

    /// The workload that it belongs to.
    #[must_use]
    pub const fn workload(self) -> Workload {
        match self {
            Self::BulkLoad | Self::Reopen => Workload::Load,
            Self::GetHit | Self::GetMiss | Self::GetHitTwo | Self::GetMissTwo => Workload::Gets,
            Self::Range | Self::Scan => Workload::Scans,
            Self::CommitDurable | Self::CommitDurableSlow | Self::CommitBuffered => {
                Workload::Commits
            }
            Self::Overwrite | Self::Delete => Workload::Updates,
            Self::DiskLoaded | Self::DiskUpdated | Self::DiskCompacted | Self::PeakMemory => {
                Workload::Space
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_chosen_by_its_word_and_has_works() {
        for workload in Workload::ALL {
            assert_eq!(workload.as_str().parse::<Workload>().ok(), Some(workload));
            let mut works = Work::ALL.into_iter().map(Work::workload);
            assert!(works.any(|one| one == workload), "{workload} has no work");
        }
        assert!("everything".parse::<Workload>().is_err());
    }

    #[test]
    fn works_stand_in_the_order_of_the_type() {
        assert!(Work::ALL.is_sorted());
    }
}
