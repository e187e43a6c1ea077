//! C-A15: an index that is deleted, truncated, too long or garbage is noticed when the log is
//! opened and comes back equal, every row of every table.

use std::sync::Arc;

use blocks::{Followed, IndexCheck, LogBlock};
use chain_store::{AnyStore, EngineName};
use compat::chainbase::BlockLog;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::{Log, LogOptions};
use storage_api::blocks::{BlockError, BlockHash, Height};
use storage_api::{Count, KvStore, Reader};

use super::{append_each, chain, is_log, open, options, schema};
use crate::stores::{Lab, Rows, engines, put_rows, rows_of, table_of};

const SEED: u64 = 0x666f_6c6c;
const BLOCKS: usize = 20;

/// The tables that are made from the log.
const TABLES: [&str; 7] = [
    "blocks.index",
    "blocks.hashes",
    "blocks.txs",
    "blocks.tx-ids",
    "blocks.places",
    "blocks.state",
    "blocks.tally",
];

/// A log of twenty blocks in several segments, its rows, and those that it had at block 12.
struct Grown {
    lab: Lab,
    blocks: Vec<LogBlock>,
    rows: Rows,
    rows_at_12: Rows,
}

fn grown(engine: EngineName) -> Grown {
    let mut lab = Lab::new(engine, schema::<AnyStore>());
    let blocks = chain(SEED, 1, BLOCKS);
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    append_each(&log, &blocks[..12]);
    let rows_at_12 = rows_of(&**log.store(), "blocks.");
    append_each(&log, &blocks[12..]);
    let rows = rows_of(&**log.store(), "blocks.");
    drop(log);
    Grown {
        lab,
        blocks,
        rows,
        rows_at_12,
    }
}

impl Grown {
    /// Does this to the rows, opens the log, and looks whether everything is as it was before.
    fn lose(&mut self, what: &str, harm: impl FnOnce(&mut Rows)) -> Followed {
        let mut rows = self.rows.clone();
        harm(&mut rows);
        let context = format!("{}: {what}", self.lab.engine);
        let store = self.lab.store();
        put_rows(&*store, "blocks.", &rows);
        let (log, followed) = open(&store, self.lab.disk()).unwrap();
        let found = rows_of(&*store, "blocks.");
        assert!(found == self.rows, "{context}: the rows are others");
        is_log(&log, &self.blocks, &context);
        drop(log);
        let (_, again) = open(&store, self.lab.disk()).unwrap();
        assert_eq!(again, Followed::default(), "{context}: opened again");
        followed
    }
}

fn is_in(table: &str) -> impl Fn(&(String, Vec<u8>)) -> bool {
    move |(name, _)| name == table
}

/// The key of the row in the middle of a table.
fn middle(rows: &Rows, table: &str) -> (String, Vec<u8>) {
    let keys: Vec<_> = rows.keys().filter(|key| is_in(table)(key)).collect();
    keys[keys.len() / 2].clone()
}

#[test]
fn an_index_that_was_deleted_comes_back_equal() {
    for engine in engines() {
        let mut grown = grown(engine);
        let followed = grown.lose("no rows at all", Rows::clear);
        assert_eq!((followed.filled_blocks, followed.remade), (20, None));
        for table in TABLES {
            let followed = grown.lose(&format!("without {table}"), |rows| {
                rows.retain(|key, _| !is_in(table)(key));
            });
            assert!(followed.remade.is_some(), "{engine}: without {table}");
            assert_eq!(followed.filled_blocks, 20);
        }
    }
}

#[test]
fn an_index_that_was_truncated_comes_back_equal() {
    for engine in engines() {
        let mut grown = grown(engine);
        // An index as it was eight blocks ago is sound: it gets what it lacks and no more.
        let older = grown.rows_at_12.clone();
        let followed = grown.lose("the rows of block 12", |rows| *rows = older);
        assert_eq!((followed.filled_blocks, followed.remade), (8, None));
        let key_of_13 = 13_u64.to_be_bytes();
        for table in ["blocks.index", "blocks.places", "blocks.tx-ids"] {
            let followed = grown.lose(&format!("{table} up to 12"), |rows| {
                rows.retain(|key, _| !is_in(table)(key) || key.1[..] < key_of_13[..]);
            });
            assert!(followed.remade.is_some(), "{engine}: {table} up to 12");
        }
        for table in TABLES {
            for is_first in [true, false] {
                let what = format!("{table} without its first or last row");
                let followed = grown.lose(&what, |rows| {
                    let mut keys = rows.keys().filter(|key| is_in(table)(key));
                    let key = if is_first {
                        keys.next()
                    } else {
                        keys.next_back()
                    };
                    let key = key.unwrap().clone();
                    rows.remove(&key);
                });
                assert!(followed.remade.is_some(), "{engine}: {what}");
            }
        }
    }
}

#[test]
fn an_index_that_is_too_long_comes_back_equal() {
    for engine in engines() {
        let mut grown = grown(engine);
        for table in TABLES {
            let what = format!("a row more in {table}");
            let followed = grown.lose(&what, |rows| {
                let (key, value) = rows.iter().rfind(|(key, _)| is_in(table)(key)).unwrap();
                let mut longer = key.clone();
                let last = longer.1.len() - 1;
                longer.1[last] = longer.1[last].wrapping_add(1);
                let value = value.clone();
                rows.insert(longer, value);
            });
            assert!(followed.remade.is_some(), "{engine}: {what}");
        }
    }
}

/// The log itself is shorter than a sound index: what it does not have is taken out.
#[test]
fn an_index_longer_than_the_log_is_trimmed_to_it() {
    for engine in engines() {
        for kept in [12, 1, 0] {
            let mut grown = grown(engine);
            let log_options = LogOptions {
                segment_bytes_max: 1_500,
                advance_bytes: 0,
                ..LogOptions::default()
            };
            let (mut log, _) = Log::open(grown.lab.disk(), log_options).unwrap();
            log.truncate(seglog::Height::new(kept)).unwrap();
            drop(log);
            let (log, followed) = open(&grown.lab.store(), grown.lab.disk()).unwrap();
            let found = (
                followed.trimmed_blocks,
                followed.filled_blocks,
                followed.remade,
            );
            assert_eq!(found, (20 - kept, 0, None), "{engine}");
            if kept == 12 {
                let rows = rows_of(&**log.store(), "blocks.");
                assert!(rows == grown.rows_at_12, "{engine}: the rows are others");
            }
            let kept = usize::try_from(kept).unwrap();
            is_log(&log, &grown.blocks[..kept], engine.as_str());
            append_each(&log, &grown.blocks[kept..]);
            let rows = rows_of(&**log.store(), "blocks.");
            assert!(rows == grown.rows, "{engine}: the rows are others");
        }
    }
}

#[test]
fn an_index_of_garbage_comes_back_equal() {
    println!("seed {SEED:#x}");
    for engine in engines() {
        let mut dice = ChaCha8Rng::seed_from_u64(SEED);
        let mut grown = grown(engine);
        for table in TABLES {
            let keys: Vec<_> = grown
                .rows
                .keys()
                .filter(|key| is_in(table)(key))
                .cloned()
                .collect();
            let places = [0, keys.len() / 2, keys.len() - 1];
            for (at, how) in places
                .into_iter()
                .flat_map(|at| [(at, 0), (at, 1), (at, 2)])
            {
                let what = format!("{table}, row {at}, garbage {how}");
                let followed = grown.lose(&what, |rows| {
                    let value = rows.get_mut(&keys[at]).unwrap();
                    match how {
                        0 => *value = (0..30).map(|_| dice.random()).collect(),
                        1 => value.extend_from_slice(&[0; 3]),
                        _ if value.is_empty() => value.push(7),
                        _ => {
                            let bit = dice.random_range(0..value.len() * 8);
                            value[bit / 8] ^= 1 << (bit % 8);
                        }
                    }
                });
                assert!(followed.remade.is_some(), "{engine}: {what}");
            }
        }
        // Rows that are all right by themselves, at the wrong heights.
        for table in ["blocks.places", "blocks.index", "blocks.hashes"] {
            let what = format!("{table}: two rows have each other's value");
            let followed = grown.lose(&what, |rows| {
                let keys: Vec<_> = rows
                    .keys()
                    .filter(|key| is_in(table)(key))
                    .cloned()
                    .collect();
                let (one, other) = (rows[&keys[5]].clone(), rows[&keys[6]].clone());
                rows.insert(keys[5].clone(), other);
                rows.insert(keys[6].clone(), one);
            });
            assert!(followed.remade.is_some(), "{engine}: {what}");
        }
        let followed = grown.lose("all values of zeros", |rows| {
            rows.values_mut().for_each(|value| value.fill(0));
        });
        assert!(followed.remade.is_some(), "{engine}");
    }
}

/// Changes rows.
type Harm = fn(&mut Rows);

/// What is noticed at the ends though no row is missing or added.
const END_HARMS: [(&str, Harm); 4] = [
    ("the totals have other transactions", |rows| {
        let row = rows.iter_mut().find(|(key, _)| is_in("blocks.state")(key));
        row.unwrap().1[25] ^= 1;
    }),
    ("the place of block 11 is that of a block 21", |rows| {
        let key = |height: u64| ("blocks.places".to_owned(), height.to_be_bytes().to_vec());
        let place = rows.remove(&key(11)).unwrap();
        rows.insert(key(21), place);
    }),
    ("the last block has another length", |rows| {
        let row = rows.iter_mut().rfind(|(key, _)| is_in("blocks.index")(key));
        *row.unwrap().1.last_mut().unwrap() ^= 1;
    }),
    ("the first block is found at another number", |rows| {
        let first = rows.iter().find(|(key, _)| is_in("blocks.index")(key));
        let id = first.unwrap().1[2..34].to_vec();
        let row = rows.get_mut(&("blocks.hashes".to_owned(), id));
        row.unwrap()[0] ^= 1;
    }),
];

/// Looking at the ends costs some gets. It notices what was deleted and cut; a row in the middle
/// with other contents is met when it is read, and never gives another block.
#[test]
fn the_ends_alone_show_most_and_what_they_do_not_show_is_never_believed() {
    for engine in engines() {
        let mut grown = grown(engine);
        let store = grown.lab.store();
        let view = store.begin_read().unwrap();
        let count = view.count(table_of(&*store, "blocks.txs")).unwrap();
        let knows_rows = matches!(count, Count::Exact(_));
        drop((view, store));
        let mut open_after = |harm: &dyn Fn(&mut Rows)| {
            let mut rows = grown.rows.clone();
            harm(&mut rows);
            put_rows(&*grown.lab.store(), "blocks.", &rows);
            let store = grown.lab.store();
            let options = options(IndexCheck::Ends);
            let (log, followed) =
                BlockLog::open(Arc::clone(&store), grown.lab.disk(), &options).unwrap();
            (store, log, followed)
        };
        for table in TABLES {
            let harm = |rows: &mut Rows| rows.retain(|key, _| !is_in(table)(key));
            let (store, _, followed) = open_after(&harm);
            // Rows of transactions are at neither end.
            let is_at_ends = !matches!(table, "blocks.txs");
            assert_eq!(
                followed.remade.is_some(),
                is_at_ends || knows_rows,
                "{engine}: without {table}"
            );
            if followed.remade.is_some() {
                assert!(rows_of(&*store, "blocks.") == grown.rows, "{engine}");
            }
        }
        for table in ["blocks.places", "blocks.index"] {
            let harm = |rows: &mut Rows| {
                let key = rows.keys().rfind(|key| is_in(table)(key)).unwrap().clone();
                let mut longer = key.clone();
                longer.1[7] += 1;
                let value = rows[&key].clone();
                rows.insert(longer, value);
            };
            let (_, _, followed) = open_after(&harm);
            assert!(followed.remade.is_some(), "{engine}: {table} is too long");
        }
        for (what, harm) in END_HARMS {
            let (store, _, followed) = open_after(&harm);
            assert!(followed.remade.is_some(), "{engine}: {what}");
            assert!(
                rows_of(&*store, "blocks.") == grown.rows,
                "{engine}: {what}"
            );
        }
        // The place of block 11 is that of block 12.
        let harm = |rows: &mut Rows| {
            let place = |height: u64| ("blocks.places".to_owned(), height.to_be_bytes().to_vec());
            let other = rows[&place(12)].clone();
            rows.insert(place(11), other);
        };
        let (store, log, followed) = open_after(&harm);
        assert_eq!(
            followed,
            Followed::default(),
            "{engine}: it is not at an end"
        );
        let view = store.begin_read().unwrap();
        let read = log.read_block_by_num(&view, Height::new(11));
        assert!(is_corruption(read), "{engine}: another block was given");
        let walked: Vec<_> = log.walk_back(&view).unwrap().collect();
        assert_eq!(walked.len(), 10, "{engine}: 20 to 12, and the error");
        let compared = log.verify(&view).unwrap();
        assert!(!compared.is_sound(), "{engine}");
        assert!(
            compared.index.iter().any(|what| what.contains("block 11")),
            "{engine}: {compared:?}"
        );
        drop((view, log, store));
        // The ids of blocks 11 and 12 have each other's number.
        let [of_11, of_12] = [10, 11].map(|at: usize| grown.blocks[at].info.hash);
        let harm = |rows: &mut Rows| {
            let key = |id: &BlockHash| ("blocks.hashes".to_owned(), id.as_bytes().to_vec());
            let (one, other) = (rows[&key(&of_11)].clone(), rows[&key(&of_12)].clone());
            rows.insert(key(&of_11), other);
            rows.insert(key(&of_12), one);
        };
        let (store, log, followed) = open_after(&harm);
        assert_eq!(
            followed,
            Followed::default(),
            "{engine}: it is not at an end"
        );
        let view = store.begin_read().unwrap();
        let read = log.read_block_by_id(&view, &of_11);
        assert!(is_corruption(read), "{engine}: another block was given");
        drop((view, log, store));
        let (log, followed) = open(&grown.lab.store(), grown.lab.disk()).unwrap();
        assert!(followed.remade.is_some(), "{engine}");
        assert!(rows_of(&**log.store(), "blocks.") == grown.rows, "{engine}");
    }
}

fn is_corruption<T>(result: Result<T, BlockError>) -> bool {
    matches!(result, Err(BlockError::Store(error)) if error.is_corruption())
}

/// Rows that are as they were committed, and a log that is not theirs: the log is the truth.
#[test]
fn an_index_of_another_log_is_made_again() {
    for check in [IndexCheck::Rows, IndexCheck::Ends] {
        for engine in engines() {
            let mut grown = grown(engine);
            let other_blocks = chain(SEED + 1, 1, BLOCKS);
            let mut other = Lab::new(engine, schema::<AnyStore>());
            let (log, _) = open(&other.store(), other.disk()).unwrap();
            append_each(&log, &other_blocks);
            let rows = rows_of(&**log.store(), "blocks.");
            drop(log);
            let options = options(check);
            let opened = BlockLog::open(grown.lab.store(), other.disk(), &options);
            let (log, followed) = opened.unwrap();
            assert!(followed.remade.is_some(), "{engine}");
            assert!(
                rows_of(&**log.blocks().store(), "blocks.") == rows,
                "{engine}"
            );
        }
    }
}

/// A log in which blocks were replaced, as a store leaves it whose index is the truth.
#[test]
fn a_log_that_is_not_one_chain_is_refused_and_its_index_is_left_alone() {
    use storage_api::blocks::BlockStore;
    use storage_api::{Durability, WriteTxn};
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let store = lab.store();
    let segments = options(IndexCheck::Rows).segments;
    let blocks = chain(SEED, 1, 5);
    let opened = blocks::SegmentBlocks::open(Arc::clone(&store), lab.disk(), &segments);
    let (segment_blocks, _) = opened.unwrap();
    // Block 4 of another branch was staged and never appended.
    let other = chain(SEED + 1, 4, 1);
    for (at, block) in blocks.iter().enumerate() {
        if at == 3 {
            segment_blocks.stage(other[0].as_new()).unwrap();
        }
        let mut txn = store.begin_write().unwrap();
        let staged = segment_blocks.stage(block.as_new()).unwrap();
        segment_blocks.append(&mut txn, staged).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
    drop(segment_blocks);
    let rows = rows_of(&*store, "blocks.");
    let refused = open(&store, lab.disk()).map(drop);
    let text = refused.as_ref().unwrap_err().to_string();
    assert!(text.contains("record 3"), "{text}");
    assert!(is_corruption(refused));
    assert!(rows_of(&*store, "blocks.") == rows, "rows were changed");
}

/// More blocks than one commit of filling takes.
#[test]
fn a_long_index_is_made_again_in_parts() {
    let mut lab = Lab::new(EngineName::Mem, schema::<AnyStore>());
    let mut blocks = chain(SEED, 1, 9_000);
    for block in &mut blocks {
        block.tx_ids.clear();
        block.info.tx_count = 0;
    }
    let (log, _) = open(&lab.store(), lab.disk()).unwrap();
    for part in blocks.chunks(1_000) {
        use storage_api::WriteTxn;
        let new: Vec<_> = part.iter().map(LogBlock::as_new).collect();
        let mut txn = log.store().begin_write().unwrap();
        log.log().append_all(&mut txn, &new).unwrap();
        txn.commit(storage_api::Durability::Durable).unwrap();
    }
    let rows = rows_of(&**log.store(), "blocks.");
    drop(log);
    put_rows(&*lab.store(), "blocks.", &Rows::new());
    let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
    assert_eq!((followed.filled_blocks, followed.remade), (9_000, None));
    assert!(rows_of(&**log.store(), "blocks.") == rows);
    drop(log);
    let mut garbage = rows.clone();
    let key = middle(&rows, "blocks.places");
    garbage.insert(key, vec![1, 2, 3]);
    put_rows(&*lab.store(), "blocks.", &garbage);
    let (log, followed) = open(&lab.store(), lab.disk()).unwrap();
    assert!(followed.remade.is_some());
    assert_eq!(followed.filled_blocks, 9_000);
    assert!(rows_of(&**log.store(), "blocks.") == rows);
    drop(log);
    let started = std::time::Instant::now();
    let (_, followed) = open(&lab.store(), lab.disk()).unwrap();
    println!(
        "{} rows were looked at in {:?}",
        rows.len(),
        started.elapsed()
    );
    assert_eq!(followed, Followed::default());
}
