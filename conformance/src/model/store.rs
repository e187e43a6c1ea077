//! The model as a store: opening, views, the commit, limits.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use storage_api::{
    Access, BatchOp, Capabilities, Catalogue, Commit, Count, Durability, Effective, Error,
    ErrorKind, KEY_BYTES_MAX_PORTABLE, KeyLimit, KvStore, OldestReader, OpenOptions, OpenReport,
    Result, Schema, Sharing, StoreStats, TableDef, TableId, TableStats, WriteBatch,
};

use super::disk::{Medium, ModelDisk, Snapshot, TABLES_MAX};
use super::gate::{Gate, Pass};
use super::read::{ModelView, unknown};
use super::txn::{ModelTxn, Tables};
use crate::ops::TableRows;

/// The engine's name in errors and reports.
pub(super) const NAME: &str = "model";

const READERS_MAX: u32 = 120;

/// What all handles, views and transactions of one opening share.
#[derive(Debug)]
pub(super) struct Core {
    disk: Arc<ModelDisk>,
    options: OpenOptions,
    catalogue: Catalogue,
    capabilities: Capabilities,
    state: Mutex<State>,
    gate: Gate,
    pub(super) no_rows: TableRows,
}

#[derive(Debug)]
struct State {
    current: Arc<Snapshot>,
    views: BTreeMap<u64, Began>,
    next_view: u64,
}

/// When a view began and what had been written then.
#[derive(Clone, Copy, Debug)]
struct Began {
    at: Duration,
    written_bytes: u64,
}

impl Drop for Core {
    fn drop(&mut self) {
        self.disk.unmount(self.options.access);
    }
}

fn capabilities(medium: Medium) -> Capabilities {
    let mut capabilities = Capabilities::IN_MEMORY;
    capabilities.key_bytes_max = 2_000;
    capabilities.value_bytes_max = 20 << 20;
    capabilities.tables_max = TABLES_MAX;
    capabilities.readers_max = Some(READERS_MAX);
    if medium == Medium::Disk {
        capabilities.persistent = true;
        capabilities.effective = [Effective::Durable; 3];
        capabilities.sharing = Sharing::ReadersOrWriter;
        capabilities.read_only_open = true;
        capabilities.bit_rot = storage_api::BitRot::NotDetected;
    }
    capabilities
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table_def(&self, table: TableId) -> Result<&TableDef> {
        let info = self.catalogue.get(table);
        info.map(|info| &info.def)
            .ok_or_else(|| unknown(table).with_engine(NAME))
    }

    pub(super) fn check_key(&self, table: TableId, key: &[u8]) -> Result<()> {
        let def = self.table_def(table)?;
        let max = match def.key_limit() {
            KeyLimit::Portable => KEY_BYTES_MAX_PORTABLE,
            KeyLimit::Engine => self.capabilities.key_bytes_max,
        };
        let kind = match key.len() {
            0 => ErrorKind::EmptyKey,
            len if len > max => ErrorKind::KeyTooLong { len, max },
            _ => return Ok(()),
        };
        Err(Error::new(kind)
            .with_engine(NAME)
            .with_table(def.name().to_owned()))
    }

    pub(super) fn check_value(&self, table: TableId, value: &[u8]) -> Result<()> {
        let (len, max) = (value.len(), self.capabilities.value_bytes_max);
        if len <= max {
            return Ok(());
        }
        let error = Error::new(ErrorKind::ValueTooLong { len, max }).with_engine(NAME);
        Err(error.with_table(self.table_def(table)?.name().to_owned()))
    }

    pub(super) fn check_age(&self, view: u64) -> Result<()> {
        let Some(max) = self.options.reader_limits.age_max else {
            return Ok(());
        };
        let state = self.state();
        let Some(began) = state.views.get(&view) else {
            return Ok(());
        };
        let age = self.options.clock.now().saturating_sub(began.at);
        if age > max {
            return Err(Error::new(ErrorKind::ReaderTooOld { age, max }).with_engine(NAME));
        }
        Ok(())
    }

    pub(super) fn forget_view(&self, view: u64) {
        self.state().views.remove(&view);
    }

    fn oldest(&self, state: &State) -> Option<OldestReader> {
        let now = self.options.clock.now();
        let oldest = state.views.values().next()?;
        Some(OldestReader {
            age: now.saturating_sub(oldest.at),
            pinned_bytes: state.current.written_bytes - oldest.written_bytes,
        })
    }

    fn check_writable(&self) -> Result<()> {
        if self.options.access == Access::ReadOnly {
            return Err(ErrorKind::ReadOnly.into());
        }
        let oldest = self.oldest(&self.state());
        match (self.options.reader_limits.pinned_bytes_max, oldest) {
            (Some(max_bytes), Some(oldest)) if oldest.pinned_bytes > max_bytes => {
                let pinned_bytes = oldest.pinned_bytes;
                Err(ErrorKind::PinnedTooMuch {
                    pinned_bytes,
                    max_bytes,
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    fn enter(&self, wait: Option<Duration>) -> Result<Option<Pass<'_>>> {
        self.check_writable()?;
        self.gate.enter(wait)
    }

    /// Makes the tables the current ones. The caller holds the gate.
    pub(super) fn publish(&self, tables: Tables, asked: Durability) -> Commit {
        let mut state = self.state();
        let bytes = |rows: &Arc<TableRows>| -> u64 {
            rows.iter()
                .map(|(key, value)| (key.len() + value.len()) as u64)
                .sum()
        };
        let touched = tables.iter().filter(|(table, rows)| {
            state
                .current
                .tables
                .get(table)
                .is_none_or(|old| !Arc::ptr_eq(old, rows))
        });
        let written: u64 = touched.map(|(_, rows)| 1 + bytes(rows)).sum();
        let seq = state.current.seq.next();
        let written_bytes = state.current.written_bytes + written;
        state.current = Arc::new(Snapshot {
            seq,
            tables,
            written_bytes,
        });
        self.disk.keep(&state.current);
        Commit {
            seq: Some(seq),
            effective: self.capabilities.effective(asked),
        }
    }
}

/// The reference store.
#[derive(Debug)]
pub struct ModelStore {
    core: Arc<Core>,
}

impl ModelStore {
    /// Opens the store that is on this disk, or makes it.
    ///
    /// # Errors
    /// As [`storage_api::Engine::open`].
    pub fn open(
        disk: &Arc<ModelDisk>,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Self, OpenReport)> {
        let begun = Instant::now();
        let named = |error: Error| error.with_engine(NAME).with_operation("open");
        let mut mounted = disk.mount(schema, options).map_err(named)?;
        let state = State {
            current: mounted.snapshot,
            views: BTreeMap::new(),
            next_view: 0,
        };
        let core = Core {
            disk: Arc::clone(disk),
            options: options.clone(),
            catalogue: mounted.catalogue,
            capabilities: capabilities(disk.medium()),
            state: Mutex::new(state),
            gate: Gate::default(),
            no_rows: TableRows::new(),
        };
        mounted.report.took = begun.elapsed();
        Ok((
            Self {
                core: Arc::new(core),
            },
            mounted.report,
        ))
    }

    fn views(&self, count: usize) -> Result<Vec<ModelView>> {
        let mut state = self.core.state();
        if state.views.len() + count > READERS_MAX as usize {
            let error = Error::new(ErrorKind::TooManyReaders { max: READERS_MAX });
            return Err(error.with_engine(NAME).with_operation("begin_read"));
        }
        let (at, snapshot) = (self.core.options.clock.now(), Arc::clone(&state.current));
        let began = Began {
            at,
            written_bytes: snapshot.written_bytes,
        };
        let mut views = Vec::with_capacity(count);
        for _ in 0..count {
            let number = state.next_view;
            state.next_view += 1;
            state.views.insert(number, began);
            let core = Arc::clone(&self.core);
            views.push(ModelView::new(core, Arc::clone(&snapshot), number));
        }
        Ok(views)
    }

    pub(crate) fn check_batch(&self, batch: &WriteBatch) -> Result<()> {
        for op in batch.ops() {
            match op {
                BatchOp::Put { table, key, value } => {
                    self.core.check_key(table, key)?;
                    self.core.check_value(table, value)?;
                }
                BatchOp::Delete { table, key } => self.core.check_key(table, key)?,
                BatchOp::DeleteRange { table, .. } => {
                    self.core.table_def(table)?;
                }
            }
        }
        Ok(())
    }

    fn enter(&self, wait: Option<Duration>) -> Result<Option<ModelTxn<'_>>> {
        let named = |error: Error| error.with_engine(NAME).with_operation("begin_write");
        let Some(pass) = self.core.enter(wait).map_err(named)? else {
            return Ok(None);
        };
        let tables = self.core.state().current.tables.clone();
        Ok(Some(ModelTxn::new(&self.core, pass, tables)))
    }
}

impl KvStore for ModelStore {
    type ReadTxn = ModelView;
    type WriteTxn<'s> = ModelTxn<'s>;

    fn engine_name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> &Capabilities {
        &self.core.capabilities
    }

    fn catalogue(&self) -> &Catalogue {
        &self.core.catalogue
    }

    fn begin_read(&self) -> Result<ModelView> {
        let view = self.views(1)?.pop();
        view.ok_or_else(|| Error::invalid("one view was asked for and none was made"))
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<ModelView>> {
        self.views(views.get())
    }

    fn begin_write(&self) -> Result<ModelTxn<'_>> {
        let txn = self.enter(None)?;
        txn.ok_or_else(|| Error::invalid("the gate gave up without a time limit"))
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<ModelTxn<'_>>> {
        self.enter(Some(wait))
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        let named = |error: Error| error.with_engine(NAME).with_operation("apply");
        self.check_batch(batch).map_err(named)?;
        let mut txn = self.begin_write().map_err(named)?;
        batch.replay(&mut txn)?;
        storage_api::WriteTxn::commit(txn, durability)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        self.core
            .table_def(table)
            .map_err(|error| error.with_operation("table_stats"))?;
        let snapshot = Arc::clone(&self.core.state().current);
        let rows = snapshot
            .tables
            .get(&table)
            .map_or(&self.core.no_rows, |rows| &**rows);
        let bytes: usize = rows
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        Ok(TableStats {
            rows: Count::Exact(rows.len() as u64),
            bytes: Some(Count::Exact(bytes as u64)),
        })
    }

    fn stats(&self) -> Result<StoreStats> {
        let state = self.core.state();
        Ok(StoreStats {
            readers: state.views.len(),
            oldest_reader: self.core.oldest(&state),
            commit_seq: state.current.seq,
            ..StoreStats::default()
        })
    }
}
