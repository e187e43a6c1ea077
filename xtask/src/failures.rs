//! What the tests that failed said, gathered while their output is shown.
//!
//! A long run prints thousands of lines; its end has to name each test that failed and where it
//! stopped, since the end is what a person looks at first and what a log that was cut still holds.
//! Nothing here decides whether a run failed: that is the exit status of cargo alone.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::host;

/// How many failed tests an error tells of; the others are counted.
const TOLD_TESTS: usize = 12;

/// How many lines of a failed test's output are told again, from where it stopped on.
const TOLD_LINES: usize = 8;

/// Runs `cargo test`, shows what it prints, and names what failed in the error.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    let shown = host::describe(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut failures = Failures::default();
    let read = match child.stdout.take() {
        Some(lines) => failures.show(BufReader::new(lines), io::stdout().lock()),
        None => Ok(()),
    };
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?;
    read.with_context(|| format!("cannot read or show what `{shown}` prints"))?;
    if !status.success() {
        let told = format!("`{shown}` failed ({status})\n{failures}");
        bail!("{}", told.trim_end());
    }
    Ok(())
}

/// The failed tests of a run, in the order in which they were listed.
#[derive(Debug, Default)]
struct Failures {
    failed: Vec<Failed>,
    within: Within,
}

#[derive(Debug)]
struct Failed {
    test: String,
    /// From the first panic, or the error that it returned, on, at most [`TOLD_LINES`].
    told: Vec<String>,
}

/// Where the lines that are read stand in what the test harness prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Elsewhere,
    /// In what a failed test printed, before it stopped.
    Output,
    /// In what it printed from its panic or error on.
    End,
}

impl Failures {
    /// Copies lines to where they are shown and gathers from them.
    ///
    /// # Errors
    ///
    /// Where the lines cannot be read or shown.
    fn show(&mut self, mut lines: impl BufRead, mut shown: impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            shown.write_all(&line)?;
            shown.flush()?;
            self.read(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        Ok(())
    }

    fn read(&mut self, line: &str) {
        if let Some(test) = headline(line) {
            self.failed.push(Failed {
                test: test.to_owned(),
                told: Vec::new(),
            });
            self.within = Within::Output;
            return;
        }
        if line == "failures:" || line.starts_with("test result: ") {
            self.within = Within::Elsewhere;
        }
        let is_end = line.contains(" panicked at ") || line.starts_with("Error: ");
        if self.within == Within::Output && is_end {
            self.within = Within::End;
        }
        if self.within == Within::End && !line.is_empty() {
            match self.failed.last_mut() {
                Some(failed) if failed.told.len() < TOLD_LINES => failed.told.push(line.to_owned()),
                _ => {}
            }
        }
    }
}

/// The test whose output follows, if this line says so.
fn headline(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// Each failed test with what it said.
impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.failed.iter().take(TOLD_TESTS) {
            writeln!(f, "  failed: {}", one.test)?;
            for line in &one.told {
                writeln!(f, "    {line}")?;
            }
        }
        match self.failed.len().checked_sub(TOLD_TESTS) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "  failed: {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "\
running 3 tests
test price::rows ... FAILED
test crash::kills ... FAILED

failures:

---- crash::kills stdout ----
seed 7

thread 'crash::kills' (7) panicked at tests/it/crash.rs:10:5:
block 3 is lost
note: run with `RUST_BACKTRACE=1`

---- price::rows stdout ----
Error: the budgets are not kept:
row `get` of mem: 184, granted 182

---- README.md - Examples (line 46) stdout ----
Test executable failed (exit status: 101).

failures:
    crash::kills
    price::rows
    README.md - Examples (line 46)

test result: FAILED. 0 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out
test after::it ... ok, though it panicked at times
";

    const TOLD: &str = "  failed: crash::kills
    thread 'crash::kills' (7) panicked at tests/it/crash.rs:10:5:
    block 3 is lost
    note: run with `RUST_BACKTRACE=1`
  failed: price::rows
    Error: the budgets are not kept:
    row `get` of mem: 184, granted 182
  failed: README.md - Examples (line 46)
";

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn the_end_names_what_failed_and_where_it_stopped() {
        let mut failures = Failures::default();
        let mut shown = Vec::new();
        failures.show(RUN.as_bytes(), &mut shown).unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), RUN);
        assert_eq!(failures.to_string(), TOLD);
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn a_long_message_is_cut_and_bytes_that_are_no_text_pass() {
        let mut run = b"---- a stdout ----\nthread 'a' panicked at x:\n".to_vec();
        for _ in 0..100 {
            run.extend(b"\xff line\n");
        }
        let (mut failures, mut shown) = (Failures::default(), Vec::new());
        failures.show(run.as_slice(), &mut shown).unwrap();
        assert_eq!(shown, run);
        assert_eq!(failures.to_string().lines().count(), 1 + TOLD_LINES);
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn of_many_failures_the_first_are_named_and_the_others_counted() {
        let run = "---- a stdout ----\n".repeat(TOLD_TESTS + 3);
        let mut failures = Failures::default();
        failures.show(run.as_bytes(), Vec::new()).unwrap();
        let told = failures.to_string();
        assert_eq!(told.lines().count(), TOLD_TESTS + 1);
        assert!(told.ends_with("  failed: 3 more\n"), "{told}");
    }
}
