//! Stores under comparison that need no C++ library: fjall, parity-db, kvdb-memorydb. One process
//! lives one life; see `benches::comparison::protocol`.
#![forbid(unsafe_code)]

mod fjall;
#[path = "../../kvdb_store.rs"]
mod kvdb_store;
mod parity;

use std::path::Path;

use anyhow::Result;
use benches::comparison::{About, Contestant, Offered, protocol};

use crate::kvdb_store::Kvdb;

fn memorydb(_: &Path, _: u64) -> Result<Box<dyn Contestant>> {
    let words = "kept in memory only".to_owned();
    Ok(Box::new(Kvdb {
        db: kvdb_memorydb::create(1),
        about: About {
            version: "kvdb-memorydb 0.13.0".to_owned(),
            durable: words.clone(),
            buffered: words,
            load: "sorted batches of 100,000".to_owned(),
        },
        is_persistent: false,
        compact: |_| Ok(Offered::Not),
    }))
}

fn main() -> Result<()> {
    protocol::serve(&[
        ("fjall", fjall::make),
        ("parity-db", parity::make),
        ("kvdb-memorydb", memorydb),
    ])
}
