//! Files of the segmented log and records of blocks in it, whole and harmed; rows of block stores.

use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::SimDisk;
use seglog::{ChainTag, Height, Log, LogOptions, Reader, SegmentNumber};

use super::{Seed, seed};

fn framed(files: &[Vec<u8>]) -> Vec<u8> {
    let framed = files
        .iter()
        .map(|file| [&(file.len() as u16).to_le_bytes()[..], file].concat());
    framed.collect::<Vec<_>>().concat()
}

/// The files of a log of three segments.
fn files() -> Vec<Vec<u8>> {
    let disk = SimDisk::new();
    let options = LogOptions {
        chain: ChainTag::new(0),
        first: Height::new(0),
        segment_bytes_max: 200,
        advance_bytes: 0,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    for number in 0..8_u8 {
        let payload = vec![number; 20 * usize::from(number)];
        log.append(Height::new(number.into()), &payload).unwrap();
        if number % 3 == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    let mut names = disk.names().unwrap();
    names.sort();
    names.iter().map(|name| disk.bytes(name).unwrap()).collect()
}

/// A packed segment as a log makes it, and what is wrong with it in one way each.
fn packed_seeds() -> Vec<Seed> {
    let disk = SimDisk::new();
    let options = LogOptions {
        segment_bytes_max: 400,
        advance_bytes: 0,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    for number in 0..5_u8 {
        log.append(Height::new(number.into()), &[number; 120])
            .unwrap();
    }
    log.sync().unwrap();
    log.packer().pack(SegmentNumber::new(0)).unwrap().unwrap();
    drop(log);
    let packed = disk.bytes("0000000000.segz").unwrap();
    let last = disk.bytes("0000000001.seg").unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packed = packed.clone();
        change(&mut packed);
        framed(&[packed, last.clone()])
    };
    // What a log packed it reads, or the target would be shown nothing.
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let (reader, next, _) = Reader::open(disk, ChainTag::new(0)).unwrap();
    assert_eq!(next, Some(Height::new(5)));
    assert!(reader.check().unwrap().is_empty());
    let end = packed.len();
    let cases: [(&str, Vec<u8>); 12] = [
        ("good", with(&|_| {})),
        ("last", framed(std::slice::from_ref(&packed))),
        ("cut", with(&|file| file.truncate(end - 3))),
        ("cut-in-header", with(&|file| file.truncate(40))),
        ("cut-in-table", with(&|file| file.truncate(66))),
        ("trailing", with(&|file| file.push(0))),
        ("plain-length-bomb", with(&|file| file[16..24].fill(0xff))),
        ("plain-longer-by-one", with(&|file| file[16] += 1)),
        ("plain-shorter-by-one", with(&|file| file[16] -= 1)),
        ("frames-of-no-length", with(&|file| file[24..28].fill(0))),
        ("frame-length-bomb", with(&|file| file[64..68].fill(0xff))),
        ("flip-in-frame", with(&|file| file[end - 9] ^= 1)),
    ];
    cases
        .into_iter()
        .map(|(name, bytes)| seed("seglog_packed", name, &bytes))
        .collect()
}

fn raw_seeds() -> Vec<Seed> {
    let files = files();
    assert!(files.len() >= 3);
    let last = files.len() - 1;
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut files = files.clone();
        change(&mut files);
        framed(&files)
    };
    let cases: [(&str, Vec<u8>); 17] = [
        ("good", framed(&files)),
        ("one", framed(&files[..1])),
        (
            "cut-in-record",
            with(&|files| drop(files[last].split_off(100))),
        ),
        (
            "cut-in-header",
            with(&|files| drop(files[last].split_off(30))),
        ),
        (
            "cut-in-the-middle",
            with(&|files| drop(files[1].split_off(100))),
        ),
        ("empty-file", with(&|files| files[last].clear())),
        ("gap", with(&|files| files[1] = files[last].clone())),
        ("swapped", with(&|files| files.swap(0, 1))),
        (
            "duplicate",
            with(&|files| files.insert(1, files[0].clone())),
        ),
        ("zeros-behind", with(&|files| files[last].extend([0; 100]))),
        (
            "ones-behind",
            with(&|files| files[last].extend([0xff; 100])),
        ),
        (
            "record-again-behind",
            with(&|files| {
                let record = files[last][64..].to_vec();
                files[last].extend(record);
            }),
        ),
        (
            "other-segment-behind",
            with(&|files| {
                let records = files[0][64..].to_vec();
                files[last].extend(records);
            }),
        ),
        ("flip-in-payload", with(&|files| files[last][64 + 45] ^= 1)),
        ("flip-in-header", with(&|files| files[last][64 + 9] ^= 1)),
        (
            "flip-in-segment-header",
            with(&|files| files[last][33] ^= 1),
        ),
        (
            "hole-in-the-middle",
            with(&|files| files[1][64..104].fill(0)),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, bytes)| seed("seglog_raw", name, &bytes))
        .collect()
}

/// The header of a segment whose checksum the target makes right.
fn segment(number: u64, first: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[24..32].copy_from_slice(&number.to_le_bytes());
    bytes[32..40].copy_from_slice(&first.to_le_bytes());
    bytes
}

/// A record whose checksums the target makes right.
fn record(height: u64, payload: &[u8], (stated, unsynced): (u32, u32)) -> Vec<u8> {
    let mut bytes = b"\xb5rec".to_vec();
    bytes.extend_from_slice(&stated.to_le_bytes());
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&unsynced.to_le_bytes());
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(payload);
    bytes
}

fn good(height: u64, unsynced: u32) -> Vec<u8> {
    record(height, &[height as u8; 30], (30, unsynced))
}

fn sealed_seeds() -> Vec<Seed> {
    let max = u64::MAX;
    let first = [segment(0, 0), good(0, 0), good(1, 1)].concat();
    let bomb = record(2, &[7; 10], (u32::MAX, 0));
    let mut linked = good(2, 0);
    linked[16] = 1;
    let mut wrong = good(2, 0);
    wrong[28] = 1;
    let cases: [(&str, Vec<Vec<u8>>); 18] = [
        (
            "good",
            vec![first.clone(), [segment(1, 2), good(2, 2)].concat()],
        ),
        ("late", vec![[segment(70, 900), good(900, 0)].concat()]),
        ("length-bomb", vec![[&first[..], &bomb].concat()]),
        (
            "length-beyond-by-one",
            vec![[&first[..], &record(2, &[1; 9], (10, 0))].concat()],
        ),
        ("other-link", vec![[&first[..], &linked].concat()]),
        ("other-payload", vec![[&first[..], &wrong].concat()]),
        ("height-gap", vec![[&first[..], &good(5, 0)].concat()]),
        ("height-again", vec![[&first[..], &good(1, 0)].concat()]),
        (
            "hole-synced",
            vec![[&first[..], &[0; 70], &good(3, 0)].concat()],
        ),
        (
            "hole-unsynced",
            vec![[&first[..], &[0; 70], &good(3, 9)].concat()],
        ),
        (
            "last-height",
            vec![[segment(0, max), good(max, 0)].concat()],
        ),
        (
            "behind-last-height",
            vec![[segment(0, max), good(max, 0), good(max, 1)].concat()],
        ),
        (
            "last-but-one-height",
            vec![[segment(0, max - 1), good(max - 1, 0)].concat()],
        ),
        ("last-segment", vec![[segment(max, 0), good(0, 0)].concat()]),
        (
            "segments-far-apart",
            vec![first.clone(), segment(1 << 40, 1 << 41)],
        ),
        (
            "segments-at-both-ends",
            vec![first.clone(), segment(max, max)],
        ),
        (
            "empty-in-the-middle",
            vec![segment(0, 0), segment(1, 5), segment(2, 6)],
        ),
        (
            "below-the-one-before",
            vec![[segment(0, 9), good(9, 0)].concat(), segment(1, 3)],
        ),
    ];
    cases
        .into_iter()
        .map(|(name, files)| seed("seglog_sealed", name, &framed(&files)))
        .collect()
}

/// The record of a block, as `docs/format/segment-blocks.md` tells it.
fn block(height: u64, (hash, parent): (u8, u8), ids: &[u8], body: &[u8]) -> Vec<u8> {
    let mut trailer = vec![1];
    trailer.extend_from_slice(&height.to_le_bytes());
    for byte in [hash, parent] {
        trailer.push(8);
        trailer.extend_from_slice(&[byte; 8]);
    }
    for id in ids {
        trailer.push(4);
        trailer.extend_from_slice(&[*id; 4]);
    }
    let length = (trailer.len() as u32).to_le_bytes();
    [body, &trailer, &length].concat()
}

fn record_seeds() -> Vec<Seed> {
    let body = [5; 60];
    let one = block(1, (1, 0), &[1, 9], &body);
    let two = block(2, (2, 1), &[2, 9], &body);
    let mut version = one.clone();
    version[60] = 2;
    let mut empty_hash = one.clone();
    empty_hash[69] = 0;
    let mut bomb = one.clone();
    let end = bomb.len();
    bomb[end - 4..].fill(0xff);
    let cases: [(&str, Vec<Vec<u8>>); 14] = [
        (
            "good",
            vec![one.clone(), two.clone(), block(3, (3, 2), &[], &[])],
        ),
        (
            "fork",
            vec![one.clone(), two.clone(), block(2, (7, 1), &[7], &body)],
        ),
        ("gap", vec![one.clone(), block(3, (3, 2), &[3], &body)]),
        ("duplicate", vec![one.clone(), one.clone()]),
        (
            "own-parent",
            vec![block(1, (1, 1), &[], &[]), block(2, (1, 1), &[], &[])],
        ),
        ("same-hash", vec![one.clone(), block(2, (1, 1), &[], &[])]),
        ("swapped", vec![two.clone(), one.clone()]),
        (
            "from-0",
            vec![block(0, (1, 0), &[], &body), block(1, (2, 1), &[], &body)],
        ),
        ("last-height", vec![block(u64::MAX, (1, 0), &[1], &body)]),
        ("empty", vec![Vec::new()]),
        ("trailer-bomb", vec![one.clone(), bomb]),
        ("version-2", vec![one.clone(), version]),
        ("empty-hash", vec![empty_hash]),
        ("same-id-twice", vec![block(1, (1, 0), &[4, 4], &body)]),
    ];
    cases
        .into_iter()
        .map(|(name, records)| seed("block_records", name, &framed(&records)))
        .collect()
}

/// A row, `table (1) length (1) key length (1) value`.
fn row(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    [
        &[table, key.len() as u8][..],
        key,
        &[value.len() as u8],
        value,
    ]
    .concat()
}

fn state(numbers: [u64; 5]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    [1].into_iter().chain(numbers).collect()
}

fn entry(hash: u8, parent: u8, (ids, bytes): (u32, u64)) -> Vec<u8> {
    let mut out = vec![1];
    for byte in [hash, parent] {
        out.push(8);
        out.extend_from_slice(&[byte; 8]);
    }
    out.extend_from_slice(&ids.to_le_bytes());
    out.extend_from_slice(&bytes.to_le_bytes());
    out
}

fn place(record: u64, segment: u64, (offset, bytes): (u64, u32)) -> Vec<u8> {
    let mut out = vec![1];
    for number in [record, segment, offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in [bytes, 0, bytes.min(40), 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

fn row_seeds() -> Vec<Seed> {
    let max = u64::MAX;
    let key = |height: u64| height.to_be_bytes();
    let mut seeds = Vec::new();
    // The numbers of the tables, in the order in which each store declares them.
    for (target, [index, hashes, txs, tx_ids, stated]) in [
        ("block_rows", [0, 1, 2, 3, 4_u8]),
        ("kv_rows", [1, 2, 3, 4, 5]),
    ] {
        let cases = [
            ("none", Vec::new()),
            (
                "tip-is-last",
                row(stated, b"totals", &state([1, max, 3, 6, 120])),
            ),
            (
                "tail-is-0",
                row(stated, b"totals", &state([0, 3, 3, 6, 120])),
            ),
            (
                "whole-range",
                row(stated, b"totals", &state([0, max, max, max, max])),
            ),
            (
                "tip-below-tail",
                row(stated, b"totals", &state([3, 1, 3, 6, 120])),
            ),
            (
                "totals-too-small",
                row(stated, b"totals", &state([1, 3, 0, 0, 0])),
            ),
            ("state-version", row(stated, b"totals", &[2; 41])),
            ("state-cut", row(stated, b"totals", &[1; 40])),
            ("without-state", row(stated, b"totals", &[])),
            ("entry-gone", row(index, &key(2), &[])),
            ("entry-cut", row(index, &key(2), &[1, 8])),
            ("entry-empty-hash", row(index, &key(2), &[1, 0, 0])),
            ("entry-long-hash", row(index, &key(2), &[1, 65])),
            (
                "entry-of-many",
                row(index, &key(2), &entry(2, 1, (u32::MAX, max))),
            ),
            ("entry-key", row(index, b"odd", &entry(2, 1, (2, 40)))),
            (
                "entry-last",
                [
                    row(index, &key(max), &entry(7, 6, (0, 40))),
                    row(stated, b"totals", &state([max, max, 1, 0, 40])),
                ]
                .concat(),
            ),
            (
                "gap-without-end",
                [
                    row(index, &key(max), &entry(7, 6, (0, 40))),
                    row(stated, b"totals", &state([1, max, 3, 6, 120])),
                ]
                .concat(),
            ),
            (
                "gap-before-damage",
                [
                    row(index, &key(max - 1), &[9]),
                    row(index, &key(max), &entry(7, 6, (0, 40))),
                    row(stated, b"totals", &state([1, max, 3, 6, 120])),
                ]
                .concat(),
            ),
            ("hash-elsewhere", row(hashes, &[2; 8], &max.to_le_bytes())),
            ("hash-cut", row(hashes, &[2; 8], &[1])),
            ("transaction-key", row(txs, &[4, 9, 9, 9, 9, 1], &[1])),
            ("ids-cut", row(tx_ids, &key(2), &[4, 1])),
            ("ids-empty", row(tx_ids, &key(2), &[0])),
            ("ids-gone", row(tx_ids, &key(2), &[])),
        ];
        for (name, rows) in cases {
            seeds.push(seed(target, name, &rows));
        }
    }
    for (name, value) in [
        ("place-of-another", place(0, 0, (64, 30))),
        ("place-far", place(2, 0, (max, 60))),
        ("place-at-2-to-63", place(2, 0, (1 << 63, 60))),
        ("place-bomb", place(2, 0, (64, u32::MAX))),
        ("place-in-no-segment", place(2, max, (64, 60))),
        ("place-of-last-record", place(max, 0, (64, 60))),
        (
            "place-body-too-long",
            [&place(2, 0, (64, 1))[..33], &[0xff; 8]].concat(),
        ),
        ("place-cut", vec![1; 40]),
        ("place-version", vec![2; 41]),
        ("place-gone", Vec::new()),
    ] {
        for height in [2, 3] {
            let rows = row(5, &key(height), &value);
            seeds.push(seed("block_rows", &format!("{name}-{height}"), &rows));
        }
    }
    let body = row(0, &key(2), &[1; 10]);
    seeds.push(seed("kv_rows", "body-of-another-length", &body));
    seeds.push(seed("kv_rows", "body-gone", &row(0, &key(2), &[])));
    let last = [
        row(0, &key(max), &[5; 40]),
        row(1, &key(max), &entry(7, 6, (0, 40))),
        row(5, b"totals", &state([max, max, 1, 0, 40])),
    ];
    seeds.push(seed("kv_rows", "tip-is-the-last-height", &last.concat()));
    seeds
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = raw_seeds();
    seeds.extend(packed_seeds());
    seeds.extend(sealed_seeds());
    seeds.extend(record_seeds());
    seeds.extend(row_seeds());
    seeds
}
