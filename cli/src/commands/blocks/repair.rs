//! `chainstore blocks repair`: puts segments and index in order, and keeps what it removes.
//!
//! Invariants: with `--dry-run` the store is opened to read and no byte of it changes; nothing is
//! removed that is not in `quarantine/` before; no committed block goes without `--to-height`.
//! Exit code 1: something is still damaged.

use std::sync::Arc;

use anyhow::Result;
use chain_store::repair::{self, Repaired};
use clap::Args;
use serde::Serialize;
use storage_api::blocks::Height;

use super::{check, in_words, tell_other_tables};
use crate::args::{StoreArg, WriteArg};
use crate::exit::Exit;
use crate::interrupt;
use crate::output::Output;
use crate::progress::{Progress, Unit};
use crate::store;

/// Repair the blocks of a store with segments, keeping what is removed in its quarantine folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks repair --store ./node --dry-run
  chainstore blocks repair --store ./node --write
  chainstore blocks repair --store ./node --to-height 170000 --write

Without --to-height no committed block is given up: what is behind the last commit goes, renamed
segments get their names back, and lost rows of the index are made again. Whatever is removed is
copied to STORE/quarantine/NUMBER/ before, with a report. Killed, the same command finishes.
With it, tables that are not of blocks stay as they are, and are named.
Exit code 1: something is still damaged.")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    /// Only say what would be done.
    #[arg(long, conflicts_with = "write")]
    dry_run: bool,

    /// Give up every block above this height.
    #[arg(long, value_name = "HEIGHT")]
    to_height: Option<u64>,

    #[command(flatten)]
    write: WriteArg,
}

#[derive(Serialize)]
struct Report {
    store: String,
    dry_run: bool,
    #[serde(flatten)]
    repaired: Repaired,
}

/// Runs the command.
pub(super) fn run(args: &RepairArgs, out: &mut Output) -> Result<Exit> {
    let url = &args.store.store;
    if !args.dry_run {
        args.write.check("blocks repair")?;
    }
    // An interrupt waits for the end: everything that is done can be done again, but not twice.
    let writing = (!args.dry_run).then(interrupt::finish_commits);
    let opened = Arc::new(if args.dry_run {
        store::open_to_read(url)?
    } else {
        store::open_to_write(url)?
    });
    store::has_blocks(&opened)?;
    let mut progress = Progress::begin("check", Unit::Things("blocks"), None);
    let to = args.to_height.map(Height::new);
    let repaired = repair::repair(&opened, to, &mut |blocks| {
        progress.set(blocks, String::new);
    });
    drop((progress, writing));
    let report = Report {
        store: url.to_string(),
        dry_run: args.dry_run,
        repaired: repaired.map_err(in_words)?,
    };
    let is_sound = report.repaired.sound.unwrap_or_else(|| {
        // What a dry run would leave behind.
        report.repaired.found.is_sound()
    });
    if to.is_some() && !report.repaired.actions.is_empty() {
        tell_other_tables(&opened);
    }
    out.document(&report, to_table)?;
    Ok(if is_sound {
        Exit::Done
    } else {
        Exit::Different
    })
}

fn to_table(report: &Report) -> String {
    let repaired = &report.repaired;
    let mut text = check::to_table(&repaired.found);
    let head = match (repaired.actions.is_empty(), report.dry_run) {
        (true, _) => "nothing to be done",
        (false, true) => "would be done:",
        (false, false) => "done:",
    };
    text.push_str(&format!("\n\n{head}"));
    for action in &repaired.actions {
        text.push_str(&format!("\n  {action}"));
    }
    if !repaired.left.is_empty() {
        text.push_str("\n\nnot repaired:");
    }
    for left in &repaired.left {
        text.push_str(&format!("\n  {left}"));
    }
    for place in &repaired.quarantine {
        text.push_str(&format!("\n\nwhat was removed is in {}", place.display()));
    }
    match repaired.sound {
        Some(true) => text.push_str("\n\nsound now"),
        Some(false) => text.push_str("\n\nstill damaged"),
        None => {}
    }
    text
}
