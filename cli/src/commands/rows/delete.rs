//! `chainstore delete`: one row, or many by lines of JSON.
//!
//! Invariants: nothing is deleted without `--write`; a single key that is absent is exit code 1 and
//! nothing is touched; among many, absent keys stay absent. See [`super::write`].

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use storage_api::{KvStore, Reader};

use super::given::Row;
use super::write::{self, Change, Target};
use crate::exit::{Exit, Stop};
use crate::hex::{self, Hex};
use crate::output::Output;

/// Delete rows of one table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore delete --store ./node --table balances --key 0x616c696365 --write
  chainstore list --store ./node --table balances --prefix 00 --output jsonl > rows.jsonl
  chainstore delete --store ./node --table balances --from-jsonl rows.jsonl --write

Of lines only the keys count. The file of this example puts the rows back: `put --from-jsonl`.")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// The key, in hexadecimal.
    #[arg(long, value_name = "HEX", required_unless_present = "from_jsonl")]
    key: Option<Hex>,

    /// Rows as `list --output jsonl` prints them; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    from_jsonl: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &DeleteArgs, out: &mut Output) -> Result<Exit> {
    let target = &args.target;
    write::agreed(target, Change::Delete)?;
    let written = match &args.from_jsonl {
        Some(from) => write::all(target, Change::Delete, from)?,
        None => {
            let row = Row {
                key: args.key.clone().unwrap_or_default().0,
                value: None,
            };
            let limits = write::look(target, |store, limits| {
                limits.check(&row)?;
                if store.begin_read()?.contains(limits.table, &row.key)? {
                    return Ok(());
                }
                let key = hex::print(&row.key);
                let what = format!("table {} has no key {key}", target.table);
                Err(Stop::NotThere(what).into())
            })?;
            write::one(target, Change::Delete, &limits, &row)?
        }
    };
    written.print(out)?;
    Ok(Exit::Done)
}
