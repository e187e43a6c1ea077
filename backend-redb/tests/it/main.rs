//! Integration tests of the redb engine: the raw level, file handling, faults and power cuts. What
//! every engine promises alike is tested by the conformance suite.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cursor;
mod damage;
mod faults;
mod held;
mod history;
mod image;
mod open;
mod power_cut;
mod read;
mod support;
mod write;

// Every engine passes the same cases; they are listed in the conformance crate.
conformance::suite!(redb, conformance::TempHarness<backend_redb::RedbStore>);
conformance::suite!(redb_in_memory, crate::support::MemoryHarness);
