//! The bytes of rows and records: fixtures that are read and fixtures that are refused, and no
//! panic on any.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use seglog::{Place, SegmentNumber};
use storage_api::blocks::{BlockHash, Height};

use crate::fixtures;

use super::layout::{self, At, Entry};
use super::num_from_id;

fn lines(name: &str) -> Vec<(String, Vec<u8>)> {
    fixtures::lines(&format!("bitshares/{name}"))
}

fn id() -> BlockHash {
    BlockHash::new(&[0, 0, 1, 2, 0xaa]).unwrap()
}

fn entry() -> Entry {
    Entry {
        id: id(),
        block_bytes: 5,
        at: Some(At {
            record: seglog::Height::new(0x0102_0304_0506_0708),
            place: Place {
                segment: SegmentNumber::new(9),
                offset: 0x1122,
                payload_bytes: 19,
                payload_checksum: 0xaabb_ccdd,
            },
        }),
    }
}

fn removed() -> Entry {
    Entry {
        id: id(),
        block_bytes: 0,
        at: None,
    }
}

fn record() -> Vec<u8> {
    [
        &b"block"[..],
        &layout::encode_trailer(Height::new(258), &id()),
    ]
    .concat()
}

#[test]
fn the_golden_fixture_is_what_is_written_and_read() {
    let golden = lines("golden-v1.txt");
    let number = Height::new(258);
    let end = seglog::Height::new(0x0102);
    let written = [
        ("number-key", layout::number_key(number).to_vec()),
        ("entry", layout::encode_entry(&entry())),
        ("removed", layout::encode_entry(&removed())),
        ("record", record()),
        ("end", layout::encode_end(end).to_vec()),
    ];
    let written = written.map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(golden, written);
    assert_eq!(layout::number_of_key(&golden[0].1).unwrap(), number);
    assert_eq!(layout::decode_entry(&golden[1].1).unwrap(), entry());
    assert_eq!(layout::decode_entry(&golden[2].1).unwrap(), removed());
    let (found, found_id, block) = layout::decode_record(&golden[3].1).unwrap();
    assert_eq!((found, found_id, block), (number, id(), &b"block"[..]));
    assert_eq!(layout::decode_end(&golden[4].1).unwrap(), end);
}

#[test]
fn the_corrupt_fixtures_are_refused() {
    let corrupt = lines("corrupt-v1.txt");
    assert_eq!(corrupt.len(), 17);
    for (name, bytes) in corrupt {
        let refused = match name.split('-').next() {
            Some("number") => layout::number_of_key(&bytes).is_err(),
            Some("entry") => layout::decode_entry(&bytes).is_err(),
            Some("record") => layout::decode_record(&bytes).is_err(),
            _ => layout::decode_end(&bytes).is_err(),
        };
        assert!(refused, "{name}");
    }
}

#[test]
fn no_cut_or_flipped_value_makes_a_panic() {
    for value in [record(), layout::encode_entry(&entry())] {
        for len in 0..value.len() {
            let _read = layout::decode_entry(&value[..len]);
            let _read = layout::decode_record(&value[..len]);
        }
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The log's checksum tells, and the envelope of the store; here nothing may panic.
            let _read = layout::decode_entry(&flipped);
            let _read = layout::decode_record(&flipped);
        }
    }
}

#[test]
fn the_number_is_in_the_first_four_bytes_of_an_id() {
    assert_eq!(num_from_id(&id()).unwrap(), Height::new(258));
    let last = BlockHash::new(&[0xff; 20]).unwrap();
    assert_eq!(num_from_id(&last).unwrap().get(), u64::from(u32::MAX));
    let genesis = BlockHash::new(&[0, 0, 0, 0, 1]).unwrap();
    assert_eq!(num_from_id(&genesis).unwrap(), Height::ZERO);
    assert!(num_from_id(&BlockHash::new(&[1, 2, 3]).unwrap()).is_err());
    assert!(num_from_id(&BlockHash::new(&[0; 20]).unwrap()).is_err());
}
