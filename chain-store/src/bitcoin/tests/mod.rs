//! Tests of the Bitcoin decoder: real blocks, built blocks, hostile bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod builder;
mod formats;
mod hostile;
mod real;
mod rules;
