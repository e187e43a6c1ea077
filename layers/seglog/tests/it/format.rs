//! The layout as `docs/format/seglog.md` has it: files that must be read, and files that must be
//! refused. The bytes are laid out here once more, by the page and not by the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use seglog::sim::SimDisk;
use seglog::{ChainTag, Height, Log, LogError, LogOptions, Reader, SegmentNumber};

use crate::model::records;

const CHAIN: u64 = 0x0123_4567_89ab_cdef;

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seglog");
    folder.join(name)
}

fn sealed(mut bytes: Vec<u8>, seed: u32) -> (Vec<u8>, u32) {
    let checksum = crc32c::crc32c_append(seed, &bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    (bytes, checksum)
}

/// Segment 7, which begins at height 1,000 and has three records.
fn golden() -> Vec<u8> {
    let mut header = b"\x89SEGL\r\n\x1a\x01\0\0\0\0\0\0\0".to_vec();
    for field in [CHAIN, 7, 1_000] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&0xdead_beef_u32.to_le_bytes());
    header.extend_from_slice(&[0; 16]);
    let (mut bytes, segment) = sealed(header, 0);
    assert_eq!(bytes.len(), 64);
    let mut link = segment;
    let payloads: [(&[u8], u32); 3] = [(b"first", 0), (b"", 1), (&[0xa5; 300], 0)];
    for (number, (payload, unsynced)) in payloads.into_iter().enumerate() {
        let mut header = b"\xb5rec".to_vec();
        header.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        header.extend_from_slice(&(1_000 + number as u64).to_le_bytes());
        for field in [link, 0x5eed, unsynced, crc32c::crc32c(payload), 0] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        let (header, checksum) = sealed(header, segment);
        assert_eq!(header.len(), 40);
        bytes.extend(header);
        bytes.extend_from_slice(payload);
        link = checksum;
    }
    bytes
}

/// The golden file changed at one place, the checksum of its header made right again.
fn reheaded(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = golden();
    change(&mut bytes);
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn flipped(at: usize) -> Vec<u8> {
    let mut bytes = golden();
    bytes[at] ^= 0x10;
    bytes
}

/// The golden file packed in one frame that zstd stores as it is: a frame header for 489 bytes and
/// one raw block (RFC 8878, 3.1.1).
fn packed() -> Vec<u8> {
    let plain = golden();
    let len = u32::try_from(plain.len()).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60];
    frame.extend_from_slice(&u16::try_from(len - 256).unwrap().to_le_bytes());
    frame.extend_from_slice(&((len << 3) | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(&plain);
    let table = u32::try_from(frame.len()).unwrap().to_le_bytes();
    let mut header = b"\x89SEGZ\r\n\x1a\x01\0\0\0\0\0\0\0".to_vec();
    header.extend_from_slice(&u64::from(len).to_le_bytes());
    for field in [65_536, crc32c::crc32c(&table)] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&[0; 28]);
    let (mut bytes, _) = sealed(header, 0);
    assert_eq!(bytes.len(), 64);
    bytes.extend_from_slice(&table);
    bytes.extend(frame);
    bytes
}

/// The packed file changed at one place, the checksum of its header made right again.
fn repacked(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = packed();
    change(&mut bytes);
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Every fixture and how it is made.
fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let golden = golden();
    vec![
        ("golden-v1.seg", golden.clone()),
        ("newer-version.seg", reheaded(|bytes| bytes[8] = 2)),
        ("corrupt-magic.seg", flipped(1)),
        ("corrupt-header.seg", flipped(33)),
        ("corrupt-record-length.seg", flipped(64 + 4)),
        ("corrupt-record-height.seg", flipped(64 + 8)),
        ("corrupt-payload.seg", flipped(64 + 40)),
        ("corrupt-truncated.seg", golden[..63].to_vec()),
        ("corrupt-zeros.seg", vec![0; golden.len()]),
        ("corrupt-number.seg", reheaded(|bytes| bytes[24] = 8)),
        ("golden-packed-v1.segz", packed()),
        ("newer-packed-version.segz", repacked(|bytes| bytes[8] = 2)),
        (
            "corrupt-packed-magic.segz",
            repacked(|bytes| bytes[4] = b'Y'),
        ),
        (
            "corrupt-packed-length.segz",
            repacked(|bytes| bytes[17] = 0xff),
        ),
        (
            "corrupt-packed-frames.segz",
            repacked(|bytes| bytes[24..28].fill(0)),
        ),
        (
            "corrupt-packed-frames-huge.segz",
            repacked(|bytes| bytes[27] = 0xff),
        ),
        (
            "corrupt-packed-bomb.segz",
            repacked(|bytes| bytes[16..24].fill(0xff)),
        ),
        (
            "corrupt-packed-table.segz",
            repacked(|bytes| bytes[64] ^= 1),
        ),
        (
            "corrupt-packed-frame.segz",
            repacked(|bytes| bytes[68] ^= 1),
        ),
        ("corrupt-packed-truncated.segz", packed()[..500].to_vec()),
    ]
}

/// Not a test: writes the fixtures where they are kept, when the format gets a new version.
#[test]
#[ignore = "writes the fixtures"]
fn write_the_fixtures() {
    for (name, bytes) in fixtures() {
        fs::write(fixture(name), bytes).unwrap();
    }
}

#[test]
fn the_fixtures_are_laid_out_as_the_page_says() {
    for (name, bytes) in fixtures() {
        assert!(fs::read(fixture(name)).unwrap() == bytes, "{name}");
    }
}

fn disk(name: &str) -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let bytes = fs::read(fixture(name)).unwrap();
    let number = SegmentNumber::new(7);
    let is_packed = name.ends_with(".segz");
    let file = if is_packed {
        number.packed_name()
    } else {
        number.file_name()
    };
    disk.put(&file, &bytes);
    Arc::new(disk)
}

#[test]
fn the_golden_file_is_read_and_written_on() {
    for name in ["golden-v1.seg", "golden-packed-v1.segz"] {
        read_and_write_on(name);
    }
}

fn read_and_write_on(name: &str) {
    let (reader, next, recovered) = Reader::open(disk(name), ChainTag::new(CHAIN)).unwrap();
    assert_eq!(next, Some(Height::new(1_003)), "{recovered:?}");
    assert_eq!(recovered.cut, None);
    let found = records(&reader, Height::new(1_003)).unwrap();
    assert_eq!(
        found,
        [
            (1_000, b"first".to_vec()),
            (1_001, Vec::new()),
            (1_002, vec![0xa5; 300])
        ]
    );
    let options = LogOptions {
        chain: ChainTag::new(CHAIN),
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(disk(name), options).unwrap();
    log.append(Height::new(1_003), b"more").unwrap();
    log.sync().unwrap();
    assert!(log.reader().check().unwrap().is_empty());
}

#[test]
fn the_corrupt_files_are_refused() {
    for (name, _) in fixtures()
        .iter()
        .filter(|(name, _)| name.starts_with("corrupt"))
    {
        let refused = Reader::open(disk(name), ChainTag::new(CHAIN)).map(drop);
        let is_number = *name == "corrupt-number.seg";
        match refused {
            Err(LogError::Foreign { .. }) if is_number => {}
            Err(LogError::Damaged { segment, .. }) if !is_number => assert_eq!(segment.get(), 7),
            other => panic!("{name}: {other:?}"),
        }
    }
    for name in ["newer-version.seg", "newer-packed-version.segz"] {
        let refused = Reader::open(disk(name), ChainTag::new(CHAIN)).map(drop);
        let found = |error: &LogError| match error {
            LogError::TooNew { found, known, .. } => (*found, *known),
            other => panic!("{name}: {other}"),
        };
        assert_eq!(found(&refused.unwrap_err()), (2, 1), "{name}");
    }
}
