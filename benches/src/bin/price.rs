//! The counting program: `price ENGINE small|full DIR` does every case of an engine, each form
//! once, and prints its allocations; under callgrind the instructions come from the files that it
//! writes. See [`benches::price::count`].
//!
//! Invariant: the allocator only counts and passes on, so the forms allocate where they always do.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::io::stdout;
use std::path::Path;

use anyhow::{Result, bail};
use benches::price::count;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [engine, extent, dir] = words.as_slice() else {
        bail!("usage: price ENGINE small|full DIR");
    };
    let extent = count::extent_of(extent)?;
    count::serve(
        engine.parse()?,
        extent,
        Path::new(dir),
        allocations,
        &mut stdout(),
    )
}
