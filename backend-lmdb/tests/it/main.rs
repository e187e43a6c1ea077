//! The LMDB engine at the raw level: what the shared suite cannot see, the map, the file, the
//! reader slots, the errors.
//!
//! Everything that every engine promises is checked by the conformance suite on top. Randomised
//! tests use fixed seeds and print them. Roles that run in a child process are ignored tests,
//! started by name.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and the place of the panic is the report"
)]

mod child;
mod damage;
mod growth;
mod limits;
mod model;
mod open;
mod setup;
mod txn;

conformance::suite!(lmdb, conformance::TempHarness<backend_lmdb::LmdbStore>);
