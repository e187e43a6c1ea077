//! How the corpus began: inputs made by our writers and by hand, good ones and each kind of harm.
//!
//! `cargo test -p fuzz -- --ignored write_seeds` writes them anew; files that a fuzzer added stay.

mod antelope;
mod bitcoin;
mod ethereum;
mod findings;
mod house;
mod repchain;
mod segments;

use std::fs;

use chain_store::bitcoin::{Block, Transaction};
use chain_store::chain_files::era1::Era1Body;
use chain_store::chain_files::ethereum::decode_block;
use chain_store::chain_files::{FileReader, ReadOptions};

use compat::repchain::{BlockCodec, Codec2018};

use super::corpus;

/// An input of a target, and what it is called.
pub(crate) struct Seed {
    pub(crate) target: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn seed(target: &'static str, name: &str, bytes: &[u8]) -> Seed {
    Seed {
        target,
        name: name.to_owned(),
        bytes: bytes.to_vec(),
    }
}

/// A file of parts with each kind of harm that a file can take.
pub(crate) fn harmed(
    target: &'static str,
    head: &[u8],
    parts: &[Vec<u8>],
    tail: &[u8],
) -> Vec<Seed> {
    let file = |parts: &[&Vec<u8>]| {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        [head, &parts.concat(), tail].concat()
    };
    let all: Vec<&Vec<u8>> = parts.iter().collect();
    let good = file(&all);
    let mut swapped = all.clone();
    swapped.swap(0, 1);
    let twice = [&all[..1], &all[..]].concat();
    let gap = [&all[..1], &all[2..]].concat();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let first_end = head.len() + parts[0].len();
    [
        ("good", good.clone()),
        ("empty", Vec::new()),
        ("cut-at-record", good[..first_end].to_vec()),
        ("cut-in-head-of-record", good[..first_end + 3].to_vec()),
        (
            "cut-in-record",
            good[..first_end + parts[1].len() / 2].to_vec(),
        ),
        ("cut-by-one", good[..good.len() - 1].to_vec()),
        ("without-tail", good[..good.len() - tail.len()].to_vec()),
        ("trailing-byte", [&good[..], &[0]].concat()),
        ("trailing-text", [&good[..], b"no block"].concat()),
        ("swapped", file(&swapped)),
        ("duplicate", file(&twice)),
        ("gap", file(&gap)),
        ("flipped", flipped),
        ("begins-later", [head, &parts[1..].concat(), tail].concat()),
        ("twice", [&good[..], &good[..]].concat()),
        ("endless-zeros", [&good[..first_end], &[0; 300]].concat()),
        ("endless-ones", [&good[..first_end], &[0xff; 300]].concat()),
    ]
    .into_iter()
    .map(|(name, bytes)| seed(target, name, &bytes))
    .collect()
}

/// Every seed.
fn all() -> Vec<Seed> {
    let mut all = antelope::seeds();
    all.extend(bitcoin::seeds());
    all.extend(ethereum::seeds());
    all.extend(house::seeds());
    all.extend(repchain::seeds());
    all.extend(segments::seeds());
    // Whatever the format, its files go through the door for all of them, too.
    let files: Vec<Seed> = all
        .iter()
        .filter(|one| ["rlp_chain", "era1", "antelope_log"].contains(&one.target))
        .filter(|one| ["good", "cut-in-record", "gap"].contains(&one.name.as_str()))
        .map(|one| {
            seed(
                "any_file",
                &format!("{}-{}", one.target, one.name),
                &one.bytes,
            )
        })
        .collect();
    all.extend(files);
    all.push(seed("any_file", "text", b"this is no chain at all"));
    all
}

#[test]
#[ignore = "writes the seeds into the corpus"]
fn write_seeds() {
    for one in all() {
        let folder = corpus::root().join(one.target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(one.name), one.bytes).unwrap();
    }
}

#[test]
fn seeds_are_in_the_corpus_and_replay_as_they_are_made_today() {
    let _alone = super::alone();
    for target in fuzz::TARGETS {
        (target.run)(&[]);
    }
    let mut findings = Vec::new();
    for one in all() {
        let path = corpus::root().join(one.target).join(&one.name);
        assert!(path.exists(), "{} is not there", path.display());
        let target = fuzz::TARGETS
            .iter()
            .find(|target| target.name == one.target);
        findings.extend(super::run(target.unwrap(), &one.name, &one.bytes).err());
    }
    super::done(&findings);
}

/// How many blocks a file gives before its end; nothing when it ends with an error.
fn blocks_of(bytes: &[u8]) -> Option<usize> {
    let mut reader = FileReader::open(bytes, ReadOptions::default()).ok()?;
    let mut count = 0;
    while reader.next_block().ok()?.is_some() {
        count += 1;
    }
    Some(count)
}

/// A seed that is refused where it should be taken would show its target nothing.
#[test]
fn good_seeds_are_taken() {
    let _alone = super::alone();
    let mut tx_ids = Vec::new();
    let mut taken = 0;
    for one in all() {
        let is_taken = match (one.target, one.name.as_str()) {
            ("rlp_chain" | "era1" | "antelope_log", "good") => {
                blocks_of(&one.bytes).is_some_and(|count| count >= 3)
            }
            ("antelope_log", name) if name.starts_with("version-") => {
                blocks_of(&one.bytes) == Some(3)
            }
            ("ethereum_block", "early" | "shanghai") => {
                decode_block(&one.bytes, &mut tx_ids).is_ok()
            }
            ("era1_body", "good") => {
                Era1Body::parse(&one.bytes).is_ok_and(|body| body.check(&mut tx_ids).is_ok())
            }
            ("bitcoin_block", "plain" | "witness") => {
                Block::decode(one.bytes.clone(), None).is_ok()
            }
            ("bitcoin_transaction", "plain" | "coinbase" | "witness" | "limit") => {
                Transaction::decode(&one.bytes).is_ok()
            }
            ("repchain_block", "good") => Codec2018::default().decode(&one.bytes).is_ok(),
            _ => continue,
        };
        assert!(is_taken, "{}/{} is refused", one.target, one.name);
        taken += 1;
    }
    assert_eq!(taken, 18);
}
