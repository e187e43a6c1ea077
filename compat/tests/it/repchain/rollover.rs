//! R-A5: files roll over by the bytes of blocks, exactly at the limit, and the file number outlives
//! every reopening, which the original's did not.

use compat::repchain::{FileNo, Options, proto};
use prost::Message;
use storage_api::blocks::Height;

use super::{Known, Open, Place, buffered, bytes_of, on_each_engine};

fn limit_of_1000() -> Options {
    Options {
        file_bytes_max: 1_000,
        ..buffered()
    }
}

/// A block of exactly so many bytes, with transactions, so that what lies behind it in the file is
/// longer than some blocks are.
fn sized(previous: &str, number: usize, bytes: usize) -> Known {
    let ids = (0..(bytes / 200).min(5)).map(|id| proto::Transaction {
        txid: format!("{number:010}-{id:022}"),
        ..proto::Transaction::default()
    });
    let mut block = proto::Block {
        version: 1 + (number % 100) as u32,
        previous_block_hash: previous.as_bytes().to_vec(),
        transactions: ids.collect(),
        ..proto::Block::default()
    };
    while block.encoded_len() != bytes {
        let missing = bytes.checked_sub(block.encoded_len());
        let missing = missing.expect("a shorter block is not possible");
        let filled = block.state_hash.len();
        // The field itself takes bytes; a gap of one byte cannot be filled at once.
        block
            .state_hash
            .resize(filled + missing.saturating_sub(5).max(1), 7);
    }
    Known::new(block)
}

/// The files of the blocks, by their own rows.
fn files(open: &Open) -> Vec<u64> {
    let heights = 1..=open.height();
    let file_of = |height| {
        let entry = open.blocks.get_block_idx_by_height(Height::new(height));
        entry.unwrap().unwrap().file_no.get()
    };
    heights.map(file_of).collect()
}

/// Lengths of blocks, and the file of each.
const ROWS: [(&[usize], &[u64]); 6] = [
    // Two fit, a third does not.
    (&[400, 400, 400, 400, 400], &[0, 0, 1, 1, 2]),
    // An exact fit stays, one byte more rolls over.
    (&[400, 600, 400, 601, 399], &[0, 0, 1, 2, 2]),
    (&[1_000, 1_000, 500, 500, 200], &[0, 1, 2, 2, 3]),
    // A long one has a file of its own, also as the first, and none is skipped for it.
    (&[1_001, 200, 5_000, 200, 200], &[0, 1, 2, 3, 3]),
    (&[5_000, 5_000, 1_000, 5_000], &[0, 1, 2, 3]),
    (
        &[
            400, 400, 201, 400, 399, 200, 801, 200, 300, 300, 400, 1_000, 999, 200,
        ],
        &[0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8],
    ),
];

#[test]
fn r_a5_files_roll_over_by_the_bytes_of_blocks() {
    on_each_engine(|engine| {
        for (sizes, expected) in ROWS {
            for reopens in [false, true] {
                let mut place = Place::new(engine);
                let mut open = place.open(&limit_of_1000());
                let (mut chain, mut previous) = (Vec::new(), String::new());
                for (number, bytes) in sizes.iter().enumerate() {
                    let block = sized(&previous, number, *bytes);
                    assert_eq!(block.bytes.len(), *bytes);
                    open.blocks.restore_block(&block.block).unwrap();
                    previous.clone_from(&block.hash);
                    chain.push(block);
                    let file_no = FileNo::new(expected[number]);
                    let context = format!("{engine}, {sizes:?}, block {number}");
                    assert_eq!(open.blocks.get_max_file_no().unwrap(), file_no, "{context}");
                    if reopens {
                        drop(open);
                        open = place.open(&limit_of_1000());
                        assert_eq!(open.blocks.get_max_file_no().unwrap(), file_no, "{context}");
                    }
                }
                assert_eq!(files(&open), expected, "{engine}, {sizes:?}");
                super::compare(&open.blocks, &chain, "rolled over");
                let last = expected.last().unwrap();
                let names: Vec<String> = (0..=*last)
                    .map(|file_no| FileNo::new(file_no).segment().file_name())
                    .collect();
                let there: Vec<String> = bytes_of(&place.files()).into_keys().collect();
                assert_eq!(there, names, "no file is without blocks");
            }
        }
    });
}

#[test]
fn r_a5_a_list_rolls_over_as_its_blocks_do() {
    on_each_engine(|engine| {
        for (sizes, expected) in ROWS {
            let mut place = Place::new(engine);
            let open = place.open(&limit_of_1000());
            let (mut chain, mut previous) = (Vec::new(), String::new());
            for (number, bytes) in sizes.iter().enumerate() {
                let block = sized(&previous, number, *bytes);
                previous.clone_from(&block.hash);
                chain.push(block);
            }
            super::restore(&open.blocks, &chain);
            assert_eq!(files(&open), expected, "{engine}, {sizes:?}");
        }
    });
}

#[test]
fn r_a5_the_file_number_follows_a_rollback() {
    on_each_engine(|engine| {
        let (sizes, expected) = ROWS[5];
        let mut place = Place::new(engine);
        let (mut chain, mut previous) = (Vec::new(), String::new());
        for (number, bytes) in sizes.iter().enumerate() {
            let block = sized(&previous, number, *bytes);
            previous.clone_from(&block.hash);
            chain.push(block);
        }
        let mut open = place.open(&limit_of_1000());
        for kept in (0..chain.len()).rev() {
            super::restore(&open.blocks, &chain[open.height() as usize..]);
            assert_eq!(files(&open), expected);
            open.blocks
                .rollback_to_height(Height::new(kept as u64))
                .unwrap();
            let file_no = kept.checked_sub(1).map_or(0, |tip| expected[tip]);
            assert_eq!(open.blocks.get_max_file_no().unwrap().get(), file_no);
            drop(open);
            open = place.open(&limit_of_1000());
            assert_eq!(open.blocks.get_max_file_no().unwrap().get(), file_no);
        }
    });
}
