//! Where tests put stores that are made and thrown away by the hundred: memory, if the machine has
//! a file system there with room.
//!
//! Only for tests in which nothing depends on the medium: what the death of a process leaves is in
//! the caches of the system anyway, and syncs would take most of the time.

use std::path::{Path, PathBuf};

use backend_kit::directory::disk_free_bytes;

/// What one store takes at most, generously.
const ROOM_BYTES: u64 = 1 << 30;

/// A folder in memory with this much room, else the folder of temporary files.
pub(crate) fn folder(room_bytes: u64) -> PathBuf {
    let memory = Path::new("/dev/shm");
    if disk_free_bytes(memory).is_some_and(|free| free >= room_bytes) {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// A fresh directory for small stores, which goes with what is returned.
pub(crate) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in(folder(ROOM_BYTES)).unwrap()
}
