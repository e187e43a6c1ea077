//! One append-only log in segment files: our only append format.
//!
//! A log is a folder of segments; a segment is a header and records; a record is a header and a
//! payload. Records have consecutive heights. Nothing of a record is used before its checksum was
//! compared; nothing that was synced is cut without being told so; nothing that was cut comes back.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | headers of segments and records, names, checksums |
//! | `log`, `write` | the log and its tip, rolling over; appending, flushing, syncing |
//! | `ahead` | the next segment's file, written in advance |
//! | `cut` | truncating at the tip, pruning at the tail |
//! | `pack` | packing sealed segments; a packed segment as the file that it stands for |
//! | `recover` | opening: what a crash left behind |
//! | `read`, `walk` | one record by its place, records in a row, checking everything |
//! | `tools` | looking at and cutting logs that do not open |
//! | `disk` | the seam to the file system; `sim` is a disk that fails and forgets |
//!
//! Invariants: an append changes no byte that was synced; a sync is the only promise; a failed
//! write or sync ends writing until the log is opened again; reading never writes. The owner of the
//! folder makes sure that one log at a time writes to it. Byte ruler, write order, recovery by case
//! and what is assumed of the medium: `docs/format/seglog.md`.

#![forbid(unsafe_code)]

use std::fmt;

mod ahead;
mod cut;
pub mod disk;
mod error;
mod layout;
mod log;
mod pack;
mod read;
mod recover;
#[cfg(feature = "sim")]
pub mod sim;
pub mod tools;
mod walk;
mod write;

use layout::{checksum, record, segment};

pub use checksum::checksum;
pub use error::{LogError, LogResult};
pub use log::{Log, LogOptions};
pub use pack::{Packed, Packer};
pub use read::{Finding, Prefix, Reader, Scan, Wanted};
pub use record::HEADER_BYTES;
pub use recover::{Cut, Recovered};
pub use segment::{SEGMENT_HEADER_BYTES, SegmentNumber};

/// The number of a record: each is one more than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(u64);

impl Height {
    /// The height of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The height above.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stands for the chain that a log belongs to, so that files of two chains are not mixed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainTag(u64);

impl ChainTag {
    /// The tag of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ChainTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a record is, and what its payload must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its segment.
    pub segment: SegmentNumber,
    /// Where its header begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// Length of its payload.
    pub payload_bytes: u32,
    /// CRC-32C of its payload.
    pub payload_checksum: u32,
}
