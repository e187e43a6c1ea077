//! Accumulator, total difficulty and stored bodies, without files.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use sha2::{Digest, Sha256};

use super::accumulator::{Accumulator, TotalDifficulty};
use super::body::{Era1Body, begin_part, end_part};
use super::{BLOCKS_MAX, Era1Reader, Era1Writer};
use crate::error::{Fault, Hash};
use crate::ethereum::keccak;
use crate::input::ReadOptions;
use crate::rlp;

fn pair(left: Hash, right: Hash) -> Hash {
    Sha256::digest([left, right].concat()).into()
}

/// The whole tree of 8,192 leaves, with nothing left out.
fn plain_root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    level.resize(BLOCKS_MAX as usize, [0; 32]);
    while level.len() > 1 {
        level = level.chunks(2).map(|two| pair(two[0], two[1])).collect();
    }
    let mut count = [0; 32];
    count[..8].copy_from_slice(&(leaves.len() as u64).to_le_bytes());
    pair(level[0], count)
}

#[test]
fn accumulator_equals_the_whole_tree() {
    for count in [0, 1, 2, 3, 7, 8, 100, 4095, 8191, 8192] {
        let mut accumulator = Accumulator::default();
        let mut leaves = Vec::new();
        for number in 0..count {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&u64::to_be_bytes(number));
            let total = TotalDifficulty(hash);
            accumulator.push(&hash, total).unwrap();
            leaves.push(pair(hash, hash));
        }
        assert_eq!(accumulator.root(), plain_root(&leaves), "{count} blocks");
        let full = accumulator.push(&[0; 32], TotalDifficulty::default());
        assert_eq!(full.is_err(), count == BLOCKS_MAX);
    }
}

#[test]
fn total_difficulty_carries_and_overflows() {
    let mut one = [0; 32];
    one[31] = 1;
    let mut low = [0; 32];
    low[..31].fill(0xff);
    let mut high = [0; 32];
    high[31] = 1;
    assert_eq!(TotalDifficulty(low).plus(one), Some(TotalDifficulty(high)));
    assert_eq!(TotalDifficulty([0xff; 32]).plus(one), None);
    assert_eq!(
        TotalDifficulty([0xff; 32]).plus([0; 32]),
        Some(TotalDifficulty([0xff; 32]))
    );
}

fn stored(parts: [&[u8]; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        let start = begin_part(&mut bytes);
        bytes.extend_from_slice(part);
        end_part(&mut bytes, start);
    }
    bytes.extend_from_slice(&[9; 32]);
    bytes
}

#[test]
fn stored_bodies_come_apart() {
    let bytes = stored([b"header", b"", &[7; 300]]);
    let body = Era1Body::parse(&bytes).unwrap();
    assert_eq!((body.header, body.body), (&b"header"[..], &b""[..]));
    assert_eq!(
        (body.receipts, body.total_difficulty.0),
        (&[7; 300][..], [9; 32])
    );
    for cut in 0..bytes.len() {
        let fault = Era1Body::parse(&bytes[..cut]).unwrap_err();
        assert!(
            matches!(fault, Fault::Overrun { .. }),
            "cut at {cut}: {fault}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        Era1Body::parse(&longer),
        Err(Fault::Trailing { .. })
    ));
}

#[test]
fn a_writer_without_blocks_or_after_a_failure_gives_no_file() {
    assert!(Era1Writer::new(Vec::new()).finish().is_err());
    let mut writer = Era1Writer::new(Vec::new());
    assert!(writer.write_block(b"no block").is_err());
    let error = writer.write_block(b"no block").unwrap_err();
    assert!(matches!(error.fault, Fault::WriterFailed), "{error}");
    assert!(writer.finish().is_err());
}

/// A header with these roots, and the rest filled up.
fn header(number: u64, parent: Hash, ommers: Hash, roots: [Hash; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_list(&mut out, |out| {
        for bytes in [
            &parent[..],
            &ommers,
            &[1; 20],
            &[2; 32],
            &roots[0],
            &roots[1],
            &[0; 256],
        ] {
            rlp::put_bytes(out, bytes);
        }
        // Difficulty, number, gas limit and use, time.
        for value in [1000, number, 30_000_000, 21_000, 1_600_000_000] {
            rlp::put_uint(out, value);
        }
        for bytes in [&b"extra"[..], &[4; 32], &[5; 8]] {
            rlp::put_bytes(out, bytes);
        }
    });
    out
}

/// A block whose transactions and receipts are of both forms, a list and a typed byte string; the
/// roots are those that the checks ask for.
fn full_block(number: u64, parent: Hash, total: TotalDifficulty) -> (Vec<u8>, Hash, Vec<Hash>) {
    let mut legacy = Vec::new();
    rlp::put_list(&mut legacy, |out| rlp::put_bytes(out, &[number as u8; 90]));
    let typed = [&[2][..], &legacy].concat();
    let both = |out: &mut Vec<u8>| {
        out.extend_from_slice(&legacy);
        rlp::put_bytes(out, &typed);
    };
    let (mut body, mut receipts) = (Vec::new(), Vec::new());
    rlp::put_list(&mut body, |out| {
        rlp::put_list(out, both);
        out.push(0xc0);
    });
    rlp::put_list(&mut receipts, |out| {
        both(out);
        both(out);
    });
    let mut roots = [[0; 32]; 2];
    for _ in 0..3 {
        let header = header(number, parent, keccak(&[0xc0]), roots);
        let mut bytes = stored([&header, &body, &receipts]);
        let place = bytes.len() - 32;
        bytes[place..].copy_from_slice(&total.0);
        let mut tx_ids = Vec::new();
        match Era1Body::parse(&bytes).unwrap().check(&mut tx_ids) {
            Ok(header) => {
                assert_eq!(tx_ids, [keccak(&legacy), keccak(&typed)]);
                return (bytes, header.hash, tx_ids);
            }
            Err(Fault::Mismatch { what, computed, .. }) => {
                roots[usize::from(what == "receipts root")] = computed;
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("the roots do not settle");
}

#[test]
fn blocks_with_transactions_and_receipts_there_and_back() {
    let mut difficulty = [0; 32];
    difficulty[30..].copy_from_slice(&1000_u16.to_be_bytes());
    let mut total = TotalDifficulty([0; 32]);
    let mut parent = [9; 32];
    let mut writer = Era1Writer::new(Vec::new());
    let mut blocks = Vec::new();
    for number in 500..520 {
        total = total.plus(difficulty).unwrap();
        let block = full_block(number, parent, total);
        parent = block.1;
        writer.write_block(&block.0).unwrap();
        blocks.push(block);
    }
    let (file, _) = writer.finish().unwrap();
    let mut reader = Era1Reader::new(&file[..], ReadOptions::default()).unwrap();
    for ((body, hash, tx_ids), number) in blocks.iter().zip(500..) {
        let block = reader.next_block().unwrap().unwrap();
        assert_eq!((block.number, block.hash), (number, *hash));
        assert_eq!((block.body, block.tx_ids), (&body[..], &tx_ids[..]));
    }
    assert!(reader.next_block().unwrap().is_none());
}
