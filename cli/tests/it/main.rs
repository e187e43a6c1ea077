//! The program as its users run it: one process a call, exit codes, standard output.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
mod chain;
mod compare;
mod demo;
mod export;
mod import;
mod metrics;
mod operate;
#[cfg(all(feature = "bench", feature = "conform"))]
mod prove;
mod read;
mod readme;
mod refuse;
mod support;
mod verify;
