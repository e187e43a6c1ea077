//! Opening [`AnyStore`] by URL.
//!
//! Invariants: without a scheme the directory's marker decides, and a directory without marker is
//! an error that says so; an engine that is known and not compiled in is named together with the
//! feature that adds it; nothing is touched before the engine is certain; a store never gets the
//! tables of bodies in both places.

use std::path::Path;

use backend_kit::{FillPlan, Filled, directory};
use storage_api::{
    Access, Engine, Error, ErrorKind, IfMissing, Location, OpenOptions, OpenReport, Result, Schema,
};

use super::AnyStore;
use super::url::{EngineName, StoreUrl};
use crate::bodies::Bodies;

/// What only one engine knows, for each of them; an engine looks at its own only.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineOptions {
    /// For redb.
    #[cfg(feature = "redb")]
    pub redb: backend_redb::RedbOptions,
    /// For LMDB.
    #[cfg(feature = "lmdb")]
    pub lmdb: backend_lmdb::LmdbOptions,
    /// For RocksDB.
    #[cfg(feature = "rocks")]
    pub rocks: backend_rocks::RocksOptions,
}

/// Everything that opening needs beside the URL.
#[derive(Clone, Debug, Default)]
pub struct Opener {
    /// Tables that must be there.
    pub schema: Schema,
    /// What means the same on every engine.
    pub options: OpenOptions,
    /// What only one engine knows.
    pub engines: EngineOptions,
}

impl Opener {
    /// Opens the store at the URL.
    ///
    /// # Errors
    /// As [`Engine::open`], and `EngineNotCompiled`, `UnknownEngine`, `InvalidArgument`;
    /// `SchemaRefused` for tables of bodies in another place than the store has them, see
    /// [`Bodies`].
    pub fn open(&self, url: &StoreUrl) -> Result<(AnyStore, OpenReport)> {
        match url {
            StoreUrl::Memory => self.open_engine(EngineName::Mem, Location::Memory),
            StoreUrl::Engine(engine, path) => self.open_engine(*engine, Location::Directory(path)),
            StoreUrl::Path(path) => self.open_engine(engine_of(path)?, Location::Directory(path)),
        }
    }

    fn open_engine(
        &self,
        engine: EngineName,
        location: Location<'_>,
    ) -> Result<(AnyStore, OpenReport)> {
        let Self {
            schema,
            options,
            engines,
        } = self;
        if let Location::Directory(path) = location {
            // A directory that is none of ours is refused by the engine, with a better error.
            let marker = directory::read_marker(path).ok().flatten();
            let tables = marker.iter().flat_map(|marker| &marker.tables);
            Bodies::refuse_both(schema, tables.map(|table| table.def.name()))?;
        }
        #[cfg(not(any(feature = "redb", feature = "lmdb", feature = "rocks")))]
        let EngineOptions {} = engines;
        match engine {
            EngineName::Mem => {
                backend_mem::MemStore::open(location, schema, options, &Default::default())
                    .map(|(store, report)| (AnyStore::Mem(store), report))
            }
            #[cfg(feature = "redb")]
            EngineName::Redb => {
                backend_redb::RedbStore::open(location, schema, options, &engines.redb)
                    .map(|(store, report)| (AnyStore::Redb(store), report))
            }
            #[cfg(feature = "lmdb")]
            EngineName::Lmdb => {
                backend_lmdb::LmdbStore::open(location, schema, options, &engines.lmdb)
                    .map(|(store, report)| (AnyStore::Lmdb(store), report))
            }
            #[cfg(feature = "rocks")]
            EngineName::Rocks => {
                backend_rocks::RocksStore::open(location, schema, options, &engines.rocks)
                    .map(|(store, report)| (AnyStore::Rocks(store), report))
            }
            #[cfg(not(all(feature = "redb", feature = "lmdb", feature = "rocks")))]
            missing => Err(missing.not_compiled()),
        }
    }
}

impl Opener {
    /// Opens a copy that is being filled, making it where nothing is; see
    /// [`backend_kit::Store::open_to_fill`]. The schema takes no part.
    pub(crate) fn open_to_fill(
        &self,
        engine: EngineName,
        path: &Path,
        plan: &FillPlan,
    ) -> Result<(AnyStore, Filled)> {
        let Self {
            options, engines, ..
        } = self;
        #[cfg(not(any(feature = "redb", feature = "lmdb", feature = "rocks")))]
        let _ = (options, engines, path, plan);
        match engine {
            EngineName::Mem => Err(Error::unsupported("persistent")),
            #[cfg(feature = "redb")]
            EngineName::Redb => {
                backend_redb::RedbStore::open_to_fill(path, plan, options, &engines.redb)
                    .map(|(store, filled)| (AnyStore::Redb(store), filled))
            }
            #[cfg(feature = "lmdb")]
            EngineName::Lmdb => {
                backend_lmdb::LmdbStore::open_to_fill(path, plan, options, &engines.lmdb)
                    .map(|(store, filled)| (AnyStore::Lmdb(store), filled))
            }
            #[cfg(feature = "rocks")]
            EngineName::Rocks => {
                backend_rocks::RocksStore::open_to_fill(path, plan, options, &engines.rocks)
                    .map(|(store, filled)| (AnyStore::Rocks(store), filled))
            }
            #[cfg(not(all(feature = "redb", feature = "lmdb", feature = "rocks")))]
            missing => Err(missing.not_compiled()),
        }
    }
}

impl AnyStore {
    /// The directory of the store; `None` in memory and for an engine from outside.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Mem(_) | Self::Dyn(_) => None,
            #[cfg(feature = "redb")]
            Self::Redb(store) => store.path(),
            #[cfg(feature = "lmdb")]
            Self::Lmdb(store) => store.path(),
            #[cfg(feature = "rocks")]
            Self::Rocks(store) => store.path(),
        }
    }

    /// What the store was opened for; an engine from outside, which does not say, to write.
    #[must_use]
    pub fn access(&self) -> Access {
        match self {
            Self::Mem(store) => store.access(),
            #[cfg(feature = "redb")]
            Self::Redb(store) => store.access(),
            #[cfg(feature = "lmdb")]
            Self::Lmdb(store) => store.access(),
            #[cfg(feature = "rocks")]
            Self::Rocks(store) => store.access(),
            Self::Dyn(_) => Access::ReadWrite,
        }
    }

    /// Makes a filled copy a store; see [`backend_kit::Store::finish_filling`].
    pub(crate) fn finish_filling(&self) -> Result<()> {
        match self {
            Self::Mem(_) | Self::Dyn(_) => Err(Error::unsupported("persistent")),
            #[cfg(feature = "redb")]
            Self::Redb(store) => store.finish_filling(),
            #[cfg(feature = "lmdb")]
            Self::Lmdb(store) => store.finish_filling(),
            #[cfg(feature = "rocks")]
            Self::Rocks(store) => store.finish_filling(),
        }
    }
}

/// The engine that the marker of a directory names.
fn engine_of(path: &Path) -> Result<EngineName> {
    let place = || path.display().to_string();
    // What cannot be looked at may well be a store: reading the marker says what is in the way.
    if let Ok(false) = path.try_exists() {
        return Err(Error::new(ErrorKind::NotFound { path: place() }));
    }
    match directory::read_marker(path)? {
        Some(marker) => marker.engine.parse(),
        None => Err(Error::new(ErrorKind::NotAStore {
            path: place(),
            found: format!("no {} file", directory::MARKER_FILE),
        })),
    }
}

impl AnyStore {
    /// Opens or makes the store at a URL such as `redb:path`, `mem:` or the path of an existing
    /// store.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub fn open(url: &str, schema: &Schema) -> Result<Self> {
        let opener = Opener {
            schema: schema.clone(),
            ..Opener::default()
        };
        Ok(opener.open(&url.parse()?)?.0)
    }

    /// Opens an existing store as it is, without a schema, as tools do.
    ///
    /// # Errors
    /// As [`Opener::open`]; `NotFound` where there is no store.
    pub fn open_existing(url: &str, options: &OpenOptions) -> Result<Self> {
        let mut opener = Opener {
            options: options.clone(),
            ..Opener::default()
        };
        opener.options.if_missing = IfMissing::Fail;
        Ok(opener.open(&url.parse()?)?.0)
    }
}
