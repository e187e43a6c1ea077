//! `chainstore checksum`: the digest of a store, of its tables, of a range, or of the parts of a
//! range, the same on every engine for the same rows.
//!
//! Invariants: without `--table` the last lines are what `stat --digest` prints; two stores with
//! different digests are bisected with `--split`, whose parts do not depend on the rows. Format:
//! `docs/format/content-digest.md`. Cost: one scan of what is asked for, two without `--table`.

use std::sync::Arc;

use anyhow::Result;
use chain_store::{AnyStore, RangeDigest};
use clap::Args;
use serde::Serialize;
use storage_api::{KeyRange, KvStore};

use super::RangeArgs;
use crate::args::StoreArg;
use crate::commands::stat::{self, Digests};
use crate::exit::{Exit, Stop};
use crate::hex;
use crate::output::{Column, Output, facts, grouped, table};
use crate::progress::{Progress, Unit};
use crate::store;

/// Print the digest of a store, a table or a range, to be compared with that of another store.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore checksum --store ./node
  chainstore checksum --store ./node --table blocks.index
  chainstore checksum --store ./node --table blocks.index --split
  chainstore checksum --store ./node --table blocks.index --prefix 0x2a --split --output jsonl

Two stores differ somewhere? Run the third line on both, and then the fourth with the prefix of each
part whose digest differs.")]
pub(crate) struct ChecksumArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// Only this table.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    #[command(flatten)]
    range: RangeArgs,

    /// The digests of the parts of the table or of `--prefix`: of each prefix that is one byte
    /// longer.
    #[arg(long, requires = "table", conflicts_with_all = ["start", "end"])]
    split: bool,
}

#[derive(Serialize)]
struct Checksum {
    #[serde(flatten)]
    digests: Digests,
    tables: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    table: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    rows: u64,
    digest: String,
}

/// Runs the command.
pub(crate) fn run(args: &ChecksumArgs, out: &mut Output) -> Result<Exit> {
    let opened = Arc::new(store::open_to_read(&args.store.store)?);
    match &args.table {
        None => whole(&opened, out)?,
        Some(name) if args.split => parts(args, &opened, name, out)?,
        Some(name) => {
            let part = digest(&opened, name, args.range.range())?;
            out.document(&part, |part| {
                format!("{}  {} rows", part.digest, grouped(part.rows))
            })?;
        }
    }
    Ok(Exit::Done)
}

fn digest(opened: &AnyStore, name: &str, range: KeyRange) -> Result<Part> {
    let id = opened.catalogue().id(name)?;
    let mut progress = Progress::begin("checksum", Unit::Things("rows"), None);
    let view = opened.begin_read()?;
    let digest = RangeDigest::compute(&view, id, range, &mut |rows| {
        progress.set(rows, || name.to_owned());
    })?;
    Ok(Part {
        table: name.to_owned(),
        prefix: None,
        rows: digest.rows(),
        digest: digest.to_string(),
    })
}

fn whole(opened: &Arc<AnyStore>, out: &mut Output) -> Result<()> {
    let mut names: Vec<String> = opened
        .catalogue()
        .iter()
        .map(|table| table.def.name().to_owned())
        .collect();
    names.sort();
    let tables = names
        .iter()
        .map(|name| digest(opened, name, KeyRange::all()))
        .collect::<Result<Vec<_>>>()?;
    let checksum = Checksum {
        digests: Digests::of(opened, stat::blocks_of(opened)?.as_ref())?,
        tables,
    };
    out.document(&checksum, |checksum| {
        let rows = checksum
            .tables
            .iter()
            .map(|part| vec![part.table.clone(), grouped(part.rows), part.digest.clone()]);
        let head = [
            Column::Left("table"),
            Column::Right("rows"),
            Column::Left("digest"),
        ];
        let whole = facts(checksum.digests.rows());
        format!("{}\n\n{whole}", table(&head, rows))
    })
}

fn parts(args: &ChecksumArgs, opened: &AnyStore, name: &str, out: &mut Output) -> Result<()> {
    let id = opened.catalogue().id(name)?;
    let prefix = args.range.prefix.as_ref().map_or(&[][..], |hex| &hex.0);
    let mut progress = Progress::begin("checksum", Unit::Things("rows"), None);
    let view = opened.begin_read()?;
    let parts = RangeDigest::split(&view, id, prefix, &mut |rows| {
        progress.set(rows, || name.to_owned());
    })?;
    drop(progress);
    if parts.is_empty() && !args.range.is_whole() {
        let what = format!("no key of table {name} begins with {}", hex::print(prefix));
        return Err(Stop::NotThere(what).into());
    }
    let mut list = out.list("")?;
    for (prefix, digest) in parts {
        let part = Part {
            table: name.to_owned(),
            prefix: Some(hex::print(&prefix)),
            rows: digest.rows(),
            digest: digest.to_string(),
        };
        list.row(&part, |part| {
            let prefix = part.prefix.as_deref().unwrap_or_default();
            format!("{prefix}  {}  {} rows", part.digest, grouped(part.rows))
        })?;
    }
    list.end()
}
