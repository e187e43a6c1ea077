//! A run as a list of steps: each one passes, fails or is skipped, and the end of the run says how
//! all of them went.
//!
//! A step that could not be done is never silent: it prints a line that starts with `SKIPPED:`. A
//! run that requires everything counts such a step as failed, except where only a note was meant.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed,
    /// Could not be done for want of something; a failure when everything is required.
    Skipped(String),
    /// Could not be done, and no machine that we know could; never a failure.
    Noted(String),
}

/// How the steps of a run went.
#[derive(Debug)]
pub(crate) struct Steps {
    need: Need,
    done: Vec<Done>,
}

/// What a skipped step means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    WhatIsThere,
    Everything,
}

#[derive(Debug)]
struct Done {
    name: String,
    took: Duration,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Steps {
    pub(crate) fn new(need: Need) -> Self {
        Self {
            need,
            done: Vec::new(),
        }
    }

    /// Runs one step, shows how it ended and returns whether it passed.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Verdict>) -> bool {
        eprintln!("\n=== {name}");
        let started = Instant::now();
        let end = self.judge(step());
        let done = Done {
            name: name.to_owned(),
            took: started.elapsed(),
            end,
        };
        eprintln!("--- {done}");
        let passed = done.end == End::Passed;
        self.done.push(done);
        passed
    }

    fn judge(&self, verdict: Result<Verdict>) -> End {
        match verdict {
            Ok(Verdict::Passed) => End::Passed,
            Ok(Verdict::Skipped(reason)) if self.need == Need::Everything => {
                End::Failed(format!("required, but skipped: {reason}"))
            }
            Ok(Verdict::Skipped(reason) | Verdict::Noted(reason)) => End::Skipped(reason),
            Err(error) => End::Failed(format!("{error:#}")),
        }
    }

    /// Whether no step failed.
    pub(crate) fn succeeded(&self) -> bool {
        self.count(|end| matches!(end, End::Failed(_))) == 0
    }

    fn count(&self, wanted: impl Fn(&End) -> bool) -> usize {
        self.done.iter().filter(|done| wanted(&done.end)).count()
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        match &self.end {
            End::Passed => write!(f, "passed  {seconds:>7.1} s  {}", self.name),
            End::Failed(reason) => write!(f, "FAILED  {seconds:>7.1} s  {}: {reason}", self.name),
            End::Skipped(reason) => {
                write!(f, "SKIPPED {seconds:>7.1} s  {}: {reason}", self.name)
            }
        }
    }
}

/// The table of all steps and the closing line.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for done in &self.done {
            writeln!(f, "{done}")?;
        }
        let total: Duration = self.done.iter().map(|done| done.took).sum();
        writeln!(f, "total   {:>7.1} s", total.as_secs_f64())?;
        for done in &self.done {
            if let End::Skipped(reason) = &done.end {
                writeln!(f, "SKIPPED: {}: {reason}", done.name)?;
            }
        }
        let passed = self.count(|end| *end == End::Passed);
        let failed = self.count(|end| matches!(end, End::Failed(_)));
        let skipped = self.count(|end| matches!(end, End::Skipped(_)));
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn run(need: Need) -> Steps {
        let mut steps = Steps::new(need);
        assert!(steps.run("one", || Ok(Verdict::Passed)));
        assert!(!steps.run("two", || Ok(Verdict::Skipped("no compiler".to_owned()))));
        assert!(!steps.run("three", || Ok(Verdict::Noted("no toolchain".to_owned()))));
        steps
    }

    #[test]
    fn a_skip_is_shown_and_counted() {
        let steps = run(Need::WhatIsThere);
        assert!(steps.succeeded());
        let shown = steps.to_string();
        assert!(shown.contains("SKIPPED: two: no compiler\n"), "{shown}");
        assert!(
            shown.ends_with("\n1 passed, 0 failed, 2 skipped"),
            "{shown}"
        );
    }

    #[test]
    fn a_skip_fails_when_everything_is_required_but_a_note_does_not() {
        let steps = run(Need::Everything);
        assert!(!steps.succeeded());
        let shown = steps.to_string();
        assert!(
            shown.contains("two: required, but skipped: no compiler\n"),
            "{shown}"
        );
        assert!(
            shown.ends_with("\n1 passed, 1 failed, 1 skipped"),
            "{shown}"
        );
    }

    #[test]
    fn an_error_fails() {
        let mut steps = Steps::new(Need::WhatIsThere);
        assert!(!steps.run("four", || Err(anyhow!("broken").context("cannot check"))));
        assert!(!steps.succeeded());
        assert!(
            steps.to_string().contains("four: cannot check: broken\n"),
            "{steps}"
        );
    }
}
