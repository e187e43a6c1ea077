//! `chainstore diff`: what is not the same in two stores, whatever their engines.
//!
//! Invariants: both stores are opened read-only; rows are streamed in order of table name and key;
//! a difference ends with exit code 1, and so does a table that only one store has. Where a store
//! keeps bodies of blocks in segments, bodies are compared as if they were rows, and their places
//! only where that table is asked for: the same blocks lie elsewhere in every store. Cost: one scan
//! of each store, up to `--limit`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;
use chain_store::diff::{BodySide, Difference, Side, diff_bodies, diff_rows};
use chain_store::{AnyStore, Blocks, Bodies, StoreUrl};
use clap::Args;
use serde::Serialize;
use storage_api::{KvStore, TableId};

use super::RangeArgs;
use crate::commands::stat;
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

Bodies of blocks in segment files are compared as if they were rows of blocks.bodies; where they lie
is compared with --table blocks.places only.
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

/// A store that is compared.
struct Compared<'a> {
    url: &'a StoreUrl,
    store: Arc<AnyStore>,
    /// Its blocks, where bodies are compared one by one.
    blocks: Option<Blocks>,
}

impl<'a> Compared<'a> {
    fn open(url: &'a StoreUrl) -> Result<Self> {
        Ok(Self {
            url,
            store: Arc::new(store::open_to_read(url)?),
            blocks: None,
        })
    }

    fn bodies(&self) -> Result<Option<Bodies>> {
        Ok(Bodies::of(self.store.catalogue())?)
    }

    fn table(&self, name: &str) -> Option<TableId> {
        self.store.catalogue().id(name).ok()
    }

    fn has(&self, what: &What) -> bool {
        match what {
            What::Rows(name) => self.table(name).is_some(),
            What::Bodies => self.blocks.is_some(),
        }
    }
}

/// One thing to compare, in order of the name that it is shown by.
#[derive(Debug, PartialEq, Eq)]
enum What {
    Rows(String),
    Bodies,
}

impl What {
    fn name(&self) -> &str {
        match self {
            Self::Rows(name) => name,
            Self::Bodies => Bodies::Store.table(),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &DiffArgs, out: &mut Output) -> Result<Exit> {
    let mut left = Compared::open(&args.left)?;
    let mut right = Compared::open(&args.right)?;
    let all = everything(args, &left, &right)?;
    if all.contains(&What::Bodies) {
        left.blocks = stat::blocks_of(&left.store)?;
        right.blocks = stat::blocks_of(&right.store)?;
    }
    let (mut differences, mut is_lopsided) = (0, false);
    let mut list = out.list("")?;
    for what in &all {
        if left.has(what) != right.has(what) {
            let (has, lacks) = if left.has(what) {
                (&left, &right)
            } else {
                (&right, &left)
            };
            is_lopsided = true;
            let (name, has, lacks) = (what.name(), has.url, lacks.url);
            say(&format!(
                "chainstore: table {name} is in {has} and not in {lacks}"
            ));
        }
        differences += compare(args, (&left, &right), what, &mut list, differences)?;
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

/// What there is to compare, in order.
fn everything(args: &DiffArgs, left: &Compared<'_>, right: &Compared<'_>) -> Result<Vec<What>> {
    let all = [left, right].map(|side| side.store.catalogue().iter());
    let all = all.into_iter().flatten();
    let mut names: BTreeSet<String> = all.map(|table| table.def.name().to_owned()).collect();
    let (rows, places) = (Bodies::Store.table(), Bodies::Segments.table());
    let in_segments = Some(Bodies::Segments);
    let is_one_by_one = left.bodies()? == in_segments || right.bodies()? == in_segments;
    if is_one_by_one {
        names.insert(rows.to_owned());
    }
    match &args.table {
        None if is_one_by_one => {
            names.remove(places);
        }
        None => {}
        Some(name) if names.contains(name) => names = BTreeSet::from([name.clone()]),
        Some(name) => {
            return Err(Stop::NotThere(format!("neither store has a table {name}")).into());
        }
    }
    let what = |name| {
        if is_one_by_one && name == rows {
            What::Bodies
        } else {
            What::Rows(name)
        }
    };
    Ok(names.into_iter().map(what).collect())
}

/// Writes the differences of one table, or of the bodies, and counts them.
fn compare(
    args: &DiffArgs,
    (left, right): (&Compared<'_>, &Compared<'_>),
    what: &What,
    list: &mut List<'_>,
    before: u64,
) -> Result<u64> {
    let (left_view, right_view) = (left.store.begin_read()?, right.store.begin_read()?);
    let mut progress = Progress::begin("diff", Unit::Things("differences"), None);
    let (mut found, mut failed) = (0, Ok(()));
    let name = what.name();
    let range = args.range.range();
    let show = &mut |difference: Difference<'_>| {
        found += 1;
        progress.set(before + found, || name.to_owned());
        failed = list.row(&Row::new(name, difference), Row::line);
        let is_enough = args.limit.is_some_and(|limit| before + found >= limit);
        if failed.is_err() || is_enough {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    match what {
        What::Rows(name) => {
            let left = Side {
                reader: &left_view,
                table: left.table(name),
            };
            let right = Side {
                reader: &right_view,
                table: right.table(name),
            };
            diff_rows(&left, &right, &range, show)?;
        }
        What::Bodies => {
            let left = BodySide {
                reader: &left_view,
                blocks: left.blocks.as_ref(),
            };
            let right = BodySide {
                reader: &right_view,
                blocks: right.blocks.as_ref(),
            };
            diff_bodies(&left, &right, &range, show)?;
        }
    }
    failed?;
    Ok(found)
}
