//! What the demonstration prints at its end.
//!
//! Invariant: every number was measured or read from the store in this run.

use std::time::Duration;

use chain_store::{EngineName, StoreStat};
use serde::Serialize;

use super::node::{ReadBack, Reads};
use crate::commands::stat;
use crate::output::{Column, facts, grouped, table};

/// The whole report.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) engine: &'static str,
    pub(super) seed: u64,
    pub(super) accounts: u32,
    pub(super) money: u64,
    pub(super) import: Import,
    pub(super) restart: Restart,
    pub(super) reads: Vec<Rate>,
    pub(super) seconds: f64,
    pub(super) stat: StoreStat,
    pub(super) content_digest: String,
}

/// How the chain was stored.
#[derive(Serialize)]
pub(super) struct Import {
    pub(super) blocks: u64,
    pub(super) transactions: u64,
    pub(super) body_bytes: u64,
    pub(super) seconds: f64,
    pub(super) blocks_per_second: f64,
    pub(super) transactions_per_second: f64,
    pub(super) commit_median_ms: f64,
    pub(super) commit_p99_ms: f64,
}

/// How the store came back in the middle.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(super) enum Restart {
    /// It was dropped, opened again, and held every commit.
    Done { blocks: u64, seconds: f64 },
    /// There was nothing to restart.
    Skipped { reason: &'static str },
}

/// How fast one kind of read was.
#[derive(Serialize)]
pub(super) struct Rate {
    by: &'static str,
    count: u64,
    per_second: f64,
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

impl Import {
    /// Sums the times of all commits up.
    pub(super) fn of((transactions, body_bytes): (u64, u64), mut commits: Vec<Duration>) -> Self {
        commits.sort_unstable();
        let took: Duration = commits.iter().sum();
        let at = |percent: usize| {
            let place = commits.len().saturating_sub(1) * percent / 100;
            commits
                .get(place)
                .map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        let blocks = commits.len() as u64;
        Self {
            blocks,
            transactions,
            body_bytes,
            seconds: took.as_secs_f64(),
            blocks_per_second: per_second(blocks, took),
            transactions_per_second: per_second(transactions, took),
            commit_median_ms: at(50),
            commit_p99_ms: at(99),
        }
    }
}

/// The rates of all kinds of reads.
pub(super) fn rates(reads: &ReadBack) -> Vec<Rate> {
    let rate = |by, reads: Reads| Rate {
        by,
        count: reads.count,
        per_second: per_second(reads.count, reads.took),
    };
    vec![
        rate("height", reads.by_height),
        rate("hash", reads.by_hash),
        rate("transaction", reads.by_transaction),
    ]
}

/// A rate, whole.
fn whole(rate: f64) -> String {
    format!("{}/s", grouped(rate as u64))
}

/// The report as tables to read.
pub(super) fn to_table(report: &Report) -> String {
    let import = &report.import;
    let restart = match &report.restart {
        Restart::Done { blocks, seconds } => format!(
            "after {} blocks, all there, opened in {:.1} ms",
            grouped(*blocks),
            seconds * 1e3
        ),
        Restart::Skipped { reason } => format!("SKIPPED: {reason}"),
    };
    let stat = &report.stat;
    let about = facts([
        ("engine", report.engine.to_owned()),
        ("seed", report.seed.to_string()),
        ("tip", stat.blocks.tip_hash.clone().unwrap_or_default()),
        ("restart", restart),
        (
            "money",
            format!(
                "{} in {} accounts, as at the start",
                grouped(report.money),
                grouped(report.accounts.into())
            ),
        ),
        ("bodies", format!("{} bytes", grouped(import.body_bytes))),
        ("disk", disk(stat, report.engine)),
        ("content digest", report.content_digest.clone()),
        ("took", format!("{:.1} s in all", report.seconds)),
    ]);
    let head = [
        Column::Left("work"),
        Column::Right("count"),
        Column::Right("rate"),
    ];
    let mut rows = vec![
        vec![
            stored_how(report.engine).to_owned(),
            grouped(import.blocks),
            whole(import.blocks_per_second),
        ],
        vec![
            "transactions stored".to_owned(),
            grouped(import.transactions),
            whole(import.transactions_per_second),
        ],
    ];
    rows.extend(report.reads.iter().map(|rate| {
        let what = format!("read back by {} and compared", rate.by);
        vec![what, grouped(rate.count), whole(rate.per_second)]
    }));
    let commits = format!(
        "a commit took {:.2} ms in the median, {:.2} ms at the 99th percentile",
        import.commit_median_ms, import.commit_p99_ms
    );
    let tables = stat::tables(stat);
    format!("{tables}\n\n{}\n{commits}\n\n{about}", table(&head, rows))
}

/// What storing a block meant on this engine.
fn stored_how(engine: &str) -> &'static str {
    if engine == EngineName::Mem.as_str() {
        "blocks stored, one commit each; memory keeps nothing"
    } else {
        "blocks stored, one durable commit each"
    }
}

fn disk(stat: &StoreStat, engine: &str) -> String {
    if engine == EngineName::Mem.as_str() {
        return "none, all in memory".to_owned();
    }
    let per_block = stat.disk_bytes / stat.blocks.count.max(1);
    format!(
        "{} bytes, {} a block",
        grouped(stat.disk_bytes),
        grouped(per_block)
    )
}
