//! Chunks sort, runs come back as they were written, merges give each key once, and damage in a
//! spilled run fails the load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use storage_api::ErrorKind;

use super::chunk::Chunk;
use super::run::{Merge, Run, TIER_RUNS, Tiers, spill};
use super::sorter::Sorter;

const SEED: u64 = 0x6275_6c6b;

type Rows = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

fn fill(chunk: &mut Chunk, model: &mut Rows, rng: &mut ChaCha8Rng, rows: usize) {
    for _ in 0..rows {
        // Few distinct keys of every length around eight bytes, so that heads collide and keys
        // come again.
        let len = rng.random_range(1..12);
        let key: Vec<u8> = (0..len).map(|_| rng.random_range(0..2)).collect();
        let value = vec![rng.random(); rng.random_range(0..40)];
        chunk.push(&key, &value);
        model.insert(key, value);
    }
}

#[test]
fn a_chunk_keeps_the_last_of_equal_keys() {
    println!("seed {SEED:#x}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut chunk, mut model) = (Chunk::new(), Rows::new());
    fill(&mut chunk, &mut model, &mut rng, 5_000);
    assert!(!chunk.is_ascending);
    chunk.sort();
    let model = model.iter().map(|(key, value)| (&key[..], &value[..]));
    assert!(chunk.rows().eq(model));
}

#[test]
fn a_chunk_knows_ascending_rows() {
    let mut chunk = Chunk::new();
    for key in [&b"a"[..], b"aa", b"b"] {
        chunk.push(key, b"");
        assert!(chunk.is_ascending);
    }
    chunk.push(b"b", b"again");
    assert!(!chunk.is_ascending, "an equal key is no ascent");
    chunk.clear();
    assert!(chunk.is_ascending && chunk.is_empty());
}

/// Runs and chunks of few keys, each newer than the one before.
fn runs_in(dir: &tempfile::TempDir, model: &mut Rows, count: usize) -> (Vec<Run>, Vec<Chunk>) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut runs = Vec::new();
    for number in 0..count {
        let mut chunk = Chunk::new();
        fill(&mut chunk, model, &mut rng, 700);
        chunk.sort();
        runs.push(
            spill(
                Merge::new(Vec::new(), [&chunk]).unwrap(),
                dir.path().join(number.to_string()),
            )
            .unwrap(),
        );
    }
    let mut chunks = Vec::new();
    for _ in 0..count / 2 + 1 {
        let mut chunk = Chunk::new();
        fill(&mut chunk, model, &mut rng, 300);
        chunk.sort();
        chunks.push(chunk.in_order());
    }
    (runs, chunks)
}

#[test]
fn a_merge_gives_each_key_once_and_the_newest_wins() {
    for count in [0, 1, 2, 3, 9] {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Rows::new();
        let (runs, chunks) = runs_in(&dir, &mut model, count);
        let mut merged = Vec::new();
        Merge::new(runs, &chunks)
            .unwrap()
            .for_each(&mut |key, value| {
                merged.push((key.to_vec(), value.to_vec()));
                Ok(())
            })
            .unwrap();
        assert!(merged.into_iter().eq(model), "{count} runs");
    }
}

#[test]
fn tiers_merge_many_runs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut tiers, mut model) = (Tiers::default(), Rows::new());
    let mut files = 0;
    let mut next_path = || {
        files += 1;
        Ok(Some(dir.path().join(files.to_string())))
    };
    // A full third tier, a run in the second, and runs in the first.
    for _ in 0..TIER_RUNS * TIER_RUNS + TIER_RUNS + 3 {
        let mut chunk = Chunk::new();
        fill(&mut chunk, &mut model, &mut rng, 20);
        chunk.sort();
        let path = next_path().unwrap().unwrap();
        let run = spill(Merge::new(Vec::new(), [&chunk]).unwrap(), path).unwrap();
        tiers.add(run, &mut next_path).unwrap();
        assert!(fs::read_dir(dir.path()).unwrap().count() < 2 * TIER_RUNS + 1);
    }
    let runs = tiers.into_runs();
    assert_eq!(runs.len(), 1 + 1 + 3);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), runs.len());
    let mut merged = Vec::new();
    let merge = Merge::new(runs, &[]).unwrap();
    merge
        .for_each(&mut |key, value| {
            merged.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    assert!(merged.into_iter().eq(model));
}

#[test]
fn a_damaged_run_fails_the_load() {
    let good = tempfile::tempdir().unwrap();
    let mut model = Rows::new();
    runs_in(&good, &mut model, 1);
    let bytes = fs::read(good.path().join("0")).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        for cut in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (runs, chunks) = runs_in(&dir, &mut Rows::new(), 1);
            let mut damaged = bytes.clone();
            if cut {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 1;
            }
            fs::write(dir.path().join("0"), damaged).unwrap();
            let read =
                Merge::new(runs, &chunks).and_then(|merge| merge.for_each(&mut |_, _| Ok(())));
            let kind = read.map_err(|error| error.kind().clone());
            assert!(
                matches!(kind, Err(ErrorKind::Corruption { .. })),
                "byte {at}, cut {cut}: {kind:?}"
            );
        }
    }
}

/// A load that ends removes the common folder when it was the last one there, and did so between
/// another load's making that folder and its own in it, which then failed with `NotFound`, or with
/// `AlreadyExists` when the removal came a moment later.
#[test]
fn folders_of_loads_that_come_and_go_do_not_hinder_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let come_and_go = &|name: &str| {
        for _ in 0..1_000 {
            let mut folder = super::Folder {
                path: Some(dir.path().join("bulk").join(name)),
                ..super::Folder::default()
            };
            folder.make().unwrap();
        }
    };
    std::thread::scope(|scope| {
        for name in ["0", "1", "2", "3"] {
            scope.spawn(move || come_and_go(name));
        }
    });
    assert!(!dir.path().join("bulk").exists(), "nothing is left");
}

/// The sorter passed over chunks that its thread did not give back, and the load would have
/// committed without their rows and called it a success.
#[test]
fn a_chunk_that_does_not_come_back_is_told() {
    let (mut sorter, mut back) = (Sorter::default(), 0);
    sorter.give(Chunk::new(), &mut |_| back += 1);
    sorter.give(Chunk::broken(), &mut |_| back += 1);
    sorter.finish(&mut |_| back += 1);
    assert!(sorter.has_lost() && back == 1, "{back} of 2 came back");
}
