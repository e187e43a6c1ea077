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

/// The name of a file that is written in advance. What is left of it is removed by opening.
pub(crate) const AHEAD: &str = "ahead.new";

/// Bytes that are written at once.
const STEP_BYTES: usize = 1 << 20;

/// Steps after which a sync comes, so that none of them is long.
const STEPS_TO_SYNC: u64 = 8;

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
        shared.spare_is_warm.store(false, Ordering::Relaxed);
        let given = [SPARE, AHEAD].map(|name| shared.disk.remove(name).is_ok());
        given.contains(&true)
    }
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
            if shared.spare_is_warm.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Bytes of a segment that was cut away are read from the disk before a part of a page
            // is changed; written anew in whole pages they are not. The name is durable first: a
            // disk that keeps names in no order must not have it twice.
            disk.rename(SPARE, AHEAD)?;
            disk.sync_names()?;
        }
    }
    let file = match disk.open(AHEAD, Access::Overwrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(AHEAD),
        opened => opened,
    }?;
    let zeros = vec![0; STEP_BYTES.min(usize::try_from(bytes).unwrap_or(STEP_BYTES))];
    let (mut at, mut steps) = (0, 0);
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        write_all(&*file, at, [&zeros])?;
        at += zeros.len() as u64;
        steps += 1;
        if steps % STEPS_TO_SYNC == 0 {
            file.sync()?;
        }
    }
    file.sync()?;
    let _names = shared.names();
    disk.rename(AHEAD, SPARE)?;
    disk.sync_names()?;
    shared.spare_is_warm.store(true, Ordering::Relaxed);
    Ok(())
}
