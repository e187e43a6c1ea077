//! The medium as the writable database sees it, and what happens when the device fails it.
//!
//! redb refuses every read that is not cached after one failed write. A store that failed goes on
//! reading, so redb is not told: the first failed write, cut or sync freezes the medium, and that
//! and all later writes are kept in memory, where redb reads them back.
//!
//! Invariants: nothing reaches the device after it failed; whoever let redb change anything asks
//! [`Frozen::check`] before it believes redb's success; a commit that redb believes in then is not
//! one. Cost: one atomic load a call.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use redb::{BackendError, StorageBackend};
use storage_api::{Error, ErrorKind, Result};

use crate::engine::NAME;
use crate::error::from_io;
use crate::file::{Locking, Medium, Overlay, Used};

/// Whether the device has failed, and what was written since.
#[derive(Debug, Default)]
pub(crate) struct Frozen(OnceLock<Ice>);

/// The first failure, and the writes that are kept in memory because of it.
#[derive(Debug)]
struct Ice {
    kind: io::ErrorKind,
    os_code: Option<i32>,
    text: String,
    overlay: Overlay,
}

impl Frozen {
    /// Whether the device has failed.
    pub(crate) fn is_frozen(&self) -> bool {
        self.0.get().is_some()
    }

    /// The failure of the device as an error of this place, if it has failed.
    ///
    /// # Errors
    /// `DiskFull`, `PermissionDenied`, `Io`.
    #[inline]
    pub(crate) fn check(&self, place: &str) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(ice) => Err(ice.error(place)),
        }
    }

    /// Refuses to begin what would write.
    ///
    /// # Errors
    /// `Poisoned`.
    pub(crate) fn check_writable(&self, place: &str) -> Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(ice) => Err(Error::new(ErrorKind::Poisoned {
                cause: format!("an earlier write of {place} failed: {}", ice.text),
            })
            .with_engine(NAME)),
        }
    }
}

impl Ice {
    #[cold]
    fn error(&self, place: &str) -> Error {
        let source = match self.os_code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.text.clone()),
        };
        from_io(source, place)
    }
}

/// The medium as the writable database sees it.
#[derive(Debug)]
pub(crate) struct Live {
    medium: Arc<Medium>,
    frozen: Arc<Frozen>,
}

impl Live {
    pub(crate) fn new(medium: Arc<Medium>, frozen: Arc<Frozen>) -> Self {
        Self { medium, frozen }
    }

    fn ice(&self) -> Option<&Overlay> {
        self.frozen.0.get().map(|ice| &ice.overlay)
    }

    /// Does it to the device, or to the memory that takes its place once it has failed.
    fn change(
        &self,
        on_device: impl FnOnce(&Medium) -> io::Result<()>,
        in_memory: impl FnOnce(&Overlay) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(overlay) = self.ice() {
            return in_memory(overlay);
        }
        let Err(error) = on_device(&self.medium) else {
            return Ok(());
        };
        let overlay = Overlay::new(Arc::clone(&self.medium), Locking::None)?;
        let ice = self.frozen.0.get_or_init(|| Ice {
            kind: error.kind(),
            os_code: error.raw_os_error(),
            text: error.to_string(),
            overlay,
        });
        in_memory(&ice.overlay)
    }
}

impl StorageBackend for Live {
    fn len(&self) -> io::Result<u64> {
        match self.ice() {
            None => self.medium.len(),
            Some(overlay) => overlay.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.ice() {
            None => self.medium.backend.read(offset, out),
            Some(overlay) => overlay.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(
            |medium| {
                medium.backend.set_len(len)?;
                medium.used.note_len(len);
                Ok(())
            },
            |overlay| overlay.set_len(len),
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|medium| medium.backend.sync_data(), |_| Ok(()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(
            |medium| {
                medium.backend.write(offset, data)?;
                if let Used::Pages(pages) = &medium.used {
                    pages.add(offset, data.len());
                }
                Ok(())
            },
            |overlay| overlay.write(offset, data),
        )
    }

    fn close(&self) -> io::Result<()> {
        self.medium.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.medium.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.backend.query_lock_range(start, end)
    }
}
