//! The vocabularies of earlier chain databases, one module each, over this project's crates.
//!
//! | module | whose words |
//! |---|---|
//! | `repchain` | RepChain's block chapter |
//! | `chainbase` | EOS chainbase: `blocks.log` and reversible blocks |
//! | `bitshares` | BitShares' block database |
//!
//! Invariants: a module here translates names and limits and keeps no rule of its own about
//! storage; what it stores goes through a block store or a log of this project, so it survives what
//! these survive; it names no engine.

#![forbid(unsafe_code)]

pub mod bitshares;
pub mod chainbase;
#[cfg(test)]
mod fixtures;
pub mod repchain;
