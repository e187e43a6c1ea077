//! Second stores of the same content: a backup made at once, a copy that is filled step by step.
//!
//! Invariant: until it is complete a copy says so, and no ordinary opening takes it for a store.

mod backup;
mod fill;

pub use fill::{FillPlan, Filled};
