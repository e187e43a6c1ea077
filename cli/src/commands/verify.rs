//! `chainstore verify`: reads every byte of a store and says what is damaged.
//!
//! The work is done by a second process of this same program (`--here`), because an engine's
//! library may crash on damaged files. Invariants: read-only; a sound store is exit code 0,
//! findings are 1, and a store that cannot be opened has the exit code of that failure, which the
//! second process has told; where nobody checks the values, that is said beside the result.

use std::io;
use std::process::Command;

use anyhow::{Context, Result};
use chain_store::{EngineName, StoreUrl, read_marker, verify};
use clap::Args;
use serde::Serialize;
use storage_api::VerifyReport;

use crate::args::StoreArg;
use crate::exit::Exit;
use crate::metrics::Address;
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
    pub(crate) store: StoreArg,

    /// The part of the second process: verify here, and write events for the first one.
    #[arg(long, hide = true)]
    here: bool,
}

impl VerifyArgs {
    /// Whether this is the second process.
    pub(crate) const fn is_second(&self) -> bool {
        self.here
    }
}

#[derive(Serialize)]
struct Report {
    store: String,
    sound: bool,
    tables: Vec<Table>,
    findings: Vec<Found>,
    engine_check: Option<String>,
    /// Tables in whose values changed bytes cannot be noticed.
    unchecked_tables: Vec<String>,
    #[serde(skip)]
    engine: String,
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
pub(crate) fn run(
    args: &VerifyArgs,
    metrics_addr: Option<Address>,
    out: &mut Output,
) -> Result<Exit> {
    let url = args.store.store.to_string();
    if args.here {
        return Ok(exit_of(&verify::child(&url, &mut io::stdout())?));
    }
    store::check_persistent(&args.store.store)?;
    store::check_marked(&args.store.store)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program);
    child.args(["verify", "--here", "--store", &url]);
    if let Some(address) = metrics_addr {
        child.args(["--metrics-addr", &address.to_string()]);
    }
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
    out.document(&to_json(&args.store.store, &report), to_table)?;
    Ok(exit_of(&report))
}

/// The engine's name for a text; a bare path's is in the marker.
fn engine_of(url: &StoreUrl) -> String {
    let marker = || store::path(url).and_then(|path| read_marker(path).ok().flatten());
    match url {
        StoreUrl::Engine(engine, _) => engine.to_string(),
        StoreUrl::Memory => EngineName::Mem.to_string(),
        StoreUrl::Path(_) => marker().map_or_else(|| "unknown".to_owned(), |found| found.engine),
    }
}

fn to_json(url: &StoreUrl, report: &VerifyReport) -> Report {
    Report {
        store: url.to_string(),
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
        unchecked_tables: report.unchecked_tables.clone(),
        engine: engine_of(url),
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
    let check = report.engine_check.as_deref().unwrap_or("none");
    text.push_str(&format!("\n\nengine's own check: {check}\n\n"));
    text.push_str(&match report.findings.len() {
        0 if report.unchecked_tables.is_empty() => "sound".to_owned(),
        0 => "no damage found".to_owned(),
        1 => "1 finding:".to_owned(),
        count => format!("{count} findings:"),
    });
    for found in &report.findings {
        text.push_str(&format!("\n  {}: {}", found.place, found.what));
    }
    if let Some(unchecked) = unchecked(report) {
        text.push_str(&format!("\n{unchecked}"));
    }
    text
}

/// What the verification could not notice, where that is anything.
fn unchecked(report: &Report) -> Option<String> {
    let tables = match report.unchecked_tables.len() {
        0 => return None,
        1 => "1 table".to_owned(),
        count => format!("{count} tables"),
    };
    let engine = &report.engine;
    Some(format!(
        "values of {tables} carry no checksum and engine {engine} has no check of its own: \
         changed bytes inside a value cannot be noticed (import --checksum envelope makes them \
         noticeable)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unchecked: &[&str], findings: usize) -> String {
        let report = VerifyReport {
            findings: vec![
                storage_api::Finding {
                    place: "table a".to_owned(),
                    what: "a row is gone".to_owned(),
                };
                findings
            ],
            unchecked_tables: unchecked.iter().map(|name| (*name).to_owned()).collect(),
            ..VerifyReport::default()
        };
        let url = "lmdb:x".parse().unwrap_or(StoreUrl::Memory);
        to_table(&to_json(&url, &report))
    }

    #[test]
    fn sound_is_said_only_where_everything_was_checked() {
        assert!(text(&[], 0).ends_with("engine's own check: none\n\nsound"));
        let one = text(&["a"], 0);
        assert!(
            one.contains("no damage found\nvalues of 1 table carry"),
            "{one}"
        );
        assert!(one.contains("engine lmdb has no check of its own"), "{one}");
        let two = text(&["a", "b"], 0);
        assert!(two.contains("values of 2 tables carry"), "{two}");
        assert!(!one.contains("sound") && !two.contains("sound"));
    }

    #[test]
    fn one_finding_is_no_findings() {
        assert!(text(&[], 1).ends_with("1 finding:\n  table a: a row is gone"));
        assert!(text(&["a"], 2).contains("2 findings:"));
    }
}
