//! Chunks sort, runs come back as they were written, merges give each key once, whole and in parts,
//! and damage in a spilled run fails the load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use storage_api::{Error, ErrorKind, Result};

use super::chunk::Chunk;
use super::folder::Folder;
use super::merge::Merge;
use super::parts;
use super::run::{Bounds, Run, RunWriter};
use super::spool::{Gathered, Spool, Stop};
use super::tiers::{TIER_RUNS, Tiers};

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

fn spill(chunk: &Chunk, path: &Path) -> Run {
    let mut writer = RunWriter::create(path.to_owned(), chunk.used_bytes() as u64).unwrap();
    for (key, value) in chunk.rows() {
        writer.push(key, value).unwrap();
    }
    writer.finish().unwrap()
}

/// Chunks and runs of few keys, each newer than the one before.
fn gathered_in(dir: &tempfile::TempDir, model: &mut Rows, count: usize) -> Gathered {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut gathered = Gathered::default();
    for _ in 0..count / 2 + 1 {
        let mut chunk = Chunk::new();
        fill(&mut chunk, model, &mut rng, 300);
        chunk.sort();
        gathered.chunks.push(chunk);
    }
    for number in 0..count {
        let mut chunk = Chunk::new();
        fill(&mut chunk, model, &mut rng, 700);
        chunk.sort();
        let path = dir.path().join(number.to_string());
        gathered.runs.push(spill(&chunk, &path));
    }
    gathered
}

fn merged(gathered: &Gathered, bounds: Bounds<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rows = Vec::new();
    let merge = Merge::new(&gathered.chunks, &gathered.runs, bounds, 2)?;
    merge.for_each(&mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(rows)
}

#[test]
fn a_merge_gives_each_key_once_and_the_newest_wins() {
    for count in [0, 1, 2, 3, 9] {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Rows::new();
        let gathered = gathered_in(&dir, &mut model, count);
        let rows = merged(&gathered, Bounds::default()).unwrap();
        assert!(rows.into_iter().eq(model), "{count} runs");
    }
}

#[test]
fn large_rows_pass_a_merge_among_small_ones() {
    let mut gathered = Gathered::default();
    let mut model = Rows::new();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..3 {
        let mut chunk = Chunk::new();
        for number in 0..100_u32 {
            let key = rng.random_range(0..200_u32).to_be_bytes();
            // Around what is copied out of a chunk at once.
            let len = [0, 10, 700, 4_092, 4_093, 20_000][rng.random_range(0..6)];
            let value = number.to_le_bytes().repeat(len / 4 + 1);
            chunk.push(&key, &value);
            model.insert(key.to_vec(), value);
        }
        chunk.sort();
        gathered.chunks.push(chunk);
    }
    let rows = merged(&gathered, Bounds::default()).unwrap();
    assert!(rows.into_iter().eq(model));
}

#[test]
fn ranges_of_a_merge_have_their_rows_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Rows::new();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    // Runs of several sections, the last of them short.
    let mut gathered = Gathered::default();
    for number in 0..4 {
        let mut chunk = Chunk::new();
        for _ in 0..2_000 {
            let key = rng.random_range(0..9_000_u32).to_be_bytes();
            let value = vec![number; 300];
            chunk.push(&key, &value);
            model.insert(key.to_vec(), value);
        }
        chunk.sort();
        if number < 2 {
            gathered.chunks.push(chunk);
        } else {
            let path = dir.path().join(number.to_string());
            gathered.runs.push(spill(&chunk, &path));
        }
    }
    assert!(gathered.runs.iter().all(|run| run.samples().count() > 3));
    let section = gathered.runs[0].samples().nth(1).unwrap().0.to_vec();
    let mut cuts: Vec<Vec<u8>> = [0, 1, 4_000, 8_999, 9_000, u32::MAX]
        .map(|number: u32| number.to_be_bytes().to_vec())
        .to_vec();
    cuts.extend([section.clone(), [&section[..], b"\0"].concat()]);
    for from in &cuts {
        for until in cuts.iter().filter(|until| *until >= from) {
            let bounds = Bounds {
                from: Some(from),
                until: Some(until),
            };
            let expected = model.range(from.clone()..until.clone());
            let expected = expected.map(|(key, value)| (key.clone(), value.clone()));
            let rows = merged(&gathered, bounds).unwrap();
            assert!(rows.into_iter().eq(expected), "{from:?} until {until:?}");
        }
    }
}

/// A part in memory, which may fail at a row.
#[derive(Debug, Default)]
struct Kept {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    fails_at: Option<usize>,
    is_finished: bool,
}

impl crate::raw::RawPart for Kept {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.fails_at == Some(self.rows.len()) {
            return Err(Error::invalid("a part that fails"));
        }
        self.rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.is_finished = true;
        Ok(())
    }
}

/// Sixteen mebibytes of rows, half of them spilled.
fn large(dir: &tempfile::TempDir, model: &mut Rows) -> Gathered {
    let folder = Arc::new(Folder::at(Some(dir.path().join("bulk"))));
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut spool = Spool::new(8 << 20, folder);
    let mut chunk = Chunk::new();
    for number in 0..8_000_u32 {
        let key = rng.random_range(0..6_000_u32).to_be_bytes();
        let value = number.to_le_bytes().repeat(500);
        chunk.push(&key, &value);
        model.insert(key.to_vec(), value);
        if chunk.used_bytes() > 1 << 20 {
            chunk = spool.give(chunk).unwrap();
        }
    }
    spool.give(chunk).unwrap();
    spool.finish().unwrap()
}

#[test]
fn parts_have_all_rows_together_and_about_as_many_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Rows::new();
    let gathered = large(&dir, &mut model);
    assert!(gathered.chunks.len() > 3 && gathered.runs.len() > 3);
    for cores in [1, 2, 3, 8] {
        let cuts = parts::cuts_for(&gathered, cores);
        assert_eq!(cuts.len() + 1, cores);
        let kept = (0..cores).map(|_| Kept::default()).collect();
        let (kept, fed) = parts::feed(&gathered, &cuts, kept).unwrap();
        assert_eq!(fed.rows, model.len() as u64);
        let even = model.len() / cores;
        for part in &kept {
            assert!(part.is_finished);
            assert!((even * 3 / 4..even * 5 / 4).contains(&part.rows.len()));
        }
        let rows = kept.into_iter().flat_map(|part| part.rows);
        assert!(rows.eq(model.clone()), "{cores} parts");
    }
}

#[test]
fn a_part_that_fails_ends_the_load_with_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    let gathered = large(&dir, &mut Rows::new());
    let cuts = parts::cuts_for(&gathered, 3);
    for failing in 0..3 {
        let part = |number| Kept {
            fails_at: (number == failing).then_some(100),
            ..Kept::default()
        };
        let fed = parts::feed(&gathered, &cuts, (0..3).map(part).collect());
        let error = fed.map(drop).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn keys_that_are_all_equal_are_one_part() {
    let mut gathered = Gathered::default();
    for _ in 0..4 {
        let mut chunk = Chunk::new();
        chunk.push(b"key", &vec![7; 1 << 20]);
        gathered.chunks.push(chunk);
    }
    let cuts = parts::cuts_for(&gathered, 4);
    assert!(cuts.len() <= 1, "{cuts:?}");
    let kept = (0..=cuts.len()).map(|_| Kept::default()).collect();
    let (kept, fed) = parts::feed(&gathered, &cuts, kept).unwrap();
    assert_eq!(
        (fed.rows, kept.iter().map(|part| part.rows.len()).sum()),
        (1, 1_usize)
    );
}

#[test]
fn tiers_merge_many_runs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut tiers, mut model) = (Tiers::default(), Rows::new());
    let mut files = 0;
    let mut next_path = || {
        files += 1;
        Ok(dir.path().join(files.to_string()))
    };
    // A full third tier, a run in the second, and runs in the first.
    for _ in 0..TIER_RUNS * TIER_RUNS + TIER_RUNS + 3 {
        let mut chunk = Chunk::new();
        fill(&mut chunk, &mut model, &mut rng, 5);
        chunk.sort();
        let run = spill(&chunk, &next_path().unwrap());
        tiers.add(run, &Stop::default(), &mut next_path).unwrap();
        assert!(fs::read_dir(dir.path()).unwrap().count() < 2 * TIER_RUNS + 1);
    }
    let runs = tiers.into_runs();
    assert_eq!(runs.len(), 1 + 1 + 3);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), runs.len());
    let gathered = Gathered {
        runs,
        ..Gathered::default()
    };
    let rows = merged(&gathered, Bounds::default()).unwrap();
    assert!(rows.into_iter().eq(model));
}

#[test]
fn a_damaged_run_fails_the_load() {
    let good = tempfile::tempdir().unwrap();
    gathered_in(&good, &mut Rows::new(), 1);
    let bytes = fs::read(good.path().join("0")).unwrap();
    let middle = [&[0; 3][..], &[1; 3]].concat();
    let middle = Some(middle.as_slice());
    for at in (0..bytes.len()).step_by(97) {
        for cut in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let gathered = gathered_in(&dir, &mut Rows::new(), 1);
            let mut damaged = bytes.clone();
            if cut {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 1;
            }
            fs::write(dir.path().join("0"), damaged).unwrap();
            // A section is checked by every part that reads of it, in whole.
            let (from, until) = (None, None);
            for bounds in [
                Bounds::default(),
                Bounds {
                    from,
                    until: middle,
                },
                Bounds {
                    from: middle,
                    until,
                },
            ] {
                let kind = merged(&gathered, bounds).map_err(|error| error.kind().clone());
                assert!(
                    matches!(kind, Err(ErrorKind::Corruption { .. })),
                    "byte {at}, cut {cut}, {bounds:?}: {kind:?}"
                );
            }
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
            let folder = Folder::at(Some(dir.path().join("bulk").join(name)));
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
    let mut spool = Spool::new(usize::MAX, Arc::new(Folder::at(None)));
    spool.give(Chunk::new()).unwrap();
    // The thread ends with this one, and whoever comes next hears of it.
    let mut heard = spool.give(Chunk::broken()).map(drop);
    while heard.is_ok() {
        heard = spool.give(Chunk::new()).map(drop);
    }
    let kind = heard.map_err(|error| error.kind().clone());
    assert!(matches!(kind, Err(ErrorKind::Io { .. })), "{kind:?}");
    assert!(spool.finish().is_err(), "a spool that failed has nothing");
}

#[test]
fn a_run_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // A file stands where the folder would be.
    fs::write(dir.path().join("bulk"), b"").unwrap();
    let mut spool = Spool::new(0, Arc::new(Folder::at(Some(dir.path().join("bulk")))));
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut chunk = Chunk::new();
    fill(&mut chunk, &mut Rows::new(), &mut rng, 50);
    let given = spool.give(chunk);
    let told = given.and_then(|_| spool.finish());
    assert!(told.is_err(), "{told:?}");
}
