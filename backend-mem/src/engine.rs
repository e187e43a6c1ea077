//! The engine: the published roots, and what begins from them.
//!
//! Invariants: roots are replaced as a whole under a lock that is held for a pointer's exchange
//! only; a version lives as long as a view holds it and is freed with the last one.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backend_kit::{RawEngine, RawOpen, RawOpened, RawSpace};
use storage_api::{BulkMode, Capabilities, Count, Error, Location, Result, TableId};

use crate::bulk::MemLoader;
use crate::read::MemView;
use crate::tree::Tree;
use crate::write::MemTxn;

/// All tables of one version, by table number.
pub(crate) type Roots = Arc<Vec<Tree>>;

/// The engine has no options of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemOptions {}

/// The tables in memory.
#[derive(Debug)]
pub struct MemEngine {
    roots: Mutex<Roots>,
    limit_bytes: Option<u64>,
    /// Bytes that all commits have written, an upper bound of what each of them copied included:
    /// what a view pins is at most the growth of this since it began.
    written_bytes: AtomicU64,
}

/// The most that one operation copies of a node that a view holds: a leaf's index and patch.
pub(crate) const COPIED_BYTES_MAX: u64 = 2_560;

/// Memory of all tables of a version.
pub(crate) fn memory_bytes(tables: &[Tree]) -> u64 {
    tables.iter().map(|table| table.memory_bytes() as u64).sum()
}

impl MemEngine {
    pub(crate) fn roots(&self) -> Roots {
        // A pointer's exchange cannot be seen half-done.
        Arc::clone(&self.roots.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish(&self, tables: Vec<Tree>, written_bytes: u64) {
        self.written_bytes
            .fetch_add(written_bytes, Ordering::Relaxed);
        let fresh = Arc::new(tables);
        let old = std::mem::replace(
            &mut *self.roots.lock().unwrap_or_else(PoisonError::into_inner),
            fresh,
        );
        // The old version may be large and is freed without the lock.
        drop(old);
    }

    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }
}

impl RawEngine for MemEngine {
    const NAME: &'static str = "mem";
    const CAPABILITIES: Capabilities = {
        let mut caps = Capabilities::IN_MEMORY;
        caps.native_savepoints = true;
        caps.batched_reads = true;
        caps.bulk = BulkMode::Loader;
        caps
    };
    const FORMAT: u32 = 1;
    const SORT_BATCH_FROM: usize = 10_000;

    type Options = MemOptions;
    type View = MemView;
    type Txn<'e> = MemTxn<'e>;
    type Batch<'e> = MemTxn<'e>;
    type Loader<'e> = MemLoader<'e>;

    fn open(request: &RawOpen<'_>, _options: &MemOptions) -> Result<(Self, RawOpened)> {
        if request.location != Location::Memory {
            return Err(Error::unsupported("persistent"));
        }
        let tables = vec![Tree::default(); request.table_number_max() + 1];
        let engine = Self {
            roots: Mutex::new(Arc::new(tables)),
            limit_bytes: request.options.memory_budget_bytes,
            written_bytes: AtomicU64::new(0),
        };
        Ok((engine, RawOpened::default()))
    }

    fn view(&self) -> Result<MemView> {
        Ok(MemView::new(self.roots()))
    }

    fn views(&self, count: usize) -> Result<Vec<MemView>> {
        let roots = self.roots();
        Ok((0..count)
            .map(|_| MemView::new(Arc::clone(&roots)))
            .collect())
    }

    fn begin(&self) -> Result<MemTxn<'_>> {
        Ok(MemTxn::new(self))
    }

    fn begin_batch(&self) -> Result<MemTxn<'_>> {
        Ok(MemTxn::new(self))
    }

    fn begin_load(&self, table: TableId, _: Option<&Path>) -> Result<MemLoader<'_>> {
        Ok(MemLoader::new(self.begin()?, table))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn table_bytes(&self, table: TableId) -> Result<Option<Count>> {
        let roots = self.roots();
        Ok(roots
            .get(table.index())
            .map(|table| Count::Exact(table.payload_bytes() as u64)))
    }

    fn space(&self) -> Result<RawSpace> {
        Ok(RawSpace {
            memory_bytes: Some(memory_bytes(&self.roots())),
            free_bytes: None,
            limit_bytes: self.limit_bytes,
        })
    }

    fn used_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }
}
