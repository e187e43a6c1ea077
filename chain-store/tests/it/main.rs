//! Integration tests of the facade: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod bulk;
mod child;
mod digest;
mod harm;
mod import;
mod meaning;
mod metrics;
#[cfg(any(feature = "redb", feature = "lmdb", feature = "rocks"))]
mod migrate;
mod reader;
mod suite;
mod url;
mod verify;
