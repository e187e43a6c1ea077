//! The block store of segment files: the suite of blocks over two engines, power cuts at every step
//! of the log, random lives against a list, what opening puts in order and what it refuses, and the
//! index made again.

mod model;
mod opening;
mod power;
mod refused;
mod staged;
mod volatile;

use std::path::Path;
use std::sync::Arc;

use backend_mem::MemStore;
use backend_redb::RedbStore;
use blocks::{SegmentBlocks, SegmentOptions};
use conformance::BlockHarness;
use seglog::disk::{Disk, Folder};
use storage_api::blocks::{BlockError, BlockResult};
use storage_api::{ChecksumSetting, Engine, Error, Location, OpenOptions, Result, Schema};

fn folder(path: &Path) -> Arc<dyn Disk> {
    Arc::new(Folder::new(path))
}

/// Small segments, so that a test has several.
pub(crate) fn small() -> SegmentOptions {
    SegmentOptions {
        segment_bytes_max: 4_000,
        advance_bytes: 0,
        ..SegmentOptions::default()
    }
}

fn of_store(error: BlockError) -> Error {
    match error {
        BlockError::Store(error) => error,
        other => Error::invalid(other.to_string()),
    }
}

fn with_tables(schema: &Schema) -> Result<Schema> {
    let mut schema = schema.clone();
    schema.merge(&SegmentBlocks::<MemStore>::schema(ChecksumSetting::None)?)?;
    Ok(schema)
}

fn blocks_over<S: storage_api::KvStore>(
    store: S,
    path: &Path,
) -> Result<(Arc<S>, SegmentBlocks<S>)> {
    let store = Arc::new(store);
    let opened: BlockResult<_> = SegmentBlocks::open(Arc::clone(&store), folder(path), &small());
    Ok((store, opened.map_err(of_store)?.0))
}

/// Segments beside a store in memory.
struct OverMem(tempfile::TempDir);

impl Default for OverMem {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

impl BlockHarness for OverMem {
    type Store = MemStore;
    type Blocks = SegmentBlocks<MemStore>;

    fn open(
        &self,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Arc<MemStore>, SegmentBlocks<MemStore>)> {
        let schema = with_tables(schema)?;
        let (store, _) = MemStore::open(Location::Memory, &schema, options, &Default::default())?;
        blocks_over(store, self.0.path())
    }
}

/// Segments beside a redb file.
struct OverRedb(tempfile::TempDir);

impl Default for OverRedb {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

impl BlockHarness for OverRedb {
    type Store = RedbStore;
    type Blocks = SegmentBlocks<RedbStore>;

    fn open(
        &self,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Arc<RedbStore>, SegmentBlocks<RedbStore>)> {
        let schema = with_tables(schema)?;
        let place = self.0.path().join("store");
        let location = Location::Directory(&place);
        let (store, _) = RedbStore::open(location, &schema, options, &Default::default())?;
        let segments = self.0.path().join("segments");
        std::fs::create_dir_all(&segments).map_err(|error| Error::from_io(error, "segments"))?;
        blocks_over(store, &segments)
    }
}

conformance::block_suite!(over_memory, OverMem);
conformance::block_suite!(over_redb, OverRedb);
