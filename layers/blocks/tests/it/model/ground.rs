//! Where lives of blocks take place: over a store that outlives everything, on a disk that fails,
//! and over real files beside a store whose commits a killed process may take back.
//!
//! Invariant: what goes wrong is told by the dice alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::sync::Arc;

use backend_mem::MemStore;
use backend_redb::RedbStore;
use blocks::{SegmentBlocks, SegmentOptions};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::BlockResult;
use storage_api::{ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions};

use crate::folder;
use crate::volatile::killed;

/// A store with its blocks.
type Opened<S> = (Arc<S>, SegmentBlocks<S>);

/// Where a life takes place.
pub(crate) trait Ground {
    type Store: KvStore;

    fn open(&mut self) -> BlockResult<Opened<Self::Store>>;

    /// Lets something go wrong at one of the next steps.
    fn trouble(&mut self, dice: &mut ChaCha8Rng);

    /// What is left when the process or the machine ends now.
    fn crash(&mut self, dice: &mut ChaCha8Rng);

    fn is_off(&self) -> bool;

    /// How durable a commit may be asked to be.
    fn durability(&self, dice: &mut ChaCha8Rng) -> Durability;
}

/// A store in memory that outlives everything, and a disk that does what it likes.
pub(crate) struct OverSim {
    store: Arc<MemStore>,
    disk: SimDisk,
    options: SegmentOptions,
}

impl OverSim {
    pub(crate) fn new(options: SegmentOptions) -> Self {
        let schema = SegmentBlocks::<MemStore>::schema(ChecksumSetting::None).unwrap();
        let open = OpenOptions::new();
        let opened = MemStore::open(Location::Memory, &schema, &open, &Default::default());
        Self {
            store: Arc::new(opened.unwrap().0),
            disk: SimDisk::new(),
            options,
        }
    }
}

impl Ground for OverSim {
    type Store = MemStore;

    fn open(&mut self) -> BlockResult<Opened<MemStore>> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let opened = SegmentBlocks::open(Arc::clone(&self.store), disk, &self.options)?;
        Ok((Arc::clone(&self.store), opened.0))
    }

    fn trouble(&mut self, dice: &mut ChaCha8Rng) {
        let trouble = match dice.random_range(0..5) {
            0 => Trouble::PowerCut,
            1 => Trouble::Fail(ErrorKind::Other),
            2 => Trouble::Short,
            _ => Trouble::Fail(ErrorKind::StorageFull),
        };
        let step = self.disk.steps() + dice.random_range(0..12);
        self.disk.plan(step, trouble);
    }

    fn crash(&mut self, dice: &mut ChaCha8Rng) {
        self.disk = match dice.random_bool(0.3) {
            true => self.disk.after_kill(),
            false => self.disk.after_power_cut(dice.random()),
        };
    }

    fn is_off(&self) -> bool {
        self.disk.is_off()
    }

    fn durability(&self, _: &mut ChaCha8Rng) -> Durability {
        Durability::Durable
    }
}

/// A store whose commits a killed process may take back, and real files.
pub(crate) struct OverRedb {
    dir: tempfile::TempDir,
    options: SegmentOptions,
}

impl OverRedb {
    pub(crate) fn new(options: SegmentOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, options }
    }
}

impl Ground for OverRedb {
    type Store = RedbStore;

    fn open(&mut self) -> BlockResult<Opened<RedbStore>> {
        let schema = SegmentBlocks::<RedbStore>::schema(ChecksumSetting::None)?;
        let (at, segments) = (
            self.dir.path().join("store"),
            self.dir.path().join("segments"),
        );
        std::fs::create_dir_all(&segments).unwrap();
        let location = Location::Directory(&at);
        let opened = RedbStore::open(location, &schema, &OpenOptions::new(), &Default::default());
        let store = Arc::new(opened?.0);
        let opened = SegmentBlocks::open(Arc::clone(&store), folder(&segments), &self.options)?;
        Ok((store, opened.0))
    }

    fn trouble(&mut self, _: &mut ChaCha8Rng) {}

    fn crash(&mut self, _: &mut ChaCha8Rng) {
        let after = tempfile::tempdir().unwrap();
        killed(self.dir.path(), after.path());
        self.dir = after;
    }

    fn is_off(&self) -> bool {
        false
    }

    fn durability(&self, dice: &mut ChaCha8Rng) -> Durability {
        match dice.random_range(0..4) {
            0 => Durability::Volatile,
            1 | 2 => Durability::Buffered,
            _ => Durability::Durable,
        }
    }
}
