//! fjall: one keyspace, snapshots for reads, its own ingestion, its journal synced for durable
//! commits.

use std::hint::black_box;
use std::path::Path;

use anyhow::Result;
use benches::comparison::script::{Changes, Script};
use benches::comparison::{About, Contestant, Level, Offered};
use benches::workload::Key;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

struct Fjall {
    db: Database,
    rows: Keyspace,
}

pub(crate) fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    let db = Database::builder(dir.join("db"))
        .cache_size(memory_budget_bytes)
        .open()?;
    let rows = db.keyspace("rows", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { db, rows }))
}

impl Contestant for Fjall {
    fn about(&self) -> About {
        About {
            version: "fjall 3.1".to_owned(),
            durable: "outlives power loss: the journal is synced (SyncData)".to_owned(),
            buffered: "outlives the process; power loss may take the last commits".to_owned(),
            load: "sorted, its own ingestion".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let mut ingestion = self.rows.start_ingestion()?;
        for (key, value) in script.sorted_rows() {
            ingestion.write(&key[..], value)?;
        }
        ingestion.finish()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        let mode = match level {
            Level::Durable => PersistMode::SyncData,
            Level::Buffered => PersistMode::Buffer,
        };
        let mut batch = self.db.batch().durability(Some(mode));
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.insert(&self.rows, &key[..], value),
                None => batch.remove(&self.rows, &key[..]),
            }
        }
        batch.commit()?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let snapshot = self.db.snapshot();
        let mut bytes = 0;
        for key in keys {
            if let Some(value) = snapshot.get(&self.rows, key)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let snapshot = self.db.snapshot();
        let mut found = 0;
        for start in starts {
            for row in snapshot.range(&self.rows, &start[..]..).take(rows) {
                let (key, value) = row.into_inner()?;
                black_box((key.first(), value.first()));
                found += 1;
            }
        }
        Ok(Some(found))
    }

    fn scan(&self) -> Result<Option<usize>> {
        let snapshot = self.db.snapshot();
        let mut found = 0;
        for row in snapshot.iter(&self.rows) {
            let (key, value) = row.into_inner()?;
            black_box((key.first(), value.first()));
            found += 1;
        }
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        self.rows.rotate_memtable_and_wait()?;
        self.rows.major_compact()?;
        Ok(Offered::Done)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}
