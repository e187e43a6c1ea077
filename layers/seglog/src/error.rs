//! What can go wrong with a log, cut by what the caller does about it.
//!
//! Invariants: every error says where (file, offset); damage and absence are never mixed up with a
//! failing disk; after a failed sync nothing is written any more until the log is opened again.

use std::io;

use crate::pack::file::{PackedFault, VERSION as PACKED_VERSION};
use crate::segment::SegmentNumber;
use crate::{ChainTag, Height};

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk failed.
    #[error("{place}: {source}")]
    Io {
        /// The file or folder.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no space; nothing of the record was added, and it can be tried again when there is.
    #[error("{place}: no space left: {source}")]
    Full {
        /// The file.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes are not what was written: restore them from a copy, or cut the log there on purpose.
    #[error("{place}: damaged at offset {offset}: {what}")]
    Damaged {
        /// The file.
        place: String,
        /// Its segment.
        segment: SegmentNumber,
        /// Where in the file.
        offset: u64,
        /// What does not check.
        what: &'static str,
    },
    /// The file is of another chain, or its name is not its own.
    #[error("{place}: {what}")]
    Foreign {
        /// The file.
        place: String,
        /// What is not as expected.
        what: String,
    },
    /// The file was written by a newer version of this crate.
    #[error("{place}: format {found}, this program reads up to {known}: use a newer program")]
    TooNew {
        /// The file.
        place: String,
        /// The version in the file.
        found: u16,
        /// The newest version that is known here.
        known: u16,
    },
    /// The log ends before records that were durable: what lies there is damaged, or is gone.
    #[error(
        "{place}: the log ends before record {next} at offset {offset} of segment {segment}: \
         {what}; records below {durable_until} were durable"
    )]
    Short {
        /// The last file.
        place: String,
        /// Its segment.
        segment: SegmentNumber,
        /// Where the missing record would begin.
        offset: u64,
        /// What is wrong with what lies there.
        what: &'static str,
        /// The record that is missing.
        next: Height,
        /// Records below this one were durable.
        durable_until: Height,
    },
    /// The segment's file is not there: it was archived or lost.
    #[error("{place}: the file of segment {segment} is absent: bring it back from the archive")]
    Absent {
        /// Where the file would be.
        place: String,
        /// The segment.
        segment: SegmentNumber,
    },
    /// The record does not follow the last one.
    #[error("record at height {found} offered, height {expected} comes next")]
    Gap {
        /// The height that comes next.
        expected: Height,
        /// The height that was offered.
        found: Height,
    },
    /// The height is not in the log.
    #[error("height {asked} is not in the log, which has {first} up to, and without, {next}")]
    OutOfRange {
        /// The height asked for.
        asked: Height,
        /// The first height there is.
        first: Height,
        /// The height that comes next.
        next: Height,
    },
    /// The record is longer than a record can be.
    #[error("a record of {bytes} bytes, at most {} are possible", u32::MAX)]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// A write or sync failed before; what was synced can be read, and opening again goes on.
    #[error("the log takes no more writes until it is opened again: {reason}")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// The log was opened to be read.
    #[error("the log was opened read-only")]
    ReadOnly,
}

/// What calls of this crate return.
pub type LogResult<T> = Result<T, LogError>;

impl LogError {
    pub(crate) fn io(place: String, source: io::Error) -> Self {
        if Self::is_full(&source) {
            Self::Full { place, source }
        } else {
            Self::Io { place, source }
        }
    }

    /// What a file of a segment said: a packed one knows where it is damaged.
    pub(crate) fn of_file(place: &str, segment: SegmentNumber, source: io::Error) -> Self {
        let fault = source.get_ref().and_then(|error| error.downcast_ref());
        match fault {
            Some(PackedFault::Damaged { offset, what }) => {
                return Self::Damaged {
                    place: place.to_owned(),
                    segment,
                    offset: *offset,
                    what,
                };
            }
            Some(PackedFault::TooNew { found }) => {
                return Self::TooNew {
                    place: place.to_owned(),
                    found: *found,
                    known: PACKED_VERSION,
                };
            }
            None => {}
        }
        Self::io(place.to_owned(), source)
    }

    /// Whether there is no space.
    pub(crate) fn is_full(source: &io::Error) -> bool {
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    pub(crate) fn other_chain(place: String, found: ChainTag, expected: ChainTag) -> Self {
        let what = format!("a segment of chain {found}, this log is of chain {expected}");
        Self::Foreign { place, what }
    }

    /// Whether bytes are not what was written.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Short { .. })
    }
}
