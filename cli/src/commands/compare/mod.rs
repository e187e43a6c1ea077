//! Two stores held against each other: checksums that can be compared, differences row by row, and
//! the move to another engine, which ends with both.
//!
//! Invariant: what is compared is what the application wrote; engines, envelopes and table numbers
//! take no part.

pub(crate) mod checksum;
pub(crate) mod diff;
pub(crate) mod migrate;

use std::ops::Bound;

use clap::Args;
use storage_api::KeyRange;

use crate::hex::Hex;

/// Which keys of a table.
#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// Only keys that begin with these bytes.
    #[arg(long, value_name = "HEX", requires = "table")]
    prefix: Option<Hex>,

    /// Only this key and those behind it.
    #[arg(long, value_name = "HEX", requires = "table")]
    start: Option<Hex>,

    /// Only keys before this one.
    #[arg(long, value_name = "HEX", requires = "table")]
    end: Option<Hex>,
}

impl RangeArgs {
    /// The range, everything by default.
    fn range(&self) -> KeyRange {
        let start = match &self.start {
            Some(start) => Bound::Included(&start.0[..]),
            None => Bound::Unbounded,
        };
        let end = match &self.end {
            Some(end) => Bound::Excluded(&end.0[..]),
            None => Bound::Unbounded,
        };
        let range = KeyRange::new(start, end);
        match &self.prefix {
            Some(prefix) => range.intersect(&KeyRange::prefix(&prefix.0)),
            None => range,
        }
    }

    fn is_whole(&self) -> bool {
        self.prefix.is_none() && self.start.is_none() && self.end.is_none()
    }
}
