//! The bulk load: sorted rows written as table files beside the database and ingested all at once.
//!
//! Invariants: files of one group do not overlap, nor do those of its parts, which threads write at
//! the same time; files of later groups come later in the list that is ingested, which is how their
//! rows win; ingesting is atomic over the files of a table, and durable when it returns. The row of
//! the commit number is another table's and follows in a write of its own, so between the two a
//! view sees the rows under the number before, and a crash there leaves the rows without a number
//! (`docs/decisions/0011`). Cost: nothing is in memory but one block of each part.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use backend_kit::{CommitFailure, RawEngine, RawLoader, RawPart, seq_row};
use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter, WriteBatch};
use storage_api::{CommitSeq, Durability, Error, ErrorKind, Result, TableId};

use crate::engine::RocksEngine;
use crate::error::{fail, fail_commit};

/// Bytes after which a file is closed and the next one begun. Small enough for compaction to move
/// single files, large enough that a terabyte is some thousand files.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Rows between two looks at the size of the open file.
const ROWS_BETWEEN_LOOKS: u32 = 1024;

/// Table files of rows that come in ascending order.
pub struct RocksPart<'e> {
    layout: &'e Options,
    /// Where the files are, and what their names begin with.
    folder: PathBuf,
    prefix: String,
    /// The open file, if there is one, and rows since its size was looked at.
    writer: Option<(SstFileWriter<'e>, u32)>,
    files: Vec<PathBuf>,
}

impl fmt::Debug for RocksPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksPart")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<'e> RocksPart<'e> {
    fn open(&mut self) -> Result<SstFileWriter<'e>> {
        let name = format!("{}-{}.sst", self.prefix, self.files.len());
        let path = self.folder.join(name);
        let writer = SstFileWriter::create(self.layout);
        writer.open(&path).map_err(|error| fail(error, &path))?;
        self.files.push(path);
        Ok(writer)
    }
}

fn part<'e>(layout: &'e Options, folder: &Path, number: usize) -> RocksPart<'e> {
    RocksPart {
        layout,
        folder: folder.to_owned(),
        prefix: format!("rows-{number}"),
        writer: None,
        files: Vec::new(),
    }
}

impl RawPart for RocksPart<'_> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (mut writer, mut rows) = match self.writer.take() {
            Some(open) => open,
            None => (self.open()?, 0),
        };
        let put = writer.put(key, value);
        put.map_err(|error| fail(error, &self.folder))?;
        rows += 1;
        let mut is_full = false;
        if rows == ROWS_BETWEEN_LOOKS {
            rows = 0;
            is_full = writer.file_size() >= FILE_BYTES_MAX;
        }
        self.writer = Some((writer, rows));
        if is_full {
            return self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some((mut writer, _)) = self.writer.take() {
            writer.finish().map_err(|error| fail(error, &self.folder))?;
        }
        Ok(())
    }
}

/// A load of one table.
pub struct RocksLoader<'e> {
    engine: &'e RocksEngine,
    table: TableId,
    layout: &'e Options,
    folder: PathBuf,
    /// Takes the rows that come one by one.
    own: RocksPart<'e>,
    /// Parts that were begun, for their names.
    parts: usize,
    /// Finished files of the groups so far, oldest first.
    files: Vec<PathBuf>,
}

impl fmt::Debug for RocksLoader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksLoader")
            .field("table", &self.table)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl<'e> RocksLoader<'e> {
    /// Loads this table through files in this folder, which is on the database's file system.
    ///
    /// # Errors
    /// `InvalidArgument` without a folder, `UnknownTable`.
    pub(crate) fn new(
        engine: &'e RocksEngine,
        table: TableId,
        folder: Option<&Path>,
    ) -> Result<Self> {
        let folder = folder.ok_or_else(|| Error::invalid("a bulk load needs a folder"))?;
        let layout = engine.layout(table).ok_or_else(|| {
            Error::new(ErrorKind::UnknownTable {
                table: table.to_string(),
            })
        })?;
        Ok(Self {
            engine,
            table,
            layout,
            folder: folder.to_owned(),
            own: part(layout, folder, 0),
            parts: 1,
            files: Vec::new(),
        })
    }

    fn begin_part(&mut self) -> RocksPart<'e> {
        let number = self.parts;
        self.parts += 1;
        part(self.layout, &self.folder, number)
    }

    /// Finishes the files of the rows that came one by one.
    fn close(&mut self) -> Result<()> {
        self.own.finish()?;
        self.files.append(&mut self.own.files);
        Ok(())
    }

    /// Gives the files to the database.
    fn ingest(&mut self) -> Result<(), CommitFailure> {
        self.close().map_err(CommitFailure::Aborted)?;
        if self.files.is_empty() {
            return Ok(());
        }
        let db = self.engine.db();
        let handle = db.writable(self.table).map_err(CommitFailure::Aborted)?;
        // Ingesting is durable at once, so the buffered commits before it have to be: otherwise a
        // power cut could leave the load without them.
        self.engine.sync().map_err(CommitFailure::Aborted)?;
        let files_bytes: u64 = self
            .files
            .iter()
            .filter_map(|file| Some(fs::metadata(file).ok()?.len()))
            .sum();
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let files: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        let ingested = db
            .raw()
            .ingest_external_file_cf_opts(handle, &options, files);
        ingested.map_err(|error| fail_commit(error, db.path()))?;
        self.engine.note_loaded(files_bytes);
        Ok(())
    }
}

impl<'e> RawLoader for RocksLoader<'e> {
    type Part = RocksPart<'e>;

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.own.push(key, value)
    }

    fn next_group(&mut self) -> Result<()> {
        self.close()?;
        self.own = self.begin_part();
        Ok(())
    }

    fn parts(&mut self, count: usize) -> Result<Vec<RocksPart<'e>>> {
        Ok((0..count).map(|_| self.begin_part()).collect())
    }

    fn join(&mut self, parts: Vec<RocksPart<'e>>) -> Result<()> {
        for mut part in parts {
            self.files.append(&mut part.files);
        }
        Ok(())
    }

    fn commit(mut self, seq: CommitSeq) -> Result<(), CommitFailure> {
        self.ingest()?;
        let (key, value) = seq_row(seq);
        let mut batch = WriteBatch::default();
        let internal = self.engine.db().writable(TableId::INTERNAL);
        batch.put_cf(internal.map_err(CommitFailure::Unknown)?, key, value);
        self.engine
            .write(batch, Durability::Durable)
            .map_err(|failure| match failure {
                // The rows are there already.
                CommitFailure::Aborted(error) | CommitFailure::Unknown(error) => {
                    CommitFailure::Unknown(error)
                }
            })
    }
}
