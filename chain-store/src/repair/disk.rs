//! The folder of segments as it would be if every renamed segment had its own name again.
//!
//! Invariants: names are mapped and nothing else, and no file is renamed by looking through this; a
//! file that is shown under its own name is not there under the one that it has, and a copy that
//! has the name of another segment is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use seglog::ChainTag;
use seglog::disk::{Access, Disk, DiskFile, Folder};
use seglog::tools::{SeenFile, Tools};

use super::names::{Copied, Names};

/// The folder, with some files under other names.
#[derive(Debug)]
pub(super) struct Mapped {
    folder: Folder,
    /// From the name that is shown to the one that is there.
    names: BTreeMap<String, String>,
    /// Names of files that are not shown.
    hidden: BTreeSet<String>,
}

impl Mapped {
    /// The folder, and the files that are shown under other names.
    pub(super) fn tools(
        folder: &Path,
        chain: ChainTag,
    ) -> seglog::LogResult<(Tools, Vec<SeenFile>)> {
        let plain = Tools::new(Arc::new(Folder::new(folder)), chain);
        let files = plain.files()?;
        let Names { moved, copies } = Names::of(&files);
        let copies = copies.into_iter().filter(Copied::is_in_the_way);
        let mut hidden: BTreeSet<String> = copies.map(|it| it.name).collect();
        hidden.extend(moved.iter().map(|it| it.name.clone()));
        if hidden.is_empty() {
            return Ok((plain, files));
        }
        let disk = Self {
            folder: Folder::new(folder),
            names: moved.into_iter().map(|it| (it.own_name, it.name)).collect(),
            hidden,
        };
        Ok((Tools::new(Arc::new(disk), chain), files))
    }

    /// The name of the file that is shown under this one. The name that a renamed file has is free.
    fn real<'n>(&'n self, name: &'n str) -> io::Result<&'n str> {
        match self.names.get(name) {
            Some(real) => Ok(real),
            None if self.hidden.contains(name) => Err(io::ErrorKind::NotFound.into()),
            None => Ok(name),
        }
    }
}

impl Disk for Mapped {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.folder.names()?;
        names.retain(|name| !self.hidden.contains(name));
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
