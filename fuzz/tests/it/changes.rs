//! Changes of the corpus and of real chain data, drawn from a seed, through every target.

use std::path::PathBuf;

use chain_store::chain_files::{FileReader, FileWriter, ReadOptions};
use conformance::{scaled, seed_of_run};
use fuzz::TARGETS;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Inputs do not grow beyond this.
const INPUT_BYTES_MAX: usize = 100_000;

/// Numbers that lengths and counts go wrong at.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    1 << 63,
    u64::MAX,
];

/// A file of real chain data; `None`, visibly, where there is none.
fn real_file(name: &str) -> Option<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/realdata");
    let root = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(|| root.into(), PathBuf::from);
    let path = root.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let required = std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_some();
            assert!(!required, "{}: {error}", path.display());
            eprintln!("SKIPPED: {} (CHAINSTORE_REALDATA)", path.display());
            None
        }
    }
}

/// The beginning of a real era1 file as a file of its own.
fn small_era1(bytes: &[u8]) -> Vec<u8> {
    let mut reader = FileReader::open(bytes, ReadOptions::default()).unwrap();
    let mut writer = FileWriter::era1(Vec::new());
    for _ in 0..4 {
        let block = reader.next_block().unwrap().unwrap();
        writer.write_block(block.body).unwrap();
    }
    writer.finish().unwrap()
}

/// Real inputs of a target.
fn real(target: &str) -> Vec<Vec<u8>> {
    let name = match target {
        "antelope_log" => "antelope-blocks.log",
        "era1" => "sepolia-00000-643a00f7.era1",
        "ethereum_block" | "rlp" | "rlp_chain" => "execapis-chain.rlp",
        "bitcoin_file" => "btc-blocks1-256.bz2",
        _ => return Vec::new(),
    };
    let Some(mut bytes) = real_file(name) else {
        return Vec::new();
    };
    match target {
        "era1" => bytes = small_era1(&bytes),
        "ethereum_block" | "rlp" => {
            let mut reader = FileReader::open(&bytes[..], ReadOptions::default()).unwrap();
            let mut blocks = Vec::new();
            while let Some(block) = reader.next_block().unwrap() {
                blocks.push(block.body.to_vec());
            }
            return blocks;
        }
        _ => {}
    }
    bytes.truncate(INPUT_BYTES_MAX);
    vec![bytes]
}

/// Changes a few places: bits, bytes, numbers, and parts taken out, put in twice or from another.
fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let length = random.random_range(1..60).min(bytes.len() - at);
        match random.random_range(0..9) {
            0 => bytes.truncate(at),
            1 if length > 0 => bytes[at] = random.random(),
            2 if length > 0 => bytes[at] ^= 1 << random.random_range(0..8),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            5 => bytes[at..at + length].fill(random.random()),
            6 if length > 0 => {
                let step: u8 = random.random_range(1..4);
                bytes[at] = bytes[at].wrapping_add(step).wrapping_sub(2);
            }
            7 => {
                let edge = EDGES[random.random_range(0..EDGES.len())];
                let mut number = edge.to_le_bytes();
                if random.random() {
                    number.reverse();
                }
                let width = [1, 2, 4, 8][random.random_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            _ if !other.is_empty() => {
                let from = random.random_range(0..other.len());
                let part = &other[from..(from + 200).min(other.len())];
                bytes.splice(at..at + length, part.iter().copied());
            }
            _ => {}
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
}

#[test]
fn changed_inputs() {
    let _alone = super::alone();
    let seed = seed_of_run();
    println!("seed {seed:#x}");
    let mut findings = Vec::new();
    for target in TARGETS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut inputs = super::corpus::files(target.name);
        let real = real(target.name).into_iter();
        inputs.extend(real.map(|bytes| ("real data".to_owned(), bytes)));
        (target.run)(&[]);
        let began = std::time::Instant::now();
        let rounds = scaled(target.changes);
        for round in 0..rounds {
            let (name, bytes) = &inputs[random.random_range(0..inputs.len())];
            let (_, other) = &inputs[random.random_range(0..inputs.len())];
            let mut bytes = bytes.clone();
            change(&mut bytes, other, &mut random);
            let name = format!("round {round} of seed {seed:#x}, from {name},");
            if let Err(finding) = super::run(&target, &name, &bytes) {
                findings.push(finding);
                break;
            }
        }
        // Only told: nothing here depends on time.
        println!("{}: {rounds} changes, {:?}", target.name, began.elapsed());
    }
    super::done(&findings);
}
