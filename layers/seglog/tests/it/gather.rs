//! Records that gather and go to the file in pieces: when they are written, what a failure on the
//! way leaves, and that a recycled file is written in whole pages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use seglog::{Height, Log, LogError, LogOptions, LogResult};

use crate::model::records;

const PIECE_BYTES: usize = 256 << 10;

fn open(disk: &SimDisk) -> LogResult<Log> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = LogOptions {
        segment_bytes_max: 2 << 20,
        advance_bytes: 0,
        ..LogOptions::default()
    };
    Ok(Log::open(disk, options)?.0)
}

fn payload(number: u64) -> Vec<u8> {
    // Most are copied to what gathers, some are written beside it, one is longer than a piece.
    let bytes = match number % 40 {
        11 => 40_000,
        23 => 250_000,
        35 => 300_000,
        other => 700 * other,
    };
    (0..bytes)
        .map(|at: u64| ((at / 7) ^ number) as u8)
        .collect()
}

#[test]
fn records_gather_until_a_piece_is_full_and_a_piece_ends_at_a_multiple() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    let file = || disk.bytes("0000000000.seg").unwrap().len();
    let opened = disk.steps();
    let mut end = 64;
    while end + 1_041 < PIECE_BYTES {
        log.append(log.next(), &[7; 1_001]).unwrap();
        end += 1_041;
    }
    assert_eq!(disk.steps(), opened, "nothing was written yet");
    assert_eq!(file(), 64);
    log.append(log.next(), &[7; 1_001]).unwrap();
    assert_eq!(disk.steps(), opened + 1, "one write");
    assert_eq!(file(), PIECE_BYTES);
    log.flush().unwrap();
    assert_eq!(disk.steps(), opened + 2, "and one for the rest");
    assert_eq!(file(), end + 1_041);
    let found = records(&log.reader(), log.next()).unwrap();
    assert_eq!(found.len() as u64, log.next().get());
}

#[test]
fn closing_writes_what_was_appended() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    log.append(Height::new(0), b"kept").unwrap();
    drop(log);
    assert_eq!(open(&disk).unwrap().next(), Height::new(1));
}

/// Appends, with a sync now and then; goes on where the disk was full. Records that were appended
/// and those that were synced.
fn live(disk: &SimDisk, count: u64) -> (u64, u64) {
    let (mut appended, mut synced) = (0, 0);
    let Ok(mut log) = open(disk) else {
        return (appended, synced);
    };
    for number in 0..count {
        let again = |log: &mut Log, act: &dyn Fn(&mut Log) -> LogResult<()>| match act(log) {
            Err(LogError::Full { .. }) => act(log),
            done => done,
        };
        let append = |log: &mut Log| log.append(Height::new(number), &payload(number)).map(drop);
        appended = number + 1;
        if again(&mut log, &append).is_err() {
            break;
        }
        if number % 17 == 16 {
            if again(&mut log, &Log::sync).is_err() {
                break;
            }
            synced = number + 1;
        }
    }
    (appended, synced)
}

#[test]
fn trouble_at_every_step_loses_nothing_that_was_synced_and_mends_what_was_only_full() {
    let count = 90;
    let whole = SimDisk::new();
    assert_eq!(live(&whole, count), (count, 85));
    let troubles = [
        Trouble::PowerCut,
        Trouble::Fail(ErrorKind::Other),
        Trouble::Fail(ErrorKind::StorageFull),
        Trouble::Short,
    ];
    let mut mended = 0;
    for step in 0..whole.steps() {
        for trouble in troubles {
            let disk = SimDisk::new();
            disk.plan(step, trouble);
            let (appended, synced) = live(&disk, count);
            let is_full = trouble == Trouble::Fail(ErrorKind::StorageFull);
            mended += u64::from(is_full && synced == 85);
            let power = (0..3).map(|image| disk.after_power_cut(step << 2 | image));
            for image in power.chain([disk.after_kill()]) {
                let context = format!("{trouble:?} at step {step}");
                let log = open(&image).unwrap_or_else(|error| panic!("{context}: {error}"));
                let found = records(&log.reader(), log.next()).unwrap();
                let next = found.len() as u64;
                assert_eq!(next, log.next().get(), "{context}");
                assert!((synced..=appended).contains(&next), "{context}: {next}");
                for (number, found) in found {
                    assert!(found == payload(number), "{context}: record {number}");
                }
            }
        }
    }
    assert!(mended >= 10, "{mended} times space was found again");
}

/// A page of which a part is written is read from the disk before; of a recycled file that would be
/// one read for each page.
#[test]
fn a_recycled_file_is_written_up_to_the_end_of_a_page() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = LogOptions {
        segment_bytes_max: 20_000,
        advance_bytes: 4_096,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(shared, options).unwrap();
    let append = |log: &mut Log, count: u64| {
        for _ in 0..count {
            let next = log.next();
            log.append(next, &[255; 1_000]).unwrap();
            log.sync().unwrap();
        }
    };
    append(&mut log, 21);
    log.prune(log.next()).unwrap();
    assert!(disk.bytes("spare.old").unwrap().contains(&255));
    append(&mut log, 20);
    let name = log.segment().file_name();
    assert_eq!(name, "0000000002.seg");
    for records in 1..=19 {
        let bytes = disk.bytes(&name).unwrap();
        let end: usize = 64 + records * 1_040;
        let page = end.next_multiple_of(4_096).min(bytes.len());
        assert!(bytes[end..page].iter().all(|byte| *byte == 0), "{records}");
        let rest = bytes.get(page + 200..page + 300).unwrap_or(&[255]);
        assert!(rest.contains(&255), "what lies further behind is as it was");
        append(&mut log, 1);
    }
    assert!(log.reader().check().unwrap().is_empty());
    drop(log);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (log, recovered) = Log::open(shared, options).unwrap();
    assert_eq!(log.next(), Height::new(60));
    assert_eq!(recovered.absent, []);
}

/// Until all of a long record is written, nothing says that it is there.
#[test]
fn the_header_of_a_long_record_is_written_last() {
    let mut steps = 0;
    loop {
        let disk = SimDisk::new();
        let mut log = open(&disk).unwrap();
        disk.plan(disk.steps() + steps, Trouble::PowerCut);
        let end = 64 + 40 + 3 * PIECE_BYTES;
        let appended = log.append(Height::new(0), &[7; 3 * PIECE_BYTES]);
        let bytes = disk.bytes("0000000000.seg").unwrap();
        if bytes[64..104].iter().any(|byte| *byte != 0) {
            assert!(bytes.len() == end && bytes[104..].iter().all(|byte| *byte == 7));
            break;
        }
        assert!(appended.is_err() && bytes.len() > 104, "step {steps}");
        steps += 1;
    }
    assert!(steps >= 3, "{steps} steps came before");
}

/// What a file held of the segment that it was before, behind so many records of this length, all
/// of which are written at once.
fn recycled(bytes: usize, count: u64) -> (Vec<u8>, usize) {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = LogOptions {
        segment_bytes_max: 700_000,
        advance_bytes: 4_096,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(shared, options).unwrap();
    for _ in 0..71 {
        log.append(log.next(), &[255; 10_000]).unwrap();
    }
    log.prune(log.next()).unwrap();
    log.append(log.next(), &[255; 690_000]).unwrap();
    let file = |log: &Log| disk.bytes(&log.segment().file_name()).unwrap();
    let next = log.segment().get() + 1;
    for at in 0..count {
        log.append(log.next(), &vec![255; bytes]).unwrap();
        assert_eq!(log.segment().get(), next, "record {at} is in the next one");
    }
    (file(&log), 64 + count as usize * (40 + bytes))
}

#[test]
fn every_write_to_a_recycled_file_ends_at_the_end_of_a_page() {
    // The header of the segment alone, a record beside what gathers, a long one.
    for (bytes, count) in [(100, 1), (50_000, 2), (300_000, 1)] {
        let (file, end) = recycled(bytes, count);
        let end = if bytes == 100 { 64 } else { end };
        let page = end.next_multiple_of(4_096);
        assert!(file.len() > page + 4_096, "{bytes}: {}", file.len());
        assert!(file[end..page].iter().all(|byte| *byte == 0), "{bytes}");
        assert!(file[page..page + 4_096].contains(&255), "{bytes}");
    }
}
