//! What the tests share: real files, reading to the end, owned blocks.

use std::io::Read;
use std::path::PathBuf;

use chain_files::{Error, FileReader, FileWriter, Hash, Position, ReadOptions, ResumePoint};

pub(crate) const ERA1: &str = "sepolia-00000-643a00f7.era1";
pub(crate) const RLP: &str = "execapis-chain.rlp";
pub(crate) const LOG: &str = "antelope-blocks.log";
pub(crate) const INDEX: &str = "antelope-blocks.index";

/// A real file, or `None` with a message.
pub(crate) fn real(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/realdata"),
        PathBuf::from,
    );
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {name} is not in {}: {error}", folder.display());
            None
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) number: u64,
    pub(crate) hash: Hash,
    pub(crate) parent: Hash,
    pub(crate) tx_ids: Vec<Hash>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Position,
    pub(crate) resume: ResumePoint,
}

/// Every block up to the end or the first error.
pub(crate) fn read(input: impl Read, options: ReadOptions) -> (Vec<Owned>, Option<Error>) {
    match FileReader::open(input, options) {
        Ok(reader) => drain(reader),
        Err(error) => (Vec::new(), Some(error)),
    }
}

pub(crate) fn drain(mut reader: FileReader<impl Read>) -> (Vec<Owned>, Option<Error>) {
    let mut blocks = Vec::new();
    loop {
        match reader.next_block() {
            Ok(Some(block)) => blocks.push(Owned {
                number: block.number,
                hash: block.hash,
                parent: block.parent,
                tx_ids: block.tx_ids.to_vec(),
                body: block.body.to_vec(),
                at: block.at,
                resume: block.resume_point(),
            }),
            Ok(None) => return (blocks, None),
            Err(error) => {
                assert!(
                    reader.next_block().unwrap().is_none(),
                    "nothing comes after an error"
                );
                return (blocks, Some(error));
            }
        }
    }
}

/// Every block of a good file.
pub(crate) fn read_all(bytes: &[u8]) -> Vec<Owned> {
    let (blocks, error) = read(bytes, ReadOptions::default());
    if let Some(error) = error {
        panic!("after {} blocks: {error}", blocks.len());
    }
    blocks
}

/// An era1 file of the first blocks of the real one.
pub(crate) fn small_era1(count: usize) -> Option<Vec<u8>> {
    let bytes = real(ERA1)?;
    let mut reader = FileReader::open(&bytes[..], ReadOptions::default()).unwrap();
    let mut writer = FileWriter::era1(Vec::new());
    for _ in 0..count {
        writer
            .write_block(reader.next_block().unwrap().unwrap().body)
            .unwrap();
    }
    Some(writer.finish().unwrap())
}

/// So many blocks of the real RLP file, from the third on: the second is a long one.
pub(crate) fn small_rlp(count: usize) -> Option<Vec<u8>> {
    let bytes = real(RLP)?;
    let blocks = read_all(&bytes);
    let start = blocks[2].at.offset as usize;
    let end = blocks[1 + count].resume.at.offset as usize;
    Some(bytes[start..end].to_vec())
}

/// Offsets of the e2store records of an era1 file.
pub(crate) fn record_starts(era1: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < era1.len() {
        starts.push(at);
        at += 8 + u32::from_le_bytes(era1[at + 2..at + 6].try_into().unwrap()) as usize;
    }
    starts
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
