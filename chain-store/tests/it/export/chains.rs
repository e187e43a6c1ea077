//! What a file is, told by its first bytes, and files of other chains, which a store refuses.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use chain_store::chain_files::FileFormat;
use chain_store::{
    AnyStore, BitcoinImport, Bodies, ChainFormat, DetectError, EngineName, FileImport, ImportError,
    SourceFile,
};
use storage_api::blocks::{BlockStore, Height};
use storage_api::{ChecksumSetting, KvStore};

use super::{BARE, ERA1, FRAMED, LOG, REAL, RLP, blocks_of, digest, empty, filled, import};

#[test]
fn a_store_of_one_chain_takes_no_file_of_another() {
    let all = [RLP, LOG, FRAMED, BARE, ERA1];
    for held in [RLP, LOG, FRAMED] {
        let Some(store) = filled(held) else { return };
        let before = digest(&store);
        for file in all.iter().filter(|file| file.chain != held.chain) {
            let Some(path) = file.path() else { return };
            let go_on = &mut |_: &_| ControlFlow::Continue(());
            let refused = match file.chain {
                chain_store::ChainKind::Bitcoin => {
                    // Its tables are there in none of these stores but one.
                    let Ok(mut import) = BitcoinImport::into(&store) else {
                        continue;
                    };
                    import.file(&path, go_on)
                }
                _ => FileImport::into(&store).unwrap().file(&path, go_on),
            };
            let Err(ImportError::OtherChain {
                expected, found, ..
            }) = refused
            else {
                panic!("{} into {}: {refused:?}", file.name, held.name);
            };
            assert_eq!((expected, found), (held.chain, file.chain));
        }
        assert_eq!(digest(&store), before);
    }
}

#[test]
fn bitcoin_is_not_put_upon_another_chain() {
    let (Some(rlp), Some(bitcoin)) = (RLP.path(), FRAMED.path()) else {
        return;
    };
    // Every table is there, as after opening with the schemas of both.
    let mut schema = BitcoinImport::schema(Bodies::Store, ChecksumSetting::None).unwrap();
    let files = FileImport::schema(Bodies::Store, ChecksumSetting::None).unwrap();
    schema.merge(&files).unwrap();
    let store = Arc::new(AnyStore::open("mem:", &schema).unwrap());
    import(&store, RLP.chain, &rlp).unwrap();
    let before = digest(&store);
    let refused = import(&store, FRAMED.chain, &bitcoin).unwrap_err();
    assert!(
        matches!(refused, ImportError::OtherChain { .. }),
        "{refused}"
    );
    assert_eq!(digest(&store), before);
}

#[test]
fn another_chain_of_the_same_kind_is_refused_with_its_block_or_id() {
    let Some(path) = LOG.path() else { return };
    let Some(store) = filled(LOG) else { return };
    // The same log with another genesis time is of another chain.
    let mut bytes = fs::read(path).unwrap();
    bytes[8] ^= 1;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("other.log");
    fs::write(&path, &bytes).unwrap();
    let refused = import(&store, LOG.chain, &path).unwrap_err();
    assert!(matches!(refused, ImportError::OtherLog { .. }), "{refused}");

    let Some(era1) = filled(ERA1) else { return };
    let Some(rlp) = RLP.path() else { return };
    let refused = import(&era1, RLP.chain, &rlp).unwrap_err();
    let is = matches!(refused, ImportError::OtherBlock { height, .. } if height.get() == 1);
    assert!(is, "{refused}");
    assert!(refused.to_string().contains("record 0"), "{refused}");
}

#[test]
fn first_bytes_that_tell_nothing_and_what_was_said_otherwise() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let format_of = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match SourceFile::open(&path).unwrap().format() {
            Ok(format) => Ok(format),
            Err(ImportError::UnknownFormat { source, .. }) => Err(source),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(format_of(b""), Err(DetectError::Empty));
    let text = b"this is no chain, whatever it says at the length of a header of a block or longer";
    for bytes in [&text[..], &[0; 5_000], &[1, 0, 0, 0], &[0xff; 5_000], b"e2"] {
        assert_eq!(
            format_of(bytes),
            Err(DetectError::Unknown),
            "{:02x?}",
            &bytes[..bytes.len().min(8)]
        );
    }
    // Zeros ahead of the first record, as Bitcoin Core leaves them; and masked by it.
    let Some(framed) = FRAMED.bytes() else { return };
    let padded = [&[0; 77][..], &framed].concat();
    assert_eq!(format_of(&padded), Ok(ChainFormat::Bitcoin));
    let key = [7, 1, 200, 9, 30, 4, 99, 5];
    let masked: Vec<u8> = (framed.iter().zip(key.iter().cycle()))
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    assert_eq!(format_of(&masked), Ok(ChainFormat::Bitcoin));
    let store = empty(EngineName::Mem, place.path(), FRAMED.chain);
    let refused = import(&store, FRAMED.chain, &path).unwrap_err();
    assert!(refused.to_string().contains("xor.dat"), "{refused}");

    let Some(rlp) = RLP.path() else { return };
    let store = empty(EngineName::Mem, place.path(), RLP.chain);
    let import = FileImport::into(&store).unwrap();
    let mut import = import.with_format(Some(FileFormat::Era1));
    let go_on = &mut |_: &_| ControlFlow::Continue(());
    let refused = import.file(&rlp, go_on).unwrap_err();
    assert!(
        matches!(refused, ImportError::OtherFormat { .. }),
        "{refused}"
    );
    let Some(bitcoin) = FRAMED.path() else { return };
    let refused = FileImport::into(&store).unwrap().file(&bitcoin, go_on);
    let is = matches!(refused, Err(ImportError::OtherImport { .. }));
    assert!(is, "{refused:?}");
}

#[test]
fn every_compression_is_looked_into() {
    for (real, format) in REAL {
        let Some(bytes) = real.bytes() else { return };
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&bytes).unwrap();
        let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
        for packed in [
            bytes.clone(),
            gzip.finish().unwrap(),
            bzip2.finish().unwrap(),
            zstd,
        ] {
            fs::write(&path, packed).unwrap();
            let found = SourceFile::open(&path).unwrap().format().unwrap();
            assert_eq!(found, format, "{}", real.name);
        }
    }
}

/// Bytes of a file or of a store, changed at random: they are of a format or of none, and nothing
/// panics; a body of another hash than the index has is of none.
#[test]
fn changed_bytes_are_of_a_format_or_of_none() {
    let mut random = conformance::seed_of_run();
    eprintln!("CHAINSTORE_SEED={random}");
    let mut next = |below: usize| {
        // xorshift64*: seeded, and good enough to choose bytes.
        random |= 1;
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    for real in [RLP, LOG, FRAMED] {
        let (Some(store), Some(bytes)) = (filled(real), real.bytes()) else {
            return;
        };
        let view = store.begin_read().unwrap();
        let height = Height::new(real.first + 2);
        let info = blocks_of(&store).info(&view, height).unwrap().unwrap();
        let body = blocks_of(&store).body(&view, height).unwrap().unwrap();
        assert!(ChainFormat::of_body(&body, &info).is_some());
        for _ in 0..conformance::scaled(4_000) {
            let mut head = bytes[..bytes.len().min(next(300) + 1)].to_vec();
            let mut changed = body.clone();
            changed.truncate(next(2 * body.len()) + 1);
            for _ in 0..=next(4) {
                let at = next(head.len().min(100));
                head[at] = next(256) as u8;
                let at = next(changed.len());
                changed[at] ^= 1 << next(8);
            }
            let _told = ChainFormat::detect(&head);
            for format in ChainFormat::ALL {
                let is_other = format
                    .check_body(&changed)
                    .is_ok_and(|facts| changed != body && facts.hash != info.hash.as_bytes());
                assert!(!is_other || ChainFormat::of_body(&changed, &info).is_none());
            }
        }
    }
}
