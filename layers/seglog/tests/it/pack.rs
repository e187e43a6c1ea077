//! Packed segments: read at random, in a row and beside packing; cut, pruned and packed again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::{Disk, Folder};
use seglog::sim::SimDisk;
use seglog::tools::{Part, Tools};
use seglog::{
    ChainTag, HEADER_BYTES, Height, Log, LogError, LogOptions, Place, Prefix, Reader,
    SegmentNumber, Wanted,
};

use crate::model::records;

const SEED: u64 = 0x7061_636b;

/// Bytes of a plain segment in a frame.
const FRAME_BYTES: u64 = 64 << 10;

fn options(segment_bytes_max: u64) -> LogOptions {
    LogOptions {
        chain: ChainTag::new(5),
        segment_bytes_max,
        advance_bytes: 0,
        ..LogOptions::default()
    }
}

/// Bytes that zstd makes a fourth of.
fn payload(dice: &mut ChaCha8Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| dice.random_range(0..4)).collect()
}

fn pack_all(log: &Log) -> (u64, u64) {
    let (mut plain, mut packed) = (0, 0);
    for (number, _) in log.reader().segments() {
        if let Some(done) = log.packer().pack(number).unwrap() {
            plain += done.plain_bytes;
            packed += done.packed_bytes;
        }
    }
    (plain, packed)
}

/// A log of records of 0 to 200,000 bytes in segments of 1 MB, some frames each.
fn long(disk: &SimDisk) -> (Log, Vec<(Place, Vec<u8>)>) {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options(1 << 20)).unwrap();
    let mut all = Vec::new();
    for number in 0..60 {
        let len = match number % 3 {
            0 => dice.random_range(0..300),
            1 => dice.random_range(0..30_000),
            _ => dice.random_range(0..200_000),
        };
        let bytes = payload(&mut dice, len);
        let place = log.append(Height::new(number), &bytes).unwrap();
        all.push((place, bytes));
    }
    log.sync().unwrap();
    assert!(log.segment().get() >= 2, "{:?}", log.segment());
    (log, all)
}

fn read_all(reader: &Reader, all: &[(Place, Vec<u8>)]) {
    let mut buffer = Vec::new();
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..300 {
        let at = dice.random_range(0..all.len());
        let (place, bytes) = &all[at];
        let read = reader
            .read(Height::new(at as u64), place, &mut buffer)
            .unwrap();
        assert!(read == *bytes, "record {at}");
    }
    let found = records(reader, Height::new(all.len() as u64)).unwrap();
    assert!(
        found
            .iter()
            .map(|(_, bytes)| bytes)
            .eq(all.iter().map(|(_, bytes)| bytes))
    );
    assert!(reader.check().unwrap().is_empty());
}

#[test]
fn places_stay_true_when_segments_are_packed() {
    println!("seed {SEED:#x}");
    let disk = SimDisk::new();
    let (log, all) = long(&disk);
    let early = log.reader();
    read_all(&early, &all);
    let (plain, packed) = pack_all(&log);
    assert!(packed * 3 < plain, "{plain} bytes, {packed} packed");
    read_all(&early, &all);
    assert_eq!(pack_all(&log), (0, 0), "once is enough");
    drop(log);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (reader, _, _) = Reader::open(Arc::clone(&shared), ChainTag::new(5)).unwrap();
    read_all(&reader, &all);
    let (mut log, recovered) = Log::open(shared, options(1 << 20)).unwrap();
    assert_eq!(recovered.cut, None);
    read_all(&log.reader(), &all);
    log.append(log.next(), b"goes on").unwrap();
    let names = disk.names().unwrap();
    assert!(names.contains(&"0000000000.segz".to_owned()), "{names:?}");
    assert!(!names.contains(&"0000000000.seg".to_owned()), "{names:?}");
}

#[test]
fn a_cut_makes_a_packed_segment_plain_and_pruning_takes_it_away() {
    for to in [0, 1, 7, 13, 20, 31, 45, 58, 60] {
        let disk = SimDisk::new();
        let (mut log, all) = long(&disk);
        pack_all(&log);
        log.truncate(Height::new(to)).unwrap();
        let kept = usize::try_from(to).unwrap();
        read_all_but_none(&log, &all[..kept]);
        log.append(log.next(), b"goes on").unwrap();
        log.sync().unwrap();
        drop(log);
        let (log, _) = Log::open(Arc::new(disk.clone()), options(1 << 20)).unwrap();
        assert_eq!(log.next(), Height::new(to + 1));
    }
    let disk = SimDisk::new();
    let (mut log, all) = long(&disk);
    pack_all(&log);
    log.prune(Height::new(59)).unwrap();
    assert_eq!(log.first(), log.reader().segments()[0].1);
    assert!(!disk.names().unwrap().iter().any(|name| name.ends_with("z")));
    let first = usize::try_from(log.first().get()).unwrap();
    let found = records(&log.reader(), log.next()).unwrap();
    assert_eq!(found.len(), all.len() - first);
}

fn read_all_but_none(log: &Log, all: &[(Place, Vec<u8>)]) {
    if all.is_empty() {
        assert_eq!(log.first(), log.next());
    } else {
        read_all(&log.reader(), all);
    }
}

#[test]
fn what_gains_nothing_stays_plain_and_so_does_the_segment_that_is_written_to() {
    let disk = SimDisk::new();
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options(10_000)).unwrap();
    for number in 0..4 {
        let mut bytes = vec![0_u8; 9_000];
        dice.fill(&mut bytes[..]);
        log.append(Height::new(number), &bytes).unwrap();
    }
    assert_eq!(pack_all(&log), (0, 0));
    let packer = log.packer();
    assert_eq!(packer.pack(SegmentNumber::new(77)).unwrap(), None);
    let names = disk.names().unwrap();
    assert!(names.iter().all(|name| name.ends_with(".seg")), "{names:?}");
}

#[test]
fn damage_is_told_and_not_packed() {
    let disk = SimDisk::new();
    let (log, _) = long(&disk);
    drop(log);
    let mut bytes = disk.bytes("0000000000.seg").unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.put("0000000000.seg", &bytes);
    let (log, _) = Log::open(Arc::new(disk.clone()), options(1 << 20)).unwrap();
    let refused = log.packer().pack(SegmentNumber::new(0)).unwrap_err();
    assert!(refused.is_damage(), "{refused}");
    assert_eq!(disk.bytes("packing.new"), None);
    assert!(disk.bytes("0000000000.seg").unwrap() == bytes);
}

/// The places and lengths of the frames of a packed segment in its file.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let plain_bytes = u64::from(word(16)) | u64::from(word(20)) << 32;
    let count = plain_bytes.div_ceil(FRAME_BYTES) as usize;
    let mut at = 64 + 4 * count;
    let lengths = (0..count).map(|frame| word(64 + 4 * frame) as usize);
    let places = lengths.map(|len| {
        at += len;
        (at - len, len)
    });
    places.collect()
}

/// Damage in one frame hid every record behind it, and was told at a record up to four frames
/// before it.
#[test]
fn a_damaged_frame_hides_the_records_in_it_alone() {
    let disk = SimDisk::new();
    let (log, all) = long(&disk);
    pack_all(&log);
    drop(log);
    let mut seen = 0;
    for number in (0..2).map(SegmentNumber::new) {
        let name = format!("{:010}.segz", number.get());
        let whole = disk.bytes(&name).unwrap();
        for (frame, (at, len)) in frames(&whole).into_iter().enumerate().skip(1) {
            let lost = frame as u64 * FRAME_BYTES..(frame as u64 + 1) * FRAME_BYTES;
            let copy = SimDisk::new();
            let mut changed = whole.clone();
            // The first bytes of a frame are its magic number, without which none of it unpacks.
            changed[at + seen % len.min(4)] ^= 0x10;
            copy.put(&name, &changed);
            let tools = Tools::new(Arc::new(copy.clone()), options(0).chain);
            let (mut found, mut damage) = (BTreeSet::new(), Vec::new());
            let visit = &mut |part: Part<'_>| {
                match part {
                    Part::Record(height, place, bytes) => {
                        let (own, payload) = &all[height.get() as usize];
                        assert!(place == *own && bytes == payload, "{height} of {name}");
                        found.insert(height.get());
                    }
                    Part::Damage(offset, bytes, what) => {
                        damage.push((offset, offset + bytes, what));
                    }
                    Part::Nothing(offset, bytes) => panic!("{bytes} bytes at {offset} of {name}"),
                }
                Ok::<_, LogError>(())
            };
            tools.walk(number, visit).unwrap();
            let of_segment = (0..)
                .zip(&all)
                .filter(|(_, (own, _))| own.segment == number);
            let (mut first, mut last) = (u64::MAX, 0);
            for (height, (place, payload)) in of_segment {
                let end = place.offset + HEADER_BYTES + payload.len() as u64;
                let is_hit = place.offset < lost.end && end > lost.start;
                let context = format!("{name}, frame {frame}, record {height}");
                assert_eq!(found.contains(&height), !is_hit, "{context}");
                if is_hit {
                    (first, last) = (first.min(place.offset), last.max(end));
                }
            }
            let told: Vec<_> = damage
                .iter()
                .map(|(begin, end, _)| (*begin, *end))
                .collect();
            assert_eq!(told, [(first, last)], "{name}, frame {frame}");
            assert!(damage[0].2.contains("does not unpack"), "{damage:?}");
            assert_eq!(copy.bytes(&name).unwrap(), changed, "looking wrote");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} frames");
}

#[test]
fn a_damaged_frame_hides_no_record_before_it_from_whoever_reads_a_run() {
    let disk = SimDisk::new();
    let (log, all) = long(&disk);
    pack_all(&log);
    drop(log);
    let name = "0000000000.segz";
    let packed = disk.bytes(name).unwrap();
    let run: Vec<Wanted> = (0..)
        .zip(&all)
        .filter(|(_, (place, _))| place.segment == SegmentNumber::new(0))
        .map(|(height, (place, _))| Wanted {
            height: Height::new(height),
            place: *place,
            prefix: Prefix {
                bytes: place.payload_bytes,
                checksum: place.payload_checksum,
            },
        })
        .collect();
    for (frame, (begin, len)) in (0_u64..).zip(frames(&packed)).skip(1) {
        let mut changed = packed.clone();
        changed[begin..begin + len].fill(0xff);
        disk.put(name, &changed);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (reader, _, _) = Reader::open(shared, ChainTag::new(5)).unwrap();
        let sound = run.iter().zip(&all).take_while(|(wanted, _)| {
            let bytes = HEADER_BYTES + u64::from(wanted.place.payload_bytes);
            wanted.place.offset + bytes <= frame * FRAME_BYTES
        });
        let mut expected = sound.map(|(_, (_, bytes))| bytes);
        let read = reader.read_run(&run, &mut Vec::new(), &mut |bytes| {
            assert!(
                expected.next().is_some_and(|it| it == bytes),
                "frame {frame}"
            );
        });
        assert_eq!(expected.count(), 0, "frame {frame} hides records before it");
        let told = matches!(&read, Err(LogError::Damaged { offset, .. })
            if *offset == frame * FRAME_BYTES);
        assert!(told, "frame {frame}: {read:?}");
    }
}

/// The packed form of a plain segment goes at the next opening, also when the plain one was damaged
/// and it was put there to take its place.
#[test]
fn the_packed_form_of_a_damaged_segment_is_kept() {
    let disk = SimDisk::new();
    let (log, all) = long(&disk);
    let plain = disk.bytes("0000000000.seg").unwrap();
    pack_all(&log);
    drop(log);
    let packed = disk.bytes("0000000000.segz").unwrap();
    let mut damaged = plain.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (bytes, is_kept) in [(&damaged, true), (&plain, false)] {
        disk.put("0000000000.seg", bytes);
        disk.put("0000000000.segz", &packed);
        drop(Log::open(Arc::new(disk.clone()), options(1 << 20)).unwrap());
        assert!(disk.bytes("0000000000.seg").unwrap() == *bytes);
        let kept = disk.bytes("0000000000.segz");
        assert_eq!(kept.is_some(), is_kept);
        assert!(kept.is_none_or(|kept| kept == packed));
    }
    let (log, _) = Log::open(Arc::new(disk), options(1 << 20)).unwrap();
    read_all(&log.reader(), &all);
}

struct EndsPacking<'t>(&'t AtomicBool);

impl Drop for EndsPacking<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn packing_beside_appends_cuts_and_readers_harms_none() {
    println!("seed {SEED:#x}");
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(dir.path()));
    let (mut log, _) = Log::open(Arc::clone(&disk), options(20_000)).unwrap();
    let (packer, reader) = (log.packer(), log.reader());
    let is_done = AtomicBool::new(false);
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut all: Vec<Vec<u8>> = Vec::new();
    let packed = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let mut packed = 0;
            while !is_done.load(Ordering::Relaxed) {
                for (number, _) in reader.segments() {
                    packed += usize::from(packer.pack(number).unwrap().is_some());
                }
            }
            packed
        });
        // However this ends, the packing does: a test that fails is not one that hangs.
        let ending = EndsPacking(&is_done);
        for round in 0..400_u32 {
            let bytes = payload(&mut dice, 3_000);
            log.append(log.next(), &bytes).unwrap();
            all.push(bytes);
            if round % 50 == 49 {
                let left = all.len() - dice.random_range(0..40);
                log.truncate(Height::new(left as u64)).unwrap();
                all.truncate(left);
            }
        }
        log.sync().unwrap();
        drop(ending);
        packing.join().unwrap()
    });
    assert!(packed > 3, "{packed} segments were packed");
    let found = records(&log.reader(), log.next()).unwrap();
    assert!(found.iter().map(|(_, bytes)| bytes).eq(all.iter()));
    drop(log);
    let (log, _) = Log::open(disk, options(20_000)).unwrap();
    assert_eq!(log.next().get(), all.len() as u64);
    assert!(log.reader().check().unwrap().is_empty());
}
