//! R-A1 and R-A2: what can be asked of a chain, at and beyond its ends; and blocks one by one,
//! bounded by count and bytes, over a view that later changes do not reach.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chain_store::EngineName;
use compat::repchain::{FileNo, Limits, Options, SelfCheckOptions, proto};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::KvStore;
use storage_api::blocks::{BlockError, BlockQuery, Height};

use super::{
    Known, Open, Place, SEED, buffered, bytes_of, compare, on_each_engine, random_chain, restore,
};

/// The chain that the criterion names.
const BLOCKS: usize = 2_500;

/// A thousand blocks a file or so, so that the chain has some.
fn long_options() -> Options {
    Options {
        file_bytes_max: 500_000,
        ..buffered()
    }
}

/// Height asked for, limit, and the heights that come.
const ROWS: [(u64, u64, std::ops::RangeInclusive<usize>); 11] = [
    (1, 0, 1..=1_000),
    (2_001, 0, 2_001..=2_500),
    (1, 10, 1..=10),
    (2_499, 10, 2_499..=2_500),
    (2_500, 1, 2_500..=2_500),
    (1, 2_500, 1..=2_500),
    (1, 9_999, 1..=2_500),
    (1_501, 0, 1_501..=2_500),
    (1_502, 0, 1_502..=2_500),
    (2_500, 0, 2_500..=2_500),
    (1, 1, 1..=1),
];

fn ask(open: &Open, chain: &[Known], (height, limit): (u64, u64), expected: &[Known]) {
    let height = Height::new(height);
    let context = format!("from {height}, limit {limit}, chain of {}", chain.len());
    let blocks = &open.blocks;
    let bytes = blocks.get_blocks_from_height(height, limit).unwrap();
    assert_eq!(bytes.len(), expected.len(), "{context}");
    assert!(
        bytes.iter().eq(expected.iter().map(|one| &one.bytes)),
        "{context}"
    );
    let objects = blocks.get_blocks4object_from_height_limits(height, limit);
    let objects = objects.unwrap();
    assert!(
        objects.iter().eq(expected.iter().map(|one| &one.block)),
        "{context}"
    );
    if limit == 0 {
        let short = blocks.get_blocks4object_from_height(height).unwrap();
        assert!(short == objects, "{context}");
        let same = blocks.get_blocks_from_height(height, Limits::Default);
        assert!(same.unwrap() == bytes, "{context}");
    }
}

#[test]
fn r_a1_blocks_from_a_height_with_every_limit() {
    let chain = random_chain(SEED ^ 1, BLOCKS);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&long_options());
        for height in [0, 1, 2] {
            ask(&open, &[], (height, 0), &[]);
            ask(&open, &[], (height, 5), &[]);
        }
        assert_eq!(
            open.blocks.get_block_chain_info().unwrap(),
            proto::BlockchainInfo::default()
        );
        assert_eq!(open.blocks.get_block_height().unwrap(), Height::ZERO);
        assert_eq!(open.blocks.get_block_all_tx_number().unwrap(), 0);
        assert_eq!(open.blocks.get_max_file_no().unwrap(), FileNo::new(0));
        assert!(
            open.blocks
                .get_block_idx_by_height(Height::new(1))
                .unwrap()
                .is_none()
        );

        restore(&open.blocks, &chain);
        for (height, limit, expected) in ROWS {
            let expected = &chain[expected.start() - 1..*expected.end()];
            ask(&open, &chain, (height, limit), expected);
        }
        for limit in [0, 1, 10, 2_500] {
            for height in [0, 2_501, u64::MAX] {
                ask(&open, &chain, (height, limit), &[]);
            }
        }
        drop(open);
        let capped = Options {
            blocks_max: NonZeroU64::new(700),
            ..long_options()
        };
        let open = place.open(&capped);
        for (limit, expected) in [(0, 700), (2_500, 700), (700, 700), (699, 699), (1, 1)] {
            ask(&open, &chain, (1, limit), &chain[..expected]);
        }
    });
}

#[test]
fn r_a2_every_block_is_found_in_every_way() {
    let chain = random_chain(SEED ^ 2, scaled(600));
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&long_options());
        restore(&open.blocks, &chain);
        compare(&open.blocks, &chain, "as restored");
        drop(open);
        let open = place.open(&long_options());
        compare(&open.blocks, &chain, "opened again");
        let blocks = &open.blocks;
        let known = &chain[0].hash;
        let longer = format!("{known}0");
        let upper = known.to_uppercase();
        for unknown in [
            "",
            "0",
            &known[1..],
            &longer,
            &upper,
            "00".repeat(32).as_str(),
        ] {
            assert!(
                blocks.get_block_by_hash(unknown).unwrap().is_none(),
                "{unknown}"
            );
            assert!(blocks.get_block_height_by_hash(unknown).unwrap().is_none());
            assert!(blocks.get_block_idx_by_hash(unknown).unwrap().is_none());
            assert!(
                blocks.get_block_by_tx_id(unknown).unwrap().is_none(),
                "{unknown}"
            );
        }
        assert!(
            blocks.get_block_by_hash([0]).unwrap().is_none(),
            "no hash is the empty one"
        );
        assert!(blocks.get_block_by_hash(vec![7; 1_000]).unwrap().is_none());
        for invalid in [
            "",
            "=",
            "*",
            "ab",
            "YWI",
            "YWI=\n",
            "YQ==YQ==",
            "\u{e4}\u{f6}",
        ] {
            let found = blocks.get_block_by_base64_hash(invalid).unwrap();
            assert!(found.is_none(), "{invalid}");
        }
        for height in [0, chain.len() as u64 + 1, u64::MAX] {
            let height = Height::new(height);
            assert!(blocks.get_block_by_height(height).unwrap().is_none());
            assert!(blocks.get_block4object_by_height(height).unwrap().is_none());
            assert!(blocks.get_block_idx_by_height(height).unwrap().is_none());
        }
    });
}

/// Blocks by visit and by iterator: their heights, and where to go on.
fn one_by_one(open: &Open, query: BlockQuery, chain: &[Known]) -> (Vec<u64>, Option<u64>) {
    let (mut heights, mut bytes) = (Vec::new(), Vec::new());
    let next = open
        .blocks
        .visit_blocks_from_height(query, &mut |info, body| {
            heights.push(info.height.get());
            bytes.push(body.to_vec());
            ControlFlow::Continue(())
        });
    let next = next.unwrap().map(Height::get);
    let mut objects = Vec::new();
    let same = open
        .blocks
        .visit_blocks4object_from_height(query, &mut |_, block| {
            objects.push(block);
            ControlFlow::Continue(())
        });
    assert_eq!(same.unwrap().map(Height::get), next);
    let mut iter = open.blocks.blocks_from_height(query).unwrap();
    let mut count = 0;
    for ((info, body), height) in iter.by_ref().map(Result::unwrap).zip(&heights) {
        assert_eq!(info.height.get(), *height);
        assert!(body == bytes[count] && body == chain[*height as usize - 1].bytes);
        assert!(objects[count] == chain[*height as usize - 1].block);
        count += 1;
    }
    assert_eq!(count, heights.len());
    assert!(iter.next().is_none());
    if let Some(next) = next {
        assert_eq!(iter.next_height().map(Height::get), Some(next));
    }
    (heights, next)
}

#[test]
fn blocks_come_one_by_one_bounded_by_count_and_bytes() {
    let chain = random_chain(SEED ^ 3, 40);
    let sizes: Vec<u64> = chain.iter().map(|one| one.bytes.len() as u64).collect();
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&buffered());
        restore(&open.blocks, &chain);
        let from = |height| BlockQuery::from(Height::new(height));
        assert_eq!(one_by_one(&open, from(39), &chain), (vec![39, 40], None));
        assert_eq!(one_by_one(&open, from(0), &chain), (vec![], None));
        assert_eq!(one_by_one(&open, from(41), &chain), (vec![], None));
        let three = BlockQuery {
            blocks_max: 3,
            ..from(5)
        };
        assert_eq!(one_by_one(&open, three, &chain), (vec![5, 6, 7], Some(8)));
        let exact = BlockQuery {
            body_bytes_max: sizes[9] + sizes[10],
            ..from(10)
        };
        assert_eq!(one_by_one(&open, exact, &chain), (vec![10, 11], Some(12)));
        let less = BlockQuery {
            body_bytes_max: sizes[9] + sizes[10] - 1,
            ..from(10)
        };
        assert_eq!(one_by_one(&open, less, &chain), (vec![10], Some(11)));
        let first_is_given = BlockQuery {
            body_bytes_max: 0,
            ..from(10)
        };
        assert_eq!(
            one_by_one(&open, first_is_given, &chain),
            (vec![10], Some(11))
        );
        let mut seen = 0;
        let next = open.blocks.visit_blocks_from_height(from(1), &mut |_, _| {
            seen += 1;
            if seen == 4 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        assert_eq!((seen, next.unwrap()), (4, Some(Height::new(5))));
    });
}

#[test]
fn an_iterator_goes_on_over_its_view_while_its_blocks_are_taken_back() {
    let chain = random_chain(SEED ^ 4, 30);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&buffered());
        restore(&open.blocks, &chain);
        let query = BlockQuery::from(Height::new(1));
        let mut iter = open.blocks.blocks_from_height(query).unwrap();
        let first = iter.next().unwrap().unwrap();
        assert!(first.1 == chain[0].bytes);
        open.blocks.rollback_to_height(Height::new(3)).unwrap();
        assert_eq!(open.height(), 3);
        let rest: Vec<Vec<u8>> = iter.map(|step| step.unwrap().1).collect();
        assert!(rest.iter().eq(chain[1..].iter().map(|one| &one.bytes)));
        compare(&open.blocks, &chain[..3], "beside the iterator");
        restore(&open.blocks, &chain[3..]);
        compare(&open.blocks, &chain, "restored again");
    });
}

#[test]
fn readers_beside_restoring_and_taking_back_see_whole_chains() {
    let chain = random_chain(SEED ^ 8, 40);
    let rounds = scaled(150).max(20);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&buffered());
        restore(&open.blocks, &chain[..10]);
        let is_done = AtomicBool::new(false);
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        let query = BlockQuery::from(Height::new(1));
                        let found = open.blocks.blocks_from_height(query).unwrap();
                        let found: Vec<Vec<u8>> = found.map(|step| step.unwrap().1).collect();
                        assert!(found.len() >= 10, "{engine}: {}", found.len());
                        let expected = chain.iter().map(|known| &known.bytes);
                        assert!(found.iter().eq(expected.take(found.len())), "{engine}");
                        let info = open.blocks.get_block_chain_info().unwrap();
                        let tip = &chain[info.height as usize - 1];
                        assert_eq!(info.current_block_hash, tip.hash.as_bytes(), "{engine}");
                        assert_eq!(info.current_world_state_hash, tip.block.state_hash);
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut dice = ChaCha8Rng::seed_from_u64(SEED ^ 9);
            let mut round = 0;
            while round < rounds || seen.load(Ordering::Relaxed) < 20 {
                round += 1;
                let up = dice.random_range(11..=chain.len());
                let known = open.height() as usize;
                if up > known {
                    restore(&open.blocks, &chain[known..up]);
                } else {
                    let back = Height::new(dice.random_range(10..=known as u64));
                    open.blocks.rollback_to_height(back).unwrap();
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        println!(
            "{engine}: {} chains were read",
            seen.load(Ordering::Relaxed)
        );
        let height = open.height() as usize;
        compare(&open.blocks, &chain[..height], "at the end");
        drop(open);
        compare(
            &place.open(&buffered()).blocks,
            &chain[..height],
            "opened again",
        );
    });
}

#[test]
fn what_was_pruned_is_told_and_not_replaced_by_what_is_left() {
    let chain = random_chain(SEED ^ 5, 40);
    on_each_engine(|engine| {
        use storage_api::blocks::BlockStore;
        use storage_api::{Durability, WriteTxn};
        let mut place = Place::new(engine);
        let open = place.open(&buffered());
        restore(&open.blocks, &chain);
        let mut txn = open.store.begin_write().unwrap();
        let tail = Height::new(21);
        let cleanup = open.blocks.blocks().prune(&mut txn, tail).unwrap();
        txn.commit(Durability::Durable).unwrap();
        open.blocks.blocks().finish(cleanup).unwrap();
        let refused = open.blocks.get_blocks_from_height(Height::new(20), 0);
        assert!(
            matches!(
                refused,
                Err(compat::repchain::Error::Block(BlockError::OutOfRange { tail: found, .. }))
                    if found == tail
            ),
            "{refused:?}"
        );
        assert!(
            open.blocks
                .get_block_by_height(Height::new(20))
                .unwrap()
                .is_none()
        );
        let left = open.blocks.get_blocks_from_height(tail, 0).unwrap();
        assert!(left.iter().eq(chain[20..].iter().map(|one| &one.bytes)));
        let checked = open
            .blocks
            .self_check(&SelfCheckOptions::with_seed(1))
            .unwrap();
        assert!(
            checked.faults.is_empty() && checked.blocks > 0,
            "{checked:?}"
        );
    });
}

/// Blocks in each file, in order.
fn in_files(open: &Open, blocks: u64) -> Vec<usize> {
    let files = (1..=blocks).map(|height| {
        let entry = open.blocks.get_block_idx_by_height(Height::new(height));
        entry.unwrap().unwrap().file_no
    });
    let files: Vec<FileNo> = files.collect();
    files.chunk_by(|a, b| a == b).map(<[_]>::len).collect()
}

#[test]
fn the_check_at_the_start_looks_at_ten_blocks_a_file_and_finds_damage() {
    let chain = random_chain(SEED ^ 6, 120);
    let options = Options {
        file_bytes_max: 20_000,
        ..buffered()
    };
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options);
        let empty = open
            .blocks
            .self_check(&SelfCheckOptions::with_seed(0))
            .unwrap();
        assert_eq!((empty.files, empty.blocks), (0, 0));
        restore(&open.blocks, &chain);
        let files = in_files(&open, 120);
        assert!(files.len() > 3, "{files:?}");
        let expected: usize = files.iter().map(|blocks| (*blocks).min(10)).sum();
        let before = (open.digest(), bytes_of(&place.files()));
        for seed in 0..5 {
            let checked = open
                .blocks
                .self_check(&SelfCheckOptions::with_seed(seed))
                .unwrap();
            assert_eq!(checked.files, files.len() as u64);
            assert_eq!(checked.blocks, expected as u64);
            assert!(checked.faults.is_empty(), "{checked:?}");
        }
        assert!(before == (open.digest(), bytes_of(&place.files())));

        // A bit of block 2, in the first file, which an opening does not read.
        let entry = open
            .blocks
            .get_block_idx_by_height(Height::new(2))
            .unwrap()
            .unwrap();
        drop(open);
        let file = place.files().join(entry.file_no.segment().file_name());
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[entry.file_pos as usize + 45] ^= 4;
        std::fs::write(&file, bytes).unwrap();
        let open = place.open(&options);
        let mut found = 0;
        for seed in 0..40 {
            let checked = open
                .blocks
                .self_check(&SelfCheckOptions::with_seed(seed))
                .unwrap();
            for fault in checked.faults {
                assert_eq!((fault.file_no, fault.height.get()), (FileNo::new(0), 2));
                found += 1;
            }
        }
        assert!(
            found > 0 && found < 40,
            "ten of {} blocks: {found} of 40",
            files[0]
        );
    });
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_block() {
    let chain = random_chain(SEED ^ 7, 3);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        restore(&place.open(&buffered()).blocks, &chain[..2]);
        let alarmed = Options {
            disk_free_bytes_min: u64::MAX,
            ..buffered()
        };
        let open = place.open(&alarmed);
        let is_known = open.store.stats().unwrap().disk_free_bytes.is_some();
        assert_eq!(is_known, engine != EngineName::Mem);
        let before = (open.digest(), bytes_of(&place.files()));
        let one = open.blocks.restore_block(&chain[2].block).map(drop);
        let bytes = [&chain[1].bytes, &chain[2].bytes];
        let list = open.blocks.restore_blocks_bytes(bytes);
        if is_known {
            use compat::repchain::Error::LowDiskSpace;
            let least = u64::MAX;
            assert!(
                matches!(one, Err(LowDiskSpace { least: of, .. }) if of == least),
                "{one:?}"
            );
            let error = list.unwrap_err();
            assert!(matches!(error.source, LowDiskSpace { .. }), "{error:?}");
            // The head again needs no space, and is the first of the list.
            assert_eq!(error.restored, 1);
            assert!(before == (open.digest(), bytes_of(&place.files())));
            open.blocks.restore_block(&chain[1].block).unwrap();
        } else {
            one.unwrap();
            assert_eq!(open.height(), 3);
        }
    });
}
