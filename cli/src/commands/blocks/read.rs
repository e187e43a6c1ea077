//! `chainstore blocks get` and `blocks list`: blocks by height, hash and transaction.
//!
//! Invariants: hashes are read and printed as the chain's own tools print them; `--raw` writes
//! exactly the stored body and nothing else; a list is streamed and reads no bodies.

use std::sync::Arc;

use anyhow::Result;
use chain_store::{AnyReadTxn, Blocks, HashOrder};
use clap::Args;
use serde::Serialize;
use storage_api::KvStore;
use storage_api::blocks::{BlockHash, BlockInfo, BlockStore, Height, TxId};

use crate::args::StoreArg;
use crate::exit::Stop;
use crate::hex;
use crate::output::{Output, facts, grouped};
use crate::store;

/// Print one block.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks get --store ./node --height 170 --output json
  chainstore blocks get --store ./node --tx \\
    f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16
  chainstore blocks get --store ./node --height 170 --raw > block-170.bin")]
pub(crate) struct BlocksGetArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    #[command(flatten)]
    which: Which,

    /// Write the body's bytes as they are, and nothing else.
    #[arg(long, conflicts_with = "output")]
    raw: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The block at this height.
    #[arg(long)]
    height: Option<u64>,

    /// The block of this hash.
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,

    /// The newest block that carries this transaction, and its position there.
    #[arg(long, value_name = "HEX")]
    tx: Option<String>,
}

/// List blocks, without their bodies.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore blocks list --store ./node --limit 10
  chainstore blocks list --store ./node --reverse --limit 10
  chainstore blocks list --store ./node --start 100000 --output jsonl")]
pub(crate) struct BlocksListArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,

    #[command(flatten)]
    from: From,

    /// Downwards, from the tip where nothing else is said.
    #[arg(long, conflicts_with = "tx")]
    reverse: bool,

    /// At most so many blocks.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct From {
    /// From this height on.
    #[arg(long, visible_alias = "height", value_name = "HEIGHT")]
    start: Option<u64>,

    /// From the block of this hash on.
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,

    /// Every block that carries this transaction, the newest first.
    #[arg(long, value_name = "HEX")]
    tx: Option<String>,
}

#[derive(Serialize)]
struct Row {
    height: u64,
    hash: String,
    parent: String,
    transactions: u32,
    body_bytes: u64,
    /// Place of the transaction that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    row: Row,
    tx_ids: Vec<String>,
    body: String,
}

/// Where blocks are read: one view of them.
struct Source {
    blocks: Blocks,
    view: AnyReadTxn,
    order: HashOrder,
}

impl Source {
    fn open(arg: &StoreArg) -> Result<Self> {
        let opened = Arc::new(store::open_to_read(&arg.store)?);
        Ok(Self {
            blocks: store::blocks(&opened)?,
            view: opened.begin_read()?,
            order: HashOrder::of(&*opened)?,
        })
    }

    /// The bytes of a hash or id as the chain's tools print it.
    fn parse(&self, text: &str) -> Result<Vec<u8>> {
        Ok(self.order.parse(hex::strip(text))?)
    }

    fn height_of(&self, hash: &str) -> Result<Height> {
        let found = self
            .blocks
            .height_of(&self.view, &BlockHash::new(&self.parse(hash)?)?)?;
        found.ok_or_else(|| Stop::NotThere(format!("no block of hash {hash}")).into())
    }

    fn info(&self, height: Height) -> Result<BlockInfo> {
        if let Some(info) = self.blocks.info(&self.view, height)? {
            return Ok(info);
        }
        let between = match (self.blocks.tail(&self.view)?, self.blocks.tip(&self.view)?) {
            (Some(tail), Some(tip)) => {
                format!("blocks {} to {} are stored", tail.height, tip.height)
            }
            _ => "no block is stored".to_owned(),
        };
        Err(Stop::NotThere(format!("no block at height {height}: {between}")).into())
    }

    fn row(&self, info: &BlockInfo, position: Option<u32>) -> Row {
        Row {
            height: info.height.get(),
            hash: self.order.print(info.hash.as_bytes()),
            parent: self.order.print(info.parent.as_bytes()),
            transactions: info.tx_count,
            body_bytes: info.body_bytes,
            position,
        }
    }
}

/// Prints one block.
pub(super) fn get(args: &BlocksGetArgs, out: &mut Output) -> Result<()> {
    let source = Source::open(&args.store)?;
    let (height, position) = match (&args.which.height, &args.which.hash, &args.which.tx) {
        (Some(height), _, _) => (Height::new(*height), None),
        (_, Some(hash), _) => (source.height_of(hash)?, None),
        (_, _, Some(tx)) => {
            let id = TxId::new(&source.parse(tx)?)?;
            let place = source.blocks.tx_place(&source.view, &id)?;
            let place = place.ok_or_else(|| Stop::NotThere(format!("no transaction {tx}")))?;
            (place.height, Some(place.position))
        }
        (None, None, None) => {
            return Err(Stop::Usage("say --height, --hash or --tx".to_owned()).into());
        }
    };
    let info = source.info(height)?;
    let body = source.blocks.body(&source.view, height)?.ok_or_else(|| {
        let what = format!("height {height} is in the index and has no body");
        storage_api::Error::corruption("blocks", what)
    })?;
    if args.raw {
        return out.raw(&body);
    }
    let tx_ids = source.blocks.tx_ids(&source.view, height)?;
    let whole = Whole {
        row: source.row(&info, position),
        tx_ids: tx_ids
            .iter()
            .map(|id| source.order.print(id.as_bytes()))
            .collect(),
        body: hex::print(&body),
    };
    out.document(&whole, to_table)
}

fn to_table(block: &Whole) -> String {
    let row = &block.row;
    let mut rows = vec![
        ("height", row.height.to_string()),
        ("hash", row.hash.clone()),
        ("parent", row.parent.clone()),
        ("transactions", grouped(row.transactions.into())),
        ("body bytes", grouped(row.body_bytes)),
    ];
    if let Some(position) = row.position {
        rows.push(("position", position.to_string()));
    }
    format!("{}\n\n{}", facts(rows), block.body)
}

const HEAD: &str = "    height      txs        bytes  hash";
const HEAD_OF_PLACES: &str = "    height      txs        bytes  position  hash";

fn to_line(row: &Row) -> String {
    let position = row
        .position
        .map_or_else(String::new, |position| format!("  {position:>8}"));
    format!(
        "{:>10} {:>8} {:>12}{position}  {}",
        row.height, row.transactions, row.body_bytes, row.hash
    )
}

/// Lists blocks.
pub(super) fn list(args: &BlocksListArgs, out: &mut Output) -> Result<()> {
    let source = Source::open(&args.store)?;
    let limit = args.limit.unwrap_or(u64::MAX);
    if let Some(tx) = &args.from.tx {
        let places = source
            .blocks
            .tx_places(&source.view, &TxId::new(&source.parse(tx)?)?)?;
        let mut list = out.list(HEAD_OF_PLACES)?;
        for (place, _) in places.into_iter().zip(0..limit) {
            let info = source.info(place.height)?;
            list.row(&source.row(&info, Some(place.position)), to_line)?;
        }
        return list.end();
    }
    let ends = (
        source.blocks.tail(&source.view)?,
        source.blocks.tip(&source.view)?,
    );
    let asked = match &args.from.hash {
        Some(hash) => Some(source.height_of(hash)?),
        None => args.from.start.map(Height::new),
    };
    // What is refused is refused before a list is begun, which would be half a document.
    let mut list = out.list(HEAD)?;
    let (Some(tail), Some(tip)) = ends else {
        return list.end();
    };
    let mut next = if args.reverse {
        Some(asked.unwrap_or(tip.height).min(tip.height))
    } else {
        Some(asked.unwrap_or(tail.height).max(tail.height))
    };
    for _ in 0..limit {
        let Some(height) = next.filter(|next| (tail.height..=tip.height).contains(next)) else {
            break;
        };
        list.row(&source.row(&source.info(height)?, None), to_line)?;
        next = if args.reverse {
            height.prev()
        } else {
            height.get().checked_add(1).map(Height::new)
        };
    }
    list.end()
}
