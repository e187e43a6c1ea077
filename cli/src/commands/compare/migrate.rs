//! `chainstore migrate`: a store moved to another engine, verified, and resumed where it was cut
//! short.
//!
//! Invariants: the source is not changed; the target is a store only when both sides have the same
//! digest; an interrupt finishes the chunk under way, and the same command goes on. What exactly is
//! kept: `chain_store::migrate`.

use std::ops::ControlFlow;

use anyhow::Result;
use chain_store::StoreUrl;
use chain_store::migrate::{MigrateError, Migrated, Migration, Step};
use clap::Args;
use serde::Serialize;

use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit};
use crate::store;

/// Move a store to another engine and prove that nothing changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore migrate --from ./node --to lmdb:./node-lmdb
  chainstore migrate --from redb:./node --to rocks:/mnt/fast/node

The target must not exist, be empty, or hold the same migration unfinished, which then goes on.
Tables keep their numbers and settings. The source stays as it is: remove it when the new store is
in use.")]
pub(crate) struct MigrateArgs {
    /// The store to be moved: ENGINE:PATH, or the PATH of an existing one.
    #[arg(long, value_name = "URL")]
    pub(crate) from: StoreUrl,

    /// Where it goes: ENGINE:PATH.
    #[arg(long, value_name = "URL")]
    pub(crate) to: StoreUrl,

    /// Memory for caches and buffers of each side, in MiB; what each engine finds best otherwise.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: Option<u64>,
}

#[derive(Serialize)]
struct Moved {
    from: String,
    to: String,
    tables: usize,
    rows: u64,
    copied_rows: u64,
    copied_bytes: u64,
    resumed: bool,
    content_digest: String,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: &MigrateArgs, out: &mut Output) -> Result<Exit> {
    store::check_marked(&args.from)?;
    let mut migration = Migration::new(args.from.clone(), args.to.clone());
    migration.memory_budget_bytes = (args.memory)
        .map(|mib| mib << 20)
        .or_else(store::memory_budget_bytes);
    let writing = interrupt::finish_commits();
    let mut shown = Shown::default();
    let migrated = migration.run(&mut |progress| shown.set(progress));
    drop((writing, shown));
    let migrated = migrated.map_err(|error| in_words(error, args))?;
    out.document(&moved(args, &migrated), |moved| {
        facts([
            ("from", moved.from.clone()),
            ("to", moved.to.clone()),
            (
                "copied",
                format!(
                    "{} rows, {} bytes in {:.1} s{}",
                    grouped(moved.copied_rows),
                    grouped(moved.copied_bytes),
                    moved.seconds,
                    if moved.resumed {
                        ", going on with what was there"
                    } else {
                        ""
                    }
                ),
            ),
            (
                "both hold",
                format!("{} tables, {} rows", moved.tables, grouped(moved.rows)),
            ),
            ("content digest", moved.content_digest.clone()),
        ])
    })?;
    Ok(Exit::Done)
}

fn moved(args: &MigrateArgs, migrated: &Migrated) -> Moved {
    Moved {
        from: args.from.to_string(),
        to: args.to.to_string(),
        tables: migrated.tables,
        rows: migrated.rows,
        copied_rows: migrated.copied_rows,
        copied_bytes: migrated.copied_bytes,
        resumed: migrated.is_resumed,
        content_digest: migrated.digest.to_string(),
        seconds: migrated.took.as_secs_f64(),
    }
}

/// The step under way and its bar.
#[derive(Default)]
struct Shown {
    under_way: Option<(&'static str, Progress)>,
}

impl Shown {
    fn set(&mut self, progress: &chain_store::migrate::Progress) -> ControlFlow<()> {
        let what = match progress.step {
            Step::Copy(_) => "migrate",
            Step::DigestSource => "check the source",
            Step::DigestTarget => "check the target",
            Step::CopySegments => "copy segments",
            _ => "check segments",
        };
        if self
            .under_way
            .as_ref()
            .is_none_or(|(shown, _)| *shown != what)
        {
            // The bar of the step before is cleared first.
            drop(self.under_way.take());
            let begun = Progress::begin(what, Unit::Things("rows"), Some(progress.rows_total));
            self.under_way = Some((what, begun.after(progress.rows)));
        }
        if let Some((_, shown)) = &mut self.under_way {
            shown.set(progress.rows, || match &progress.step {
                Step::Copy(table) => table.clone(),
                _ => String::new(),
            });
        }
        if interrupt::asked() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// The error with what to do, and its exit code.
fn in_words(error: MigrateError, args: &MigrateArgs) -> anyhow::Error {
    match error {
        MigrateError::Source(error) => {
            anyhow::Error::from(error).context(format!("the source {}", args.from))
        }
        MigrateError::Target(error) => {
            anyhow::Error::from(error).context(format!("the target {}", args.to))
        }
        MigrateError::NoSource(_) | MigrateError::NoTarget(_) | MigrateError::SamePlace { .. } => {
            Stop::Usage(error.to_string()).into()
        }
        MigrateError::Interrupted { .. } => Stop::Interrupted(error.to_string()).into(),
        error => Stop::Different(error.to_string()).into(),
    }
}
