//! `chainstore diff`: what is not the same in two stores, whatever their engines.
//!
//! Invariants: both stores are opened read-only; rows are streamed in order of table name and key;
//! a difference ends with exit code 1, and so does a table that only one store has. Cost: one scan
//! of each store, up to `--limit`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::Result;
use chain_store::diff::{Difference, Side, diff_rows};
use chain_store::{AnyStore, StoreUrl};
use clap::Args;
use serde::Serialize;
use storage_api::{KvStore, TableId};

use super::RangeArgs;
use crate::exit::{Exit, Stop};
use crate::hex;
use crate::output::{List, Output, grouped};
use crate::progress::{Progress, Unit, say};
use crate::store;

/// Show what is not the same in two stores, of the same engine or of two.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore diff ./node ./copy
  chainstore diff redb:./node lmdb:./copy --limit 10 --output jsonl
  chainstore diff ./node ./copy --table blocks.index --prefix 0x2a

Bodies of blocks in segment files are compared by their places and checksums; `checksum` prints a
digest of whole blocks.
A line begins with - (only the first store has the row), + (only the second) or ~ (changed).
Exit code 1: they differ.")]
pub(crate) struct DiffArgs {
    /// The first store: ENGINE:PATH, or the PATH of an existing one.
    #[arg(value_name = "STORE")]
    pub(crate) left: StoreUrl,

    /// The second store.
    #[arg(value_name = "OTHER")]
    pub(crate) right: StoreUrl,

    /// Only this table.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    #[command(flatten)]
    range: RangeArgs,

    /// Stop after so many differences, 1 at least.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// One difference.
#[derive(Serialize)]
struct Row {
    table: String,
    /// `left`, `right` or `changed`.
    only: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<String>,
}

impl Row {
    fn new(table: &str, difference: Difference<'_>) -> Self {
        let (only, key, left, right) = match difference {
            Difference::Left { key, value } => ("left", key, Some(value), None),
            Difference::Right { key, value } => ("right", key, None, Some(value)),
            Difference::Changed { key, left, right } => ("changed", key, Some(left), Some(right)),
        };
        Self {
            table: table.to_owned(),
            only,
            key: hex::print(key),
            left: left.map(hex::print),
            right: right.map(hex::print),
        }
    }

    fn line(&self) -> String {
        let Self {
            table, key, only, ..
        } = self;
        let value = |value: &Option<String>| value.clone().unwrap_or_default();
        match *only {
            "left" => format!("- {table} {key} {}", value(&self.left)),
            "right" => format!("+ {table} {key} {}", value(&self.right)),
            _ => format!(
                "~ {table} {key} {} {}",
                value(&self.left),
                value(&self.right)
            ),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &DiffArgs, out: &mut Output) -> Result<Exit> {
    let left = store::open_to_read(&args.left)?;
    let right = store::open_to_read(&args.right)?;
    let names = names(args, &left, &right)?;
    let (mut differences, mut is_lopsided) = (0, false);
    let mut list = out.list("")?;
    for name in &names {
        let sides = (id(&left, name), id(&right, name));
        if sides.0.is_none() != sides.1.is_none() {
            let (has, lacks) = if sides.0.is_some() {
                (&args.left, &args.right)
            } else {
                (&args.right, &args.left)
            };
            is_lopsided = true;
            say(&format!(
                "chainstore: table {name} is in {has} and not in {lacks}"
            ));
        }
        let found = compare(args, (&left, &right), (name, sides), &mut list, differences)?;
        differences += found;
        if args.limit.is_some_and(|limit| differences >= limit) {
            break;
        }
    }
    list.end()?;
    if differences > 0 {
        say(&format!(
            "chainstore: {} differences{}",
            grouped(differences),
            if args.limit == Some(differences) {
                ", and there may be more"
            } else {
                ""
            }
        ));
    }
    Ok(if differences > 0 || is_lopsided {
        Exit::Different
    } else {
        Exit::Done
    })
}

/// The names of the tables to compare, in order.
fn names(args: &DiffArgs, left: &AnyStore, right: &AnyStore) -> Result<BTreeSet<String>> {
    let all = left.catalogue().iter().chain(right.catalogue().iter());
    let all: BTreeSet<String> = all.map(|table| table.def.name().to_owned()).collect();
    match &args.table {
        None => Ok(all),
        Some(name) if all.contains(name) => Ok(BTreeSet::from([name.clone()])),
        Some(name) => Err(Stop::NotThere(format!("neither store has a table {name}")).into()),
    }
}

fn id(opened: &AnyStore, name: &str) -> Option<TableId> {
    opened.catalogue().id(name).ok()
}

/// Writes the differences of one table and counts them.
fn compare(
    args: &DiffArgs,
    (left, right): (&AnyStore, &AnyStore),
    (name, sides): (&str, (Option<TableId>, Option<TableId>)),
    list: &mut List<'_>,
    before: u64,
) -> Result<u64> {
    let (left_view, right_view) = (left.begin_read()?, right.begin_read()?);
    let mut progress = Progress::begin("diff", Unit::Things("differences"), None);
    let (mut found, mut failed) = (0, Ok(()));
    let compared = diff_rows(
        &Side {
            reader: &left_view,
            table: sides.0,
        },
        &Side {
            reader: &right_view,
            table: sides.1,
        },
        &args.range.range(),
        &mut |difference| {
            found += 1;
            progress.set(before + found, || name.to_owned());
            failed = list.row(&Row::new(name, difference), Row::line);
            let is_enough = args.limit.is_some_and(|limit| before + found >= limit);
            if failed.is_err() || is_enough {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    compared?;
    failed?;
    Ok(found)
}
