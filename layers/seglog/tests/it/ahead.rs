//! The next segment's file, written in advance: when, how long, who gives it back, who cleans up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seglog::disk::{Disk, Folder};
use seglog::sim::{SimDisk, Trouble};
use seglog::{Height, Log};

use crate::model::{options, records};

/// Appends so many records of 200 bytes, each durable.
fn append(log: &mut Log, count: u64) {
    for _ in 0..count {
        let next = log.next();
        log.append(next, &[next.get() as u8; 200]).unwrap();
        log.sync().unwrap();
    }
}

fn on(disk: &SimDisk) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(disk, options(600)).unwrap().0
}

#[test]
fn from_the_middle_of_a_segment_on_the_next_one_is_written_and_then_taken() {
    let disk = SimDisk::new();
    let mut log = on(&disk);
    // A segment holds 1,500 bytes: seven records.
    append(&mut log, 3);
    assert_eq!(disk.bytes("spare.old"), None);
    append(&mut log, 1);
    let end = 64 + 4 * 240;
    assert_eq!(disk.bytes("spare.old").unwrap(), vec![0; 2 * end]);
    append(&mut log, 3);
    assert!(disk.bytes("spare.old").is_some());
    let before = disk.bytes("0000000000.seg").unwrap().len();
    append(&mut log, 1);
    assert_eq!(disk.bytes("spare.old"), None, "it became segment 1");
    assert_eq!(disk.bytes("0000000001.seg").unwrap().len(), 2 * end);
    assert!(disk.bytes("0000000000.seg").unwrap().len() <= before);
    append(&mut log, 6);
    assert_eq!(disk.bytes("0000000001.seg").unwrap().len(), 2 * end);
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 14);
    drop(log);
    let log = on(&disk);
    assert_eq!(log.next(), Height::new(15));
}

#[test]
fn a_full_disk_takes_back_what_was_written_in_advance_before_a_record_is_refused() {
    let disk = SimDisk::new();
    let mut log = on(&disk);
    append(&mut log, 5);
    assert!(disk.bytes("spare.old").is_some());
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    log.append(log.next(), b"is taken").unwrap();
    log.flush().unwrap();
    assert!(disk.bytes("spare.old").is_none());
    log.sync().unwrap();
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    log.append(log.next(), b"finds no space at first").unwrap();
    let refused = log.flush().unwrap_err();
    assert!(
        matches!(refused, seglog::LogError::Full { .. }),
        "{refused}"
    );
    log.sync().unwrap();
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 7);
}

#[test]
fn a_failure_on_the_way_is_no_failure_of_the_log_and_leaves_nothing() {
    let whole = SimDisk::new();
    let mut log = on(&whole);
    append(&mut log, 3);
    let before = whole.steps();
    append(&mut log, 1);
    let after = whole.steps();
    let mut failed = 0;
    for step in before..after {
        let disk = SimDisk::new();
        let mut log = on(&disk);
        append(&mut log, 3);
        assert_eq!(disk.steps(), before);
        disk.plan(step, Trouble::Fail(ErrorKind::StorageFull));
        let next = log.next();
        if log
            .append(next, &[4; 200])
            .and_then(|_| log.sync())
            .is_err()
        {
            continue;
        }
        failed += 1;
        append(&mut log, 8);
        assert_eq!(disk.bytes("ahead.new"), None);
        assert_eq!(log.next(), Height::new(13));
    }
    assert!(failed >= 4, "{failed} steps were of the file in advance");
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn on_a_file_system_a_thread_writes_it_and_ends_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let disk = || -> Arc<dyn Disk> { Arc::new(Folder::new(dir.path())) };
    let (mut log, _) = Log::open(disk(), options(600)).unwrap();
    append(&mut log, 4);
    wait_for(&dir.path().join("spare.old"));
    append(&mut log, 12);
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 16);
    drop(log);
    // What a killed process left half-written goes, and what it finished is used.
    fs::write(dir.path().join("ahead.new"), b"half").unwrap();
    let (mut log, _) = Log::open(disk(), options(600)).unwrap();
    assert!(!dir.path().join("ahead.new").exists());
    append(&mut log, 12);
    assert_eq!(records(&log.reader(), log.next()).unwrap().len(), 28);
    assert!(log.reader().check().unwrap().is_empty());
}
