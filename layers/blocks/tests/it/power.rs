//! The power goes at every step that the log takes, while the store below keeps what it committed:
//! every committed block is whole afterwards, nothing else can be read, and the next one is stored.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{SegmentBlocks, SegmentOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockHash, BlockResult, BlockStore, Height, NewBlock, TxId};
use storage_api::{ChecksumSetting, Durability, Engine, KvStore, Location, OpenOptions, WriteTxn};

use crate::small;

const SEED: u64 = 0x626c_6f63;

/// One step of a life of blocks.
#[derive(Clone, Debug)]
enum Act {
    /// So many blocks in one commit, staged first.
    Append(usize),
    /// A block that is staged and dropped.
    StageOnly,
    Truncate(u64),
    Prune(u64),
    /// Takes so many blocks back and puts as many others in their place, in one commit.
    Reorganise(usize),
}

fn acts(dice: &mut ChaCha8Rng) -> Vec<Act> {
    let mut acts = vec![Act::Append(3)];
    for _ in 0..14 {
        acts.push(match dice.random_range(0..10) {
            0..=4 => Act::Append(dice.random_range(1..4)),
            5 => Act::StageOnly,
            6 => Act::Truncate(dice.random_range(0..4)),
            7 => Act::Prune(dice.random_range(1..6)),
            _ => Act::Reorganise(dice.random_range(1..3)),
        });
    }
    acts
}

/// A block with all that it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) height: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) parent: [u8; 32],
    pub(crate) tx_ids: Vec<TxId>,
    pub(crate) body: Vec<u8>,
}

fn block(dice: &mut ChaCha8Rng, chain: &[Owned]) -> Owned {
    let tip = chain.last();
    let len = dice.random_range(0..900);
    Owned {
        height: tip.map_or(1, |tip| tip.height + 1),
        hash: dice.random(),
        parent: tip.map_or([1; 32], |tip| tip.hash),
        tx_ids: (0..dice.random_range(0..4))
            .map(|_| TxId::new(&[dice.random_range(1..20); 8]).unwrap())
            .collect(),
        body: (0..len).map(|_| dice.random()).collect(),
    }
}

impl Owned {
    pub(crate) fn hash(&self) -> BlockHash {
        BlockHash::new(&self.hash).unwrap()
    }

    pub(crate) fn borrowed(&self) -> NewBlock<'_> {
        NewBlock {
            height: Height::new(self.height),
            hash: self.hash(),
            parent: BlockHash::new(&self.parent).unwrap(),
            tx_ids: &self.tx_ids,
            body: &self.body,
        }
    }
}

fn new_store() -> Arc<MemStore> {
    let schema = SegmentBlocks::<MemStore>::schema(ChecksumSetting::None).unwrap();
    let options = OpenOptions::new();
    let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
    Arc::new(opened.unwrap().0)
}

fn open(
    store: &Arc<MemStore>,
    disk: &SimDisk,
    options: &SegmentOptions,
) -> BlockResult<SegmentBlocks<MemStore>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Ok(SegmentBlocks::open(Arc::clone(store), disk, options)?.0)
}

/// Lives the acts; the blocks that are committed, whatever failed in the end.
fn live(store: &Arc<MemStore>, disk: &SimDisk, options: &SegmentOptions, seed: u64) -> Vec<Owned> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let acts = acts(&mut dice);
    let mut chain = Vec::new();
    let Ok(blocks) = open(store, disk, options) else {
        return chain;
    };
    for act in acts {
        let mut next = chain.clone();
        if step(store, &blocks, &mut next, &act, &mut dice, &mut chain).is_err() {
            return chain;
        }
    }
    chain
}

fn append(
    store: &Arc<MemStore>,
    blocks: &SegmentBlocks<MemStore>,
    new: &[Owned],
    truncate: Option<Option<Height>>,
) -> BlockResult<Option<blocks::Cleanup>> {
    let staged: Vec<_> = new
        .iter()
        .map(|block| blocks.stage(block.borrowed()))
        .collect::<BlockResult<_>>()?;
    let mut txn = store.begin_write()?;
    let cleanup = match truncate {
        Some(tip) => Some(blocks.truncate(&mut txn, tip)?),
        None => None,
    };
    for staged in staged {
        blocks.append(&mut txn, staged)?;
    }
    txn.commit(Durability::Durable)?;
    Ok(cleanup)
}

fn step(
    store: &Arc<MemStore>,
    blocks: &SegmentBlocks<MemStore>,
    next: &mut Vec<Owned>,
    act: &Act,
    dice: &mut ChaCha8Rng,
    chain: &mut Vec<Owned>,
) -> BlockResult<()> {
    let mut cleanup = None;
    match act {
        Act::Append(count) => {
            let from = next.len();
            for _ in 0..*count {
                next.push(block(dice, next));
            }
            append(store, blocks, &next[from..], None)?;
        }
        Act::StageOnly => {
            blocks.stage(block(dice, next).borrowed())?;
        }
        Act::Truncate(count) if !next.is_empty() => {
            let kept = next.len().saturating_sub(usize::try_from(*count).unwrap());
            next.truncate(kept);
            let tip = next.last().map(|tip| Height::new(tip.height));
            let mut txn = store.begin_write()?;
            cleanup = Some(blocks.truncate(&mut txn, tip)?);
            txn.commit(Durability::Durable)?;
        }
        Act::Prune(count) if !next.is_empty() => {
            let gone = next.len().saturating_sub(usize::try_from(*count).unwrap());
            next.drain(..gone);
            let mut txn = store.begin_write()?;
            cleanup = Some(blocks.prune(&mut txn, Height::new(next[0].height))?);
            txn.commit(Durability::Durable)?;
        }
        Act::Reorganise(count) if next.len() > *count => {
            next.truncate(next.len() - count);
            let from = next.len();
            let tip = Height::new(next[from - 1].height);
            for _ in 0..*count {
                next.push(block(dice, next));
            }
            cleanup = append(store, blocks, &next[from..], Some(Some(tip)))?;
        }
        _ => {}
    }
    // What follows is file work behind the commit.
    chain.clone_from(next);
    cleanup.map_or(Ok(()), |cleanup| blocks.finish(cleanup))
}

/// Every block is whole, in every way to find it, and nothing else is there.
pub(crate) fn compare(
    store: &Arc<MemStore>,
    blocks: &SegmentBlocks<MemStore>,
    count: usize,
    context: &str,
) {
    let view = store.begin_read().unwrap();
    let checked = blocks.check(&view).unwrap();
    assert!(
        checked.segments.is_empty() && checked.blocks.is_empty(),
        "{context}: {checked:?}"
    );
    assert_eq!(checked.sound_blocks, count as u64, "{context}");
}

fn is_seen(
    store: &Arc<MemStore>,
    blocks: &SegmentBlocks<MemStore>,
    chain: &[Owned],
    context: &str,
) {
    compare(store, blocks, chain.len(), context);
    let view = store.begin_read().unwrap();
    let tip = blocks.tip(&view).unwrap().map(|tip| tip.height.get());
    assert_eq!(tip, chain.last().map(|tip| tip.height), "{context}");
    for block in chain {
        let height = Height::new(block.height);
        let body = blocks.body(&view, height).unwrap();
        assert_eq!(body.as_ref(), Some(&block.body), "{context}: {height}");
        let hash = BlockHash::new(&block.hash).unwrap();
        assert_eq!(
            blocks.height_of(&view, &hash).unwrap(),
            Some(height),
            "{context}"
        );
    }
}

#[test]
fn committed_blocks_outlive_a_power_cut_at_every_step_of_the_log() {
    let lives = conformance::scaled(20) as u64;
    let mut images = 0;
    println!("seed {SEED:#x}, {lives} lives");
    for life in 0..lives {
        let seed = SEED + life;
        let options = SegmentOptions {
            advance_bytes: [0, 3_000][(life % 2) as usize],
            ..small()
        };
        let whole = SimDisk::new();
        live(&new_store(), &whole, &options, seed);
        for step in 0..whole.steps() {
            let (store, disk) = (new_store(), SimDisk::new());
            disk.plan(step, Trouble::PowerCut);
            let chain = live(&store, &disk, &options, seed);
            for image in 0..4 {
                let context = format!("seed {seed:#x}, step {step}, image {image}");
                let image = disk.after_power_cut(seed ^ (step << 8) ^ image);
                let blocks = open(&store, &image, &options)
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                is_seen(&store, &blocks, &chain, &context);
                images += 1;
            }
            let after = disk.after_kill();
            let blocks = open(&store, &after, &options).unwrap();
            let mut grown = chain.clone();
            grown.push(block(&mut ChaCha8Rng::seed_from_u64(step), &chain));
            append(&store, &blocks, &grown[chain.len()..], None).unwrap();
            is_seen(&store, &blocks, &grown, "the next block is stored");
        }
    }
    println!("{images} images");
}

#[test]
fn an_index_made_again_from_the_segments_is_the_one_that_was_lost() {
    for life in 0..20 {
        let seed = SEED ^ 0xabc ^ life;
        println!("seed {seed:#x}");
        let (store, disk) = (new_store(), SimDisk::new());
        let chain = live(&store, &disk, &small(), seed);
        let blocks = open(&store, &disk, &small()).unwrap();
        let tail = chain.first().map_or(1, |block| block.height);
        let mut txn = store.begin_write().unwrap();
        let rebuilt = blocks.rebuild_index(&mut txn).unwrap();
        txn.commit(Durability::Durable).unwrap();
        assert_eq!(rebuilt.records, rebuilt.blocks + rebuilt.passed_over);
        // Blocks below the tail come back as far as their segments are still there.
        let view = store.begin_read().unwrap();
        if let Some(first) = blocks.tail(&view).unwrap() {
            assert!(first.height.get() <= tail, "seed {seed:#x}");
        }
        drop(view);
        if !chain.is_empty() {
            let mut txn = store.begin_write().unwrap();
            blocks.prune(&mut txn, Height::new(tail)).unwrap();
            txn.commit(Durability::Durable).unwrap();
            is_seen(
                &store,
                &blocks,
                &chain,
                &format!("seed {seed:#x}, made again"),
            );
        }
    }
}
