//! BitShares' block database: against a model on every engine, upstream's corners by name, power
//! cuts, a log that lost its end, hostile rows.

mod harm;
mod model;
mod naming;

use std::sync::Arc;

use blocks::SegmentOptions;
use compat::bitshares::{
    BlockDatabase, BlockDatabaseStore, DatabaseOptions, DatabaseResult, IfShort, OpenedDatabase,
};
use seglog::disk::Disk;
use storage_api::blocks::BlockHash;
use storage_api::{ChecksumSetting, Durability, KvStore, Schema};

pub(crate) fn schema<S: KvStore>() -> Schema {
    BlockDatabase::<S>::schema(ChecksumSetting::None).unwrap()
}

/// Segments of a few blocks, so that a test has several.
pub(crate) fn options(if_short: IfShort) -> DatabaseOptions {
    DatabaseOptions {
        segments: SegmentOptions {
            segment_bytes_max: 1_000,
            advance_bytes: 0,
            ..SegmentOptions::default()
        },
        if_short,
        ..DatabaseOptions::default()
    }
}

pub(crate) fn open_with<S: KvStore>(
    store: &Arc<S>,
    disk: Arc<dyn Disk>,
    options: &DatabaseOptions,
) -> DatabaseResult<(BlockDatabaseStore<S>, OpenedDatabase)> {
    let (database, opened) = BlockDatabase::open(Arc::clone(store), disk, options)?;
    Ok((
        BlockDatabaseStore::new(database, Durability::Durable),
        opened,
    ))
}

pub(crate) fn open<S: KvStore>(store: &Arc<S>, disk: Arc<dyn Disk>) -> BlockDatabaseStore<S> {
    open_with(store, disk, &options(IfShort::Refuse)).unwrap().0
}

/// An id of upstream's kind: 20 bytes, the number in the first four.
pub(crate) fn id(number: u32, branch: u8) -> BlockHash {
    let mut bytes = [branch; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    BlockHash::new(&bytes).unwrap()
}
