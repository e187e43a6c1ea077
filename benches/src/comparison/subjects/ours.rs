//! Our stores, through the facade as a program uses them: the enum of engines, its bulk lane, its
//! batches, its views.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Result, ensure};
use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use storage_api::{
    Cursor, Durability, Effective, KeyRange, KvStore, Reader, ReaderExt, Schema, TableDef, TableId,
    WriteBatch, Writer,
};

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::machine;
use crate::workload::Key;

const ROWS: TableDef = TableDef::new("rows");

struct Ours {
    engine: EngineName,
    store: AnyStore,
    table: TableId,
}

fn make(engine: EngineName, dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let mut opener = Opener {
        schema: Schema::new(&[ROWS])?,
        ..Opener::default()
    };
    opener.options.memory_budget_bytes = Some(memory_budget_bytes);
    let (store, _) = opener.open(&url)?;
    let table = store.catalogue().id(ROWS.name())?;
    Ok(Box::new(Ours {
        engine,
        store,
        table,
    }))
}

pub(super) fn mem(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make(EngineName::Mem, dir, memory_budget_bytes)
}

#[cfg(feature = "redb")]
pub(super) fn redb(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make(EngineName::Redb, dir, memory_budget_bytes)
}

#[cfg(feature = "lmdb")]
pub(super) fn lmdb(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make(EngineName::Lmdb, dir, memory_budget_bytes)
}

#[cfg(feature = "rocks")]
pub(super) fn rocks(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make(EngineName::Rocks, dir, memory_budget_bytes)
}

/// What a commit that asked for this really does, in words.
fn words(effective: Effective) -> String {
    match effective {
        Effective::Process => "kept in memory only",
        Effective::Volatile => "may be lost with the process",
        Effective::Buffered => "outlives the process; power loss may take the last commits",
        Effective::Durable => "outlives power loss",
    }
    .to_owned()
}

impl Contestant for Ours {
    fn about(&self) -> About {
        let capabilities = self.store.capabilities();
        About {
            version: format!(
                "chainstore {}, {}",
                env!("CARGO_PKG_VERSION"),
                machine::engine_version(self.engine.as_str())
            ),
            durable: words(capabilities.effective(Durability::Durable)),
            buffered: words(capabilities.effective(Durability::Buffered)),
            load: "the bulk lane".to_owned(),
        }
    }

    fn is_persistent(&self) -> bool {
        self.store.capabilities().persistent
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let bulk = self.store.as_bulk();
        let bulk = bulk.ok_or_else(|| anyhow::anyhow!("{} has no bulk lane", self.engine))?;
        let mut load = bulk.begin_bulk(self.table, &storage_api::BulkOptions::default())?;
        for (key, value) in script.rows() {
            load.put(key, value)?;
        }
        let report = load.finish()?;
        ensure!(
            report.rows == script.amounts.rows as u64,
            "the bulk lane loaded {} rows",
            report.rows
        );
        Ok(())
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        let asked = match level {
            Level::Durable => Durability::Durable,
            Level::Buffered => Durability::Buffered,
        };
        let mut batch = WriteBatch::new();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put(self.table, key, value)?,
                None => batch.delete(self.table, key)?,
            }
        }
        let commit = self.store.apply(&batch, asked)?;
        ensure!(
            !self.is_persistent() || commit.effective >= Effective::from(asked),
            "asked for {asked:?}, got {:?}",
            commit.effective
        );
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let view = self.store.begin_read()?;
        let mut bytes = 0;
        for key in keys {
            if let Some(value) = view.get(self.table, key)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let view = self.store.begin_read()?;
        let mut found = 0;
        for start in starts {
            let mut cursor = view.cursor(self.table, KeyRange::from_key(start))?;
            let end = found + rows;
            cursor.scan(&mut |key, value| {
                black_box((key.first(), value.first()));
                found += 1;
                if found < end {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        }
        Ok(Some(found))
    }

    fn scan(&self) -> Result<Option<usize>> {
        let mut found = 0;
        let view = self.store.begin_read()?;
        view.scan(self.table, KeyRange::all(), |entry| {
            black_box((entry.key.first(), entry.value.first()));
            found += 1;
            ControlFlow::Continue(())
        })?;
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        let Some(compact) = self.store.as_compact() else {
            return Ok(Offered::Not);
        };
        compact.compact()?;
        Ok(Offered::Done)
    }

    fn settle(&self) -> Result<()> {
        if self.is_persistent() {
            self.store.sync()?;
        }
        Ok(())
    }
}
