//! What tools see of a log: every byte of it changed, one after the other. Whatever is given as a
//! record is the one that was written, damage hides one record and never those behind it, and
//! looking writes nothing. A cut comes to the same wherever it was interrupted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::SimDisk;
use seglog::tools::{Part, SeenKind, Tools};
use seglog::{Height, Log, LogError, LogOptions, SegmentNumber};

use crate::model::options;

fn payload(number: u8) -> Vec<u8> {
    vec![number; 5 + usize::from(number)]
}

/// Three records in each of two segments, and zeros in advance behind the last.
fn small() -> SimDisk {
    let disk = SimDisk::new();
    let options = LogOptions {
        segment_bytes_max: 25,
        ..options(64)
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    for number in 1..=6_u8 {
        let height = Height::new(number.into());
        log.append(height, &payload(number)).unwrap();
        log.sync().unwrap();
    }
    disk
}

fn tools(disk: &SimDisk) -> Tools {
    Tools::new(Arc::new(disk.clone()), options(0).chain)
}

fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let mut names = disk.names().unwrap();
    names.sort();
    let content = |name: String| {
        let bytes = disk.bytes(&name).unwrap();
        (name, bytes)
    };
    names.into_iter().map(content).collect()
}

/// The numbers of the records that a walk through all segments gives, and how much damage.
fn walk(tools: &Tools) -> (Vec<u64>, usize) {
    let (mut found, mut damage) = (Vec::new(), 0);
    for file in tools.files().unwrap() {
        match file.kind {
            SeenKind::Segment { number, .. } => tools
                .walk::<LogError>(number, &mut |part| {
                    match part {
                        Part::Record(height, _, bytes) => {
                            let number = u8::try_from(height.get()).unwrap();
                            assert_eq!(bytes, payload(number), "another payload");
                            found.push(height.get());
                        }
                        Part::Damage(..) => damage += 1,
                        Part::Nothing(..) => {}
                    }
                    Ok(())
                })
                .unwrap(),
            SeenKind::Bad { .. } => damage += 1,
            _ => {}
        }
    }
    (found, damage)
}

#[test]
fn a_changed_byte_hides_one_record_and_none_behind_it() {
    let disk = small();
    let whole = walk(&tools(&disk)).0;
    assert_eq!(whole, (1..=6).collect::<Vec<u64>>());
    let mut seen = 0;
    for (name, bytes) in contents(&disk) {
        let Some(_) = SegmentNumber::of_file_name(&name) else {
            continue;
        };
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let copy = SimDisk::new();
                for (other, bytes) in contents(&disk) {
                    copy.put(&other, &bytes);
                }
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                copy.put(&name, &changed);
                let before = contents(&copy);
                let (found, damage) = walk(&tools(&copy));
                assert_eq!(contents(&copy), before, "{name} at {at}: looking wrote");
                assert!(damage > 0, "{name} at {at}: nothing was told");
                let lost = whole.iter().filter(|it| !found.contains(it)).count();
                // Without the header of its segment no record of it can be told.
                let most = if at < 64 { whole.len() } else { 1 };
                assert!(lost <= most, "{name} at {at}: {lost} records are hidden");
                seen += 1;
            }
        }
    }
    assert!(seen > 1_000, "{seen} changes");
}

#[test]
fn a_cut_is_done_again_and_the_log_goes_on_behind_it() {
    let disk = small();
    let tools = tools(&disk);
    let mut ends = Vec::new();
    let first = SegmentNumber::default();
    tools
        .walk::<LogError>(first, &mut |part| {
            if let Part::Record(_, place, bytes) = part {
                ends.push(place.offset + seglog::HEADER_BYTES + bytes.len() as u64);
            }
            Ok(())
        })
        .unwrap();
    for _ in 0..2 {
        tools.cut(first, ends[0]).unwrap();
        assert_eq!(walk(&tools), (vec![1], 0));
    }
    let (mut log, recovered) = Log::open(Arc::new(disk.clone()), options(64)).unwrap();
    assert_eq!(recovered.cut, None);
    assert_eq!(log.next(), Height::new(2));
    log.append(Height::new(2), &payload(2)).unwrap();
    log.sync().unwrap();
    assert_eq!(walk(&tools), (vec![1, 2], 0));
}

/// What a recycled file still held behind the records was taken for damage: it was nothing but
/// zeros only until files were not written anew any more.
#[test]
fn what_a_recycled_file_holds_behind_its_records_is_no_damage() {
    let disk = SimDisk::new();
    let options = LogOptions {
        segment_bytes_max: 20_000,
        ..options(4_096)
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let append = |log: &mut Log, count: u64| {
        for _ in 0..count {
            log.append(log.next(), &[255; 1_000]).unwrap();
            log.sync().unwrap();
        }
    };
    append(&mut log, 21);
    log.prune(log.next()).unwrap();
    append(&mut log, 23);
    let name = log.segment().file_name();
    let end = 64 + 4 * 1_040;
    let bytes = disk.bytes(&name).unwrap();
    assert!(bytes[end..].contains(&255), "{name} is a recycled file");
    let tools = tools(&disk);
    let look = || {
        let (mut found, mut nothing) = (0, Vec::new());
        let number = log.segment();
        let walked = tools.walk::<LogError>(number, &mut |part| {
            match part {
                Part::Record(..) => found += 1,
                Part::Nothing(offset, bytes) => nothing.push((offset, bytes)),
                Part::Damage(..) => {}
            }
            Ok(())
        });
        walked.unwrap();
        (found, nothing)
    };
    let rest = (bytes.len() - end) as u64;
    assert_eq!(look(), (4, vec![(end as u64, rest)]));
    // A byte between the last record and what the file held is damage all the same.
    let mut changed = bytes.clone();
    changed[end + 50] = 1;
    disk.put(&name, &changed);
    assert_eq!(look(), (4, Vec::new()));
}
