//! The bytes of rows and records: fixtures that are read and fixtures that are refused, and no
//! panic on any.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use seglog::{Place, Prefix, SegmentNumber};
use storage_api::blocks::{BlockHash, Height, NewBlock, TxId};

use super::layout::{BodyPlace, decode_place, decode_record, encode_place, encode_trailer};

fn lines(name: &str) -> Vec<(String, Vec<u8>)> {
    lines_of("segment-blocks", name)
}

/// A line of hex digits each, named.
pub(crate) fn lines_of(format: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    conformance::fixtures::lines(&folder.join(format).join(name)).unwrap()
}

fn place() -> BodyPlace {
    BodyPlace {
        record: seglog::Height::new(0x0102_0304_0506_0708),
        place: Place {
            segment: SegmentNumber::new(9),
            offset: 0x1122,
            payload_bytes: 90,
            payload_checksum: 0xaabb_ccdd,
        },
        body: Prefix {
            bytes: 4,
            checksum: 0x1234_5678,
        },
    }
}

fn record() -> Vec<u8> {
    let tx_ids = [TxId::new(&[7; 3]).unwrap(), TxId::new(&[8]).unwrap()];
    let block = NewBlock {
        height: Height::new(258),
        hash: BlockHash::new(&[0xaa; 2]).unwrap(),
        parent: BlockHash::new(&[0xbb; 4]).unwrap(),
        tx_ids: &tx_ids,
        body: b"body",
    };
    [block.body, &encode_trailer(&block)].concat()
}

#[test]
fn the_golden_fixture_is_what_is_written_and_read() {
    let golden = lines("golden-v1.txt");
    assert_eq!(
        golden[0],
        ("place".to_owned(), encode_place(&place()).to_vec())
    );
    assert_eq!(golden[1], ("record".to_owned(), record()));
    assert_eq!(decode_place(&golden[0].1).unwrap(), place());
    let recorded = decode_record(&golden[1].1).unwrap();
    assert_eq!(recorded.body, b"body");
    assert_eq!(recorded.info.height, Height::new(258));
    assert_eq!(recorded.info.hash.as_bytes(), [0xaa; 2]);
    assert_eq!(recorded.info.parent.as_bytes(), [0xbb; 4]);
    assert_eq!(recorded.tx_ids.len(), 2);
}

#[test]
fn the_corrupt_fixtures_are_refused() {
    let corrupt = lines("corrupt-v1.txt");
    assert!(corrupt.len() > 8);
    for (name, bytes) in corrupt {
        let is_refused = if name.starts_with("place") {
            decode_place(&bytes).is_err()
        } else {
            decode_record(&bytes).is_err()
        };
        assert!(is_refused, "{name}");
    }
}

#[test]
fn no_cut_or_flipped_record_makes_a_panic() {
    let record = record();
    for len in 0..record.len() {
        assert!(decode_record(&record[..len]).is_err(), "{len}");
    }
    for bit in 0..record.len() * 8 {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The log's checksum tells; here it must only not panic.
        let _told = decode_record(&flipped);
    }
}
