//! `chainstore stat`: what a store holds.
//!
//! Invariant: without `--digest` no table is scanned. The JSON's fields are promised: `engine`,
//! `format`, `blocks`, `tables`, `bitcoin` after a Bitcoin import, `content_digest` and
//! `blocks_digest` with `--digest`. With `--metrics` standard output is Prometheus text and nothing
//! else.

use std::sync::Arc;

use anyhow::Result;
use chain_store::{AnyStore, Blocks, BlocksDigest, Bodies, ContentDigest, StoreStat, StoreUrl};
use clap::Args;
use serde::Serialize;
use storage_api::KvStore;

use crate::args::StoreArg;
use crate::exit::Exit;
use crate::metrics;
use crate::output::{Column, Output, counted, facts, grouped, table};
use crate::progress::{Progress, Unit};
use crate::store;

/// Print what a store holds: blocks, tables, sizes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore stat --store ./node
  chainstore stat --store ./node --digest --output json
  chainstore stat --store ./node --metrics")]
pub(crate) struct StatArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// Also compute the digest of all content, which is the same on every engine; reads everything.
    #[arg(long)]
    digest: bool,

    /// Print the metrics of this process instead, in the text format of Prometheus: what the store
    /// is now, and what this command did to find out. A running node's own numbers are in the node.
    #[arg(long, conflicts_with = "output")]
    metrics: bool,
}

/// What is printed of a store.
#[derive(Serialize)]
pub(crate) struct Stat {
    store: String,
    format: u32,
    #[serde(flatten)]
    stat: StoreStat,
    #[serde(flatten)]
    digests: Option<Digests>,
}

/// The digest of everything stored. Cost: one scan.
pub(crate) fn digest(opened: &AnyStore) -> Result<String> {
    let mut progress = Progress::begin("digest", Unit::Things("rows"), None);
    let view = opened.begin_read()?;
    let digest = ContentDigest::compute(&view, opened.catalogue(), &mut |rows| {
        progress.set(rows, String::new);
    })?;
    Ok(digest.to_string())
}

/// What everything that is stored comes to.
#[derive(Serialize)]
pub(crate) struct Digests {
    content_digest: String,
    /// Of all blocks, bodies included, wherever they are; absent without a table of bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_digest: Option<String>,
}

impl Digests {
    /// Computes both. Cost: one scan, and a read of every block.
    pub(crate) fn of(opened: &AnyStore, blocks: Option<&Blocks>) -> Result<Self> {
        Ok(Self {
            content_digest: digest(opened)?,
            blocks_digest: blocks
                .map(|blocks| blocks_digest(opened, blocks))
                .transpose()?,
        })
    }

    /// As rows of facts.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("content digest", self.content_digest.clone())];
        rows.extend(self.blocks_digest.clone().map(|it| ("blocks digest", it)));
        rows
    }
}

fn blocks_digest(opened: &AnyStore, blocks: &Blocks) -> Result<String> {
    let mut progress = Progress::begin("blocks", Unit::Things("blocks"), None);
    let view = opened.begin_read()?;
    let digest = BlocksDigest::compute(blocks, &view, &mut |count| {
        progress.set(count, String::new);
    })?;
    Ok(digest.to_string())
}

/// The blocks of a store, if it has a table of bodies.
pub(crate) fn blocks_of(opened: &Arc<AnyStore>) -> Result<Option<Blocks>> {
    Ok(match Bodies::of(opened.catalogue())? {
        Some(_) => Some(Blocks::open(opened)?),
        None => None,
    })
}

impl Stat {
    /// Gathers the numbers of an open store beside its digests.
    pub(crate) fn gather(
        url: &StoreUrl,
        opened: &AnyStore,
        digests: Option<Digests>,
    ) -> Result<Self> {
        Ok(Self {
            store: url.to_string(),
            format: store::format(url, opened)?,
            stat: StoreStat::gather(opened)?,
            digests,
        })
    }

    /// The numbers as tables to read.
    pub(crate) fn to_table(&self) -> String {
        let stat = &self.stat;
        let mut rows = vec![
            ("store", self.store.clone()),
            ("engine", format!("{}, format {}", stat.engine, self.format)),
            ("disk", format!("{} bytes", grouped(stat.disk_bytes))),
        ];
        if let Some(free) = stat.free_bytes {
            rows.push(("reusable", format!("{} bytes", grouped(free))));
        }
        rows.push(("commits", grouped(stat.commit_seq)));
        let blocks = &stat.blocks;
        if let (Some(first), Some(tip), Some(hash)) =
            (blocks.first_height, blocks.tip_height, &blocks.tip_hash)
        {
            rows.push((
                "blocks",
                format!("{}, heights {first} to {tip}", grouped(blocks.count)),
            ));
            rows.push(("tip", hash.clone()));
            rows.push(("transactions", grouped(blocks.transactions)));
            let place = match blocks.bodies {
                Some("segments") => " in segments",
                _ => "",
            };
            rows.push((
                "bodies",
                format!("{} bytes{place}", grouped(blocks.body_bytes)),
            ));
        }
        if let Some(bitcoin) = &stat.bitcoin {
            let network = bitcoin.network.as_deref().unwrap_or("unknown");
            let part = if bitcoin.partial {
                ", from mid-chain"
            } else {
                ""
            };
            rows.push(("bitcoin", format!("{network}{part}")));
            rows.push(("unspent outputs", grouped(bitcoin.unspent_outputs)));
            rows.push(("unspent satoshi", grouped(bitcoin.unspent_satoshi)));
            rows.push(("unknown spends", grouped(bitcoin.unknown_spends)));
        }
        rows.extend(self.digests.iter().flat_map(Digests::rows));
        format!("{}\n\n{}", facts(rows), tables(stat))
    }
}

/// The tables of a store as a table to read; estimates are marked.
pub(crate) fn tables(stat: &StoreStat) -> String {
    let head = [
        Column::Left("table"),
        Column::Right("rows"),
        Column::Right("bytes"),
    ];
    let rows = stat.tables.iter().map(|row| {
        vec![
            row.name.clone(),
            counted(row.rows, row.rows_exact),
            counted(row.bytes, row.bytes_exact),
        ]
    });
    table(&head, rows)
}

/// Runs the command.
pub(crate) fn run(args: &StatArgs, out: &mut Output) -> Result<Exit> {
    let url = &args.store.store;
    // A store is counted only if the recorder was there before it was opened.
    let recorder = args.metrics.then(metrics::recorder).transpose()?;
    let opened = Arc::new(store::open_to_read(url)?);
    let _watching = metrics::watch(&url.to_string(), &opened);
    let digests = if args.digest {
        Some(Digests::of(&opened, blocks_of(&opened)?.as_ref())?)
    } else {
        None
    };
    let stat = Stat::gather(url, &opened, digests)?;
    if let Some(recorder) = recorder {
        out.raw(metrics::text(recorder).as_bytes())?;
        return Ok(Exit::Done);
    }
    out.document(&stat, Stat::to_table)?;
    Ok(Exit::Done)
}
