//! Upstream's corners by name.

use chain_store::AnyStore;
use compat::bitshares::{BlockDatabaseStore, DatabaseError, IfShort};
use storage_api::blocks::{BlockHash, Height};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{id, open, open_with, options, schema};
use crate::stores::{Lab, engines, rows_of};

const fn number(number: u64) -> Height {
    Height::new(number)
}

fn is_not_contained<T>(result: &Result<T, DatabaseError>, asked: u64) -> bool {
    matches!(result, Err(DatabaseError::NotContained { number }) if number.get() == asked)
}

#[test]
fn a_removed_block_is_not_fetched_keeps_its_id_and_is_not_the_last() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = open(&lab.store(), lab.disk());
        assert_eq!(blocks.last().unwrap(), None, "{engine}");
        assert_eq!(blocks.last_id().unwrap(), None, "{engine}");
        for at in 1..=5 {
            blocks
                .store(&id(at, 1), format!("block {at}").as_bytes())
                .unwrap();
        }
        for at in [5, 4, 2] {
            assert!(blocks.remove(&id(at, 1)).unwrap(), "{engine}");
            assert!(
                !blocks.remove(&id(at, 1)).unwrap(),
                "{engine}: a second time"
            );
        }
        drop(blocks);
        let blocks = open(&lab.store(), lab.disk());
        for at in [5, 4, 2] {
            assert!(!blocks.contains(&id(at, 1)).unwrap(), "{engine}");
            assert_eq!(blocks.fetch_optional(&id(at, 1)).unwrap(), None, "{engine}");
            assert_eq!(blocks.fetch_by_number(number(at.into())).unwrap(), None);
            assert_eq!(blocks.fetch_block_id(number(at.into())).unwrap(), id(at, 1));
        }
        // Back over 5 and 4.
        assert_eq!(blocks.last_id().unwrap(), Some(id(3, 1)), "{engine}");
        let last = blocks.last().unwrap().unwrap();
        assert_eq!((last.number, &last.block[..]), (number(3), &b"block 3"[..]));
        // Only on purpose are the rows of removed blocks at the end taken away.
        let truncated = blocks.truncate_to_last_valid().unwrap();
        assert_eq!(
            (truncated.removed_rows, truncated.lost_rows),
            (2, 0),
            "{engine}"
        );
        assert!(
            is_not_contained(&blocks.fetch_block_id(number(4)), 4),
            "{engine}"
        );
        assert_eq!(
            blocks.fetch_block_id(number(2)).unwrap(),
            id(2, 1),
            "{engine}"
        );
        assert_eq!(blocks.last_id().unwrap(), Some(id(3, 1)), "{engine}");
        for at in [1, 3] {
            blocks.remove(&id(at, 1)).unwrap();
        }
        assert_eq!(blocks.last().unwrap(), None, "{engine}: all were removed");
        assert_eq!(blocks.truncate_to_last_valid().unwrap().removed_rows, 3);
        assert!(rows_of(&**blocks.database().store(), "bitshares.blocks").is_empty());
        blocks.store(&id(1, 2), b"again").unwrap();
        assert_eq!(blocks.last_id().unwrap(), Some(id(1, 2)), "{engine}");
        blocks.close().unwrap();
    }
}

#[test]
fn storing_at_a_number_replaces_what_is_there_and_numbers_may_be_sparse() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = open(&lab.store(), lab.disk());
        for at in [7, 3, 1_000_000, u32::MAX, 0] {
            blocks.store(&id(at, 1), &at.to_le_bytes()).unwrap();
        }
        assert_eq!(blocks.last_id().unwrap(), Some(id(u32::MAX, 1)), "{engine}");
        blocks.store(&id(7, 2), b"the other branch").unwrap();
        assert!(!blocks.contains(&id(7, 1)).unwrap(), "{engine}");
        assert_eq!(blocks.fetch_optional(&id(7, 1)).unwrap(), None, "{engine}");
        // The block that was replaced is not removed, and nothing happens to the one in its place.
        assert!(!blocks.remove(&id(7, 1)).unwrap(), "{engine}");
        let found = blocks.fetch_by_number(number(7)).unwrap().unwrap();
        assert_eq!(
            (found.id, &found.block[..]),
            (id(7, 2), &b"the other branch"[..])
        );
        // A fork switch goes back to the first one.
        blocks.store(&id(7, 1), b"back again").unwrap();
        assert_eq!(
            blocks.fetch_block_id(number(7)).unwrap(),
            id(7, 1),
            "{engine}"
        );
        // The same block with other bytes.
        blocks.store(&id(7, 1), b"once more").unwrap();
        let found = blocks.fetch_optional(&id(7, 1)).unwrap().unwrap();
        assert_eq!(found.block, b"once more", "{engine}");
        // A removed number is stored again.
        blocks.remove(&id(3, 1)).unwrap();
        blocks.store(&id(3, 1), b"three").unwrap();
        assert!(blocks.contains(&id(3, 1)).unwrap(), "{engine}");
        let view = blocks.database().store().begin_read().unwrap();
        let check = blocks.database().check(&view).unwrap();
        assert_eq!(
            (check.sound_blocks, check.trash_records),
            (5, 4),
            "{engine}"
        );
    }
}

#[test]
fn what_is_not_there_is_an_error_or_nothing_as_upstream_has_it() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = open(&lab.store(), lab.disk());
        assert!(
            is_not_contained(&blocks.remove(&id(1, 1)), 1),
            "{engine}: empty"
        );
        assert!(
            is_not_contained(&blocks.fetch_block_id(number(1)), 1),
            "{engine}"
        );
        blocks.store(&id(9, 1), b"nine").unwrap();
        // A hole below the highest number: nothing to remove. Above it: an error.
        assert!(!blocks.remove(&id(4, 1)).unwrap(), "{engine}");
        assert!(is_not_contained(&blocks.remove(&id(10, 1)), 10), "{engine}");
        assert!(
            is_not_contained(&blocks.fetch_block_id(number(4)), 4),
            "{engine}"
        );
        for absent in [4, 10] {
            assert!(!blocks.contains(&id(absent, 1)).unwrap(), "{engine}");
            assert_eq!(blocks.fetch_optional(&id(absent, 1)).unwrap(), None);
            assert_eq!(blocks.fetch_by_number(number(absent.into())).unwrap(), None);
        }
        // Size 0 stands for a removed block, and the id of zeros for no block.
        let refused = [
            blocks.store(&id(10, 1), b""),
            blocks.store(&BlockHash::new(&[0; 20]).unwrap(), b"zeros"),
            blocks.store(&BlockHash::new(&[1, 2, 3]).unwrap(), b"short"),
            blocks.store_all(&[(id(10, 1), b"ten"), (id(11, 1), b"")]),
        ];
        assert!(refused.iter().all(Result::is_err), "{engine}");
        assert_eq!(blocks.last_id().unwrap(), Some(id(9, 1)), "{engine}");
        blocks.flush().unwrap();
    }
}

#[test]
fn stored_blocks_are_in_the_transaction_of_the_caller() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = open(&lab.store(), lab.disk());
        let database = blocks.database();
        blocks.store(&id(1, 1), b"one").unwrap();
        let before = rows_of(&**database.store(), "");
        let mut txn = database.store().begin_write().unwrap();
        database.store_block(&mut txn, &id(2, 1), b"two").unwrap();
        database.remove(&mut txn, &id(1, 1)).unwrap();
        assert!(
            database.contains(&txn, &id(2, 1)).unwrap(),
            "{engine}: its own write"
        );
        assert_eq!(database.last_id(&txn).unwrap(), Some(id(2, 1)), "{engine}");
        drop(txn);
        assert_eq!(
            rows_of(&**database.store(), ""),
            before,
            "{engine}: given up"
        );
        let old_view = database.store().begin_read().unwrap();
        let mut txn = database.store().begin_write().unwrap();
        let both = [(id(2, 2), &b"other two"[..]), (id(1, 2), b"other one")];
        database.store_all(&mut txn, &both).unwrap();
        txn.commit(Durability::Durable).unwrap();
        assert_eq!(blocks.last_id().unwrap(), Some(id(2, 2)), "{engine}");
        // A view from before reads what was there then.
        let found = database.fetch_by_number(&old_view, number(1)).unwrap();
        assert_eq!(found.unwrap().block, b"one", "{engine}");
        drop(old_view);
        drop(blocks);
        let blocks = open(&lab.store(), lab.disk());
        let found = blocks.fetch_by_number(number(1)).unwrap().unwrap();
        assert_eq!(found.block, b"other one", "{engine}");
    }
}

/// What was stored and not committed goes when the database is opened, where it ends the log.
#[test]
fn what_no_commit_knows_goes_with_the_opening() {
    for engine in engines() {
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let blocks = open(&lab.store(), lab.disk());
        blocks.store(&id(1, 1), b"one").unwrap();
        let database = blocks.database();
        for at in [2, 3] {
            let mut txn = database.store().begin_write().unwrap();
            database
                .store_block(&mut txn, &id(at, 1), b"given up")
                .unwrap();
        }
        let trash = |blocks: &BlockDatabaseStore<AnyStore>| {
            let view = blocks.database().store().begin_read().unwrap();
            blocks.database().check(&view).unwrap().trash_records
        };
        assert_eq!(trash(&blocks), 2, "{engine}");
        drop(blocks);
        let options = options(IfShort::Refuse);
        let (blocks, opened) = open_with(&lab.store(), lab.disk(), &options).unwrap();
        assert_eq!(opened.uncommitted_records, 2, "{engine}");
        assert_eq!(trash(&blocks), 0, "{engine}");
        assert_eq!(blocks.last_id().unwrap(), Some(id(1, 1)), "{engine}");
        drop(blocks);
        // Without any row nothing says what the records are, so they stay.
        crate::stores::put_rows(&*lab.store(), "", &Default::default());
        let (blocks, opened) = open_with(&lab.store(), lab.disk(), &options).unwrap();
        assert_eq!(opened.uncommitted_records, 0, "{engine}");
        assert_eq!(
            (blocks.last().unwrap(), trash(&blocks)),
            (None, 1),
            "{engine}"
        );
    }
}
