//! RocksDB used raw: one column family with the options of our tables, pinned gets, one iterator
//! for each piece of work, ingested table files.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, CompactOptions, DB, DBCompressionType,
    IngestExternalFileOptions, Options, SstFileWriter, WriteBatch, WriteBufferManager,
    WriteOptions,
};

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::machine;
use crate::workload::Key;

struct Rocks {
    db: DB,
    options: Options,
    dir: PathBuf,
    durable: WriteOptions,
    buffered: WriteOptions,
}

/// The options of our plain table and database, so that only the way of use differs.
pub(crate) fn options(memory_budget_bytes: usize) -> Options {
    let cache = Cache::new_hyper_clock_cache(memory_budget_bytes, 0);
    let memtables_bytes = memory_budget_bytes / 4;
    let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(
        memtables_bytes,
        false,
        cache.clone(),
    );
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&cache);
    blocks.set_block_size(16 << 10);
    blocks.set_bloom_filter(10.0, false);
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
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_memtable_whole_key_filtering(true);
    options.set_block_based_table_factory(&blocks);
    options
}

pub(super) fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    let options = options(usize::try_from(memory_budget_bytes)?);
    let db = DB::open(&options, dir.join("db"))?;
    let write = |sync| {
        let mut write = WriteOptions::default();
        write.set_sync(sync);
        write
    };
    Ok(Box::new(Rocks {
        db,
        options,
        dir: dir.to_owned(),
        durable: write(true),
        buffered: write(false),
    }))
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
        let snapshot = self.db.snapshot();
        let mut bytes = 0;
        for key in keys {
            if let Some(value) = snapshot.get_pinned(key)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let mut iterator = self.db.raw_iterator();
        let mut found = 0;
        for start in starts {
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
        let mut iterator = self.db.raw_iterator();
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
