//! Counting: the program that does every case once under callgrind, and the host that runs it and
//! reads what callgrind saw.
//!
//! The program calls [`measured_region`] for one form of one case after the other; callgrind counts
//! inside that function alone and writes a file each time it returns, so that set-up, loading and
//! warming are not in it. The program prints one line for each of these files, in the same order.
//!
//! RocksDB names the blocks in its cache by a number that it draws when a database is made, so that
//! a lookup takes 12 or 39 instructions more for each two blocks that fall into one chain, and it
//! draws the heights of the lists that it writes into. What this moves is therefore counted on
//! [`stores`] databases of each form, and the least counts: what the engine and our code take
//! without that bad luck.
//!
//! Invariants: every line has its file, or the whole count is an error; all forms have as many
//! stores.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use chain_store::EngineName;
use serde::{Deserialize, Serialize};

use super::case::{Case, Extent, Form, VALUE_BYTES, cases, value_sizes};
use super::rows::Rows;
use super::subjects::{self, Named, Subject};

/// The function that callgrind counts in, as callgrind is told.
const REGION: &str = "*measured_region";

/// One form of one case.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The case.
    pub case: Case,
    /// The form.
    pub form: Form,
    /// Instructions of one unit; 0 when nobody counted them.
    pub instructions: f64,
    /// Allocations of Rust code of one time; those of an engine written in C or C++ are its own.
    pub allocations: f64,
}

/// What an engine's forms cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// The engine.
    pub engine: String,
    /// Everything counted, case by case.
    pub counts: Vec<Count>,
}

impl Counts {
    /// The count of a form of a case.
    #[must_use]
    pub fn of(&self, case: Case, form: Form) -> Option<&Count> {
        let is_it = |count: &&Count| count.case == case && count.form == form;
        self.counts.iter().find(is_it)
    }

    /// The cases, in the order of the count.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = self.counts.iter().map(|count| count.case).collect();
        cases.dedup();
        cases
    }
}

/// Rows of a table whose values have this size.
#[must_use]
pub const fn rows_of(extent: Extent, value_bytes: usize) -> usize {
    match (extent, value_bytes) {
        (Extent::Full, VALUE_BYTES) => 12_000,
        (_, 0..=128) => 4_000,
        (_, 129..=4_096) => 1_000,
        _ => 96,
    }
}

/// On how many stores of each form of an engine that is counted which chance moves.
#[must_use]
pub const fn stores(engine: EngineName) -> usize {
    match engine {
        EngineName::Rocks => 5,
        _ => 1,
    }
}

/// Does the operation; what callgrind counts.
///
/// # Errors
/// As [`Subject::run`].
#[inline(never)]
pub fn measured_region(subject: &mut dyn Subject, case: Case, times: usize) -> Result<()> {
    subject.run(case.operation, times)
}

/// The counting program: every case of an engine, each form once. `allocations` is the number of
/// allocations so far.
///
/// # Errors
/// Of a store; a wrong answer.
pub fn serve(
    engine: EngineName,
    extent: Extent,
    dir: &Path,
    allocations: fn() -> usize,
    out: &mut dyn Write,
) -> Result<()> {
    for &value_bytes in value_sizes(extent) {
        let rows = Arc::new(Rows::new(rows_of(extent, value_bytes), value_bytes));
        for store in 0..stores(engine) {
            let dir = dir.join(format!("store-{store}"));
            let mut subjects: Vec<Named> = Vec::new();
            for form in Form::ALL {
                let made = subjects::make(engine, form, &rows, &dir)
                    .with_context(|| format!("{} {engine}", form.name()))?;
                subjects.extend(made);
            }
            for case in cases(extent, value_bytes) {
                if store > 0 && !case.operation.is_moved_by_chance() {
                    continue;
                }
                for Named { form, subject } in &mut subjects {
                    if subject.has(case.operation) {
                        let count = count(&mut **subject, case, *form, allocations)
                            .with_context(|| format!("{case}, {}", form.name()))?;
                        writeln!(out, "{}", serde_json::to_string(&count)?)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn count(
    subject: &mut dyn Subject,
    case: Case,
    form: Form,
    allocations: fn() -> usize,
) -> Result<Count> {
    let times = case.operation.times();
    let mut allocated = |times: usize| -> Result<usize> {
        let before = allocations();
        subject.run(case.operation, times)?;
        Ok(allocations() - before)
    };
    // What is done once, however many times follow, falls out of the difference.
    let once = allocated(times)?;
    let twice = allocated(2 * times)?;
    measured_region(subject, case, times)?;
    Ok(Count {
        case,
        form,
        instructions: 0.0,
        allocations: (twice as f64 - once as f64) / times as f64,
    })
}

/// Whether callgrind is there.
#[must_use]
pub fn has_callgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Runs the counting program of this path under callgrind.
///
/// # Errors
/// Of the program, of valgrind; lines and files that do not match.
pub fn run(program: &Path, engine: EngineName, extent: Extent) -> Result<Counts> {
    let dir = tempfile::Builder::new().prefix("price-").tempdir()?;
    let profile = dir.path().join("profile");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind", "--combine-dumps=no"])
        .arg(format!("--toggle-collect={REGION}"))
        .arg(format!("--dump-after={REGION}"))
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args([engine.as_str(), extent_name(extent)])
        .arg(dir.path());
    let output = command.output().context("running valgrind")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("the counting program for {engine} failed: {errors}");
    }
    let lines = String::from_utf8(output.stdout).context("the program's output")?;
    let mut counts = Vec::new();
    for (at, line) in lines.lines().enumerate() {
        let mut count: Count = serde_json::from_str(line).with_context(|| format!("line {at}"))?;
        let file = PathBuf::from(format!("{}.{}", profile.display(), at + 1));
        let instructions = total(&file).with_context(|| format!("{}, {line}", file.display()))?;
        let operation = count.case.operation;
        let rows = rows_of(extent, count.case.value_bytes);
        let units = operation.times() * operation.units(rows);
        count.instructions = instructions as f64 / units as f64;
        take_least(&mut counts, count);
    }
    ensure!(!counts.is_empty(), "nothing was counted");
    Ok(Counts {
        engine: engine.to_string(),
        counts,
    })
}

/// Adds a count, or leaves the lesser of it and the one of another store.
fn take_least(counts: &mut Vec<Count>, count: Count) {
    let same = |other: &&mut Count| (other.case, other.form) == (count.case, count.form);
    match counts.iter_mut().find(same) {
        None => counts.push(count),
        Some(least) => {
            least.instructions = least.instructions.min(count.instructions);
            least.allocations = least.allocations.min(count.allocations);
        }
    }
}

/// The words of the program's second argument.
const fn extent_name(extent: Extent) -> &'static str {
    match extent {
        Extent::Small => "small",
        Extent::Full => "full",
    }
}

/// The program's second argument.
///
/// # Errors
/// For any other word.
pub fn extent_of(name: &str) -> Result<Extent> {
    [Extent::Small, Extent::Full]
        .into_iter()
        .find(|extent| extent_name(*extent) == name)
        .with_context(|| format!("{name:?} is neither small nor full"))
}

/// The instructions in a profile.
fn total(file: &Path) -> Result<u64> {
    let profile = std::fs::read_to_string(file)?;
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    Ok(line.context("no totals")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::super::case::Operation;
    use super::*;

    #[test]
    fn the_least_of_the_stores_counts_for_each_form_of_a_case() {
        let case = |operation| Case {
            operation,
            value_bytes: VALUE_BYTES,
        };
        let count = |operation, form, instructions, allocations| Count {
            case: case(operation),
            form,
            instructions,
            allocations,
        };
        let mut counts = Vec::new();
        for next in [
            count(Operation::GetHit, Form::Raw, 139.0, 1.0),
            count(Operation::GetHit, Form::Static, 150.0, 1.0),
            count(Operation::GetMiss, Form::Raw, 70.0, 0.0),
            count(Operation::GetHit, Form::Raw, 100.0, 2.0),
            count(Operation::GetHit, Form::Static, 162.0, 0.5),
        ] {
            take_least(&mut counts, next);
        }
        let expected = [
            count(Operation::GetHit, Form::Raw, 100.0, 1.0),
            count(Operation::GetHit, Form::Static, 150.0, 0.5),
            count(Operation::GetMiss, Form::Raw, 70.0, 0.0),
        ];
        assert_eq!(counts, expected);
    }
}
