//! Golden and corrupt rows of blocks, as told in `docs/format/kv-blocks.md`.

use super::layout::{self, State};
use super::{BlockHash, BlockInfo, BlockTotals, Height, TxId, TxPlace};
use crate::error::Result;

fn hex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// The words of the lines that begin with `name`.
fn lines<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = Vec<u8>> + 't {
    text.lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' ').map(hex))
}

const GOLDEN: &str = include_str!("../../tests/fixtures/kv-blocks/golden-v1.txt");
const CORRUPT: &str = include_str!("../../tests/fixtures/kv-blocks/corrupt-v1.txt");

fn one(name: &str) -> Vec<u8> {
    lines(GOLDEN, name).next().unwrap_or_default()
}

fn info() -> Result<BlockInfo> {
    Ok(BlockInfo {
        height: Height::new(0x0102),
        hash: BlockHash::new(&[0xaa; 32])?,
        parent: BlockHash::new(&[0xbb; 4])?,
        tx_count: 2,
        body_bytes: 0x0304_0506,
    })
}

fn state() -> State {
    let totals = BlockTotals {
        blocks: 3,
        transactions: 5,
        body_bytes: 0x0708,
    };
    State {
        tail: Height::new(0x0100),
        tip: Height::new(0x0102),
        totals,
    }
}

#[test]
fn golden_rows_are_written_and_read_as_documented() -> Result<()> {
    let info = info()?;
    let tx_ids = [TxId::new(&[0xcc; 2])?, TxId::new(&[0xdd; 3])?];
    let place = TxPlace {
        height: info.height,
        position: 1,
    };
    assert_eq!(layout::height_key(info.height)[..], one("height-key"));
    assert_eq!(layout::height_value(info.height)[..], one("height-value"));
    assert_eq!(layout::encode_info(&info), one("index"));
    assert_eq!(layout::encode_tx_ids(&tx_ids), one("tx-ids"));
    assert_eq!(layout::tx_key(&tx_ids[1], place), one("tx-key"));
    assert_eq!(layout::encode_state(&state()), one("totals"));

    assert_eq!(layout::height_of_key(&one("height-key"))?, info.height);
    assert_eq!(layout::height_of_value(&one("height-value"))?, info.height);
    assert_eq!(layout::decode_info(info.height, &one("index"))?, info);
    assert_eq!(layout::decode_tx_ids(&one("tx-ids"))?, tx_ids);
    assert_eq!(layout::place_of_tx_key(&one("tx-key"))?, place);
    assert_eq!(layout::decode_state(&one("totals"))?, state());
    Ok(())
}

#[test]
fn corrupt_rows_are_refused() {
    let mut seen = 0;
    let mut check = |name: &str, decode: &dyn Fn(&[u8]) -> bool| {
        for bytes in lines(CORRUPT, name) {
            seen += 1;
            assert!(decode(&bytes), "{name} {bytes:02x?} was taken");
        }
    };
    fn corrupt<T>(result: Result<T>) -> bool {
        result.is_err_and(|error| error.is_corruption())
    }
    check("height-key", &|bytes| corrupt(layout::height_of_key(bytes)));
    check("height-value", &|bytes| {
        corrupt(layout::height_of_value(bytes))
    });
    check("index", &|bytes| {
        corrupt(layout::decode_info(Height::ZERO, bytes))
    });
    check("tx-ids", &|bytes| corrupt(layout::decode_tx_ids(bytes)));
    check("tx-key", &|bytes| corrupt(layout::place_of_tx_key(bytes)));
    check("totals", &|bytes| corrupt(layout::decode_state(bytes)));
    assert_eq!(seen, 13);
}

#[test]
fn every_cut_of_a_golden_row_is_refused() {
    for at in 0..one("index").len() {
        assert!(
            layout::decode_info(Height::ZERO, &one("index")[..at]).is_err(),
            "cut at {at}"
        );
    }
    for at in 0..one("totals").len() {
        assert!(
            layout::decode_state(&one("totals")[..at]).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn hashes_are_one_to_sixty_four_bytes() {
    assert!(BlockHash::new(&[]).is_err() && BlockHash::new(&[0; 65]).is_err());
    assert_eq!(
        BlockHash::new(&[0; 64])
            .map(|hash| hash.as_bytes().len())
            .ok(),
        Some(64)
    );
    let short = BlockHash::new(&[1]).map(|hash| hash.to_string());
    assert_eq!(short.ok().as_deref(), Some("01"));
}
