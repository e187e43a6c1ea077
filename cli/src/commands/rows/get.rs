//! `chainstore get`: the value of one key of one table.
//!
//! Invariant: a key that is absent is exit code 1 and no output, so a script can tell it from an
//! empty value.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use storage_api::{KvStore, ReaderExt};

use crate::args::StoreArg;
use crate::exit::{Exit, Stop};
use crate::hex::{self, Hex};
use crate::output::Output;
use crate::store;

/// Print the value of one key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore get --store ./node --table blocks.index 0x00000000000000aa
  chainstore get --store ./node --table blocks.bodies 00000000000000aa --raw > block.bin")]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// The table; `chainstore list` names them.
    #[arg(long, value_name = "NAME")]
    table: String,

    /// The key, in hexadecimal.
    #[arg(value_name = "KEY")]
    key: Hex,

    /// Write the value's bytes as they are, and nothing else.
    #[arg(long, conflicts_with = "output")]
    raw: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    table: &'a str,
    key: String,
    value: String,
    value_bytes: usize,
}

/// Runs the command.
pub(crate) fn run(args: &GetArgs, out: &mut Output) -> Result<Exit> {
    let opened = store::open_to_read(&args.store.store)?;
    let table = opened.catalogue().id(&args.table)?;
    let view = opened.begin_read()?;
    let Some(value) = view.get_copied(table, &args.key.0)? else {
        let key = hex::print(&args.key.0);
        return Err(Stop::NotThere(format!("table {} has no key {key}", args.table)).into());
    };
    if args.raw {
        out.raw(&value)?;
    } else {
        let row = Row {
            table: &args.table,
            key: hex::print(&args.key.0),
            value: hex::print(&value),
            value_bytes: value.len(),
        };
        out.document(&row, |row| row.value.clone())?;
    }
    Ok(Exit::Done)
}
