//! The folder of segments as it would be if every renamed segment had its own name again.
//!
//! Invariants: names are mapped and nothing else, and no file is renamed by looking through this; a
//! file that is shown under its own name is not there under the one that it has.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use seglog::disk::{Access, Disk, DiskFile, Folder};
use seglog::tools::{SeenFile, SeenKind, Tools};
use seglog::{ChainTag, SegmentNumber};

/// The folder, with some files under other names.
#[derive(Debug)]
pub(super) struct Mapped {
    folder: Folder,
    /// From the name that is shown to the one that is there.
    names: BTreeMap<String, String>,
}

/// A renamed segment whose own name is free, or taken by another renamed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) name: String,
    pub(super) own_name: String,
    number: SegmentNumber,
}

/// The segments that can have their own names again: one file for each number.
pub(super) fn renamed(files: &[SeenFile]) -> Vec<Renamed> {
    let is_taken = |number: SegmentNumber| {
        files.iter().any(|file| match file.kind {
            SeenKind::Segment { number: other, .. } | SeenKind::Bad { number: other, .. } => {
                other == number
            }
            _ => false,
        })
    };
    let mut found: Vec<Renamed> = Vec::new();
    // A file that has its number already, and only the name of the other form, comes first.
    let has_number = |file: &&SeenFile| match &file.kind {
        SeenKind::Renamed { number, .. } => {
            SegmentNumber::of_file_name(&file.name) == Some(*number)
        }
        _ => false,
    };
    let (first, others): (Vec<_>, Vec<_>) = files.iter().partition(has_number);
    for file in first.into_iter().chain(others) {
        if let SeenKind::Renamed { number, own_name } = &file.kind
            && !is_taken(*number)
            && !found.iter().any(|other| other.number == *number)
        {
            found.push(Renamed {
                name: file.name.clone(),
                own_name: own_name.clone(),
                number: *number,
            });
        }
    }
    // No file is lost under another: a name that stays taken is not given, nor are names then that
    // were to become free by it.
    loop {
        let before = found.len();
        let sources: Vec<String> = found.iter().map(|it| it.name.clone()).collect();
        let is_free =
            |name: &String| sources.contains(name) || !files.iter().any(|file| file.name == *name);
        found.retain(|it| is_free(&it.own_name));
        if found.len() == before {
            return found;
        }
    }
}

impl Mapped {
    /// The folder, and the files that are shown under other names.
    pub(super) fn tools(
        folder: &Path,
        chain: ChainTag,
    ) -> seglog::LogResult<(Tools, Vec<SeenFile>)> {
        let plain = Tools::new(Arc::new(Folder::new(folder)), chain);
        let files = plain.files()?;
        let moved = renamed(&files);
        if moved.is_empty() {
            return Ok((plain, files));
        }
        let names = moved
            .into_iter()
            .map(|Renamed { name, own_name, .. }| (own_name, name));
        let disk = Self {
            folder: Folder::new(folder),
            names: names.collect(),
        };
        Ok((Tools::new(Arc::new(disk), chain), files))
    }

    /// The name of the file that is shown under this one. The name that a renamed file has is free.
    fn real<'n>(&'n self, name: &'n str) -> io::Result<&'n str> {
        match self.names.get(name) {
            Some(real) => Ok(real),
            None if self.is_moved(name) => Err(io::ErrorKind::NotFound.into()),
            None => Ok(name),
        }
    }

    fn is_moved(&self, name: &str) -> bool {
        self.names.values().any(|real| real == name)
    }
}

impl Disk for Mapped {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.folder.names()?;
        names.retain(|name| !self.is_moved(name));
        names.extend(self.names.keys().cloned());
        Ok(names)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.folder.open(self.real(name)?, access)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.folder.create(self.real(name)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(self.real(from)?, self.real(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(self.real(name)?)
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> Option<JoinHandle<()>> {
        self.folder.run(work)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.sync_names()
    }

    fn place(&self, name: &str) -> String {
        // Not where it is: from its own name is told whether a segment is packed.
        self.folder.place(name)
    }
}
