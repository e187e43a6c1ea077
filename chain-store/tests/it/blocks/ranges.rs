//! Blocks in a row out of segments, on every engine: lent, iterated over and read ahead they are
//! the same, before and after their segments are packed; what comes before damage is given.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use blocks::{Block, ReadAhead, SegmentBlocks};
use chain_store::{AnyStore, EngineName};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::blocks::{AutoCommit, BlockError, BlockQuery, BlockStore, Height, NewBlock};
use storage_api::{Durability, KvStore, OpenOptions, Schema};

use super::segments::{hash, open};

const SEED: u64 = 0x7261_6e67_6573;

type Auto = AutoCommit<AnyStore, SegmentBlocks<AnyStore>>;

/// Bodies of 0 to 9,000 bytes that can be packed, some of 100,000, in segments of 20,000.
fn stored(engine: EngineName, place: &Path) -> (Arc<AnyStore>, Auto, Vec<Vec<u8>>) {
    let none = Schema::new(&[]).unwrap();
    let (store, blocks) = open(engine, place, &none, &OpenOptions::default()).unwrap();
    let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let body = |height: usize| {
        let len = match height % 40 {
            39 => 100_000,
            _ => dice.random_range(0..9_000),
        };
        (0..len).map(|_| dice.random_range(0..4)).collect()
    };
    let bodies: Vec<Vec<u8>> = (0..200).map(body).collect();
    let heights = 5_u64..;
    let group: Vec<NewBlock<'_>> = heights
        .zip(&bodies)
        .map(|(height, body)| NewBlock {
            height: Height::new(height),
            hash: hash(height),
            parent: hash(height - 1),
            tx_ids: &[],
            body,
        })
        .collect();
    auto.append_all(&group).unwrap();
    (store, auto, bodies)
}

fn lent(blocks: &SegmentBlocks<AnyStore>, store: &AnyStore, query: BlockQuery) -> Vec<Block> {
    let view = store.begin_read().unwrap();
    let mut found = Vec::new();
    let visited = blocks.range(&view, query, &mut |info, body| {
        found.push(Block {
            info: *info,
            body: body.to_vec().into(),
        });
        ControlFlow::Continue(())
    });
    visited.unwrap();
    found
}

fn iterated(
    blocks: &SegmentBlocks<AnyStore>,
    store: &AnyStore,
    query: BlockQuery,
    ahead: ReadAhead,
) -> Vec<Block> {
    let view = store.begin_read().unwrap();
    let found: Result<Vec<Block>, BlockError> = blocks.iter(&view, query, ahead).collect();
    found.unwrap()
}

fn ahead(threads: usize, bytes_max: u64) -> ReadAhead {
    ReadAhead { threads, bytes_max }
}

/// All ways of reading a range give the bodies that were stored.
fn compare(auto: &Auto, store: &AnyStore, bodies: &[Vec<u8>], dice: &mut ChaCha8Rng) {
    for _ in 0..scaled(60) {
        let query = BlockQuery {
            start: Height::new(dice.random_range(0..220)),
            blocks_max: [0, 1, 3, 64, 65, 130, u64::MAX][dice.random_range(0..7)],
            body_bytes_max: [0, 5_000, 120_000, 400_000, u64::MAX][dice.random_range(0..5)],
        };
        let found = lent(auto.blocks(), store, query);
        let from = usize::try_from(query.start.get().saturating_sub(5)).unwrap();
        let mut bytes = 0;
        let mut expected: Vec<&Vec<u8>> = Vec::new();
        for body in bodies.get(from..).unwrap_or_default() {
            bytes += body.len() as u64;
            let is_too_many = expected.len() as u64 >= query.blocks_max;
            if is_too_many || (!expected.is_empty() && bytes > query.body_bytes_max) {
                break;
            }
            expected.push(body);
        }
        let context = format!("{query:?}");
        assert!(
            found.iter().map(|block| &block.body).eq(expected),
            "{context}"
        );
        for how in [
            ahead(0, 0),
            ahead(1, 1),
            ahead(2, 50_000),
            ahead(3, 1 << 20),
        ] {
            let again = iterated(auto.blocks(), store, query, how);
            assert!(again == found, "{context}, {how:?}");
        }
    }
}

#[test]
fn ranges_are_the_same_lent_iterated_and_read_ahead_plain_and_packed() {
    println!("seed {SEED:#x}");
    for engine in EngineName::compiled() {
        let dir = tempfile::tempdir().unwrap();
        let (store, auto, bodies) = stored(engine, dir.path());
        let mut dice = ChaCha8Rng::seed_from_u64(SEED);
        compare(&auto, &store, &bodies, &mut dice);

        let view = store.begin_read().unwrap();
        let none = auto.blocks().pack(&view, Height::new(5)).unwrap();
        assert_eq!(none.segments, 0, "{engine}");
        let some = auto.blocks().pack(&view, Height::new(100)).unwrap();
        let rest = auto.blocks().pack(&view, Height::new(1_000)).unwrap();
        assert!(
            some.segments > 3 && rest.segments > 3,
            "{engine}: {some:?} {rest:?}"
        );
        assert!(
            rest.packed_bytes * 2 < rest.plain_bytes,
            "{engine}: {rest:?}"
        );
        drop(view);
        compare(&auto, &store, &bodies, &mut dice);

        // Cut into what is packed, and go on.
        auto.truncate(Some(Height::new(60))).unwrap();
        auto.prune(Height::new(20)).unwrap();
        let body = b"behind the cut";
        let block = NewBlock {
            height: Height::new(61),
            hash: hash(61),
            parent: hash(60),
            tx_ids: &[],
            body,
        };
        auto.append(block).unwrap();
        let found = lent(auto.blocks(), &store, BlockQuery::from(Height::new(0)));
        let found: Vec<&[u8]> = found.iter().map(|block| &*block.body).collect();
        let mut expected: Vec<&[u8]> = bodies[15..=55].iter().map(|body| &**body).collect();
        expected.push(body);
        assert!(found == expected, "{engine}");
        let view = store.begin_read().unwrap();
        let checked = auto.blocks().check(&view).unwrap();
        assert!(
            checked.segments.is_empty() && checked.blocks.is_empty(),
            "{engine}: {checked:?}"
        );
    }
}

#[test]
fn a_visitor_that_stops_is_told_where_to_go_on() {
    for engine in EngineName::compiled() {
        let dir = tempfile::tempdir().unwrap();
        let (store, auto, _) = stored(engine, dir.path());
        let view = store.begin_read().unwrap();
        for stop in [5, 6, 17, 90, 203, 204] {
            let mut seen = Vec::new();
            let all = BlockQuery::from(Height::new(0));
            let next = auto.blocks().range(&view, all, &mut |info, _| {
                seen.push(info.height.get());
                if info.height.get() == stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!(seen, (5..=stop).collect::<Vec<u64>>(), "{engine}");
            let expected = (stop < 204).then(|| Height::new(stop + 1));
            assert_eq!(next.unwrap(), expected, "{engine}, stopped at {stop}");
        }
    }
}

#[test]
fn what_comes_before_a_damaged_or_absent_body_is_given_and_then_the_error() {
    for engine in EngineName::compiled() {
        let dir = tempfile::tempdir().unwrap();
        let (store, auto, bodies) = stored(engine, dir.path());
        let view = store.begin_read().unwrap();
        let at = auto.blocks().record_place(&view, Height::new(77)).unwrap();
        let at = at.unwrap();
        let file = dir.path().join("segments").join(at.segment.file_name());
        let mut bytes = fs::read(&file).unwrap();
        let middle = usize::try_from(at.offset).unwrap() + 40;
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let all = BlockQuery::from(Height::new(0));
        for how in [ahead(0, 0), ahead(2, 1 << 20), ahead(2, 1)] {
            let mut found = auto.blocks().iter(&view, all, how);
            for height in 5..77 {
                let block = found.next().unwrap().unwrap();
                assert_eq!(block.info.height, Height::new(height), "{engine}, {how:?}");
                assert!(block.body == bodies[usize::try_from(height - 5).unwrap()]);
            }
            let error = found.next().unwrap().unwrap_err();
            assert!(error.to_string().contains(".seg"), "{engine}: {error}");
            assert!(found.next().is_none(), "{engine}, {how:?}");
        }
        let mut seen = 4;
        let error = auto.blocks().range(&view, all, &mut |info, _| {
            seen = info.height.get();
            ControlFlow::Continue(())
        });
        assert!(error.is_err(), "{engine}");
        assert_eq!(seen, 76, "{engine}");
        drop(view);
        drop(auto);
        // An archived segment: everything but the bodies in it is known.
        let first = fs::read_dir(dir.path().join("segments")).unwrap();
        let first = first.map(|entry| entry.unwrap().path()).min().unwrap();
        let kept = fs::read(&first).unwrap();
        fs::remove_file(&first).unwrap();
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        if engine != EngineName::Mem {
            drop(store);
            let none = Schema::new(&[]).unwrap();
            let (store, blocks) = open(engine, dir.path(), &none, &OpenOptions::default()).unwrap();
            let view = store.begin_read().unwrap();
            let error = blocks
                .iter(&view, all, ahead(2, 1 << 20))
                .next()
                .unwrap()
                .unwrap_err();
            let BlockError::BodyAbsent { height, place } = &error else {
                panic!("{engine}: {error}");
            };
            assert_eq!(*height, Height::new(5), "{engine}");
            assert!(place.ends_with("0000000000.seg"), "{engine}: {place}");
            assert!(
                blocks.info(&view, Height::new(5)).unwrap().is_some(),
                "{engine}"
            );
            fs::write(&first, kept).unwrap();
            assert_eq!(lent(&blocks, &store, all).len(), bodies.len(), "{engine}");
        }
    }
}
