//! The runs of a load in tiers, so that few files are open however many rows there are.
//!
//! Invariants: runs are kept oldest first; [`TIER_RUNS`] runs of one tier become one of the next,
//! so a row is written again once for each tier, of which each holds that many times what the one
//! before holds; the space of runs that were merged comes back at once.

use std::fs;
use std::path::PathBuf;

use storage_api::{Error, ErrorKind, Result};

use super::merge::Merge;
use super::run::{Bounds, Run, RunWriter};
use super::spool::Stop;

/// Runs of one tier; so many are merged into one of the next.
pub(super) const TIER_RUNS: usize = 64;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    /// Oldest first.
    runs: Vec<Run>,
    /// The tier of each run; tiers never rise from one run to the next.
    tiers: Vec<u32>,
}

impl Tiers {
    pub(super) const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, oldest first.
    pub(super) fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    /// Adds a run newer than all others; `next_path` gives paths for runs that are merged.
    pub(super) fn add(
        &mut self,
        run: Run,
        stop: &Stop,
        next_path: &mut dyn FnMut() -> Result<PathBuf>,
    ) -> Result<()> {
        self.runs.push(run);
        self.tiers.push(0);
        while let Some((from, tier)) = self.full_tier() {
            let full = &self.runs[from..];
            let bytes = full.iter().map(Run::bytes).sum();
            let mut writer = RunWriter::create(next_path()?, bytes)?;
            let merge = Merge::new(&[], full, Bounds::default(), 1)?;
            merge.for_each(&mut |key, value| {
                if stop.is_set() {
                    return Err(Error::new(ErrorKind::TxnFailed));
                }
                writer.push(key, value)
            })?;
            let merged = writer.finish()?;
            for run in self.runs.drain(from..) {
                // A failure costs space only, until the load ends.
                let _ = fs::remove_file(run.path());
            }
            self.tiers.truncate(from);
            self.runs.push(merged);
            self.tiers.push(tier + 1);
        }
        Ok(())
    }

    /// Where the newest tier begins, if it is full.
    fn full_tier(&self) -> Option<(usize, u32)> {
        let from = self.tiers.len().checked_sub(TIER_RUNS)?;
        let tier = *self.tiers.last()?;
        let is_full = self.tiers[from..].iter().all(|other| *other == tier);
        is_full.then_some((from, tier))
    }
}
