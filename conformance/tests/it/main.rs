//! The suite over its own model, in memory and on a made-up disk, and over the mutants.

mod mutants;

use std::sync::Arc;

use conformance::{ModelDisk, ModelStore};
use storage_api::blocks::KvBlocks;
use storage_api::{ChecksumSetting, KvStore, OpenOptions, Result, Schema};

/// A block store that is opened by its own harness, as one that is not made of rows would be.
#[derive(Default)]
struct OwnBlocks(Arc<ModelDisk>);

impl conformance::BlockHarness for OwnBlocks {
    type Store = ModelStore;
    type Blocks = KvBlocks;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<(Arc<ModelStore>, KvBlocks)> {
        let mut schema = schema.clone();
        schema.merge(&KvBlocks::schema(ChecksumSetting::None)?)?;
        let (store, _) = ModelStore::open(&self.0, &schema, options)?;
        let blocks = KvBlocks::resolve(store.catalogue())?;
        Ok((Arc::new(store), blocks))
    }
}

conformance::suite!(model_in_memory, conformance::ModelHarness);
conformance::suite!(model_on_disk, conformance::ModelDiskHarness);
conformance::block_suite!(own_blocks, OwnBlocks);
