//! `chainstore compact`: the same content in less space.
//!
//! Invariants: nothing is done without `--write`; an engine that cannot is exit code 5. An
//! interrupt waits for the end: what an engine leaves when it is stopped here is what a crash
//! leaves.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use storage_api::KvStore;

use crate::args::{StoreArg, WriteArg};
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::metrics;
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit};
use crate::store;

/// Give unused space back to the file system.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore compact --store ./node --write
  chainstore compact --store lmdb:./node --write --output json

The node has to be stopped. While it works, an engine may need as much free space as the
store has.")]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    #[command(flatten)]
    write: WriteArg,
}

#[derive(Serialize)]
struct Compacted {
    store: String,
    engine: String,
    before_bytes: u64,
    after_bytes: u64,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: &CompactArgs, out: &mut Output) -> Result<Exit> {
    args.write.check("compact")?;
    let url = &args.store.store;
    let writing = interrupt::finish_commits();
    let opened = Arc::new(store::open_to_write(url)?);
    let _watching = metrics::watch(&url.to_string(), &opened);
    let Some(compact) = opened.as_compact() else {
        let engine = opened.engine_name();
        return Err(Stop::Unsupported(format!("engine {engine} cannot compact a store")).into());
    };
    let progress = Progress::begin("compact", Unit::Bytes, None);
    let report = compact.compact()?;
    drop((progress, writing));
    let compacted = Compacted {
        store: url.to_string(),
        engine: opened.engine_name().to_owned(),
        before_bytes: report.before_bytes,
        after_bytes: report.after_bytes,
        seconds: report.took.as_secs_f64(),
    };
    out.document(&compacted, |done| {
        facts([
            ("store", done.store.clone()),
            ("before", format!("{} bytes", grouped(done.before_bytes))),
            ("after", format!("{} bytes", grouped(done.after_bytes))),
            ("time", format!("{:.2} s", done.seconds)),
        ])
    })?;
    Ok(Exit::Done)
}
