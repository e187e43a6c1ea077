//! A made-up disk: what a store leaves behind when it is closed, and who holds it.
//!
//! Invariants: one writer or many readers; tables keep their number for ever; a refused opening
//! changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage_api::{
    Access, Catalogue, ChainId, CommitSeq, Error, ErrorKind, IfMissing, OpenOptions, OpenReport,
    Persistence, Result, Schema, TableId, TableInfo,
};

use crate::ops::TableRows;

/// Whether the model forgets on closing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// It forgets.
    Memory,
    /// It keeps everything as long as the [`ModelDisk`] lives.
    #[default]
    Disk,
}

/// Everything that is committed, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) seq: CommitSeq,
    pub(super) tables: BTreeMap<TableId, Arc<TableRows>>,
    /// Bytes ever written, which only grows: the measure of what an old view pins.
    pub(super) written_bytes: u64,
}

/// The place that a model store is opened at.
#[derive(Debug, Default)]
pub struct ModelDisk {
    medium: Medium,
    state: Mutex<DiskState>,
}

#[derive(Debug, Default)]
struct DiskState {
    exists: bool,
    chain: Option<ChainId>,
    tables: Vec<TableInfo>,
    next_table: u16,
    snapshot: Arc<Snapshot>,
    writers: usize,
    readers: usize,
}

/// What opening found.
pub(super) struct Mounted {
    pub(super) catalogue: Catalogue,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) report: OpenReport,
}

/// The most tables of a model store, small enough to be reached.
pub(super) const TABLES_MAX: usize = 40;

const PLACE: &str = "the model's disk";

impl ModelDisk {
    /// An empty place.
    #[must_use]
    pub fn new(medium: Medium) -> Self {
        Self {
            medium,
            state: Mutex::default(),
        }
    }

    pub(super) fn medium(&self) -> Medium {
        self.medium
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mount(&self, schema: &Schema, options: &OpenOptions) -> Result<Mounted> {
        if self.medium == Medium::Memory {
            if options.persistence == Persistence::Required {
                return Err(Error::unsupported("persistent"));
            }
            if options.access == Access::ReadOnly {
                return Err(Error::unsupported("read_only_open"));
            }
            let mut fresh = DiskState::default();
            return fresh.mount(schema, options);
        }
        self.state().mount(schema, options)
    }

    pub(super) fn unmount(&self, access: Access) {
        if self.medium == Medium::Disk {
            let mut state = self.state();
            match access {
                Access::ReadWrite => state.writers -= 1,
                Access::ReadOnly => state.readers -= 1,
            }
        }
    }

    pub(super) fn keep(&self, snapshot: &Arc<Snapshot>) {
        if self.medium == Medium::Disk {
            self.state().snapshot = Arc::clone(snapshot);
        }
    }
}

impl DiskState {
    fn mount(&mut self, schema: &Schema, options: &OpenOptions) -> Result<Mounted> {
        self.may_open(options)?;
        let mut report = OpenReport::default();
        report.created = !self.exists;
        let (mut tables, mut next) = (self.tables.clone(), self.next_table.max(1));
        for def in schema.tables() {
            match tables
                .iter_mut()
                .find(|table| table.def.name() == def.name())
            {
                Some(known) => {
                    let (old, new) = (&known.def, def);
                    if old.checksum() != new.checksum() || old.key_limit() != new.key_limit() {
                        let reason = format!("table {} has other settings", def.name());
                        return Err(ErrorKind::SchemaRefused { reason }.into());
                    }
                    known.def = def.clone();
                }
                None => {
                    let id = TableId::new(next);
                    next += 1;
                    report.tables_added.push(id);
                    tables.push(TableInfo {
                        id,
                        def: def.clone(),
                    });
                }
            }
        }
        if tables.len() > TABLES_MAX {
            return Err(ErrorKind::TooManyTables {
                asked: tables.len(),
                max: TABLES_MAX,
            }
            .into());
        }
        let named =
            |table: &&TableInfo| schema.tables().iter().any(|d| d.name() == table.def.name());
        let unnamed = tables.iter().filter(|table| !named(table));
        report.tables_unnamed = unnamed.map(|table| table.id).collect();
        let catalogue = Catalogue::new(tables.clone())?;
        match options.access {
            Access::ReadWrite => {
                self.writers += 1;
                self.exists = true;
                self.tables = tables;
                self.next_table = next;
                self.chain = self.chain.take().or_else(|| options.chain_id.clone());
            }
            Access::ReadOnly => self.readers += 1,
        }
        Ok(Mounted {
            catalogue,
            snapshot: Arc::clone(&self.snapshot),
            report,
        })
    }

    fn may_open(&self, options: &OpenOptions) -> Result<()> {
        let path = PLACE.to_owned();
        let taken = match options.access {
            Access::ReadWrite => self.writers + self.readers > 0,
            Access::ReadOnly => self.writers > 0,
        };
        if taken {
            return Err(ErrorKind::AlreadyOpen {
                path,
                holder_pid: Some(std::process::id()),
            }
            .into());
        }
        let must_exist =
            options.if_missing == IfMissing::Fail || options.access == Access::ReadOnly;
        if !self.exists && must_exist {
            return Err(ErrorKind::NotFound { path }.into());
        }
        match (&self.chain, &options.chain_id) {
            (Some(found), Some(expected)) if found != expected => Err(ErrorKind::WrongChain {
                expected: expected.to_string(),
                found: found.to_string(),
            }
            .into()),
            _ => Ok(()),
        }
    }
}
