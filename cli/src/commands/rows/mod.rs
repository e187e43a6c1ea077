//! Rows of one table, read and written: `get`, `list`, `put`, `delete`.
//!
//! Invariants: a key that is printed can be given back as an argument, and a line of `list --output
//! jsonl` as a line of `--from-jsonl`; what can be refused is refused before the store is opened to
//! write, so that nothing is touched.

pub(crate) mod delete;
pub(crate) mod get;
mod given;
pub(crate) mod list;
pub(crate) mod put;
mod write;
