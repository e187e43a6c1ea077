//! Tables as RocksDB keeps them: one column family each, opened with the options its hints ask for,
//! its handle bound once.
//!
//! Invariants: handles never outlive the database ([`Db`] holds both); a hint changes layout and
//! speed and never an answer. There is no prefix extractor even where a table has a prefix hint:
//! with one, RocksDB's iterators leave the total order beyond the prefix unless they are told not
//! to use it, and told so they gain nothing. Cost: a table is an index into a list, while RocksDB's
//! own look-up by name walks a map.

use std::ffi::CStr;
use std::path::Path;

use backend_kit::RawTable;
use rocksdb::properties;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, DBCompressionType, Options,
};
use storage_api::{AccessHint, Error, ErrorKind, Result, TableId, ValueHint};

use crate::error::fail;
use crate::options::Resources;

/// Bits of bloom filter for each key: one miss in a hundred reads a block. Measured:
/// misses 9 to 11 times faster for 1 % more disk.
const BLOOM_BITS: f64 = 10.0;

/// Bytes of a block before compression. Measured with rows of 182 bytes: scans 35 % faster than
/// with 4 KiB, gets from the cache alike; a quarter of the index.
const BLOCK_BYTES: usize = 16 << 10;

/// Bytes of a block of a table that is mostly asked for single keys. Measured: a get whose block is
/// not in the cache takes 27 % less than with 16 KiB.
const POINT_BLOCK_BYTES: usize = 4 << 10;

/// The share of a memtable spent on a filter over its keys. Measured with 20,000 of a million rows
/// in the memtable: misses take half, hits 10 % less, loads the same.
const MEMTABLE_FILTER_SHARE: f64 = 0.02;

/// Bytes from which a value of a table of large values lies in a file of its own kind.
const BLOB_BYTES_MIN: u64 = 4 << 10;

/// Bytes of large values in such files, which the other properties leave out.
pub(crate) const BLOB_BYTES: &CStr = c"rocksdb.live-blob-file-size";

/// Handles of tables, by number; `None` for a number without a table, and for a table that a
/// read-only opener knows but the files do not have yet.
pub(crate) type Handles<'d> = Vec<Option<&'d ColumnFamily>>;

self_cell::self_cell!(
    /// The open database with the handles of its tables.
    pub(crate) struct Db {
        owner: DB,

        #[covariant]
        dependent: Handles,
    }
);

impl Db {
    /// Binds the handles.
    pub(crate) fn bind(db: DB, tables: &[RawTable]) -> Self {
        let len = tables.iter().map(|table| table.id.index() + 1).max();
        Self::new(db, |db| {
            let mut handles = vec![None; len.unwrap_or(0)];
            for table in tables {
                handles[table.id.index()] = db.cf_handle(&table.name);
            }
            handles
        })
    }

    /// RocksDB's handle.
    #[inline]
    pub(crate) fn raw(&self) -> &DB {
        self.borrow_owner()
    }

    /// The handle of a table.
    #[inline]
    pub(crate) fn table(&self, table: TableId) -> Option<&ColumnFamily> {
        self.borrow_dependent().get(table.index()).copied()?
    }

    /// The handle of a table that is written to.
    #[inline]
    pub(crate) fn writable(&self, table: TableId) -> Result<&ColumnFamily> {
        self.table(table).ok_or_else(|| {
            Error::new(ErrorKind::UnknownTable {
                table: table.to_string(),
            })
        })
    }

    /// Every table.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &ColumnFamily> {
        self.borrow_dependent().iter().flatten().copied()
    }

    /// Where the files are.
    pub(crate) fn path(&self) -> &Path {
        self.raw().path()
    }

    /// A whole number that RocksDB knows of a table without a scan, 0 when it does not.
    pub(crate) fn number(&self, table: TableId, property: &CStr) -> Result<u64> {
        let Some(handle) = self.table(table) else {
            return Ok(0);
        };
        let number = self.raw().property_int_value_cf(handle, property);
        Ok(number
            .map_err(|error| fail(error, self.path()))?
            .unwrap_or(0))
    }

    /// Rewrites every table.
    pub(crate) fn compact(&self) -> Result<()> {
        let mut compact = CompactOptions::default();
        // The last level keeps deleted rows until it is rewritten.
        compact.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        compact.set_exclusive_manual_compaction(false);
        for table in self.tables() {
            let flushed = self.raw().flush_cf(table);
            flushed.map_err(|error| fail(error, self.path()))?;
            let all = (None::<&[u8]>, None::<&[u8]>);
            self.raw()
                .compact_range_cf_opt(table, all.0, all.1, &compact);
        }
        // The binding drops the outcome of a compaction; the counter of failures keeps it.
        self.check_background()
    }

    fn check_background(&self) -> Result<()> {
        let failures = self
            .raw()
            .property_int_value(properties::BACKGROUND_ERRORS)
            .map_err(|error| fail(error, self.path()))?;
        match failures {
            None | Some(0) => Ok(()),
            Some(failures) => Err(Error::new(ErrorKind::Io {
                place: format!(
                    "{}: {failures} background errors, see the file LOG",
                    self.path().display()
                ),
            })),
        }
    }
}

/// What RocksDB opens: the tables asked for that are there or may be made, and whatever else is
/// there, since it opens all or nothing.
pub(crate) fn descriptors(
    asked: &[RawTable],
    there: &[String],
    may_make: bool,
    resources: &Resources,
) -> Vec<ColumnFamilyDescriptor> {
    let mut descriptors = Vec::with_capacity(asked.len() + 1);
    for table in asked {
        if may_make || there.contains(&table.name) {
            descriptors.push(ColumnFamilyDescriptor::new(
                &table.name,
                layout(table, resources),
            ));
        }
    }
    for name in there {
        if asked.iter().all(|table| table.name != *name) {
            descriptors.push(ColumnFamilyDescriptor::new(name, Options::default()));
        }
    }
    descriptors
}

/// The options of each table's files, by its number.
pub(crate) fn layouts(tables: &[RawTable], resources: &Resources) -> Vec<Option<Options>> {
    let len = tables.iter().map(|table| table.id.index() + 1).max();
    let mut layouts: Vec<Option<Options>> = Vec::new();
    layouts.resize_with(len.unwrap_or(0), || None);
    for table in tables {
        layouts[table.id.index()] = Some(layout(table, resources));
    }
    layouts
}

fn layout(table: &RawTable, resources: &Resources) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&resources.cache);
    blocks.set_block_size(BLOCK_BYTES);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    blocks.set_whole_key_filtering(true);
    blocks.set_optimize_filters_for_memory(true);
    // Indexes and filters count against the one budget. Those of the newest files are asked at
    // every get and stay.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut layout = Options::default();
    layout.set_write_buffer_size(resources.memtable_bytes);
    layout.set_compression_type(DBCompressionType::Lz4);
    if table.hints.access == AccessHint::PointLookups {
        blocks.set_block_size(POINT_BLOCK_BYTES);
    }
    if table.hints.access == AccessHint::AppendOnly {
        // Nine in ten filters are those of the last level, where ascending keys are found by the
        // bounds of the files alone.
        layout.set_optimize_filters_for_hits(true);
    } else {
        layout.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER_SHARE);
        layout.set_memtable_whole_key_filtering(true);
        if table.hints.values == ValueHint::Large {
            set_large_values(&mut layout, resources);
        }
    }
    layout.set_block_based_table_factory(&blocks);
    layout
}

/// Keeps large values out of the files that compaction rewrites. Measured with values of 20 and
/// 200 KB under random keys: all is written and compacted in half the time; reads from the cache
/// alike, and beside it up to 35 % slower at 1 MB; where rows are overwritten, twice the disk till
/// old files are cleared. Ascending keys are not rewritten, so nothing is gained there.
fn set_large_values(layout: &mut Options, resources: &Resources) {
    layout.set_enable_blob_files(true);
    layout.set_min_blob_size(BLOB_BYTES_MIN);
    layout.set_blob_compression_type(DBCompressionType::Lz4);
    // Without a cache every read of a large value goes to the file.
    layout.set_blob_cache(&resources.cache);
    layout.set_enable_blob_gc(true);
}
