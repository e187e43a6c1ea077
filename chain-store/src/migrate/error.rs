//! Why a migration did not come to its end, by what the caller does about it.

use std::path::PathBuf;

use crate::any::StoreUrl;
use crate::digest::ContentDigest;

/// Why a migration did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The source failed.
    #[error("the source: {0}")]
    Source(#[source] storage_api::Error),
    /// The target failed, or is not one.
    #[error("the target: {0}")]
    Target(#[source] storage_api::Error),
    /// The source is not a store in a directory.
    #[error("{0} is no store in a directory that could be moved")]
    NoSource(StoreUrl),
    /// The target does not name an engine and a directory.
    #[error("{0} does not name an engine and a directory; write ENGINE:PATH, such as lmdb:./new")]
    NoTarget(StoreUrl),
    /// One of the two directories is or lies inside the other.
    #[error(
        "{} and {} are the same directory, or one lies inside the other",
        from.display(),
        to.display()
    )]
    SamePlace {
        /// The source.
        from: PathBuf,
        /// The target.
        to: PathBuf,
    },
    /// The segment files with the bodies of blocks are damaged, or are not the same on both sides.
    #[error(
        "{what}{}; the target stays marked as unfinished",
        if *more > 0 { format!(", and {more} more findings") } else { String::new() }
    )]
    Segments {
        /// The first finding.
        what: String,
        /// How many more there are.
        more: usize,
    },
    /// The caller asked to end; whole chunks were committed.
    #[error("interrupted after {rows} rows; the same migration goes on from there")]
    Interrupted {
        /// Rows of the target.
        rows: u64,
    },
    /// Both sides were read again and do not hold the same rows.
    #[error(
        "the target does not hold what the source holds: {source_rows} rows with digest \
         {source_digest}, but {target_rows} rows with digest {target_digest}; it stays marked as \
         unfinished: remove it"
    )]
    Differs {
        /// The digest of the source.
        source_digest: ContentDigest,
        /// Rows of the source.
        source_rows: u64,
        /// The digest of the target.
        target_digest: ContentDigest,
        /// Rows of the target.
        target_rows: u64,
    },
}
