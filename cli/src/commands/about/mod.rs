//! The program about itself: versions, effective configuration, shell completions, manual pages.
//!
//! Invariant: no store is looked at; completions and pages are made from the definition that reads
//! the command line, so they cannot differ from it.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod man;
pub(crate) mod version;
