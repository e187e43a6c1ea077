//! The integration tests: real chain files, hostile ones, and files written by hand.
//!
//! Real files are found through `CHAINSTORE_REALDATA`, by default `../shared/realdata` beside the
//! workspace; a test that needs an absent one says so on standard error and passes.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod bombs;
mod common;
mod damage;
mod faults;
mod random;
mod real;

/// Counts for the tests that bound memory; it passes everything on.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
