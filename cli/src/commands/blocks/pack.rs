//! `chainstore blocks pack`: sealed segments get smaller and stay readable at random.
//!
//! Invariants: nothing is changed without `--write`; no block and no row changes; killed, the same
//! command goes on.

use std::sync::Arc;

use anyhow::Result;
use chain_store::repair;
use clap::Args;
use serde::Serialize;
use storage_api::blocks::Height;

use super::in_words;
use crate::args::{StoreArg, WriteArg};
use crate::interrupt;
use crate::output::{Output, facts, grouped};
use crate::store;

/// Pack segments that are not written to any more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks pack --store ./node --write
  chainstore blocks pack --store ./node --below 100000 --write

Segments are packed by zstd in frames of 64 KiB: a body is read from a packed segment without the
rest of it. Segments that would save less than a sixteenth stay as they are.")]
pub(crate) struct PackArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    /// Leave segments that hold this block or one above it as they are.
    #[arg(long, value_name = "HEIGHT")]
    below: Option<u64>,

    #[command(flatten)]
    write: WriteArg,
}

#[derive(Serialize)]
struct Packed {
    store: String,
    segments: u64,
    plain_bytes: u64,
    packed_bytes: u64,
}

/// Packs.
pub(super) fn run(args: &PackArgs, out: &mut Output) -> Result<()> {
    args.write.check("blocks pack")?;
    let writing = interrupt::finish_commits();
    let opened = Arc::new(store::open_to_write(&args.store.store)?);
    store::has_blocks(&opened)?;
    let below = Height::new(args.below.unwrap_or(u64::MAX));
    let report = repair::pack(&opened, below).map_err(in_words)?;
    drop(writing);
    let done = Packed {
        store: args.store.store.to_string(),
        segments: report.segments,
        plain_bytes: report.plain_bytes,
        packed_bytes: report.packed_bytes,
    };
    out.document(&done, |done| {
        facts([
            ("store", done.store.clone()),
            ("packed", format!("{} segments", grouped(done.segments))),
            ("before", format!("{} bytes", grouped(done.plain_bytes))),
            ("now", format!("{} bytes", grouped(done.packed_bytes))),
        ])
    })
}
