//! What an error of the log is to whoever keeps blocks in it.
//!
//! Invariant: file, segment and offset stay in the words; damage stays damage, a full disk stays a
//! full disk, and an absent file is told apart from both; damage of a
//! body names its block.

use seglog::LogError;
use storage_api::blocks::{BlockError, Height};
use storage_api::{Error, ErrorKind};

/// An error of a log as one of a store, with file, segment and offset in its words.
#[must_use]
pub fn of_log(error: LogError) -> Error {
    match error {
        LogError::Io { place, source } | LogError::Full { place, source } => {
            Error::from_io(source, place)
        }
        LogError::Damaged {
            place,
            segment,
            offset,
            what,
        } => Error::corruption(
            format!("{place} (segment {segment}, offset {offset})"),
            what,
        ),
        LogError::Short {
            place,
            segment,
            offset,
            what,
            next,
            durable_until,
        } => Error::corruption(
            format!("{place} (segment {segment}, offset {offset})"),
            format!(
                "{what}, so the log ends before record {next}, and the index names those below \
                 {durable_until}: nothing was changed"
            ),
        ),
        LogError::TooNew {
            place,
            found,
            known,
        } => Error::new(ErrorKind::FormatTooNew {
            what: place,
            found: u32::from(found),
            supported: u32::from(known),
        }),
        LogError::Absent { place, segment } => Error::new(ErrorKind::FileMissing {
            path: format!("{place} (segment {segment})"),
        }),
        LogError::Poisoned { reason } => Error::new(ErrorKind::Poisoned { cause: reason }),
        LogError::ReadOnly => Error::new(ErrorKind::ReadOnly),
        LogError::Foreign { place, what } => Error::corruption(place, what),
        other => Error::invalid(other.to_string()),
    }
}

/// An error of reading the body of the block at this height.
pub(crate) fn of_body(height: Height, error: LogError) -> BlockError {
    match error {
        LogError::Absent { place, .. } => BlockError::BodyAbsent { height, place },
        other => {
            let error = of_log(other);
            BlockError::Store(match error.kind() {
                ErrorKind::Corruption { place, what } => {
                    Error::corruption(format!("{place}, block {height}"), what)
                }
                _ => error,
            })
        }
    }
}
