//! R-A6: the power goes, or a step of the disk fails, at every step of restoring blocks, one by one
//! and in lists, and of taking them back. After opening again the chain is the one before or the
//! one after, every way to find a block agrees, what was on its way cannot be read, and the next
//! block is stored.
//!
//! The files are on a disk in memory that fails and forgets; the store below keeps what it
//! committed. Every step for the store in memory; on the other engines, whose stores are made anew
//! for each step, one step of several. How a store itself outlives power cuts is the engines' own
//! matter and proved there; its failures before and after a commit are in `failing`.

use std::io::ErrorKind;
use std::sync::Arc;

use chain_store::{AnyStore, EngineName};
use compat::repchain::{Blocks, Error, Options, RestoreError};
use conformance::scaled;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::KvStore;
use storage_api::blocks::Height;

use super::{Known, Place, SEED, compare, options, random_chain};

/// One step of a life.
#[derive(Clone, Copy, Debug)]
enum Act {
    One,
    List(usize),
    Rollback(u64),
}

const ACTS: [Act; 12] = [
    Act::One,
    Act::One,
    Act::One,
    Act::List(4),
    Act::Rollback(5),
    Act::One,
    Act::List(3),
    Act::One,
    Act::Rollback(0),
    Act::One,
    Act::List(5),
    Act::One,
];

/// What a chain may be after a life that ended at some step.
#[derive(Clone, Debug, Default)]
struct Lived {
    /// What was acknowledged.
    chain: Vec<Known>,
    /// What it was to become.
    wanted: Vec<Known>,
}

fn open(
    store: &Arc<AnyStore>,
    disk: &SimDisk,
    options: &Options,
) -> Result<Blocks<AnyStore>, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Ok(Blocks::open(Arc::clone(store), disk, options)?.0)
}

/// Lives the acts over blocks of a seed, up to the first failure.
fn live(store: &Arc<AnyStore>, disk: &SimDisk, options: &Options, seed: u64) -> Lived {
    let mut lived = Lived::default();
    let Ok(blocks) = open(store, disk, options) else {
        return lived;
    };
    for (number, act) in (0..).zip(ACTS) {
        lived.wanted.clone_from(&lived.chain);
        if let Act::Rollback(height) = act {
            lived.wanted.truncate(usize::try_from(height).unwrap());
            if blocks.rollback_to_height(Height::new(height)).is_err() {
                return lived;
            }
            lived.chain.clone_from(&lived.wanted);
            continue;
        }
        let count = match act {
            Act::List(count) => count,
            _ => 1,
        };
        extend(&mut lived.wanted, seed ^ number << 32, count);
        let new = &lived.wanted[lived.chain.len()..];
        let restored = match act {
            Act::One => blocks
                .restore_block(&new[0].block)
                .map(drop)
                .map_err(|source| RestoreError {
                    restored: 0,
                    source,
                }),
            _ => blocks
                .restore_blocks_bytes(new.iter().map(|known| &known.bytes))
                .map(drop),
        };
        if let Err(error) = restored {
            let restored = usize::try_from(error.restored).unwrap();
            lived.chain.extend_from_slice(&new[..restored]);
            return lived;
        }
        lived.chain.clone_from(&lived.wanted);
    }
    lived
}

/// Grows a chain by random blocks.
fn extend(chain: &mut Vec<Known>, seed: u64, count: usize) {
    for block in random_chain(seed, count) {
        let mut block = block.block;
        let previous = chain.last().map_or("", |last| last.hash.as_str());
        block.previous_block_hash = previous.as_bytes().to_vec();
        // Some are longer than a file may be.
        if chain.len() % 5 == 3 {
            block.state_hash = vec![7; 3_000];
        }
        chain.push(Known::new(block));
    }
}

/// The chain that is there, which is one of those that may be.
fn is_one_of(blocks: &Blocks<AnyStore>, lived: &Lived, context: &str) -> Vec<Known> {
    let height = usize::try_from(blocks.get_block_height().unwrap().get()).unwrap();
    let Lived { chain, wanted } = lived;
    let is_grown = wanted.len() >= chain.len();
    let may_be = if is_grown {
        chain.len()..=wanted.len()
    } else {
        wanted.len()..=chain.len()
    };
    assert!(
        may_be.contains(&height),
        "{context}: {height} is there, {may_be:?} may be"
    );
    if !is_grown || height == chain.len() {
        assert!(
            height == chain.len() || height == wanted.len(),
            "{context}: taken back in part"
        );
    }
    let longer = if is_grown { wanted } else { chain };
    compare(blocks, &longer[..height], context);
    for gone in &longer[height..] {
        assert!(
            blocks.get_block_by_hash(&gone.hash).unwrap().is_none(),
            "{context}"
        );
        for tx_id in gone.tx_ids() {
            assert!(
                blocks.get_block_by_tx_id(tx_id).unwrap().is_none(),
                "{context}"
            );
        }
    }
    longer[..height].to_vec()
}

/// Every block of the index is whole in the files.
fn is_sound(store: &AnyStore, blocks: &Blocks<AnyStore>, count: usize, context: &str) {
    let view = store.begin_read().unwrap();
    let checked = blocks.blocks().check(&view).unwrap();
    assert!(
        checked.segments.is_empty() && checked.blocks.is_empty(),
        "{context}: {checked:?}"
    );
    assert_eq!(checked.sound_blocks, count as u64, "{context}");
}

/// The next blocks are stored, one and a list.
fn goes_on(store: &AnyStore, blocks: &Blocks<AnyStore>, chain: &[Known], context: &str) {
    let mut grown = chain.to_vec();
    extend(&mut grown, SEED ^ 0x77, 4);
    blocks.restore_block(&grown[chain.len()].block).unwrap();
    super::restore(blocks, &grown[chain.len() + 1..]);
    compare(blocks, &grown, context);
    is_sound(store, blocks, grown.len(), context);
}

fn small(life: u64) -> Options {
    Options {
        file_bytes_max: 2_000,
        advance_bytes: [0, 3_000][(life % 2) as usize],
        ..options()
    }
}

/// What the disk has to bear.
const TROUBLES: [Trouble; 4] = [
    Trouble::PowerCut,
    Trouble::Fail(ErrorKind::Other),
    Trouble::Fail(ErrorKind::StorageFull),
    Trouble::Short,
];

/// One life with trouble at a step, and what is found after it.
fn one(engine: EngineName, life: u64, step: u64, trouble: Trouble) -> usize {
    let options = small(life);
    let seed = SEED ^ 0x50 ^ life;
    let mut place = Place::new(engine);
    let (store, disk) = (place.store(), SimDisk::new());
    disk.plan(step, trouble);
    let lived = live(&store, &disk, &options, seed);
    let mut images = 0;
    let context = |what: &str| format!("{engine}, life {life}, {trouble:?} at {step}, {what}");
    if trouble == Trouble::PowerCut {
        for image in 0..3 {
            let context = context(&format!("image {image}"));
            let image = disk.after_power_cut(seed ^ step << 8 ^ image);
            let blocks = open(&store, &image, &options);
            let blocks = blocks.unwrap_or_else(|error| panic!("{context}: {error}"));
            let chain = is_one_of(&blocks, &lived, &context);
            is_sound(&store, &blocks, chain.len(), &context);
            images += 1;
        }
    }
    let after = match trouble {
        Trouble::PowerCut if step.is_multiple_of(2) => disk.after_power_cut(seed ^ step),
        _ => disk.after_kill(),
    };
    let context = context("at the end");
    let blocks = open(&store, &after, &options);
    let blocks = blocks.unwrap_or_else(|error| panic!("{context}: {error}"));
    let chain = is_one_of(&blocks, &lived, &context);
    goes_on(&store, &blocks, &chain, &context);
    images + 1
}

/// Every so many steps of so many lives, with each trouble.
fn troubled(engine: EngineName, lives: u64, stride: usize) {
    let mut images = 0;
    for life in 0..lives {
        let whole = SimDisk::new();
        let mut place = Place::new(engine);
        let lived = live(&place.store(), &whole, &small(life), SEED ^ 0x50 ^ life);
        assert_eq!(lived.chain.len(), 7, "without trouble every act is done");
        for trouble in TROUBLES {
            for step in (0..whole.steps()).step_by(stride) {
                images += one(engine, life, step, trouble);
            }
        }
    }
    println!("{engine}, seed {SEED:#x}: {lives} lives, {images} images");
    assert!(images > 0);
}

#[test]
fn r_a6_trouble_at_every_step_of_the_files_over_a_store_in_memory() {
    troubled(EngineName::Mem, scaled(6).max(2) as u64, 1);
}

#[test]
fn r_a6_trouble_at_steps_of_the_files_over_every_durable_engine() {
    let stride = 130 / scaled(10);
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        troubled(engine, 2, stride);
    }
}

#[test]
fn r_a6_after_a_full_disk_the_same_chain_goes_on_without_opening_again() {
    let options = small(0);
    let whole = SimDisk::new();
    let mut place = Place::new(EngineName::Mem);
    let chain = random_chain(SEED ^ 0x51, 12);
    let run = |store: &Arc<AnyStore>, disk: &SimDisk| {
        let blocks = open(store, disk, &options)?;
        let mut refused = 0;
        for block in &chain {
            if blocks.restore_block(&block.block).is_err() {
                refused += 1;
                // Another error than the full disk ends writing; that one does not.
                blocks.restore_block(&block.block)?;
            }
        }
        compare(&blocks, &chain, "after a full disk");
        Ok::<_, Error>(refused)
    };
    assert_eq!(run(&place.store(), &whole).unwrap(), 0);
    let (mut gone_on, mut steps) = (0, 0);
    for step in 0..whole.steps() {
        let disk = SimDisk::new();
        disk.plan(step, Trouble::Fail(ErrorKind::StorageFull));
        let store = Place::new(EngineName::Mem).store();
        steps += 1;
        // A sync that says that the disk is full is a failed sync, and opening may fail as well.
        if run(&store, &disk).is_ok_and(|refused| refused == 1) {
            gone_on += 1;
        }
        let blocks = open(&store, &disk.after_kill(), &options).unwrap();
        let known = blocks.get_block_height().unwrap().get() as usize;
        super::restore(&blocks, &chain[known..]);
        compare(&blocks, &chain, "opened again");
    }
    assert!(gone_on >= chain.len(), "{gone_on} of {steps}");
}
