//! Files that were cut, flipped, padded, masked, mixed up or made of noise: every one gives a
//! typed error with its place, and every record before the error comes out.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::OnceLock;

use super::builder::{HARD_BITS, Random, TestTx, block, block_at, committed, frame, witness_spend};
use crate::bitcoin::wire::Cursor as Bytes;
use crate::bitcoin::{
    Block, BlockFile, BtcHash, DecodeFault, DecodedBlock, Error, Header, Network, OutPoint,
    RECORD_BYTES_MAX, Result, Transaction, UnspentOutput, coinbase_height,
};

const SEED: u64 = 0x00b1_0c4f_11e5;

fn open(bytes: Vec<u8>) -> Result<BlockFile> {
    BlockFile::from_reader(Path::new("test.dat"), Cursor::new(bytes))
}

/// The blocks up to the end or the first error.
fn drain(bytes: Vec<u8>) -> (Vec<DecodedBlock>, Option<Error>) {
    let mut file = match open(bytes) {
        Ok(file) => file,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut blocks = Vec::new();
    while let Some(next) = file.next() {
        match next {
            Ok(block) => blocks.push(block),
            Err(error) => {
                assert!(file.next().is_none(), "nothing comes after an error");
                assert!(file.next_record().unwrap().is_none());
                return (blocks, Some(error));
            }
        }
    }
    (blocks, None)
}

/// Two linked blocks: a plain one and one with witnesses, mined so hard that no changed header
/// passes by luck.
fn two_blocks() -> [Vec<u8>; 2] {
    static BLOCKS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let make = || {
        let plain = [TestTx::coinbase(&[1, 100]), TestTx::spend([4; 32], 0)];
        let first = block_at(HARD_BITS, BtcHash::ZERO, &plain);
        let parent = Header::decode(&first).unwrap().hash;
        let second = block_at(HARD_BITS, parent, &committed(vec![witness_spend()]));
        [first, second]
    };
    BLOCKS.get_or_init(make).clone()
}

fn framed(blocks: &[Vec<u8>]) -> Vec<u8> {
    blocks
        .iter()
        .flat_map(|block| frame(Network::Regtest, block))
        .collect()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn whole(bytes: Vec<u8>, blocks: &[Vec<u8>]) {
    let (found, error) = drain(bytes);
    assert!(error.is_none(), "{error:?}");
    let found: Vec<_> = found
        .into_iter()
        .map(|found| found.block.into_bytes())
        .collect();
    assert_eq!(found, blocks);
}

#[test]
fn every_compression_and_padding_gives_the_same_blocks() {
    let blocks = two_blocks();
    let plain = framed(&blocks);
    let zeros = vec![0; 200_000];
    let first = frame(Network::Regtest, &blocks[0]);
    let second = frame(Network::Regtest, &blocks[1]);
    let padded = [&zeros[..], &first, &[0; 3], &second, &zeros].concat();
    for framed in [&plain, &padded] {
        for file in [framed.clone(), bzip2(framed), gzip(framed), zstd(framed)] {
            whole(file, &blocks);
        }
    }
    // Several streams in one file, as parallel compressors write them.
    whole([bzip2(&first), bzip2(&second)].concat(), &blocks);
    whole([gzip(&first), gzip(&second)].concat(), &blocks);
    whole([zstd(&first), zstd(&second)].concat(), &blocks);
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9],
        &zstd(&plain)[..],
    ]
    .concat();
    whole(skippable, &blocks);
    for bare in &blocks {
        for file in [bare.clone(), bzip2(bare), gzip(bare), zstd(bare)] {
            whole(file, std::slice::from_ref(bare));
        }
    }
    // Only preallocated space: no blocks, and no error.
    whole(zeros, &[]);
    let offsets: Vec<_> = drain(padded)
        .0
        .iter()
        .map(|found| found.position.offset)
        .collect();
    assert_eq!(offsets, [200_000, 200_000 + first.len() as u64 + 3]);
}

#[test]
fn a_file_cut_at_any_byte_gives_what_was_before_and_names_the_place() {
    let blocks = two_blocks();
    let plain = framed(&blocks);
    let second_at = 8 + blocks[0].len();
    for cut in 0..plain.len() {
        let (found, error) = drain(plain[..cut].to_vec());
        assert_eq!(found.len(), usize::from(cut >= second_at), "cut at {cut}");
        if cut == second_at {
            assert!(error.is_none(), "a cut between records cannot be seen");
            continue;
        }
        let Some(Error::Truncated {
            at,
            wanted_bytes,
            got_bytes,
            source: None,
        }) = error
        else {
            panic!("cut at {cut}: {error:?}");
        };
        let start = if cut > second_at { second_at } else { 0 };
        assert_eq!((at.record, at.offset), (found.len() as u64, start as u64));
        assert_eq!(&*at.file, Path::new("test.dat"));
        assert_eq!(got_bytes, (cut - start) as u64);
        let record_bytes = 8 + blocks[found.len()].len() as u64;
        let known = match got_bytes {
            0 => None,
            1..8 => Some(8),
            _ => Some(record_bytes),
        };
        assert_eq!(wanted_bytes, known, "cut at {cut}");
    }
}

#[test]
fn a_bare_block_cut_at_any_byte_is_truncated_or_unknown() {
    let [bare, _] = two_blocks();
    for cut in 0..bare.len() {
        let (found, error) = drain(bare[..cut].to_vec());
        assert!(found.is_empty());
        match error {
            Some(Error::Truncated { at, got_bytes, .. }) => {
                assert!(!(7..80).contains(&cut), "cut at {cut}");
                assert_eq!((at.record, at.offset + got_bytes), (0, cut as u64));
            }
            Some(Error::UnknownFormat { .. }) => assert!(cut < 80),
            // The version of a modern block begins with three zeros, like preallocated space.
            None => assert!((1..4).contains(&cut), "cut at {cut}"),
            // A count that no longer fits in what is left is found before the end is.
            Some(Error::Decode { source, .. }) => {
                assert!(
                    matches!(source.fault, DecodeFault::Count { .. }),
                    "{source}"
                );
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_file_is_noticed() {
    let blocks = two_blocks();
    let plain = framed(&blocks);
    for at in 0..plain.len() {
        for bit in 0..8 {
            let mut flipped = plain.clone();
            flipped[at] ^= 1 << bit;
            let (found, error) = drain(flipped);
            let Some(error) = error else {
                panic!("bit {bit} of byte {at} went unnoticed")
            };
            let record = usize::from(at >= 8 + blocks[0].len());
            assert_eq!(found.len(), record, "byte {at} bit {bit}: {error}");
            assert!(!matches!(
                error,
                Error::Open { .. } | Error::Read { .. } | Error::Damaged { .. }
            ));
            if let Some(place) = error.position() {
                assert_eq!(place.record, record as u64);
            }
        }
    }
}

#[test]
fn a_bare_block_with_any_flipped_bit_is_refused() {
    let [_, bare] = two_blocks();
    for at in 0..bare.len() {
        for bit in 0..8 {
            let mut flipped = bare.clone();
            flipped[at] ^= 1 << bit;
            let (found, error) = drain(flipped);
            assert!(
                found.is_empty() && error.is_some(),
                "bit {bit} of byte {at}"
            );
        }
    }
}

#[test]
fn damaged_and_cut_compressed_files_are_told_apart() {
    let blocks = two_blocks();
    let plain = framed(&blocks);
    for (name, file) in [
        ("bzip2", bzip2(&plain)),
        ("gzip", gzip(&plain)),
        ("zstd", zstd(&plain)),
    ] {
        for cut in 20..file.len() {
            let (_, error) = drain(file[..cut].to_vec());
            let Some(Error::Truncated { .. }) = error else {
                panic!("{name} cut at {cut} of {}: {error:?}", file.len());
            };
        }
        let mut damaged = 0;
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x10;
            let (found, error) = drain(flipped);
            damaged += usize::from(matches!(error, Some(Error::Damaged { .. })));
            // A few header bytes of gzip (time, system) carry no meaning; what comes out is whole.
            assert!(error.is_some() || found.len() == 2, "{name} byte {at}");
        }
        // Elsewhere the block decoder meets wrong bytes before the decompressor its checksum.
        eprintln!(
            "{name}: {damaged} of {} found by the decompressor",
            file.len()
        );
        assert!(
            damaged > file.len() / 12,
            "{name}: {damaged} of {}",
            file.len()
        );
    }
    // A bad checksum shows only after the last record, which was whole.
    let mut file = gzip(&plain);
    let crc_at = file.len() - 8;
    file[crc_at] ^= 1;
    let (found, error) = drain(file);
    assert_eq!(found.len(), 2);
    let Some(Error::Damaged { at, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((at.record, at.offset), (2, plain.len() as u64));
}

#[test]
fn a_length_bomb_allocates_nothing_for_what_does_not_come() {
    let magic = Network::Mainnet.magic();
    let over = (RECORD_BYTES_MAX as u32 + 1).to_le_bytes();
    for length in [over, [0xff; 4]] {
        let error = drain([&magic[..], &length, &[1; 100]].concat()).1.unwrap();
        assert!(matches!(error, Error::RecordLength { .. }), "{error}");
    }
    let mut file = open([&magic[..], &over, &[1; 100]].concat()).unwrap();
    assert!(file.next_record().is_err());
    assert!(
        file.next_record().unwrap().is_none(),
        "nothing comes after an error"
    );
    let most = (RECORD_BYTES_MAX as u32).to_le_bytes();
    let error = drain([&magic[..], &most, &[1; 100]].concat()).1.unwrap();
    let Error::Truncated {
        wanted_bytes,
        got_bytes,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((wanted_bytes, got_bytes), (Some(RECORD_BYTES_MAX + 8), 108));
    // A bare block that never ends is given up at the limit.
    let [bare, _] = two_blocks();
    let endless = Cursor::new(bare).chain(std::io::repeat(1));
    let error = BlockFile::from_reader(Path::new("-"), endless)
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, Error::RecordLength { length_bytes, .. } if length_bytes > RECORD_BYTES_MAX)
    );
    // A decompression bomb of zeros is walked in constant memory.
    whole(zstd(&vec![0; 10_000_000]), &[]);
}

#[test]
fn other_bytes_between_records_are_an_error() {
    let blocks = two_blocks();
    let [first, second] = [&blocks[0], &blocks[1]].map(|block| frame(Network::Regtest, block));
    let (found, error) = drain([&first[..], &[0, 0, 7], &second].concat());
    let Some(Error::Magic {
        at,
        expected,
        found: magic,
    }) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (found.len(), at.record, at.offset),
        (1, 1, first.len() as u64 + 2)
    );
    assert_eq!(expected, Network::Regtest);
    assert_eq!(magic, [7, second[0], second[1], second[2]]);
    let mixed = [&first[..], &frame(Network::Signet, &blocks[1])].concat();
    assert!(matches!(
        drain(mixed).1,
        Some(Error::Magic {
            found: [0x0a, 0x03, 0xcf, 0x40],
            ..
        })
    ));
    let empty = [&first[..], &frame(Network::Regtest, &[])].concat();
    let Some(Error::Decode { at, source }) = drain(empty).1 else {
        panic!()
    };
    assert_eq!(at.record, 1);
    assert!(matches!(source.fault, DecodeFault::Truncated { .. }));
    for text in [
        &b"PK\x03\x04 a zip archive"[..],
        b"x",
        &[0, 0, 0, 0, 1, 2, 3, 4, 5],
    ] {
        assert!(
            matches!(drain(text.to_vec()).1, Some(Error::UnknownFormat { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn bytes_after_the_last_transaction_are_refused() {
    let [first, _] = two_blocks();
    let long = [&first[..], &[0]].concat();
    for file in [frame(Network::Regtest, &long), long.clone()] {
        let Some(Error::Decode { source, at }) = drain(file).1 else {
            panic!()
        };
        assert_eq!(source.fault, DecodeFault::TrailingBytes { count_bytes: 1 });
        assert_eq!((source.offset, at.offset), (first.len(), 0));
    }
}

#[test]
fn an_obfuscated_file_is_named_as_such() {
    let mask = |bytes: &[u8], key: [u8; 8]| -> Vec<u8> {
        bytes
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect()
    };
    let key = [0x5a, 0x13, 0xe1, 0x77, 0x09, 0xc4, 0x8d, 0x26];
    // A parent hash as on mainnet, which ends in zeros: the key shows through.
    let masked = mask(&frame(Network::Mainnet, &two_blocks()[0]), key);
    assert!(matches!(
        drain(masked.clone()).1,
        Some(Error::Obfuscated { .. })
    ));

    // A parent hash that hides the key, with the key beside the file.
    let second = mask(
        &frame(
            Network::Regtest,
            &block(BtcHash::from_bytes([9; 32]), &[TestTx::coinbase(&[1, 100])]),
        ),
        key,
    );
    assert!(matches!(
        drain(second.clone()).1,
        Some(Error::UnknownFormat { .. })
    ));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blk00000.dat");
    std::fs::write(&path, &second).unwrap();
    assert!(matches!(
        BlockFile::open(&path),
        Err(Error::UnknownFormat { .. })
    ));
    std::fs::write(folder.path().join("xor.dat"), key).unwrap();
    let error = BlockFile::open(&path).unwrap_err();
    assert!(error.to_string().contains("xor.dat"), "{error}");
    assert!(matches!(error, Error::Obfuscated { .. }));
    // Bitcoin Core writes a key of zeros when masking is off; such files are plain.
    std::fs::write(folder.path().join("xor.dat"), [0; 8]).unwrap();
    std::fs::write(&path, mask(&second, key)).unwrap();
    assert_eq!(
        BlockFile::open(&path).unwrap().map(Result::unwrap).count(),
        1
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let error = BlockFile::open(&folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, Error::Open { .. }) && error.position().is_none());
    assert!(matches!(
        BlockFile::open(folder.path()),
        Err(Error::Read { .. })
    ));
    std::fs::write(folder.path().join("empty"), []).unwrap();
    let error = BlockFile::open(&folder.path().join("empty")).unwrap_err();
    assert!(matches!(error, Error::Truncated { got_bytes: 0, .. }));
}

#[test]
fn messages_name_file_record_and_offset() {
    let blocks = two_blocks();
    let mut bytes = framed(&blocks);
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    let error = drain(bytes).1.unwrap();
    let place = format!("test.dat, record 1, offset {}", 8 + blocks[0].len());
    assert_eq!(error.to_string(), format!("{place}: the block is refused"));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("byte 36: merkle root is "), "{source}");
    let error = drain(framed(&blocks)[..20].to_vec()).1.unwrap();
    let wanted = 8 + blocks[0].len();
    assert_eq!(
        error.to_string(),
        format!("test.dat, record 0, offset 0: truncated: 20 of {wanted} bytes are there")
    );
}

#[test]
fn noise_never_panics() {
    eprintln!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let blocks = two_blocks();
    let good = framed(&blocks);
    for _ in 0..3_000 {
        let length = random.below(300);
        let noise = random.bytes(length);
        let _ = Block::decode(noise.clone(), None);
        let _ = Transaction::decode(&noise).map(|tx| tx.inputs().count() + tx.outputs().count());
        let _ = UnspentOutput::decode(&noise).map(|output| output.encode());
        let _ = (
            Header::decode(&noise),
            OutPoint::from_key(&noise),
            coinbase_height(&noise),
        );
        let _ = Bytes::at(&noise, 400).compact("a count past the end");
        let _ = drain(noise.clone());
        let heads: [&[u8]; 5] = [
            b"BZh91AY&SY",
            &[0x1f, 0x8b, 8, 0],
            &[0x28, 0xb5, 0x2f, 0xfd],
            &Network::Mainnet.magic(),
            &good[..good.len() / 2],
        ];
        let _ = drain([heads[random.below(heads.len())], &noise].concat());
        // Bytes changed inside transactions get past the header and meet the transaction decoder.
        let mut body = blocks[random.below(2)][81..].to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(body.len());
            body[at] = random.next() as u8;
        }
        let _ = Transaction::decode(&body);
        let mut cursor = Bytes::at(&body, 0);
        while let Ok(layout) = crate::bitcoin::tx::TxLayout::read(&mut cursor) {
            let tx = Transaction::new(&body, layout);
            assert_eq!(tx.inputs().len(), tx.inputs().count());
            assert_eq!(tx.outputs().len(), tx.outputs().count());
        }
    }
    // What decodes encodes to the same bytes.
    for _ in 0..20_000 {
        let length = 3 + random.below(12);
        let mut value = random.bytes(length);
        value[0] = 1;
        if let Ok(output) = UnspentOutput::decode(&value) {
            assert_eq!(output.encode(), value);
        }
    }
}
