//! LMDB's register of readers, `lock.mdb`, before LMDB maps it.
//!
//! LMDB makes the file as long as the slots need and no more: its blocks are found when a slot is
//! first written to, through the map, and where the device is full by then the process ends with a
//! bus error at the beginning of a view. So the blocks are allocated first, and no room is an error
//! of opening.
//!
//! Invariants: called while no environment of this directory is open in the process, because
//! closing any descriptor of the file would drop LMDB's locks; the directory lock keeps other
//! processes out. The length is the one that LMDB would give the file; another one would change the
//! number of slots, and is tested.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use storage_api::{Error, Result};

use crate::error::ENGINE;

/// The file's name inside the engine's directory.
const FILE: &str = "lock.mdb";

/// Bytes of a reader's slot.
const SLOT_BYTES: u64 = 64;

/// Bytes before the first slot.
const HEAD_BYTES: u64 = 128;

/// Allocates the register for this many readers.
///
/// # Errors
/// `DiskFull`, `PermissionDenied`, `Io`.
pub(crate) fn allocate(directory: &Path, readers_max: u32) -> Result<()> {
    let path = directory.join(FILE);
    let allocated = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .and_then(|file| {
            let bytes = HEAD_BYTES + u64::from(readers_max) * SLOT_BYTES;
            let bytes = bytes.max(file.metadata()?.len());
            match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                // A file system that cannot allocate in advance may not have to.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
                done => done.map_err(io::Error::from),
            }
        });
    allocated.map_err(|error| Error::from_io(error, path.display().to_string()).with_engine(ENGINE))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::env::test_env;

    #[test]
    fn the_register_is_as_long_as_lmdb_makes_it_and_has_its_blocks() {
        for readers in [1, 6, 126, 1024] {
            let (plain, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            drop(test_env(plain.path(), readers));
            allocate(ours.path(), readers).unwrap();
            drop(test_env(ours.path(), readers));
            let plain = fs::metadata(plain.path().join(FILE)).unwrap();
            let ours = fs::metadata(ours.path().join(FILE)).unwrap();
            assert_eq!(plain.len(), ours.len());
            assert!(ours.blocks() * 512 >= ours.len());
        }
    }
}
