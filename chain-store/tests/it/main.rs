//! Integration tests of the facade: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
mod child;
mod digest;
mod import;
mod suite;
mod url;
mod verify;
