//! `chainstore copy`: a complete second store of the same content and engine, from one view.
//!
//! Invariants: the source is opened read-only and no byte of it changes; the target is missing or
//! empty before, and nothing of a target that is refused is touched; until all of it is durable the
//! target is no store, so a copy that was cut short is never taken for one, and the same command
//! begins it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chain_store::migrate::resolved;
use chain_store::{AnyStore, EngineName, MarkerState, StoreUrl, read_marker};
use clap::Args;
use serde::Serialize;
use storage_api::{Backup, BackupReport, KvStore};

use crate::args::StoreArg;
use crate::exit::{Exit, Stop};
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit};
use crate::store;

/// Between two looks at how much is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Copy a store into an empty place, for a backup.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore copy --store ./node --to /mnt/backup/node
  chainstore copy --store ./node --to ./copy --output json && chainstore verify --store ./copy

The store is only read, beside other readers; a node that writes has to be stopped, or makes the
copy itself. The engine stays: `migrate` moves a store to another one.")]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// The new directory, missing or empty; ENGINE:PATH if ENGINE is that of the store.
    #[arg(long, value_name = "DIR")]
    to: StoreUrl,
}

#[derive(Serialize)]
struct Copied {
    store: String,
    to: String,
    bytes: u64,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: &CopyArgs, out: &mut Output) -> Result<Exit> {
    let url = &args.store.store;
    let opened = store::open_to_read(url)?;
    let to = target(&args.to, &opened)?;
    check_apart(store::path(url), &to)?;
    check_free(&to)?;
    let Some(backup) = opened.as_backup() else {
        let engine = opened.engine_name();
        return Err(Stop::Unsupported(format!("engine {engine} cannot copy a store")).into());
    };
    let report = watched(&opened, backup, &to)?;
    let copied = Copied {
        store: url.to_string(),
        to: to.display().to_string(),
        bytes: report.bytes,
        seconds: report.took.as_secs_f64(),
    };
    out.document(&copied, |done| {
        facts([
            ("store", done.store.clone()),
            ("copy", done.to.clone()),
            ("bytes", grouped(done.bytes)),
            ("time", format!("{:.2} s", done.seconds)),
        ])
    })?;
    Ok(Exit::Done)
}

/// The directory that is meant.
fn target(to: &StoreUrl, opened: &AnyStore) -> Result<PathBuf> {
    let engine: EngineName = opened.engine_name().parse()?;
    match to {
        StoreUrl::Path(path) => Ok(path.clone()),
        StoreUrl::Engine(asked, path) if *asked == engine => Ok(path.clone()),
        StoreUrl::Engine(..) | StoreUrl::Memory => Err(Stop::Usage(format!(
            "a copy stays with the engine, {engine}; `chainstore migrate --from ... --to {to}` \
             moves to another one"
        ))
        .into()),
    }
}

/// Refuses a target inside the store itself, where it would be a foreign part of it.
pub(crate) fn check_apart(store: Option<&Path>, to: &Path) -> Result<()> {
    let store = store.map(fs::canonicalize).transpose();
    let Some(store) = store.context("cannot find the store's directory")? else {
        return Ok(());
    };
    if resolved(to).starts_with(&store) {
        let what = format!("{} is inside the store; name another place", to.display());
        return Err(Stop::Usage(what).into());
    }
    Ok(())
}

/// Refuses a target that is a store. What else is there is refused when the copy begins.
fn check_free(to: &Path) -> Result<()> {
    match read_marker(to) {
        Ok(Some(marker)) if marker.state != MarkerState::Creating => {
            let what = "holds a store already and was not touched; name another place";
            Err(Stop::Taken(format!("{} {what}", to.display())).into())
        }
        _ => Ok(()),
    }
}

/// Copies, and looks from aside how far it has come.
fn watched(opened: &AnyStore, backup: &dyn Backup, to: &Path) -> Result<BackupReport> {
    let total = opened.stats()?.disk_bytes;
    let (done, wait) = mpsc::channel::<()>();
    let to_watch = to.to_owned();
    let watcher = thread::spawn(move || {
        let mut progress = Progress::begin("copy", Unit::Bytes, Some(total));
        while let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(LOOK_INTERVAL) {
            // A file that comes or goes meanwhile is counted at the next look.
            progress.set(bytes_below(&to_watch).unwrap_or(0).min(total), String::new);
        }
    });
    let report = backup.backup(to);
    drop(done);
    // It hands nothing over; its bar is gone when it ended.
    let _nothing = watcher.join();
    Ok(report?)
}

/// Bytes of the files below a directory.
fn bytes_below(place: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() {
            bytes_below(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(bytes)
}
