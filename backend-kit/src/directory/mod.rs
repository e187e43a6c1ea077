//! The directory around an engine's files: marker, lock, data folder. Format:
//! `docs/format/directory.md`.
//!
//! ```text
//! STORE/CHAINSTORE        marker: engine, format, store id, chain id, state, tables; replaced
//! atomically
//! STORE/CHAINSTORE.lock   lock: exclusive for the writer, shared for readers; holds the last
//! writer's process id
//! STORE/data/             the engine's own files
//! STORE/bulk/             what bulk loads spill; not there while none is under way
//! STORE/segments/         bodies of blocks, where a block store keeps them in files
//! STORE/quarantine/       what repairs removed
//! ```
//!
//! Invariants: a directory of another engine, chain or newer format is refused and not one byte of
//! it is touched (bsc#2647 lost a data directory that way); a non-empty directory without marker is
//! never adopted; the marker says `creating` until the engine's files are complete, so a creation
//! that was killed is started again and never mistaken for an empty store; a table is in the marker
//! before it is in the engine. Read-only opening writes nothing.

mod creation;
mod lock;
mod marker;
mod seal;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_api::{Access, Error, ErrorKind, IfMissing, OpenOptions, Result};

pub use creation::Creation;
pub use lock::Lock;
pub use marker::{FillSource, MARKER_BYTES_MAX, MARKER_VERSION, Marker, State};
pub use seal::SEAL_FILE;

/// The marker's file name.
pub const MARKER_FILE: &str = "CHAINSTORE";
const MARKER_TEMPORARY: &str = "CHAINSTORE.tmp";
/// The lock's file name.
pub const LOCK_FILE: &str = "CHAINSTORE.lock";
/// The folder of bulk loads.
pub const BULK_FOLDER: &str = "bulk";
/// The engine's folder.
pub const DATA_FOLDER: &str = "data";
/// The folder of a block store that keeps bodies in segment files, which copies take along.
pub const SEGMENTS_FOLDER: &str = "segments";
/// The folder of what repairs removed, which no copy takes along.
pub const QUARANTINE_FOLDER: &str = "quarantine";

/// A store's directory, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    existed: bool,
    lock: Option<Arc<Lock>>,
}

/// What [`Directory::open`] found.
#[derive(Debug)]
pub enum Found {
    /// A complete store.
    Existing(Marker),
    /// A copy that is not complete. Only who goes on filling it may open it.
    Filling(Marker, FillSource),
    /// Nothing, or a creation that was cut short; the caller makes a store now.
    Nothing,
}

/// The refusal of a copy that is not complete.
pub(crate) fn unfinished(path: &Path, source: FillSource) -> Error {
    not_a_store(
        path,
        format!(
            "an unfinished copy of store {:032x} at commit {}: run the same migration again to \
             finish it, or remove the directory",
            source.store_id,
            source.commit.get()
        ),
    )
}

/// Reads the marker of a directory without locking or touching it; `None` when there is no marker.
///
/// # Errors
/// `NotAStore` when the path is not a directory, `FormatTooNew`, `Corruption`, `PermissionDenied`,
/// `Io`.
pub fn read_marker(path: &Path) -> Result<Option<Marker>> {
    let file = path.join(MARKER_FILE);
    // One byte more than a marker may have is enough to refuse it.
    let read = fs::File::open(&file).and_then(|opened| {
        let mut text = Vec::new();
        opened
            .take(MARKER_BYTES_MAX as u64 + 1)
            .read_to_end(&mut text)?;
        Ok(text)
    });
    match read {
        Ok(text) => Marker::parse(&text, &file.display().to_string()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(not_a_store(path, "a file"))
        }
        Err(error) => Err(io_error(error, &file)),
    }
}

/// Bytes that the files below a directory hold on the device.
///
/// # Errors
/// `PermissionDenied`, `Io`. Files and folders that vanish meanwhile count as
/// nothing.
pub fn disk_bytes(path: &Path) -> Result<u64> {
    let mut total = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != path => continue,
            Err(error) => return Err(io_error(error, &folder)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| io_error(error, &folder))?;
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => total += allocated_bytes(&about),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(error, &entry.path())),
            }
        }
    }
    Ok(total)
}

/// Bytes that this process can still use of the file system that a directory is on; `None` where
/// the system does not say.
#[must_use]
pub fn disk_free_bytes(path: &Path) -> Option<u64> {
    free_bytes(path)
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(path).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

#[cfg(unix)]
fn allocated_bytes(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // A sparse file holds less than its length; space that an engine set aside behind the end of
    // a file (RocksDB does for its log) holds nothing yet and is given back on closing.
    (about.blocks() * 512).min(about.len().next_multiple_of(4096))
}

#[cfg(not(unix))]
fn allocated_bytes(about: &fs::Metadata) -> u64 {
    about.len()
}

fn io_error(error: io::Error, place: &Path) -> Error {
    Error::from_io(error, place.display().to_string())
}

fn not_a_store(path: &Path, found: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotAStore {
        path: path.display().to_string(),
        found: found.into(),
    })
}

fn not_found(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound {
        path: path.display().to_string(),
    })
}

/// Syncs a folder, so that names made or replaced in it are durable.
///
/// # Errors
/// `Io`.
pub fn sync_folder(path: &Path) -> Result<()> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error(error, path))
}

fn make_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| io_error(error, path))
}

/// Makes a folder and those above it, and syncs the folders that got a new name in them.
///
/// # Errors
/// `DiskFull`, `PermissionDenied`, `Io`.
pub fn make_durable_folder(path: &Path) -> Result<()> {
    let mut changed = Vec::new();
    for folder in path.ancestors().skip(1) {
        let here = folder.as_os_str().is_empty();
        let folder = if here { Path::new(".") } else { folder };
        changed.push(folder);
        if folder.exists() {
            break;
        }
    }
    make_folder(path)?;
    for folder in changed {
        match sync_folder(folder) {
            // A folder may be writable and not readable; its file system syncs it in its own time.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied { .. }) => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Refuses a directory without marker that holds anything but our own leavings.
fn check_adoptable(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).map_err(|error| io_error(error, path))? {
        let name = entry.map_err(|error| io_error(error, path))?.file_name();
        if name != LOCK_FILE && name != MARKER_TEMPORARY {
            let name = name.to_string_lossy().into_owned();
            return Err(not_a_store(
                path,
                format!("no {MARKER_FILE} file, but {name:?}"),
            ));
        }
    }
    Ok(())
}

fn check_marker(
    marker: &Marker,
    path: &Path,
    engine: (&str, u32),
    options: &OpenOptions,
) -> Result<()> {
    let (engine, format) = engine;
    if marker.engine != engine {
        return Err(Error::new(ErrorKind::WrongEngine {
            path: path.display().to_string(),
            expected: engine.to_owned(),
            found: marker.engine.clone(),
        }));
    }
    if marker.engine_format > format {
        return Err(Error::new(ErrorKind::FormatTooNew {
            what: format!("{engine} tables in {}", path.display()),
            found: marker.engine_format,
            supported: format,
        }));
    }
    match (&options.chain_id, &marker.chain_id) {
        // A store that belongs to no chain yet takes the first one named.
        (Some(asked), Some(found)) if asked != found => Err(Error::new(ErrorKind::WrongChain {
            expected: asked.to_string(),
            found: found.to_string(),
        })),
        _ => Ok(()),
    }
}

impl Directory {
    /// Looks at the path, refuses what is not ours, and locks the rest: exclusively to write,
    /// shared to read.
    ///
    /// # Errors
    /// `NotFound`, `NotAStore`, `WrongEngine`, `WrongChain`, `FormatTooNew`, `AlreadyOpen`,
    /// `PermissionDenied`, `Corruption`, `Io`. Nothing was touched then, except that a missing
    /// directory may have been made.
    pub fn open(path: &Path, engine: (&str, u32), options: &OpenOptions) -> Result<(Self, Found)> {
        let creates =
            options.access == Access::ReadWrite && options.if_missing == IfMissing::Create;
        let existed = match fs::metadata(path) {
            Ok(about) if about.is_dir() => true,
            Ok(_) => return Err(not_a_store(path, "a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && creates => {
                make_durable_folder(path)?;
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(path)),
            Err(error) => return Err(io_error(error, path)),
        };
        Self::look(path, engine, options, creates)?;
        let lock = Lock::acquire(path, options.access)?;
        // The first look was without lock; only what is seen under it counts.
        let found = Self::look(path, engine, options, creates)?;
        Ok((
            Self {
                path: path.to_owned(),
                existed,
                lock: lock.map(Arc::new),
            },
            found,
        ))
    }

    fn look(
        path: &Path,
        engine: (&str, u32),
        options: &OpenOptions,
        creates: bool,
    ) -> Result<Found> {
        match read_marker(path)? {
            Some(marker) => {
                check_marker(&marker, path, engine, options)?;
                match marker.state {
                    State::Ready => Ok(Found::Existing(marker)),
                    State::Filling(source) => Ok(Found::Filling(marker, source)),
                    State::Creating if creates => Ok(Found::Nothing),
                    State::Creating => Err(not_a_store(path, "a creation that was cut short")),
                }
            }
            None => {
                if let Err(refused) = check_adoptable(path) {
                    // Without the lock, another process may have begun a creation meanwhile.
                    return match read_marker(path)? {
                        Some(_) => Self::look(path, engine, options, creates),
                        None => Err(refused),
                    };
                }
                if creates {
                    Ok(Found::Nothing)
                } else {
                    Err(not_found(path))
                }
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder was there before it was opened.
    #[must_use]
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// The engine's folder.
    #[must_use]
    pub fn data_path(&self) -> PathBuf {
        self.path.join(DATA_FOLDER)
    }

    /// The folder of bulk loads, which need not exist.
    #[must_use]
    pub fn bulk_path(&self) -> PathBuf {
        self.path.join(BULK_FOLDER)
    }

    /// The folder of bodies in segment files, which need not exist.
    #[must_use]
    pub fn segments_path(&self) -> PathBuf {
        self.path.join(SEGMENTS_FOLDER)
    }

    /// Removes what loads left behind that did not end, as a killed process leaves them.
    ///
    /// # Errors
    /// `PermissionDenied`, `Io`.
    pub fn sweep(&self) -> Result<()> {
        let bulk = self.bulk_path();
        match fs::remove_dir_all(&bulk) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error, &bulk)),
            _ => Ok(()),
        }
    }

    /// Gives up what the seal tells, if there is one.
    ///
    /// # Errors
    /// `PermissionDenied`, `Io`.
    pub fn remove_seal(&self) -> Result<()> {
        let seal = self.path.join(SEAL_FILE);
        match fs::remove_file(&seal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error, &seal)),
            _ => Ok(()),
        }
    }

    /// Begins the creation: the marker first, then an empty data folder and no segments.
    ///
    /// # Errors
    /// `DiskFull`, `PermissionDenied`, `Io`.
    pub fn begin_creation(&self, marker: &Marker) -> Result<()> {
        debug_assert_eq!(marker.state, State::Creating);
        self.write_marker(marker)?;
        // The seal of a store that was here before would condemn the new one.
        self.remove_seal()?;
        let data = self.data_path();
        for folder in [&data, &self.segments_path()] {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(error, folder));
                }
                _ => {}
            }
        }
        make_folder(&data)?;
        sync_folder(&self.path)
    }

    /// What undoes the creation in this directory; it keeps the directory locked until then.
    pub fn creation(&self) -> Creation {
        Creation::of(self)
    }

    /// Replaces the marker atomically and durably.
    ///
    /// # Errors
    /// `DiskFull`, `PermissionDenied`, `Io`; the old marker is in force then, or the new one where
    /// only the sync of the folder failed.
    pub fn write_marker(&self, marker: &Marker) -> Result<()> {
        use std::io::Write;
        let temporary = self.path.join(MARKER_TEMPORARY);
        let write = || -> io::Result<()> {
            let mut file = lock::owner_only()
                .create(true)
                .truncate(true)
                .open(&temporary)?;
            file.write_all(marker.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, self.path.join(MARKER_FILE))
        };
        write().map_err(|error| {
            let _gone = fs::remove_file(&temporary);
            io_error(error, &temporary)
        })?;
        sync_folder(&self.path)
    }

    /// Whether the directory is locked at all; a read-only mount without lock file cannot be.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}
