//! `chainstore verify`: reads every byte of a store and says what is damaged.
//!
//! The work is done by a second process of this same program (`--here`), because an engine's
//! library may crash on damaged files. Invariants: read-only; a sound store is exit code 0,
//! findings are 1, and a store that cannot be opened has the exit code of that failure.

use std::io;
use std::process::Command;

use anyhow::{Context, Result};
use chain_store::verify;
use clap::Args;
use serde::Serialize;
use storage_api::VerifyReport;

use crate::args::StoreArg;
use crate::exit::Exit;
use crate::output::{Column, Output, grouped, table};
use crate::progress::{Progress, Unit};
use crate::store;

/// Read everything in a store and report what is damaged, changing nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore verify --store ./node
  chainstore verify --store ./node --output json && echo sound")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    store: StoreArg,

    /// The part of the second process: verify here, and write events for the first one.
    #[arg(long, hide = true)]
    here: bool,
}

#[derive(Serialize)]
struct Report {
    store: String,
    sound: bool,
    tables: Vec<Table>,
    findings: Vec<Found>,
    engine_check: Option<String>,
}

#[derive(Serialize)]
struct Table {
    name: String,
    rows: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Found {
    place: String,
    what: String,
}

const fn exit_of(report: &VerifyReport) -> Exit {
    if report.findings.is_empty() {
        Exit::Done
    } else {
        Exit::Different
    }
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs, out: &mut Output) -> Result<Exit> {
    let url = args.store.store.to_string();
    if args.here {
        return Ok(exit_of(&verify::child(&url, &mut io::stdout())?));
    }
    store::check_persistent(&args.store.store)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program);
    child.args(["verify", "--here", "--store", &url]);
    let mut progress = Progress::begin("verify", Unit::Things("rows"), None);
    let (mut table, mut rows_before, mut rows) = (String::new(), 0u64, 0u64);
    let report = verify::in_child(&mut child, &mut |check| {
        if check.table != table {
            rows_before += rows;
            table.clone_from(&check.table);
        }
        rows = check.rows;
        progress.set(rows_before + rows, || format!("table {}", check.table));
    })?;
    drop(progress);
    out.document(&to_json(&url, &report), to_table)?;
    Ok(exit_of(&report))
}

fn to_json(url: &str, report: &VerifyReport) -> Report {
    Report {
        store: url.to_owned(),
        sound: report.is_sound(),
        tables: report
            .tables
            .iter()
            .map(|check| Table {
                name: check.table.clone(),
                rows: check.rows,
                bytes: check.bytes,
            })
            .collect(),
        findings: report
            .findings
            .iter()
            .map(|found| Found {
                place: found.place.clone(),
                what: found.what.clone(),
            })
            .collect(),
        engine_check: report.engine_check.clone(),
    }
}

fn to_table(report: &Report) -> String {
    let head = [
        Column::Left("table"),
        Column::Right("rows"),
        Column::Right("bytes"),
    ];
    let rows = report
        .tables
        .iter()
        .map(|row| vec![row.name.clone(), grouped(row.rows), grouped(row.bytes)]);
    let mut text = table(&head, rows);
    if let Some(check) = &report.engine_check {
        text.push_str(&format!("\n\nengine's own check: {check}"));
    }
    if report.sound {
        text.push_str("\n\nsound");
    } else {
        text.push_str(&format!("\n\n{} findings:", report.findings.len()));
        for found in &report.findings {
            text.push_str(&format!("\n  {}: {}", found.place, found.what));
        }
    }
    text
}
