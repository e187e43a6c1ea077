//! Integration tests of the facade: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod blocks;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod bulk;
mod child;
mod digest;
mod export;
mod harm;
mod import;
mod meaning;
mod metrics;
#[cfg(any(feature = "redb", feature = "lmdb", feature = "rocks"))]
mod migrate;
mod place;
mod reader;
mod regtest;
mod suite;
mod url;
mod verify;

/// Counts for the tests that bound memory; it passes everything on.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
