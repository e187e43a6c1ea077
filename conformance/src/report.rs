//! Running cases: each in a thread of its own with a deadline, panics caught, and the outcome as
//! data.
//!
//! Invariants: a case that hangs is a failure called a hang and never hangs the run (its thread is
//! left behind); a skip names its reason on standard error, past any capture of test output; the
//! order of a report is the order of the list.

use std::any::Any;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, CaseError};
use crate::chain::BlockHarness;
use crate::harness::Harness;
use crate::lab::Lab;
use crate::ops::{Scale, seed_of_run};
use crate::suite::CASES;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The requirement held.
    Passed,
    /// The store declares that it cannot, and refused: what was asked for.
    Unsupported(String),
    /// It does not apply, and why.
    Skipped(String),
    /// It did not hold: what was expected and found, a panic, or a hang.
    Failed(String),
}

/// One case and how it ended.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The case.
    pub case: &'static Case,
    /// How it ended.
    pub outcome: Outcome,
    /// Time it took.
    pub took: Duration,
}

/// All cases of one store.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was tested.
    pub store: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The cases in order of the list.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Cases that held.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases
            .iter()
            .filter(|report| report.outcome == Outcome::Passed)
            .count()
    }

    /// Cases that did not hold.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases
            .iter()
            .filter(|report| matches!(report.outcome, Outcome::Failed(_)))
    }

    /// Cases of what the store declares that it cannot do, and refused.
    pub fn refusals(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases
            .iter()
            .filter(|report| matches!(report.outcome, Outcome::Unsupported(_)))
    }

    /// Cases that did not apply.
    pub fn skips(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases
            .iter()
            .filter(|report| matches!(report.outcome, Outcome::Skipped(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.cases {
            let (group, name) = (report.case.group, report.case.name);
            match &report.outcome {
                Outcome::Passed => writeln!(f, "{group}::{name} passed")?,
                Outcome::Unsupported(what) => {
                    writeln!(f, "{group}::{name} UNSUPPORTED as declared: {what}")?;
                }
                Outcome::Skipped(why) => {
                    writeln!(f, "{group}::{name} SKIPPED by capability: {why}")?;
                }
                Outcome::Failed(what) => writeln!(f, "{group}::{name} FAILED: {what}")?,
            }
        }
        write!(
            f,
            "{}: {} passed, {} failed, {} unsupported as declared, {} skipped",
            self.store,
            self.passed(),
            self.failures().count(),
            self.refusals().count(),
            self.skips().count()
        )?;
        write!(f, " (seed {})", self.seed)
    }
}

/// What makes a fresh lab for every case.
pub(crate) type LabMaker = Arc<dyn Fn() -> Lab + Send + Sync>;

/// How long one case may take before it counts as hung.
#[must_use]
pub fn deadline() -> Duration {
    match Scale::of_run() {
        Scale::Tenth => Duration::from_secs(60),
        Scale::Full => Duration::from_secs(300),
        Scale::Soak => Duration::from_secs(3000),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "panicked: {}",
        text.unwrap_or_else(|| "without a message".to_owned())
    )
}

fn run_here(case: &Case, make: &dyn Fn() -> Lab) -> Outcome {
    let run = || {
        let lab = make();
        let profile = lab.profile();
        if !profile.has(case.group) {
            return Err(CaseError::skipped(format!("profile {}", profile.name)));
        }
        (case.run)(&lab)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(CaseError::Unsupported { what })) => Outcome::Unsupported(what),
        Ok(Err(CaseError::Skipped { why })) => Outcome::Skipped(why),
        Ok(Err(failed)) => Outcome::Failed(failed.to_string()),
        Err(panic) => Outcome::Failed(panic_text(&*panic)),
    }
}

/// Runs one case in a thread of its own.
pub(crate) fn run_case(case: &'static Case, make: &LabMaker, deadline: Duration) -> CaseReport {
    let (tell, told) = mpsc::channel();
    let make = Arc::clone(make);
    let begun = Instant::now();
    let spawned = thread::Builder::new()
        .name(case.name.to_owned())
        .spawn(move || {
            // The receiver is gone when the deadline has passed; nobody is left to tell then.
            let _ = tell.send(run_here(case, &*make));
        });
    let outcome = match spawned {
        Err(error) => Outcome::Failed(format!("no thread could be started: {error}")),
        Ok(thread) => match told.recv_timeout(deadline) {
            Ok(outcome) => {
                // The case has ended; its thread has nothing left to do but to go.
                let _ = thread.join();
                outcome
            }
            Err(_) => Outcome::Failed(format!("hang: not done after {} s", deadline.as_secs())),
        },
    };
    CaseReport {
        case,
        outcome,
        took: begun.elapsed(),
    }
}

/// Runs every case over a harness without the test runner, as programs do.
#[must_use]
pub fn run_all<H: Harness>(store: &str) -> Report {
    run_all_in(
        store,
        &(Arc::new(|| Lab::new(H::default())) as LabMaker),
        &mut |_| (),
    )
}

/// [`run_all`] over harnesses that `make` makes, telling of each case as it ends.
#[must_use]
pub fn run_all_telling<H: Harness>(
    store: &str,
    make: impl Fn() -> H + Send + Sync + 'static,
    told: &mut dyn FnMut(&CaseReport),
) -> Report {
    run_all_in(
        store,
        &(Arc::new(move || Lab::new(make())) as LabMaker),
        told,
    )
}

pub(crate) fn run_all_in(
    store: &str,
    make: &LabMaker,
    told: &mut dyn FnMut(&CaseReport),
) -> Report {
    let mut cases = Vec::with_capacity(CASES.len());
    for case in CASES {
        let report = run_case(case, make, deadline());
        told(&report);
        cases.push(report);
    }
    Report {
        store: store.to_owned(),
        seed: seed_of_run(),
        cases,
    }
}

/// The body of one `#[test]` of [`crate::suite!`].
///
/// # Panics
/// When the case fails, which is how a test says so.
pub fn check<H: Harness>(group: &str, name: &str) {
    check_in(
        &(Arc::new(|| Lab::new(H::default())) as LabMaker),
        group,
        name,
    );
}

/// The body of one `#[test]` of [`crate::block_suite!`].
///
/// # Panics
/// When the case fails, which is how a test says so.
pub fn check_blocks<H: BlockHarness>(group: &str, name: &str) {
    check_in(
        &(Arc::new(|| Lab::of_blocks(H::default())) as LabMaker),
        group,
        name,
    );
}

/// Writes past the capture of test output, so that nothing is skipped silently.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn check_in(make: &LabMaker, group: &str, name: &str) {
    let found = CASES
        .iter()
        .find(|case| case.group == group && case.name == name);
    let Some(case) = found else {
        panic!("no case {group}::{name}")
    };
    let report = run_case(case, make, deadline());
    match report.outcome {
        Outcome::Passed => {}
        Outcome::Unsupported(what) => {
            tell(&format!(
                "{group}::{name} UNSUPPORTED as declared: {what}\n"
            ));
        }
        Outcome::Skipped(why) => tell(&format!("{group}::{name} SKIPPED by capability: {why}\n")),
        Outcome::Failed(what) => {
            panic!(
                "{group}::{name}: {} {what} (CHAINSTORE_SEED={})",
                case.requirement,
                seed_of_run()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LabMaker, Outcome, run_case};
    use crate::case::{Case, CaseError, CaseResult};
    use crate::lab::Lab;
    use crate::model::ModelHarness;
    use std::sync::Arc;
    use std::time::Duration;

    fn outcome_of(run: fn(&Lab) -> CaseResult, deadline: Duration) -> Outcome {
        let case = Box::leak(Box::new(Case {
            group: "own",
            name: "own",
            requirement: "",
            traps: &[],
            capability: "",
            run,
        }));
        let make: LabMaker = Arc::new(|| Lab::new(ModelHarness::default()));
        run_case(case, &make, deadline).outcome
    }

    #[test]
    fn a_case_that_hangs_is_a_failure_and_stops_nothing() {
        let hangs = |_: &Lab| -> CaseResult {
            loop {
                std::thread::park();
            }
        };
        let outcome = outcome_of(hangs, Duration::from_millis(50));
        assert!(matches!(outcome, Outcome::Failed(what) if what.starts_with("hang")));
    }

    #[test]
    fn a_panic_and_a_skip_keep_their_reason() {
        let minute = Duration::from_secs(60);
        let outcome = outcome_of(|_| panic!("on purpose"), minute);
        assert_eq!(outcome, Outcome::Failed("panicked: on purpose".to_owned()));
        let outcome = outcome_of(|_| Err(CaseError::skipped("no wings")), minute);
        assert_eq!(outcome, Outcome::Skipped("no wings".to_owned()));
        assert_eq!(outcome_of(|_| Ok(()), minute), Outcome::Passed);
    }
}
