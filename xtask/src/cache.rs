//! A folder of results that are expensive to make and outlive a clone.
//!
//! An entry is a folder that holds one file. It appears whole, by a rename after its file is on
//! disk, or not at all: whatever interrupts the making leaves only a scratch folder, which the next
//! maker removes. One process makes at a time; the others wait and then find the entry.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result};

/// The file that the one who makes an entry holds locked; the lock ends with its process.
const LOCK: &str = "lock";

/// How the names of the folders begin in which entries are made. Each process has its own, because
/// a compiler that outlives the process that started it would write into the next one's.
const SCRATCH: &str = "scratch-";

/// Such a folder; created when the first entry is made.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The folder of the entry `name`, which holds `file`; made first when it is not there.
    ///
    /// `make` gets an empty folder of its own, which is removed afterwards, and returns the path of
    /// the file that it made in it.
    pub(crate) fn entry(
        &self,
        name: &str,
        file: &str,
        make: impl FnOnce(&Path) -> Result<PathBuf>,
    ) -> Result<PathBuf> {
        let entry = self.dir.join(name);
        if entry.join(file).is_file() {
            return Ok(entry);
        }
        let _lock = self.lock()?;
        // The one who held the lock before may have made it.
        if entry.join(file).is_file() {
            return Ok(entry);
        }
        self.remove_leftovers();
        let scratch = self.dir.join(format!("{SCRATCH}{}", process::id()));
        remove(&scratch)?;
        create(&scratch)?;
        let made = make(&scratch).and_then(|made| publish(&made, &scratch, &entry, file));
        let removed = remove(&scratch);
        made.and(removed)?;
        Ok(entry)
    }

    /// Removes what interrupted processes left; what cannot be removed yet is left to the next.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(SCRATCH) {
                continue;
            }
            if let Err(error) = remove(&entry.path()) {
                eprintln!("note: {error:#}");
            }
        }
    }

    fn lock(&self) -> Result<File> {
        create(&self.dir)?;
        let path = self.dir.join(LOCK);
        let cannot = || format!("cannot lock {}", path.display());
        let lock = File::create(&path).with_context(cannot)?;
        if lock.try_lock().is_err() {
            eprintln!(
                "waiting for another process that fills {}",
                self.dir.display()
            );
            lock.lock().with_context(cannot)?;
        }
        Ok(lock)
    }
}

/// Moves a copy of the made file into place as an entry, in one step.
fn publish(made: &Path, scratch: &Path, entry: &Path, file: &str) -> Result<()> {
    let staged = scratch.join("entry");
    create(&staged)?;
    let cannot = || format!("cannot copy {} to {}", made.display(), entry.display());
    let copy = staged.join(file);
    fs::copy(made, &copy).with_context(cannot)?;
    File::open(&copy)
        .and_then(|copy| copy.sync_all())
        .with_context(cannot)?;
    fs::rename(&staged, entry).with_context(cannot)
}

fn create(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use anyhow::bail;

    use super::*;

    fn make(scratch: &Path) -> Result<PathBuf> {
        let made = scratch.join("made");
        fs::write(&made, "content")?;
        Ok(made)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_entry_is_made_once() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("new/cache");
        let cache = Cache::new(dir.clone());
        let entry = cache.entry("key", "file", make).unwrap();
        assert_eq!(fs::read_to_string(entry.join("file")).unwrap(), "content");
        let again = cache.entry("key", "file", |_| bail!("made twice")).unwrap();
        assert_eq!(again, entry);
        assert_eq!(names(&dir), ["key", "lock"]);
    }

    #[test]
    fn a_failure_leaves_no_entry() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(home.path().to_owned());
        let fail = |scratch: &Path| {
            make(scratch)?;
            bail!("the compiler failed")
        };
        assert!(cache.entry("key", "file", fail).is_err());
        assert!(
            cache
                .entry("key", "file", |scratch| Ok(scratch.join("absent")))
                .is_err()
        );
        assert_eq!(names(home.path()), ["lock"]);
        assert!(cache.entry("key", "file", make).is_ok());
    }

    #[test]
    fn what_an_interrupted_process_left_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let lefts = [process::id(), 1].map(|id| home.path().join(format!("{SCRATCH}{id}/entry")));
        for left in lefts {
            fs::create_dir_all(&left).unwrap();
            fs::write(left.join("file"), "half").unwrap();
        }
        let cache = Cache::new(home.path().to_owned());
        let look = |scratch: &Path| {
            assert_eq!(names(scratch), Vec::<String>::new());
            make(scratch)
        };
        let entry = cache.entry("key", "file", look).unwrap();
        assert_eq!(fs::read_to_string(entry.join("file")).unwrap(), "content");
        assert_eq!(names(home.path()), ["key", "lock"]);
    }

    #[test]
    fn one_makes_while_the_others_wait() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::new(home.path().to_owned());
        let makers = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let count = |scratch: &Path| {
                        makers.fetch_add(1, Ordering::Relaxed);
                        make(scratch)
                    };
                    let entry = cache.entry("key", "file", count).unwrap();
                    assert_eq!(fs::read_to_string(entry.join("file")).unwrap(), "content");
                });
            }
        });
        assert_eq!(makers.into_inner(), 1);
    }
}
