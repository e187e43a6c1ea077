//! The log on the real file system: rollover, limits, refusals, readers beside the writer, and the
//! number of syncs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use seglog::disk::{Disk, Folder};
use seglog::{Height, Log, LogError, LogOptions, Reader};

use crate::model::{live, options, records, script};

fn folder(path: &Path) -> Arc<dyn Disk> {
    Arc::new(Folder::new(path))
}

fn sizes(log: &Log) -> Vec<u64> {
    let segments = log.reader().segments();
    let mut ends: Vec<u64> = segments
        .iter()
        .skip(1)
        .map(|(_, first)| first.get())
        .collect();
    ends.push(log.next().get());
    let records = segments.iter().zip(ends);
    records.map(|((_, first), end)| end - first.get()).collect()
}

#[test]
fn segments_roll_over_exactly_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes_max: 1_000,
        ..options(0)
    };
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    let mut next = Height::new(1);
    let mut put = |log: &mut Log, bytes: usize| {
        log.append(next, &vec![7; bytes]).unwrap();
        next = next.next();
    };
    // Two fit, a third does not; an exact fit stays, one byte more rolls; a large one is alone.
    for bytes in [400, 400, 400, 600, 1_000, 1, 1_000, 5_000, 1, 0, 999, 1] {
        put(&mut log, bytes);
    }
    log.sync().unwrap();
    assert_eq!(sizes(&log), [2, 2, 1, 1, 1, 1, 3, 1]);
    drop(log);
    let (log, _) = Log::open(folder(dir.path()), options).unwrap();
    assert_eq!(sizes(&log), [2, 2, 1, 1, 1, 1, 3, 1]);
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 12);
}

/// Everybody could read the segments of a store whose other files nobody else could.
#[cfg(unix)]
#[test]
fn segments_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder(dir.path()), options(0)).unwrap();
    log.append(Height::new(1), b"a body").unwrap();
    log.sync().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
    assert!(dir.path().join("0000000000.seg").exists());
}

#[test]
fn what_does_not_count_leaves_the_limit_to_the_rest_also_after_opening_and_cutting() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes_max: 1_000,
        // The last byte of a payload says how many before it do not count, itself among them.
        uncounted_bytes: |end| end.last().map_or(0, |bytes| u64::from(*bytes)),
        ..options(0)
    };
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    let put = |log: &mut Log, bytes: usize, trailer: u8| {
        let (payload, trailer) = (vec![7; bytes], vec![trailer; trailer.into()]);
        let next = log.next();
        log.append_parts(next, (&payload, &trailer)).unwrap();
    };
    let again = |log: Log| {
        drop(log);
        Log::open(folder(dir.path()), options).unwrap().0
    };
    put(&mut log, 400, 200);
    log = again(log);
    put(&mut log, 400, 200);
    log = again(log);
    put(&mut log, 200, 255);
    assert_eq!(sizes(&log), [3], "exactly full of what counts");
    log = again(log);
    put(&mut log, 1, 1);
    assert_eq!(sizes(&log), [3, 1]);
    put(&mut log, 5_000, 9);
    put(&mut log, 999, 9);
    assert_eq!(sizes(&log), [3, 1, 1, 1]);
    log.truncate(Height::new(3)).unwrap();
    put(&mut log, 200, 100);
    put(&mut log, 0, 100);
    assert_eq!(sizes(&log), [4], "what a cut leaves is counted anew");
    put(&mut log, 1, 100);
    assert_eq!(sizes(&log), [4, 1]);
    // Bytes that say of themselves that more than there are do not count.
    let next = log.next();
    log.append(next, &[255; 3]).unwrap();
    log = again(log);
    assert_eq!(sizes(&log), [4, 2]);
    assert!(log.reader().check().unwrap().is_empty());
}

#[test]
fn lives_on_the_file_system_end_as_the_model() {
    for seed in 0..30 {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let acts = script(&mut ChaCha8Rng::seed_from_u64(seed), 200, 1);
        let options = options([0, 4_000][(seed % 2) as usize]);
        let (model, log) = live(&folder(dir.path()), options, &acts);
        let mut log = log.unwrap();
        log.flush().unwrap();
        model.compare(&log, "at the end");
        drop(log);
        let (log, _) = Log::open(folder(dir.path()), options).unwrap();
        model.compare(&log, "opened again");
        let (reader, next, _) = Reader::open(folder(dir.path()), options.chain).unwrap();
        assert_eq!(next, Some(log.next()));
        assert!(reader.check().unwrap().is_empty());
    }
}

#[test]
fn what_does_not_follow_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder(dir.path()), options(0)).unwrap();
    for height in [0, 2] {
        let refused = log.append(Height::new(height), b"x");
        assert!(matches!(refused, Err(LogError::Gap { .. })), "{refused:?}");
    }
    log.append(Height::new(1), b"x").unwrap();
    let refused = log.append(Height::new(1), b"x");
    assert!(matches!(refused, Err(LogError::Gap { .. })), "{refused:?}");
    for height in [0, 3] {
        let refused = log.truncate(Height::new(height));
        assert!(
            matches!(refused, Err(LogError::OutOfRange { .. })),
            "{refused:?}"
        );
        let refused = log.prune(Height::new(height));
        assert!(
            matches!(refused, Err(LogError::OutOfRange { .. })),
            "{refused:?}"
        );
    }
    log.flush().unwrap();
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 1);
}

#[test]
fn a_sync_for_each_record_is_one_sync_and_seldom_a_change_of_size() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes_max: 16 << 20,
        ..options(1 << 20)
    };
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    let file = dir.path().join(log.segment().file_name());
    let size = || std::fs::metadata(&file).unwrap().len();
    let (mut changes, mut last) = (0, size());
    for height in 1..=300 {
        let before = log.syncs();
        log.append(Height::new(height), &[7; 10_000]).unwrap();
        log.sync().unwrap();
        assert_eq!(log.syncs(), before + 1, "one sync a record");
        log.sync().unwrap();
        assert_eq!(log.syncs(), before + 1, "none without a new record");
        changes += u64::from(size() != last);
        last = size();
    }
    assert_eq!(changes, 3, "three megabytes, a mebibyte at a time");
}

#[test]
fn readers_beside_the_writer_see_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(folder(dir.path()), options(4_000)).unwrap();
    let reader = log.reader();
    let (places, given) = std::sync::mpsc::channel();
    // What is moved here goes when this panics, and the thread ends.
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            let mut payload = Vec::new();
            for (height, place) in given {
                let height: Height = height;
                let read = reader.read(height, &place, &mut payload).unwrap();
                assert!(
                    read.iter()
                        .all(|byte| u64::from(*byte) == height.get() % 256)
                );
            }
        });
        let mut written = Vec::new();
        for number in 1..2_000_u64 {
            let payload = vec![(number % 256) as u8; (number % 700) as usize];
            let place = log.append(Height::new(number), &payload).unwrap();
            written.push((Height::new(number), place));
            if number % 3 == 0 {
                log.flush().unwrap();
                for place in written.drain(..) {
                    places.send(place).unwrap();
                }
            }
        }
        drop(places);
    });
}

#[test]
fn a_log_of_many_segments_keeps_few_files_open_while_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes_max: 1,
        ..options(0)
    };
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    let open_files = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        let paths = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        paths.filter(|path| path.starts_with(dir.path())).count()
    };
    for height in 1..=300 {
        log.append(Height::new(height), b"one each").unwrap();
    }
    log.sync().unwrap();
    assert_eq!(sizes(&log).len(), 300);
    let open = open_files();
    assert!((1..=130).contains(&open), "{open} files are open");
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 300);
    let open = open_files();
    assert!((1..=130).contains(&open), "{open} files are open");
}

#[test]
fn a_segment_that_was_archived_since_keeps_nobody_from_pruning() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes_max: 1,
        ..options(0)
    };
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    for height in 1..=10 {
        log.append(Height::new(height), b"one each").unwrap();
    }
    log.sync().unwrap();
    drop(log);
    // None is open but the last.
    let (mut log, _) = Log::open(folder(dir.path()), options).unwrap();
    std::fs::remove_file(dir.path().join("0000000002.seg")).unwrap();
    log.prune(Height::new(6)).unwrap();
    assert_eq!(log.first(), Height::new(6));
    log.append(Height::new(11), b"and goes on").unwrap();
    log.sync().unwrap();
}

#[test]
fn segments_of_any_length_can_be_pruned_by_a_log_without_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let short = LogOptions {
        segment_bytes_max: 1,
        ..options(1)
    };
    let (mut log, _) = Log::open(folder(dir.path()), short).unwrap();
    for height in 1..=5 {
        log.append(Height::new(height), b"one each").unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let endless = LogOptions {
        segment_bytes_max: u64::MAX,
        ..short
    };
    let (mut log, _) = Log::open(folder(dir.path()), endless).unwrap();
    log.prune(Height::new(4)).unwrap();
    log.truncate(Height::new(4)).unwrap();
    log.append(Height::new(4), b"and goes on").unwrap();
    log.sync().unwrap();
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 1);
}
