//! [`Index`]: where the latest operation on each key stands in the batch, by table, and what range
//! deletes hide.
//!
//! Invariants: the index describes exactly the first `indexed` operations of the batch; an entry
//! wins over the hidden set, which wins over the base. Operations behind the outermost savepoint
//! carry an undo record, so that rolling back costs what the operations taken back cost, not what
//! the kept ones do. Cost: one search and one insertion an operation, 56 bytes a key up to 40 bytes
//! long.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::contract::{BatchOp, WriteBatch};
use crate::overlay::hidden::{Added, Hidden};
use crate::range::KeyBuf;
use crate::table::TableId;

/// The place of a put or a delete in the batch; the lowest bit tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    const fn put(at: usize) -> Self {
        Self(at << 1 | 1)
    }

    const fn delete(at: usize) -> Self {
        Self(at << 1)
    }

    pub(super) const fn is_put(self) -> bool {
        self.0 & 1 == 1
    }

    /// The value that the operation put, `None` when it deleted.
    pub(super) fn value(self, batch: &WriteBatch) -> Option<&[u8]> {
        match batch.get(self.0 >> 1) {
            Some(BatchOp::Put { value, .. }) if self.is_put() => Some(value),
            _ => None,
        }
    }
}

/// How to take one indexed operation back.
#[derive(Debug)]
enum Undo {
    /// What the key's entry was before.
    Entry(Option<Slot>),
    /// What a range delete removed and hid.
    Range(Box<RangeUndo>),
}

#[derive(Debug)]
struct RangeUndo {
    entries: Vec<(KeyBuf, Slot)>,
    added: Added,
}

/// The overlay's own state of one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TableIndex {
    pub(super) entries: BTreeMap<KeyBuf, Slot>,
    pub(super) hidden: Hidden,
    puts: usize,
}

impl TableIndex {
    /// Own entries that are puts.
    pub(super) const fn puts(&self) -> usize {
        self.puts
    }

    /// Own entries that are deletes.
    pub(super) fn deletes(&self) -> usize {
        self.entries.len() - self.puts
    }

    fn set(&mut self, key: &[u8], slot: Slot) -> Option<Slot> {
        let old = self.entries.insert(KeyBuf::from_slice(key), slot);
        self.puts += usize::from(slot.is_put());
        self.puts -= usize::from(old.is_some_and(Slot::is_put));
        old
    }

    fn unset(&mut self, key: &[u8], old: Option<Slot>) {
        match old {
            Some(old) => {
                self.set(key, old);
            }
            None => {
                let gone = self.entries.remove(key);
                self.puts -= usize::from(gone.is_some_and(Slot::is_put));
            }
        }
    }

    fn hide(&mut self, start: &[u8], end: Option<&[u8]>) -> RangeUndo {
        let mut entries = Vec::new();
        while let Some((key, slot)) = self.take_first(start, end) {
            self.puts -= usize::from(slot.is_put());
            entries.push((key, slot));
        }
        let added = self.hidden.add(start, end);
        RangeUndo { entries, added }
    }

    fn take_first(&mut self, start: &[u8], end: Option<&[u8]>) -> Option<(KeyBuf, Slot)> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (Bound::Included(start), end);
        let (key, _) = self.entries.range::<[u8], _>(range).next()?;
        let key = key.clone();
        self.entries.remove_entry(&key)
    }

    fn unhide(&mut self, undo: RangeUndo) {
        self.hidden.undo(undo.added);
        let puts = undo.entries.iter().filter(|(_, slot)| slot.is_put());
        self.puts += puts.count();
        self.entries.extend(undo.entries);
    }
}

/// The overlay's own state of all tables.
#[derive(Debug, Default)]
pub(super) struct Index {
    tables: Vec<Option<Box<TableIndex>>>,
    indexed: usize,
    undo: Vec<Undo>,
}

impl Index {
    /// The state of a table, `None` when nothing was ever written to it.
    #[inline]
    pub(super) fn table(&self, table: TableId) -> Option<&TableIndex> {
        self.tables.get(table.index())?.as_deref()
    }

    fn table_mut(&mut self, table: TableId) -> &mut TableIndex {
        let at = table.index();
        if at >= self.tables.len() {
            self.tables.resize_with(at + 1, || None);
        }
        self.tables[at].get_or_insert_default()
    }

    /// Indexes the operations that the index does not have yet. Those from `undo_from` on get undo
    /// records.
    pub(super) fn catch_up(&mut self, batch: &WriteBatch, undo_from: Option<usize>) {
        for at in self.indexed..batch.len() {
            let Some(op) = batch.get(at) else { break };
            let table = self.table_mut(op.table());
            let undo = match op {
                BatchOp::Put { key, .. } => Undo::Entry(table.set(key, Slot::put(at))),
                BatchOp::Delete { key, .. } => Undo::Entry(table.set(key, Slot::delete(at))),
                BatchOp::DeleteRange { start, end, .. } => {
                    Undo::Range(Box::new(table.hide(start, end)))
                }
            };
            if undo_from.is_some_and(|from| at >= from) {
                self.undo.push(undo);
            }
        }
        self.indexed = batch.len();
    }

    /// Takes back every operation from the one at `len` on; the batch still has them.
    pub(super) fn unwind(&mut self, batch: &WriteBatch, len: usize) {
        while self.indexed > len {
            let at = self.indexed - 1;
            let (Some(op), Some(undo)) = (batch.get(at), self.undo.pop()) else {
                // No record to go by: the next read builds the index anew from the kept operations.
                *self = Self::default();
                return;
            };
            let table = self.table_mut(op.table());
            match (op, undo) {
                (BatchOp::Put { key, .. } | BatchOp::Delete { key, .. }, Undo::Entry(old)) => {
                    table.unset(key, old);
                }
                (_, Undo::Range(range)) => table.unhide(*range),
                (BatchOp::DeleteRange { .. }, Undo::Entry(_)) => {
                    *self = Self::default();
                    return;
                }
            }
            self.indexed = at;
        }
    }

    /// Forgets how to take operations back, since no savepoint is left.
    pub(super) fn forget_undo(&mut self) {
        self.undo.clear();
    }

    #[cfg(test)]
    pub(super) fn written_tables(&self) -> Vec<(usize, &TableIndex)> {
        let tables = self.tables.iter().enumerate();
        let written = tables.filter_map(|(at, table)| Some((at, table.as_deref()?)));
        written
            .filter(|(_, table)| !table.entries.is_empty() || !table.hidden.is_empty())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn indexed(&self) -> usize {
        self.indexed
    }

    #[cfg(test)]
    pub(super) fn undo_records(&self) -> usize {
        self.undo.len()
    }
}
