//! Integration tests of the facade: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod bulk;
mod child;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod crash;
mod damage;
mod differential;
mod digest;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod faults;
mod history;
mod import;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod limits;
mod metrics;
mod migrate;
mod reader;
mod suite;
mod url;
mod verify;
