//! `chainstore put`: one row, or many from lines of JSON.
//!
//! Invariants: nothing is written without `--write`; what is refused is refused before the store is
//! opened to write; every commit is durable. See [`super::write`].

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::given::{self, Row};
use super::write::{self, Change, Target};
use crate::exit::Exit;
use crate::hex::Hex;
use crate::output::Output;

/// Write rows of one table.
///
/// The store takes any bytes: tables of blocks and of imports are kept by those who know their
/// layout, and `verify` does not notice a row that makes no sense.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore put --store ./node --table balances --key 0x616c696365 --value 0x64 --write
  chainstore put --store ./node --table code --key 0x01 --value-file contract.bin --write
  gzip -c state | chainstore put --store ./node --table code --key 02 --value-file - --write
  chainstore list --store ./old --table balances --output jsonl |
    chainstore put --store ./node --table balances --from-jsonl - --write

Rows of a file are all checked before the first is written. They are committed in batches of at most
10,000 rows or 4 MiB, each as a whole and durable.")]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) target: Target,

    /// The key, in hexadecimal.
    #[arg(
        long,
        value_name = "HEX",
        required_unless_present = "from_jsonl",
        requires = "given_value"
    )]
    key: Option<Hex>,

    /// The value, in hexadecimal.
    #[arg(long, value_name = "HEX", requires = "key", group = "given_value")]
    value: Option<Hex>,

    /// The file whose bytes are the value; `-` for standard input.
    #[arg(long, value_name = "FILE", requires = "key", group = "given_value")]
    value_file: Option<PathBuf>,

    /// Rows as `list --output jsonl` prints them; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "given_value"])]
    from_jsonl: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &PutArgs, out: &mut Output) -> Result<Exit> {
    write::agreed(&args.target, Change::Put)?;
    let written = match &args.from_jsonl {
        Some(from) => write::all(&args.target, Change::Put, from)?,
        None => {
            let value = match (&args.value, &args.value_file) {
                (Some(value), _) => value.0.clone(),
                (None, Some(file)) => given::bytes(file)?,
                // One of the two is there: clap asks for it.
                (None, None) => Vec::new(),
            };
            let row = Row {
                key: args.key.clone().unwrap_or_default().0,
                value: Some(value),
            };
            let limits = write::look(&args.target, |_, _| Ok(()))?;
            write::one(&args.target, Change::Put, &limits, &row)?
        }
    };
    written.print(out)?;
    Ok(Exit::Done)
}
