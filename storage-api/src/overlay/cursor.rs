//! [`OverlayCursor`]: the base's cursor where the overlay wrote nothing in the range, the merge of
//! both elsewhere.
//!
//! Invariant: the overlay cannot change while a cursor lives, so which of the two it is, is decided
//! once.

use std::fmt;

use crate::contract::{Cursor, Entry, WriteBatch};
use crate::error::Result;
use crate::overlay::index::TableIndex;
use crate::overlay::merge::{Direction, Merge};
use crate::range::KeyRange;

/// A cursor through an overlay.
///
/// Cost: nothing beside the base's cursor where the overlay wrote nothing in the range, and in a
/// direction in which nothing of the overlay lies ahead any more. Elsewhere a row of the base is
/// copied into reused buffers, or sought again when its value is longer than 8 KiB.
pub struct OverlayCursor<'a, C>(Kind<'a, C>);

#[expect(
    clippy::large_enum_variant,
    reason = "boxing would cost a second allocation a cursor, and cursors are hardly ever moved"
)]
enum Kind<'a, C> {
    Plain(C),
    Merged(Merge<'a, C>),
}

impl<C> fmt::Debug for OverlayCursor<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let merged = matches!(self.0, Kind::Merged(_));
        f.debug_struct("OverlayCursor")
            .field("merged", &merged)
            .finish_non_exhaustive()
    }
}

impl<'a, C: Cursor> OverlayCursor<'a, C> {
    /// The base's cursor as it is.
    pub(super) const fn plain(base: C) -> Self {
        Self(Kind::Plain(base))
    }

    /// A fresh cursor of the base over `range`, with the writes of a table.
    pub(super) fn over(
        base: C,
        own: &'a TableIndex,
        batch: &'a WriteBatch,
        range: KeyRange,
    ) -> Self {
        match Merge::new(base, own, batch, range) {
            Ok(merge) => Self(Kind::Merged(merge)),
            Err(base) => Self(Kind::Plain(base)),
        }
    }
}

impl<C: Cursor> Cursor for OverlayCursor<'_, C> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.first(),
            Kind::Merged(merge) => merge.edge(Direction::Forward),
        }
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.last(),
            Kind::Merged(merge) => merge.edge(Direction::Backward),
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.seek(key),
            Kind::Merged(merge) => merge.seek(Direction::Forward, key),
        }
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.seek_back(key),
            Kind::Merged(merge) => merge.seek(Direction::Backward, key),
        }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.next(),
            Kind::Merged(merge) => merge.step(Direction::Forward),
        }
    }

    #[inline]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        match &mut self.0 {
            Kind::Plain(base) => base.prev(),
            Kind::Merged(merge) => merge.step(Direction::Backward),
        }
    }
}
