//! The bytes of the tally: fixtures that are read and fixtures that are refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use storage_api::blocks::BlockIndex;
use storage_api::{Catalogue, TableDef, TableId, TableInfo};

use super::tally::{TALLY, Tables, Tally, decode_tally, encode_tally, row_hash};
use crate::layout::PLACES;
use crate::tests::lines_of;

fn tally() -> Tally {
    Tally {
        rows: 0x0102_0304_0506_0708,
        sum: 0x1122_3344_5566_7788,
        state: 0x99aa_bbcc_ddee_ff00,
    }
}

fn tables() -> Tables {
    let mut defs: Vec<TableDef> = BlockIndex::TABLES.to_vec();
    defs.extend([PLACES, TALLY]);
    let infos = (7_u16..).zip(defs).map(|(number, def)| TableInfo {
        id: TableId::new(number),
        def,
    });
    Tables::resolve(&Catalogue::new(infos.collect()).unwrap()).unwrap()
}

#[test]
fn the_golden_fixture_is_what_is_written_and_read() {
    let golden = lines_of("log-blocks", "golden-v1.txt");
    assert_eq!(
        golden[0],
        ("tally".to_owned(), encode_tally(&tally()).to_vec())
    );
    assert_eq!(decode_tally(&golden[0].1).unwrap(), tally());
    // The number that a store gave a table is not in the hash of its rows; the table is.
    let tag = |name: &str| {
        let place = BlockIndex::TABLES
            .iter()
            .position(|table| table.name() == name);
        tables().tag(TableId::new(7 + place.unwrap() as u16))
    };
    let hash = |name: &str| row_hash(tag(name), b"key", b"value").to_le_bytes().to_vec();
    assert_eq!(golden[1], ("hash-index".to_owned(), hash("blocks.index")));
    assert_eq!(golden[2], ("hash-hashes".to_owned(), hash("blocks.hashes")));
}

#[test]
fn the_corrupt_fixtures_are_refused() {
    let corrupt = lines_of("log-blocks", "corrupt-v1.txt");
    assert_eq!(corrupt.len(), 4);
    for (name, bytes) in corrupt {
        assert!(decode_tally(&bytes).is_err(), "{name}");
    }
}

#[test]
fn a_row_that_comes_and_goes_leaves_no_trace() {
    let tag = tables().tag(TableId::new(7));
    let mut found = tally();
    found.add(tag, b"a", b"bc");
    assert_ne!(found, tally());
    let with_other_cut = {
        let mut other = tally();
        other.add(tag, b"ab", b"c");
        other
    };
    assert_ne!(found, with_other_cut);
    found.take(tag, b"a", b"bc");
    assert_eq!(found, tally());
}
