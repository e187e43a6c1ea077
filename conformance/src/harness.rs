//! What a store's author brings to run the suite: a place, and how to open the store there.
//!
//! A [`Harness`] is one place (a temporary directory, a bucket, nothing at all) that lives as long
//! as the harness; every case gets a new one. Opening twice in one harness means reopening the same
//! place; a store in memory comes back empty. Ten lines are enough, see [`Harness`].

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use storage_api::{
    Engine, Error, IfMissing, KvStore, Location, OpenOptions, OpenReport, Result, Schema,
};

/// A store and what opening it did.
#[derive(Debug)]
pub struct Opened<S> {
    /// The store.
    pub store: S,
    /// What opening found and did.
    pub report: OpenReport,
}

impl<S> From<(S, OpenReport)> for Opened<S> {
    fn from((store, report): (S, OpenReport)) -> Self {
        Self { store, report }
    }
}

fn without_making(options: &OpenOptions) -> OpenOptions {
    let mut options = options.clone();
    options.if_missing = IfMissing::Fail;
    options
}

/// Which groups of cases a harness is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the profile is called in skip lines.
    pub name: &'static str,
    /// The groups to run; `None` means all of them.
    pub groups: Option<&'static [&'static str]>,
}

impl Profile {
    /// Every group: engines, and decorators that open like one.
    pub const STORE: Self = Self {
        name: "store",
        groups: None,
    };

    /// Reads, writes and savepoints inside one transaction: for readers and writers that are not
    /// stores of their own.
    pub const TXN_ONLY: Self = Self {
        name: "txn-only",
        groups: Some(&[
            "crud_txn",
            "read",
            "order",
            "range",
            "cursor",
            "txn",
            "savepoint",
        ]),
    };

    /// Whether cases of this group run.
    #[must_use]
    pub fn has(&self, group: &str) -> bool {
        self.groups.is_none_or(|groups| groups.contains(&group))
    }
}

/// A place for a store under test and the way to open it there.
///
/// ```
/// use conformance::{Harness, ModelDisk, ModelStore, Opened};
/// use storage_api::{OpenOptions, Result, Schema};
///
/// /// A harness of a store of one's own: a place, and `open`.
/// #[derive(Default)]
/// struct Mine(std::sync::Arc<ModelDisk>);
///
/// impl Harness for Mine {
///     type Store = ModelStore;
///     fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<ModelStore>> {
///         ModelStore::open(&self.0, schema, options).map(Opened::from)
///     }
/// }
/// // In a file under tests/: conformance::suite!(mine, Mine);
/// ```
pub trait Harness: Default + 'static {
    /// The store under test.
    type Store: KvStore;

    /// Opens the store at this place with this schema, making it if the options say so.
    ///
    /// # Errors
    /// As [`Engine::open`].
    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<Self::Store>>;

    /// Opens what is there, without a schema.
    ///
    /// # Errors
    /// As [`Engine::open_existing`].
    fn open_existing(&self, options: &OpenOptions) -> Result<Opened<Self::Store>> {
        self.open(&Schema::empty(), &without_making(options))
    }

    /// Opens a store in another directory, as a copy made by a backup is; `None` when this harness
    /// cannot.
    fn open_at(&self, _path: &Path, _options: &OpenOptions) -> Option<Result<Opened<Self::Store>>> {
        None
    }

    /// The store's directory, which need not exist before the first open; `None` when there is none
    /// to look into.
    fn directory(&self) -> Option<&Path> {
        None
    }

    /// Which groups this harness is meant for.
    fn profile(&self) -> Profile {
        Profile::STORE
    }
}

/// A harness for any [`Engine`]: a temporary directory where it is persistent, memory where it is
/// not.
pub struct TempHarness<E> {
    /// The store is a directory in here, so that cases can also look beside it.
    parent: Option<(tempfile::TempDir, std::path::PathBuf)>,
    engine: PhantomData<fn() -> E>,
}

impl<E: Engine> Default for TempHarness<E> {
    fn default() -> Self {
        // A harness whose directory cannot be made opens nothing, and says so at the first open.
        let parent = E::CAPABILITIES
            .persistent
            .then(|| {
                tempfile::Builder::new()
                    .prefix("conformance-")
                    .tempdir()
                    .ok()
            })
            .flatten()
            .map(|parent| {
                let store = parent.path().join("store");
                (parent, store)
            });
        Self {
            parent,
            engine: PhantomData,
        }
    }
}

impl<E> fmt::Debug for TempHarness<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TempHarness")
            .field("place", &self.parent)
            .finish_non_exhaustive()
    }
}

impl<E: Engine> TempHarness<E> {
    fn location(&self) -> Result<Location<'_>> {
        match &self.parent {
            Some((_, store)) => Ok(Location::Directory(store)),
            None if E::CAPABILITIES.persistent => {
                Err(Error::invalid("no temporary directory could be made"))
            }
            None => Ok(Location::Memory),
        }
    }
}

impl<E: Engine> Harness for TempHarness<E> {
    type Store = E;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<E>> {
        E::open(self.location()?, schema, options, &E::Options::default()).map(Opened::from)
    }

    fn open_existing(&self, options: &OpenOptions) -> Result<Opened<E>> {
        match &self.parent {
            Some((_, store)) => E::open_existing(store, options).map(Opened::from),
            None => self.open(&Schema::empty(), &without_making(options)),
        }
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Opened<E>>> {
        Some(E::open_existing(path, options).map(Opened::from))
    }

    fn directory(&self) -> Option<&Path> {
        self.parent.as_ref().map(|(_, store)| store.as_path())
    }
}
