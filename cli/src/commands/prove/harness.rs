//! A place for a store of one engine, as the conformance suite asks for it: below the directory
//! that the user chose, so that the suite proves the disk and the file system too.

use std::path::{Path, PathBuf};

use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use conformance::{Harness, Opened};
use storage_api::{IfMissing, OpenOptions, Result, Schema};

/// One engine in one new directory; the directory goes with it.
pub(super) struct Place {
    engine: EngineName,
    store: Option<PathBuf>,
    _parent: tempfile::TempDir,
}

impl Place {
    /// A place below this directory. Where none can be made the case fails with the words of it.
    pub(super) fn new(engine: EngineName, below: &Path) -> Self {
        let parent = tempfile::Builder::new().prefix("case-").tempdir_in(below);
        let parent = parent
            .unwrap_or_else(|error| panic!("no directory below {}: {error}", below.display()));
        Self {
            engine,
            store: (engine != EngineName::Mem).then(|| parent.path().join("store")),
            _parent: parent,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new(EngineName::Mem, &std::env::temp_dir())
    }
}

fn open(url: &StoreUrl, schema: &Schema, options: &OpenOptions) -> Result<Opened<AnyStore>> {
    let opener = Opener {
        schema: schema.clone(),
        options: options.clone(),
        ..Opener::default()
    };
    opener.open(url).map(Opened::from)
}

impl Harness for Place {
    type Store = AnyStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<AnyStore>> {
        let url = match &self.store {
            Some(path) => StoreUrl::Engine(self.engine, path.clone()),
            None => StoreUrl::Memory,
        };
        open(&url, schema, options)
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Opened<AnyStore>>> {
        let mut options = options.clone();
        options.if_missing = IfMissing::Fail;
        Some(open(
            &StoreUrl::Path(path.to_owned()),
            &Schema::empty(),
            &options,
        ))
    }

    fn directory(&self) -> Option<&Path> {
        self.store.as_deref()
    }
}
