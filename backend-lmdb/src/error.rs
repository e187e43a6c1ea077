//! LMDB's errors as ours, in one table.
//!
//! Invariants: every error of heed goes through [`Blame::error`]; the original stays as the source;
//! what a caller can act on (full, too many readers, corruption, disk full) is never left as a
//! plain engine error. The integration tests provoke each row that can be provoked.

use std::fs::File;
use std::path::{Path, PathBuf};

use heed::MdbError;
use storage_api::{Error, ErrorKind};

/// The engine's name in errors.
pub(crate) const ENGINE: &str = "lmdb";

/// The data file's name inside the engine's directory.
pub(crate) const DATA_FILE: &str = "data.mdb";

/// A device with less room than this, in bytes, is full: what is left is less than one write of
/// LMDB.
const FULL_BELOW_BYTES: u64 = 256 << 10;

/// What an error message needs to know about the environment it happened in.
#[derive(Clone, Debug)]
pub(crate) struct Blame {
    /// The engine's directory.
    pub(crate) path: PathBuf,
    /// The size of the map at present, in bytes.
    pub(crate) map_bytes: u64,
    /// Reader slots.
    pub(crate) readers_max: u32,
    /// Tables asked for at opening.
    pub(crate) tables: usize,
}

impl Blame {
    /// The error of this operation.
    #[cold]
    pub(crate) fn error(&self, operation: &'static str, source: heed::Error) -> Error {
        let error = match source {
            heed::Error::Io(source) => Error::from_io(source, self.path.display().to_string()),
            source => Error::new(self.kind(&source)).with_source(source),
        };
        error.with_engine(ENGINE).with_operation(operation)
    }

    fn kind(&self, source: &heed::Error) -> ErrorKind {
        match source {
            heed::Error::Mdb(code) => self.kind_of_code(*code, source),
            heed::Error::EnvAlreadyOpened => ErrorKind::AlreadyOpen {
                path: self.path.display().to_string(),
                holder_pid: Some(std::process::id()),
            },
            heed::Error::Encoding(reason) | heed::Error::Decoding(reason) => ErrorKind::Codec {
                reason: reason.to_string(),
            },
            heed::Error::Io(_) => ErrorKind::Engine,
        }
    }

    fn kind_of_code(&self, code: MdbError, source: &heed::Error) -> ErrorKind {
        match code {
            MdbError::MapFull => ErrorKind::Full {
                limit_bytes: self.map_bytes,
            },
            MdbError::ReadersFull => ErrorKind::TooManyReaders {
                max: self.readers_max,
            },
            MdbError::DbsFull => ErrorKind::TooManyTables {
                asked: self.tables,
                max: self.tables,
            },
            MdbError::BadValSize => ErrorKind::InvalidArgument {
                reason: "key is empty or longer than 511 bytes, or value longer than 4 GiB"
                    .to_owned(),
            },
            MdbError::Invalid
            | MdbError::VersionMismatch
            | MdbError::PageNotFound
            | MdbError::Corrupted
            | MdbError::CursorFull
            | MdbError::PageFull
            | MdbError::Incompatible => corruption(&self.path, source.to_string()),
            MdbError::Panic => ErrorKind::Poisoned {
                cause: source.to_string(),
            },
            MdbError::BadTxn => ErrorKind::TxnFailed,
            MdbError::KeyExist
            | MdbError::NotFound
            | MdbError::TlsFull
            | MdbError::TxnFull
            | MdbError::MapResized
            | MdbError::BadRslot
            | MdbError::BadDbi
            | MdbError::Problem
            | MdbError::Other(_) => ErrorKind::Engine,
        }
    }
}

/// Damage of the data file in this directory.
pub(crate) fn corruption(directory: &Path, what: impl Into<String>) -> ErrorKind {
    ErrorKind::Corruption {
        place: directory.join(DATA_FILE).display().to_string(),
        what: what.into(),
    }
}

/// Whether an operation failed because the map is full.
pub(crate) fn is_map_full(source: &heed::Error) -> bool {
    matches!(source, heed::Error::Mdb(MdbError::MapFull))
}

/// Whether a commit that failed this way stopped before anything was written.
pub(crate) fn is_before_writing(source: &heed::Error) -> bool {
    matches!(
        source,
        heed::Error::Mdb(
            MdbError::MapFull | MdbError::BadTxn | MdbError::TxnFull | MdbError::BadDbi
        )
    )
}

/// Whether the device of this file had no room. LMDB reports a write that was cut short as `EIO`,
/// whatever cut it, so that error counts as a full device when the device has next to nothing left.
pub(crate) fn is_disk_full(source: &heed::Error, file: &File) -> bool {
    use std::io::ErrorKind as Io;
    const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
    let heed::Error::Io(error) = source else {
        return false;
    };
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => true,
        _ if error.raw_os_error() == Some(EIO) => rustix::fs::fstatvfs(file)
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < FULL_BELOW_BYTES),
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_table_names_limits_and_keeps_the_source() {
        let blame = Blame {
            path: PathBuf::from("/store"),
            map_bytes: 4096,
            readers_max: 7,
            tables: 3,
        };
        let rows = [
            (MdbError::MapFull, ErrorKind::Full { limit_bytes: 4096 }),
            (MdbError::ReadersFull, ErrorKind::TooManyReaders { max: 7 }),
            (
                MdbError::DbsFull,
                ErrorKind::TooManyTables { asked: 3, max: 3 },
            ),
            (MdbError::BadTxn, ErrorKind::TxnFailed),
            (MdbError::Problem, ErrorKind::Engine),
        ];
        for (code, kind) in rows {
            let error = blame.error("put", heed::Error::Mdb(code));
            assert_eq!(error.kind(), &kind);
            assert_eq!(error.engine(), Some("lmdb"));
            assert_eq!(error.operation(), Some("put"));
            let source = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(source, Some(code.to_string()));
        }
        for code in [
            MdbError::Invalid,
            MdbError::VersionMismatch,
            MdbError::PageNotFound,
            MdbError::Corrupted,
            MdbError::Incompatible,
        ] {
            assert!(blame.error("get", heed::Error::Mdb(code)).is_corruption());
        }
        let full = heed::Error::Io(io::Error::from(io::ErrorKind::StorageFull));
        let file = tempfile::tempfile().unwrap();
        assert!(is_disk_full(&full, &file));
        let failed = io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
        assert!(!is_disk_full(&heed::Error::Io(failed), &file));
        assert_eq!(blame.error("commit", full).kind(), &ErrorKind::DiskFull);
        let panicked = blame.error("begin", heed::Error::Mdb(MdbError::Panic));
        assert!(panicked.needs_reopen());
    }
}
