//! `chainstore blocks index-rebuild`, `truncate` and `prune`: the index again from the segments,
//! and blocks that go at the tip or at the tail.
//!
//! Invariants: each is one commit and then file work, which the same command, or any opening to
//! write, finishes if it was killed; nothing is changed without `--write`.

use std::sync::Arc;

use anyhow::Result;
use chain_store::repair::{self, Cut};
use chain_store::{AnyStore, StoreStat};
use clap::Args;
use serde::Serialize;
use storage_api::blocks::Height;

use super::{in_words, tell_other_tables};
use crate::args::{StoreArg, WriteArg};
use crate::interrupt;
use crate::output::{Output, facts, grouped};
use crate::store;

/// Make the index of blocks again from the segments, in one commit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks index-rebuild --store ./node --write
  chainstore blocks index-rebuild --store ./node --to-height 170000 --write

The new index goes up to the tip that was committed; where all rows are lost, up to the last record,
which may be of a block that was never committed. The segments are not changed.")]
pub(crate) struct IndexRebuildArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    /// The tip of the new index.
    #[arg(long, value_name = "HEIGHT")]
    to_height: Option<u64>,

    #[command(flatten)]
    write: WriteArg,
}

/// Remove the blocks above a height, which becomes the tip.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks truncate --store ./node --to-height 170000 --write

A store with the unspent outputs of its tip is refused: these cannot be taken back yet. Tables that
are not of blocks stay as they are, and are named: their owner takes back what the blocks did.")]
pub(crate) struct TruncateArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    /// The new tip.
    #[arg(long, value_name = "HEIGHT")]
    to_height: u64,

    #[command(flatten)]
    write: WriteArg,
}

/// Remove the blocks below a height, which becomes the lowest one kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks prune --store ./node --below 100000 --write

Of segments, those go that lie below the height as a whole.")]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    /// The lowest height to be kept.
    #[arg(long, value_name = "HEIGHT")]
    below: u64,

    #[command(flatten)]
    write: WriteArg,
}

#[derive(Serialize)]
struct Rebuilt {
    store: String,
    records: u64,
    blocks: u64,
    passed_over: u64,
    first_height: Option<u64>,
    tip_height: Option<u64>,
}

#[derive(Serialize)]
struct Removed {
    store: String,
    removed_blocks: u64,
    blocks: u64,
    first_height: Option<u64>,
    tip_height: Option<u64>,
}

fn open(arg: &StoreArg) -> Result<Arc<AnyStore>> {
    let opened = Arc::new(store::open_to_write(&arg.store)?);
    store::has_blocks(&opened)?;
    Ok(opened)
}

fn heights(first: Option<u64>, tip: Option<u64>) -> String {
    match (first, tip) {
        (Some(first), Some(tip)) => format!("{first} to {tip}"),
        _ => "none".to_owned(),
    }
}

/// Makes the index again.
pub(super) fn index_rebuild(args: &IndexRebuildArgs, out: &mut Output) -> Result<()> {
    args.write.check("blocks index-rebuild")?;
    let writing = interrupt::finish_commits();
    let opened = open(&args.store)?;
    let to = args.to_height.map(Height::new);
    let rebuilt = repair::index_rebuild(&opened, to).map_err(in_words)?;
    drop(writing);
    if to.is_some() {
        tell_other_tables(&opened);
    }
    let blocks = StoreStat::gather(&*opened)?.blocks;
    let done = Rebuilt {
        store: args.store.store.to_string(),
        records: rebuilt.records,
        blocks: rebuilt.blocks,
        passed_over: rebuilt.passed_over,
        first_height: blocks.first_height,
        tip_height: blocks.tip_height,
    };
    out.document(&done, |done| {
        facts([
            ("store", done.store.clone()),
            ("records read", grouped(done.records)),
            ("blocks in the index", grouped(done.blocks)),
            ("passed over", grouped(done.passed_over)),
            ("heights", heights(done.first_height, done.tip_height)),
        ])
    })
}

fn print(store: &StoreArg, opened: &AnyStore, cut: Cut, out: &mut Output) -> Result<()> {
    let blocks = StoreStat::gather(opened)?.blocks;
    let done = Removed {
        store: store.store.to_string(),
        removed_blocks: cut.before - cut.after,
        blocks: cut.after,
        first_height: blocks.first_height,
        tip_height: blocks.tip_height,
    };
    out.document(&done, |done| {
        facts([
            ("store", done.store.clone()),
            (
                "removed",
                format!("{} blocks", grouped(done.removed_blocks)),
            ),
            ("kept", format!("{} blocks", grouped(done.blocks))),
            ("heights", heights(done.first_height, done.tip_height)),
        ])
    })
}

/// Cuts at the tip.
pub(super) fn truncate(args: &TruncateArgs, out: &mut Output) -> Result<()> {
    args.write.check("blocks truncate")?;
    let writing = interrupt::finish_commits();
    let opened = open(&args.store)?;
    let cut = repair::truncate(&opened, Height::new(args.to_height)).map_err(in_words)?;
    drop(writing);
    tell_other_tables(&opened);
    print(&args.store, &opened, cut, out)
}

/// Cuts at the tail.
pub(super) fn prune(args: &PruneArgs, out: &mut Output) -> Result<()> {
    args.write.check("blocks prune")?;
    let writing = interrupt::finish_commits();
    let opened = open(&args.store)?;
    let cut = repair::prune(&opened, Height::new(args.below)).map_err(in_words)?;
    drop(writing);
    print(&args.store, &opened, cut, out)
}
