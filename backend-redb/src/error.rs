//! redb's errors, sorted by what the caller does about them: one table, in [`sorted`].
//!
//! Invariants: redb's own error stays the source; a read beyond the end of the file is damage and
//! not an accident of the device, because redb reads only what a header or a page told it to; after
//! a failed read or write redb refuses everything that is not cached until it is reopened, which is
//! `Poisoned`.

use std::io;

use storage_api::{Error, ErrorKind};

use crate::engine::{NAME, VALUE_BYTES_MAX};
use crate::options::DATA_FILE_NAME;

/// The newest file format that redb reads.
const FILE_FORMAT: u8 = 3;

/// Any error of redb, in the data file.
#[cold]
pub(crate) fn fail(error: impl Into<redb::Error>) -> Error {
    sorted(error.into(), DATA_FILE_NAME)
}

/// Any error of redb, in the file at this path.
#[cold]
pub(crate) fn fail_at(error: impl Into<redb::Error>, path: &str) -> Error {
    sorted(error.into(), path)
}

fn sorted(error: redb::Error, place: &str) -> Error {
    let place_text = || place.to_owned();
    let kind = match error {
        redb::Error::Io(source) => return from_io(source, place),
        redb::Error::Corrupted(ref what) => ErrorKind::Corruption {
            place: place_text(),
            what: what.clone(),
        },
        redb::Error::DatabaseAlreadyOpen => ErrorKind::AlreadyOpen {
            path: place_text(),
            holder_pid: None,
        },
        redb::Error::UpgradeRequired(found) if found > FILE_FORMAT => ErrorKind::FormatTooNew {
            what: format!("redb file {place}"),
            found: found.into(),
            supported: FILE_FORMAT.into(),
        },
        redb::Error::UpgradeRequired(_) => ErrorKind::Unsupported {
            capability: "redb_file_format_before_3",
        },
        redb::Error::ValueTooLarge(len) => ErrorKind::ValueTooLong {
            len,
            max: VALUE_BYTES_MAX,
        },
        redb::Error::TableDoesNotExist(ref table) => ErrorKind::UnknownTable {
            table: table.clone(),
        },
        redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => ErrorKind::Corruption {
            place: place_text(),
            what: error.to_string(),
        },
        redb::Error::TransactionPoisoned => ErrorKind::TxnFailed,
        redb::Error::PreviousIo => ErrorKind::Poisoned {
            cause: format!("an earlier read or write of {place} failed"),
        },
        redb::Error::LockPoisoned(_) => ErrorKind::EnginePanic {
            message: error.to_string(),
        },
        redb::Error::Unsupported => ErrorKind::Unsupported {
            capability: "storage_backend",
        },
        _ => ErrorKind::Engine,
    };
    Error::new(kind).with_engine(NAME).with_source(error)
}

/// The data file of a store is not there.
#[cold]
pub(crate) fn missing(source: io::Error, place: &str) -> Error {
    Error::corruption(place, "the file is missing")
        .with_source(source)
        .with_engine(NAME)
}

/// An error of the operating system or of a storage backend.
#[cold]
pub(crate) fn from_io(source: io::Error, place: &str) -> Error {
    let error = match source.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::corruption(place, "the file ends before its content").with_source(source)
        }
        io::ErrorKind::InvalidData => {
            Error::corruption(place, source.to_string()).with_source(source)
        }
        _ => Error::from_io(source, place),
    };
    error.with_engine(NAME)
}

#[cfg(test)]
mod tests {
    use super::{fail, fail_at};
    use std::io;
    use storage_api::ErrorKind;

    fn kind(error: redb::Error) -> ErrorKind {
        fail(error).kind().clone()
    }

    #[test]
    fn every_kind_of_redb_has_its_own() {
        assert!(matches!(
            kind(redb::Error::Corrupted("x".into())),
            ErrorKind::Corruption { .. }
        ));
        assert!(matches!(
            kind(redb::Error::PreviousIo),
            ErrorKind::Poisoned { .. }
        ));
        assert!(matches!(
            kind(redb::Error::UpgradeRequired(2)),
            ErrorKind::Unsupported { .. }
        ));
        assert!(matches!(
            kind(redb::Error::UpgradeRequired(9)),
            ErrorKind::FormatTooNew {
                found: 9,
                supported: 3,
                ..
            }
        ));
        assert!(matches!(
            kind(redb::Error::ValueTooLarge(7)),
            ErrorKind::ValueTooLong { len: 7, .. }
        ));
        assert_eq!(kind(redb::Error::TransactionPoisoned), ErrorKind::TxnFailed);
        assert_eq!(kind(redb::Error::TransactionInProgress), ErrorKind::Engine);
        assert_eq!(
            kind(redb::Error::TableDoesNotExist("t".into())),
            ErrorKind::UnknownTable { table: "t".into() }
        );
        assert!(matches!(
            fail_at(redb::Error::DatabaseAlreadyOpen, "/x/data.redb").kind(),
            ErrorKind::AlreadyOpen { path, holder_pid: None } if path == "/x/data.redb"
        ));
    }

    #[test]
    fn the_operating_system_keeps_its_kinds() {
        let io = |kind: io::ErrorKind| self::kind(redb::Error::Io(kind.into()));
        assert_eq!(io(io::ErrorKind::StorageFull), ErrorKind::DiskFull);
        assert!(matches!(
            io(io::ErrorKind::PermissionDenied),
            ErrorKind::PermissionDenied { .. }
        ));
        assert!(matches!(
            io(io::ErrorKind::UnexpectedEof),
            ErrorKind::Corruption { .. }
        ));
        assert!(matches!(
            io(io::ErrorKind::InvalidData),
            ErrorKind::Corruption { .. }
        ));
        assert!(matches!(io(io::ErrorKind::Other), ErrorKind::Io { .. }));
    }

    #[test]
    fn the_source_is_kept() {
        let error = fail(redb::StorageError::PreviousIo);
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(source.is_some_and(|text| text.contains("Previous I/O error")));
        assert_eq!(error.engine(), Some("redb"));
    }
}
