//! The RocksDB that kvdb-rocksdb pins, used raw with the options that kvdb-rocksdb sets, so that
//! only its interface differs. Commits are as durable as its: not synced.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result};
use benches::comparison::script::{Changes, Script};
use benches::comparison::{About, Contestant, Level, Offered};
use benches::workload::Key;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Options, ReadOptions,
    WriteBatch,
};

/// Rows of one batch of the load.
const BATCH_ROWS: usize = 100_000;

const ROWS: &str = "col0";

struct Raw(DB);

pub(crate) fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    let budget_bytes = usize::try_from(memory_budget_bytes)?;
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_size(16 << 10);
    blocks.set_format_version(5);
    blocks.set_block_restart_interval(16);
    blocks.set_block_cache(&Cache::new_lru_cache(budget_bytes / 3));
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(10.0, true);
    let mut column = Options::default();
    column.set_level_compaction_dynamic_level_bytes(true);
    column.set_block_based_table_factory(&blocks);
    column.optimize_level_style_compaction(budget_bytes);
    column.set_target_file_size_base(64 << 20);
    column.set_compression_per_level(&[]);
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_max_open_files(512);
    database.set_bytes_per_sync(1 << 20);
    database.set_keep_log_file_num(1);
    database.increase_parallelism(1);
    let rows = ColumnFamilyDescriptor::new(ROWS, column);
    let db = DB::open_cf_descriptors(&database, dir.join("db"), [rows])?;
    Ok(Box::new(Raw(db)))
}

impl Raw {
    fn rows(&self) -> Result<&ColumnFamily> {
        self.0.cf_handle(ROWS).context("the column is missing")
    }

    fn read_options() -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(false);
        options
    }
}

impl Contestant for Raw {
    fn about(&self) -> About {
        About {
            version: "rocksdb 0.24.0".to_owned(),
            durable: String::new(),
            buffered: "outlives the process; power loss may take the last commits".to_owned(),
            load: "sorted batches of 100,000, not durable".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let column = self.rows()?;
        for rows in script.sorted_rows().chunks(BATCH_ROWS) {
            let mut batch = WriteBatch::default();
            for (key, value) in rows {
                batch.put_cf(column, key, value);
            }
            self.0.write(batch)?;
        }
        Ok(())
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        if level == Level::Durable {
            return Ok(Offered::Not);
        }
        let column = self.rows()?;
        let mut batch = WriteBatch::default();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put_cf(column, key, value),
                None => batch.delete_cf(column, key),
            }
        }
        self.0.write(batch)?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let (column, options) = (self.rows()?, Self::read_options());
        let mut bytes = 0;
        for key in keys {
            if let Some(value) = self.0.get_pinned_cf_opt(column, key, &options)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, _: &[Key], _: usize) -> Result<Option<usize>> {
        // The interface that this is compared with has no range from a key on.
        Ok(None)
    }

    fn scan(&self) -> Result<Option<usize>> {
        let column = self.rows()?;
        let mut iterator = self.0.raw_iterator_cf_opt(column, Self::read_options());
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
        self.0
            .compact_range_cf(self.rows()?, None::<&[u8]>, None::<&[u8]>);
        Ok(Offered::Done)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
