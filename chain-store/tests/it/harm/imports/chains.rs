//! Chain files that are made for the tests: an Antelope block log by our own writer, and a Bitcoin
//! block file of [`crate::regtest`].
//!
//! Invariants: every block and every transaction differs from every other; the same seed gives the
//! same file; the readers take every block, so an import of the whole file stores them all.

use std::path::Path;

use chain_store::bitcoin::BlockFile;
use chain_store::chain_files::antelope::{Layout, Preamble, decode_block};
use chain_store::chain_files::{Fault, FileReader, FileWriter, Hash, ReadOptions};
use conformance::seed_of_run;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use storage_api::blocks::{BlockHash, BlockInfo, Height, TxId};

use crate::regtest::block_file;

/// What kind of chain a file holds, and so which import takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// A block log, for `FileImport`.
    Antelope,
    /// A block file, for `BitcoinImport`.
    Bitcoin,
}

/// A block as its file holds it, read without any store.
#[derive(Debug)]
pub(super) struct FiledBlock {
    pub(super) info: BlockInfo,
    pub(super) tx_ids: Vec<TxId>,
    pub(super) body: Vec<u8>,
}

/// The height of the first block of a log, which then needs no genesis state.
const LOG_FIRST: u32 = 2;

impl Chain {
    pub(super) const ALL: [Self; 2] = [Self::Antelope, Self::Bitcoin];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Antelope => "antelope",
            Self::Bitcoin => "bitcoin",
        }
    }

    /// A file of so many blocks whose bodies are about as long as the range says.
    pub(super) fn file(self, blocks: u32, body_bytes: std::ops::Range<usize>) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed_of_run());
        let mut filler = || {
            let mut bytes = vec![0; rng.random_range(body_bytes.clone())];
            rng.fill(&mut bytes[..]);
            bytes
        };
        match self {
            Self::Antelope => log(blocks, &mut filler),
            Self::Bitcoin => block_file(blocks, &mut filler).0,
        }
    }

    /// The blocks of a file.
    pub(super) fn blocks(self, path: &Path) -> Vec<FiledBlock> {
        match self {
            Self::Antelope => logged_blocks(path),
            Self::Bitcoin => framed_blocks(path),
        }
    }
}

fn sha(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// A number of seven bits a byte, the lowest first.
fn varuint(value: usize) -> Vec<u8> {
    let (mut out, mut left) = (Vec::new(), value);
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out
}

/// A signed block: a header, receipts that name transactions, and an extension as filler.
fn log_block(previous: Hash, root: Hash, number: u32, filler: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7; 14];
    for hash in [previous, root, [8; 32]] {
        bytes.extend_from_slice(&hash);
    }
    // Schedule, no producers, no extensions; a signature.
    bytes.extend_from_slice(&[0; 4 + 1 + 1 + 1 + 65]);
    let transactions = number % 4;
    bytes.extend(varuint(transactions as usize));
    for place in 0..transactions {
        bytes.extend_from_slice(&[0, 1, 2, 3, 4, 100, 0]);
        bytes.extend_from_slice(&sha(&[number.to_le_bytes(), place.to_le_bytes()].concat()));
    }
    bytes.extend_from_slice(&[1, 2, 0]);
    bytes.extend(varuint(filler.len()));
    bytes.extend_from_slice(filler);
    bytes
}

fn log(blocks: u32, filler: &mut dyn FnMut() -> Vec<u8>) -> Vec<u8> {
    let preamble = Preamble::from_chain_id([9; 32], LOG_FIRST).unwrap();
    let mut writer = FileWriter::antelope_log(Vec::new(), preamble).unwrap();
    let mut previous = [3; 32];
    previous[..4].copy_from_slice(&(LOG_FIRST - 1).to_be_bytes());
    for number in LOG_FIRST..LOG_FIRST + blocks {
        let filler = filler();
        let mut root = [0; 32];
        // The root of the receipts is what the reader computes.
        let (bytes, block) = loop {
            let bytes = log_block(previous, root, number, &filler);
            match decode_block(&bytes, Layout::Plain, &mut Vec::new()) {
                Ok(block) => break (bytes, block),
                Err(Fault::Mismatch { computed, .. }) => root = computed,
                Err(fault) => panic!("block {number}: {fault}"),
            }
        };
        writer.write_block(&bytes).unwrap();
        previous = block.id;
    }
    writer.finish().unwrap()
}

fn logged_blocks(path: &Path) -> Vec<FiledBlock> {
    let file = std::fs::File::open(path).unwrap();
    let mut reader = FileReader::open(file, ReadOptions::default()).unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        blocks.push(FiledBlock {
            info: BlockInfo {
                height: Height::new(block.number),
                hash: BlockHash::new(&block.hash).unwrap(),
                parent: BlockHash::new(&block.parent).unwrap(),
                tx_count: block.tx_ids.len() as u32,
                body_bytes: block.body.len() as u64,
            },
            tx_ids: block
                .tx_ids
                .iter()
                .map(|id| TxId::new(id).unwrap())
                .collect(),
            body: block.body.to_vec(),
        });
    }
    blocks
}

fn framed_blocks(path: &Path) -> Vec<FiledBlock> {
    let mut file = BlockFile::open(path).unwrap();
    let mut blocks = Vec::new();
    while let Some(record) = file.next_record().unwrap() {
        let block = record.decode().unwrap().block;
        let ids = block.transactions().map(|tx| tx.tx_id());
        let tx_ids: Vec<TxId> = ids.map(|id| TxId::new(id.as_bytes()).unwrap()).collect();
        blocks.push(FiledBlock {
            info: BlockInfo {
                height: Height::new(blocks.len() as u64 + 1),
                hash: BlockHash::new(block.hash().as_bytes()).unwrap(),
                parent: BlockHash::new(block.parent().as_bytes()).unwrap(),
                tx_count: tx_ids.len() as u32,
                body_bytes: block.bytes().len() as u64,
            },
            tx_ids,
            body: block.bytes().to_vec(),
        });
    }
    blocks
}
