//! A small Bitcoin chain of the regression test network, made here byte by byte and independently
//! of the decoder, so that no test of imports depends on real data.
//!
//! Every fifth block spends the coinbase of three blocks before. Coinbase scripts do not begin with
//! the shortest push of a number, so that no height can be read from them.

use sha2::{Digest, Sha256};

/// The easiest target of the network.
const BITS: u32 = 0x207f_ffff;
const GENESIS: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];
const COINBASE_SATOSHI: u64 = 50_0000_0000;
const SPENT_SATOSHI: u64 = 7;

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct TestBlock {
    pub(crate) bytes: Vec<u8>,
    /// In the order of the hash function.
    pub(crate) hash: [u8; 32],
    pub(crate) tx_ids: Vec<[u8; 32]>,
}

fn twice(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A hash as Bitcoin's tools print it.
pub(crate) fn printed(hash: &[u8; 32]) -> String {
    hash.iter()
        .rev()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn transaction(previous: ([u8; 32], u32), script: &[u8], outputs: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = vec![1, 0, 0, 0, 1];
    out.extend(previous.0);
    out.extend(previous.1.to_le_bytes());
    out.push(script.len() as u8);
    out.extend(script);
    out.extend([0xff; 4]);
    out.push(outputs.len() as u8);
    for (satoshi, script) in outputs {
        out.extend(satoshi.to_le_bytes());
        out.push(script.len() as u8);
        out.extend(*script);
    }
    out.extend([0; 4]);
    out
}

fn genesis_hash() -> [u8; 32] {
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().rev().enumerate() {
        *byte = u8::from_str_radix(&GENESIS[2 * at..2 * at + 2], 16).unwrap();
    }
    hash
}

/// The blocks at heights 1 to `count`.
pub(crate) fn blocks(count: u32) -> Vec<TestBlock> {
    let mut parent = genesis_hash();
    let mut blocks: Vec<TestBlock> = Vec::new();
    for height in 1..=count {
        let script = [&[4][..], &height.to_le_bytes()].concat();
        let coinbase = transaction(([0; 32], u32::MAX), &script, &[(COINBASE_SATOSHI, &[0x51])]);
        let mut transactions = vec![coinbase];
        if height % 5 == 0 {
            let spent = blocks[height as usize - 4].tx_ids[0];
            let outputs: [(u64, &[u8]); 2] = [(SPENT_SATOSHI, &[0x51, 0x52]), (0, &[0x6a, 1, 9])];
            transactions.push(transaction((spent, 0), &[1, 2], &outputs));
        }
        let tx_ids: Vec<_> = transactions.iter().map(|bytes| twice(bytes)).collect();
        let root = match tx_ids[..] {
            [only] => only,
            [first, second] => twice(&[first, second].concat()),
            _ => unreachable!("one or two transactions"),
        };
        let mut header = vec![2, 0, 0, 0];
        header.extend(parent);
        header.extend(root);
        header.extend((1_300_000_000 + height * 600).to_le_bytes());
        header.extend(BITS.to_le_bytes());
        let mined = (0u32..).map(|nonce| [&header[..], &nonce.to_le_bytes()].concat());
        let header = mined
            .into_iter()
            .find(|header| twice(header)[31] < 0x7f)
            .unwrap();
        let hash = twice(&header);
        let bytes = [
            header,
            vec![transactions.len() as u8],
            transactions.concat(),
        ]
        .concat();
        blocks.push(TestBlock {
            bytes,
            hash,
            tx_ids,
        });
        parent = hash;
    }
    blocks
}

/// Unspent outputs after so many blocks, and what they are worth.
pub(crate) fn unspent(count: u32) -> (u64, u64) {
    let (count, spends) = (u64::from(count), u64::from(count / 5));
    (
        count,
        count * COINBASE_SATOSHI - spends * (COINBASE_SATOSHI - SPENT_SATOSHI),
    )
}

/// One record of a block file.
pub(crate) fn record(block: &TestBlock) -> Vec<u8> {
    let length = (block.bytes.len() as u32).to_le_bytes();
    [&MAGIC[..], &length, &block.bytes].concat()
}

/// A block file.
pub(crate) fn file(blocks: &[TestBlock]) -> Vec<u8> {
    blocks.iter().flat_map(record).collect()
}
