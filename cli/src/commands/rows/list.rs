//! `chainstore list`: the tables of a store, or the rows of one table.
//!
//! Invariant: rows are streamed; memory does not grow with the table. Cost: one scan of what is
//! listed.

use std::ops::Bound;

use anyhow::Result;
use chain_store::{AnyStore, StoreStat, TableStat};
use clap::Args;
use serde::Serialize;
use storage_api::{ChecksumSetting, Cursor, KeyLimit, KeyRange, KvStore, Reader};

use crate::args::StoreArg;
use crate::exit::Exit;
use crate::hex::{self, Hex};
use crate::output::{Column, Format, Output, counted, table};
use crate::store;

/// List the tables of a store, or the rows of one table.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore list --store ./node
  chainstore list --store ./node --table blocks.index --limit 2
  chainstore list --store ./node --table blocks.txs --prefix 0x20aa --reverse --output jsonl")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// The table whose rows are listed; without it the tables are listed.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,

    /// Only keys that begin with these bytes.
    #[arg(long, value_name = "HEX", requires = "table")]
    prefix: Option<Hex>,

    /// Only this key and those behind it.
    #[arg(long, value_name = "HEX", requires = "table")]
    start: Option<Hex>,

    /// Only keys before this one.
    #[arg(long, value_name = "HEX", requires = "table")]
    end: Option<Hex>,

    /// From the last row to the first.
    #[arg(long, requires = "table")]
    reverse: bool,

    /// At most so many rows.
    #[arg(long, value_name = "N", requires = "table")]
    limit: Option<u64>,
}

#[derive(Serialize)]
struct TableRow {
    #[serde(flatten)]
    stat: TableStat,
    checksum: &'static str,
    keys: &'static str,
}

#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
}

/// Runs the command.
pub(crate) fn run(args: &ListArgs, out: &mut Output) -> Result<Exit> {
    let opened = store::open_to_read(&args.store.store)?;
    match &args.table {
        None => tables(&opened, out)?,
        Some(name) => rows(args, &opened, name, out)?,
    }
    Ok(Exit::Done)
}

fn tables(opened: &AnyStore, out: &mut Output) -> Result<()> {
    let stat = StoreStat::gather(opened)?;
    let mut rows = Vec::with_capacity(stat.tables.len());
    for stat in stat.tables {
        let id = opened.catalogue().id(&stat.name)?;
        let Some(about) = opened.catalogue().get(id) else {
            continue;
        };
        rows.push(TableRow {
            checksum: match about.def.checksum() {
                ChecksumSetting::None => "none",
                ChecksumSetting::Envelope => "envelope",
            },
            keys: match about.def.key_limit() {
                KeyLimit::Portable => "portable",
                KeyLimit::Engine => "engine",
            },
            stat,
        });
    }
    if out.format() == Format::Table {
        let head = [
            Column::Left("table"),
            Column::Right("id"),
            Column::Right("rows"),
            Column::Right("bytes"),
            Column::Left("checksum"),
            Column::Left("keys"),
        ];
        return out.document(&(), |()| table(&head, rows.into_iter().map(cells)));
    }
    let mut list = out.list("")?;
    for row in &rows {
        list.row(row, |row| row.stat.name.clone())?;
    }
    list.end()
}

fn cells(row: TableRow) -> Vec<String> {
    vec![
        row.stat.name,
        row.stat.id.to_string(),
        counted(row.stat.rows, row.stat.rows_exact),
        counted(row.stat.bytes, row.stat.bytes_exact),
        row.checksum.to_owned(),
        row.keys.to_owned(),
    ]
}

/// The keys that the arguments ask for.
fn range(args: &ListArgs) -> KeyRange {
    let start = args
        .start
        .as_ref()
        .map_or(Bound::Unbounded, |start| Bound::Included(&start.0[..]));
    let end = args
        .end
        .as_ref()
        .map_or(Bound::Unbounded, |end| Bound::Excluded(&end.0[..]));
    let range = KeyRange::new(start, end);
    match &args.prefix {
        Some(prefix) => range.intersect(&KeyRange::prefix(&prefix.0)),
        None => range,
    }
}

fn rows(args: &ListArgs, opened: &AnyStore, name: &str, out: &mut Output) -> Result<()> {
    let id = opened.catalogue().id(name)?;
    let view = opened.begin_read()?;
    let mut cursor = view.cursor(id, range(args))?;
    let mut list = out.list("")?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut is_first = true;
    while left > 0 {
        let entry = match (args.reverse, is_first) {
            (false, _) => cursor.next()?,
            (true, true) => cursor.last()?,
            (true, false) => cursor.prev()?,
        };
        let Some(entry) = entry else { break };
        let row = Row {
            key: hex::print(entry.key),
            value: hex::print(entry.value),
        };
        list.row(&row, |row| format!("{} {}", row.key, row.value))?;
        is_first = false;
        left -= 1;
    }
    list.end()
}
