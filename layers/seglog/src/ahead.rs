//! The file of the next segment, written in advance while the present one fills.
//!
//! Invariants: what is written here is zeros in a file of a name of its own, which becomes the
//! spare only when all of it is durable, so no segment is ever touched; names that a segment may
//! take change under one lock; a failure is no failure of the log, which writes without. The thread
//! belongs to the log and ends with it. Cost: the bytes of a segment once more, on another thread,
//! while durable appends then find space that is there, known to the file system, and in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::disk::{Access, write_all};
use crate::log::Shared;
use crate::segment::{SPARE, SegmentNumber};
use crate::write::ZEROS;

/// The name of a file that is written in advance. What is left of it is removed by opening.
pub(crate) const AHEAD: &str = "ahead.new";

/// Bytes after which a sync comes, so that none of them is long.
const SYNC_BYTES: u64 = 8 << 20;

/// Who writes in advance.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The segment that was being filled when the last file was begun: there is one for each.
    begun_in: Option<SegmentNumber>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to write a file of so many bytes, if none was begun for this segment.
    pub(crate) fn begin(&mut self, shared: &Arc<Shared>, within: SegmentNumber, bytes: u64) {
        let is_busy = self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished());
        if self.begun_in == Some(within) || is_busy {
            return;
        }
        self.begun_in = Some(within);
        let (shared, stop) = (Arc::clone(shared), Arc::clone(&self.stop));
        let disk = Arc::clone(&shared.disk);
        self.thread = disk.run(Box::new(move || {
            if let Err(error) = write(&shared, bytes, &stop) {
                tracing::debug!(%error, "no segment was written in advance");
                // What is left is in nobody's way but for its bytes.
                let _removed = shared.disk.remove(AHEAD);
            }
        }));
    }

    /// Ends the thread; what it was writing stays for the next opening to remove.
    pub(crate) fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever panicked there wrote zeros in a file that nobody needs.
            let _ended = thread.join();
        }
        self.stop.store(false, Ordering::Relaxed);
    }

    /// Gives back the space of what was written in advance; whether there was any.
    pub(crate) fn give_back(&mut self, shared: &Shared) -> bool {
        self.end();
        let _names = shared.names();
        remove_spares(shared)
    }
}

/// Removes what is only kept for its bytes; whether there was any. Whoever calls holds the names.
pub(crate) fn remove_spares(shared: &Shared) -> bool {
    let given = [SPARE, AHEAD].map(|name| shared.disk.remove(name).is_ok());
    given.contains(&true)
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(shared: &Shared, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
    let disk = &shared.disk;
    {
        let _names = shared.names();
        if disk.open(SPARE, Access::Overwrite).is_ok() {
            return Ok(());
        }
    }
    let file = match disk.open(AHEAD, Access::Overwrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(AHEAD),
        opened => opened,
    }?;
    let (mut at, mut synced) = (0, 0);
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let step = ZEROS
            .len()
            .min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        write_all(&*file, at, [ZEROS.get(..step).unwrap_or_default()])?;
        at += step as u64;
        if at - synced >= SYNC_BYTES {
            file.sync()?;
            synced = at;
        }
    }
    file.sync()?;
    let _names = shared.names();
    disk.rename(AHEAD, SPARE)?;
    disk.sync_names()?;
    Ok(())
}
