//! Power cuts and failures at every step, a crash at every commit, a log that lost its end, damaged
//! bytes, hostile rows: nothing committed is lost, nothing wrong is given, nothing panics.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use chain_store::{AnyStore, EngineName};
use compat::bitshares::{BlockDatabaseStore, DatabaseError, IfShort};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use storage_api::blocks::{BlockHash, Height};
use storage_api::{Durability, KvStore, WriteTxn, Writer};

use super::model::{Model, compare_all, last_of};
use super::{id, open, open_with, options, schema};
use crate::stores::{Lab, put_rows, rows_of, table_of};

const SEED: u64 = 0x6861_726d;

fn new_store() -> Arc<AnyStore> {
    Arc::new(AnyStore::open("mem:", &schema::<AnyStore>()).unwrap())
}

fn copy_of(store: &AnyStore) -> Arc<AnyStore> {
    let copy = new_store();
    put_rows(&*copy, "", &rows_of(store, ""));
    copy
}

fn is_corruption<T>(result: &Result<T, DatabaseError>) -> bool {
    matches!(result, Err(DatabaseError::Store(error)) if error.is_corruption())
}

/// Stores and removes until something fails; what is committed, and how many commits that were.
/// `crash` names a commit that is not made.
fn live(store: &Arc<AnyStore>, disk: &SimDisk, seed: u64, crash: Option<u64>) -> (Model, u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let (mut model, mut commits) = (Model::new(), 0);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Ok((blocks, _)) = open_with(store, disk, &options(IfShort::Refuse)) else {
        return (model, commits);
    };
    let database = blocks.database();
    for _ in 0..25 {
        let mut next = model.clone();
        let mut txn = store.begin_write().unwrap();
        let count = dice.random_range(1..4);
        let new: Vec<(BlockHash, Vec<u8>)> = (0..count)
            .map(|_| {
                let len = dice.random_range(1..400);
                let block = (0..len).map(|_| dice.random()).collect();
                (id(dice.random_range(1..12), dice.random_range(1..4)), block)
            })
            .collect();
        let borrowed: Vec<(BlockHash, &[u8])> =
            new.iter().map(|(id, block)| (*id, &block[..])).collect();
        if database.store_all(&mut txn, &borrowed).is_err() {
            break;
        }
        for (id, block) in new {
            let number = u32::from_be_bytes(*id.as_bytes().first_chunk().unwrap());
            next.insert(number, (id, Some(block)));
        }
        if dice.random_bool(0.3) {
            let last = last_of(&next).unwrap();
            assert!(database.remove(&mut txn, &last).unwrap());
            let number = u32::from_be_bytes(*last.as_bytes().first_chunk().unwrap());
            next.insert(number, (last, None));
        }
        let gives_up = dice.random_bool(0.1);
        if crash == Some(commits) {
            break;
        }
        if gives_up {
            continue;
        }
        txn.commit(Durability::Durable).unwrap();
        commits += 1;
        model = next;
    }
    (model, commits)
}

fn judge(store: &AnyStore, image: &SimDisk, model: &Model, context: &str) {
    let copy = copy_of(store);
    let disk: Arc<dyn Disk> = Arc::new(image.after_kill());
    let opened = open_with(&copy, disk, &options(IfShort::Refuse));
    let (blocks, _) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    compare_all(&blocks, model, context);
    blocks.store(&id(100, 1), b"it goes on").unwrap();
    assert_eq!(blocks.last_id().unwrap(), Some(id(100, 1)), "{context}");
}

/// Cuts the power at each step of the recovery; images that were looked at.
fn judge_recovery(store: &AnyStore, image: &SimDisk, model: &Model, context: &str) -> u64 {
    let open = |disk: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        drop(open_with(&copy_of(store), disk, &options(IfShort::Refuse)));
    };
    let probe = image.after_kill();
    open(&probe);
    for step in 0..probe.steps() {
        let again = image.after_kill();
        again.plan(step, Trouble::PowerCut);
        open(&again);
        let second = again.after_power_cut(step);
        judge(
            store,
            &second,
            model,
            &format!("{context}, recovery cut at {step}"),
        );
    }
    probe.steps()
}

#[test]
fn committed_blocks_outlive_power_cuts_and_failures_at_every_step() {
    let lives = scaled(3) as u64;
    println!("seed {SEED:#x}, {lives} lives");
    let mut images = 0;
    for life in 0..lives {
        let seed = SEED + life;
        let whole = SimDisk::new();
        live(&new_store(), &whole, seed, None);
        for step in 0..whole.steps() {
            for trouble in [
                Trouble::PowerCut,
                Trouble::Fail(ErrorKind::Other),
                Trouble::Fail(ErrorKind::StorageFull),
                Trouble::Short,
            ] {
                let context = format!("seed {seed:#x}, step {step}, {trouble:?}");
                let (store, disk) = (new_store(), SimDisk::new());
                disk.plan(step, trouble);
                let (model, _) = live(&store, &disk, seed, None);
                judge(&store, &disk.after_kill(), &model, &context);
                let image = disk.after_power_cut(seed ^ step);
                judge(&store, &image, &model, &context);
                images += 2 + judge_recovery(&store, &image, &model, &context);
            }
        }
    }
    println!("{images} images");
    assert!(images > 100, "{images} images");
}

#[test]
fn a_crash_before_any_commit_leaves_what_was_committed() {
    let seed = SEED + 1_000;
    println!("seed {seed:#x}");
    let (_, commits) = live(&new_store(), &SimDisk::new(), seed, None);
    assert!(commits > 15, "{commits}");
    for crash in 0..commits {
        let (store, disk) = (new_store(), SimDisk::new());
        let (model, made) = live(&store, &disk, seed, Some(crash));
        assert_eq!(made, crash);
        for image in [disk.after_kill(), disk.after_power_cut(crash)] {
            let context = format!("seed {seed:#x}, commit {crash}");
            judge(&store, &image, &model, &context);
            judge_recovery(&store, &image, &model, &context);
        }
    }
}

/// How many records no row points to.
fn trash(blocks: &BlockDatabaseStore<AnyStore>) -> u64 {
    let view = blocks.database().store().begin_read().unwrap();
    blocks.database().check(&view).unwrap().trash_records
}

/// The blocks before the bad one stayed in the log for good, once more with every try.
#[test]
fn a_list_that_is_refused_leaves_nothing_in_the_log() {
    let (store, disk) = (new_store(), SimDisk::new());
    let blocks = open(&store, Arc::new(disk));
    blocks.store(&id(1, 1), b"one").unwrap();
    let list: [(BlockHash, &[u8]); 2] = [(id(2, 1), b"two"), (id(3, 1), b"")];
    for _ in 0..3 {
        assert!(blocks.store_all(&list).is_err());
    }
    blocks.store(&id(2, 2), b"another two").unwrap();
    assert_eq!(trash(&blocks), 0);
}

/// What found no space stayed in memory, a copy for every try, and was written with what came next.
#[test]
fn a_block_that_found_no_space_is_not_there_and_is_stored_again() {
    let (store, probe) = (new_store(), SimDisk::new());
    let blocks = open(&store, Arc::new(probe.clone()));
    blocks.store(&id(1, 1), b"one").unwrap();
    // The write of the second block, which is in memory until the sync.
    let full_at = probe.steps();
    drop(blocks);
    let (store, disk) = (new_store(), SimDisk::new());
    disk.plan(full_at, Trouble::Fail(ErrorKind::StorageFull));
    let blocks = open(&store, Arc::new(disk.clone()));
    blocks.store(&id(1, 1), b"one").unwrap();
    let refused = blocks.store(&id(2, 1), b"two").unwrap_err();
    let DatabaseError::Store(refused) = refused else {
        panic!("{refused}");
    };
    let is_full = matches!(refused.kind(), storage_api::ErrorKind::DiskFull);
    assert!(is_full, "{refused}");
    blocks.store(&id(2, 1), b"two").unwrap();
    assert_eq!(blocks.last_id().unwrap(), Some(id(2, 1)));
    assert_eq!(trash(&blocks), 0, "what found no space was written late");
    drop(blocks);
    let opened = open_with(&store, Arc::new(disk), &options(IfShort::Refuse));
    let (blocks, opened) = opened.unwrap();
    assert_eq!(opened.uncommitted_records, 0);
    assert_eq!(blocks.last().unwrap().unwrap().block, b"two");
}

/// A log that lost its end: refused and left alone, or scanned back to what is whole.
#[test]
fn a_log_cut_at_every_byte_is_refused_or_scanned_back() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let blocks = open(&lab.store(), lab.disk());
    for at in 1..=6 {
        blocks.store(&id(at, 1), &[at as u8; 60]).unwrap();
    }
    // A fork switch: the newest records are not those of the highest numbers.
    for at in [4, 5, 2] {
        blocks.store(&id(at, 2), &[at as u8 + 100; 60]).unwrap();
    }
    drop(blocks);
    let whole_rows = rows_of(&*lab.store(), "");
    let file = lab.last_segment();
    let whole = fs::read(&file).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for len in 64..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        put_rows(&*lab.store(), "", &whole_rows);
        let refused = open_with(&lab.store(), lab.disk(), &options(IfShort::Refuse));
        assert!(is_corruption(&refused), "cut to {len}");
        assert_eq!(
            rows_of(&*lab.store(), ""),
            whole_rows,
            "cut to {len}: changed"
        );
        assert!(
            fs::read(&file).unwrap() == whole[..len],
            "cut to {len}: changed"
        );
        let scanned = open_with(&lab.store(), lab.disk(), &options(IfShort::ScanBack));
        let (blocks, opened) = scanned.unwrap();
        assert!(opened.lost_rows > 0, "cut to {len}");
        seen.insert(opened.lost_rows);
        let view = blocks.database().store().begin_read().unwrap();
        let check = blocks.database().check(&view).unwrap();
        assert!(check.blocks.is_empty(), "cut to {len}: {check:?}");
        assert_eq!(check.sound_blocks, 6 - opened.lost_rows, "cut to {len}");
        assert_eq!(
            blocks.last().unwrap().is_some(),
            opened.lost_rows < 6,
            "cut to {len}"
        );
        drop((view, blocks));
        open(&lab.store(), lab.disk());
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    println!("{} cuts, rows lost: {seen:?}", whole.len() - 64);
}

#[test]
fn damage_is_told_and_only_taken_away_on_purpose() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let blocks = open(&lab.store(), lab.disk());
    for at in 1..=20 {
        blocks.store(&id(at, 1), &[at as u8; 90]).unwrap();
    }
    drop(blocks);
    // A flip in the payload of a record in a segment that is not the last, and an absent file.
    let mut segments: Vec<_> = fs::read_dir(lab.segments())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    assert!(segments.len() >= 3, "{segments:?}");
    let damaged = &segments[segments.len() - 2];
    let mut bytes = fs::read(damaged).unwrap();
    let last = bytes.len() - 60;
    bytes[last] ^= 4;
    fs::write(damaged, &bytes).unwrap();
    let blocks = open(&lab.store(), lab.disk());
    let asked = |at: u64| blocks.fetch_by_number(Height::new(at));
    let first_bad = (1..=20).find(|at| asked(*at).is_err()).unwrap();
    assert!(is_corruption(&asked(first_bad)));
    let text = asked(first_bad).unwrap_err().to_string();
    assert!(
        text.contains("segment") && text.contains("offset"),
        "{text}"
    );
    assert!(is_corruption(
        &blocks.fetch_optional(&id(first_bad as u32, 1))
    ));
    // Whether it is there says its row; the block of the highest number is whole.
    assert!(blocks.contains(&id(first_bad as u32, 1)).unwrap());
    assert_eq!(blocks.last_id().unwrap(), Some(id(20, 1)));
    let view = blocks.database().store().begin_read().unwrap();
    let check = blocks.database().check(&view).unwrap();
    assert_eq!(
        (check.blocks.len(), check.segments.len()),
        (1, 1),
        "{check:?}"
    );
    drop(view);
    for at in first_bad + 1..=20 {
        assert!(blocks.remove(&id(at as u32, 1)).unwrap());
    }
    assert!(is_corruption(&blocks.last()));
    assert!(is_corruption(&blocks.last_id()));
    let truncated = blocks.truncate_to_last_valid().unwrap();
    assert_eq!(
        (truncated.removed_rows, truncated.lost_rows),
        (20 - first_bad, 1)
    );
    assert_eq!(blocks.last_id().unwrap(), Some(id(first_bad as u32 - 1, 1)));
    drop(blocks);
    fs::remove_file(&segments[0]).unwrap();
    let blocks = open(&lab.store(), lab.disk());
    let error = blocks.fetch_by_number(Height::new(1)).unwrap_err();
    assert!(error.to_string().contains("0000000000.seg"), "{error}");
    assert!(
        !is_corruption::<()>(&Err(error)),
        "an absent file is not damage"
    );
    for at in 2..first_bad {
        let _found = blocks.remove(&id(at as u32, 1));
    }
    let truncated = blocks.truncate_to_last_valid().unwrap();
    assert_eq!(truncated.lost_rows, 1, "the file of block 1 is absent");
}

/// Rows that somebody else wrote: the right block, nothing, or an error; never a panic.
#[test]
fn hostile_rows_give_an_error_or_the_right_block() {
    let count = scaled(2_000);
    println!("seed {SEED:#x}, {count} rows");
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let store = lab.store();
    let blocks = open(&store, lab.disk());
    for at in 1..=9 {
        blocks.store(&id(at, 1), &[at as u8; 50]).unwrap();
    }
    let rows = rows_of(&*store, "");
    let table = table_of(&*store, "bitshares.blocks");
    let keys: Vec<Vec<u8>> = rows
        .keys()
        .filter(|(name, _)| name == "bitshares.blocks")
        .map(|(_, key)| key.clone())
        .collect();
    for step in 0..count {
        put_rows(&*store, "", &rows);
        let at = dice.random_range(0..keys.len());
        let name = "bitshares.blocks".to_owned();
        let mut value = rows[&(name.clone(), keys[at].clone())].clone();
        let mut key = keys[at].clone();
        match dice.random_range(0..5) {
            0 => {
                let len = dice.random_range(0..90);
                value = (0..len).map(|_| dice.random()).collect();
            }
            1 => value.truncate(dice.random_range(0..value.len())),
            2 => value = rows[&(name, keys[dice.random_range(0..keys.len())].clone())].clone(),
            3 => key.truncate(dice.random_range(1..8)),
            _ => {
                let bit = dice.random_range(0..value.len() * 8);
                value[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let mut txn = store.begin_write().unwrap();
        txn.put(table, &key, &value).unwrap();
        txn.commit(Durability::Durable).unwrap();
        look(&blocks, &format!("seed {SEED:#x}, step {step}"));
        let _opened = open_with(&store, lab.disk(), &options(IfShort::ScanBack));
        let _truncated = blocks.truncate_to_last_valid();
    }
}

fn look(blocks: &BlockDatabaseStore<AnyStore>, context: &str) {
    for at in 1..=9_u32 {
        for found in [
            blocks.fetch_by_number(Height::new(at.into())),
            blocks.fetch_optional(&id(at, 1)),
        ] {
            match found {
                Ok(Some(found)) => {
                    assert_eq!(found.block, [at as u8; 50], "{context}");
                    assert_eq!(found.id, id(at, 1), "{context}");
                }
                Ok(None) => {}
                Err(DatabaseError::Store(error)) => {
                    // A row can name a segment that there is no file of.
                    let is_absent =
                        matches!(error.kind(), storage_api::ErrorKind::FileMissing { .. });
                    assert!(error.is_corruption() || is_absent, "{context}: {error}");
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
        let _there = blocks.contains(&id(at, 1));
        let _id = blocks.fetch_block_id(Height::new(at.into()));
    }
    let _last = blocks.last();
    let view = blocks.database().store().begin_read().unwrap();
    let _checked = blocks.database().check(&view);
}
