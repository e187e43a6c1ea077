//! [`ModelStore`]: the contract in its plainest form, as the reference that the suite passes on and
//! the mutants break.
//!
//! Ordered maps behind one mutex, copied on write, a gate for the one writer, a made-up disk that
//! outlives the handle. Invariants: obviously right before fast; every limit it declares is small
//! enough to be reached by a case; nothing here is used by a program. Cost: a commit copies each
//! table it touches.

mod disk;
mod gate;
mod read;
mod store;
mod txn;

pub use disk::{Medium, ModelDisk};
pub(crate) use read::ModelView;
pub use store::ModelStore;
pub(crate) use txn::ModelTxn;

use std::sync::Arc;

use storage_api::{OpenOptions, Result, Schema};

use crate::harness::{Harness, Opened};

/// The model in memory: it forgets on closing.
#[derive(Debug)]
pub struct ModelHarness(Arc<ModelDisk>);

impl Default for ModelHarness {
    fn default() -> Self {
        Self(Arc::new(ModelDisk::new(Medium::Memory)))
    }
}

impl Harness for ModelHarness {
    type Store = ModelStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<ModelStore>> {
        ModelStore::open(&self.0, schema, options).map(Opened::from)
    }
}

/// The model on a made-up disk, so that closing and reopening mean something.
#[derive(Debug, Default)]
pub struct ModelDiskHarness(Arc<ModelDisk>);

impl Harness for ModelDiskHarness {
    type Store = ModelStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<ModelStore>> {
        ModelStore::open(&self.0, schema, options).map(Opened::from)
    }
}
