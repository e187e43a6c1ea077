//! Opening the store that `--store` names.
//!
//! Invariant: reading commands open an existing store read-only, as it is, and change no byte of
//! it.

use std::path::Path;

use anyhow::Result;
use chain_store::{AnyStore, EngineName, StoreUrl, read_marker};
use storage_api::blocks::KvBlocks;
use storage_api::{ErrorKind, KvStore, OpenOptions};

use crate::exit::Stop;

/// The directory of a store; `None` for one in memory.
pub(crate) fn path(url: &StoreUrl) -> Option<&Path> {
    match url {
        StoreUrl::Memory => None,
        StoreUrl::Engine(_, path) | StoreUrl::Path(path) => Some(path),
    }
}

/// Refuses a store in memory, where another process finds nothing.
pub(crate) fn check_persistent(url: &StoreUrl) -> Result<()> {
    if path(url).is_none() {
        let why = "a store in memory is gone with its process, so there is nothing to read; \
                   `import --store mem:` prints its statistics, `demo --engine mem` reads it back";
        return Err(Stop::Unsupported(why.to_owned()).into());
    }
    Ok(())
}

/// Refuses a directory without a marker that a bare path names, before anything else looks at it.
/// What cannot be looked at is left to the opening, which says why.
pub(crate) fn check_marked(url: &StoreUrl) -> Result<()> {
    if let StoreUrl::Path(path) = url
        && path.is_dir()
        && matches!(read_marker(path), Ok(None))
    {
        let kind = ErrorKind::NotAStore {
            path: path.display().to_string(),
            found: "no CHAINSTORE file".to_owned(),
        };
        return Err(storage_api::Error::new(kind).into());
    }
    Ok(())
}

/// Opens an existing store to read.
pub(crate) fn open_to_read(url: &StoreUrl) -> Result<AnyStore> {
    check_persistent(url)?;
    check_marked(url)?;
    let store = AnyStore::open_existing(&url.to_string(), &OpenOptions::read_only())?;
    Ok(store)
}

/// Version of how tables are laid out in this store, from its marker.
pub(crate) fn format(url: &StoreUrl, store: &AnyStore) -> Result<u32> {
    let marker = path(url).map(read_marker).transpose()?.flatten();
    let engine: EngineName = store.engine_name().parse()?;
    let own = engine.format().unwrap_or(0);
    Ok(marker.map_or(own, |marker| marker.engine_format))
}

/// The blocks of a store.
pub(crate) fn blocks(store: &AnyStore) -> Result<KvBlocks> {
    KvBlocks::resolve(store.catalogue())
        .map_err(|_| Stop::NotThere("the store has no blocks".to_owned()).into())
}
