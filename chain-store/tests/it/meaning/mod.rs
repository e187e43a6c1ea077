//! That every engine means the same: one stream of operations on all of them, and histories of
//! threads on each.

mod differential;
mod history;
