//! redb used raw: one table, opened once in each transaction, values lent, commits as durable as
//! ours.

use std::hint::black_box;
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use anyhow::Result;
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::machine;
use crate::workload::Key;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// One tuning at a time left out, or taken from another side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As we use it.
    Ours,
    /// A read transaction and an opened table for each get and each range.
    TablePerRead,
    /// Sorted rows are inserted one by one, not by a cursor.
    SortedInserts,
    /// Rows are inserted as they come.
    InsertsAsTheyCome,
    /// Commits without the state of the allocator: opening after a crash walks every page.
    NoQuickRepair,
    /// Commits of one sync, which trust a checksum: likewise.
    OnePhase,
}

/// Compaction alone needs the database exclusively.
struct Redb {
    database: RwLock<Database>,
    tuning: Tuning,
}

pub(super) fn make(dir: &Path, memory_budget_bytes: u64) -> Result<Box<dyn Contestant>> {
    make_with(dir, memory_budget_bytes, Tuning::Ours)
}

pub(super) fn make_with(
    dir: &Path,
    memory_budget_bytes: u64,
    tuning: Tuning,
) -> Result<Box<dyn Contestant>> {
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(memory_budget_bytes)?);
    let database = builder.create(dir.join("rows.redb"))?;
    let store = Redb {
        database: RwLock::new(database),
        tuning,
    };
    let txn = store.begin()?;
    txn.open_table(ROWS)?;
    txn.commit()?;
    Ok(Box::new(store))
}

impl Redb {
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        work(&self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A transaction whose commit is as durable and as quickly reopened as ours.
    fn begin(&self) -> Result<WriteTransaction> {
        self.with(|database| {
            let mut txn = database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            txn.set_two_phase_commit(self.tuning != Tuning::OnePhase);
            txn.set_quick_repair(!matches!(
                self.tuning,
                Tuning::OnePhase | Tuning::NoQuickRepair
            ));
            Ok(txn)
        })
    }

    fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>> {
        self.with(|database| Ok(database.begin_read()?.open_table(ROWS)?))
    }
}

impl Contestant for Redb {
    fn about(&self) -> About {
        About {
            version: machine::engine_version("redb"),
            durable: "outlives power loss: two-phase commit, quick repair".to_owned(),
            buffered: "as durable: the engine has no level between".to_owned(),
            load: "sorted, inserted by a cursor in one transaction".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let txn = self.begin()?;
        {
            let mut table = txn.open_table(ROWS)?;
            match self.tuning {
                Tuning::SortedInserts => {
                    for (key, value) in script.sorted_rows() {
                        table.insert(&key[..], value)?;
                    }
                }
                Tuning::InsertsAsTheyCome => {
                    for (key, value) in script.rows() {
                        table.insert(&key[..], value)?;
                    }
                }
                _ => {
                    // The cursor fills pages to the end and descends for no row.
                    let mut end = table.lower_bound_mut(Bound::Unbounded::<&[u8]>)?;
                    for (key, value) in script.sorted_rows() {
                        end.insert_before(&key[..], value)?;
                    }
                    end.close()?;
                }
            }
        }
        Ok(txn.commit()?)
    }

    fn commit(&self, changes: Changes<'_>, _: Level) -> Result<Offered> {
        let txn = self.begin()?;
        {
            let mut table = txn.open_table(ROWS)?;
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => drop(table.insert(&key[..], value)?),
                    None => drop(table.remove(&key[..])?),
                }
            }
        }
        txn.commit()?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let mut table = self.table()?;
        let mut bytes = 0;
        for key in keys {
            if self.tuning == Tuning::TablePerRead {
                table = self.table()?;
            }
            if let Some(value) = table.get(&key[..])? {
                let value = value.value();
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let mut table = self.table()?;
        let mut found = 0;
        for start in starts {
            if self.tuning == Tuning::TablePerRead {
                table = self.table()?;
            }
            for row in table.range(&start[..]..)?.take(rows) {
                let (key, value) = row?;
                black_box((key.value().first(), value.value().first()));
                found += 1;
            }
        }
        Ok(Some(found))
    }

    fn scan(&self) -> Result<Option<usize>> {
        let table = self.table()?;
        let mut found = 0;
        for row in table.iter()? {
            let (key, value) = row?;
            black_box((key.value().first(), value.value().first()));
            found += 1;
        }
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        while database.compact()? {}
        Ok(Offered::Done)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
