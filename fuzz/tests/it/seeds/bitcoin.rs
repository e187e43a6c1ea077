//! Blocks of regtest with and without witnesses, files of them, rows of the world state, and what
//! is made to break their readers. Written piece by piece, without the decoder.

use std::io::Write;

use chain_store::bitcoin::Network;
use sha2::{Digest, Sha256};

use super::{Seed, harmed, seed};

fn twice(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

struct Tx {
    core: Vec<u8>,
    witness: Vec<u8>,
}

fn tx(previous: ([u8; 32], u32), script: &[u8], value: u64, witness: &[u8]) -> Tx {
    let mut core = vec![1];
    core.extend_from_slice(&previous.0);
    core.extend_from_slice(&previous.1.to_le_bytes());
    core.push(script.len() as u8);
    core.extend_from_slice(script);
    core.extend_from_slice(&[0xff; 4]);
    core.push(2);
    core.extend_from_slice(&value.to_le_bytes());
    core.extend_from_slice(&[2, 0x51, 0x52]);
    core.extend_from_slice(&0_u64.to_le_bytes());
    core.extend_from_slice(&[3, 0x6a, 1, 0xff]);
    let witness = witness.to_vec();
    Tx { core, witness }
}

impl Tx {
    fn bytes(&self) -> Vec<u8> {
        let mark: &[u8] = if self.witness.is_empty() {
            &[]
        } else {
            &[0, 1]
        };
        [&[2, 0, 0, 0], mark, &self.core, &self.witness, &[0; 4]].concat()
    }

    fn id(&self) -> [u8; 32] {
        twice(&[&[2, 0, 0, 0][..], &self.core, &[0; 4]].concat())
    }
}

/// The root of at most two.
fn root(ids: &[[u8; 32]]) -> [u8; 32] {
    match ids {
        [one] => *one,
        [one, two] => twice(&[*one, *two].concat()),
        _ => panic!("not needed"),
    }
}

fn mine(parent: [u8; 32], root: [u8; 32], body: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let mut header = vec![0, 0, 0, 0x20];
    header.extend_from_slice(&parent);
    header.extend_from_slice(&root);
    header.extend_from_slice(&1_700_000_000_u32.to_le_bytes());
    header.extend_from_slice(&Network::Regtest.easiest_bits().to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    for nonce in 0_u32.. {
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        if twice(&header)[31] < 0x7f {
            break;
        }
    }
    let hash = twice(&header);
    (
        header.into_iter().chain(body.iter().copied()).collect(),
        hash,
    )
}

fn coinbase(number: u8) -> Tx {
    tx(([0; 32], u32::MAX), &[1, number], 50_0000_0000, &[])
}

fn block(parent: [u8; 32], number: u8, rest: Option<&Tx>) -> (Vec<u8>, [u8; 32]) {
    let first = coinbase(number);
    let mut ids = vec![first.id()];
    let mut body = vec![1 + u8::from(rest.is_some())];
    body.extend(first.bytes());
    if let Some(rest) = rest {
        ids.push(rest.id());
        body.extend(rest.bytes());
    }
    mine(parent, root(&ids), &body)
}

/// A block whose coinbase commits to the witness of its other transaction.
fn witness_block(parent: [u8; 32]) -> (Vec<u8>, [u8; 32]) {
    let spend = tx(([9; 32], 1), &[], 5, &[2, 3, 1, 2, 3, 0]);
    let witness_root = root(&[[0; 32], twice(&spend.bytes())]);
    let commitment = twice(&[&witness_root[..], &[7; 32]].concat());
    let mut first = coinbase(3);
    // A third output, which holds the commitment.
    let count = first.core.iter().rposition(|byte| *byte == 2).unwrap();
    assert_eq!(count, 1 + 32 + 4 + 1 + 2 + 4 + 8 + 2 - 1);
    let outputs = 1 + 32 + 4 + 1 + 2 + 4;
    first.core[outputs] = 3;
    first.core.extend_from_slice(&0_u64.to_le_bytes());
    first
        .core
        .extend_from_slice(&[38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]);
    first.core.extend_from_slice(&commitment);
    first.witness = [&[1, 32][..], &[7; 32]].concat();
    let body = [&[2][..], &first.bytes(), &spend.bytes()].concat();
    mine(parent, root(&[first.id(), spend.id()]), &body)
}

fn frame(network: Network, block: &[u8]) -> Vec<u8> {
    [
        &network.magic()[..],
        &(block.len() as u32).to_le_bytes(),
        block,
    ]
    .concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn file_seeds() -> Vec<Seed> {
    let mut parent = [0; 32];
    let mut blocks = Vec::new();
    for number in 1..=3 {
        let spend = tx(([number; 32], 0), &[1, 2], 7, &[]);
        let (bytes, hash) = block(parent, number, (number % 2 == 0).then_some(&spend));
        blocks.push(bytes);
        parent = hash;
    }
    blocks.push(witness_block(parent).0);
    let framed: Vec<Vec<u8>> = blocks
        .iter()
        .map(|one| frame(Network::Regtest, one))
        .collect();
    let mut seeds = harmed("bitcoin_file", &[], &framed, &[0; 20]);
    let magic = Network::Regtest.magic();
    let plain = framed.concat();
    for (name, bytes) in [
        ("bare", blocks[0].clone()),
        ("bare-cut", blocks[0][..100].to_vec()),
        (
            "padded",
            [&[0; 50][..], &framed[0], &[0; 3], &framed[1]].concat(),
        ),
        ("length-bomb", [&magic[..], &[0xff; 4], &[1; 50]].concat()),
        (
            "length-at-limit",
            [&magic[..], &[0, 0, 0, 2], &[1; 50]].concat(),
        ),
        ("length-0", [&magic[..], &[0; 4], &framed[1]].concat()),
        (
            "other-network",
            [&framed[0][..], &frame(Network::Mainnet, &blocks[1])].concat(),
        ),
        ("gzip", gzip(&plain)),
        ("gzip-cut", gzip(&plain)[..200].to_vec()),
        ("gzip-twice", [gzip(&framed[0]), gzip(&framed[1])].concat()),
        ("gzip-bomb", gzip(&vec![0; 1 << 20])),
        ("bzip2-magic", b"BZh91AY&SY no blocks".to_vec()),
        ("zstd-magic", vec![0x28, 0xb5, 0x2f, 0xfd, 4, 0, 0, 0, 0]),
        (
            "zstd-skippable",
            vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9],
        ),
        ("masked", plain.iter().map(|byte| byte ^ 0x5a).collect()),
    ] {
        seeds.push(seed("bitcoin_file", name, &bytes));
    }
    seeds
}

fn block_seeds() -> Vec<Seed> {
    let spend = tx(([4; 32], 0), &[1, 2], 7, &[]);
    let (good, _) = block([0; 32], 1, Some(&spend));
    let (witness, _) = witness_block([0; 32]);
    let first = coinbase(1).bytes();
    let with = |body: &[&[u8]]| mine([0; 32], [0; 32], &body.concat()).0;
    let cases = [
        ("plain", good.clone()),
        ("witness", witness),
        ("cut", good[..good.len() - 10].to_vec()),
        ("trailing", [&good[..], &[0]].concat()),
        ("without-transactions", with(&[&[0]])),
        ("count-bomb", with(&[&[0xff; 9]])),
        ("count-not-minimal", with(&[&[0xfd, 1, 0], &first])),
        ("two-coinbases", with(&[&[2], &first, &first])),
        ("without-coinbase", with(&[&[1], &spend.bytes()])),
        (
            "mutated",
            with(&[&[4], &first, &spend.bytes(), &first, &spend.bytes()]),
        ),
        ("header-alone", good[..80].to_vec()),
    ];
    let mut seeds: Vec<Seed> = cases
        .iter()
        .map(|(name, bytes)| seed("bitcoin_block", name, bytes))
        .collect();
    let witness = tx(([9; 32], 1), &[], 5, &[2, 3, 1, 2, 3, 0]);
    for (name, bytes) in [
        ("plain", spend.bytes()),
        ("coinbase", first),
        ("witness", witness.bytes()),
        ("witness-empty", tx(([9; 32], 1), &[], 5, &[0]).bytes()),
        ("witness-bomb", tx(([9; 32], 1), &[], 5, &[0xff; 9]).bytes()),
        ("flag-2", [&[2, 0, 0, 0, 0, 2][..], &witness.core].concat()),
        (
            "script-bomb",
            [&[2, 0, 0, 0, 1][..], &[4; 36], &[0xfe; 5], &[0; 30]].concat(),
        ),
        ("too-much", tx(([9; 32], 1), &[], u64::MAX, &[]).bytes()),
        (
            "limit",
            tx(([9; 32], 1), &[], 2_100_000_000_000_000, &[]).bytes(),
        ),
    ] {
        seeds.push(seed("bitcoin_transaction", name, &bytes));
    }
    seeds
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = file_seeds();
    seeds.extend(block_seeds());
    let cases: [(&str, &[u8]); 10] = [
        ("good", &[1, 0x55, 0x80, 0x01, 0x76, 0xa9, 0x14]),
        ("outpoint", &[7; 36]),
        ("outpoint-short", &[7; 35]),
        ("version-2", &[2, 0, 0]),
        ("height-too-large", &[1, 0x80, 0x80, 0x80, 0x80, 0x20, 0]),
        ("not-minimal", &[1, 0x80, 0x00, 0]),
        (
            "number-without-end",
            &[
                1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
        ),
        (
            "value-too-large",
            &[1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ),
        ("height-in-script", &[3, 0x40, 0x0d, 0x03]),
        ("op-return", &[0x6a]),
    ];
    for (name, bytes) in cases {
        seeds.push(seed("bitcoin_unspent", name, bytes));
    }
    let mut row = vec![1];
    row.extend_from_slice(&Network::Regtest.magic());
    row.push(1);
    row.extend(
        [260_u64, 1 << 40, 7]
            .iter()
            .flat_map(|number| number.to_le_bytes()),
    );
    seeds.push(seed("bitcoin_state", "good", &row));
    seeds.push(seed("bitcoin_state", "cut", &row[..29]));
    seeds.push(seed("bitcoin_state", "long", &[&row[..], &[0]].concat()));
    for (name, at, value) in [("version", 0, 2), ("network", 1, 9), ("coverage", 5, 2)] {
        let mut wrong = row.clone();
        wrong[at] = value;
        seeds.push(seed("bitcoin_state", name, &wrong));
    }
    seeds.push(seed(
        "bitcoin_state",
        "largest",
        &[&row[..6], &[0xff; 24]].concat(),
    ));
    seeds
}
