//! [`ChangeSet`]: what one commit changes, as the old and the new value of every key.
//!
//! It serves undo records, deltas and the replica stream, hence it is a value that belongs to no
//! store. Invariants: one change a (table, key), in that order; old and new differ, and a change
//! that is taken back is gone; absent and empty are different values. Cost: a B-tree a table; 48
//! bytes and three exact allocations a change beside its bytes; recording and lookup are
//! logarithmic, `len` and `payload_bytes` constant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Bound;

use crate::contract::{BatchOp, Cursor, Reader, WriteBatch, Writer};
use crate::error::{Error, Result};
use crate::range::KeyRange;
use crate::table::TableId;

#[cfg(test)]
mod tests;

/// What a commit does to one key, borrowed from its [`ChangeSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'c> {
    /// The table.
    pub table: TableId,
    /// The key.
    pub key: &'c [u8],
    /// The value before the commit, `None` where the key was absent.
    pub old: Option<&'c [u8]>,
    /// The value after the commit, `None` where the key is absent.
    pub new: Option<&'c [u8]>,
}

/// All changes of one commit, or of consecutive commits squashed into one.
///
/// ```
/// use storage_api::{ChangeSet, TableId, WriteBatch};
/// let table = TableId::new(1);
/// let mut set = ChangeSet::new();
/// set.record(table, b"a", None, Some(b"1"));
/// set.record(table, b"a", Some(b"1"), Some(b"2"));
/// let change = set.get(table, b"a").map(|change| (change.old, change.new));
/// assert_eq!(change, Some((None, Some(&b"2"[..]))));
///
/// let mut undo = WriteBatch::new();
/// set.invert().apply(&mut undo)?;
/// assert_eq!(undo.len(), 1);
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// No table without changes, so that equal sets are equal here.
    tables: BTreeMap<TableId, BTreeMap<Box<[u8]>, Pair>>,
    len: usize,
    payload_bytes: usize,
}

type Changes = BTreeMap<Box<[u8]>, Pair>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    old: Option<Box<[u8]>>,
    new: Option<Box<[u8]>>,
}

impl Pair {
    fn payload_bytes(&self) -> usize {
        let len = |side: &Option<Box<[u8]>>| side.as_ref().map_or(0, |value| value.len());
        len(&self.old) + len(&self.new)
    }

    fn is_change(&self) -> bool {
        self.old != self.new
    }
}

impl ChangeSet {
    /// A set without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            len: 0,
            payload_bytes: 0,
        }
    }

    /// Number of changed keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all keys, old values and new values.
    #[must_use]
    pub const fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Notes that the key went from `old` to `new`. Of a key that is in the set already the first
    /// old value stays, and the last new value counts; when these are equal nothing changed and the
    /// key leaves the set.
    ///
    /// For a key in the set `old` is not looked at: the value just before this write and the value
    /// before the whole commit both do.
    pub fn record(&mut self, table: TableId, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let changes = self.tables.entry(table).or_default();
        if let Some(pair) = changes.get_mut(key) {
            self.payload_bytes -= pair.payload_bytes();
            pair.new = new.map(Box::from);
            self.payload_bytes += pair.payload_bytes();
            if !pair.is_change() {
                self.payload_bytes -= key.len() + pair.payload_bytes();
                self.len -= 1;
                changes.remove(key);
            }
        } else if old != new {
            let pair = Pair {
                old: old.map(Box::from),
                new: new.map(Box::from),
            };
            self.len += 1;
            self.payload_bytes += key.len() + pair.payload_bytes();
            changes.insert(key.into(), pair);
        }
        if changes.is_empty() {
            self.tables.remove(&table);
        }
    }

    /// The change of one key.
    #[must_use]
    pub fn get(&self, table: TableId, key: &[u8]) -> Option<Change<'_>> {
        let (key, pair) = self.tables.get(&table)?.get_key_value(key)?;
        Some(view(table, key, pair))
    }

    /// All changes, in order of table and key.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.tables
            .iter()
            .flat_map(|(table, changes)| changes.iter().map(|(key, pair)| view(*table, key, pair)))
    }

    /// The set that takes this one back: old and new exchanged. Cost: linear, without copying.
    #[must_use]
    pub fn invert(mut self) -> Self {
        for pair in self.tables.values_mut().flat_map(BTreeMap::values_mut) {
            std::mem::swap(&mut pair.old, &mut pair.new);
        }
        self
    }

    /// Squashes the set of the commit that follows into this one. Cost: a lookup a later change,
    /// without copying.
    ///
    /// # Errors
    /// `InvalidArgument` naming the table when a key of both sets is not left by this one as the
    /// later one found it, so that they are not consecutive; this set is as before then.
    pub fn merge(&mut self, later: Self) -> Result<()> {
        for change in later.iter() {
            let left = self.get(change.table, change.key).map(|known| known.new);
            if left.is_some_and(|left| left != change.old) {
                return Err(Error::invalid(format!(
                    "change sets are not consecutive: expected {} before the later one, found {}",
                    described(left.flatten()),
                    described(change.old)
                ))
                .with_operation("merge")
                .with_table(change.table.to_string()));
            }
        }
        for (table, changes) in later.tables {
            let known = self.tables.entry(table).or_default();
            for (key, pair) in changes {
                match known.entry(key) {
                    Slot::Vacant(slot) => {
                        self.len += 1;
                        self.payload_bytes += slot.key().len() + pair.payload_bytes();
                        slot.insert(pair);
                    }
                    Slot::Occupied(mut slot) => {
                        self.payload_bytes -= slot.get().payload_bytes();
                        slot.get_mut().new = pair.new;
                        self.payload_bytes += slot.get().payload_bytes();
                        if !slot.get().is_change() {
                            self.len -= 1;
                            self.payload_bytes -= slot.key().len() + slot.get().payload_bytes();
                            slot.remove();
                        }
                    }
                }
            }
            if known.is_empty() {
                self.tables.remove(&table);
            }
        }
        Ok(())
    }

    /// Writes every new value and deletes every key that has none, in order of table and key.
    ///
    /// The old values are not looked at: it is right on a state in which they hold.
    ///
    /// # Errors
    /// As the writer's operations; earlier ones have been written then.
    pub fn apply(&self, to: &mut impl Writer) -> Result<()> {
        self.iter().try_for_each(|change| match change.new {
            Some(value) => to.put(change.table, change.key, value),
            None => to.delete(change.table, change.key),
        })
    }

    /// What applying the batch would change on this reader's state: the last operation on a key
    /// wins, and a range delete becomes a change of each key that it removes.
    ///
    /// The batch is not checked against limits of keys and values; the store does that. Cost: a get
    /// for each key of the batch and a scan of every deleted range; memory for the old values of
    /// all keys touched.
    ///
    /// # Errors
    /// As [`Reader::get`] and [`Cursor::next`].
    pub fn capture(reader: &impl Reader, batch: &WriteBatch) -> Result<Self> {
        let mut touched: BTreeMap<TableId, Changes> = BTreeMap::new();
        for op in batch.ops() {
            let table = op.table();
            let changes = touched.entry(table).or_default();
            match op {
                BatchOp::Put { key, value, .. } => {
                    touch(reader, changes, table, key, Some(value.into()))?;
                }
                BatchOp::Delete { key, .. } => touch(reader, changes, table, key, None)?,
                BatchOp::DeleteRange { start, end, .. } => {
                    let range = end.map_or_else(
                        || KeyRange::from_key(start),
                        |end| KeyRange::half_open(start, end),
                    );
                    touch_range(reader, changes, table, &range)?;
                }
            }
        }
        Ok(Self::normalised(touched))
    }

    /// Drops what did not change, and counts the rest.
    fn normalised(mut tables: BTreeMap<TableId, Changes>) -> Self {
        let (mut len, mut payload_bytes) = (0, 0);
        tables.retain(|_, changes| {
            changes.retain(|key, pair| {
                if pair.is_change() {
                    len += 1;
                    payload_bytes += key.len() + pair.payload_bytes();
                }
                pair.is_change()
            });
            !changes.is_empty()
        });
        Self {
            tables,
            len,
            payload_bytes,
        }
    }
}

fn view<'c>(table: TableId, key: &'c [u8], pair: &'c Pair) -> Change<'c> {
    Change {
        table,
        key,
        old: pair.old.as_deref(),
        new: pair.new.as_deref(),
    }
}

/// A value by its length only, because messages never print values.
fn described(value: Option<&[u8]>) -> String {
    value.map_or_else(
        || "an absent key".to_owned(),
        |value| format!("a value of {} bytes", value.len()),
    )
}

/// Sets the new value of a key; the old one is read when the key is touched first.
fn touch(
    reader: &impl Reader,
    changes: &mut Changes,
    table: TableId,
    key: &[u8],
    new: Option<Box<[u8]>>,
) -> Result<()> {
    match changes.entry(key.into()) {
        Slot::Occupied(mut slot) => slot.get_mut().new = new,
        Slot::Vacant(slot) => {
            let old = reader.get(table, key)?.map(|value| Box::from(&*value));
            slot.insert(Pair { old, new });
        }
    }
    Ok(())
}

/// Removes every key of the range: those touched before, and those that the reader has.
fn touch_range(
    reader: &impl Reader,
    changes: &mut Changes,
    table: TableId,
    range: &KeyRange,
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let end = range.end().map_or(Bound::Unbounded, Bound::Excluded);
    for (_, pair) in changes.range_mut::<[u8], _>((Bound::Included(range.start()), end)) {
        pair.new = None;
    }
    let mut cursor = reader.cursor(table, range.clone())?;
    while let Some(row) = cursor.next()? {
        if !changes.contains_key(row.key) {
            let removed = Pair {
                old: Some(row.value.into()),
                new: None,
            };
            changes.insert(row.key.into(), removed);
        }
    }
    Ok(())
}
