//! RocksDB's errors, sorted by what the caller does about them: one table, in [`sorted`].
//!
//! Invariants: RocksDB's own error stays the source; a file that RocksDB looks for and does not
//! find is damage, because it reads only what it wrote down before; a failed write counts as not
//! committed only where RocksDB refuses before it touches its log. RocksDB hands its errors over as
//! text, so kinds and file names are read from the text; what is not recognised is `Engine`.

use std::path::Path;

use backend_kit::CommitFailure;
use rocksdb::ErrorKind as Kind;
use storage_api::{Error, ErrorKind};

/// The engine's name.
pub(crate) const NAME: &str = "rocks";

/// Any error of RocksDB in this directory.
#[cold]
pub(crate) fn fail(error: rocksdb::Error, directory: &Path) -> Error {
    let kind = sorted(&error, directory);
    Error::new(kind).with_engine(NAME).with_source(error)
}

/// What a failed write means for its commit.
#[cold]
pub(crate) fn fail_commit(error: rocksdb::Error, directory: &Path) -> CommitFailure {
    // These three are refused before the log is written. An invalid argument is not among them:
    // RocksDB may find it half-way through a batch.
    let untouched = matches!(error.kind(), Kind::Busy | Kind::TryAgain | Kind::Incomplete);
    let error = fail(error, directory);
    if untouched {
        CommitFailure::Aborted(error)
    } else {
        CommitFailure::Unknown(error)
    }
}

/// Whether an iterator gave up because it skipped too many deleted rows.
pub(crate) fn skipped_too_many(error: &rocksdb::Error) -> bool {
    error.kind() == Kind::Incomplete
}

fn sorted(error: &rocksdb::Error, directory: &Path) -> ErrorKind {
    let text = error.as_ref();
    let has = |part: &str| text.contains(part);
    let place = || place_in(text, directory);
    let damage = || ErrorKind::Corruption {
        place: place(),
        what: text.to_owned(),
    };
    // RocksDB hands some failures of the system on as another kind: opening `CURRENT` as an invalid
    // argument, and its Rust binding making the directory as an unknown one.
    let kind = match error.kind() {
        Kind::InvalidArgument
            if has("Direct I/O is not supported") || has("incompatible with filesystem") =>
        {
            Kind::IOError
        }
        Kind::Unknown if has("Failed to create RocksDB directory") => Kind::IOError,
        kind => kind,
    };
    match kind {
        Kind::Corruption => damage(),
        Kind::IOError if has("lock hold by current process") || has("While lock file") => {
            ErrorKind::AlreadyOpen {
                path: directory.display().to_string(),
                holder_pid: None,
            }
        }
        Kind::IOError
            if [
                "No space left on device",
                "Disk quota exceeded",
                "File too large",
            ]
            .iter()
            .any(|text| has(text)) =>
        {
            ErrorKind::DiskFull
        }
        Kind::IOError if has("Permission denied") => ErrorKind::PermissionDenied { path: place() },
        Kind::IOError if has("No such file or directory") => damage(),
        Kind::IOError => ErrorKind::Io { place: place() },
        Kind::InvalidArgument if has("create_if_missing is false") => ErrorKind::Corruption {
            place: directory.join("CURRENT").display().to_string(),
            what: "the file is missing".to_owned(),
        },
        Kind::NotSupported if has("read only mode") => ErrorKind::ReadOnly,
        Kind::Busy | Kind::TryAgain | Kind::TimedOut => ErrorKind::Conflict,
        Kind::ShutdownInProgress => ErrorKind::Poisoned {
            cause: "the engine is closing".to_owned(),
        },
        _ => ErrorKind::Engine,
    }
}

/// The file that the text names inside the directory, or the directory.
fn place_in(text: &str, directory: &Path) -> String {
    let whole = directory.display().to_string();
    let file = text.find(&whole).map(|at| {
        let rest = &text[at + whole.len()..];
        let len = rest
            .find(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '\'' | '"' | ')'))
            .unwrap_or(rest.len());
        format!("{whole}{}", &rest[..len])
    });
    file.unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::{fail, fail_commit, place_in};
    use backend_kit::CommitFailure;
    use rocksdb::{DB, Options, WriteOptions};
    use std::path::Path;
    use storage_api::ErrorKind;

    #[test]
    fn a_file_is_found_in_the_text() {
        let directory = Path::new("/data/my store/rocks");
        let text = "Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4  in \
                    /data/my store/rocks/000012.sst offset 0 size 99";
        assert_eq!(place_in(text, directory), "/data/my store/rocks/000012.sst");
        assert_eq!(
            place_in("Corruption: bad", directory),
            "/data/my store/rocks"
        );
        let quoted = "IO error: while opening '/data/my store/rocks/MANIFEST-000005': gone";
        assert_eq!(
            place_in(quoted, directory),
            "/data/my store/rocks/MANIFEST-000005"
        );
    }

    fn kind(result: Result<impl Sized, rocksdb::Error>, place: &Path) -> Option<ErrorKind> {
        result.err().map(|error| fail(error, place).kind().clone())
    }

    #[test]
    fn kinds_are_as_rocksdb_words_them() -> Result<(), Box<dyn std::error::Error>> {
        let parent = tempfile::tempdir()?;
        let place = parent.path();
        let file = place.join("file");
        std::fs::write(&file, b"no directory")?;
        let below = kind(DB::open(&Options::default(), file.join("store")), place);
        assert!(matches!(below, Some(ErrorKind::Io { .. })), "{below:?}");
        std::fs::remove_file(&file)?;
        let missing = kind(DB::open(&Options::default(), place), place);
        let Some(ErrorKind::Corruption { place: file, .. }) = missing else {
            return Err(format!("{missing:?}").into());
        };
        assert!(file.ends_with("CURRENT"), "{file}");
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, place)?;
        let held = kind(DB::open(&options, place), place);
        assert!(
            matches!(held, Some(ErrorKind::AlreadyOpen { .. })),
            "{held:?}"
        );
        let unknown = kind(db.set_options(&[("no_such_option", "1")]), place);
        assert_eq!(unknown, Some(ErrorKind::Engine));
        // An invalid argument, which RocksDB may find half-way through a batch.
        let mut refused = WriteOptions::default();
        refused.set_sync(true);
        refused.disable_wal(true);
        let failure = db.put_opt(b"k", b"v", &refused).err();
        let failure = failure.map(|error| fail_commit(error, place));
        assert!(
            matches!(failure, Some(CommitFailure::Unknown(_))),
            "{failure:?}"
        );
        drop(db);
        let db = DB::open_for_read_only(&options, place, false)?;
        assert_eq!(kind(db.put(b"k", b"v"), place), Some(ErrorKind::ReadOnly));
        Ok(())
    }
}
