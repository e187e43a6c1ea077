//! Key ranges, normalised once so that no engine ever sees an odd one.
//!
//! Every range is held as `start <= key < end`, `end` absent meaning unbounded. Invariants: an
//! excluded start `k` becomes `k 00`, an included end `k` becomes `k 00`, both exact because no key
//! lies between; an empty bound means unbounded below (trap 1); a reversed or equal pair is the one
//! canonical empty range (trap 5); a prefix of `ff` bytes only has no end (trap 6). Cost: bounds up
//! to 40 bytes live inline, longer ones take one allocation each.

use std::ops::Bound;

use smallvec::SmallVec;

/// A bound's bytes; keys of chains are mostly 8 to 40 bytes.
pub(crate) type KeyBuf = SmallVec<[u8; 40]>;

/// A half-open range of keys, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: KeyBuf,
    end: Option<KeyBuf>,
}

/// The smallest key greater than every key with this prefix, or `None` when there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

fn successor(key: &[u8]) -> KeyBuf {
    let mut next = KeyBuf::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self {
            start: KeyBuf::new(),
            end: None,
        }
    }

    /// No key.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            start: KeyBuf::new(),
            end: Some(KeyBuf::new()),
        }
    }

    /// Keys between any pair of bounds.
    #[must_use]
    pub fn new(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Self {
        let start = match start {
            Bound::Unbounded => KeyBuf::new(),
            Bound::Included(key) => KeyBuf::from_slice(key),
            Bound::Excluded(key) => successor(key),
        };
        let end = match end {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(KeyBuf::from_slice(key)),
        };
        Self { start, end }.normalised()
    }

    /// Keys `start <= key < end`.
    #[must_use]
    pub fn half_open(start: &[u8], end: &[u8]) -> Self {
        Self::new(Bound::Included(start), Bound::Excluded(end))
    }

    /// Keys `start <= key`.
    #[must_use]
    pub fn from_key(start: &[u8]) -> Self {
        Self {
            start: KeyBuf::from_slice(start),
            end: None,
        }
    }

    /// Keys that begin with these bytes; every key when there are none.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let end = prefix_end(prefix).map(|end| KeyBuf::from_slice(&end));
        Self {
            start: KeyBuf::from_slice(prefix),
            end,
        }
    }

    fn normalised(self) -> Self {
        match &self.end {
            Some(end) if *end <= self.start => Self::empty(),
            _ => self,
        }
    }

    /// First key that may be in the range; empty means from the beginning.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// First key behind the range; `None` means to the end.
    #[must_use]
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(SmallVec::is_empty)
    }

    /// Whether every key is in the range.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.start.is_empty() && self.end.is_none()
    }

    /// Whether this key is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start() && self.is_below_end(key)
    }

    /// Whether this key lies before the end of the range.
    #[must_use]
    pub fn is_below_end(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// Keys in both ranges.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let start = self.start.clone().max(other.start.clone());
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(a.clone().min(b.clone())),
            (Some(end), None) | (None, Some(end)) => Some(end.clone()),
            (None, None) => None,
        };
        Self { start, end }.normalised()
    }
}
