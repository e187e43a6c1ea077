//! Blocks in segment files beside every engine: the suite of blocks, and a child that is killed
//! with `SIGKILL` at random while it stores blocks, again and again on the same store.

use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use blocks::{SegmentBlockStore, SegmentBlocks, SegmentOptions};
use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use conformance::{BlockHarness, scaled};
use seglog::disk::Folder;
use storage_api::blocks::{AutoCommit, BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{ChecksumSetting, Durability, Error, KvStore, OpenOptions, Result, Schema};

use crate::suite::Chosen;

/// Small segments, so that a test has several.
fn options() -> SegmentOptions {
    SegmentOptions {
        segment_bytes_max: 20_000,
        advance_bytes: 4_096,
        ..SegmentOptions::default()
    }
}

/// Segments in a folder of the store's directory, beside the engine's files.
pub(super) fn open(
    engine: EngineName,
    place: &Path,
    schema: &Schema,
    options_of_store: &OpenOptions,
) -> Result<(Arc<AnyStore>, SegmentBlocks<AnyStore>)> {
    let mut schema = schema.clone();
    schema.merge(&SegmentBlocks::<AnyStore>::schema(ChecksumSetting::None)?)?;
    let opener = Opener {
        schema,
        options: options_of_store.clone(),
        ..Opener::default()
    };
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, place.join("store")),
    };
    let store = Arc::new(opener.open(&url)?.0);
    let segments = place.join("segments");
    std::fs::create_dir_all(&segments).map_err(|error| Error::from_io(error, "segments"))?;
    let disk = Arc::new(Folder::new(&segments));
    let opened = SegmentBlocks::open(Arc::clone(&store), disk, &options());
    let (blocks, _) = opened.map_err(|error| Error::invalid(error.to_string()))?;
    Ok((store, blocks))
}

/// A block store over one engine.
struct Over<E> {
    dir: tempfile::TempDir,
    engine: PhantomData<E>,
}

impl<E> Default for Over<E> {
    fn default() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            engine: PhantomData,
        }
    }
}

impl<E: Chosen> BlockHarness for Over<E> {
    type Store = AnyStore;
    type Blocks = SegmentBlocks<AnyStore>;

    fn open(
        &self,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Arc<AnyStore>, SegmentBlocks<AnyStore>)> {
        open(E::ENGINE, self.dir.path(), schema, options)
    }
}

conformance::block_suite!(over_mem, Over<crate::suite::Mem>);
#[cfg(feature = "redb")]
conformance::block_suite!(over_redb, Over<crate::suite::Redb>);
#[cfg(feature = "lmdb")]
conformance::block_suite!(over_lmdb, Over<crate::suite::Lmdb>);
#[cfg(feature = "rocks")]
conformance::block_suite!(over_rocks, Over<crate::suite::Rocks>);

const ENGINE: &str = "CHAINSTORE_TEST_SEGMENTS_ENGINE";
const STORE: &str = "CHAINSTORE_TEST_SEGMENTS_STORE";

pub(super) fn hash(height: u64) -> BlockHash {
    BlockHash::new(&height.to_be_bytes()).unwrap()
}

fn body(height: u64) -> Vec<u8> {
    height.to_le_bytes().repeat((height % 97) as usize * 5)
}

/// Stores blocks from the tip on, one or seven in a commit, and takes some back now and then.
fn store_blocks(auto: &SegmentBlockStore<AnyStore>, mut told: impl FnMut(u64)) {
    let tip = auto.tip().unwrap().map_or(0, |tip| tip.height.get());
    let tx = [TxId::new(b"the same everywhere").unwrap()];
    let mut next = tip + 1;
    for round in 0_u64.. {
        if round % 13 == 12 && next > 5 {
            auto.truncate(Some(Height::new(next - 4))).unwrap();
            next -= 3;
        }
        if round % 11 == 10 {
            // Bodies repeat eight bytes: every sealed segment is packed.
            let view = auto.store().begin_read().unwrap();
            auto.blocks().pack(&view, Height::new(next)).unwrap();
        }
        let count = if round % 3 == 0 { 7 } else { 1 };
        let bodies: Vec<Vec<u8>> = (next..next + count).map(body).collect();
        let group: Vec<NewBlock<'_>> = (next..next + count)
            .zip(&bodies)
            .map(|(height, body)| NewBlock {
                height: Height::new(height),
                hash: hash(height),
                parent: hash(height - 1),
                tx_ids: &tx,
                body,
            })
            .collect();
        auto.append_all(&group).unwrap();
        next += count;
        told(next - 1);
    }
}

/// Not a test of its own: the body of the child, which the test below starts.
#[test]
fn child_process() {
    let Ok(engine) = std::env::var(ENGINE) else {
        return;
    };
    let place = PathBuf::from(std::env::var(STORE).unwrap());
    let engine = engine.parse().unwrap();
    let none = Schema::new(&[]).unwrap();
    let (store, blocks) = open(engine, &place, &none, &OpenOptions::new()).unwrap();
    let auto = AutoCommit::new(store, blocks, Durability::Durable);
    let mut out = std::io::stdout();
    store_blocks(&auto, |height| {
        writeln!(out, "\nstored {height}").unwrap();
        out.flush().unwrap();
    });
}

/// The last height that a child told before it was killed.
fn live_and_die(engine: EngineName, place: &Path, wait: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "blocks::segments::child_process", "--nocapture"])
        .env(ENGINE, engine.as_str())
        .env(STORE, place)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        let told = out.lines().map_while(std::result::Result::ok);
        let heights = told.filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        heights.last()
    });
    thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn blocks_outlive_kills_at_random_on_every_durable_engine() {
    let kills = scaled(40) as u64;
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let dir = tempfile::tempdir().unwrap();
        let mut highest = 0;
        for kill in 0..kills {
            let wait = Duration::from_millis(20 + kill * 37 % 150);
            let told = live_and_die(engine, dir.path(), wait).unwrap_or(0);
            let none = Schema::new(&[]).unwrap();
            let (store, blocks) = open(engine, dir.path(), &none, &OpenOptions::new()).unwrap();
            let view = store.begin_read().unwrap();
            let tip = blocks.tip(&view).unwrap().map_or(0, |tip| tip.height.get());
            // A truncation takes three blocks back between two words of the child.
            assert!(tip + 3 >= told, "{engine}: {told} was told, {tip} is there");
            let checked = blocks.check(&view).unwrap();
            assert!(checked.blocks.is_empty(), "{engine}: {checked:?}");
            assert!(checked.segments.is_empty(), "{engine}: {checked:?}");
            assert_eq!(checked.sound_blocks, tip, "{engine}");
            for height in 1..=tip {
                let found = blocks.body(&view, Height::new(height)).unwrap();
                assert!(found == Some(body(height)), "{engine}: block {height}");
            }
            highest = highest.max(tip);
        }
        println!("{engine}: {kills} kills, {highest} blocks at the highest");
        assert!(highest > 0, "{engine}: no child stored a block");
    }
}
