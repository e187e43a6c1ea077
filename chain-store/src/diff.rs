//! Differences between the rows of two stores, whatever their engines, and between the bodies of
//! their blocks, wherever these lie.
//!
//! Invariants: both sides are read by one scan each, merged by key, and nothing is kept but the two
//! rows at hand; a difference is handed on as soon as it is found, in order of key; values are
//! compared as the application wrote them, without envelope. A body is a value under the key of its
//! height, in a row or in a segment.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use storage_api::blocks::{BlockIndex, BlockResult, BlockStore, Height};
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

/// One side of a comparison of bodies.
#[derive(Debug)]
pub struct BodySide<'r, B, R> {
    /// The view.
    pub reader: &'r R,
    /// The blocks in it, or nothing where the store has none.
    pub blocks: Option<&'r B>,
}

impl<B: BlockStore, R: Reader> BodySide<'_, B, R> {
    fn tail_and_tip(&self) -> BlockResult<Option<(Height, Height)>> {
        let Some(blocks) = self.blocks else {
            return Ok(None);
        };
        let (tail, tip) = (blocks.tail(self.reader)?, blocks.tip(self.reader)?);
        Ok(tail.zip(tip).map(|(tail, tip)| (tail.height, tip.height)))
    }

    fn body(&self, height: Height) -> BlockResult<Option<Vec<u8>>> {
        match self.blocks {
            Some(blocks) => blocks.body(self.reader, height),
            None => Ok(None),
        }
    }
}

/// The first and the last height of blocks.
type Span = Option<(Height, Height)>;

/// Every height of either span, upwards. What lies between them has no blocks, and may be wide.
fn heights_of(one: Span, other: Span) -> impl Iterator<Item = Height> {
    let (low, high) = match (one, other) {
        (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
        (one, other) => (one.or(other), None),
    };
    let heights = |(tail, tip): (Height, Height)| tail.get()..=tip.get();
    let above = high.map(|(tail, tip)| {
        let behind = low.map_or(tail, |(_, tip)| tip.next());
        (tail.max(behind), tip)
    });
    // A chain that ends at the last of all heights has none behind it.
    let above = above.filter(|_| low.is_none_or(|(_, tip)| tip.get() < u64::MAX));
    let all = [low, above].into_iter().flatten().flat_map(heights);
    all.map(Height::new)
}

/// Hands every body that is not the same on both sides to `found`, until it breaks, and returns how
/// many heights were compared. The range is one of keys of heights, eight bytes big-endian, as the
/// table of bodies in rows has them. Cost: a get of each body; memory: the two at hand.
///
/// # Errors
/// Of either side, `BodyAbsent` among them.
pub fn diff_bodies<B: BlockStore, L: Reader, R: Reader>(
    left: &BodySide<'_, B, L>,
    right: &BodySide<'_, B, R>,
    range: &KeyRange,
    found: &mut dyn FnMut(Difference<'_>) -> ControlFlow<()>,
) -> BlockResult<u64> {
    let (l, r) = (left.tail_and_tip()?, right.tail_and_tip()?);
    let mut compared = 0;
    for height in heights_of(l, r) {
        let key = BlockIndex::key(height);
        if !range.is_below_end(&key) {
            break;
        }
        if !range.contains(&key) {
            continue;
        }
        compared += 1;
        let (l, r) = (left.body(height)?, right.body(height)?);
        let key = &key[..];
        let difference = match (&l, &r) {
            (Some(value), None) => Some(Difference::Left { key, value }),
            (None, Some(value)) => Some(Difference::Right { key, value }),
            (Some(left), Some(right)) if left != right => {
                Some(Difference::Changed { key, left, right })
            }
            _ => None,
        };
        if difference.is_some_and(|difference| found(difference).is_break()) {
            break;
        }
    }
    Ok(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = u64::MAX;

    #[test]
    fn every_height_of_two_chains_comes_once_and_none_between_them() {
        let heights = |one: Option<(u64, u64)>, other: Option<(u64, u64)>| {
            let span = |(tail, tip)| (Height::new(tail), Height::new(tip));
            let found = heights_of(one.map(span), other.map(span));
            let swapped: Vec<Height> = heights_of(other.map(span), one.map(span)).collect();
            let found: Vec<Height> = found.collect();
            assert_eq!(found, swapped);
            found
                .iter()
                .map(|height| height.get())
                .collect::<Vec<u64>>()
        };
        assert!(heights(None, None).is_empty());
        assert_eq!(heights(Some((3, 5)), None), [3, 4, 5]);
        assert_eq!(heights(Some((3, 5)), Some((3, 5))), [3, 4, 5]);
        assert_eq!(heights(Some((3, 4)), Some((4, 6))), [3, 4, 5, 6]);
        assert_eq!(heights(Some((3, 6)), Some((4, 5))), [3, 4, 5, 6]);
        assert_eq!(heights(Some((3, 6)), Some((3, 4))), [3, 4, 5, 6]);
        assert_eq!(heights(Some((3, 4)), Some((5, 6))), [3, 4, 5, 6]);
        let far = [0, 1, LAST - 1, LAST];
        assert_eq!(heights(Some((0, 1)), Some((LAST - 1, LAST))), far);
        assert_eq!(
            heights(Some((LAST, LAST)), Some((LAST - 1, LAST))),
            [LAST - 1, LAST]
        );
    }
}
