//! What a store brings to be compared.
//!
//! Invariant: every call is a whole piece of work, so that calling through a trait object costs
//! nothing that shows, and each store does it in the best way that its own interface has.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::script::{Changes, Script};
use crate::workload::Key;

/// What a commit must outlive before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Power loss.
    Durable,
    /// The end of the process.
    Buffered,
}

/// A store in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Library and version.
    pub version: String,
    /// What its durable commit does; empty when it has none.
    pub durable: String,
    /// What its buffered commit does; empty when it has none.
    pub buffered: String,
    /// How it loads.
    pub load: String,
}

/// Whether a store offers a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It was done.
    Done,
    /// The store has no such thing.
    Not,
}

/// A store under comparison. Reads are asked from several threads at once.
pub trait Contestant: Sync {
    /// The store in words.
    fn about(&self) -> About;

    /// Whether its rows outlive the process; otherwise it is never reopened and never ranked.
    fn is_persistent(&self) -> bool {
        true
    }

    /// Loads all rows from [`Script::rows`], which come in random order; durable at the end.
    ///
    /// # Errors
    /// Of the store.
    fn bulk_load(&self, script: &Script) -> Result<()>;

    /// Commits the changes at once, in order.
    ///
    /// # Errors
    /// Of the store.
    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered>;

    /// Gets each key, from one view where there are views, and returns the bytes of the values
    /// found.
    ///
    /// # Errors
    /// Of the store.
    fn gets(&self, keys: &[Key]) -> Result<usize>;

    /// Reads up to `rows` rows from each start on and returns how many there were; `None` when the
    /// store has no order.
    ///
    /// # Errors
    /// Of the store.
    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>>;

    /// Reads every row in order and returns how many there are; `None` when the store has no order.
    ///
    /// # Errors
    /// Of the store.
    fn scan(&self) -> Result<Option<usize>>;

    /// Gives back what space it can.
    ///
    /// # Errors
    /// Of the store.
    fn compact(&self) -> Result<Offered>;

    /// Makes everything durable and waits for work in the background. Not timed.
    ///
    /// # Errors
    /// Of the store.
    fn settle(&self) -> Result<()>;
}

/// Opens a store in a directory that exists, making it when the directory is empty, with this much
/// memory for its caches where it can be told.
pub type Maker = fn(&Path, u64) -> Result<Box<dyn Contestant>>;
