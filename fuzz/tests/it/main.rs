//! The corpus replays through every target, and so do changes of it; seeds are how it began.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changes;
mod corpus;
mod seeds;

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuzz::Target;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// Counts what a target allocates; it passes everything on.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Every test here is alone, because the counts are those of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a target on one input and bounds what it allocates in all; says what is wrong.
fn run(target: &Target, name: &str, bytes: &[u8]) -> Result<(), String> {
    let region = Region::new(ALLOCATOR);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let spent = region.change();
    let spent = (spent.bytes_allocated as i64 + spent.bytes_reallocated as i64).max(0) as u64;
    let limit = target.allocated_bytes_max + 64 * bytes.len() as u64;
    let what = match outcome {
        Err(_) => "panics".to_owned(),
        Ok(()) if spent > limit => format!("allocates {spent} bytes, {limit} at most,"),
        Ok(()) => return Ok(()),
    };
    let target = target.name;
    let path = std::env::temp_dir().join(format!("finding-{target}"));
    std::fs::write(&path, bytes).unwrap();
    let path = path.display();
    Err(format!(
        "{target} {what} on {name}; fuzz/corpus/{target} wants a file like {path}"
    ))
}

/// Fails if anything was found.
fn done(findings: &[String]) {
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
