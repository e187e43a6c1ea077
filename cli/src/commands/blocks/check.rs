//! `chainstore blocks check`: what is damaged in the blocks of a store, which blocks that is, and
//! what to do next.
//!
//! Invariants: the store is opened to read and no byte of it changes; damage is exit code 1, and
//! what lies behind the last committed block is none.

use std::sync::Arc;

use anyhow::Result;
use chain_store::repair::{self, Checked};
use clap::Args;
use serde::Serialize;

use crate::args::StoreArg;
use crate::exit::Exit;
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit};
use crate::store;

/// Say what is damaged in the blocks of a store, changing nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks check --store ./node
  chainstore blocks check --store ./node --output json && echo sound

Every byte of every segment is compared with its checksum, and every block of the index with its
record and with the block below it. Exit code 1: something is damaged. `verify` checks all tables,
and this as well.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,
}

#[derive(Serialize)]
struct Report {
    store: String,
    sound: bool,
    #[serde(flatten)]
    checked: Checked,
    /// What to type next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs, out: &mut Output) -> Result<Exit> {
    let url = &args.store.store;
    let opened = Arc::new(store::open_to_read(url)?);
    store::has_blocks(&opened)?;
    let mut progress = Progress::begin("check", Unit::Things("blocks"), None);
    let checked = repair::check(&opened, &mut |blocks| progress.set(blocks, String::new))?;
    drop(progress);
    let report = Report {
        store: url.to_string(),
        sound: checked.is_sound(),
        next: next(&checked, &url.to_string()),
        checked,
    };
    let exit = if report.sound {
        Exit::Done
    } else {
        Exit::Different
    };
    out.document(&report, |report| {
        let mut text = to_table(&report.checked);
        if let Some(next) = &report.next {
            text.push_str(&format!("\nnext: {next}"));
        }
        text
    })?;
    Ok(exit)
}

/// What to type after a check.
fn next(checked: &Checked, store: &str) -> Option<String> {
    if checked.is_sound() {
        return None;
    }
    Some(if checked.bodies == "segments" {
        format!("chainstore blocks repair --store {store} --dry-run")
    } else {
        format!("chainstore verify --store {store}")
    })
}

/// A check as a text.
pub(super) fn to_table(checked: &Checked) -> String {
    let mut rows = vec![("bodies", checked.bodies.to_owned())];
    if let (Some(tail), Some(tip)) = (checked.tail, checked.tip) {
        rows.push(("heights", format!("{tail} to {tip}")));
    }
    rows.push(("sound blocks", grouped(checked.sound_blocks)));
    if checked.bodies == "segments" {
        rows.push(("segments", grouped(checked.segments)));
    }
    if let Some(beyond) = &checked.beyond {
        let (bytes, records) = (grouped(beyond.bytes), grouped(beyond.records));
        rows.push((
            "not committed",
            format!(
                "{bytes} bytes, {records} whole records, behind segment {} offset {}",
                beyond.segment, beyond.offset
            ),
        ));
    }
    if !checked.leftovers.is_empty() {
        rows.push(("other files", checked.leftovers.join(", ")));
    }
    let mut text = facts(rows);
    let findings = checked.grouped();
    text.push_str(&match findings.len() {
        0 => "\n\nsound".to_owned(),
        1 => "\n\n1 finding:".to_owned(),
        count => format!("\n\n{count} findings:"),
    });
    for finding in &findings {
        text.push_str(&format!("\n  {}: {}", finding.place(), finding.what));
    }
    text
}
