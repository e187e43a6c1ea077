//! RocksDB used raw: one column family with the options of our tables, pinned gets, one iterator
//! for each piece of work, ingested table files.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, DB, DBCompressionType,
    DBRawIterator, DataBlockIndexType, IngestExternalFileOptions, Options, ReadOptions,
    SstFileWriter, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::machine;
use crate::workload::Key;

/// One tuning at a time left out, or taken from another side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As we use it.
    Ours,
    /// No bloom filters.
    NoFilter,
    /// Blocks of 4 KiB, RocksDB's default.
    SmallBlocks,
    /// A hash index in each block.
    HashIndex,
    /// No compression.
    Uncompressed,
    /// The LRU cache, RocksDB's default.
    LruCache,
    /// Checksums of blocks are not verified when they are read.
    Unverified,
    /// An iterator for each range.
    IteratorPerRange,
    /// Values are copied out.
    CopiedValues,
    /// Sorted batches of 100,000 rows, each synced, and no ingestion.
    LoadByBatches,
}

struct Rocks {
    db: DB,
    tuning: Tuning,
    options: Options,
    dir: PathBuf,
    durable: WriteOptions,
    buffered: WriteOptions,
}

/// The options of our plain table and database, so that only the way of use differs.
pub(crate) fn options(memory_budget_bytes: usize) -> Options {
    tuned(memory_budget_bytes, Tuning::Ours)
}

fn tuned(memory_budget_bytes: usize, tuning: Tuning) -> Options {
    let cache = match tuning {
        Tuning::LruCache => Cache::new_lru_cache(memory_budget_bytes),
        _ => Cache::new_hyper_clock_cache(memory_budget_bytes, 0),
    };
    let memtables_bytes = memory_budget_bytes / 4;
    let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(
        memtables_bytes,
        false,
        cache.clone(),
    );
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&cache);
    let block_kib = if tuning == Tuning::SmallBlocks { 4 } else { 16 };
    blocks.set_block_size(block_kib << 10);
    if tuning != Tuning::NoFilter {
        blocks.set_bloom_filter(10.0, false);
    }
    if tuning == Tuning::HashIndex {
        blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        blocks.set_data_block_hash_ratio(0.75);
    }
    blocks.set_whole_key_filtering(true);
    blocks.set_optimize_filters_for_memory(true);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_max_background_jobs(2);
    options.set_write_buffer_manager(&memtables);
    options.set_write_buffer_size((memtables_bytes / 2).min(64 << 20));
    options.set_bytes_per_sync(1 << 20);
    options.set_compression_type(match tuning {
        Tuning::Uncompressed => DBCompressionType::None,
        _ => DBCompressionType::Lz4,
    });
    if tuning != Tuning::NoFilter {
        options.set_memtable_prefix_bloom_ratio(0.02);
    }
    options.set_memtable_whole_key_filtering(true);
    options.set_block_based_table_factory(&blocks);
    options
}

pub(super) fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make_with(dir, memory_budget_bytes, Tuning::Ours)
}

pub(super) fn make_with(
    dir: &Path,
    memory_budget_bytes: u64,
    tuning: Tuning,
) -> Result<Box<dyn Contestant>> {
    let options = tuned(usize::try_from(memory_budget_bytes)?, tuning);
    let db = DB::open(&options, dir.join("db"))?;
    let write = |sync| {
        let mut write = WriteOptions::default();
        write.set_sync(sync);
        write
    };
    Ok(Box::new(Rocks {
        db,
        tuning,
        options,
        dir: dir.to_owned(),
        durable: write(true),
        buffered: write(false),
    }))
}

impl Rocks {
    fn read_options(&self) -> ReadOptions {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(self.tuning != Tuning::Unverified);
        read
    }

    fn iterator(&self) -> DBRawIterator<'_> {
        self.db.raw_iterator_opt(self.read_options())
    }
}

impl Contestant for Rocks {
    fn about(&self) -> About {
        About {
            version: machine::engine_version("rocks"),
            durable: "outlives power loss: the log is synced".to_owned(),
            buffered: "outlives the process; power loss may take the last commits".to_owned(),
            load: "sorted, written as a table file and ingested".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        if self.tuning == Tuning::LoadByBatches {
            for rows in script.sorted_rows().chunks(100_000) {
                let mut batch = WriteBatch::default();
                rows.iter().for_each(|(key, value)| batch.put(key, value));
                self.db.write_opt(batch, &self.durable)?;
            }
            return Ok(());
        }
        let file = self.dir.join("rows.sst");
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&file)?;
        for (key, value) in script.sorted_rows() {
            writer.put(key, value)?;
        }
        writer.finish()?;
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        Ok(self.db.ingest_external_file_opts(&ingest, vec![file])?)
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        let options = match level {
            Level::Durable => &self.durable,
            Level::Buffered => &self.buffered,
        };
        self.db.write_opt(batch, options)?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let (mut read, snapshot) = (self.read_options(), self.db.snapshot());
        read.set_snapshot(&snapshot);
        let mut bytes = 0;
        if self.tuning == Tuning::CopiedValues {
            for key in keys {
                if let Some(value) = self.db.get_opt(key, &read)? {
                    bytes += value.len();
                    black_box(value.first());
                }
            }
            return Ok(bytes);
        }
        for key in keys {
            if let Some(value) = self.db.get_pinned_opt(key, &read)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let mut iterator = self.iterator();
        let mut found = 0;
        for start in starts {
            if self.tuning == Tuning::IteratorPerRange {
                iterator = self.iterator();
            }
            iterator.seek(start);
            for _ in 0..rows {
                let Some((key, value)) = iterator.item() else {
                    break;
                };
                black_box((key.first(), value.first()));
                found += 1;
                iterator.next();
            }
            iterator.status()?;
        }
        Ok(Some(found))
    }

    fn scan(&self) -> Result<Option<usize>> {
        let mut iterator = self.iterator();
        iterator.seek_to_first();
        let mut found = 0;
        while let Some((key, value)) = iterator.item() {
            black_box((key.first(), value.first()));
            found += 1;
            iterator.next();
        }
        iterator.status()?;
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        self.db.flush()?;
        let mut compact = CompactOptions::default();
        compact.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let all = (None::<&[u8]>, None::<&[u8]>);
        self.db.compact_range_opt(all.0, all.1, &compact);
        Ok(Offered::Done)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }
}
