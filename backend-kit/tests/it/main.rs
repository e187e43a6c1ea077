//! Tests of the kit over a small engine of their own that fails where it is told to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod engine;
mod faults;
mod places;
