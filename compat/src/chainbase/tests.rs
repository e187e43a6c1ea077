//! The bytes of rows: fixtures that are read and fixtures that are refused, and no panic on any.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use blocks::LogBlock;
use chain_files::antelope::Preamble;
use storage_api::blocks::{BlockHash, BlockInfo, Height, TxId};

use crate::fixtures;

use super::layout;

fn lines(name: &str) -> Vec<(String, Vec<u8>)> {
    fixtures::lines(&format!("chainbase/{name}"))
}

fn block() -> LogBlock {
    LogBlock {
        info: BlockInfo {
            height: Height::new(258),
            hash: BlockHash::new(&[0xaa; 2]).unwrap(),
            parent: BlockHash::new(&[0xbb; 4]).unwrap(),
            tx_count: 2,
            body_bytes: 4,
        },
        tx_ids: vec![TxId::new(&[7; 3]).unwrap(), TxId::new(&[8]).unwrap()],
        body: b"body".to_vec(),
    }
}

fn preamble() -> Preamble {
    let chain_id = std::array::from_fn(|at| at as u8);
    Preamble::from_chain_id(chain_id, 258).unwrap()
}

#[test]
fn the_golden_fixture_is_what_is_written_and_read() {
    let golden = lines("golden-v1.txt");
    let number = Height::new(258);
    let written = [
        ("number-key", layout::number_key(number).to_vec()),
        ("number-value", layout::number_value(number).to_vec()),
        ("block", layout::encode_block(&block().as_new()).unwrap()),
        ("preamble", layout::encode_preamble(&preamble())),
    ];
    let written = written.map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(golden, written);
    assert_eq!(layout::number_of_key(&golden[0].1).unwrap(), number);
    assert_eq!(layout::number_of_value(&golden[1].1).unwrap(), number);
    assert_eq!(layout::decode_block(number, &golden[2].1).unwrap(), block());
    assert_eq!(layout::decode_preamble(&golden[3].1).unwrap(), preamble());
}

#[test]
fn the_corrupt_fixtures_are_refused() {
    let corrupt = lines("corrupt-v1.txt");
    assert_eq!(corrupt.len(), 17);
    for (name, bytes) in corrupt {
        let refused = if name.starts_with("number-key") {
            layout::number_of_key(&bytes).is_err()
        } else if name.starts_with("number-value") {
            layout::number_of_value(&bytes).is_err()
        } else if name.starts_with("preamble") {
            layout::decode_preamble(&bytes).is_err()
        } else {
            layout::decode_block(Height::ZERO, &bytes).is_err()
        };
        assert!(refused, "{name}");
    }
}

#[test]
fn no_cut_or_flipped_value_makes_a_panic() {
    let block = layout::encode_block(&block().as_new()).unwrap();
    let preamble = layout::encode_preamble(&preamble());
    // The body is what is left at the end, so a cut inside it is a shorter body.
    for len in 0..block.len() - 4 {
        assert!(layout::decode_block(Height::ZERO, &block[..len]).is_err());
    }
    for len in 0..preamble.len() {
        assert!(layout::decode_preamble(&preamble[..len]).is_err(), "{len}");
    }
    for bit in 0..block.len() * 8 {
        let mut flipped = block.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // Nothing guards single bits here but the store's envelope; it must only not panic.
        let _read = layout::decode_block(Height::ZERO, &flipped);
    }
}
