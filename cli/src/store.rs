//! Opening the store that `--store` names.
//!
//! Invariant: reading commands open an existing store read-only, as it is, and change no byte of
//! it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use chain_store::{AnyStore, Blocks, Bodies, EngineName, StoreUrl, read_marker};
use storage_api::{ErrorKind, IfMissing, KvStore, OpenOptions};

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
    open(url, &with_budget(OpenOptions::read_only()))
}

/// Opens an existing store to write, as it is.
pub(crate) fn open_to_write(url: &StoreUrl) -> Result<AnyStore> {
    check_persistent(url)?;
    check_marked(url)?;
    let mut options = with_budget(OpenOptions::new());
    options.if_missing = IfMissing::Fail;
    open(url, &options)
}

fn open(url: &StoreUrl, options: &OpenOptions) -> Result<AnyStore> {
    let memory_budget_bytes = options.memory_budget_bytes;
    tracing::debug!(store = %url, memory_budget_bytes, access = ?options.access, "opening");
    Ok(AnyStore::open_existing(&url.to_string(), options)?)
}

/// What `--memory-budget-bytes` says.
static MEMORY_BUDGET_BYTES: OnceLock<u64> = OnceLock::new();

/// Takes the budget over, before any store is opened.
pub(crate) fn set_memory_budget_bytes(bytes: u64) {
    let _first_counts = MEMORY_BUDGET_BYTES.set(bytes);
}

/// The memory that a store is given; `None` leaves it to the engine.
pub(crate) fn memory_budget_bytes() -> Option<u64> {
    MEMORY_BUDGET_BYTES.get().copied()
}

/// The same options with that budget.
pub(crate) fn with_budget(mut options: OpenOptions) -> OpenOptions {
    options.memory_budget_bytes = memory_budget_bytes();
    options
}

/// Version of how tables are laid out in this store, from its marker.
pub(crate) fn format(url: &StoreUrl, store: &AnyStore) -> Result<u32> {
    let marker = path(url).map(read_marker).transpose()?.flatten();
    let engine: EngineName = store.engine_name().parse()?;
    let own = engine.format().unwrap_or(0);
    Ok(marker.map_or(own, |marker| marker.engine_format))
}

/// Where the tables of the store at a URL say that bodies are; `None` without a store or blocks.
/// A directory that is none of ours is refused when it is opened, with a better error.
pub(crate) fn bodies(url: &StoreUrl) -> Result<Option<Bodies>> {
    let marker = path(url).and_then(|path| read_marker(path).ok().flatten());
    let Some(marker) = marker else {
        return Ok(None);
    };
    let names = marker.tables.iter().map(|table| table.def.name());
    Ok(Bodies::of_tables(names)?)
}

/// Refuses a store without blocks.
pub(crate) fn has_blocks(store: &AnyStore) -> Result<()> {
    match Bodies::of(store.catalogue())? {
        Some(_) => Ok(()),
        None => Err(Stop::NotThere("the store has no blocks".to_owned()).into()),
    }
}

/// The blocks of a store.
pub(crate) fn blocks(store: &Arc<AnyStore>) -> Result<Blocks> {
    has_blocks(store)?;
    Ok(Blocks::open(store)?)
}
