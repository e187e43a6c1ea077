//! Tests of the engine: the shared suite, and what is RocksDB's own.
//!
//! Randomised tests have fixed seeds, which a failure names.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says where"
)]

mod damage;
mod model;
mod open;
mod support;
mod upkeep;
mod write;

conformance::suite!(rocks, conformance::TempHarness<backend_rocks::RocksStore>);
