//! Keeping a store in shape: `compact` and `copy`.
//!
//! Invariant: the content is the same before and after.

pub(crate) mod compact;
pub(crate) mod copy;
