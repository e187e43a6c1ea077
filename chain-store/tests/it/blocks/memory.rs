//! How much memory a log takes: the same, however long it is.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use seglog::disk::Folder;
use seglog::{Height, Log, LogOptions};
use stats_alloc::Region;

use crate::ALLOCATOR;

const RECORDS: u64 = 40_000;

/// What a log may hold more of after the first tenth: a few words for each of its segments.
const MORE_BYTES: usize = 32 << 10;

/// What reading it from end to end may hold: a buffer.
const SCAN_BYTES: usize = 600 << 10;

fn held_bytes(region: &Region<'_, std::alloc::System>) -> usize {
    let now = region.change();
    let grown = now
        .bytes_allocated
        .saturating_add_signed(now.bytes_reallocated);
    grown.saturating_sub(now.bytes_deallocated)
}

fn open(dir: &Path) -> Log {
    let options = LogOptions {
        segment_bytes_max: 1 << 20,
        ..LogOptions::default()
    };
    Log::open(Arc::new(Folder::new(dir)), options).unwrap().0
}

/// Runs alone in a process of its own, so that the counts are its own.
#[test]
#[ignore = "started by a_log_takes_the_same_memory_however_long_it_is, alone in its process"]
fn a_log_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let region = Region::new(ALLOCATOR);
    let mut held_early = 0;
    for number in 0..RECORDS {
        log.append(Height::new(number), &[number as u8; 1_000])
            .unwrap();
        if number % 50 == 49 {
            log.sync().unwrap();
        }
        if number == RECORDS / 10 {
            held_early = held_bytes(&region);
        }
    }
    assert!(log.segment().get() > 30, "{:?}", log.segment());
    let held = held_bytes(&region);
    assert!(
        held <= held_early + MORE_BYTES,
        "{held_early} bytes, {held} at the end"
    );
    let reader = log.reader();
    let (first, _) = reader.segments()[0];
    let mut scan = reader.scan_segment(first, log.next()).unwrap();
    let mut records = 0;
    while scan.read_next().unwrap().is_some() {
        records += 1;
    }
    assert_eq!(records, RECORDS);
    let held = held_bytes(&region);
    assert!(
        held <= held_early + MORE_BYTES + SCAN_BYTES,
        "{held} after a scan"
    );
    drop(log);
    let log = open(dir.path());
    assert_eq!(log.next(), Height::new(RECORDS));
    let held = held_bytes(&region);
    assert!(
        held <= held_early + 2 * (MORE_BYTES + SCAN_BYTES),
        "{held} after opening"
    );
}

#[test]
fn a_log_takes_the_same_memory_however_long_it_is() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([
            "--exact",
            "blocks::memory::a_log_alone",
            "--ignored",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "the test was not found: {text}");
}
