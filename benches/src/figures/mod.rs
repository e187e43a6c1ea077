//! Figures: the clock that makes them, the statistics over them, and the tables they end in.
//!
//! Invariant: a figure is a cost, in seconds or in bytes per byte, and a smaller one is better;
//! rates exist in tables only.

mod clock;
mod stats;
mod table;
mod words;

pub use clock::{Lap, timed};
pub use stats::{Ranked, Summary, percentile, ratio};
pub use table::Table;
pub use words::{Unit, cost, factor, percent, time, wrap};
