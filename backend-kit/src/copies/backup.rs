//! Backup: a complete second store of the same content, from one view.
//!
//! Invariants: the target is missing or empty before; until everything is durable its marker says
//! `creating`, so a copy that was cut short never opens as a store; a failure removes what was
//! written, and nothing of a target that was refused. The copy keeps the table numbers, the chain
//! and the last commit's number and gets a store id of its own. Bodies of blocks in segment files
//! are copied after the rows that point at them, while a view keeps block stores from cutting them.

use std::path::Path;
use std::time::Instant;

use storage_api::{
    Backup, BackupReport, CommitSeq, Cursor, Durability, Error, ErrorKind, KeyRange, KvStore,
    Location, Mode, OpenOptions, ReadTxn, Reader, Result, WriteBatch, Writer,
};

use crate::boundary;
use crate::directory::{self, Directory, Found, State};
use crate::metrics::Work;
use crate::raw::RawEngine;
use crate::store::{self, Store};
use crate::tables::Merged;

/// Bytes gathered before they are written to the copy.
const CHUNK_BYTES: usize = 4 << 20;

impl<E: RawEngine> Backup for Store<E> {
    fn backup(&self, target: &Path) -> Result<BackupReport> {
        let span = tracing::info_span!("backup", engine = E::NAME, target = %target.display());
        let _in_span = span.enter();
        let done = (self.shared.meter).time(Work::Backup, || self.backup_untimed(target));
        if let Ok(report) = &done {
            let took_seconds = report.took.as_secs_f64();
            tracing::info!(bytes = report.bytes, took_seconds, "backed up");
        }
        done
    }
}

impl<E: RawEngine> Store<E> {
    fn backup_untimed(&self, target: &Path) -> Result<BackupReport> {
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("backup");
        if self.shared.caps.backup == Mode::None {
            return Err(explain(Error::unsupported("backup")));
        }
        let began = Instant::now();
        self.copy_into(target).map_err(explain)?;
        let bytes = directory::disk_bytes(target).map_err(explain)?;
        Ok(BackupReport {
            bytes,
            took: began.elapsed(),
        })
    }

    fn copy_into(&self, target: &Path) -> Result<()> {
        let mut options = OpenOptions::new();
        let merged = match &self.shared.directory {
            Some(directory) => {
                let source = directory::read_marker(directory.path())?.ok_or_else(|| {
                    let place = directory.path().display().to_string();
                    Error::corruption(place, "the marker is gone")
                })?;
                options.chain_id = source.chain_id;
                Merged {
                    tables: source.tables,
                    next_table: source.next_table,
                    ..Merged::default()
                }
            }
            // A store in memory has given out the numbers of its tables and no others.
            None => Merged {
                tables: self.catalogue().iter().cloned().collect(),
                next_table: self
                    .catalogue()
                    .iter()
                    .map(|table| table.id.get())
                    .max()
                    .unwrap_or(0)
                    + 1,
                ..Merged::default()
            },
        };
        if !E::CAPABILITIES.persistent {
            return Err(Error::unsupported("persistent"));
        }
        let (copy, found) = Directory::open(target, (E::NAME, E::FORMAT), &options)?;
        if let Found::Existing(_) | Found::Filling(..) = found {
            return Err(Error::new(ErrorKind::NotAStore {
                path: target.display().to_string(),
                found: "a store".to_owned(),
            }));
        }
        // From here on the target is ours, and only from here on may it be cleaned.
        let creation = copy.creation();
        let filled = self.fill(copy, &merged, &options);
        if filled.is_err() {
            creation.undo();
        }
        filled
    }

    fn fill(&self, copy: Directory, merged: &Merged, options: &OpenOptions) -> Result<()> {
        let (tables, next_table) = (merged.tables.clone(), merged.next_table);
        let mut marker = store::new_marker::<E>(tables, next_table, options)?;
        copy.begin_creation(&marker)?;
        let data = copy.data_path();
        let shared = &self.shared;
        // Keeps exclusive work out, as a view does, and segments from being cut.
        let (_ticket, _) = shared.registry.enter(shared.engine.used_bytes());
        let native = boundary::call::<E, _>(|| shared.engine.copy_to(&data))?;
        if native {
            self.copy_segments(&copy)?;
        }
        marker.state = State::Ready;
        if native {
            directory::sync_folder(&data)?;
            return copy.write_marker(&marker);
        }
        let location = Location::Directory(&data);
        let (filled, _) = Self::assemble(
            location,
            Some(copy),
            merged,
            true,
            options,
            &E::Options::default(),
        )?;
        self.stream_into(&filled)?;
        directory::sync_folder(&data)?;
        self.copy_segments(filled.directory()?)?;
        filled.directory()?.write_marker(&marker)
    }

    /// Copies bodies in segment files, if there are any.
    fn copy_segments(&self, copy: &Directory) -> Result<()> {
        let Some(own) = &self.shared.directory else {
            return Ok(());
        };
        super::folder::copy_folder(&own.segments_path(), &copy.segments_path())
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
        // The copy goes on counting where this view stands, as an engine's own copy does: rows may
        // hold commit numbers.
        let before = view.commit_seq()?.get().saturating_sub(1);
        copy.shared.set_last_seq(CommitSeq::new(before));
        copy.apply(&batch, Durability::Durable)?;
        copy.sync()
    }
}
