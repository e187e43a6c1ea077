//! Random bytes and random changes of real files: no decoder panics or runs away, and blocks that
//! end before the first changed byte come out as they were.

use chain_files::antelope::{self, Layout, LogReader, LogWalker, Preamble};
use chain_files::era1::{Era1Body, Era1Reader};
use chain_files::rlp::{self, Item};
use chain_files::rlp_chain::RlpChainReader;
use chain_files::{ReadOptions, ethereum};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Cursor;

use crate::common::{LOG, read, read_all, real, small_era1, small_rlp};

const SEED: u64 = 0x6368_6169_6e66_696c;
const SHORT_INPUTS: usize = 20_000;
const CHANGED_FILES: usize = 3_000;

const SMALL: ReadOptions = ReadOptions {
    block_bytes_max: 1 << 20,
    after: None,
};

/// Every decoder over the same bytes; the results are of no interest, only that there are some.
fn every_decoder(bytes: &[u8]) {
    let mut tx_ids = Vec::new();
    if let Ok(item) = Item::whole(bytes, "random") {
        let _ = rlp::check_nested(item);
        let mut again = Vec::new();
        match item.bytes("random") {
            Ok(payload) => rlp::put_bytes(&mut again, payload),
            Err(_) => rlp::put_list(&mut again, |out| out.extend_from_slice(item.payload())),
        }
        assert_eq!(again, bytes, "one value has two forms");
    }
    let _ = ethereum::decode_block(bytes, &mut tx_ids);
    let _ = Era1Body::parse(bytes).map(|body| body.check(&mut tx_ids));
    let _ = antelope::decode_block(bytes, Layout::Plain, &mut tx_ids);
    let _ = antelope::decode_block(bytes, Layout::Prunable, &mut tx_ids);
    let _ = Preamble::parse(bytes);
    let _ = read(bytes, SMALL);
    let mut rlp = RlpChainReader::new(bytes, SMALL);
    while let Ok(Some(_)) = rlp.next_block() {}
    if let Ok(mut era1) = Era1Reader::new(bytes, SMALL) {
        while let Ok(Some(_)) = era1.next_block() {}
    }
    if let Ok(mut log) = LogReader::new(bytes, SMALL) {
        while let Ok(Some(_)) = log.next_block() {}
    }
    if let Ok(mut log) = LogWalker::new(Cursor::new(bytes), SMALL) {
        while let Ok(Some(_)) = log.next_block() {}
    }
}

#[test]
fn short_random_inputs() {
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let beginnings: [&[u8]; 8] = [
        &[],
        &[0xf9, 0x02, 0x00, 0xf9, 0x01, 0xf7, 0xa0],
        &[0x65, 0x32, 0, 0, 0, 0, 0, 0, 3, 0],
        &[
            0x65, 0x32, 0, 0, 0, 0, 0, 0, 3, 0, 20, 0, 0, 0, 0, 0, 0xff, 6, 0, 0, b's', b'N',
        ],
        &[0x65, 0x32, 0, 0, 0, 0, 0, 0, 7, 0, 32, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 1, 0, 0, 0],
        &[3, 0, 0, 0, 2, 0, 0, 0],
        &[4, 0, 0, 0, 2, 0, 0, 0],
    ];
    for round in 0..SHORT_INPUTS {
        let mut bytes = beginnings[round % beginnings.len()].to_vec();
        let start = bytes.len();
        bytes.resize(start + random.random_range(0..200), 0);
        random.fill_bytes(&mut bytes[start..]);
        every_decoder(&bytes);
    }
}

/// Changes a few bytes, takes some out, puts some in, or repeats a part; gives the first place.
fn change(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) -> usize {
    let mut first = bytes.len();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..bytes.len());
        let length = random.random_range(1..40).min(bytes.len() - at);
        first = first.min(at);
        match random.random_range(0..6) {
            0 => bytes[at] = random.random(),
            1 => bytes[at] ^= 1 << random.random_range(0..8),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            4 => bytes[at..at + length].fill(random.random()),
            _ => bytes[at..at + length].fill(0xff),
        }
        if bytes.is_empty() {
            break;
        }
    }
    first
}

#[test]
fn changed_real_files() {
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let files = [small_era1(4), small_rlp(4), real(LOG)];
    for bytes in files.into_iter().flatten() {
        let whole = read_all(&bytes);
        for round in 0..CHANGED_FILES {
            let mut changed = bytes.clone();
            let first = change(&mut changed, &mut random);
            let (blocks, _) = read(&changed[..], SMALL);
            let before = whole
                .iter()
                .take_while(|block| block.resume.at.offset <= first as u64)
                .count();
            assert!(blocks.len() >= before, "round {round}, byte {first}");
            assert!(
                blocks[..before] == whole[..before],
                "round {round}, byte {first}"
            );
            if round % 8 == 0 {
                every_decoder(&changed);
            }
        }
    }
}

/// Bodies are changed too: what a store gives back may be damaged.
#[test]
fn changed_bodies() {
    println!("seed {SEED:#x}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED ^ 1);
    let files = [small_era1(4), small_rlp(4), real(LOG)];
    for bytes in files.into_iter().flatten() {
        for block in read_all(&bytes) {
            for _ in 0..200 {
                let mut body = block.body.clone();
                change(&mut body, &mut random);
                every_decoder(&body);
            }
        }
    }
}
