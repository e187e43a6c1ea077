//! `chainstore blocks`: blocks by height, hash and transaction; what is damaged, and mending it;
//! cutting at the tip and at the tail; packing.
//!
//! Invariants: `get`, `list`, `check` and `repair --dry-run` open the store to read and change no
//! byte of it; everything else asks for `--write`. What is done is `chain_store::repair`.

mod check;
mod cut;
mod pack;
mod read;
mod repair;

use anyhow::{Error, Result};
use chain_store::AnyStore;
use chain_store::repair::{RepairError, other_tables};
use clap::{Args, Subcommand};

use crate::args::StoreArg;
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::progress::say;

/// Print, check, repair, cut and pack blocks.
#[derive(Debug, Args)]
pub(crate) struct BlocksArgs {
    #[command(subcommand)]
    command: BlocksCommand,
}

#[derive(Debug, Subcommand)]
enum BlocksCommand {
    Get(read::BlocksGetArgs),
    List(read::BlocksListArgs),
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    IndexRebuild(cut::IndexRebuildArgs),
    Truncate(cut::TruncateArgs),
    Prune(cut::PruneArgs),
    Pack(pack::PackArgs),
}

impl BlocksArgs {
    /// The store that is read or changed.
    pub(crate) const fn store(&self) -> &StoreArg {
        match &self.command {
            BlocksCommand::Get(args) => &args.store,
            BlocksCommand::List(args) => &args.store,
            BlocksCommand::Check(args) => &args.store,
            BlocksCommand::Repair(args) => &args.store,
            BlocksCommand::IndexRebuild(args) => &args.store,
            BlocksCommand::Truncate(args) => &args.store,
            BlocksCommand::Prune(args) => &args.store,
            BlocksCommand::Pack(args) => &args.store,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &BlocksArgs, out: &mut Output) -> Result<Exit> {
    match &args.command {
        BlocksCommand::Get(args) => read::get(args, out)?,
        BlocksCommand::List(args) => read::list(args, out)?,
        BlocksCommand::Check(args) => return check::run(args, out),
        BlocksCommand::Repair(args) => return repair::run(args, out),
        BlocksCommand::IndexRebuild(args) => cut::index_rebuild(args, out)?,
        BlocksCommand::Truncate(args) => cut::truncate(args, out)?,
        BlocksCommand::Prune(args) => cut::prune(args, out)?,
        BlocksCommand::Pack(args) => pack::run(args, out)?,
    }
    Ok(Exit::Done)
}

/// Names the tables that a cut at the tip leaves as they were, on standard error.
fn tell_other_tables(store: &AnyStore) {
    let tables = other_tables(store);
    if !tables.is_empty() {
        say(&format!(
            "chainstore: note: a new tip leaves other tables as they are: {}; take back there what \
             the blocks above it did",
            tables.join(", ")
        ));
    }
}

/// The error with its exit code.
fn in_words(error: RepairError) -> Error {
    match error {
        RepairError::Blocks(error) => error.into(),
        RepairError::Unsupported(_) | RepairError::WorldState => {
            Stop::Unsupported(error.to_string()).into()
        }
        RepairError::Height(what) => Stop::Different(what).into(),
        error => error.into(),
    }
}
