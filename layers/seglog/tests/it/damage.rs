//! A small log cut at every length and with every bit flipped: told, or a clean shorter tail; never
//! a wrong byte, never a panic. Damage in the middle is told with its segment and offset.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use seglog::disk::{Access, Disk, Folder};
use seglog::sim::SimDisk;
use seglog::{
    ChainTag, Height, Log, LogError, LogOptions, Place, Prefix, Reader, SegmentNumber, Wanted,
};

use crate::model::{options, records};

type Records = Vec<(u64, Vec<u8>)>;

/// Three segments, each record synced.
fn small() -> (SimDisk, Records) {
    let disk = SimDisk::new();
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options(0)).unwrap();
    for number in 1..=13_u8 {
        log.append(
            Height::new(number.into()),
            &vec![number; usize::from(number) * 40],
        )
        .unwrap();
        log.sync().unwrap();
    }
    let all = records(&log.reader(), log.next()).unwrap();
    assert_eq!(log.segment(), SegmentNumber::new(2));
    (disk, all)
}

/// The same with its sealed segments packed.
fn small_and_packed() -> (SimDisk, Records) {
    let (disk, all) = small();
    let (log, _) = Log::open(Arc::new(disk.clone()), options(0)).unwrap();
    for number in 0..2 {
        let packed = log.packer().pack(SegmentNumber::new(number)).unwrap();
        assert!(packed.is_some());
    }
    (disk, all)
}

fn names(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.sort();
    names
}

/// A copy with this file changed.
fn with(disk: &SimDisk, name: &str, bytes: &[u8]) -> SimDisk {
    let copy = SimDisk::new();
    for other in names(disk) {
        copy.put(&other, &disk.bytes(&other).unwrap());
    }
    copy.put(name, bytes);
    copy
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Told,
    Shorter(usize),
    Same,
}

/// Opens a damaged copy for reading: what it gives is right, or it says what is not.
fn look(disk: &SimDisk, all: &Records, context: &str) -> Outcome {
    let before: Vec<_> = names(disk).iter().map(|name| disk.bytes(name)).collect();
    let opened = Reader::open(Arc::new(disk.clone()), options(0).chain);
    let outcome = match opened {
        Err(error) => {
            let is_right = matches!(
                error,
                LogError::Damaged { .. } | LogError::Foreign { .. } | LogError::TooNew { .. }
            );
            assert!(is_right, "{context}: {error}");
            Outcome::Told
        }
        Ok((reader, next, _)) => {
            let is_told = !reader.check().unwrap().is_empty();
            match records(&reader, next.unwrap()) {
                Err(error) => {
                    assert!(is_told, "{context}: {error} and nothing found by the check");
                    Outcome::Told
                }
                Ok(found) => {
                    assert!(all.starts_with(&found), "{context}: wrong bytes");
                    match (is_told, found.len() == all.len()) {
                        (true, _) => Outcome::Told,
                        (false, true) => Outcome::Same,
                        (false, false) => Outcome::Shorter(found.len()),
                    }
                }
            }
        }
    };
    let after: Vec<_> = names(disk).iter().map(|name| disk.bytes(name)).collect();
    assert!(before == after, "{context}: reading changed a file");
    outcome
}

#[test]
fn a_file_cut_at_every_length_is_told_or_a_shorter_tail() {
    cut_at_every_length(&small());
    cut_at_every_length(&small_and_packed());
}

fn cut_at_every_length((disk, all): &(SimDisk, Records)) {
    let files = names(disk);
    let mut shorter = 0;
    for name in &files {
        let bytes = disk.bytes(name).unwrap();
        let is_last = Some(name) == files.last();
        for len in 0..bytes.len() {
            let context = format!("{name} cut at {len}");
            let damaged = with(disk, name, &bytes[..len]);
            let outcome = look(&damaged, all, &context);
            // The end of the last file cannot be told from one that never was longer: who keeps
            // the index knows.
            assert_ne!(outcome, Outcome::Same, "{context}");
            assert!(
                is_last || outcome == Outcome::Told,
                "{context}: {outcome:?}"
            );
            shorter += usize::from(outcome != Outcome::Told);
        }
    }
    assert!(shorter > 100);
}

#[test]
fn a_flip_of_every_bit_is_told_or_a_shorter_tail() {
    flip_every_bit(&small());
    flip_every_bit(&small_and_packed());
}

fn flip_every_bit((disk, all): &(SimDisk, Records)) {
    let files = names(disk);
    let mut unnoticed = 0;
    for name in &files {
        let bytes = disk.bytes(name).unwrap();
        let is_last = Some(name) == files.last();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let context = format!("{name} bit {bit}");
            let damaged = with(disk, name, &flipped);
            let outcome = look(&damaged, all, &context);
            match outcome {
                // Some bits of a frame mean nothing to who unpacks it: every byte comes out right.
                Outcome::Same if name.ends_with(".segz") && bit / 8 >= 64 + 4 => unnoticed += 1,
                Outcome::Told => {}
                // Only the last record has nobody behind it who says that it was durable.
                Outcome::Shorter(left) => assert!(is_last && left == all.len() - 1, "{context}"),
                Outcome::Same => panic!("{context}: not noticed"),
            }
        }
    }
    println!("{unnoticed} bits mean nothing");
    assert!(unnoticed < 20, "{unnoticed}");
}

#[test]
fn damage_in_the_middle_is_told_by_whoever_writes_too_and_nothing_is_cut() {
    let (disk, _) = small();
    let name = SegmentNumber::new(2).file_name();
    let bytes = disk.bytes(&name).unwrap();
    let mut damaged = bytes.clone();
    damaged[64 + 10] ^= 1;
    let disk = with(&disk, &name, &damaged);
    let opened = Log::open(Arc::new(disk.clone()), options(0))
        .map(drop)
        .unwrap_err();
    let LogError::Damaged {
        segment, offset, ..
    } = &opened
    else {
        panic!("{opened}");
    };
    assert_eq!((segment.get(), *offset), (2, 64), "{opened}");
    assert_eq!(disk.bytes(&name).unwrap(), damaged, "nothing is cut");
}

#[test]
fn files_that_are_absent_swapped_renamed_or_of_another_chain_are_told() {
    let (disk, all) = small();
    let [first, second, third] = [0, 1, 2].map(|number| SegmentNumber::new(number).file_name());
    let bytes = |name: &str| disk.bytes(name).unwrap();
    let swapped = with(
        &with(&disk, &first, &bytes(&second)),
        &second,
        &bytes(&first),
    );
    assert_eq!(look(&swapped, &all, "swapped"), Outcome::Told);
    let renamed = with(&disk, &SegmentNumber::new(3).file_name(), &bytes(&third));
    assert_eq!(look(&renamed, &all, "duplicated"), Outcome::Told);
    let longer = with(&disk, &first, &[bytes(&first), vec![0; 100]].concat());
    assert_eq!(
        look(&longer, &all, "a sealed segment made longer"),
        Outcome::Told
    );
    let other = Log::open(
        Arc::new(disk.clone()),
        LogOptions {
            chain: ChainTag::new(9),
            ..options(0)
        },
    );
    assert!(matches!(other, Err(LogError::Foreign { .. })), "{other:?}");

    let absent = SimDisk::new();
    absent.put(&first, &bytes(&first));
    absent.put(&third, &bytes(&third));
    let (reader, next, recovered) = Reader::open(Arc::new(absent), options(0).chain).unwrap();
    assert_eq!(recovered.absent, [SegmentNumber::new(1)]);
    assert!(!reader.check().unwrap().is_empty());
    let read = records(&reader, next.unwrap()).unwrap_err();
    assert!(
        matches!(read, LogError::Absent { segment, .. } if segment.get() == 1),
        "{read}"
    );
}

#[test]
fn zeros_are_never_a_record() {
    let (disk, all) = small();
    let name = SegmentNumber::new(2).file_name();
    let bytes = disk.bytes(&name).unwrap();
    for more in [1, 39, 40, 41, 5_000] {
        let longer = with(&disk, &name, &[bytes.clone(), vec![0; more]].concat());
        assert_eq!(look(&longer, &all, "zeros behind"), Outcome::Same);
    }
    let empty = with(&disk, &name, &vec![0; bytes.len()]);
    assert_eq!(look(&empty, &all, "a segment of zeros"), Outcome::Told);
}

/// Places come from rows, which may say anything: a system has no offset from 2^63 on and says so,
/// which was taken for a failure of the disk.
#[test]
fn a_place_that_is_not_true_is_damage_wherever_it_points() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(dir.path()));
    let (mut log, _) = Log::open(disk, options(0)).unwrap();
    let place = log.append(Height::new(1), &[7; 100]).unwrap();
    log.sync().unwrap();
    let reader = log.reader();
    let end = i64::MAX as u64;
    let offsets = [
        65,
        4_096,
        1 << 40,
        end - 141,
        end - 140,
        end - 139,
        end,
        end + 1,
        u64::MAX,
    ];
    for offset in offsets {
        for payload_bytes in [0, 100, 300_000, u32::MAX] {
            let place = Place {
                offset,
                payload_bytes,
                ..place
            };
            let prefix = Prefix {
                bytes: payload_bytes,
                checksum: place.payload_checksum,
            };
            let wanted = Wanted {
                height: Height::new(1),
                place,
                prefix,
            };
            // A buffer that has room is asked in the same way as one that has none.
            for capacity in [0, 1 << 20] {
                let mut buffer = Vec::with_capacity(capacity);
                let read = reader.read(Height::new(1), &place, &mut buffer);
                let is_told = matches!(read, Err(LogError::Damaged { .. }));
                assert!(is_told, "{offset}, {payload_bytes}: {read:?}");
                let run = reader.read_run(&[wanted], &mut buffer, &mut |_| panic!("lent"));
                let is_told = matches!(run, Err(LogError::Damaged { .. }));
                assert!(is_told, "{offset}, {payload_bytes}: {run:?}");
            }
        }
    }
}

#[test]
fn a_run_beyond_the_end_of_a_file_gives_the_records_before_it() {
    let disk = SimDisk::new();
    let long = LogOptions {
        segment_bytes_max: 10 << 20,
        ..options(0)
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), long).unwrap();
    let run: Vec<Wanted> = (1..=5_u8)
        .map(|number| {
            let height = Height::new(number.into());
            let place = log.append(height, &vec![number; 100_000]).unwrap();
            let prefix = Prefix {
                bytes: place.payload_bytes,
                checksum: place.payload_checksum,
            };
            Wanted {
                height,
                place,
                prefix,
            }
        })
        .collect();
    log.sync().unwrap();
    let reader = log.reader();
    let last = run[3].place;
    let name = last.segment.file_name();
    let file = disk.open(&name, Access::Write).unwrap();
    file.set_len(last.offset + 50_000).unwrap();
    let mut given = Vec::new();
    let read = reader.read_run(&run, &mut Vec::new(), &mut |bytes| given.push(bytes[0]));
    assert_eq!(given, [1, 2, 3]);
    let told = matches!(&read, Err(LogError::Damaged { offset, .. }) if *offset == last.offset);
    assert!(told, "{read:?}");
}
