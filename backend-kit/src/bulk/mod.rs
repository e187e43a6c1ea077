//! The bulk lane: rows of one table in any order, sorted in bounded memory and given to the
//! engine's own loader in one commit.
//!
//! Rows that come in ascending order go straight to the loader. Others are gathered in a [`Chunk`];
//! a full chunk is sorted by a thread of the load ([`Sorter`]) and kept; chunks that fill the
//! memory are merged and spilled as a run; at the end runs and chunks are merged into the loader.
//! Rows that come behind an ascending beginning are a second group, which wins over the first.
//!
//! Invariants: nothing is visible before the commit; the loader gets keys strictly ascending within
//! a group; every row passes the rules of its table before it is gathered; spilled runs lie in a
//! folder of the load inside the store's directory, which goes with the load, and which the next
//! opening removes after a crash. Cost beside the loader: one copy and a share of a sort for each
//! row that does not come in order.

mod chunk;
mod run;
mod sorter;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use storage_api::{
    Bulk, BulkLoad, BulkOptions, BulkReport, Commit, Durability, Error, ErrorKind, Result, TableId,
    envelope,
};

use crate::boundary;
use crate::directory::Directory;
use crate::gate::{Exclusive, Wait};
use crate::metrics::Work;
use crate::raw::{RawEngine, RawLoader};
use crate::shared::Shared;
use crate::store::Store;
use crate::tables::{Rule, Rules};
use crate::write;

use chunk::Chunk;
use run::{Merge, Tiers};
use sorter::Sorter;

/// The least memory for a chunk, and how much is looked at before ascending rows go straight to the
/// engine, in bytes.
const PROBE_BYTES: usize = 1 << 20;

/// Bytes of a chunk, small enough for the processor's caches.
const CHUNK_BYTES: usize = 4 << 20;

/// The engine's loader at work, with the writer's place.
struct Feeding<'s, E: RawEngine> {
    // Dropped before the gate opens.
    loader: E::Loader<'s>,
    _gate: Exclusive<'s>,
}

/// A load under way.
struct Load<'s, E: RawEngine> {
    feeding: Option<Feeding<'s, E>>,
    shared: &'s Shared<E>,
    table: TableId,
    rule: Rule,
    budget_bytes: usize,
    chunk: Chunk,
    sorter: Sorter,
    /// Sorted chunks, oldest first, and what they hold.
    sorted: Vec<Chunk>,
    sorted_bytes: usize,
    runs: Tiers,
    folder: Folder,
    /// The greatest key that went straight to the loader; empty before the first.
    last: Vec<u8>,
    sealed: Vec<u8>,
    rows: u64,
    bytes: u64,
    spilled_runs: u32,
    failed: bool,
    began: Instant,
}

/// The folder of one load, made when it is first needed.
#[derive(Debug, Default)]
struct Folder {
    path: Option<PathBuf>,
    is_made: bool,
    files: u64,
}

/// Numbers the folders of loads that run at the same time in this process.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// Held while folders are made and removed: a load that ends removes the common one when it is the
/// last, which must not happen between another's making that one and its own in it.
static FOLDERS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder {
    fn of(directory: Option<&Directory>) -> Self {
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        Self {
            path: directory.map(|directory| directory.bulk_path().join(number.to_string())),
            ..Self::default()
        }
    }

    fn make(&mut self) -> Result<Option<&Path>> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        if !self.is_made {
            let _alone = alone();
            fs::create_dir_all(path)
                .map_err(|error| Error::from_io(error, path.display().to_string()))?;
            self.is_made = true;
        }
        Ok(Some(path))
    }

    /// A path for the next run; `None` where there is no directory.
    fn next_run(&mut self) -> Result<Option<PathBuf>> {
        let number = self.files;
        self.files += 1;
        let path = self.make()?.map(|path| path.join(format!("run-{number}")));
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| self.is_made) {
            // What stays behind is removed by the next opening.
            let _ = fs::remove_dir_all(path);
            if let Some(parent) = path.parent() {
                let _alone = alone();
                // Fails while another load has its folder there.
                let _ = fs::remove_dir(parent);
            }
        }
    }
}

impl<E: RawEngine> Bulk for Store<E> {
    fn begin_bulk<'s>(
        &'s self,
        table: TableId,
        options: &BulkOptions,
    ) -> Result<Box<dyn BulkLoad + 's>> {
        let shared = &*self.shared;
        let explain = |error| shared.explain(error, "begin_bulk", table);
        shared.check_writable().map_err(explain)?;
        let rule = shared.rules.of(table).map_err(explain)?;
        let budget_bytes = if shared.directory.is_some() {
            let budget_bytes = usize::try_from(options.memory_budget_bytes);
            budget_bytes.unwrap_or(usize::MAX).max(PROBE_BYTES)
        } else {
            usize::MAX
        };
        Ok(Box::new(Load {
            feeding: None,
            shared,
            table,
            rule,
            budget_bytes,
            chunk: Chunk::new(),
            sorter: Sorter::default(),
            sorted: Vec::new(),
            sorted_bytes: 0,
            runs: Tiers::default(),
            folder: Folder::of(shared.directory.as_ref()),
            last: Vec::new(),
            sealed: Vec::new(),
            rows: 0,
            bytes: 0,
            spilled_runs: 0,
            failed: false,
            began: Instant::now(),
        }))
    }
}

impl<'s, E: RawEngine> Load<'s, E> {
    /// Takes the writer's place and starts the engine's loader.
    fn feed(&mut self) -> Result<()> {
        if self.feeding.is_some() {
            return Ok(());
        }
        let shared = self.shared;
        shared.check_writable()?;
        let gate = loop {
            if let Some(gate) = shared.gate.exclusive(Wait::Forever)? {
                break gate;
            }
        };
        // The store may have been poisoned while this load waited.
        shared.check_writable()?;
        shared.admit_write()?;
        let folder = if E::LOADER_FILES {
            self.folder.make()?
        } else {
            None
        };
        let begun = boundary::call::<E, _>(|| shared.engine.begin_load(self.table, folder));
        let loader = begun.inspect_err(|error| self.poison(error))?;
        self.feeding = Some(Feeding {
            loader,
            _gate: gate,
        });
        Ok(())
    }

    /// Hands a row to the engine. Its key is the greatest of its group.
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let Some(feeding) = &mut self.feeding else {
            return Err(Error::new(ErrorKind::TxnFailed));
        };
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
        boundary::call::<E, _>(|| feeding.loader.push(key, value))
            .inspect_err(|error| self.poison(error))
    }

    /// What an engine's failure in the write lane means for the store; see `docs/decisions/0010`.
    #[cold]
    fn poison(&self, error: &Error) {
        if E::LOADER_FILES {
            self.shared.poison_after_panic("bulk", error);
        } else {
            self.shared.poison_after("bulk", error);
        }
    }

    /// Hands all of a sorted chunk to the engine.
    fn push_chunk(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        let pushed = chunk.rows().try_for_each(|(key, value)| {
            self.push(key, value)?;
            Ok(())
        });
        self.chunk = chunk;
        pushed
    }

    /// Takes a checked row in the form in which it is stored.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.feeding.is_some() && key > self.last.as_slice() {
            self.last.clear();
            self.last.extend_from_slice(key);
            return self.push(key, value);
        }
        self.chunk.push(key, value);
        let used_bytes = self.chunk.used_bytes();
        if used_bytes < PROBE_BYTES {
            return Ok(());
        }
        let is_first = self.feeding.is_none()
            && self.runs.is_empty()
            && self.sorted.is_empty()
            && self.sorter.is_idle();
        if is_first && self.chunk.is_ascending {
            self.last.clear();
            self.last.extend_from_slice(key);
            self.feed()?;
            self.push_chunk()?;
            self.chunk.clear();
        } else if used_bytes >= CHUNK_BYTES.min(self.budget_bytes) {
            self.keep_sorted();
            if self.sorted_bytes >= self.budget_bytes {
                self.spill()?;
            }
        }
        Ok(())
    }

    /// Gives the chunk to be sorted and begins another one.
    fn keep_sorted(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let chunk = std::mem::replace(&mut self.chunk, Chunk::new());
        let Self {
            sorter,
            sorted,
            sorted_bytes,
            ..
        } = self;
        sorter.give(chunk, &mut |chunk| {
            *sorted_bytes += chunk.used_bytes();
            sorted.push(chunk);
        });
    }

    /// Waits for the chunks that are being sorted.
    fn finish_sorting(&mut self) {
        let Self {
            sorter,
            sorted,
            sorted_bytes,
            ..
        } = self;
        sorter.finish(&mut |chunk| {
            *sorted_bytes += chunk.used_bytes();
            sorted.push(chunk);
        });
    }

    /// Merges the sorted chunks and writes them as a run.
    fn spill(&mut self) -> Result<()> {
        let Some(path) = self.folder.next_run()? else {
            return Ok(());
        };
        let sorted = std::mem::take(&mut self.sorted);
        self.sorted_bytes = 0;
        let merge = Merge::new(Vec::new(), &sorted)?;
        let run = run::spill(merge, path)?;
        // Merging a tier takes memory of its own.
        drop(sorted);
        self.spilled_runs += 1;
        let Self { runs, folder, .. } = self;
        runs.add(run, &mut || folder.next_run())
    }

    /// Hands everything that was gathered to the engine.
    fn drain(&mut self) -> Result<()> {
        self.keep_sorted();
        self.finish_sorting();
        if self.sorter.has_lost() {
            let lost = io::Error::other("the thread that sorts its rows ended early");
            return Err(Error::from_io(lost, "a bulk load"));
        }
        if (!self.sorted.is_empty() || !self.runs.is_empty())
            && let Some(feeding) = &mut self.feeding
        {
            let begun = boundary::call::<E, _>(|| feeding.loader.next_group());
            begun.inspect_err(|error| self.poison(error))?;
        }
        self.feed()?;
        let sorted = std::mem::take(&mut self.sorted);
        let runs = std::mem::take(&mut self.runs).into_runs();
        Merge::new(runs, &sorted)?.for_each(&mut |key, value| self.push(key, value))
    }

    fn explain(&mut self, error: Error) -> Error {
        self.failed = true;
        self.shared.explain(error, "bulk", self.table)
    }

    fn commit(&mut self) -> Result<Commit> {
        self.drain().map_err(|error| self.explain(error))?;
        let shared = self.shared;
        let Some(Feeding {
            loader,
            _gate: gate,
        }) = self.feeding.take()
        else {
            return Err(Error::new(ErrorKind::TxnFailed));
        };
        let seq = shared.last_seq().next();
        write::finish(shared, || loader.commit(seq))?;
        shared.set_last_seq(seq);
        drop(gate);
        Ok(Commit {
            seq: Some(seq),
            effective: shared.caps.effective(Durability::Durable),
        })
    }
}

impl<E: RawEngine> BulkLoad for Load<'_, E> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::TxnFailed).with_engine(E::NAME));
        }
        let checked = Rules::check_key(self.rule, key)
            .and_then(|()| self.shared.rules.check_value(self.rule, value));
        checked.map_err(|error| self.shared.explain(error, "bulk", self.table))?;
        let taken = if self.rule.envelope {
            let mut sealed = std::mem::take(&mut self.sealed);
            envelope::seal(self.table, key, value, &mut sealed);
            let taken = self.take(key, &sealed);
            self.sealed = sealed;
            taken
        } else {
            self.take(key, value)
        };
        taken.map_err(|error| self.explain(error))
    }

    fn finish(mut self: Box<Self>) -> Result<BulkReport> {
        if self.failed {
            return Err(Error::new(ErrorKind::TxnFailed).with_engine(E::NAME));
        }
        let span = tracing::info_span!("bulk", engine = E::NAME);
        let _in_span = span.enter();
        let meter = &self.shared.meter;
        let commit = meter.time(Work::Bulk, || self.commit())?;
        meter.count_bulk_rows(self.rows);
        let report = BulkReport {
            rows: self.rows,
            bytes: self.bytes,
            spilled_runs: self.spilled_runs,
            commit,
            took: self.began.elapsed(),
        };
        tracing::info!(
            rows = report.rows,
            bytes = report.bytes,
            spilled_runs = report.spilled_runs,
            took_seconds = report.took.as_secs_f64(),
            "loaded"
        );
        Ok(report)
    }
}
