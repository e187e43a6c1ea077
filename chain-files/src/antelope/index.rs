//! `blocks.index`: the offset of each entry of the log, eight bytes each.
//!
//! Must always hold: an index is right when it has exactly the offsets of the entries of its log,
//! in their order, and nothing more. Nodes rebuild a wrong one, so nothing here repairs it.

use std::io::Read;

use super::reader::LogReader;
use crate::error::{Fault, Result};
use crate::input::{Input, ReadOptions};

/// Reads the offsets of an index, one after the other.
pub struct IndexReader<R> {
    input: Input<R>,
}

impl<R: Read> IndexReader<R> {
    /// Begins at the first byte of an index.
    pub fn new(input: R) -> Self {
        Self {
            input: Input::new(input),
        }
    }

    /// The offset of the next entry in the log; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Fault::Read`], [`Fault::Truncated`].
    pub fn next_offset(&mut self) -> Result<Option<u64>> {
        match self.read() {
            Ok(offset) => Ok(offset),
            Err(fault) => Err(self.input.error(fault)),
        }
    }

    fn read(&mut self) -> std::result::Result<Option<u64>, Fault> {
        if self.input.is_at_end()? {
            return Ok(None);
        }
        let offset = u64::from_le_bytes(self.input.array("offset in the index")?);
        self.input.end_record();
        Ok(Some(offset))
    }
}

impl<R> std::fmt::Debug for IndexReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexReader").finish_non_exhaustive()
    }
}

/// Reads a log and its index side by side and gives the number of blocks.
///
/// # Errors
///
/// Any error of the log; [`Fault::Index`] with the position in the log at the first entry that the
/// index has wrongly; [`Fault::Truncated`] when the index is too short, and [`Fault::Trailing`]
/// when it is too long.
pub fn check_index(log: impl Read, index: impl Read, options: ReadOptions) -> Result<u64> {
    let mut log = LogReader::new(log, options)?;
    let mut index = IndexReader::new(index);
    let mut count = 0;
    while let Some(block) = log.next_block()? {
        let Some(found) = index.next_offset()? else {
            return Err(Fault::Truncated {
                what: "index",
                wanted_bytes: 8 * (count + 1),
                got_bytes: 8 * count,
            }
            .at(block.at));
        };
        if found != block.at.offset {
            return Err(Fault::Index {
                what: "index",
                number: block.number,
                expected: block.at.offset,
                found: i128::from(found),
            }
            .at(block.at));
        }
        count += 1;
    }
    if index.next_offset()?.is_some() {
        return Err(Fault::Trailing {
            what: "index",
            count_bytes: 8,
        }
        .at(index.input.position()));
    }
    Ok(count)
}
