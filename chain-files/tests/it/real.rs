//! Real files: every block is given, with the hashes that others give it, and back again.

use std::io::Cursor;

use chain_files::antelope::{LogReader, LogWalker, LogWriter, check_index};
use chain_files::era1::Era1Body;
use chain_files::ethereum::Header;
use chain_files::rlp::Item;
use chain_files::{FileFormat, FileReader, FileWriter, ReadOptions, detect};

use crate::common::{ERA1, INDEX, LOG, Owned, RLP, hex, read_all, real};

fn assert_linked(blocks: &[Owned]) {
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].parent, pair[0].hash, "block {}", pair[1].number);
        assert_eq!(pair[1].number, pair[0].number + 1);
        assert_eq!(pair[1].at, pair[0].resume.at, "block {}", pair[1].number);
    }
}

fn without_place(blocks: &[Owned]) -> Vec<(u64, [u8; 32], &[u8])> {
    blocks
        .iter()
        .map(|block| (block.number, block.hash, block.body.as_slice()))
        .collect()
}

#[test]
fn era1_of_sepolia() {
    let Some(bytes) = real(ERA1) else { return };
    assert_eq!(detect(&bytes), Some(FileFormat::Era1));
    let blocks = read_all(&bytes);
    assert_eq!(blocks.len(), 8192);
    assert_linked(&blocks);
    assert_eq!((blocks[0].number, blocks[8191].number), (0, 8191));
    // The hash of Sepolia's genesis block, as its clients have it.
    assert_eq!(
        hex(&blocks[0].hash),
        "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"
    );
    let first = Era1Body::parse(&blocks[0].body).unwrap();
    let last = Era1Body::parse(&blocks[8191].body).unwrap();
    // Sepolia began with a difficulty of 0x20000.
    assert_eq!(first.total_difficulty.0[..4], [0, 0, 2, 0]);
    assert!(last.total_difficulty.0[16..].iter().all(|byte| *byte == 0));
    let total = u128::from_le_bytes(last.total_difficulty.0[..16].try_into().unwrap());
    assert!(total > 8192 * 0x20000, "total difficulty {total}");
}

#[test]
fn era1_back_again() {
    let Some(bytes) = real(ERA1) else { return };
    let blocks = read_all(&bytes);
    let mut writer = FileWriter::era1(Vec::new());
    for block in &blocks {
        writer.write_block(&block.body).unwrap();
    }
    let written = writer.finish().unwrap();
    let again = read_all(&written);
    assert_eq!(without_place(&again), without_place(&blocks));
    let mut writer = chain_files::era1::Era1Writer::new(std::io::sink());
    for block in &blocks {
        writer.write_block(&block.body).unwrap();
    }
    // The accumulator's root is also in the name of the real file.
    assert_eq!(hex(&writer.finish().unwrap().1[..4]), "643a00f7");
}

#[test]
fn rlp_of_the_execution_tests() {
    let Some(bytes) = real(RLP) else { return };
    assert_eq!(detect(&bytes), Some(FileFormat::EthereumRlp));
    let blocks = read_all(&bytes);
    assert_linked(&blocks);
    assert_eq!(blocks[0].number, 1);
    assert!(blocks.iter().any(|block| !block.tx_ids.is_empty()));
    let mut writer = FileWriter::rlp_chain(Vec::new());
    for block in &blocks {
        writer.write_block(&block.body).unwrap();
    }
    assert!(writer.finish().unwrap() == bytes, "not the same bytes");
    eprintln!(
        "{} blocks, head {}",
        blocks.len(),
        hex(&blocks[blocks.len() - 1].hash)
    );
}

#[test]
fn antelope_log_and_index() {
    let (Some(log), Some(index)) = (real(LOG), real(INDEX)) else {
        return;
    };
    assert_eq!(detect(&log), Some(FileFormat::AntelopeLog));
    let blocks = read_all(&log);
    assert_linked(&blocks);
    assert_eq!((blocks[0].number, blocks.len()), (1, 5));
    assert_eq!(blocks[0].parent, [0; 32]);
    assert_eq!(
        check_index(&log[..], &index[..], ReadOptions::default()).unwrap(),
        5
    );

    let preamble = LogReader::new(&log[..], ReadOptions::default())
        .unwrap()
        .preamble()
        .clone();
    assert_eq!((preamble.version(), preamble.first_block()), (2, 1));
    let mut writer = LogWriter::new(Vec::new(), preamble).unwrap();
    let mut index_again = Vec::new();
    for block in &blocks {
        let offset = writer.write_block(&block.body).unwrap();
        index_again.extend_from_slice(&offset.to_le_bytes());
    }
    assert!(writer.finish().unwrap() == log, "not the same bytes");
    assert_eq!(index_again, index);
}

#[test]
fn antelope_log_backwards() {
    let Some(log) = real(LOG) else { return };
    let blocks = read_all(&log);
    let mut walker = LogWalker::new(Cursor::new(&log), ReadOptions::default()).unwrap();
    for expected in blocks.iter().rev() {
        let block = walker.next_block().unwrap().unwrap();
        assert_eq!(block.resume_point(), expected.resume);
        assert_eq!((block.at, block.hash), (expected.at, expected.hash));
        assert_eq!(
            (block.body, block.tx_ids),
            (&expected.body[..], &expected.tx_ids[..])
        );
    }
    assert!(walker.next_block().unwrap().is_none());
}

#[test]
fn stored_bodies_check_by_themselves() {
    for name in [ERA1, RLP, LOG] {
        let Some(bytes) = real(name) else { continue };
        let format = detect(&bytes).unwrap();
        let mut tx_ids = Vec::new();
        for block in read_all(&bytes) {
            let facts = format.check_body(&block.body, &mut tx_ids).unwrap();
            assert_eq!(
                (facts.link, facts.parent),
                (block.resume.last, block.parent)
            );
            assert_eq!(tx_ids, block.tx_ids);
        }
    }
}

#[test]
fn reading_goes_on_from_every_block() {
    for (name, step) in [(ERA1, 1021), (RLP, 7), (LOG, 1)] {
        let Some(bytes) = real(name) else { continue };
        let blocks = read_all(&bytes);
        for (place, block) in blocks.iter().enumerate().step_by(step) {
            let options = ReadOptions::default();
            let reader = FileReader::resume(&bytes[..], options, block.resume).unwrap();
            let (rest, error) = crate::common::drain(reader);
            assert!(error.is_none(), "{name} behind {}: {error:?}", block.at);
            assert!(rest == blocks[place + 1..], "{name} behind {}", block.at);
        }
    }
}

/// A full block of mainnet, with transactions of every type of its time.
#[test]
fn mainnet_block_has_its_root() {
    let Some(bytes) = real("eth-mainnet-block-data-19426586.yaml") else {
        return;
    };
    let text = String::from_utf8(bytes).unwrap();
    let part = |name: &str| -> Vec<u8> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let (_, digits) = line.split_once("0x").unwrap();
        let digits = digits.trim_end_matches('"').trim();
        (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    };
    let (header, body) = (part("header"), part("body"));
    let header = Header::decode(Item::whole(&header, "header").unwrap()).unwrap();
    assert_eq!(header.number, 19_426_586);
    let items = Item::whole(&body, "body").unwrap().list("body").unwrap();
    let mut tx_ids = Vec::new();
    header.check_body(items, &mut tx_ids).unwrap();
    assert_eq!(tx_ids.len(), 127);
}
