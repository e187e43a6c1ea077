//! Differences between the rows of two stores, whatever their engines.
//!
//! Invariants: both sides are read by one scan each, merged by key, and nothing is kept but the two
//! rows at hand; a difference is handed on as soon as it is found, in order of key; values are
//! compared as the application wrote them, without envelope.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use storage_api::{Cursor, KeyRange, Reader, Result, TableId};

/// One row that is not the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference<'r> {
    /// Only the left side has it.
    Left {
        /// The key.
        key: &'r [u8],
        /// The value.
        value: &'r [u8],
    },
    /// Only the right side has it.
    Right {
        /// The key.
        key: &'r [u8],
        /// The value.
        value: &'r [u8],
    },
    /// Both sides have it with different values.
    Changed {
        /// The key.
        key: &'r [u8],
        /// The value on the left.
        left: &'r [u8],
        /// The value on the right.
        right: &'r [u8],
    },
}

/// One side of a comparison: a table of a view, or nothing where the store has no such table.
#[derive(Debug)]
pub struct Side<'r, R> {
    /// The view.
    pub reader: &'r R,
    /// The table in it.
    pub table: Option<TableId>,
}

/// The present row of a side, kept because a cursor lends a row until its next move only.
#[derive(Debug, Default)]
struct Row {
    key: Vec<u8>,
    value: Vec<u8>,
    is_there: bool,
}

impl Row {
    fn next<C: Cursor>(&mut self, cursor: &mut Option<C>) -> Result<()> {
        self.is_there = false;
        if let Some(cursor) = cursor
            && let Some(entry) = cursor.next()?
        {
            self.key.clear();
            self.key.extend_from_slice(entry.key);
            self.value.clear();
            self.value.extend_from_slice(entry.value);
            self.is_there = true;
        }
        Ok(())
    }
}

/// Hands every difference between the two sides inside the range to `found`, until it breaks, and
/// returns how many rows were compared.
///
/// # Errors
/// Of either side.
pub fn diff_rows<L: Reader, R: Reader>(
    left: &Side<'_, L>,
    right: &Side<'_, R>,
    range: &KeyRange,
    found: &mut dyn FnMut(Difference<'_>) -> ControlFlow<()>,
) -> Result<u64> {
    let open_left = |table| left.reader.cursor(table, range.clone());
    let open_right = |table| right.reader.cursor(table, range.clone());
    let mut left_cursor = left.table.map(open_left).transpose()?;
    let mut right_cursor = right.table.map(open_right).transpose()?;
    let (mut l, mut r) = (Row::default(), Row::default());
    l.next(&mut left_cursor)?;
    r.next(&mut right_cursor)?;
    let mut compared = 0;
    while l.is_there || r.is_there {
        compared += 1;
        let order = match (l.is_there, r.is_there) {
            (true, true) => l.key.cmp(&r.key),
            (true, false) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let difference = match order {
            Ordering::Less => Some(Difference::Left {
                key: &l.key,
                value: &l.value,
            }),
            Ordering::Greater => Some(Difference::Right {
                key: &r.key,
                value: &r.value,
            }),
            Ordering::Equal => (l.value != r.value).then_some(Difference::Changed {
                key: &l.key,
                left: &l.value,
                right: &r.value,
            }),
        };
        if difference.is_some_and(|difference| found(difference).is_break()) {
            break;
        }
        if order.is_le() {
            l.next(&mut left_cursor)?;
        }
        if order.is_ge() {
            r.next(&mut right_cursor)?;
        }
    }
    Ok(compared)
}
