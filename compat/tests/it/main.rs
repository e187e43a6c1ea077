//! Integration tests of the vocabularies, on every engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bitshares;
mod chainbase;
mod repchain;
mod stores;
