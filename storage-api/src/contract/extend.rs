//! Extensions that a store may have beside the core: compaction, backup, verification.
//!
//! Invariant: each is declared in [`crate::Capabilities`]; where it is not, the call returns
//! `Unsupported`. All are object-safe, so that decorators and the erased form can pass them on.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::error::Result;

/// The same content in less space.
pub trait Compact {
    /// Compacts the store.
    ///
    /// # Errors
    /// `Unsupported`, `Busy` where it is exclusive and views live, `ReadOnly`, `Io`.
    fn compact(&self) -> Result<CompactReport>;
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Bytes on disk before.
    pub before_bytes: u64,
    /// Bytes on disk after.
    pub after_bytes: u64,
    /// Time it took.
    pub took: Duration,
}

/// A complete second store of the same content.
pub trait Backup {
    /// Writes a consistent copy of the store into a directory that does not exist or is empty. The
    /// copy opens like any store; a failure removes what was written.
    ///
    /// # Errors
    /// `Unsupported`, `NotAStore` when the target is not empty, `DiskFull`, `Io`.
    fn backup(&self, target: &Path) -> Result<BackupReport>;
}

/// What a backup wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Bytes on disk of the copy.
    pub bytes: u64,
    /// Time it took.
    pub took: Duration,
}

/// Read-only verification of everything stored.
pub trait Verify {
    /// Reads every byte of every table: keys strictly ascending, every scanned key found again by
    /// `get` with the same value, exact counts equal to the rows seen, checksum envelopes
    /// intact, and then the engine's own check. Damage is a finding, not an error.
    ///
    /// An engine may crash on damaged files; the facade therefore runs this in a child process.
    ///
    /// # Errors
    /// `Io` and others that are not damage.
    fn verify(&self, progress: &mut dyn FnMut(&TableCheck)) -> Result<VerifyReport>;
}

/// One thing that is wrong, where, and how it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Table or structure.
    pub place: String,
    /// What was expected and found.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What was read of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCheck {
    /// Its name.
    pub table: String,
    /// Rows read so far.
    pub rows: u64,
    /// Bytes of keys and values read so far.
    pub bytes: u64,
}

/// What verification read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What was read, by table.
    pub tables: Vec<TableCheck>,
    /// What is wrong; empty when the store is sound.
    pub findings: Vec<Finding>,
    /// The engine's own check, in words; `None` when it has none.
    pub engine_check: Option<String>,
    /// Tables whose values nobody checks: no envelope, and an engine that checks neither what it
    /// reads nor its files. Changed bytes inside their values cannot be noticed.
    pub unchecked_tables: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}
