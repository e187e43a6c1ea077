//! Integration tests of the facade: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
mod child;
mod damage;
#[cfg(unix)]
mod crash;
mod digest;
#[cfg(unix)]
mod faults;
mod import;
#[cfg(unix)]
mod limits;
mod metrics;
mod reader;
mod suite;
mod url;
mod verify;
