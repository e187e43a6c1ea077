//! Commits: how durable they are asked to be, how durable they are, and their place in the order.
//!
//! Invariant: a persistent store may strengthen what was asked, never weaken it, and reports what
//! it did ([`Commit::effective`]). See `docs/decisions/0003`.

use std::fmt;

/// What a commit must survive before it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// A suffix of commits may go even on process death, until `sync`.
    Volatile,
    /// Survives the death of the process. Power loss may drop a suffix of commits, and never tears
    /// or reorders.
    Buffered,
    /// On stable storage when the commit returns.
    #[default]
    Durable,
}

/// What a commit does survive, as reported by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effective {
    /// Nothing outlives the process: the store is not persistent.
    Process,
    /// As [`Durability::Volatile`].
    Volatile,
    /// As [`Durability::Buffered`].
    Buffered,
    /// As [`Durability::Durable`].
    Durable,
}

impl From<Durability> for Effective {
    fn from(asked: Durability) -> Self {
        match asked {
            Durability::Volatile => Self::Volatile,
            Durability::Buffered => Self::Buffered,
            Durability::Durable => Self::Durable,
        }
    }
}

/// A commit's place in the order of one store: strictly increasing, persisted in the commit, equal
/// to the order in which commits become visible. Zero is the store before its first commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(u64);

impl CommitSeq {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);

    /// The place of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next place.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for CommitSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The receipt of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its place. `None` only for a batch that ran beside others in a store opened without ordered
    /// commits.
    pub seq: Option<CommitSeq>,
    /// What it survives.
    pub effective: Effective,
}
