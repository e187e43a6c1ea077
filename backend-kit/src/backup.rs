//! Backup: a complete second store of the same content, from one view.
//!
//! Invariants: the target is missing or empty before; until everything is durable its marker says
//! `creating`, so a copy that was cut short never opens as a store; a failure removes what was
//! written. The copy keeps the table numbers and the chain and gets a store id of its own.

use std::path::Path;
use std::time::Instant;

use storage_api::{
    Backup, BackupReport, Cursor, Durability, Error, ErrorKind, KeyRange, KvStore, Location, Mode,
    OpenOptions, Reader, Result, WriteBatch, Writer,
};

use crate::boundary;
use crate::directory::{self, Directory, Found, State};
use crate::raw::RawEngine;
use crate::store::{self, Store};
use crate::tables::Merged;

/// Bytes gathered before they are written to the copy.
const CHUNK_BYTES: usize = 4 << 20;

impl<E: RawEngine> Backup for Store<E> {
    fn backup(&self, target: &Path) -> Result<BackupReport> {
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("backup");
        if self.shared.caps.backup == Mode::None {
            return Err(explain(Error::unsupported("backup")));
        }
        let began = Instant::now();
        let existed = target.exists();
        self.copy_into(target)
            .inspect_err(|error| {
                // A target that was refused was not touched and is not ours to clean.
                if !matches!(
                    error.kind(),
                    ErrorKind::NotAStore { .. } | ErrorKind::AlreadyOpen { .. }
                ) {
                    Directory::undo_creation(target, existed);
                }
            })
            .map_err(explain)?;
        let bytes = directory::disk_bytes(target)?;
        Ok(BackupReport {
            bytes,
            took: began.elapsed(),
        })
    }
}

impl<E: RawEngine> Store<E> {
    fn copy_into(&self, target: &Path) -> Result<()> {
        let source = match &self.shared.directory {
            Some(directory) => directory::read_marker(directory.path())?,
            None => None,
        };
        let source = source.ok_or_else(|| Error::unsupported("persistent"))?;
        let mut options = OpenOptions::new();
        options.chain_id.clone_from(&source.chain_id);
        let (copy, found) = Directory::open(target, (E::NAME, E::FORMAT), &options)?;
        if let Found::Existing(_) = found {
            return Err(Error::new(ErrorKind::NotAStore {
                path: target.display().to_string(),
                found: "a store".to_owned(),
            }));
        }
        let merged = Merged {
            tables: source.tables.clone(),
            next_table: source.next_table,
            ..Merged::default()
        };
        let mut marker = store::new_marker::<E>(source.tables, source.next_table, &options)?;
        copy.begin_creation(&marker)?;
        let data = copy.data_path();
        let native = boundary::call::<E, _>(|| self.shared.engine.copy_to(&data))?;
        marker.state = State::Ready;
        if native {
            directory::sync_folder(&data)?;
            return copy.write_marker(&marker);
        }
        let location = Location::Directory(&data);
        let (filled, _) = Self::assemble(
            location,
            Some(copy),
            &merged,
            true,
            &options,
            &E::Options::default(),
        )?;
        self.stream_into(&filled)?;
        filled.directory()?.write_marker(&marker)
    }

    fn stream_into(&self, copy: &Self) -> Result<()> {
        let view = self.begin_read()?;
        let mut batch = WriteBatch::new();
        for table in self.catalogue().iter() {
            let mut cursor = view.cursor(table.id, KeyRange::all())?;
            while let Some(row) = cursor.next()? {
                batch.put(table.id, row.key, row.value)?;
                if batch.payload_bytes() >= CHUNK_BYTES {
                    copy.apply(&batch, Durability::Volatile)?;
                    batch.clear();
                }
            }
        }
        copy.apply(&batch, Durability::Durable)?;
        copy.sync()
    }
}
