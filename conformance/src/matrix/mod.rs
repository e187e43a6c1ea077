//! The matrix: requirements against stores, for people and programs.
//!
//! A [`Matrix`] is made of the [`Report`]s of several stores that ran the same list of cases, with
//! what each declares and the table of broken stores that proves that a pass means something. It is
//! written as Markdown ([`Matrix::to_markdown`]), HTML without any outside reference
//! ([`Matrix::to_html`]) and JSON ([`Matrix::to_json`]).
//!
//! Invariants: a requirement has the id `group::case`, which never changes its meaning; every
//! requirement is a row and every store a column, also one that was not run, which says why; what a
//! store declares unsupported never counts as passed; every cell that is not a pass gives its
//! reason in full. Model: the conformance reports of Kubernetes and of the web platform.

mod capability;
mod html;
mod json;
mod markdown;
mod page;
#[cfg(test)]
mod tests;

use crate::mutants::Catch;
use crate::report::{Outcome, Report};
use crate::suite::CASES;

use storage_api::Capabilities;

/// Version of the suite: the first number changes when a requirement is taken back or means
/// something else, the second when some are added.
pub const SUITE_VERSION: &str = "1.1";

/// What became of one store.
#[derive(Clone, Debug)]
pub enum Run {
    /// The suite ran.
    Done {
        /// What the store declares.
        capabilities: Box<Capabilities>,
        /// How the cases ended.
        report: Report,
    },
    /// The suite did not run, and why.
    NotRun(String),
}

/// One store of the matrix.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, usually that of the engine.
    pub store: String,
    /// What was run: versions and settings, in words.
    pub about: String,
    /// How it went.
    pub run: Run,
}

impl Column {
    fn report(&self) -> Option<&Report> {
        match &self.run {
            Run::Done { report, .. } => Some(report),
            Run::NotRun(_) => None,
        }
    }

    fn capabilities(&self) -> Option<&Capabilities> {
        match &self.run {
            Run::Done { capabilities, .. } => Some(capabilities),
            Run::NotRun(_) => None,
        }
    }
}

/// Requirements against stores.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Where and how it was made, a name and a value each: date, command, machine.
    pub setting: Vec<(String, String)>,
    /// The stores, in order of the columns.
    pub columns: Vec<Column>,
    /// What became of the deliberately broken stores; empty when they were not hunted.
    pub catches: Vec<Catch>,
}

/// How many cases of a store ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The requirement held.
    pub passed: usize,
    /// Declared unsupported, and refused when asked.
    pub unsupported: usize,
    /// Does not apply, with a reason.
    pub skipped: usize,
    /// The requirement did not hold.
    pub failed: usize,
}

/// One cell: the word of the outcome and, unless it passed, the reason.
type Cell<'a> = (&'static str, Option<&'a str>);

/// The cell of a store that was not run.
const NOT_RUN: &str = "not run";

const fn cell(outcome: &Outcome) -> Cell<'_> {
    match outcome {
        Outcome::Passed => ("pass", None),
        Outcome::Unsupported(what) => ("unsupported", Some(what.as_str())),
        Outcome::Skipped(why) => ("skipped", Some(why.as_str())),
        Outcome::Failed(what) => ("FAIL", Some(what.as_str())),
    }
}

impl Matrix {
    /// How the cases of a column ended; all zero when it was not run.
    #[must_use]
    pub fn tally(column: &Column) -> Tally {
        let mut tally = Tally::default();
        for case in column.report().map_or(&[][..], |report| &report.cases) {
            match case.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Unsupported(_) => tally.unsupported += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
                Outcome::Failed(_) => tally.failed += 1,
            }
        }
        tally
    }

    /// Whether a requirement failed on a store, or a broken store was not caught.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let failed = |column| Self::tally(column).failed > 0;
        self.columns.iter().any(failed) || self.catches.iter().any(|c| c.caught_by.is_none())
    }

    /// The rows: each requirement with its cell of every column.
    fn rows(&self) -> impl Iterator<Item = (&'static crate::Case, Vec<Cell<'_>>)> {
        CASES.iter().enumerate().map(|(at, case)| {
            let cells = self.columns.iter().map(|column| match &column.run {
                Run::NotRun(_) => (NOT_RUN, None),
                // A report holds the cases in the order of the list.
                Run::Done { report, .. } => report
                    .cases
                    .get(at)
                    .map_or((NOT_RUN, None), |case| cell(&case.outcome)),
            });
            (case, cells.collect())
        })
    }

    /// The claim in one line for each store that was run.
    fn claims(&self) -> Vec<String> {
        let claim = |column: &Column| {
            let Tally {
                passed,
                unsupported,
                skipped,
                failed,
            } = Self::tally(column);
            match &column.run {
                Run::NotRun(why) => format!("{}: {NOT_RUN}, {why}", column.store),
                Run::Done { .. } => format!(
                    "{}: {passed} of {} passed, {failed} failed, {unsupported} declared \
                     unsupported, {skipped} skipped",
                    column.store,
                    CASES.len()
                ),
            }
        };
        self.columns.iter().map(claim).collect()
    }

    /// The seed of the run, when a column was run.
    fn seed(&self) -> Option<u64> {
        self.columns.iter().find_map(|c| Some(c.report()?.seed))
    }
}
