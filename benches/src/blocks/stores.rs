//! Our own stores of blocks: the log alone, and segments and rows beside every engine.
//!
//! Invariant: a group is one commit and one sync of the log; reads are in one view.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use blocks::{ReadAhead, SegmentBlocks, SegmentOptions};
use chain_store::{AnyReadTxn, AnyStore, EngineName, Opener, StoreUrl};
use rustix::fs::{Advice, fadvise};
use seglog::disk::Folder;
use seglog::{Log, LogOptions, Place, SegmentNumber};
use storage_api::blocks::{BlockHash, BlockQuery, BlockStore, Height, KvBlocks, NewBlock};
use storage_api::{ChecksumSetting, Durability, KvStore, WriteTxn};

use super::Subject;

/// The segmented log alone, the places in memory.
pub(super) struct Segments {
    log: Log,
    places: Vec<Place>,
    buffer: Vec<u8>,
}

impl Segments {
    pub(super) fn new(dir: &Path, segment_bytes_max: u64) -> Result<Self> {
        let options = LogOptions {
            segment_bytes_max,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(Arc::new(Folder::new(dir)), options)?;
        Ok(Self {
            log,
            places: Vec::new(),
            buffer: Vec::new(),
        })
    }
}

impl Subject for Segments {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        for (height, body) in (first..).zip(bodies) {
            let place = self.log.append(seglog::Height::new(height), body)?;
            self.places.push(place);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let before = self.log.syncs();
        self.log.sync()?;
        ensure!(self.log.syncs() <= before + 1, "one sync a group");
        Ok(())
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let place = &self.places[usize::try_from(height)?];
        let reader = self.log.reader();
        Ok(reader
            .read(seglog::Height::new(height), place, &mut self.buffer)?
            .len())
    }

    fn scan(&mut self) -> Result<u64> {
        let reader = self.log.reader();
        let (first, _) = reader.segments()[0];
        let mut scan = reader.scan_segment(first, self.log.next())?;
        let mut bytes = 0;
        while let Some((_, _, payload)) = scan.read_next()? {
            bytes += payload.len() as u64;
        }
        Ok(bytes)
    }
}

/// The segmented log of a node that keeps few blocks: segments that are full are pruned, and their
/// files become the next ones.
pub(super) struct Recycled {
    segments: Segments,
    dir: PathBuf,
    /// The height of the first block that counts.
    first: u64,
    /// The segment that was written to last.
    number: SegmentNumber,
}

impl Recycled {
    /// Begins in a segment that is recycled already.
    pub(super) fn new(dir: &Path, segment_bytes_max: u64, len: usize) -> Result<Self> {
        let mut recycled = Self {
            segments: Segments::new(dir, segment_bytes_max)?,
            dir: dir.to_owned(),
            first: 0,
            number: SegmentNumber::default(),
        };
        let body = vec![1; len];
        while recycled.number < SegmentNumber::new(2) {
            let height = recycled.segments.log.next().get();
            recycled.append(height, &[&body])?;
        }
        recycled.sync()?;
        recycled.first = recycled.segments.log.next().get();
        Ok(recycled)
    }

    fn prune(&mut self) -> Result<()> {
        let log = &mut self.segments.log;
        self.number = log.segment();
        log.prune(log.next())?;
        // What was pruned is old, so the system's cache does not have it.
        let spare = File::open(self.dir.join("spare.old"))?;
        Ok(fadvise(&spare, 0, None, Advice::DontNeed)?)
    }
}

impl Subject for Recycled {
    fn can_read(&self) -> bool {
        false
    }

    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        for (height, body) in (self.first + first..).zip(bodies) {
            self.segments.append(height, &[body])?;
            if self.segments.log.segment() != self.number {
                self.prune()?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.segments.sync()
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        bail!("block {height} may be pruned")
    }

    fn scan(&mut self) -> Result<u64> {
        bail!("most blocks are pruned")
    }
}

/// A block store over an engine.
pub(super) struct Over<B> {
    store: Arc<AnyStore>,
    blocks: B,
    view: Option<AnyReadTxn>,
}

fn open(engine: EngineName, dir: &Path, schema: storage_api::Schema) -> Result<Arc<AnyStore>> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let mut opener = Opener {
        schema,
        ..Opener::default()
    };
    if engine != EngineName::Mem {
        opener.options.memory_budget_bytes = Some(512 << 20);
    }
    Ok(Arc::new(opener.open(&url)?.0))
}

impl Over<SegmentBlocks<AnyStore>> {
    pub(super) fn new(engine: EngineName, dir: &Path, segment_bytes_max: u64) -> Result<Self> {
        let schema = SegmentBlocks::<AnyStore>::schema(ChecksumSetting::None)?;
        let store = open(engine, dir, schema)?;
        let segments = dir.join("segments");
        fs::create_dir_all(&segments)?;
        let disk = Arc::new(Folder::new(&segments));
        let options = SegmentOptions {
            segment_bytes_max,
            ..SegmentOptions::default()
        };
        let (blocks, _) = SegmentBlocks::open(Arc::clone(&store), disk, &options)?;
        Ok(Self {
            store,
            blocks,
            view: None,
        })
    }
}

/// Segments of which ranges are read ahead by two threads.
pub(super) struct Ahead(pub(super) Over<SegmentBlocks<AnyStore>>);

impl Subject for Ahead {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        self.0.append(first, bodies)
    }

    fn sync(&mut self) -> Result<()> {
        self.0.sync()
    }

    fn settle(&mut self) -> Result<()> {
        self.0.settle()
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        self.0.read(height)
    }

    fn scan(&mut self) -> Result<u64> {
        let view = self.0.view.as_ref().context("no view")?;
        let all = BlockQuery::from(Height::new(0));
        let mut bytes = 0;
        for block in self.0.blocks.iter(view, all, ReadAhead::default()) {
            bytes += block?.body.len() as u64;
        }
        Ok(bytes)
    }
}

impl Over<KvBlocks> {
    pub(super) fn new(engine: EngineName, dir: &Path) -> Result<Self> {
        let store = open(engine, dir, KvBlocks::schema(ChecksumSetting::None)?)?;
        let blocks = KvBlocks::resolve(store.catalogue())?;
        Ok(Self {
            store,
            blocks,
            view: None,
        })
    }
}

fn hash(height: u64) -> Result<BlockHash> {
    Ok(BlockHash::new(&height.to_be_bytes())?)
}

impl<B: BlockStore> Subject for Over<B> {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        let mut staged = Vec::with_capacity(bodies.len());
        for (height, body) in (first..).zip(bodies) {
            staged.push(self.blocks.stage(NewBlock {
                height: Height::new(height),
                hash: hash(height)?,
                parent: hash(height.wrapping_sub(1))?,
                tx_ids: &[],
                body,
            })?);
        }
        let mut txn = self.store.begin_write()?;
        for staged in staged {
            self.blocks.append(&mut txn, staged)?;
        }
        txn.commit(Durability::Durable)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.view = Some(self.store.begin_read()?);
        Ok(())
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let view = self.view.as_ref().context("no view")?;
        let mut len = None;
        let found = self
            .blocks
            .with_body(view, Height::new(height), &mut |body| {
                len = Some(body.len());
            })?;
        ensure!(found, "block {height} is not there");
        len.context("no body")
    }

    fn scan(&mut self) -> Result<u64> {
        let view = self.view.as_ref().context("no view")?;
        let mut bytes = 0;
        let all = BlockQuery::from(Height::new(0));
        self.blocks.range(view, all, &mut |_, body| {
            bytes += body.len() as u64;
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }
}
