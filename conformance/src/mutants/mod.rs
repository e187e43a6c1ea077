//! Deliberately broken stores, and the hunt for them: a suite that a wrong store passes proves
//! nothing.
//!
//! One wrapper around the model takes one [`Mutation`] at run time. [`hunt`] runs the cases on each
//! until one fails; every mutant must be caught, and the wrapper without a mistake must pass
//! everything. A new case for a mistake that slipped through begins with the mutant that makes it.

mod mutation;
mod read;
mod store;
mod txn;

pub use mutation::Mutation;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use storage_api::{OpenOptions, Result, Schema};

use crate::case::Case;
use crate::harness::{Harness, Opened};
use crate::lab::Lab;
use crate::model::{Medium, ModelDisk};
use crate::ops::seed_of_run;
use crate::report::{CaseReport, LabMaker, Outcome, Report, run_all_in, run_case};
use crate::suite::CASES;
use store::MutantStore;

/// A place for a mutant.
#[derive(Debug)]
struct MutantHarness {
    mutation: Mutation,
    disk: Arc<ModelDisk>,
}

impl Default for MutantHarness {
    fn default() -> Self {
        Self {
            mutation: Mutation::Nothing,
            disk: Arc::default(),
        }
    }
}

impl Harness for MutantHarness {
    type Store = MutantStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<MutantStore>> {
        MutantStore::open(self.mutation, &self.disk, schema, options).map(Opened::from)
    }
}

/// A mutant in memory with these tables.
#[cfg(test)]
pub(crate) fn open_mutant(mutation: Mutation, tables: &[storage_api::TableDef]) -> MutantStore {
    let disk = Arc::new(ModelDisk::new(Medium::Memory));
    let opened = Schema::new(tables)
        .and_then(|schema| MutantStore::open(mutation, &disk, &schema, &OpenOptions::new()));
    opened.unwrap_or_else(|error| panic!("{error}")).0
}

/// What makes places for a mutant.
pub(crate) fn labs_of(mutation: Mutation, medium: Medium) -> LabMaker {
    Arc::new(move || {
        Lab::new(MutantHarness {
            mutation,
            disk: Arc::new(ModelDisk::new(medium)),
        })
    })
}

/// What became of one mutant.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The mistake.
    pub mutation: Mutation,
    /// The first case that failed on it, `None` when it survived.
    pub caught_by: Option<CaseReport>,
}

/// How long a case may take on a mutant before it counts as hung, which is a catch as well.
const DEADLINE: Duration = Duration::from_secs(30);

/// Cases that take long on any store; a hunt tries all others first.
const HEAVY: &[&str] = &[
    "a_batch_waits_for_the_transaction",
    "a_hundred_thousand_operations",
    "a_large_transaction",
    "a_random_walk_over_many_rows",
    "appears_as_a_whole_beside_views",
    "batch_delete_range_races_put",
    "bodies_of_many_sizes",
    "bounds_longer_than_any_key",
    "every_sequence_of_four_moves",
    "every_sequence_over_uncommitted_rows",
    "long_keys_differ_in_their_last_byte",
    "lost_update",
    "many_views_of_many_commits",
    "phantom",
    "random_batches_against_the_model",
    "random_chains_against_the_model",
    "random_ranges_against_the_model",
    "read_only_anomaly",
    "trap_04_a_value_of_sixteen_mebibytes",
    "try_begin_write_times_out",
    "values_end_where_declared",
    "views_may_drop_in_any_order",
    "write_skew",
];

/// Runs the cases on a store with this mistake until one fails: those that are quick in the order
/// of the list, then those that are not.
#[must_use]
pub fn hunt(mutation: Mutation) -> Catch {
    let labs = labs_of(mutation, Medium::Disk);
    let is_heavy = |case: &&Case| HEAVY.contains(&case.name);
    let quick = CASES.iter().filter(|case| !is_heavy(case));
    let heavy = CASES.iter().filter(is_heavy);
    let failed = |report: &CaseReport| matches!(report.outcome, Outcome::Failed(_));
    let caught_by = quick
        .chain(heavy)
        .map(|case| run_case(case, &labs, DEADLINE))
        .find(failed);
    Catch {
        mutation,
        caught_by,
    }
}

/// [`hunt`] for every mutant, several at a time, in the order of [`Mutation::ALL`].
#[must_use]
pub fn hunt_all() -> Vec<Catch> {
    let next = AtomicUsize::new(0);
    let catches = Mutex::new(Vec::with_capacity(Mutation::ALL.len()));
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(mutation) = Mutation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = hunt(*mutation);
                    catches
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(caught);
                }
            });
        }
    });
    let mut catches = catches.into_inner().unwrap_or_else(PoisonError::into_inner);
    catches.sort_by_key(|catch| Mutation::ALL.iter().position(|m| *m == catch.mutation));
    catches
}

/// Runs every case on the wrapper without a mistake, in memory or on a made-up disk.
#[must_use]
pub fn run_unmutated(medium: Medium) -> Report {
    run_all_in(
        "wrapper without a mistake",
        &labs_of(Mutation::Nothing, medium),
        &mut |_| (),
    )
}

/// The table of mutants and the cases that caught them, as Markdown.
#[must_use]
pub fn catches_as_markdown(catches: &[Catch]) -> String {
    let mut text = format!(
        "Seed {}.\n\n| mutant | mistake | caught by |\n|---|---|---|\n",
        seed_of_run()
    );
    for catch in catches {
        let by = catch.caught_by.as_ref().map_or_else(
            || "**nothing**".to_owned(),
            |report| format!("`{}::{}`", report.case.group, report.case.name),
        );
        text.push_str(&format!(
            "| {:?} | {} | {by} |\n",
            catch.mutation,
            catch.mutation.what()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::HEAVY;
    use crate::suite::CASES;

    #[test]
    fn heavy_cases_are_in_the_list() {
        for name in HEAVY {
            assert!(
                CASES.iter().any(|case| case.name == *name),
                "no case {name}"
            );
        }
    }
}
