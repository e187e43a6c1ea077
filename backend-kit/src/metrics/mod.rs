//! What a store counts and times, through the `metrics` facade. Page: `docs/metrics.md`.
//!
//! Invariants: the library installs no recorder, starts no server and no thread; handles are
//! fetched once, when a store opens, so a recorder has to be installed before, and without one
//! every handle does nothing; nothing on a read path is shared between views: a view counts in
//! plain cells of its own and adds them to the counters once, when it drops. Only begins, commits,
//! syncs and long work read the clock, and scans once every 1,024 rows. Cost: one addition in
//! memory for a get, a seek or a row; `docs/metrics.md` has the measured figures.

mod catalog;
mod meter;
mod publish;
mod tally;

#[cfg(test)]
mod tests;

pub use catalog::{ALL, Kind, Metric, READ_SECONDS, describe};
pub use publish::publish;

pub(crate) use meter::{CommitOf, Lane, Meter, Work, failures};
pub(crate) use tally::{Lent, SCAN_STRIDE_ROWS, TableTally, Tally};
