//! kvdb-rocksdb under comparison, beside raw use of the RocksDB that it pins with the same options.
//! One process lives one life; see `benches::comparison::protocol`.
#![forbid(unsafe_code)]

#[path = "../../kvdb_store.rs"]
mod kvdb_store;
mod raw;

use std::path::Path;

use anyhow::Result;
use benches::comparison::{About, Contestant, Offered, protocol};
use kvdb_rocksdb::{Database, DatabaseConfig};

use crate::kvdb_store::Kvdb;

fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    let mut config = DatabaseConfig::with_columns(1);
    config
        .memory_budget
        .insert(0, usize::try_from(memory_budget_bytes >> 20)?);
    Ok(Box::new(Kvdb {
        db: Database::open(&config, dir.join("db"))?,
        about: About {
            version: "kvdb-rocksdb 0.21.0, rocksdb 0.24.0".to_owned(),
            durable: String::new(),
            buffered: "outlives the process; power loss may take the last commits".to_owned(),
            load: "sorted batches of 100,000, not durable".to_owned(),
        },
        is_persistent: true,
        compact: |db| {
            db.force_compact(0)?;
            Ok(Offered::Done)
        },
    }))
}

fn main() -> Result<()> {
    protocol::serve(&[("kvdb-rocksdb", make), ("raw rocksdb 0.24", raw::make)])
}
