//! `chainstore demo`: the product in one run. A made-up chain is stored block by block, the store
//! is restarted in the middle, everything is read back three ways and compared, and the numbers
//! are printed.
//!
//! Invariants: everything happens in a temporary directory that is gone afterwards; what differs
//! from what was stored is exit code 1; what this engine cannot show is said to be skipped.

mod chain;
mod node;
mod report;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chain_store::{EngineName, StoreStat, StoreUrl};
use clap::Args;
use storage_api::KvStore;
use storage_api::blocks::{BlockRef, BlockTotals};

use self::chain::{ACCOUNTS, Block, Chain, FIRST_BALANCE, Seed, TransfersPerBlock};
use self::node::Node;
use self::report::{Import, Report, Restart};
use crate::commands::stat;
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::output::{Output, grouped};
use crate::progress::{Progress, Unit, say};

/// Show everything once: make a chain, store it, restart, read it back, print what is there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore demo
  chainstore demo --engine lmdb --blocks 5000")]
pub(crate) struct DemoArgs {
    /// The engine: redb, lmdb, rocks or mem; the default is the first of these in this build.
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineName>,

    /// How many blocks.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    blocks: u64,

    /// How many transfers every block carries.
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100_000))]
    transfers: u32,

    /// Where the random numbers of the chain begin.
    #[arg(long, value_name = "N", default_value_t = 2_009)]
    seed: u64,
}

impl DemoArgs {
    fn engine(&self) -> Result<EngineName> {
        let preferred = [EngineName::Redb, EngineName::Lmdb, EngineName::Rocks];
        let engine = self.engine.unwrap_or_else(|| {
            let mut compiled = preferred.into_iter().filter(|engine| engine.is_compiled());
            compiled.next().unwrap_or(EngineName::Mem)
        });
        if engine.is_compiled() {
            Ok(engine)
        } else {
            Err(engine.not_compiled().into())
        }
    }

    fn chain(&self) -> Chain {
        Chain::new(Seed(self.seed), TransfersPerBlock(self.transfers))
    }
}

/// What was stored so far.
#[derive(Debug, Default)]
struct Stored {
    totals: BlockTotals,
    tip: Option<BlockRef>,
    commits: Vec<Duration>,
}

impl Stored {
    fn add(&mut self, block: &Block, took: Duration) {
        self.totals.blocks += 1;
        self.totals.transactions += block.tx_ids.len() as u64;
        self.totals.body_bytes += block.body.len() as u64;
        self.tip = Some(BlockRef {
            height: block.height,
            hash: block.hash,
        });
        self.commits.push(took);
    }
}

/// Runs the command.
pub(crate) fn run(args: &DemoArgs, out: &mut Output) -> Result<Exit> {
    let begun = Instant::now();
    let engine = args.engine()?;
    // From here on an interrupt waits until the temporary directory can be removed.
    let _writing = interrupt::finish_commits();
    let place = tempfile::Builder::new()
        .prefix("chainstore-demo-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, place.path().join("store")),
    };
    say(&format!(
        "demo: {} blocks of {} transfers between {} accounts, seed {}, in {url}",
        grouped(args.blocks),
        args.transfers,
        grouped(ACCOUNTS.into()),
        args.seed
    ));
    let mut node = Node::open(&url)?;
    let mut chain = args.chain();
    let mut stored = Stored::default();
    let half = args.blocks / 2;
    store_blocks(args, &node, &mut chain, half, &mut stored)?;
    let restart = restart(&mut node, &url, &stored)?;
    store_blocks(args, &node, &mut chain, args.blocks, &mut stored)?;
    check(&node, &stored)?;

    let reads = read_back(args, &node)?;
    say("demo: every block and transaction was found again, three ways");
    let totals = stored.totals;
    let report = Report {
        engine: engine.as_str(),
        seed: args.seed,
        accounts: ACCOUNTS,
        money: FIRST_BALANCE * u64::from(ACCOUNTS),
        import: Import::of((totals.transactions, totals.body_bytes), stored.commits),
        restart,
        reads: report::rates(&reads),
        content_digest: stat::digest(node.store())?,
        stat: StoreStat::gather(node.store())?,
        seconds: begun.elapsed().as_secs_f64(),
    };
    drop(node);
    out.document(&report, report::to_table)?;
    place
        .close()
        .context("the temporary directory cannot be removed")?;
    Ok(Exit::Done)
}

/// Stores blocks until so many are stored.
fn store_blocks(
    args: &DemoArgs,
    node: &Node,
    chain: &mut Chain,
    until: u64,
    stored: &mut Stored,
) -> Result<()> {
    let mut progress = Progress::begin("store", Unit::Things("blocks"), Some(args.blocks))
        .after(stored.totals.blocks);
    while stored.totals.blocks < until {
        let block = chain.next_block()?;
        let begun = Instant::now();
        node.put_block(&block)?;
        stored.add(&block, begun.elapsed());
        progress.set(stored.totals.blocks, || {
            format!("{} transactions", grouped(stored.totals.transactions))
        });
        if interrupt::asked() {
            return Err(interrupted());
        }
    }
    Ok(())
}

fn interrupted() -> anyhow::Error {
    Stop::Interrupted("interrupted; the temporary store is removed".to_owned()).into()
}

/// Drops the store in the middle, opens it again and checks that everything is there.
fn restart(node: &mut Node, url: &StoreUrl, stored: &Stored) -> Result<Restart> {
    let skipped = |reason| {
        say(&format!("demo: SKIPPED the restart: {reason}"));
        Ok(Restart::Skipped { reason })
    };
    if stored.tip.is_none() {
        return skipped("one block has no middle");
    }
    if !node.store().capabilities().persistent {
        return skipped("a store in memory forgets everything when it restarts");
    }
    // An empty store in memory takes its place, so that every handle is gone before it is opened.
    drop(std::mem::replace(node, Node::open(&StoreUrl::Memory)?));
    let begun = Instant::now();
    *node = Node::open(url)?;
    let seconds = begun.elapsed().as_secs_f64();
    check(node, stored)?;
    let blocks = stored.totals.blocks;
    say(&format!(
        "demo: restarted after {} blocks; the tip, the totals and all money are there",
        grouped(blocks)
    ));
    Ok(Restart::Done { blocks, seconds })
}

fn check(node: &Node, stored: &Stored) -> Result<()> {
    match stored.tip {
        Some(tip) => node.check(tip, stored.totals),
        None => Ok(()),
    }
}

fn read_back(args: &DemoArgs, node: &Node) -> Result<node::ReadBack> {
    let mut progress = Progress::begin("read", Unit::Things("blocks"), Some(args.blocks));
    node.read_back(args.chain(), args.blocks, &mut |done| {
        progress.set(done, String::new);
        if interrupt::asked() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}
