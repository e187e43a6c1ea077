//! [`Merge`]: the two-way merge of the base's rows and the overlay's own, in both directions.
//!
//! Both sides run in one direction and each holds its head, the next row of that side not given out
//! yet. Invariants, for forward (backward mirrors them): every own entry and every visible base row
//! up to the place has been passed; between the place and the base cursor's row no base row is
//! visible. So a turn needs one plain step of the base and one search in the own entries, never a
//! seek. An own entry wins over the base's row of the same key; a hidden range of the base is left
//! by one seek.
//!
//! After an error of the base, its cursor stands on a row whose key is not known here: the merge
//! goes on behind it, or turns back to the last place, which is then given again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::contract::{Cursor, Entry, WriteBatch};
use crate::error::Result;
use crate::overlay::hidden::{Around, Hidden, Span};
use crate::overlay::index::{Slot, TableIndex};
use crate::range::{KeyBuf, KeyRange};

/// A base value up to this many bytes is copied while it waits; a longer one is sought again, which
/// is cheaper then.
const WAITING_VALUE_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Where the merged cursor stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Before every own entry.
    Before,
    /// Behind every own entry.
    After,
    /// On an own row.
    Own(&'a [u8]),
    /// On the base's row whose key is in the base's buffer.
    Base,
}

/// One movement of the base's cursor.
enum Move<'k> {
    Edge,
    Seek(&'k [u8]),
    Step,
}

/// Merged rows of a range.
pub(super) struct Merge<'a, C> {
    base: BaseSide<'a, C>,
    own: OwnSide<'a>,
    range: KeyRange,
    direction: Direction,
    place: Place<'a>,
    displaced: bool,
}

impl<'a, C: Cursor> Merge<'a, C> {
    /// A fresh merge over a fresh cursor of the base; gives the cursor back when there is nothing
    /// to merge in the range.
    pub(super) fn new(
        base: C,
        own: &'a TableIndex,
        batch: &'a WriteBatch,
        range: KeyRange,
    ) -> Result<Self, C> {
        let mut side = OwnSide {
            entries: &own.entries,
            batch,
            rows: btree_map::Range::default(),
            head: None,
        };
        side.aim(Direction::Forward, lower(&range), upper(&range));
        if side.head.is_none() && !own.hidden.touches(&range) {
            return Err(base);
        }
        Ok(Self {
            base: BaseSide::new(base, &own.hidden),
            own: side,
            range,
            direction: Direction::Forward,
            place: Place::Before,
            displaced: false,
        })
    }

    /// Moves to the first row in the direction.
    pub(super) fn edge(&mut self, direction: Direction) -> Result<Option<Entry<'_>>> {
        self.direction = direction;
        self.place = start_of(direction);
        self.own
            .aim(direction, lower(&self.range), upper(&self.range));
        self.fetch(&Move::Edge)?;
        self.merge()
    }

    /// Moves to the first row at `key` or beyond it in the direction.
    pub(super) fn seek(&mut self, direction: Direction, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let start = self.range.start();
        self.direction = direction;
        match direction {
            Direction::Forward => {
                let from = Bound::Included(key.max(start));
                self.own.aim(direction, from, upper(&self.range));
            }
            Direction::Backward => {
                let to = if self.range.is_below_end(key) {
                    Bound::Included(key)
                } else {
                    upper(&self.range)
                };
                self.own.aim(direction, lower(&self.range), to);
            }
        }
        if let Err(error) = self.fetch(&Move::Seek(key)) {
            self.place = if key < self.range.start() {
                Place::Before
            } else if self.range.is_below_end(key) {
                self.base.set_key(key);
                Place::Base
            } else {
                Place::After
            };
            return Err(error);
        }
        self.merge()
    }

    /// Moves one row in the direction.
    pub(super) fn step(&mut self, direction: Direction) -> Result<Option<Entry<'_>>> {
        if direction != self.direction {
            self.turn(direction);
            self.fetch(&Move::Step)?;
        } else if matches!(self.base.head, Head::Passed) {
            if self.own.head.is_none() && self.base.is_clear_ahead(direction) {
                self.place = end_of(direction);
                return self.base.pass(direction);
            }
            self.fetch(&Move::Step)?;
        }
        self.merge()
    }

    /// Aims the own side the other way from the place.
    fn turn(&mut self, direction: Direction) {
        self.direction = direction;
        let key = match self.place {
            Place::Before if direction == Direction::Backward => return self.own.exhaust(),
            Place::After if direction == Direction::Forward => return self.own.exhaust(),
            Place::Before | Place::After => None,
            Place::Own(key) => Some(key),
            Place::Base => Some(&self.base.key[..]),
        };
        let bound = key.map(|key| {
            if self.displaced {
                Bound::Included(key)
            } else {
                Bound::Excluded(key)
            }
        });
        let (from, to) = match direction {
            Direction::Forward => (bound.unwrap_or(lower(&self.range)), upper(&self.range)),
            Direction::Backward => (lower(&self.range), bound.unwrap_or(upper(&self.range))),
        };
        self.own.aim(direction, from, to);
    }

    fn fetch(&mut self, to: &Move<'_>) -> Result<()> {
        let fetched = self.base.fetch(self.direction, to, &self.range);
        self.displaced = fetched.is_err();
        fetched
    }

    /// Gives out the nearer of both heads.
    fn merge(&mut self) -> Result<Option<Entry<'_>>> {
        loop {
            let order = match (&self.own.head, &self.base.head) {
                (None, Head::Waiting) => Ordering::Greater,
                (None, _) => {
                    self.place = end_of(self.direction);
                    return Ok(None);
                }
                (Some((key, _)), Head::Waiting) => match self.direction {
                    Direction::Forward => key.cmp(&&self.base.key[..]),
                    Direction::Backward => self.base.key[..].cmp(key),
                },
                (Some(_), _) => Ordering::Less,
            };
            if order == Ordering::Greater {
                self.base.head = Head::Passed;
                self.place = Place::Base;
                return self.base.lend();
            }
            if order == Ordering::Equal {
                self.base.head = Head::Passed;
            }
            if let Some((key, value)) = self.own.take(self.direction) {
                self.place = Place::Own(key);
                return Ok(Some(Entry { key, value }));
            }
            if order == Ordering::Equal {
                self.fetch(&Move::Step)?;
            }
        }
    }
}

const fn start_of(direction: Direction) -> Place<'static> {
    match direction {
        Direction::Forward => Place::Before,
        Direction::Backward => Place::After,
    }
}

const fn end_of(direction: Direction) -> Place<'static> {
    match direction {
        Direction::Forward => Place::After,
        Direction::Backward => Place::Before,
    }
}

fn lower(range: &KeyRange) -> Bound<&[u8]> {
    Bound::Included(range.start())
}

fn upper(range: &KeyRange) -> Bound<&[u8]> {
    range.end().map_or(Bound::Unbounded, Bound::Excluded)
}

/// The overlay's own entries; the head is taken off the iterator already.
struct OwnSide<'a> {
    entries: &'a BTreeMap<KeyBuf, Slot>,
    batch: &'a WriteBatch,
    rows: btree_map::Range<'a, KeyBuf, Slot>,
    head: Option<(&'a [u8], Slot)>,
}

impl<'a> OwnSide<'a> {
    fn aim(&mut self, direction: Direction, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        use Bound::{Excluded, Included, Unbounded};
        let reversed = match (from, to) {
            (Unbounded, _) | (_, Unbounded) => false,
            (Included(from), Included(to)) => from > to,
            (Included(from) | Excluded(from), Included(to) | Excluded(to)) => from >= to,
        };
        if reversed {
            return self.exhaust();
        }
        self.rows = self.entries.range::<[u8], _>((from, to));
        self.advance(direction);
    }

    fn exhaust(&mut self) {
        self.rows = btree_map::Range::default();
        self.head = None;
    }

    fn advance(&mut self, direction: Direction) {
        let row = match direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.next_back(),
        };
        self.head = row.map(|(key, slot)| (&key[..], *slot));
    }

    /// Passes the head and gives its row, or `None` when it is a delete.
    fn take(&mut self, direction: Direction) -> Option<(&'a [u8], &'a [u8])> {
        let (key, slot) = self.head?;
        self.advance(direction);
        Some((key, slot.value(self.batch)?))
    }
}

/// The base's next row.
enum Head {
    /// Given out or overridden; the cursor stands on it, or on its fresh place.
    Passed,
    /// In the buffers.
    Waiting,
    /// There is none in this direction.
    None,
}

/// The base's cursor and the row taken from it.
struct BaseSide<'a, C> {
    cursor: C,
    hidden: &'a Hidden,
    /// A span around the cursor's row in which nothing is hidden; `None` when not known.
    clear: Option<Span<'a>>,
    head: Head,
    key: KeyBuf,
    value: Vec<u8>,
    value_kept: bool,
}

impl<'a, C: Cursor> BaseSide<'a, C> {
    fn new(cursor: C, hidden: &'a Hidden) -> Self {
        Self {
            cursor,
            hidden,
            clear: hidden.is_empty().then_some(Span::ALL),
            head: Head::Passed,
            key: KeyBuf::new(),
            value: Vec::new(),
            value_kept: false,
        }
    }

    fn set_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// Whether nothing is hidden beyond the cursor's row.
    fn is_clear_ahead(&self, direction: Direction) -> bool {
        self.clear.is_some_and(|span| match direction {
            Direction::Forward => span.end.is_none(),
            Direction::Backward => span.start.is_empty(),
        })
    }

    /// Moves the cursor onto the next visible row and takes it into the buffers.
    fn fetch(&mut self, direction: Direction, to: &Move<'_>, range: &KeyRange) -> Result<()> {
        self.head = Head::Passed;
        match self.fetch_visible(direction, to, range) {
            Ok(head) => {
                self.head = head;
                Ok(())
            }
            Err(error) => {
                self.clear = self.hidden.is_empty().then_some(Span::ALL);
                Err(error)
            }
        }
    }

    fn fetch_visible(
        &mut self,
        direction: Direction,
        to: &Move<'_>,
        range: &KeyRange,
    ) -> Result<Head> {
        use Direction::{Backward, Forward};
        let mut found = match (to, direction) {
            (Move::Edge, Forward) => self.cursor.first(),
            (Move::Edge, Backward) => self.cursor.last(),
            (Move::Seek(key), Forward) => self.cursor.seek(key),
            (Move::Seek(key), Backward) => self.cursor.seek_back(key),
            (Move::Step, Forward) => self.cursor.next(),
            (Move::Step, Backward) => self.cursor.prev(),
        };
        loop {
            let Some(entry) = found? else {
                return Ok(Head::None);
            };
            let Some(hidden) = hidden_span(self.hidden, &mut self.clear, entry.key) else {
                self.key.clear();
                self.key.extend_from_slice(entry.key);
                self.value_kept = entry.value.len() <= WAITING_VALUE_BYTES_MAX;
                if self.value_kept {
                    self.value.clear();
                    self.value.extend_from_slice(entry.value);
                }
                return Ok(Head::Waiting);
            };
            found = match (direction, hidden.end) {
                (Forward, Some(end)) if range.is_below_end(end) => self.cursor.seek(end),
                (Forward, _) => return Ok(Head::None),
                (Backward, _) if hidden.start <= range.start() => return Ok(Head::None),
                // The first key of the hidden range may be a row of the base, which is hidden too.
                (Backward, _) if entry.key == hidden.start => self.cursor.prev(),
                (Backward, _) => self.cursor.seek_back(hidden.start),
            };
        }
    }

    /// Gives out the row in the buffers.
    fn lend(&mut self) -> Result<Option<Entry<'_>>> {
        if self.value_kept {
            return Ok(Some(Entry {
                key: &self.key,
                value: &self.value,
            }));
        }
        self.cursor.seek(&self.key)
    }

    /// Moves the cursor and gives out its row as it is.
    fn pass(&mut self, direction: Direction) -> Result<Option<Entry<'_>>> {
        match direction {
            Direction::Forward => self.cursor.next(),
            Direction::Backward => self.cursor.prev(),
        }
    }
}

/// The hidden range that holds the key, or `None` when it is visible, remembering the clear span
/// around it.
fn hidden_span<'a>(
    hidden: &'a Hidden,
    clear: &mut Option<Span<'a>>,
    key: &[u8],
) -> Option<Span<'a>> {
    if clear.is_some_and(|span| span.contains(key)) {
        return None;
    }
    match hidden.around(key) {
        Around::Hidden(span) => Some(span),
        Around::Clear(span) => {
            *clear = Some(span);
            None
        }
    }
}
