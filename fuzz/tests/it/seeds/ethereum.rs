//! Blocks of Ethereum with transactions, ommers and withdrawals, chains and archives of them, and
//! what is made to break their readers.

use std::io::Write;

use chain_store::chain_files::e2store::{kind, write_record};
use chain_store::chain_files::era1::{Era1Body, Era1Writer, TotalDifficulty};
use chain_store::chain_files::ethereum::{decode_block, keccak};
use chain_store::chain_files::rlp::{self, Kind};
use chain_store::chain_files::{Fault, Hash};
use snap::write::FrameEncoder;

use super::{Seed, harmed, seed};

/// Fields of a header that a block settles: ommers, transactions, receipts, withdrawals.
#[derive(Clone, Copy)]
struct Roots([Hash; 4]);

#[derive(Clone, Copy, PartialEq)]
enum Fork {
    Early,
    Shanghai,
}

fn header(number: u64, parent: Hash, roots: &Roots, fork: Fork) -> Vec<u8> {
    let [ommers, transactions, receipts, withdrawals] = roots.0;
    let mut out = Vec::new();
    rlp::put_list(&mut out, |out| {
        rlp::put_bytes(out, &parent);
        rlp::put_bytes(out, &ommers);
        rlp::put_bytes(out, &[1; 20]);
        for root in [[2; 32], transactions, receipts] {
            rlp::put_bytes(out, &root);
        }
        rlp::put_bytes(out, &[0; 256]);
        for value in [1000, number, 30_000_000, 21_000, 1_600_000_000] {
            rlp::put_uint(out, value);
        }
        for bytes in [&b"extra"[..], &[4; 32], &[5; 8]] {
            rlp::put_bytes(out, bytes);
        }
        if fork == Fork::Shanghai {
            rlp::put_uint(out, 7);
            rlp::put_bytes(out, &withdrawals);
        }
    });
    out
}

/// Transactions, ommers and withdrawals.
fn body(number: u64, fork: Fork) -> Vec<u8> {
    let mut legacy = Vec::new();
    rlp::put_list(&mut legacy, |out| rlp::put_bytes(out, &[number as u8; 90]));
    let typed = [&[2][..], &legacy].concat();
    let mut out = Vec::new();
    rlp::put_list(&mut out, |out| {
        for _ in 0..number % 4 {
            out.extend_from_slice(&legacy);
            rlp::put_bytes(out, &typed);
        }
    });
    out.push(0xc0);
    if fork == Fork::Shanghai {
        rlp::put_list(&mut out, |out| {
            rlp::put_list(out, |out| rlp::put_bytes(out, &[number as u8; 40]));
        });
    }
    out
}

/// A block whose roots are those of its body.
fn block(number: u64, parent: Hash, fork: Fork) -> (Vec<u8>, Hash) {
    let mut roots = Roots([keccak(&[0xc0]), [0; 32], [3; 32], [0; 32]]);
    for _ in 0..4 {
        let mut bytes = Vec::new();
        rlp::put_list(&mut bytes, |out| {
            out.extend(header(number, parent, &roots, fork));
            out.extend(body(number, fork));
        });
        match decode_block(&bytes, &mut Vec::new()) {
            Ok(header) => return (bytes, header.hash),
            Err(Fault::Mismatch { what, computed, .. }) => {
                roots.0[if what == "transactions root" { 1 } else { 3 }] = computed;
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("the roots do not settle");
}

fn chain(count: u64, fork: Fork) -> Vec<Vec<u8>> {
    let mut parent = [9; 32];
    let blocks = (5..5 + count).map(|number| {
        let (bytes, hash) = block(number, parent, fork);
        parent = hash;
        bytes
    });
    blocks.collect()
}

fn stored(parts: [&[u8]; 3], total: [u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&total);
    bytes
}

/// A stored body of an era1 file.
fn era1_body(number: u64, parent: Hash, total: TotalDifficulty) -> (Vec<u8>, Hash) {
    let mut roots = Roots([keccak(&[0xc0]), [0; 32], [0; 32], [0; 32]]);
    let mut list = Vec::new();
    rlp::put_list(&mut list, |out| out.extend(body(number, Fork::Early)));
    let mut receipts = Vec::new();
    rlp::put_list(&mut receipts, |out| {
        rlp::put_list(out, |out| rlp::put_bytes(out, &[6; 60]));
    });
    for _ in 0..4 {
        let header = header(number, parent, &roots, Fork::Early);
        let bytes = stored([&header, &list, &receipts], total.0);
        match Era1Body::parse(&bytes).unwrap().check(&mut Vec::new()) {
            Ok(header) => return (bytes, header.hash),
            Err(Fault::Mismatch { what, computed, .. }) => {
                roots.0[if what == "receipts root" { 2 } else { 1 }] = computed;
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("the roots do not settle");
}

fn era1_bodies(count: u64) -> Vec<Vec<u8>> {
    let mut difficulty = [0; 32];
    difficulty[30..].copy_from_slice(&1000_u16.to_be_bytes());
    let mut total = TotalDifficulty([0; 32]);
    let mut parent = [9; 32];
    let bodies = (40..40 + count).map(|number| {
        total = total.plus(difficulty).unwrap();
        let (bytes, hash) = era1_body(number, parent, total);
        parent = hash;
        bytes
    });
    bodies.collect()
}

/// A file and where its records begin.
fn era1_file(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut writer = Era1Writer::new(Vec::new());
    for body in bodies {
        writer.write_block(body).unwrap();
    }
    let (file, _) = writer.finish().unwrap();
    let mut starts = Vec::new();
    let mut at = 0;
    while at < file.len() {
        starts.push(at);
        at += 8 + u32::from_le_bytes(file[at + 2..at + 6].try_into().unwrap()) as usize;
    }
    (file, starts)
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

fn record(kind: u16, length: u32, data: &[u8]) -> Vec<u8> {
    [
        &kind.to_le_bytes()[..],
        &length.to_le_bytes(),
        &[0, 0],
        data,
    ]
    .concat()
}

fn era1_seeds() -> Vec<Seed> {
    let (file, starts) = era1_file(&era1_bodies(3));
    // A version, four records for each of three blocks, accumulator, index.
    let parts: Vec<Vec<u8>> = (0..3)
        .map(|block| file[starts[1 + 4 * block]..starts[5 + 4 * block]].to_vec())
        .collect();
    let mut seeds = harmed("era1", &file[..8], &parts, &file[starts[13]..]);
    let version = &file[..8];
    let with = |data: &[u8]| [version, data].concat();
    let bomb = snappy(&vec![0; (1 << 20) + 9]);
    let short = snappy(b"no header");
    for (name, bytes) in [
        (
            "length-bomb",
            with(&record(kind::HEADER, u32::MAX, &[0; 64])),
        ),
        (
            "length-within-limit",
            with(&record(kind::HEADER, 1 << 20, &[0; 64])),
        ),
        (
            "frames-without-end",
            with(&record(kind::HEADER, bomb.len() as u32, &bomb)),
        ),
        (
            "frames-of-no-header",
            with(&record(kind::HEADER, short.len() as u32, &short)),
        ),
        ("no-frames", with(&record(kind::HEADER, 4, b"snap"))),
        (
            "accumulator-first",
            with(&record(kind::ACCUMULATOR, 32, &[0; 32])),
        ),
        (
            "index-first",
            with(&record(kind::BLOCK_INDEX, 16, &[0; 16])),
        ),
        ("other-record", with(&record(0x7777, 0, &[]))),
        ("version-twice", with(version)),
        ("version-with-data", record(kind::VERSION, 1, &[0])),
        ("reserved", [&version[..6], &[1, 0]].concat()),
    ] {
        seeds.push(seed("era1", name, &bytes));
    }
    for (name, at) in [
        ("index-offset", starts[14] + 16),
        ("accumulator", starts[13] + 8),
    ] {
        let mut wrong = file.clone();
        wrong[at] ^= 1;
        seeds.push(seed("era1", &format!("wrong-{name}"), &wrong));
    }
    let mut records = Vec::new();
    for data in [&b""[..], b"data", &[7; 300]] {
        write_record(&mut records, kind::BODY, data).unwrap();
    }
    seeds.push(seed("e2store", "records", &records));
    seeds.push(seed("e2store", "cut", &records[..20]));
    seeds.push(seed("e2store", "reserved", &[1, 0, 0, 0, 0, 0, 1, 0]));
    seeds.push(seed(
        "e2store",
        "length-bomb",
        &record(3, u32::MAX, &[1; 20]),
    ));
    let body = &era1_bodies(1)[0];
    seeds.push(seed("era1_body", "good", body));
    seeds.push(seed("era1_body", "cut", &body[..body.len() - 1]));
    seeds.push(seed("era1_body", "trailing", &[&body[..], &[0]].concat()));
    seeds.push(seed("era1_body", "length-bomb", &[0xff; 60]));
    seeds.push(seed("era1_body", "empty-parts", &[0; 44]));
    seeds
}

/// Lists in lists, the innermost empty.
fn nested(depth: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut length = 0;
    for _ in 0..depth {
        let mut head = Vec::new();
        rlp::put_head(&mut head, Kind::List, length);
        length += head.len();
        heads.push(head);
    }
    heads.into_iter().rev().flatten().collect()
}

/// Heads that are wrong in one way each.
fn rlp_seeds() -> Vec<Seed> {
    let mut list = Vec::new();
    rlp::put_list(&mut list, |out| {
        rlp::put_bytes(out, b"dog");
        rlp::put_uint(out, 1024);
        rlp::put_bytes(out, &[7; 60]);
        rlp::put_list(out, |out| rlp::put_bytes(out, &[]));
    });
    let cases: [(&str, &[u8]); 12] = [
        ("list", &list),
        ("byte", &[0x7f]),
        ("empty-string", &[0x80]),
        ("empty-list", &[0xc0]),
        ("byte-in-long-form", &[0x81, 0x05]),
        ("short-in-long-form", &[0xb8, 0x01, 0x80]),
        ("length-with-zero", &[0xb9, 0x00, 0x40, 1]),
        ("length-bomb", &[0xff; 9]),
        ("length-2-to-63", &[0xbf, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("length-cut", &[0xfb, 1, 2]),
        ("item-beyond-list", &[0xc2, 0x83, 1, 2, 3]),
        ("trailing", &[0xc0, 0xc0]),
    ];
    let mut seeds: Vec<Seed> = cases
        .into_iter()
        .map(|(name, bytes)| seed("rlp", name, bytes))
        .collect();
    for (name, depth) in [("16", 16), ("17", 17), ("thousand", 1000)] {
        seeds.push(seed("rlp", &format!("nested-{name}"), &nested(depth)));
    }
    seeds
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = rlp_seeds();
    seeds.extend(era1_seeds());
    let early = chain(4, Fork::Early);
    seeds.extend(harmed("rlp_chain", &[], &early, &[]));
    let shanghai = chain(2, Fork::Shanghai);
    seeds.push(seed("rlp_chain", "shanghai", &shanghai.concat()));
    seeds.push(seed(
        "rlp_chain",
        "mixed-chains",
        &[&early[0][..], &shanghai[1]].concat(),
    ));
    let (fork, _) = block(6, [8; 32], Fork::Early);
    seeds.push(seed("rlp_chain", "fork", &[&early[0][..], &fork].concat()));
    let (last, _) = block(u64::MAX, [8; 32], Fork::Early);
    let behind_last = [&last[..], &early[0]].concat();
    seeds.push(seed("rlp_chain", "last-number", &behind_last));
    let mut head = Vec::new();
    rlp::put_head(&mut head, Kind::List, u32::MAX as usize);
    head.extend_from_slice(&[0xf9, 0x01, 0xf7, 0xa0]);
    seeds.push(seed("rlp_chain", "length-bomb", &head));
    seeds.push(seed("ethereum_block", "early", &early[3]));
    seeds.push(seed("ethereum_block", "shanghai", &shanghai[1]));
    let item = rlp::Item::whole(&early[0], "block").unwrap();
    let header = item.list("block").unwrap().expect("header").unwrap();
    for (name, rest) in [
        ("nested-transactions", [nested(1000), vec![0xc0]].concat()),
        ("string-for-transactions", vec![0x80, 0xc0]),
        ("many-empty-transactions", {
            let mut out = Vec::new();
            rlp::put_list(&mut out, |out| out.extend_from_slice(&[0xc0; 600]));
            [out, vec![0xc0]].concat()
        }),
        ("short-transactions", {
            let mut out = Vec::new();
            rlp::put_list(&mut out, |out| {
                out.extend_from_slice(&[0x05, 0x80, 0x82, 1, 2]);
            });
            [out, vec![0xc0]].concat()
        }),
        ("without-ommers", vec![0xc0]),
        ("four-items", vec![0xc0; 4]),
    ] {
        let mut bytes = Vec::new();
        rlp::put_list(&mut bytes, |out| {
            out.extend_from_slice(header.encoded());
            out.extend(rest);
        });
        seeds.push(seed("ethereum_block", name, &bytes));
    }
    seeds
}
