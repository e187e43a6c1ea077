//! Blocks of Antelope with each form of transaction, logs of every version, indexes, and what is
//! made to break their readers. Written by hand from the sources of nodeos.

use std::io::Write;

use chain_store::chain_files::Hash;
use sha2::{Digest, Sha256};

use super::{Seed, harmed, seed};

fn sha(parts: &[&[u8]]) -> Hash {
    Sha256::digest(parts.concat()).into()
}

fn count(value: usize) -> Vec<u8> {
    let (mut out, mut left) = (Vec::new(), value);
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [count(bytes.len()), bytes.to_vec()].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Id,
    Plain,
    Zlib,
    Full,
    Pruned,
}

/// A receipt as it stands in a block. The root is settled by the target itself.
fn receipt(form: Form, body: &[u8]) -> Vec<u8> {
    let head = [&[0][..], &1234_u32.to_le_bytes(), &count(300)].concat();
    let signatures = [&[1, 0][..], &[5; 65]].concat();
    let context_free = string(b"context");
    match form {
        Form::Id => [&head[..], &[0], &sha(&[body])].concat(),
        Form::Plain => [
            &head[..],
            &[1],
            &signatures,
            &[0],
            &context_free,
            &string(body),
        ]
        .concat(),
        Form::Zlib => {
            let packed = string(&zlib(body));
            [&head[..], &[1], &signatures, &[1], &context_free, &packed].concat()
        }
        Form::Full => {
            let packed = string(body);
            [&head[..], &[1, 0, 0], &signatures, &context_free, &packed].concat()
        }
        Form::Pruned => [&head[..], &[1, 0, 1], &[6; 32], &string(body)].concat(),
    }
}

struct Block {
    bytes: Vec<u8>,
    id: Hash,
}

/// The header and the signature; web keys, producers and an extension where `rich`.
fn head(previous: Hash, root: Hash, rich: bool) -> (Vec<u8>, Hash) {
    let number = u32::from_be_bytes(previous[..4].try_into().unwrap()).wrapping_add(1);
    let mut header = vec![7; 14];
    header.extend_from_slice(&previous);
    header.extend_from_slice(&root);
    header.extend_from_slice(&[8; 32]);
    header.extend_from_slice(&0_u32.to_le_bytes());
    if rich {
        header.extend_from_slice(&[1, 0, 0, 0, 0, 2]);
        header.extend_from_slice(&[&[9; 8][..], &[0], &[1; 33]].concat());
        header.extend_from_slice(&[&[9; 8][..], &[2], &[3; 34], &string(b"example.org")].concat());
        header.extend_from_slice(&[&[1, 5, 0][..], &string(b"extension")].concat());
    } else {
        header.extend_from_slice(&[0, 0]);
    }
    let mut id = sha(&[&header]);
    id[..4].copy_from_slice(&number.to_be_bytes());
    if rich {
        header.extend_from_slice(&[&[2][..], &[4; 65], &string(&[1; 40]), &string(b"{}")].concat());
    } else {
        header.extend_from_slice(&[&[0][..], &[4; 65]].concat());
    }
    (header, id)
}

fn block(previous: Hash, (root, receipts): (Hash, &[Vec<u8>]), state: &[u8]) -> Block {
    let (mut bytes, id) = head(previous, root, !receipts.is_empty());
    bytes.extend_from_slice(state);
    bytes.extend(count(receipts.len()));
    bytes.extend(receipts.concat());
    bytes.extend_from_slice(&[&[1, 2, 0][..], &string(&[6; 50])].concat());
    Block { bytes, id }
}

/// The digest of a receipt of the form `Id`, which is the root of a block that has it alone.
fn root_of_id(receipt: &[u8]) -> Hash {
    let (head, id) = receipt.split_at(receipt.len() - 33);
    sha(&[head, &id[1..]])
}

fn preamble(version: u32, first: u32) -> Vec<u8> {
    let genesis = [&[1; 8][..], &[0; 34], &[3; 68]].concat();
    let mut bytes = version.to_le_bytes().to_vec();
    if version > 1 {
        bytes.extend_from_slice(&first.to_le_bytes());
    }
    if version < 3 || first == 1 {
        bytes.extend(genesis);
    } else {
        bytes.extend_from_slice(&sha(&[&genesis]));
    }
    if version > 1 {
        bytes.extend_from_slice(&[0xff; 8]);
    }
    bytes
}

/// The parent of the first block of a log.
fn before(first: u32) -> Hash {
    let mut previous = [3; 32];
    previous[..4].copy_from_slice(&(first - 1).to_be_bytes());
    previous
}

/// Entries of a log: blocks, every second one with a transaction.
fn entries(version: u32, first: u32, number: usize) -> Vec<Vec<u8>> {
    let mut previous = before(first);
    let mut at = preamble(version, first).len() as u64;
    let state: &[u8] = if version == 4 { &[1] } else { &[] };
    let entries = (0..number).map(|place| {
        let id = receipt(Form::Id, &[place as u8; 50]);
        let block = match place % 2 {
            0 => block(previous, ([0; 32], &[]), state),
            _ => block(previous, (root_of_id(&id), &[id]), state),
        };
        previous = block.id;
        let mut entry = Vec::new();
        if version == 4 {
            entry.extend_from_slice(&(block.bytes.len() as u32 + 5 + 8 + 10).to_le_bytes());
            entry.push(0);
        }
        entry.extend(block.bytes);
        if version == 4 {
            entry.extend_from_slice(&[0; 10]);
        }
        entry.extend_from_slice(&at.to_le_bytes());
        at += entry.len() as u64;
        entry
    });
    entries.collect()
}

fn log_seeds() -> Vec<Seed> {
    let mut seeds = harmed("antelope_log", &preamble(3, 7), &entries(3, 7, 4), &[]);
    for (name, version, first) in [
        ("version-1", 1, 1),
        ("version-2", 2, 1),
        ("version-2-late", 2, 9),
        ("version-3-from-1", 3, 1),
        ("version-4", 4, 5),
    ] {
        let log = [
            preamble(version, first),
            entries(version, first, 3).concat(),
        ]
        .concat();
        seeds.push(seed("antelope_log", name, &log));
    }
    let (good, four) = (preamble(3, 7), preamble(4, 7));
    let (header, _) = head(before(7), [0; 32], false);
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for (name, parts) in [
        ("count-bomb", vec![&good[..], &header, &bomb]),
        (
            "body-bomb",
            vec![&good, &header, &[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &bomb],
        ),
        ("entry-length-bomb", vec![&four, &[0xff; 20]]),
        ("entry-too-short", vec![&four, &[12, 0, 0, 0, 0], &[0; 30]]),
        (
            "entry-compressed",
            vec![&four, &[200, 0, 0, 0, 1], &[0; 200]],
        ),
        ("trailer-alone", vec![&good, &[0xff; 8]]),
        ("trailer-to-itself", vec![&good, &48_u64.to_le_bytes()[..]]),
    ] {
        seeds.push(seed("antelope_log", name, &parts.concat()));
    }
    seeds
}

fn block_seeds() -> Vec<Seed> {
    let body = [5; 300];
    let previous = before(9);
    let mut seeds = Vec::new();
    for (name, forms, state) in [
        ("empty", &[][..], &[][..]),
        ("plain", &[Form::Id, Form::Plain, Form::Zlib], &[]),
        ("prunable", &[Form::Id, Form::Full, Form::Pruned], &[2]),
        ("many", &[Form::Id; 40], &[]),
    ] {
        let receipts: Vec<_> = forms.iter().map(|form| receipt(*form, &body)).collect();
        let block = block(previous, ([0; 32], &receipts), state);
        seeds.push(seed("antelope_block", name, &block.bytes));
    }
    let mut last = [0xff; 32];
    let over = block(last, ([0; 32], &[]), &[]);
    seeds.push(seed("antelope_block", "past-the-last-number", &over.bytes));
    last[3] = 0xfe;
    seeds.push(seed(
        "antelope_block",
        "last-number",
        &block(last, ([0; 32], &[]), &[]).bytes,
    ));
    let bomb = zlib(&vec![0; 300_000]);
    let mut packed = receipt(Form::Zlib, &[]);
    packed.truncate(packed.len() - string(&zlib(&[])).len());
    packed.extend(string(&bomb));
    let block = block(previous, ([0; 32], &[packed]), &[]);
    seeds.push(seed("antelope_block", "zlib-bomb", &block.bytes));
    let (header, _) = head(previous, [0; 32], false);
    for (name, rest) in [
        ("long-count", &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01][..]),
        ("count-with-zero", &[0x80, 0x00]),
        ("count-bomb", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("other-kind", &[1, 0, 0, 0, 0, 0, 0, 9]),
    ] {
        seeds.push(seed("antelope_block", name, &[&header, rest].concat()));
    }
    seeds
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = log_seeds();
    seeds.extend(block_seeds());
    for (name, version, first) in [
        ("version-1", 1, 1),
        ("version-2", 2, 1),
        ("version-3", 3, 100),
        ("version-3-from-1", 3, 1),
        ("version-4", 4, u32::MAX),
        ("version-0", 0, 1),
        ("version-5", 5, 1),
        ("pruned", (1 << 31) | 4, 1),
        ("first-0", 3, 0),
    ] {
        seeds.push(seed("antelope_preamble", name, &preamble(version, first)));
    }
    let mut key_bomb = preamble(1, 1);
    key_bomb.splice(
        12..46,
        [&[2][..], &[0; 34], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
    );
    seeds.push(seed("antelope_preamble", "key-bomb", &key_bomb));
    let mut mark = preamble(3, 100);
    mark[44] = 0;
    seeds.push(seed("antelope_preamble", "other-mark", &mark));

    let (head, parts) = (preamble(3, 7), entries(3, 7, 3));
    let log = [&head[..], &parts.concat()].concat();
    let mut offsets = vec![head.len() as u64];
    for part in &parts[..2] {
        offsets.push(offsets[offsets.len() - 1] + part.len() as u64);
    }
    let index = |offsets: &[u64]| {
        let bytes: Vec<u8> = offsets.iter().flat_map(|at| at.to_le_bytes()).collect();
        [&(log.len() as u16).to_le_bytes()[..], &log, &bytes].concat()
    };
    let good = index(&offsets);
    seeds.push(seed("antelope_index", "good", &good));
    seeds.push(seed("antelope_index", "cut", &good[..good.len() - 3]));
    seeds.push(seed("antelope_index", "short", &index(&offsets[..2])));
    seeds.push(seed(
        "antelope_index",
        "long",
        &index(&[&offsets[..], &[9]].concat()),
    ));
    seeds.push(seed(
        "antelope_index",
        "swapped",
        &index(&[offsets[1], offsets[0], offsets[2]]),
    ));
    seeds.push(seed("antelope_index", "bomb", &index(&[u64::MAX; 3])));
    seeds.push(seed("antelope_index", "without-log", &[0, 0, 1, 2, 3]));
    seeds
}
