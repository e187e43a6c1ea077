//! What the engine costs over the best raw use of RocksDB: the same rows, the same options, one
//! process, the two taking turns.
//!
//! `cargo bench -p backend-rocks --bench lanes -- [rows]` prints one line a way: the processor time
//! of the calling thread, the median of the rounds, and its ratio to the first way of the lane.
//! RocksDB's background threads are not in it. Nothing is asserted.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use backend_rocks::{RocksOptions, RocksStore};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Options,
    ReadOptions, WriteOptions,
};
use storage_api::{
    Backup, Cursor, Durability, Engine, KeyRange, KvStore, Location, OpenOptions, Reader, Schema,
    TableDef, TableId, WriteBatch, WriteTxn, Writer,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROWS: TableDef = TableDef::new("rows");
const ROUNDS: usize = 9;

/// Splitmix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (at, chunk) in key.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(number * 4 + at as u64).to_be_bytes());
    }
    key
}

fn value(number: u64) -> [u8; 150] {
    let mut value = [0; 150];
    for (at, chunk) in value.chunks_mut(8).enumerate() {
        let bytes = mix(!number ^ (at as u64) << 40).to_be_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
    value
}

/// Time of the processor that this thread took so far, in nanoseconds, where the system tells it
/// (Linux: up to a few milliseconds late, so a round takes a hundred or more); else the clock's.
fn spent(since: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| since.elapsed().as_nanos() as f64)
}

/// Nanoseconds an operation of `count` of them.
fn time(count: u64, mut work: impl FnMut(u64) -> Outcome<()>) -> Outcome<f64> {
    let since = Instant::now();
    let before = spent(since);
    for number in 0..count {
        work(number)?;
    }
    Ok((spent(since) - before) / count as f64)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A name, and one round of work that gives nanoseconds an operation.
type Way<'w> = (&'w str, &'w mut dyn FnMut(usize) -> Outcome<f64>);

/// Runs several ways of the same work in turns and prints the median of each against the first.
fn compare(lane: &str, ways: &mut [Way<'_>]) -> Outcome<()> {
    let mut figures = vec![Vec::new(); ways.len()];
    for round in 0..=ROUNDS {
        for ((_, work), figures) in ways.iter_mut().zip(&mut figures) {
            let figure = work(round)?;
            // The first round warms the caches.
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    for ((name, _), figure) in ways.iter().zip(&medians) {
        println!(
            "{lane:<22} {name:<26} {figure:>10.0} ns  {:>5.2} x",
            figure / medians[0]
        );
    }
    Ok(())
}

fn open_store(place: &Path) -> Outcome<RocksStore> {
    let schema = Schema::new([&ROWS])?;
    let options = (OpenOptions::new(), RocksOptions::default());
    let location = Location::Directory(place);
    Ok(RocksStore::open(location, &schema, &options.0, &options.1)?.0)
}

fn open_raw(place: &Path) -> Outcome<DB> {
    let entries = std::fs::read_dir(place)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("CURRENT").exists() {
            folders.push(path);
        }
    }
    let data = folders.pop().ok_or("no database")?;
    let cache = Cache::new_hyper_clock_cache(512 << 20, 0);
    let database = Options::default();
    let tables = DB::list_cf(&database, &data)?.into_iter().map(|name| {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_block_size(16 << 10);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_optimize_filters_for_memory(true);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut layout = Options::default();
        layout.set_compression_type(DBCompressionType::Lz4);
        layout.set_memtable_prefix_bloom_ratio(0.02);
        layout.set_memtable_whole_key_filtering(true);
        layout.set_block_based_table_factory(&blocks);
        ColumnFamilyDescriptor::new(name, layout)
    });
    Ok(DB::open_cf_descriptors(&database, &data, tables)?)
}

struct Sides<'s> {
    store: &'s RocksStore,
    table: TableId,
    db: &'s DB,
    handle: &'s ColumnFamily,
    rows: u64,
}

impl Sides<'_> {
    fn gets(&self) -> Outcome<()> {
        const COUNT: u64 = 100_000;
        let view = self.store.begin_read()?;
        let snapshot = self.db.snapshot();
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        for (lane, base) in [("get hit", 0), ("get miss", 1 << 40)] {
            let wanted = |round: usize, number: u64| {
                key(base + mix(number + COUNT * round as u64) % self.rows)
            };
            compare(
                lane,
                &mut [
                    ("raw get_pinned_cf_opt", &mut |round| {
                        time(COUNT, |number| {
                            let key = wanted(round, number);
                            let value = self.db.get_pinned_cf_opt(self.handle, key, &options)?;
                            black_box(value.as_deref().map(<[u8]>::len));
                            Ok(())
                        })
                    }),
                    ("view.get", &mut |round| {
                        time(COUNT, |number| {
                            let value = view.get(self.table, &wanted(round, number))?;
                            black_box(value.as_deref().map(<[u8]>::len));
                            Ok(())
                        })
                    }),
                ],
            )?;
        }
        Ok(())
    }

    fn several_gets(&self) -> Outcome<()> {
        const COUNT: u64 = 1_000;
        let view = self.store.begin_read()?;
        let wanted = |round: usize, number: u64| {
            let of = |at: u64| key(mix(at + 100 * (number + COUNT * round as u64)) % self.rows);
            let mut keys: Vec<[u8; 32]> = (0..100).map(of).collect();
            keys.sort_unstable();
            keys
        };
        compare(
            "100 sorted gets",
            &mut [
                ("100 times view.get", &mut |round| {
                    time(COUNT, |number| {
                        for key in wanted(round, number) {
                            let value = view.get(self.table, &key)?;
                            black_box(value.as_deref().map(<[u8]>::len));
                        }
                        Ok(())
                    })
                }),
                ("view.multi_get", &mut |round| {
                    time(COUNT, |number| {
                        let keys = wanted(round, number);
                        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                        view.multi_get(self.table, &keys, &mut |_, value| {
                            black_box(value.map(<[u8]>::len));
                        })?;
                        Ok(())
                    })
                }),
            ],
        )
    }

    fn ranges(&self) -> Outcome<()> {
        const COUNT: u64 = 40_000;
        let view = self.store.begin_read()?;
        let snapshot = self.db.snapshot();
        let fresh_options = || {
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            options
        };
        let mut reused = self.db.raw_iterator_cf_opt(self.handle, fresh_options());
        let start = |round: usize, number: u64| key(mix(number + COUNT * round as u64) % self.rows);
        compare(
            "range of 10",
            &mut [
                ("raw, new iterator each", &mut |round| {
                    time(COUNT, |number| {
                        let mut rows = self.db.raw_iterator_cf_opt(self.handle, fresh_options());
                        rows.seek(start(round, number));
                        take_ten(&mut rows);
                        Ok(())
                    })
                }),
                ("raw, one iterator", &mut |round| {
                    time(COUNT, |number| {
                        reused.seek(start(round, number));
                        take_ten(&mut reused);
                        Ok(())
                    })
                }),
                ("view.cursor", &mut |round| {
                    time(COUNT, |number| {
                        let range = KeyRange::from_key(&start(round, number));
                        let mut cursor = view.cursor(self.table, range)?;
                        for _ in 0..10 {
                            let Some(row) = cursor.next()? else { break };
                            black_box(row.key.len() + row.value.len());
                        }
                        Ok(())
                    })
                }),
            ],
        )
    }

    fn scans(&self) -> Outcome<()> {
        let view = self.store.begin_read()?;
        let rows = self.rows as f64;
        compare(
            "full scan, a row",
            &mut [
                ("raw iterator", &mut |_| {
                    time(1, |_| {
                        let mut walker = self.db.raw_iterator_cf(self.handle);
                        walker.seek_to_first();
                        while let Some((key, value)) = walker.item() {
                            black_box(key.len() + value.len());
                            walker.next();
                        }
                        Ok(())
                    })
                    .map(|ns| ns / rows)
                }),
                ("view.cursor", &mut |_| {
                    time(1, |_| {
                        let mut cursor = view.cursor(self.table, KeyRange::all())?;
                        while let Some(row) = cursor.next()? {
                            black_box(row.key.len() + row.value.len());
                        }
                        Ok(())
                    })
                    .map(|ns| ns / rows)
                }),
            ],
        )
    }

    fn views(&self) -> Outcome<()> {
        compare(
            "view",
            &mut [
                ("raw snapshot + options", &mut |_| {
                    time(500_000, |_| {
                        let snapshot = self.db.snapshot();
                        let mut options = ReadOptions::default();
                        options.set_snapshot(&snapshot);
                        black_box(&options);
                        Ok(())
                    })
                }),
                ("begin_read", &mut |_| {
                    time(500_000, |_| {
                        black_box(self.store.begin_read()?);
                        Ok(())
                    })
                }),
            ],
        )
    }

    /// Commits of `size` random overwrites, without sync.
    fn commits(&self, size: u64, count: u64) -> Outcome<()> {
        let of = |round: usize, number: u64, at: u64| {
            mix(at + size * (number + count * round as u64)) % self.rows
        };
        let options = WriteOptions::default();
        compare(
            &format!("commit of {size}"),
            &mut [
                ("raw WriteBatch", &mut |round| {
                    time(count, |number| {
                        let mut batch = rocksdb::WriteBatch::new();
                        for at in 0..size {
                            let row = of(round, number, at);
                            batch.put_cf(self.handle, key(row), value(row));
                        }
                        Ok(self.db.write_opt(batch, &options)?)
                    })
                }),
                ("apply", &mut |round| {
                    time(count, |number| {
                        let mut batch = WriteBatch::new();
                        for at in 0..size {
                            let row = of(round, number, at);
                            batch.put(self.table, &key(row), &value(row))?;
                        }
                        self.store.apply(&batch, Durability::Buffered)?;
                        Ok(())
                    })
                }),
                ("transaction", &mut |round| {
                    time(count, |number| {
                        let mut txn = self.store.begin_write()?;
                        for at in 0..size {
                            let row = of(round, number, at);
                            txn.put(self.table, &key(row), &value(row))?;
                        }
                        txn.commit(Durability::Buffered)?;
                        Ok(())
                    })
                }),
            ],
        )
    }
}

fn take_ten(rows: &mut rocksdb::DBRawIterator<'_>) {
    for _ in 0..10 {
        let Some((key, value)) = rows.item() else {
            break;
        };
        black_box(key.len() + value.len());
        rows.next();
    }
}

fn main() -> Outcome<()> {
    let rows = std::env::args().find_map(|arg| arg.parse().ok());
    let rows: u64 = rows.unwrap_or(300_000);
    let parent = tempfile::tempdir()?;
    let places = [parent.path().join("store"), parent.path().join("raw")];
    let store = open_store(&places[0])?;
    let table = store.catalogue().id("rows")?;
    let mut batch = WriteBatch::new();
    for number in 0..rows {
        batch.put(table, &key(number), &value(number))?;
        if batch.len() == 10_000 || number + 1 == rows {
            store.apply(&batch, Durability::Buffered)?;
            batch.clear();
        }
    }
    storage_api::Compact::compact(&store)?;
    store.backup(&places[1])?;
    let db = open_raw(&places[1])?;
    let handle = db.cf_handle("rows").ok_or("no table")?;
    let sides = Sides {
        store: &store,
        table,
        db: &db,
        handle,
        rows,
    };
    println!("{rows} rows of 32 and 150 bytes, medians of {ROUNDS} rounds");
    sides.gets()?;
    sides.several_gets()?;
    sides.ranges()?;
    sides.scans()?;
    sides.views()?;
    sides.commits(1, 40_000)?;
    sides.commits(1_000, 80)
}
