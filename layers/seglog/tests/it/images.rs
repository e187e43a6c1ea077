//! The power goes, or a step fails, at every step of a life, and again at every step of the
//! recovery: nothing that was synced is lost, nothing that was not written appears.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use seglog::{Height, Log, LogOptions};

use crate::model::{Act, Model, PAGES, live, options, options_of_pages, script};

const SEED: u64 = 0x7365_676c;

/// Images of the default run at full scale.
const IMAGES: u64 = 200_000;

fn images_wanted() -> u64 {
    match std::env::var("CHAINSTORE_TEST_SCALE").as_deref() {
        Ok("full") => IMAGES,
        _ => IMAGES / 10,
    }
}

fn dyn_disk(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Opens an image, compares it, and goes on with it.
fn judge(model: &Model, image: &SimDisk, options: LogOptions, context: &str) {
    let (mut log, _) =
        Log::open(dyn_disk(image), options).unwrap_or_else(|error| panic!("{context}: {error}"));
    model.compare(&log, context);
    let next = log.next();
    log.append(next, b"goes on").unwrap();
    log.append(next.next(), b"and on").unwrap();
    log.sync().unwrap();
    let after = image.after_power_cut(next.get());
    let (log, _) = Log::open(dyn_disk(&after), options).unwrap();
    assert_eq!(
        log.next().get(),
        next.get() + 2,
        "{context}: after going on"
    );
    assert!(
        log.reader().check().unwrap().is_empty(),
        "{context}: after going on"
    );
}

/// Cuts the power at each step of the recovery of an image; images that were looked at.
fn judge_recovery(
    model: &Model,
    image: &SimDisk,
    options: LogOptions,
    seed: u64,
    context: &str,
) -> u64 {
    let probe = image.after_kill();
    drop(Log::open(dyn_disk(&probe), options));
    let steps = probe.steps();
    for step in 0..steps {
        let again = image.after_kill();
        again.plan(step, Trouble::PowerCut);
        let opened = Log::open(dyn_disk(&again), options);
        assert!(opened.is_err(), "{context}: the power went at step {step}");
        let second = again.after_power_cut(seed + step);
        judge(
            model,
            &second,
            options,
            &format!("{context}, recovery cut at {step}"),
        );
    }
    steps
}

#[test]
fn power_cuts_at_every_step_and_again_in_the_recovery_lose_nothing() {
    let wanted = images_wanted();
    println!("seed {SEED:#x}, {wanted} images");
    let (mut images, mut nested, mut lives) = (0_u64, 0_u64, 0_u64);
    while images + nested < wanted {
        let seed = SEED + lives;
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (options, longer) = match lives % 4 {
            0 => (options(0), 1),
            1 => (options(600), 1),
            2 => (options(4_000), 1),
            _ => (options_of_pages(600), PAGES),
        };
        let acts = script(&mut dice, 40, longer);
        lives += 1;
        let whole = SimDisk::new();
        live(&dyn_disk(&whole), options, &acts).1.unwrap();
        for step in 0..whole.steps() {
            let disk = SimDisk::new();
            disk.plan(step, Trouble::PowerCut);
            let (model, log) = live(&dyn_disk(&disk), options, &acts);
            // What is written in advance says nothing when it fails, nor does what is written when
            // a log is closed.
            drop(log);
            assert!(
                disk.is_off(),
                "seed {seed:#x}: the power went at step {step}"
            );
            for image in 0..6 {
                let context = format!("seed {seed:#x}, step {step}, image {image}");
                let image = disk.after_power_cut(seed ^ (step << 8) ^ image);
                images += 1;
                nested += judge_recovery(&model, &image, options, seed + step, &context);
                judge(&model, &image, options, &context);
            }
            // A killed process leaves everything that it wrote.
            judge(&model, &disk.after_kill(), options, "after a kill");
            images += 1;
        }
    }
    println!("{images} images, {nested} more of recoveries, {lives} lives");
}

#[test]
fn a_failure_at_every_step_loses_nothing_and_poisons_what_it_must() {
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull];
    let lives = images_wanted() / 4_000;
    let mut failures = 0_u64;
    println!("seed {SEED:#x}, {lives} lives");
    for life in 0..lives {
        let seed = SEED ^ 0xff00 ^ life;
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (options, longer) = match life % 3 {
            0 => (options(0), 1),
            1 => (options(4_000), 1),
            _ => (options_of_pages(600), PAGES),
        };
        let acts = script(&mut dice, 40, longer);
        let whole = SimDisk::new();
        live(&dyn_disk(&whole), options, &acts).1.unwrap();
        for step in 0..whole.steps() {
            for kind in kinds {
                let disk = SimDisk::new();
                disk.plan(step, Trouble::Fail(kind));
                let (model, _) = live(&dyn_disk(&disk), options, &acts);
                let context = format!("seed {seed:#x}, step {step} fails with {kind:?}");
                failures += 1;
                judge(&model, &disk.after_kill(), options, &context);
                for image in 0..2 {
                    let image = disk.after_power_cut(seed ^ (step << 8) ^ image);
                    judge(&model, &image, options, &context);
                }
            }
            // A short write is no failure at all.
            let disk = SimDisk::new();
            disk.plan(step, Trouble::Short);
            live(&dyn_disk(&disk), options, &acts).1.unwrap();
        }
    }
    println!("{failures} failures");
}

/// A failed sync leaves pages that look written and never reach the disk: a log that took a second
/// sync for an answer would acknowledge records that a power cut then takes away.
#[test]
fn a_failed_sync_is_not_tried_again() {
    let disk = SimDisk::new();
    let options = options(0);
    let (mut log, _) = Log::open(dyn_disk(&disk), options).unwrap();
    log.append(Height::new(1), b"one").unwrap();
    log.sync().unwrap();
    log.append(Height::new(2), b"two").unwrap();
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::Other));
    assert!(log.sync().is_err());
    assert!(log.sync().is_err(), "the second sync is no answer");
    assert!(log.append(Height::new(3), b"three").is_err());
    drop(log);
    let (log, _) = Log::open(dyn_disk(&disk), options).unwrap();
    assert_eq!(
        log.next(),
        Height::new(2),
        "what the disk does not have is not shown"
    );
}

/// A record that was cut came back behind another one of the same length that took the place of
/// the one before it.
#[test]
fn a_record_behind_a_cut_does_not_come_back() {
    for same in [false, true] {
        let disk = SimDisk::new();
        let options = options(4_000);
        let appends = [b"aaaa", b"bbbb", b"cccc"].map(|payload| Act::Append(payload.to_vec()));
        let mut acts = appends.to_vec();
        acts.push(Act::Sync);
        let (_, log) = live(&dyn_disk(&disk), options, &acts);
        let mut log = log.unwrap();
        log.truncate(Height::new(2)).unwrap();
        let again: &[u8] = if same { b"bbbb" } else { b"BBBB" };
        log.append(Height::new(2), again).unwrap();
        log.sync().unwrap();
        for seed in 0..20 {
            let (log, _) = Log::open(dyn_disk(&disk.after_power_cut(seed)), options).unwrap();
            assert_eq!(log.next(), Height::new(3));
        }
    }
}

/// Old records of the same segment lie behind a new one, where a cut did not reach the disk: they
/// check in this segment, and the next height is theirs, but they do not follow.
#[test]
fn a_record_follows_only_the_record_that_it_was_written_behind() {
    for same in [false, true] {
        let disk = SimDisk::new();
        let options = options(0);
        let (mut log, _) = Log::open(dyn_disk(&disk), options).unwrap();
        for (height, payload) in [(1, b"aaaa"), (2, b"bbbb"), (3, b"cccc")] {
            log.append(Height::new(height), payload).unwrap();
            log.sync().unwrap();
        }
        let name = log.segment().file_name();
        let old = disk.bytes(&name).unwrap();
        log.truncate(Height::new(2)).unwrap();
        let again: &[u8] = if same { b"bbbb" } else { b"BBBB" };
        log.append(Height::new(2), again).unwrap();
        drop(log);
        let mut bytes = disk.bytes(&name).unwrap();
        bytes.extend_from_slice(&old[bytes.len()..]);
        disk.put(&name, &bytes);
        let (log, recovered) = Log::open(dyn_disk(&disk), options).unwrap();
        assert_eq!(log.next(), Height::new(3), "same {same}: {recovered:?}");
        let left = disk.bytes(&name).unwrap().len();
        assert_eq!(left, bytes.len() - 44, "what does not follow is cut away");
    }
}

/// A long payload is written in parts, its header last.
#[test]
fn a_long_record_is_there_whole_or_not_at_all() {
    let options = LogOptions {
        segment_bytes_max: 10 << 20,
        ..options(4_000)
    };
    let long: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
    let live = |disk: &SimDisk| -> Result<(), seglog::LogError> {
        let (mut log, _) = Log::open(dyn_disk(disk), options)?;
        log.append(Height::new(1), b"short")?;
        log.sync()?;
        log.append(Height::new(2), &long)?;
        log.sync()?;
        log.append(Height::new(3), b"behind")?;
        log.sync()
    };
    let whole = SimDisk::new();
    live(&whole).unwrap();
    let (mut without, mut with) = (0, 0);
    for step in 0..whole.steps() {
        for trouble in [
            Trouble::PowerCut,
            Trouble::Fail(ErrorKind::StorageFull),
            Trouble::Fail(ErrorKind::Other),
        ] {
            let disk = SimDisk::new();
            disk.plan(step, trouble);
            if live(&disk).is_ok() {
                continue;
            }
            for seed in 0..4 {
                let image = disk.after_power_cut(seed ^ step);
                let (log, _) = Log::open(dyn_disk(&image), options).unwrap();
                for (height, payload) in crate::model::records(&log.reader(), log.next()).unwrap() {
                    let expected: &[u8] = match height {
                        1 => b"short",
                        2 => &long,
                        _ => b"behind",
                    };
                    assert!(payload == expected, "step {step}, record {height}");
                }
                with += u64::from(log.next().get() > 2);
                without += u64::from(log.next().get() == 2);
            }
        }
    }
    assert!(
        with > 10 && without > 10,
        "{with} images with it, {without} without"
    );
}
