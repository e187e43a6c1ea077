//! parity-db: one hash-indexed column, without order. Its commits return when they are queued in
//! memory; a thread writes and syncs them later, and closing waits for it.

use std::hint::black_box;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result};
use benches::comparison::script::{Changes, Script};
use benches::comparison::{About, Contestant, Level, Offered};
use benches::workload::Key;
use parity_db::{Db, Options};

/// Rows of one commit of the load.
const BATCH_ROWS: usize = 100_000;

struct Parity {
    options: Options,
    /// Taken out only to close it, which drains its queue.
    db: RwLock<Option<Db>>,
}

pub(crate) fn make(dir: &Path, _: u64) -> Result<Box<dyn Contestant>> {
    let mut options = Options::with_columns(&dir.join("db"), 1);
    options.stats = false;
    // Keys are hashes already.
    options.columns[0].uniform = true;
    let db = Db::open_or_create(&options)?;
    Ok(Box::new(Parity {
        options,
        db: RwLock::new(Some(db)),
    }))
}

impl Parity {
    fn with<T>(&self, work: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        work(db.as_ref().context("the store is closed")?)
    }
}

impl Contestant for Parity {
    fn about(&self) -> About {
        About {
            version: "parity-db 0.5".to_owned(),
            durable: String::new(),
            buffered: "queued in memory, written later: the process may take the last commits"
                .to_owned(),
            load: "commits of 100,000; closing waits until all is written".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let rows: Vec<_> = script.rows().collect();
        for rows in rows.chunks(BATCH_ROWS) {
            let rows = rows
                .iter()
                .map(|(key, value)| (0, key, Some(value.to_vec())));
            self.with(|db| Ok(db.commit(rows)?))?;
        }
        self.settle()
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        if level == Level::Durable {
            return Ok(Offered::Not);
        }
        let changes = changes
            .iter()
            .map(|(key, value)| (0, key, value.map(<[u8]>::to_vec)));
        self.with(|db| Ok(db.commit(changes)?))?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        self.with(|db| {
            let mut bytes = 0;
            for key in keys {
                if let Some(value) = db.get(0, key)? {
                    bytes += value.len();
                    black_box(value.first());
                }
            }
            Ok(bytes)
        })
    }

    fn ranges(&self, _: &[Key], _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn scan(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    fn compact(&self) -> Result<Offered> {
        Ok(Offered::Not)
    }

    fn settle(&self) -> Result<()> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(db.take());
        *db = Some(Db::open_or_create(&self.options)?);
        Ok(())
    }
}
