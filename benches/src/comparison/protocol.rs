//! What the host and a store's process say to each other: an [`Order`] as JSON on standard input,
//! an [`Outcome`] as JSON on standard output, anything else on standard error.
//!
//! Invariant: a process does one life and ends; an error is its exit code and a line on standard
//! error.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::contestant::{About, Maker};
use super::life;
use super::script::{Amounts, Script};
use super::work::{Work, Workload};

/// What a process is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The store's name.
    pub store: String,
    /// An empty directory.
    pub dir: PathBuf,
    /// The seed of the script.
    pub seed: u64,
    /// How much.
    pub amounts: Amounts,
    /// Words of the workloads.
    pub workloads: Vec<String>,
    /// Memory for caches and buffers, in bytes.
    pub memory_budget_bytes: u64,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Of what.
    pub work: Work,
    /// Seconds of one operation, bytes for a byte, or bytes.
    pub wall: f64,
    /// Processor seconds of one operation; 0 where it means nothing.
    pub cpu: f64,
}

/// What a life gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The store in words.
    pub about: About,
    /// Whether its rows outlive the process.
    pub is_persistent: bool,
    /// The figures, in the order in which they were made.
    pub samples: Vec<Sample>,
    /// Seconds of every durable block commit.
    pub durable_commit_seconds: Vec<f64>,
}

/// The main function of a store's process: reads the order, finds the store among those that this
/// program has, lives and answers.
///
/// # Errors
/// An order that is none, a store that this program does not have, and of the life.
pub fn serve(stores: &[(&str, Maker)]) -> Result<()> {
    let mut order = String::new();
    std::io::stdin()
        .read_to_string(&mut order)
        .context("reading the order")?;
    let order: Order = serde_json::from_str(&order).context("the order is not JSON of ours")?;
    let Some((_, make)) = stores.iter().find(|(name, _)| *name == order.store) else {
        let known: Vec<&str> = stores.iter().map(|(name, _)| *name).collect();
        bail!(
            "{:?} is not in this program, which has {}",
            order.store,
            known.join(", ")
        );
    };
    let workloads = order.workloads.iter().map(|word| word.parse());
    let workloads: Vec<Workload> = workloads.collect::<Result<_>>()?;
    let script = Script::new(order.seed, order.amounts);
    let outcome = life::live(
        *make,
        order.memory_budget_bytes,
        &script,
        &workloads,
        &order.dir,
    )
    .with_context(|| order.store.clone())?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &outcome).context("writing the outcome")?;
    writeln!(out).context("writing the outcome")
}
