//! Logs of every version, written by hand from the sources of nodeos, since only version 2 is at
//! hand as a real file.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};

use super::{Layout, LogReader, LogWalker, LogWriter, Preamble, decode_block};
use crate::error::{Fault, Hash};
use crate::input::ReadOptions;

const K1_KEY: [u8; 34] = [0; 34];

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

/// A receipt as it stands in a block, its digest and the transaction's id.
struct Receipt {
    bytes: Vec<u8>,
    digest: Hash,
    id: Hash,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Id,
    Plain { zlib: bool },
    Full,
    Pruned,
}

fn receipt(form: Form, body: &[u8]) -> Receipt {
    let head = [&[0][..], &1234_u32.to_le_bytes(), &count(300)].concat();
    let id = sha(&[body]);
    if form == Form::Id {
        let bytes = [&head[..], &[0], &id].concat();
        return Receipt {
            bytes,
            digest: sha(&[&head, &id]),
            id,
        };
    }
    let signatures = [&[1, 0][..], &[5; 65]].concat();
    let context_free = string(b"context");
    let zlib = form == Form::Plain { zlib: true };
    let packed = if zlib {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        string(&encoder.finish().unwrap())
    } else {
        string(body)
    };
    let compression = [u8::from(zlib)];
    let prunable = sha(&[&signatures, &context_free]);
    let signed = sha(&[&compression, &packed, &prunable]);
    let bytes = match form {
        Form::Full => [
            &head[..],
            &[1],
            &compression,
            &[0],
            &signatures,
            &context_free,
            &packed,
        ]
        .concat(),
        Form::Pruned => [&head[..], &[1], &compression, &[1], &prunable, &packed].concat(),
        _ => [
            &head[..],
            &[1],
            &signatures,
            &compression,
            &context_free,
            &packed,
        ]
        .concat(),
    };
    Receipt {
        bytes,
        digest: sha(&[&head, &signed]),
        id,
    }
}

fn root(digests: &[Hash]) -> Hash {
    let join = |left: Hash, right: Hash| {
        let (mut left, mut right) = (left, right);
        left[0] &= 0x7f;
        right[0] |= 0x80;
        sha(&[&left, &right])
    };
    match digests {
        [] => [0; 32],
        [one] => *one,
        [a, b] => join(*a, *b),
        [a, b, c] => join(join(*a, *b), join(*c, *c)),
        _ => panic!("not needed"),
    }
}

struct Block {
    bytes: Vec<u8>,
    id: Hash,
    tx_ids: Vec<Hash>,
}

fn block(previous: Hash, layout: Layout, receipts: &[Receipt], schedule_version: u32) -> Block {
    let digests: Vec<Hash> = receipts.iter().map(|receipt| receipt.digest).collect();
    let number = u32::from_be_bytes(previous[..4].try_into().unwrap()) + 1;
    let mut header = vec![7; 14];
    header.extend_from_slice(&previous);
    header.extend_from_slice(&root(&digests));
    header.extend_from_slice(&[8; 32]);
    header.extend_from_slice(&schedule_version.to_le_bytes());
    // New producers: one with each kind of key, and a header extension.
    header.extend_from_slice(&[1, 0, 0, 0, 0, 3]);
    header.extend_from_slice(
        &[[&[9; 8][..], &[0], &[1; 33]], [&[9; 8], &[1], &[2; 33]]]
            .concat()
            .concat(),
    );
    header.extend_from_slice(&[&[9; 8][..], &[2], &[3; 34], &string(b"example.org")].concat());
    header.extend_from_slice(&[&[1, 5, 0][..], &string(b"extension")].concat());
    let mut id = sha(&[&header]);
    id[..4].copy_from_slice(&number.to_be_bytes());
    let mut bytes = header;
    // A signature by web authentication, and a block extension at the end.
    bytes.extend_from_slice(&[&[2][..], &[4; 65], &string(&[1; 40]), &string(b"{}")].concat());
    if layout == Layout::Prunable {
        bytes.push(1);
    }
    bytes.extend(count(receipts.len()));
    for receipt in receipts {
        bytes.extend_from_slice(&receipt.bytes);
    }
    bytes.extend_from_slice(&[&[1, 2, 0][..], &string(&[6; 200])].concat());
    let tx_ids = receipts.iter().map(|receipt| receipt.id).collect();
    Block { bytes, id, tx_ids }
}

fn genesis() -> Vec<u8> {
    [&[1; 8][..], &K1_KEY, &[3; 68]].concat()
}

fn preamble(version: u32, first: u32) -> Preamble {
    let mut bytes = version.to_le_bytes().to_vec();
    if version > 1 {
        bytes.extend_from_slice(&first.to_le_bytes());
    }
    if version < 3 || first == 1 {
        bytes.extend(genesis());
    } else {
        bytes.extend_from_slice(&sha(&[&genesis()]));
    }
    if version > 1 {
        bytes.extend_from_slice(&[0xff; 8]);
    }
    let preamble = Preamble::parse(&bytes).unwrap();
    assert_eq!(preamble.bytes(), bytes);
    preamble
}

fn chain(layout: Layout, first: u32) -> Vec<Block> {
    let mut previous = [3; 32];
    previous[..4].copy_from_slice(&(first - 1).to_be_bytes());
    let forms = match layout {
        Layout::Plain => [
            Form::Id,
            Form::Plain { zlib: false },
            Form::Plain { zlib: true },
        ],
        Layout::Prunable => [Form::Id, Form::Full, Form::Pruned],
    };
    (0..4)
        .map(|length| {
            let receipts: Vec<Receipt> = forms[..length]
                .iter()
                .map(|form| receipt(*form, &vec![length as u8; 500]))
                .collect();
            let block = block(previous, layout, &receipts, 0);
            previous = block.id;
            block
        })
        .collect()
}

#[test]
fn logs_of_every_version_there_and_back() {
    for (version, first) in [(1, 1), (2, 1), (2, 70), (3, 1), (3, 70), (4, 1), (4, 70)] {
        let preamble = preamble(version, first);
        assert_eq!(
            (preamble.version(), preamble.first_block()),
            (version, first)
        );
        assert_eq!(preamble.chain_id(), sha(&[&genesis()]));
        let blocks = chain(preamble.layout(), first);
        let mut writer = LogWriter::new(Vec::new(), preamble.clone()).unwrap();
        for block in &blocks {
            // The room that pruning left, which only version 4 has.
            let padding = if version == 4 { 11 } else { 0 };
            let padded = [&block.bytes[..], &vec![0; padding]].concat();
            writer.write_block(&padded).unwrap();
        }
        let log = writer.finish().unwrap();
        let mut again = LogWriter::new(Vec::new(), preamble).unwrap();
        let mut reader = LogReader::new(&log[..], ReadOptions::default()).unwrap();
        for (block, number) in blocks.iter().zip(first..) {
            let read = reader.next_block().unwrap().unwrap();
            assert_eq!((read.number, read.hash), (u64::from(number), block.id));
            assert_eq!(read.tx_ids, block.tx_ids, "version {version}");
            again.write_block(read.body).unwrap();
        }
        assert!(reader.next_block().unwrap().is_none());
        assert!(
            again.finish().unwrap() == log,
            "version {version}: other bytes"
        );
        let mut walker = LogWalker::new(Cursor::new(&log), ReadOptions::default()).unwrap();
        for block in blocks.iter().rev() {
            assert_eq!(walker.next_block().unwrap().unwrap().hash, block.id);
        }
        assert!(walker.next_block().unwrap().is_none());
    }
}

/// The bytes of an entry in version 4, by hand.
#[test]
fn entries_of_version_4() {
    let blocks = chain(Layout::Prunable, 1);
    let mut writer = LogWriter::new(Vec::new(), preamble(4, 1)).unwrap();
    let offset = writer.write_block(&blocks[0].bytes).unwrap();
    let log = writer.finish().unwrap();
    let length = (blocks[0].bytes.len() + 13) as u32;
    let entry = [
        &length.to_le_bytes()[..],
        &[0],
        &blocks[0].bytes,
        &offset.to_le_bytes(),
    ]
    .concat();
    assert_eq!(log[offset as usize..], entry);
    let mut compressed = log.clone();
    compressed[offset as usize + 4] = 1;
    let mut reader = LogReader::new(&compressed[..], ReadOptions::default()).unwrap();
    let fault = reader.next_block().unwrap_err().fault;
    assert!(
        matches!(fault, Fault::Unsupported { found: 1, .. }),
        "{fault}"
    );
}

#[test]
fn preambles_that_are_refused() {
    let good = preamble(3, 70).bytes().to_vec();
    let parse = |at: usize, bytes: [u8; 4]| {
        let mut changed = good.clone();
        changed[at..at + 4].copy_from_slice(&bytes);
        Preamble::parse(&changed).unwrap_err()
    };
    for version in [0, 5, 3 | 1 << 31, u32::MAX] {
        let fault = parse(0, version.to_le_bytes());
        assert!(
            matches!(fault, Fault::Unsupported { .. }),
            "version {version}: {fault}"
        );
    }
    assert!(matches!(parse(4, [0; 4]), Fault::Unsupported { .. }));
    assert!(matches!(parse(40, [0; 4]), Fault::Value { .. }));
    for cut in 0..good.len() {
        assert!(matches!(
            Preamble::parse(&good[..cut]),
            Err(Fault::Overrun { .. })
        ));
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(
        Preamble::parse(&longer),
        Err(Fault::Trailing { .. })
    ));
    for layout in [Layout::Plain, Layout::Prunable] {
        assert!(Preamble::from_chain_id_as([1; 32], 1, layout).is_err());
        let made = Preamble::from_chain_id_as([1; 32], 2, layout).unwrap();
        assert_eq!(Preamble::parse(made.bytes()).unwrap(), made);
        assert_eq!(made.layout(), layout);
    }
}

#[test]
fn transactions_are_held_by_the_root() {
    let blocks = chain(Layout::Plain, 1);
    let mut tx_ids = Vec::new();
    let block = &blocks[3];
    let facts = decode_block(&block.bytes, Layout::Plain, &mut tx_ids).unwrap();
    assert_eq!((facts.number, facts.id), (4, block.id));
    assert_eq!(facts.length_bytes, block.bytes.len() as u64);
    for cut in 0..block.bytes.len() {
        let fault = decode_block(&block.bytes[..cut], Layout::Plain, &mut tx_ids).unwrap_err();
        assert!(
            matches!(fault, Fault::Overrun { .. }),
            "cut at {cut}: {fault}"
        );
    }
    let place = block
        .bytes
        .windows(32)
        .position(|part| part == block.tx_ids[0])
        .unwrap();
    let mut changed = block.bytes.clone();
    changed[place] ^= 1;
    let fault = decode_block(&changed, Layout::Plain, &mut tx_ids).unwrap_err();
    assert!(matches!(fault, Fault::Mismatch { .. }), "{fault}");
    // Savanna has another rule, which is not checked.
    let receipts = [receipt(Form::Id, b"one")];
    let mut savanna = self::block([0; 32], Layout::Plain, &receipts, 1 << 31).bytes;
    savanna[14 + 32] ^= 1;
    decode_block(&savanna, Layout::Plain, &mut tx_ids).unwrap();
}

#[test]
fn counts_have_one_form() {
    let block = &chain(Layout::Plain, 1)[0];
    // The count of header extensions stands before the extension and the signature.
    let place = block
        .bytes
        .windows(3)
        .position(|part| part == [1, 5, 0])
        .unwrap();
    for form in [
        &[0x81, 0x00][..],
        &[0x81, 0x80, 0x80, 0x80, 0x10],
        &[0x81, 0x80, 0x80, 0x80, 0x80],
    ] {
        let mut changed = block.bytes.clone();
        changed.splice(place..=place, form.iter().copied());
        let fault = decode_block(&changed, Layout::Plain, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(fault, Fault::NotCanonical { .. }),
            "{form:02x?}: {fault}"
        );
    }
}

#[test]
fn number_zero_does_not_come_after_the_last() {
    let mut block = chain(Layout::Plain, 1).remove(0).bytes;
    block[14..18].fill(0xff);
    let fault = decode_block(&block, Layout::Plain, &mut Vec::new()).unwrap_err();
    assert!(matches!(fault, Fault::OverLimit { .. }), "{fault}");
}
