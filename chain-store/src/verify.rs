//! Verification in a child process, because an engine's library may crash on damaged files.
//!
//! The child opens the store read-only, reads everything ([`storage_api::Verify`], and bodies in
//! segment files, which are held against the index) and writes one JSON object a line to its
//! standard output: progress, then the report. Invariants: the parent never opens the store; a
//! child that dies, is killed or says nothing is itself a finding; what the child could not even
//! open is an error with its exit code.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storage_api::blocks::BlockError;
use storage_api::{Error, Finding, KvStore, OpenOptions, Result, TableCheck, VerifyReport};

use crate::any::AnyStore;
use crate::bodies::Bodies;
use crate::repair;

/// One line from the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event {
    /// So far.
    Progress {
        table: String,
        rows: u64,
        bytes: u64,
    },
    /// The end of it.
    Report {
        tables: Vec<Read>,
        findings: Vec<Found>,
        engine_check: Option<String>,
        #[serde(default)]
        unchecked_tables: Vec<String>,
    },
    /// The store could not be read at all.
    Failed { message: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Read {
    table: String,
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Found {
    place: String,
    what: String,
}

/// Why a verification has no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The child could not be started or read.
    #[error("the verification process cannot be run")]
    Start(#[source] io::Error),
    /// The child could not open the store; `code` is the program's exit code for that.
    #[error("{message}")]
    Refused {
        /// The child's exit code.
        code: i32,
        /// Its error, with all causes.
        message: String,
    },
}

/// Verifies a store in this process.
///
/// # Errors
/// Of opening; `Unsupported` when an engine from outside has no verification.
pub fn here(url: &str, progress: &mut dyn FnMut(&TableCheck)) -> Result<VerifyReport> {
    let store = Arc::new(AnyStore::open_existing(url, &OpenOptions::read_only())?);
    let verify = store
        .as_verify()
        .ok_or_else(|| Error::unsupported("verify"))?;
    let mut report = verify.verify(progress)?;
    if Bodies::of(store.catalogue())? == Some(Bodies::Segments) {
        report.findings.extend(segments(&store)?);
    }
    Ok(report)
}

/// What is wrong with the segments of a store that keeps bodies there: every byte of every segment
/// is compared with its checksum, and every block of the index with its record, as
/// [`repair::check`] does. Writes nothing.
///
/// # Errors
/// `Io` and others that are not damage.
pub(crate) fn segments(store: &Arc<AnyStore>) -> Result<Vec<Finding>> {
    let checked = repair::check(store, &mut |_| {});
    let checked = checked.map_err(|error| match error {
        BlockError::Store(error) => error,
        other => Error::corruption("blocks", other.to_string()),
    })?;
    Ok(checked
        .findings
        .into_iter()
        .map(|found| Finding {
            place: found.place(),
            what: found.what,
        })
        .collect())
}

/// The child's part: verifies a store and writes events; the result decides the child's exit code.
///
/// # Errors
/// As [`here`]; the event was written before.
pub fn child(url: &str, out: &mut dyn Write) -> Result<VerifyReport> {
    // A parent that is gone reads nothing, which changes nothing about the verification.
    let mut say = |event: &Event| {
        let _nobody_listens = serde_json::to_writer(&mut *out, event)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
    };
    let verified = here(url, &mut |check| {
        say(&Event::Progress {
            table: check.table.clone(),
            rows: check.rows,
            bytes: check.bytes,
        });
    });
    match &verified {
        Ok(report) => say(&event_of(report)),
        Err(error) => say(&Event::Failed {
            message: with_sources(error),
        }),
    }
    verified
}

fn event_of(report: &VerifyReport) -> Event {
    Event::Report {
        tables: report
            .tables
            .iter()
            .map(|t| Read {
                table: t.table.clone(),
                rows: t.rows,
                bytes: t.bytes,
            })
            .collect(),
        findings: report
            .findings
            .iter()
            .map(|f| Found {
                place: f.place.clone(),
                what: f.what.clone(),
            })
            .collect(),
        engine_check: report.engine_check.clone(),
        unchecked_tables: report.unchecked_tables.clone(),
    }
}

fn report_of(
    tables: Vec<Read>,
    findings: Vec<Found>,
    engine_check: Option<String>,
) -> VerifyReport {
    VerifyReport {
        tables: tables
            .into_iter()
            .map(|t| TableCheck {
                table: t.table,
                rows: t.rows,
                bytes: t.bytes,
            })
            .collect(),
        findings: findings
            .into_iter()
            .map(|f| Finding {
                place: f.place,
                what: f.what,
            })
            .collect(),
        engine_check,
        unchecked_tables: Vec::new(),
    }
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Runs `command`, which ends in [`child`], and gathers what it says.
///
/// # Errors
/// [`VerifyError`]; a child that dies is a finding and no error.
pub fn in_child(
    command: &mut Command,
    progress: &mut dyn FnMut(&TableCheck),
) -> Result<VerifyReport, VerifyError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(VerifyError::Start)?;
    let mut last: Option<TableCheck> = None;
    let mut ended = None;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            // An output that cannot be read further is that of a child that ended.
            let Ok(line) = line else { break };
            // Anything else on the child's output is the engine library's own chatter, which need
            // not even be a text.
            let Ok(event) = serde_json::from_slice::<Event>(&line) else {
                continue;
            };
            match event {
                Event::Progress { table, rows, bytes } => {
                    let check = TableCheck { table, rows, bytes };
                    progress(&check);
                    last = Some(check);
                }
                end => ended = Some(end),
            }
        }
    }
    let status = child.wait().map_err(VerifyError::Start)?;
    match ended {
        Some(Event::Report {
            tables,
            findings,
            engine_check,
            unchecked_tables,
        }) => {
            let mut report = report_of(tables, findings, engine_check);
            report.unchecked_tables = unchecked_tables;
            if status.code().is_none() {
                // Everything was read, but the engine did not get as far as closing the store.
                report.findings.push(Finding {
                    place: "closing the store".to_owned(),
                    what: format!("the verification process died ({status})"),
                });
            }
            Ok(report)
        }
        Some(Event::Failed { message }) => Err(VerifyError::Refused {
            code: status.code().unwrap_or(1),
            message,
        }),
        Some(Event::Progress { .. }) | None => Ok(died(status, last)),
    }
}

/// The report of a child that ended without one.
fn died(status: ExitStatus, last: Option<TableCheck>) -> VerifyReport {
    let place = last.as_ref().map_or_else(
        || "opening the store".to_owned(),
        |check| format!("after {} rows of table {}", check.rows, check.table),
    );
    let mut report = VerifyReport::default();
    report.findings.push(Finding {
        place,
        what: format!(
            "the verification process died ({status}); the engine cannot read this store"
        ),
    });
    report.tables.extend(last);
    report
}
