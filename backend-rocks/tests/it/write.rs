//! Writing: range deletes in both lanes, large commits, batches beside each other, limits.

use storage_api::{
    CommitOrder, Cursor, Durability, ErrorKind, KeyRange, KvStore, OpenOptions, Reader, WriteBatch,
    WriteTxn, Writer,
};

use crate::support::{HINTED, PLAIN, Place, Random, Rows, id, rows};

const LONGEST: usize = backend_rocks::KEY_BYTES_MAX;

/// Keys at the very end of the order.
fn last_keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = [1, 511, 512, 513, LONGEST - 1, LONGEST]
        .map(|len| vec![0xff; len])
        .to_vec();
    keys.push([vec![0xff; LONGEST - 1], vec![0xfe]].concat());
    keys.push(b"middle".to_vec());
    keys
}

#[test]
fn an_unbounded_range_delete_reaches_the_longest_key_in_both_lanes() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let fill = |many: u32| {
        let mut batch = WriteBatch::new();
        for key in last_keys() {
            batch.put(table, &key, b"x").unwrap();
        }
        for number in 0..many {
            let key = [b"n", &number.to_be_bytes()[..]].concat();
            batch.put(table, &key, b"x").unwrap();
        }
        batch.put(table, b"a", b"kept").unwrap();
        store.apply(&batch, Durability::Buffered).unwrap();
    };
    let only_a = Rows::from([(b"a".to_vec(), b"kept".to_vec())]);
    // Few rows are deleted one by one by a transaction, many with a tombstone.
    for many in [0, 300] {
        for range in [KeyRange::from_key(b"b"), KeyRange::all()] {
            fill(many);
            let mut batch = WriteBatch::new();
            batch.delete_range(table, &range).unwrap();
            store.apply(&batch, Durability::Buffered).unwrap();
            let view = store.begin_read().unwrap();
            let left = rows(&view, table);
            assert_eq!(
                left,
                if range.is_all() {
                    Rows::new()
                } else {
                    only_a.clone()
                }
            );

            fill(many);
            let mut txn = store.begin_write().unwrap();
            txn.delete_range(table, &range).unwrap();
            assert_eq!(rows(&txn, table), left);
            txn.commit(Durability::Buffered).unwrap();
            assert_eq!(rows(&store.begin_read().unwrap(), table), left);
        }
    }
}

#[test]
fn a_range_of_bounds_longer_than_any_key_is_no_error() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let mut batch = WriteBatch::new();
    let longest = vec![0xff; LONGEST];
    batch.put(table, &longest, b"last").unwrap();
    for from in [LONGEST + 1, LONGEST + 2] {
        let from = vec![0xff; from];
        batch
            .delete_range(table, &KeyRange::from_key(&from))
            .unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    assert_eq!(rows(&store.begin_read().unwrap(), table).len(), 1);
    batch.clear();
    let beyond = vec![0xff; LONGEST + 9];
    let range = KeyRange::half_open(&longest, &beyond);
    batch.delete_range(table, &range).unwrap();
    store.apply(&batch, Durability::Buffered).unwrap();
    assert_eq!(rows(&store.begin_read().unwrap(), table).len(), 0);
}

#[test]
fn own_puts_before_a_range_delete_go_and_those_after_it_stay() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &PLAIN);
    for rows_before in [0, 50, 500] {
        let mut batch = WriteBatch::new();
        for number in 0..rows_before {
            let key = format!("k{number:04}");
            batch.put(table, key.as_bytes(), b"old").unwrap();
        }
        store.apply(&batch, Durability::Buffered).unwrap();
        let mut txn = store.begin_write().unwrap();
        txn.put(table, b"k9", b"before").unwrap();
        txn.put(table, b"z", b"outside").unwrap();
        txn.delete_range(table, &KeyRange::prefix(b"k")).unwrap();
        txn.put(table, b"k0001", b"after").unwrap();
        // A second one, whose range no own put touches.
        txn.delete_range(table, &KeyRange::prefix(b"kk")).unwrap();
        txn.commit(Durability::Buffered).unwrap();
        let expected = Rows::from([
            (b"k0001".to_vec(), b"after".to_vec()),
            (b"z".to_vec(), b"outside".to_vec()),
        ]);
        let view = store.begin_read().unwrap();
        assert_eq!(rows(&view, table), expected, "{rows_before} rows before");
    }
}

#[test]
fn a_commit_that_is_sorted_gives_what_an_unsorted_one_gives() {
    let place = Place::new();
    let store = place.open();
    let tables = [id(&store, &PLAIN), id(&store, &HINTED)];
    for in_txn in [true, false] {
        let mut random = Random(11);
        let mut expected = [Rows::new(), Rows::new()];
        let mut batch = WriteBatch::new();
        for table in tables {
            batch.delete_range(table, &KeyRange::all()).unwrap();
        }
        store.apply(&batch, Durability::Buffered).unwrap();
        batch.clear();
        for _ in 0..25_000 {
            let at = random.below(2) as usize;
            let key = (random.below(4_000) as u32).to_be_bytes();
            if random.below(4) == 0 {
                batch.delete(tables[at], &key).unwrap();
                expected[at].remove(&key[..]);
            } else {
                let value = random.next().to_be_bytes();
                batch.put(tables[at], &key, &value).unwrap();
                expected[at].insert(key.to_vec(), value.to_vec());
            }
        }
        if in_txn {
            let mut txn = store.begin_write().unwrap();
            batch.replay(&mut txn).unwrap();
            txn.commit(Durability::Buffered).unwrap();
        } else {
            store.apply(&batch, Durability::Buffered).unwrap();
        }
        let view = store.begin_read().unwrap();
        for (table, expected) in tables.into_iter().zip(&expected) {
            assert!(
                rows(&view, table) == *expected,
                "in a transaction: {in_txn}"
            );
        }
    }
}

#[test]
fn batches_of_many_threads_are_each_whole() {
    const THREADS: u8 = 4;
    const BATCHES: u32 = 60;
    let place = Place::new();
    let mut options = OpenOptions::new();
    options.commit_order = CommitOrder::Relaxed;
    let store = place.try_open(&options).unwrap();
    let tables = [id(&store, &PLAIN), id(&store, &HINTED)];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for number in 0..BATCHES {
                    let mut batch = WriteBatch::new();
                    for table in tables {
                        batch.put(table, &[thread], &number.to_be_bytes()).unwrap();
                        let key = [&[b'#', thread][..], &number.to_be_bytes()].concat();
                        batch.put(table, &key, b"").unwrap();
                    }
                    let commit = store.apply(&batch, Durability::Buffered).unwrap();
                    assert_eq!(commit.seq, None);
                }
            });
        }
        // A transaction in between has the database to itself.
        for _ in 0..20 {
            let txn = store.begin_write().unwrap();
            let before = [rows(&txn, tables[0]), rows(&txn, tables[1])];
            assert!(before[0] == before[1], "a batch was seen in one table only");
            assert!(
                rows(&txn, tables[0]) == before[0],
                "it changed under a transaction"
            );
            drop(txn);
            let view = store.begin_read().unwrap();
            assert!(rows(&view, tables[0]) == rows(&view, tables[1]));
        }
    });
    let view = store.begin_read().unwrap();
    let all = usize::from(THREADS) * (BATCHES as usize + 1);
    assert_eq!(rows(&view, tables[0]).len(), all);
}

#[test]
fn keys_past_the_limit_are_refused_and_the_longest_is_taken() {
    let place = Place::new();
    let store = place.open();
    let table = id(&store, &HINTED);
    let mut txn = store.begin_write().unwrap();
    txn.put(table, &vec![7; LONGEST], b"longest").unwrap();
    let refused = txn.put(table, &vec![7; LONGEST + 1], b"").unwrap_err();
    assert!(matches!(
        refused.kind(),
        ErrorKind::KeyTooLong { max: LONGEST, .. }
    ));
    txn.commit(Durability::Durable).unwrap();
    let view = store.begin_read().unwrap();
    let mut cursor = view.cursor(table, KeyRange::all()).unwrap();
    assert_eq!(cursor.last().unwrap().unwrap().key.len(), LONGEST);
}
