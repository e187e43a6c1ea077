//! Second stores of the same content: a backup made at once, a copy that is filled step by step.
//!
//! Invariant: until it is complete a copy says so, and no ordinary opening takes it for a store.

mod backup;
mod fill;
mod folder;

pub use fill::{FillPlan, Filled};
pub use folder::copy_folder;
