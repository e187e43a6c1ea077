//! Block files of regtest: whole chains that every check of an import passes, and a block that one
//! of them refuses.
//!
//! Invariant: every transaction differs from every other where the filler does.

use chain_store::bitcoin::Network;
use chain_store::chain_files::Hash;
use sha2::{Digest, Sha256};

fn twice(bytes: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A script behind its length.
fn script(bytes: &[u8]) -> Vec<u8> {
    let mut out = match u16::try_from(bytes.len()).unwrap() {
        short @ 0..0xfd => vec![short as u8],
        long => [&[0xfd][..], &long.to_le_bytes()].concat(),
    };
    out.extend_from_slice(bytes);
    out
}

/// A transaction with one input, an output that anyone can spend, and one that nobody can.
fn transaction(previous: (Hash, u32), unlock: &[u8], filler: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 1];
    bytes.extend_from_slice(&previous.0);
    bytes.extend_from_slice(&previous.1.to_le_bytes());
    bytes.extend(script(unlock));
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.push(2);
    bytes.extend_from_slice(&5_000_000_u64.to_le_bytes());
    bytes.extend(script(&[0x51]));
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes.extend(script(&[&[0x6a][..], filler].concat()));
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// A header whose hash is as low as regtest wants it.
fn mined(parent: Hash, root: Hash) -> Vec<u8> {
    let mut header = vec![0, 0, 0, 0x20];
    header.extend_from_slice(&parent);
    header.extend_from_slice(&root);
    header.extend_from_slice(&1_700_000_000_u32.to_le_bytes());
    header.extend_from_slice(&Network::Regtest.easiest_bits().to_le_bytes());
    let mut nonces = (0_u32..).map(|nonce| [&header[..], &nonce.to_le_bytes()].concat());
    nonces.find(|header| twice(header)[31] < 0x7f).unwrap()
}

/// A record of a block file: a block with these transactions, on top of this parent; and the
/// block's hash.
fn record(parent: Hash, transactions: &[Vec<u8>]) -> (Vec<u8>, Hash) {
    let root = match transactions {
        [only] => twice(only),
        [first, second] => twice(&[twice(first), twice(second)].concat()),
        more => panic!("{} transactions", more.len()),
    };
    let header = mined(parent, root);
    let hash = twice(&header);
    let body = [&[transactions.len() as u8][..], &transactions.concat()].concat();
    let mut record = Network::Regtest.magic().to_vec();
    record.extend_from_slice(&((header.len() + body.len()) as u32).to_le_bytes());
    record.extend(header);
    record.extend(body);
    (record, hash)
}

fn coinbase(number: u32) -> Vec<u8> {
    let height = [&[4][..], &number.to_le_bytes()].concat();
    transaction(([0; 32], u32::MAX), &height, &[])
}

/// Records of so many blocks from height 1 on, most of which spend an output of the one before, and
/// the hash of the last.
pub(crate) fn block_file(blocks: u32, filler: &mut dyn FnMut() -> Vec<u8>) -> (Vec<u8>, Hash) {
    let mut file = Vec::new();
    let mut parent = *Network::Regtest.genesis_hash().as_bytes();
    let mut spendable: Option<Hash> = None;
    for number in 1..=blocks {
        let coinbase = coinbase(number);
        let coinbase_id = twice(&coinbase);
        // Every third block has its coinbase alone.
        let spend = spendable.filter(|_| number % 3 != 0);
        let spend = spend.map(|id| transaction((id, 0), &[], &filler()));
        let transactions: Vec<Vec<u8>> = [coinbase].into_iter().chain(spend).collect();
        let (record, hash) = record(parent, &transactions);
        parent = hash;
        spendable = Some(coinbase_id);
        file.extend(record);
    }
    (file, parent)
}

/// A record on top of this block whose second transaction spends what nobody has.
pub(crate) fn spends_nothing(parent: Hash, number: u32) -> Vec<u8> {
    let spend = transaction(([7; 32], 0), &[], b"more than there is");
    record(parent, &[coinbase(number), spend]).0
}

/// A record on top of this block with a coinbase alone, which differs from every other by `number`.
pub(crate) fn coinbase_alone(parent: Hash, number: u32) -> Vec<u8> {
    record(parent, &[coinbase(number)]).0
}
