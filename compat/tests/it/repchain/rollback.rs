//! R-A14 for blocks: a chain that was taken back to a height is the one that never had more: rows
//! of every table, counters, and the bytes of the files.
//!
//! Bytes of files are compared but for what is drawn anew on purpose, so that a record that comes
//! back from before a cut is told from the one in its place: the nonces of a segment and of a
//! record, and the link and checksums of headers, which cover them. Everything else is compared
//! byte by byte: names and lengths of files, first heights, numbers, lengths and checksums of
//! payloads, the payloads themselves. No space is written in advance here; with it, what lies
//! behind the last record differs by design.

use std::collections::BTreeMap;

use chain_store::EngineName;
use compat::repchain::Options;
use conformance::scaled;
use storage_api::blocks::{BlockError, Height};
use storage_api::{Cursor, KeyRange, KvStore, Reader};

use super::{
    Known, Open, Place, SEED, bytes_of, compare, on_each_engine, random_chain, restore_singly,
};

/// Files of two blocks or so.
fn options() -> Options {
    Options {
        file_bytes_max: 1_500,
        ..super::buffered()
    }
}

/// Rows of all tables, what the chain says of itself, and the comparable bytes of its files.
#[derive(Debug, PartialEq, Eq)]
struct State {
    rows: Vec<(String, Vec<u8>, Vec<u8>)>,
    counters: (u64, u64, u64, Vec<u8>),
    files: BTreeMap<String, Vec<u8>>,
}

const SEGMENT_HEADER: usize = 64;
const RECORD_HEADER: usize = 40;

/// A segment without its nonces and what follows from them.
fn comparable(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[40..44].fill(0);
    bytes[60..64].fill(0);
    let mut at = SEGMENT_HEADER;
    while at < bytes.len() {
        let len = bytes[at + 4..at + 8].try_into().unwrap();
        let len = u32::from_le_bytes(len) as usize;
        assert_eq!(bytes[at..at + 4], *b"\xb5rec");
        bytes[at + 16..at + 24].fill(0);
        bytes[at + 36..at + 40].fill(0);
        at += RECORD_HEADER + len;
    }
    assert_eq!(at, bytes.len(), "a file ends with its last record");
    bytes
}

fn state(open: &Open, place: &Place) -> State {
    let view = open.store.begin_read().unwrap();
    let mut rows = Vec::new();
    for table in open.store.catalogue().iter() {
        let mut cursor = view.cursor(table.id, KeyRange::all()).unwrap();
        while let Some(row) = cursor.next().unwrap() {
            rows.push((
                table.def.name().to_owned(),
                row.key.to_vec(),
                row.value.to_vec(),
            ));
        }
    }
    let blocks = &open.blocks;
    let files = bytes_of(&place.files()).into_iter();
    State {
        rows,
        counters: (
            blocks.get_block_height().unwrap().get(),
            blocks.get_block_all_tx_number().unwrap(),
            blocks.get_max_file_no().unwrap().get(),
            blocks.get_block_chain_info().unwrap().current_block_hash,
        ),
        files: files
            .map(|(name, bytes)| (name, comparable(bytes)))
            .collect(),
    }
}

/// The states of a chain that never had more than each number of blocks.
fn states(engine: EngineName, chain: &[Known]) -> Vec<State> {
    let mut place = Place::new(engine);
    let open = place.open(&options());
    let mut states = vec![state(&open, &place)];
    for (height, block) in (1..).zip(chain) {
        restore_singly(&open.blocks, height, std::slice::from_ref(block));
        states.push(state(&open, &place));
    }
    states
}

fn is_same(found: &State, expected: &State, context: &str) {
    assert_eq!(found.counters, expected.counters, "{context}");
    assert!(found.rows == expected.rows, "{context}: other rows");
    let names = |state: &State| state.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{context}");
    for (name, bytes) in &found.files {
        assert!(
            *bytes == expected.files[name],
            "{context}: {name} is another"
        );
    }
}

#[test]
fn r_a14_a_rollback_from_n_to_every_k_is_a_chain_that_only_had_k() {
    let n = scaled(18).max(12);
    let chain = random_chain(SEED ^ 0x60, n);
    on_each_engine(|engine| {
        let states = states(engine, &chain);
        assert!(states[n].files.len() > 3, "{n} blocks in several files");
        for k in (0..=n).rev() {
            let context = format!("{engine}, from {n} to {k}");
            let mut place = Place::new(engine);
            let open = place.open(&options());
            restore_singly(&open.blocks, 1, &chain);
            open.blocks
                .rollback_to_height(Height::new(k as u64))
                .unwrap();
            is_same(&state(&open, &place), &states[k], &context);
            compare(&open.blocks, &chain[..k], &context);
            for gone in &chain[k..] {
                assert!(open.blocks.get_block_by_hash(&gone.hash).unwrap().is_none());
                for tx_id in gone.tx_ids() {
                    assert!(open.blocks.get_block_by_tx_id(tx_id).unwrap().is_none());
                }
            }
            drop(open);
            let open = place.open(&options());
            is_same(&state(&open, &place), &states[k], "opened again");
            restore_singly(&open.blocks, k as u64 + 1, &chain[k..]);
            is_same(&state(&open, &place), &states[n], "the same blocks again");
        }
    });
}

#[test]
fn r_a14_rollbacks_block_by_block_go_through_every_chain() {
    let n = scaled(40).max(12);
    let chain = random_chain(SEED ^ 0x61, n);
    on_each_engine(|engine| {
        let states = states(engine, &chain);
        let mut place = Place::new(engine);
        let open = place.open(&options());
        restore_singly(&open.blocks, 1, &chain);
        for k in (0..n).rev() {
            open.blocks
                .rollback_to_height(Height::new(k as u64))
                .unwrap();
            is_same(&state(&open, &place), &states[k], &format!("{engine}, {k}"));
        }
        // Up and down again, one and two blocks at a time.
        for k in 1..n {
            restore_singly(&open.blocks, k as u64, &chain[k - 1..=k]);
            open.blocks
                .rollback_to_height(Height::new(k as u64))
                .unwrap();
            is_same(
                &state(&open, &place),
                &states[k],
                &format!("{engine}, up to {k}"),
            );
        }
    });
}

#[test]
fn a_rollback_to_no_height_of_the_chain_changes_nothing() {
    let chain = random_chain(SEED ^ 0x62, 8);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options());
        open.blocks.rollback_to_height(Height::ZERO).unwrap();
        let refused = open.blocks.rollback_to_height(Height::new(1)).unwrap_err();
        assert!(
            matches!(refused, compat::repchain::Error::Block(BlockError::Empty)),
            "{refused:?}"
        );
        restore_singly(&open.blocks, 1, &chain);
        let before = (open.digest(), bytes_of(&place.files()));
        open.blocks.rollback_to_height(Height::new(8)).unwrap();
        for above in [9, 10, u64::MAX] {
            let refused = open
                .blocks
                .rollback_to_height(Height::new(above))
                .unwrap_err();
            assert!(
                matches!(
                    refused,
                    compat::repchain::Error::Block(BlockError::OutOfRange { .. })
                ),
                "{refused:?}"
            );
        }
        assert!(before == (open.digest(), bytes_of(&place.files())));
        compare(&open.blocks, &chain, "nothing was taken back");
    });
}

#[test]
fn another_chain_grows_where_blocks_were_taken_back() {
    let chain = random_chain(SEED ^ 0x63, 20);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options());
        restore_singly(&open.blocks, 1, &chain);
        open.blocks.rollback_to_height(Height::new(7)).unwrap();
        let mut fork = chain[..7].to_vec();
        for other in random_chain(SEED ^ 0x64, 9) {
            let mut block = other.block;
            block.previous_block_hash = fork[fork.len() - 1].hash.clone().into_bytes();
            // A transaction that a block taken back had is in another block now.
            block
                .transactions
                .extend(chain[10].block.transactions.iter().cloned());
            fork.push(Known::new(block));
        }
        restore_singly(&open.blocks, 8, &fork[7..]);
        for tx_id in chain[10].tx_ids() {
            let newest = open.blocks.get_block_by_tx_id(tx_id).unwrap();
            assert!(newest.as_ref() == Some(&fork[15].bytes));
        }
        open.blocks.rollback_to_height(Height::new(8)).unwrap();
        for tx_id in chain[10].tx_ids() {
            let earlier = open.blocks.get_block_by_tx_id(tx_id).unwrap();
            assert!(
                earlier.as_ref() == Some(&fork[7].bytes),
                "the one before is found again"
            );
        }
        compare(&open.blocks, &fork[..8], "the fork");
    });
}
