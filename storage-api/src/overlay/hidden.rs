//! [`Hidden`]: the keys of the base that range deletes of the overlay have removed, as a set of
//! ranges.
//!
//! Invariants: ranges are not empty, do not overlap and do not touch, so a key has at most one, and
//! the key at the end of one is visible. Cost: a lookup is one search; adding costs a search for
//! each range that is swallowed.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::range::{KeyBuf, KeyRange};

/// A set of ranges `start <= key < end`; an absent end means to the end of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    ranges: BTreeMap<KeyBuf, Option<KeyBuf>>,
}

/// Keys `start <= key < end`, borrowed from the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'h> {
    pub(super) start: &'h [u8],
    pub(super) end: Option<&'h [u8]>,
}

impl Span<'_> {
    /// Every key.
    pub(super) const ALL: Self = Self {
        start: &[],
        end: None,
    };

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key >= self.start && self.end.is_none_or(|end| key < end)
    }
}

/// What surrounds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around<'h> {
    /// The hidden range that holds the key.
    Hidden(Span<'h>),
    /// The widest span around the key in which nothing is hidden.
    Clear(Span<'h>),
}

/// What adding a range did, so that it can be taken back.
#[derive(Debug)]
pub(super) struct Added {
    start: KeyBuf,
    swallowed: Vec<(KeyBuf, Option<KeyBuf>)>,
}

impl Hidden {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether no key is visible.
    pub(super) fn is_all(&self) -> bool {
        let first = self.ranges.first_key_value();
        first.is_some_and(|(start, end)| start.is_empty() && end.is_none())
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        !self.is_empty() && matches!(self.around(key), Around::Hidden(_))
    }

    pub(super) fn around(&self, key: &[u8]) -> Around<'_> {
        let before = self
            .ranges
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
            .next_back();
        let start = match before {
            None => &[][..],
            Some((_, Some(end))) if key >= &end[..] => &end[..],
            Some((start, end)) => {
                let end = end.as_deref();
                return Around::Hidden(Span { start, end });
            }
        };
        let after = self
            .ranges
            .range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded))
            .next();
        let end = after.map(|(start, _)| &start[..]);
        Around::Clear(Span { start, end })
    }

    /// Whether any key of the range is hidden.
    pub(super) fn touches(&self, range: &KeyRange) -> bool {
        if self.is_empty() || range.is_empty() {
            return false;
        }
        match self.around(range.start()) {
            Around::Hidden(_) => true,
            Around::Clear(span) => span.end.is_some_and(|end| range.is_below_end(end)),
        }
    }

    /// Hides the keys `start <= key < end`, which must not be none.
    pub(super) fn add(&mut self, start: &[u8], end: Option<&[u8]>) -> Added {
        let before = self
            .ranges
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(start)))
            .next_back();
        let reaches = |end: &Option<KeyBuf>| end.as_ref().is_none_or(|end| &end[..] >= start);
        let from = match before {
            Some((from, end)) if reaches(end) => from.clone(),
            _ => KeyBuf::from_slice(start),
        };
        let mut to = end.map(KeyBuf::from_slice);
        let mut swallowed = Vec::new();
        while let Some((start, end)) = self.take_first(&from, to.as_deref()) {
            to = match (to, &end) {
                (Some(to), Some(end)) => Some(to.max(end.clone())),
                _ => None,
            };
            swallowed.push((start, end));
        }
        self.ranges.insert(from.clone(), to);
        Added {
            start: from,
            swallowed,
        }
    }

    /// Removes the first range that starts in `from <= start <= to`.
    fn take_first(&mut self, from: &[u8], to: Option<&[u8]>) -> Option<(KeyBuf, Option<KeyBuf>)> {
        let to = to.map_or(Bound::Unbounded, Bound::Included);
        let (start, _) = self
            .ranges
            .range::<[u8], _>((Bound::Included(from), to))
            .next()?;
        let start = start.clone();
        self.ranges.remove_entry(&start)
    }

    /// Takes the last addition back.
    pub(super) fn undo(&mut self, added: Added) {
        self.ranges.remove(&added.start);
        self.ranges.extend(added.swallowed);
    }

    /// All ranges, in order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = KeyRange> {
        self.ranges.iter().map(|(start, end)| {
            end.as_ref().map_or_else(
                || KeyRange::from_key(start),
                |end| KeyRange::half_open(start, end),
            )
        })
    }
}
