//! Blocks with their bodies in segment files and their index in the caller's transaction.
//!
//! [`SegmentBlocks`] is a [`BlockStore`](storage_api::blocks::BlockStore) over any store: `stage`
//! appends the body to a segmented log, `append` makes the log durable and puts the rows, the
//! caller's commit is the only commit point, and `finish` cuts files after it.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the row that says where a body is, and what lies behind a body in the log |
//! | `store` | staging, appending, reading, cutting |
//! | `open` | opening: what is beyond the commit point goes, what is short of it is told |
//! | `check` | comparing index and segments; making the index again from the segments |
//! | `range` | blocks in a row: lent, iterated over, read ahead by threads |
//! | `pack` | packing sealed segments |
//! | `follow` | a chain whose log is the truth and whose index follows it |
//! | `tools` | opening and making the index again where log and index disagree or are damaged |
//! | `error` | what an error of the log is to a block store |
//!
//! Invariants: the log may run ahead of the index and never behind it; a body is durable before its
//! row is committed; no body is given whose checksum was not compared; nothing below the commit
//! point is cut but by a committed truncation or pruning. Format: `docs/format/segment-blocks.md`.

#![forbid(unsafe_code)]

mod check;
mod error;
mod follow;
mod layout;
mod open;
mod pack;
mod range;
mod store;
#[cfg(test)]
mod tests;
mod tools;

pub use check::{Checked, Rebuilt};
pub use error::of_log;
pub use follow::{
    Compared, Followed, IndexCheck, LogBlock, LogBlocks, LogBlocksOptions, RecordPlace, WalkBack,
};
pub use open::{Opened, SegmentOptions};
pub use pack::PackReport;
pub use range::{Block, BlockIter, ReadAhead};
pub use store::{Cleanup, SegmentBlockStore, SegmentBlocks, Staged};
pub use tools::{BodyState, Placed};
