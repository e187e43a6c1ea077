//! `chainstore conform`: the conformance suite on this machine and disk, as a matrix of
//! requirements and engines.
//!
//! Invariants: every requirement of every engine is a cell, also of engines that this build does
//! not have; a failed requirement or a broken store that the suite did not catch ends with exit
//! code 1, after the whole matrix is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chain_store::EngineName;
use clap::Args;
use conformance::differential::{self, Config, Divergence, Player};
use conformance::matrix::{Column, Matrix, Run};
use conformance::{Harness, ModelDiskHarness, mutants, run_all_telling};
use storage_api::{KvStore, OpenOptions, Schema};

use super::harness::Place;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::progress::{Progress, Unit, say};

/// Run the conformance suite on this machine and write the matrix of requirements and engines.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore conform
  chainstore conform --engine redb,lmdb --dir /mnt/node
  chainstore conform --engine all --output md > conformance.md
  chainstore conform --ops 1000000 --no-mutants")]
pub(crate) struct ConformArgs {
    /// The engines: `all`, or names between commas.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "all"
    )]
    engine: Vec<String>,

    /// Where stores are made, to prove its disk and file system; the system's place for temporary
    /// files otherwise.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Operations of the differential run, which asks all these engines and the model the same and
    /// compares every answer; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    ops: u64,

    /// Leave out the broken stores that prove that the suite catches mistakes.
    #[arg(long)]
    no_mutants: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ConformArgs, out: &mut Output) -> Result<Exit> {
    let engines = super::engines(&args.engine)?;
    let place = super::workplace(args.dir.as_deref())?;
    let mut columns = Vec::new();
    for engine in EngineName::ALL {
        columns.push(column(engine, &engines, place.path())?);
    }
    let catches = if args.no_mutants {
        Vec::new()
    } else {
        say("broken stores: each is right but for one mistake");
        mutants::hunt_all()
    };
    let mut setting = vec![
        ("made".to_owned(), super::today()),
        ("by".to_owned(), super::command_line()),
        (
            "program".to_owned(),
            format!("chainstore {}", env!("CARGO_PKG_VERSION")),
        ),
        ("system".to_owned(), system()),
    ];
    let agreed = differential(args, &engines, place.path());
    let (words, have_agreed) = match &agreed {
        Ok(None) => ("left out".to_owned(), true),
        Ok(Some(words)) => (words.clone(), true),
        Err(divergence) => (divergence.to_string(), false),
    };
    setting.push(("differential run".to_owned(), words));
    let matrix = Matrix {
        setting,
        columns,
        catches,
    };
    write(&matrix, out)?;
    Ok(if matrix.has_failed() || !have_agreed {
        Exit::Different
    } else {
        Exit::Done
    })
}

/// The same operations on the model and on these engines; nothing where it was not asked for.
fn differential(
    args: &ConformArgs,
    engines: &[EngineName],
    dir: &Path,
) -> Result<Option<String>, Box<Divergence>> {
    if args.ops == 0 {
        return Ok(None);
    }
    let mut players = vec![Player::new("model", ModelDiskHarness::default)];
    for engine in engines {
        let (engine, below) = (*engine, dir.to_owned());
        players.push(Player::new(engine.as_str(), move || {
            Place::new(engine, &below)
        }));
    }
    let config = Config {
        ops: args.ops,
        seed: conformance::seed_of_run(),
    };
    let mut progress = Progress::begin("compare", Unit::Things("operations"), Some(args.ops));
    let run = differential::run(&players, config, &mut |ops| progress.set(ops, String::new));
    drop(progress);
    let summary = match run {
        Ok(summary) => summary,
        Err(divergence) => {
            say(&divergence.to_string());
            return Err(divergence);
        }
    };
    let words = format!(
        "{} operations on the model and {} engines, seed {}: the same answers, and in {} \
         comparisons the same rows (digest {:08x})",
        summary.ops,
        engines.len(),
        config.seed,
        summary.contents,
        summary.digest
    );
    say(&words);
    Ok(Some(words))
}

/// One engine's column, run or not.
fn column(engine: EngineName, chosen: &[EngineName], dir: &Path) -> Result<Column> {
    let name = engine.as_str().to_owned();
    if !chosen.contains(&engine) {
        let why = if engine.is_compiled() {
            "not asked for"
        } else {
            "not in this build of the program"
        };
        return Ok(Column {
            store: name,
            about: String::new(),
            run: Run::NotRun(why.to_owned()),
        });
    }
    let opened = Place::new(engine, dir)
        .open(&Schema::empty(), &OpenOptions::new())
        .with_context(|| format!("opening a store of {engine}"))?;
    let capabilities = Box::new(*opened.store.capabilities());
    drop(opened);
    let total = conformance::CASES.len() as u64;
    let mut progress = Progress::begin("conform", Unit::Things("requirements"), Some(total));
    let mut done = 0;
    let below = dir.to_owned();
    let report = run_all_telling(
        engine.as_str(),
        move || Place::new(engine, &below),
        &mut |_| {
            done += 1;
            progress.set(done, || engine.to_string());
        },
    );
    drop(progress);
    say(&format!("{}", Told(&report)));
    Ok(Column {
        store: name,
        about: "through the facade, default options".to_owned(),
        run: Run::Done {
            capabilities,
            report,
        },
    })
}

/// The last line of a report, and a line for each failure.
struct Told<'r>(&'r conformance::Report);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = self.0;
        for failure in report.failures() {
            let case = failure.case;
            writeln!(
                f,
                "{}: {}::{} FAILED: {:?}",
                report.store, case.group, case.name, failure.outcome
            )?;
        }
        write!(
            f,
            "{}: {} passed, {} failed, {} unsupported as declared, {} skipped (seed {})",
            report.store,
            report.passed(),
            report.failures().count(),
            report.refusals().count(),
            report.skips().count(),
            report.seed
        )
    }
}

fn write(matrix: &Matrix, out: &mut Output) -> Result<()> {
    match out.format() {
        Format::Md | Format::Table => out.raw(matrix.to_markdown().as_bytes()),
        Format::Html => out.raw(matrix.to_html().as_bytes()),
        Format::Json => {
            let text = serde_json::to_string_pretty(&matrix.to_json())?;
            out.raw(format!("{text}\n").as_bytes())
        }
        Format::Jsonl => {
            let text = serde_json::to_string(&matrix.to_json())?;
            out.raw(format!("{text}\n").as_bytes())
        }
    }
}

fn system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} {} {}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        release.trim()
    )
}
