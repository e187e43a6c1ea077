//! Rows at rest: what a key holds, in which order rows come, what ranges and cursors give.

pub(crate) mod crud;
pub(crate) mod cursor;
pub(crate) mod envelope;
pub(crate) mod order;
pub(crate) mod range;
pub(crate) mod read;
