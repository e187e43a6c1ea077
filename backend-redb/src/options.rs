//! What only this engine knows: how durable commits are made, and what the database is stored on.
//!
//! Invariants: no option changes what a store means; a strategy changes what a commit and an
//! opening after a crash cost, a backend changes where the bytes are. Whatever the strategy, one
//! forgotten view makes the file grow by what is replaced while it lives, never by the square of
//! it: quick repair is left off beside an old view, and a crash then costs a walk of the file at
//! the next opening, and no commit.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use storage_api::Access;

/// The one file of a database, inside the engine's directory.
pub const DATA_FILE_NAME: &str = "data.redb";

/// How a durable commit is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitStrategy {
    /// Two syncs, and the state of the page allocator in every commit: opening after a crash walks
    /// nothing, whatever the size. Beside a view that began more than 32 to 64 durable commits ago
    /// the state is left out, as with [`CommitStrategy::TwoPhase`], since the view would pin every
    /// copy of it: after a crash then, the next opening walks every page of every table, and
    /// nothing is lost. The next commit after the last such view has dropped has the state again.
    #[default]
    QuickRepair,
    /// Two syncs; opening after a crash walks every page of every table.
    TwoPhase,
    /// One sync, trusting redb's checksums to find a torn commit; opening after a crash walks every
    /// page of every table.
    OnePhase,
}

/// What a [`BackendFactory`] is asked to open.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BackendRequest<'a> {
    /// The data file; `None` for a store in memory.
    pub path: Option<&'a Path>,
    /// Whether it will be written. A read-only store only reads from what it gets.
    pub access: Access,
}

type Open = dyn Fn(&BackendRequest<'_>) -> io::Result<Box<dyn StorageBackend>> + Send + Sync;

/// Makes the storage of a database, for crash harnesses and other media.
#[derive(Clone)]
pub struct BackendFactory(Arc<Open>);

impl BackendFactory {
    /// A factory that calls `open` each time a database is opened.
    #[must_use]
    pub fn new(
        open: impl Fn(&BackendRequest<'_>) -> io::Result<Box<dyn StorageBackend>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn open(
        &self,
        path: Option<&Path>,
        access: Access,
    ) -> io::Result<Box<dyn StorageBackend>> {
        (self.0)(&BackendRequest { path, access })
    }
}

impl fmt::Debug for BackendFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendFactory")
    }
}

/// What the database is stored on.
#[derive(Clone, Debug, Default)]
pub enum BackendSource {
    /// redb's own: a file for a directory, a vector for memory.
    #[default]
    Native,
    /// What this factory makes, in both cases. It locks, or the directory's own lock alone keeps
    /// others out.
    Custom(BackendFactory),
}

/// Options of redb.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RedbOptions {
    /// How durable commits are made.
    pub commit_strategy: CommitStrategy,
    /// What the database is stored on.
    pub backend: BackendSource,
}
