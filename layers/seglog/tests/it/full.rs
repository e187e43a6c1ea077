//! A disk that is full at any step, and a log that goes on with what still fits: the record that
//! found no space leaves nothing behind that a later opening could trip over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::ErrorKind;
use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::{SimDisk, Trouble};
use seglog::{Height, Log, LogError, LogOptions, SegmentNumber};

use crate::model::records;

fn options() -> LogOptions {
    LogOptions {
        segment_bytes_max: 300,
        advance_bytes: 0,
        ..LogOptions::default()
    }
}

fn open(disk: &SimDisk) -> Result<Log, LogError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Ok(Log::open(disk, options())?.0)
}

/// Appends long and short records, each synced; a record that finds no space is left out, and the
/// short ones behind it still fit into the present segment. What is durable.
fn live(disk: &SimDisk, records: u8) -> Vec<Vec<u8>> {
    let mut durable = Vec::new();
    let Ok(mut log) = open(disk) else {
        return durable;
    };
    for number in 0..records {
        let len = if number % 3 == 2 { 200 } else { 60 };
        let payload = vec![number; len];
        match log.append(log.next(), &payload) {
            Err(LogError::Full { .. }) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        // What found no space stays, and is written when there is some.
        let synced = match log.sync() {
            Err(LogError::Full { .. }) => log.sync(),
            synced => synced,
        };
        if synced.is_err() {
            break;
        }
        durable.push(payload);
    }
    durable
}

/// A lack of space was taken for one without effect after the next segment had its name already,
/// when only the names were to be made durable. The log went on in the segment before, and the one
/// with the name began at a height that was taken: it could not be opened any more.
#[test]
fn a_full_disk_at_any_step_leaves_a_log_that_opens() {
    for records in 1..=16 {
        let whole = SimDisk::new();
        assert_eq!(live(&whole, records).len(), usize::from(records));
        for step in 0..whole.steps() {
            let disk = SimDisk::new();
            disk.plan(step, Trouble::Fail(ErrorKind::StorageFull));
            let durable = live(&disk, records);
            let images = (0..4).map(|image| disk.after_power_cut(step << 2 | image));
            for image in images.chain([disk.after_kill()]) {
                judge(&image, &durable, &format!("{records} records, step {step}"));
            }
        }
    }
}

fn judge(image: &SimDisk, durable: &[Vec<u8>], context: &str) {
    let log = open(image).unwrap_or_else(|error| panic!("{context}: {error}"));
    let reader = log.reader();
    assert!(reader.check().unwrap().is_empty(), "{context}");
    let Some((first, _)) = reader.segments().first().copied() else {
        return;
    };
    let mut scan = reader.scan_segment(first, log.next()).unwrap();
    let mut found = Vec::new();
    while let Some((_, _, payload)) = scan.read_next().unwrap() {
        found.push(payload.to_vec());
    }
    // One record more may be whole that was not synced.
    assert!(found.starts_with(durable), "{context}");
    assert!(found.len() <= durable.len() + 1, "{context}");
}

/// A disk that copies on write has no space for bytes that are there, either. What it took of a
/// refused record lay in space written in advance, whose zeros were all that the record lacked: it
/// was there when the log was opened again.
#[test]
fn a_record_that_was_refused_does_not_appear_when_the_log_is_opened_again() {
    let open = |disk: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = LogOptions {
            advance_bytes: 1 << 20,
            ..LogOptions::default()
        };
        Log::open(disk, options).unwrap().0
    };
    let disk = SimDisk::new();
    let mut log = open(&disk);
    log.append(log.next(), b"is there").unwrap();
    log.sync().unwrap();
    let mut payload = vec![0; 100_000];
    payload[..10_000].fill(1);
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    let refused = log.append(log.next(), &payload).unwrap_err();
    assert!(matches!(refused, LogError::Full { .. }), "{refused}");
    assert_eq!(open(&disk.after_kill()).next(), log.next());
    // Space in advance comes back with what has space again.
    log.append(log.next(), b"is there too").unwrap();
    log.sync().unwrap();
    assert!(disk.bytes("0000000000.seg").unwrap().len() > 1 << 20);
    let next = log.next();
    drop(log);
    assert_eq!(open(&disk).next(), next);
}

/// A record that had only gathered was written before it was cut, which a full disk refused: the
/// cut of what had no space needed space.
#[test]
fn what_has_only_gathered_is_cut_without_being_written() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    for payload in [b"one", b"two"] {
        log.append(log.next(), payload).unwrap();
    }
    log.sync().unwrap();
    let kept = disk.bytes("0000000000.seg").unwrap();
    for payload in [b"3rd", b"4th"] {
        log.append(log.next(), payload).unwrap();
    }
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    assert!(matches!(log.sync(), Err(LogError::Full { .. })));
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    let refused = log.truncate(Height::new(3)).unwrap_err();
    assert!(matches!(refused, LogError::Full { .. }), "{refused}");
    disk.plan(disk.steps() + 3, Trouble::PowerCut);
    log.truncate(Height::new(2)).unwrap();
    assert!(!disk.is_off(), "a cut is a change of length and two syncs");
    assert_eq!(disk.bytes("0000000000.seg").unwrap(), kept);
    assert_eq!(log.next(), Height::new(2));
    disk.plan(u64::MAX, Trouble::Short);
    log.append(Height::new(2), b"again").unwrap();
    log.sync().unwrap();
    drop(log);
    let log = open(&disk).unwrap();
    assert_eq!(log.next(), Height::new(3));
    assert!(log.reader().check().unwrap().is_empty());
}

/// As above, of a record whose beginning went to the file with the piece that it completed.
#[test]
fn a_record_that_has_gathered_in_part_is_cut_without_being_written() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = Log::open(shared, LogOptions::default()).unwrap();
    let written = || disk.bytes("0000000000.seg").unwrap().len();
    while written() == 64 {
        log.append(log.next(), &[7; 30_000]).unwrap();
    }
    let in_part = Height::new(log.next().get() - 1);
    log.append(log.next(), b"behind it").unwrap();
    disk.plan(disk.steps(), Trouble::Fail(ErrorKind::StorageFull));
    assert!(matches!(log.sync(), Err(LogError::Full { .. })));
    disk.plan(disk.steps() + 3, Trouble::PowerCut);
    log.truncate(in_part).unwrap();
    assert!(!disk.is_off(), "a cut is a change of length and two syncs");
    assert_eq!(written() as u64, 64 + in_part.get() * 30_040);
    assert_eq!(log.next(), in_part);
}

/// A disk that is full while a packed segment is made plain: what was cut away before is kept for
/// its bytes, and has them.
#[test]
fn a_full_disk_gives_up_its_spare_before_it_refuses_to_cut_or_to_open_a_packed_segment() {
    let options = LogOptions {
        segment_bytes_max: 1_000,
        advance_bytes: 1,
        ..LogOptions::default()
    };
    let open = |disk: &SimDisk| Log::open(Arc::new(disk.clone()), options);
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for height in 0..30 {
        log.append(Height::new(height), &[7; 200]).unwrap();
        log.sync().unwrap();
    }
    let plain_bytes = disk.bytes("0000000002.seg").unwrap().len();
    assert!(log.packer().pack(SegmentNumber::new(2)).unwrap().is_some());
    let whole = disk.after_kill();
    let before = whole.steps();
    open(&whole).unwrap().0.truncate(Height::new(12)).unwrap();
    let steps = before..whole.steps();
    assert!(steps.end > 10);
    drop(log);
    for step in steps {
        let disk = disk.after_kill();
        let (mut log, _) = open(&disk).unwrap();
        disk.plan(step, Trouble::Fail(ErrorKind::StorageFull));
        match log.truncate(Height::new(12)) {
            Ok(()) => assert_eq!(log.next(), Height::new(12), "step {step}"),
            // Names and lengths are given what they ask for by no spare; bytes are.
            Err(error) => {
                let left = disk.bytes("packing.new").map(|bytes| bytes.len());
                let is_whole = left.is_none_or(|left| left == plain_bytes);
                assert!(is_whole, "step {step}, {left:?} bytes: {error}");
            }
        }
        drop(log);
        let (log, _) = open(&disk).unwrap();
        let found = records(&log.reader(), log.next()).unwrap();
        assert!(
            found.iter().all(|(_, payload)| *payload == [7; 200]),
            "step {step}"
        );
        assert!(found.len() >= 12, "step {step}");
    }
}
