//! What a database is stored on: [`Medium`], the bytes themselves; [`Overlay`], how everything but
//! the writable database reaches them, keeping its own writes in memory. The writable database has
//! [`crate::live`].
//!
//! Invariants: an overlay never writes to the medium, and closes or locks it only when it was given
//! the locks. Cost: a live database counts its pages ([`UsedPages`]); an overlay holds one page of
//! memory for each page that was written to it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, StorageBackend};
use storage_api::{Access, Error, Location, Result};

use crate::error::{fail_at, from_io, missing};
use crate::options::{BackendSource, DATA_FILE_NAME};
use crate::used::{PAGE_BYTES, UsedPages};

/// redb's magic number; the byte behind it holds the flags. Source: redb's `docs/design.md`,
/// super-header.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// Flag: the writer has not closed the database.
const RECOVERY_REQUIRED: u8 = 2;

/// How the last writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastEnd {
    /// It closed the database, or there never was one.
    Clean,
    /// It did not.
    Unclean,
}

/// The bytes of one database.
#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) backend: Box<dyn StorageBackend>,
    pub(crate) used: Used,
}

/// How bytes in use are counted.
#[derive(Debug)]
pub(crate) enum Used {
    /// Pages that were ever written.
    Pages(UsedPages),
    /// The length: in memory, redb writes what it holds only when its cache is full.
    Length(AtomicU64),
}

impl Used {
    /// Notes that the medium has this length now.
    pub(crate) fn note_len(&self, len: u64) {
        match self {
            Self::Pages(pages) => pages.cut(len),
            Self::Length(now) => now.store(len, Ordering::Relaxed),
        }
    }
}

impl Medium {
    /// Opens the storage of a database and gives the name it has in messages. A writable file is
    /// made when `fresh`, with access for its owner only; it is never made otherwise, because a
    /// lost file must not become an empty store.
    pub(crate) fn open(
        location: Location<'_>,
        access: Access,
        fresh: bool,
        source: &BackendSource,
    ) -> Result<(Arc<Self>, String)> {
        let path = match location {
            Location::Memory => None,
            Location::Directory(directory) => Some(directory.join(DATA_FILE_NAME)),
        };
        let place = path
            .as_ref()
            .map_or_else(|| "memory".to_owned(), |p| p.display().to_string());
        let explain = |error| from_io(error, &place);
        let backend: Box<dyn StorageBackend> = match (source, &path) {
            (BackendSource::Custom(factory), _) => {
                factory.open(path.as_deref(), access).map_err(explain)?
            }
            (BackendSource::Native, None) => Box::new(InMemoryBackend::new()),
            (BackendSource::Native, Some(path)) => {
                let file = open_file(path, access, fresh).map_err(|error| {
                    // The store is there, so this is not the answer that there is none.
                    if error.kind() == io::ErrorKind::NotFound && !fresh {
                        missing(error, &place)
                    } else {
                        explain(error)
                    }
                })?;
                Box::new(FileBackend::new(file).map_err(|error| fail_at(error, &place))?)
            }
        };
        let len = backend.len().map_err(explain)?;
        let used = match path {
            Some(_) => Used::Pages(UsedPages::of_length(len)),
            None => Used::Length(len.into()),
        };
        Ok((Arc::new(Self { backend, used }), place))
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    /// Bytes in use, without asking the backend.
    pub(crate) fn used_bytes(&self) -> u64 {
        match &self.used {
            Used::Pages(pages) => pages.bytes(),
            Used::Length(len) => len.load(Ordering::Relaxed),
        }
    }

    /// How the last writer ended, before this one opens the database.
    pub(crate) fn last_end(&self) -> io::Result<LastEnd> {
        let mut head = [0; MAGIC.len() + 1];
        if self.backend.len()? < head.len() as u64 {
            return Ok(LastEnd::Clean);
        }
        self.backend.read(0, &mut head)?;
        let [magic @ .., flags] = head;
        let unclean = magic == MAGIC && flags & RECOVERY_REQUIRED != 0;
        Ok(if unclean {
            LastEnd::Unclean
        } else {
            LastEnd::Clean
        })
    }
}

fn open_file(path: &Path, access: Access, fresh: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    if access == Access::ReadWrite {
        options.write(true).create(fresh);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(path)?;
    if fresh && access == Access::ReadWrite {
        // The name must be as durable as the first commit.
        if let Some(directory) = path.parent() {
            fs::File::open(directory)?.sync_all()?;
        }
    }
    Ok(file)
}

/// What an overlay does about redb's locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locking {
    /// It takes each as a shared one, which a file that is open for reading allows, and gives them
    /// back on closing.
    Shared,
    /// It takes none: another database of this process holds them.
    None,
}

#[derive(Debug)]
struct Pages {
    len: u64,
    /// How much of the medium still shows through; falls when the overlay is cut, and never rises
    /// again.
    medium_len: u64,
    written: BTreeMap<u64, Box<[u8]>>,
}

/// The medium with all writes kept in memory.
#[derive(Debug)]
pub(crate) struct Overlay {
    medium: Arc<Medium>,
    locking: Locking,
    pages: RwLock<Pages>,
}

impl Overlay {
    /// An overlay of the medium as long as it is now.
    pub(crate) fn new(medium: Arc<Medium>, locking: Locking) -> io::Result<Self> {
        let len = medium.len()?;
        let pages = RwLock::new(Pages {
            len,
            medium_len: len,
            written: BTreeMap::new(),
        });
        Ok(Self {
            medium,
            locking,
            pages,
        })
    }

    fn read_medium(&self, medium_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = medium_len.saturating_sub(offset);
        let split = usize::try_from(there).map_or(out.len(), |there| there.min(out.len()));
        let (from_medium, beyond) = out.split_at_mut(split);
        beyond.fill(0);
        if from_medium.is_empty() {
            return Ok(());
        }
        self.medium.backend.read(offset, from_medium)
    }
}

/// The part of a page that a range of bytes covers: where it begins in the page and in the range,
/// and how long it is.
fn overlap(page: u64, offset: u64, len: usize) -> (usize, usize, usize) {
    let page_start = page * PAGE_BYTES;
    let start = page_start.max(offset);
    let end = (page_start + PAGE_BYTES).min(offset + len as u64);
    (
        (start - page_start) as usize,
        (start - offset) as usize,
        (end - start) as usize,
    )
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self
            .pages
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let end = offset
            .checked_add(out.len() as u64)
            .filter(|end| *end <= pages.len);
        let Some(end) = end else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.read_medium(pages.medium_len, offset, out)?;
        for (page, bytes) in pages
            .written
            .range(offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES))
        {
            let (at, to, len) = overlap(*page, offset, out.len());
            out[to..to + len].copy_from_slice(&bytes[at..at + len]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        if len < pages.len {
            pages.medium_len = pages.medium_len.min(len);
            let _cut = pages.written.split_off(&len.div_ceil(PAGE_BYTES));
            let tail = (len % PAGE_BYTES) as usize;
            if let Some(last) = pages.written.get_mut(&(len / PAGE_BYTES)) {
                last[tail..].fill(0);
            }
        }
        pages.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= pages.len);
        let Some(end) = end else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for page in offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES) {
            if !pages.written.contains_key(&page) {
                let mut bytes = vec![0; PAGE_BYTES as usize].into_boxed_slice();
                self.read_medium(pages.medium_len, page * PAGE_BYTES, &mut bytes)?;
                pages.written.insert(page, bytes);
            }
            if let Some(bytes) = pages.written.get_mut(&page) {
                let (at, from, len) = overlap(page, offset, data.len());
                bytes[at..at + len].copy_from_slice(&data[from..from + len]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        match self.locking {
            Locking::Shared => self.medium.backend.close(),
            Locking::None => Ok(()),
        }
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        match self.locking {
            Locking::Shared => self.medium.backend.try_lock_shared_range(start, end),
            Locking::None => Err(BackendError::Unsupported),
        }
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        match self.locking {
            Locking::Shared => self.medium.backend.unlock_range(start, end),
            Locking::None => Err(BackendError::Unsupported),
        }
    }
}

/// Refuses a database that should be there and is not: redb would make an empty one in its place.
pub(crate) fn check_not_empty(medium: &Medium, place: &str) -> Result<()> {
    match medium.len() {
        Ok(0) => Err(Error::corruption(place, "the file is empty")),
        Ok(_) => Ok(()),
        Err(error) => Err(from_io(error, place)),
    }
}

#[cfg(test)]
mod tests;
