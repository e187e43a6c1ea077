//! Deliberately broken stores, and the hunt for them: a suite that a wrong store passes proves nothing.
//!
//! One wrapper around the model takes one [`Mutation`] at run time. [`hunt`] runs the cases on each until one fails;
//! every mutant must be caught, and the wrapper without a mistake must pass everything. A new case for a mistake that
//! slipped through begins with the mutant that makes it.

mod mutation;
mod read;
mod store;
mod txn;

pub use mutation::Mutation;

use std::sync::Arc;
use std::time::Duration;

use storage_api::{OpenOptions, Result, Schema};

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
        Self { mutation: Mutation::Nothing, disk: Arc::default() }
    }
}

impl Harness for MutantHarness {
    type Store = MutantStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<MutantStore>> {
        MutantStore::open(self.mutation, &self.disk, schema, options).map(Opened::from)
    }
}

fn labs_of(mutation: Mutation, medium: Medium) -> LabMaker {
    Arc::new(move || {
        Lab::new(MutantHarness { mutation, disk: Arc::new(ModelDisk::new(medium)) })
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

/// Runs the cases in order on a store with this mistake until one fails.
#[must_use]
pub fn hunt(mutation: Mutation) -> Catch {
    let labs = labs_of(mutation, Medium::Disk);
    let failed = |report: &CaseReport| matches!(report.outcome, Outcome::Failed(_));
    let caught_by = CASES.iter().map(|case| run_case(case, &labs, DEADLINE)).find(failed);
    Catch { mutation, caught_by }
}

/// Runs every case on the wrapper without a mistake, in memory or on a made-up disk.
#[must_use]
pub fn run_unmutated(medium: Medium) -> Report {
    run_all_in("wrapper without a mistake", &labs_of(Mutation::Nothing, medium), &mut |_| ())
}

/// The table of mutants and the cases that caught them, as Markdown.
#[must_use]
pub fn catches_as_markdown(catches: &[Catch]) -> String {
    let mut text = format!("Seed {}.\n\n| mutant | mistake | caught by |\n|---|---|---|\n", seed_of_run());
    for catch in catches {
        let by = catch.caught_by.as_ref().map_or_else(
            || "**nothing**".to_owned(),
            |report| format!("`{}::{}`", report.case.group, report.case.name),
        );
        text.push_str(&format!("| {:?} | {} | {by} |\n", catch.mutation, catch.mutation.what()));
    }
    text
}
