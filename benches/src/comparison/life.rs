//! The life of a store under comparison: load, reopen, reads, commits, updates, compaction.
//!
//! Invariants: the works run in one order, whichever of them are asked for, because later ones
//! stand on earlier ones; what is not asked for and nothing stands on is left out; every count is
//! compared with the script's, and a wrong one is an error; reads come after reopening and one
//! warming pass.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use super::contestant::{Contestant, Level, Maker, Offered};
use super::protocol::{Outcome, Sample};
use super::script::{Changes, RANGE_ROWS, Script};
use super::work::{Work, Workload};
use crate::figures::{Lap, percentile, timed};
use crate::workload::{Key, VALUE_BYTES, payload_bytes};

/// A life under way.
struct Life<'l> {
    script: &'l Script,
    workloads: &'l [Workload],
    dir: &'l Path,
    outcome: Outcome,
}

/// Takes a store through its life in a directory that is empty.
///
/// # Errors
/// Of the store; an answer that is not the script's, with the piece of work.
pub fn live(
    make: Maker,
    memory_budget_bytes: u64,
    script: &Script,
    workloads: &[Workload],
    dir: &Path,
) -> Result<Outcome> {
    let mut life = Life {
        script,
        workloads,
        dir,
        outcome: Outcome::default(),
    };
    let mut store = make(dir, memory_budget_bytes).context("opening")?;
    life.outcome.about = store.about();
    life.outcome.is_persistent = store.is_persistent();
    let ((), lap) = timed(|| store.bulk_load(script)).context("bulk load")?;
    life.time(Work::BulkLoad, script.amounts.rows, lap);
    store.settle().context("settling after the load")?;
    if store.is_persistent() {
        let (reopened, lap) = timed(|| {
            drop(store);
            make(dir, memory_budget_bytes)
        })
        .context("reopening")?;
        store = reopened;
        life.time(Work::Reopen, 1, lap);
    }
    life.reads(&*store)?;
    let mut rows = script.amounts.rows;
    life.space(Work::DiskLoaded, rows)?;
    life.commits(&*store, &mut rows).context("block commits")?;
    life.updates(&*store, &mut rows).context("updates")?;
    if life.has(Workload::Space) {
        store.settle().context("settling after the updates")?;
        life.space(Work::DiskUpdated, rows)?;
        if store.compact().context("compaction")? == Offered::Done {
            store.settle().context("settling after compaction")?;
            life.space(Work::DiskCompacted, rows)?;
        }
    }
    life.last_look(&*store, rows)?;
    drop(store);
    if life.has(Workload::Space)
        && let Some(bytes) = peak_memory_bytes()
    {
        life.note(Work::PeakMemory, bytes as f64, 0.0);
    }
    Ok(life.outcome)
}

impl Life<'_> {
    fn has(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }

    fn note(&mut self, work: Work, wall: f64, cpu: f64) {
        if self.has(work.workload()) {
            self.outcome.samples.push(Sample { work, wall, cpu });
        }
    }

    fn time(&mut self, work: Work, operations: usize, lap: Lap) {
        let (wall, cpu) = lap.per(operations);
        self.note(work, wall, cpu);
    }

    fn reads(&mut self, store: &dyn Contestant) -> Result<()> {
        let script = self.script;
        if self.has(Workload::Gets) || self.has(Workload::Scans) {
            // Fills the caches, and gives what reopening set off the time to end.
            store.scan().context("warming scan")?;
            gets(store, &script.hits, script.hits.len()).context("warming gets")?;
        }
        if self.has(Workload::Gets) {
            for (work, keys, found) in [
                (Work::GetHit, &script.hits, script.hits.len()),
                (Work::GetMiss, &script.misses, 0),
            ] {
                let lap = gets(store, keys, found).context(work.name())?;
                self.time(work, keys.len(), lap);
            }
            for (work, keys, found) in [
                (Work::GetHitTwo, &script.hits, script.hits.len()),
                (Work::GetMissTwo, &script.misses, 0),
            ] {
                let lap = gets_of_two(store, keys, found).context(work.name())?;
                self.time(work, keys.len() * 2, lap);
            }
        }
        if self.has(Workload::Scans) {
            let starts = &script.hits[..script.amounts.ranges.min(script.hits.len())];
            let (found, lap) = timed(|| store.ranges(starts, RANGE_ROWS)).context("ranges")?;
            if let Some(found) = found {
                let most = starts.len() * RANGE_ROWS;
                ensure!(
                    (starts.len()..=most).contains(&found),
                    "ranges gave {found} rows, {} to {most} expected",
                    starts.len()
                );
                self.time(Work::Range, starts.len(), lap);
            }
            for _ in 0..script.amounts.scans {
                let (found, lap) = timed(|| store.scan()).context("scan")?;
                if let Some(found) = found {
                    counted(found, script.amounts.rows, "scan")?;
                    self.time(Work::Scan, found, lap);
                }
            }
        }
        Ok(())
    }

    fn commits(&mut self, store: &dyn Contestant, rows: &mut usize) -> Result<()> {
        if !self.has(Workload::Commits) && !self.has(Workload::Updates) {
            return Ok(());
        }
        let script = self.script;
        for (level, work, slow) in [
            (
                Level::Durable,
                Work::CommitDurable,
                Some(Work::CommitDurableSlow),
            ),
            (Level::Buffered, Work::CommitBuffered, None),
        ] {
            let (mut wall, mut cpu) = (Vec::new(), Vec::new());
            let blocks: Vec<Changes<'_>> = match level {
                Level::Durable => script.durable_blocks().collect(),
                Level::Buffered => script.buffered_blocks().collect(),
            };
            for changes in blocks {
                let (offered, lap) = timed(|| store.commit(changes, level))?;
                if offered == Offered::Not {
                    // The rows must be there all the same for what follows.
                    store.commit(changes, Level::Buffered)?;
                } else {
                    let (seconds, processor) = lap.per(1);
                    wall.push(seconds);
                    cpu.push(processor);
                }
                *rows = *rows + changes.len() * 4 / 10 - changes.len() / 10;
            }
            if let Some((middle, processor)) = percentile(&wall, 50).zip(percentile(&cpu, 50)) {
                self.note(work, middle, processor);
            }
            if slow.is_some() && self.has(Workload::Commits) {
                self.outcome.durable_commit_seconds = wall;
            }
            store.settle()?;
        }
        Ok(())
    }

    fn updates(&mut self, store: &dyn Contestant, rows: &mut usize) -> Result<()> {
        if !self.has(Workload::Updates) {
            return Ok(());
        }
        let script = self.script;
        let batches: [(Work, Vec<Changes<'_>>); 2] = [
            (Work::Overwrite, script.overwrites().collect()),
            (Work::Delete, script.deletes().collect()),
        ];
        for (work, commits) in batches {
            let changes: usize = commits.iter().map(|changes| changes.len()).sum();
            let ((), lap) = timed(|| {
                for changes in &commits {
                    ensure!(
                        store.commit(*changes, Level::Buffered)? == Offered::Done,
                        "no buffered commit"
                    );
                }
                Ok(())
            })?;
            self.time(work, changes, lap);
            store.settle()?;
            if work == Work::Delete {
                *rows -= changes;
            }
        }
        Ok(())
    }

    /// Bytes on disk for each byte of so many rows.
    fn space(&mut self, work: Work, rows: usize) -> Result<()> {
        if self.has(Workload::Space) && self.outcome.is_persistent {
            let bytes = allocated_bytes(self.dir).context("measuring the directory")?;
            self.note(work, bytes as f64 / payload_bytes(rows) as f64, 0.0);
        }
        Ok(())
    }

    /// Everything that was done must show at the end.
    fn last_look(&self, store: &dyn Contestant, rows: usize) -> Result<()> {
        if let Some(found) = store.scan().context("last scan")? {
            counted(found, rows, "last scan")?;
        }
        gets(store, &self.script.misses, 0).context("last gets")?;
        Ok(())
    }
}

fn counted(found: usize, expected: usize, what: &str) -> Result<()> {
    ensure!(
        found == expected,
        "{what} found {found} rows, {expected} expected"
    );
    Ok(())
}

fn gets(store: &dyn Contestant, keys: &[Key], found: usize) -> Result<Lap> {
    let (bytes, lap) = timed(|| store.gets(keys))?;
    counted(bytes / VALUE_BYTES, found, "gets")?;
    Ok(lap)
}

/// Two threads get every key, the second one beginning in the middle. Starting them is outside the
/// clock.
fn gets_of_two(store: &dyn Contestant, keys: &[Key], found: usize) -> Result<Lap> {
    let start = Barrier::new(3);
    let mut turned = keys.to_vec();
    turned.rotate_left(keys.len() / 2);
    thread::scope(|scope| {
        let spawn = |keys| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                store.gets(keys)
            })
        };
        let threads = [spawn(keys), spawn(&turned)];
        let (bytes, lap) = timed(|| {
            start.wait();
            let done = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a reading thread panicked"))?
            });
            done.collect::<Result<Vec<usize>>>()
        })?;
        for bytes in bytes {
            counted(bytes / VALUE_BYTES, found, "gets")?;
        }
        Ok(lap)
    })
}

/// Bytes that the file system has allocated below a directory. Files that vanish meanwhile, as a
/// store's background work makes them, count nothing.
fn allocated_bytes(dir: &Path) -> std::io::Result<u64> {
    const SECTOR_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(about) = entry.metadata() else {
            continue;
        };
        bytes += if about.is_dir() {
            allocated_bytes(&entry.path())?
        } else {
            about.blocks() * SECTOR_BYTES
        };
    }
    Ok(bytes)
}

/// The most memory that this process held at once, in bytes; `None` where the system does not say.
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_are_seen() {
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
        let dir = tempfile::tempdir().map(|dir| {
            let written = fs::write(dir.path().join("file"), vec![7; 100_000]);
            (written.is_ok(), allocated_bytes(dir.path()).unwrap_or(0))
        });
        assert!(dir.is_ok_and(|(written, bytes)| written && bytes >= 100_000));
    }
}
