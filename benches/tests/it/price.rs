//! The budgets of the layers, asserted on instructions and allocations as callgrind and a counting
//! allocator see them in the counting program, built with optimisation.
//!
//! Every miss that could not be mended is in [`KNOWN`] with its figure: the test fails when it gets
//! worse, and when it is not needed any more. Without valgrind the test says that it was skipped,
//! and fails where everything is required. `CHAINSTORE_TEST_SCALE` chooses between a small matrix
//! and all of it; `CHAINSTORE_PRICE_PROGRAM` names a counting program that is built already.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use benches::price::budget::{Verdict, judge};
use benches::price::case::{Case, Extent, Form, Operation, VALUE_BYTES};
use benches::price::count::{self, Counts};
use chain_store::EngineName;

mod known;

use known::KNOWN;

/// Why a budget is missed.
#[derive(Clone, Copy, Debug)]
struct Known {
    engine: &'static str,
    operation: Operation,
    form: Form,
    /// Instructions of a unit over the baseline, at most, whatever the size of the values.
    over: f64,
    /// Allocations over the baseline of a time, at most.
    allocations: f64,
    /// Whether the figure is the same in every run. RocksDB writes into skip lists of random
    /// heights, so what its writes take moves by several parts of a hundred.
    swing: Swing,
    reason: &'static str,
}

/// How a figure repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swing {
    /// It does.
    Still,
    /// It moves, across its budget too: then not needing the row says nothing.
    Moves,
}

impl Known {
    fn is_about(&self, engine: &str, verdict: &Verdict) -> bool {
        let this = (self.engine, self.operation, self.form);
        this == (engine, verdict.case.operation, verdict.form)
    }
}

fn extent() -> Extent {
    match std::env::var("CHAINSTORE_TEST_SCALE").as_deref() {
        Ok("full" | "soak") => Extent::Full,
        _ => Extent::Small,
    }
}

/// The counting program as users get the library: optimised. Built here, because the tests
/// themselves are not.
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("CHAINSTORE_PRICE_PROGRAM") {
        return Ok(program.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let features: Vec<&str> = [
        ("redb", cfg!(feature = "redb")),
        ("lmdb", cfg!(feature = "lmdb")),
        ("rocks", cfg!(feature = "rocks")),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some(name))
    .collect();
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--profile",
            "counted",
            "--bin",
            "price",
            "--message-format=json",
        ])
        .args(["--no-default-features", "--features", &features.join(",")])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the counting program: {errors}");
    let made = String::from_utf8(output.stdout)?;
    let mut programs = made.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(line.get("executable")?.as_str()?))
    });
    programs.next_back().context("cargo named no program")
}

/// Counts every engine, two at a time.
fn count_all(program: &std::path::Path) -> Result<Vec<Counts>> {
    let engines: Vec<EngineName> = EngineName::compiled().collect();
    let (front, back) = engines.split_at(engines.len().div_ceil(2));
    let some = |engines: &[EngineName]| -> Result<Vec<Counts>> {
        let all = engines.iter();
        all.map(|engine| count::run(program, *engine, extent()))
            .collect()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| some(back));
        let mut counts = some(front)?;
        match other.join() {
            Ok(others) => counts.extend(others?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(counts)
    })
}

fn line(engine: &str, verdict: &Verdict) -> String {
    format!(
        "{engine}: {}, {}: {:.0} instructions over {:.0} of {} ({:+.1} %), granted {:.0}; {:.2} \
         allocations over it, granted {:.0}",
        verdict.case,
        verdict.form.name(),
        verdict.over(),
        verdict.base,
        verdict.baseline.name(),
        verdict.over() / verdict.base * 100.0,
        verdict.granted.unwrap_or(f64::INFINITY),
        verdict.allocations,
        verdict.allocations_granted,
    )
}

/// What is wrong with these counts, a line each.
fn complaints(all: &[Counts]) -> String {
    let mut wrong = String::new();
    let mut needed = vec![false; KNOWN.len()];
    for counts in all {
        let engine = counts.engine.as_str();
        for verdict in judge(counts) {
            let kept = verdict.keeps_instructions() && verdict.keeps_allocations();
            let known = KNOWN.iter().position(|k| k.is_about(engine, &verdict));
            let _ = match known.map(|at| (at, &KNOWN[at])) {
                _ if kept => Ok(()),
                None => writeln!(wrong, "over the budget: {}", line(engine, &verdict)),
                Some((at, known)) => {
                    needed[at] = true;
                    let holds = verdict.keeps_instructions() || verdict.over() <= known.over;
                    let holds = holds
                        && (verdict.keeps_allocations()
                            || verdict.allocations <= known.allocations + 0.05);
                    match holds {
                        true => Ok(()),
                        false => writeln!(
                            wrong,
                            "worse than known ({:.0} and {:.1}, {}): {}",
                            known.over,
                            known.allocations,
                            known.reason,
                            line(engine, &verdict)
                        ),
                    }
                }
            };
        }
    }
    for (known, needed) in KNOWN.iter().zip(needed) {
        let engine = all.iter().find(|counts| counts.engine == known.engine);
        let is_counted = engine.is_some_and(|counts| {
            let of = |c: &count::Count| c.case.operation == known.operation;
            counts.counts.iter().any(of)
        });
        if is_counted && !needed && known.swing == Swing::Still {
            let _ = writeln!(wrong, "known and not needed any more: {known:?}");
        }
    }
    wrong
}

/// A view that keeps what a naive loop makes anew is worth it.
fn kept_handles(all: &[Counts]) -> String {
    let mut wrong = String::new();
    for (engine, operation, times) in [
        ("redb", Operation::GetHit, 1.4),
        ("rocks", Operation::Range10, 1.25),
    ] {
        let case = Case {
            operation,
            value_bytes: VALUE_BYTES,
        };
        let Some(counts) = all.iter().find(|counts| counts.engine == engine) else {
            continue;
        };
        let of = |form| {
            counts
                .of(case, form)
                .map_or(0.0, |count| count.instructions)
        };
        let gain = of(Form::Naive) / of(Form::Static);
        println!("{engine}, {case}: {gain:.2} times fewer instructions than the naive loop");
        if gain.is_nan() || gain < times {
            let _ = writeln!(wrong, "{engine}, {case}: {gain:.2}, {times} promised");
        }
    }
    wrong
}

#[test]
fn layers_keep_their_budgets() -> Result<()> {
    if !count::has_callgrind() {
        ensure!(
            std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_none(),
            "valgrind is not there"
        );
        println!("skipped: valgrind is not there, so no instructions are counted");
        return Ok(());
    }
    let all = count_all(&program()?)?;
    for counts in &all {
        println!("## {}\n", counts.engine);
        println!("{}", benches::price::report::Report::counted(counts));
    }
    let wrong = complaints(&all) + &kept_handles(&all);
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the budgets are not kept:\n{wrong}")
}
