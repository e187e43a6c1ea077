//! The bulk lane: rows of one table in any order, sorted in bounded memory and given to the
//! engine's own loader in one commit.
//!
//! Rows that come in ascending order go straight to the loader. Others are gathered in a [`Chunk`];
//! a full chunk is sorted by a thread of the load ([`Spool`]) and kept, or spilled as a run when
//! the memory is full; at the end chunks and runs are merged into the loader, in several key ranges
//! at once where the loader takes parts ([`parts`]). Rows that come behind an ascending beginning
//! are a second group, which wins over the first.
//!
//! Invariants: nothing is visible before the commit; the loader gets keys strictly ascending within
//! a group; every row passes the rules of its table before it is gathered; spilled runs lie in a
//! folder of the load inside the store's directory, which goes with the load, and which the next
//! opening removes after a crash. Cost beside the loader: one copy and a share of a sort for each
//! row that does not come in order.

mod chunk;
mod folder;
mod merge;
mod parts;
mod run;
mod spool;
#[cfg(test)]
mod tests;
mod tiers;

use std::sync::Arc;
use std::time::Instant;

use storage_api::{
    Bulk, BulkLoad, BulkOptions, BulkReport, Commit, Durability, Error, ErrorKind, Result, TableId,
    envelope,
};

use crate::boundary;
use crate::gate::{Exclusive, Wait};
use crate::metrics::Work;
use crate::raw::{RawEngine, RawLoader};
use crate::shared::Shared;
use crate::store::Store;
use crate::tables::{Rule, Rules};
use crate::write;

use chunk::Chunk;
use folder::Folder;
use merge::Merge;
use parts::{Fed, Guarded};
use run::Bounds;
use spool::{Gathered, Spool};

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
    spool: Spool,
    folder: Arc<Folder>,
    /// The greatest key that went straight to the loader; empty before the first.
    last: Vec<u8>,
    sealed: Vec<u8>,
    fed: Fed,
    spilled_runs: u32,
    failed: bool,
    began: Instant,
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
        let folder = Arc::new(Folder::of(shared.directory.as_ref()));
        Ok(Box::new(Load {
            feeding: None,
            shared,
            table,
            rule,
            budget_bytes,
            chunk: Chunk::new(),
            spool: Spool::new(budget_bytes, Arc::clone(&folder)),
            folder,
            last: Vec::new(),
            sealed: Vec::new(),
            fed: Fed::default(),
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
        self.fed.add(key, value);
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
        let is_first = self.feeding.is_none() && self.spool.is_idle();
        if is_first && self.chunk.is_ascending {
            self.last.clear();
            self.last.extend_from_slice(key);
            self.feed()?;
            self.push_chunk()?;
            self.chunk.clear();
        } else if used_bytes >= CHUNK_BYTES.min(self.budget_bytes) {
            self.give()?;
        }
        Ok(())
    }

    /// Gives the chunk to be sorted and begins another one.
    fn give(&mut self) -> Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk = self.spool.give(chunk)?;
        Ok(())
    }

    /// Hands everything that was gathered to the engine.
    fn drain(&mut self) -> Result<()> {
        if !self.chunk.is_empty() {
            self.give()?;
        }
        let gathered = self.spool.finish()?;
        self.spilled_runs = gathered.spilled_runs;
        if !gathered.is_empty()
            && let Some(feeding) = &mut self.feeding
        {
            let begun = boundary::call::<E, _>(|| feeding.loader.next_group());
            begun.inspect_err(|error| self.poison(error))?;
        }
        self.feed()?;
        if self.feed_parts(&gathered)? {
            return Ok(());
        }
        let Gathered { chunks, runs, .. } = &gathered;
        let merge = Merge::new(chunks, runs, Bounds::default(), 1)?;
        merge.for_each(&mut |key, value| self.push(key, value))
    }

    /// Hands everything to parts of the loader, if it has them and they are worth it; false if not.
    fn feed_parts(&mut self, gathered: &Gathered) -> Result<bool> {
        let cuts = parts::cuts(gathered);
        let (false, Some(feeding)) = (cuts.is_empty(), &mut self.feeding) else {
            return Ok(false);
        };
        let given = boundary::call::<E, _>(|| feeding.loader.parts(cuts.len() + 1));
        let given = given.inspect_err(|error| self.poison(error))?;
        if given.len() != cuts.len() + 1 {
            return Ok(false);
        }
        // Parts are files or memory of their own, and say nothing about the engine's files.
        let given = given.into_iter().map(Guarded::<E, _>::new).collect();
        let (filled, fed) = parts::feed(gathered, &cuts, given)?;
        let filled = filled.into_iter().map(|guarded| guarded.part).collect();
        let Some(feeding) = &mut self.feeding else {
            return Err(Error::new(ErrorKind::TxnFailed));
        };
        let joined = boundary::call::<E, _>(|| feeding.loader.join(filled));
        joined.inspect_err(|error| self.poison(error))?;
        self.fed.rows += fed.rows;
        self.fed.bytes += fed.bytes;
        Ok(true)
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
        meter.count_bulk_rows(self.fed.rows);
        let report = BulkReport {
            rows: self.fed.rows,
            bytes: self.fed.bytes,
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
