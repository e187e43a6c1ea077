//! Counting inside one view or one transaction.
//!
//! Invariants: a tally belongs to one view or transaction at a time, so its cells are plain memory
//! and no other thread's cache line; it is all zero when it is lent. Tallies are lent and taken
//! back by the register of views under the lock that a view takes anyway, so beginning one
//! allocates only while there are more views than ever before.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use storage_api::{Result, TableId};

use crate::registry::Registry;
use crate::tables::{self, Rule};

/// A scan is timed by so many rows; a power of two, so that counting a row stays cheap.
pub(crate) const SCAN_STRIDE_ROWS: u64 = 1024;

/// One table's numbers, beside its rule, which every call needs too: one look-up gives both.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct TableTally {
    rule: Option<Rule>,
    pub(crate) gets: Cell<u64>,
    pub(crate) seeks: Cell<u64>,
    pub(crate) rows: Cell<u64>,
    pub(crate) puts: Cell<u64>,
    pub(crate) deletes: Cell<u64>,
    pub(crate) range_deletes: Cell<u64>,
}

/// Adds to a cell. It cannot overflow in the life of a process.
#[inline]
pub(super) fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().wrapping_add(more));
}

impl TableTally {
    #[inline]
    pub(crate) fn count_get(&self) {
        add(&self.gets, 1);
    }

    #[inline]
    pub(crate) fn count_gets(&self, keys: usize) {
        add(&self.gets, keys as u64);
    }

    #[inline]
    pub(crate) fn count_seek(&self) {
        add(&self.seeks, 1);
    }

    #[inline]
    pub(crate) fn count_row(&self) {
        add(&self.rows, 1);
    }

    /// Whether the next row is the last of a stride.
    #[inline]
    pub(crate) fn ends_stride(&self) -> bool {
        self.rows.get() % SCAN_STRIDE_ROWS == SCAN_STRIDE_ROWS - 1
    }

    #[inline]
    pub(crate) fn count_put(&self) {
        add(&self.puts, 1);
    }

    #[inline]
    pub(crate) fn count_delete(&self) {
        add(&self.deletes, 1);
    }

    #[inline]
    pub(crate) fn count_range_delete(&self) {
        add(&self.range_deletes, 1);
    }

    pub(super) fn is_zero(&self) -> bool {
        let reads = self.gets.get() | self.seeks.get() | self.rows.get();
        let writes = self.puts.get() | self.deletes.get() | self.range_deletes.get();
        reads | writes == 0
    }
}

/// The numbers of all tables, by table number.
#[derive(Debug, Default)]
pub(crate) struct Tally(Box<[TableTally]>);

impl Tally {
    /// All zero, over tables with these rules.
    pub(super) fn new(rules: &[Option<Rule>]) -> Self {
        let tables = rules.iter().map(|rule| TableTally {
            rule: *rule,
            ..TableTally::default()
        });
        Self(tables.collect())
    }

    /// The numbers and the rule of a table.
    #[inline]
    pub(crate) fn of(&self, table: TableId) -> Result<(&TableTally, Rule)> {
        match self.0.get(table.index()) {
            Some(tally) => match tally.rule {
                Some(rule) => Ok((tally, rule)),
                None => Err(tables::unknown(table)),
            },
            None => Err(tables::unknown(table)),
        }
    }

    /// Operations that write.
    pub(crate) fn writes(&self) -> u64 {
        let of = |t: &TableTally| t.puts.get() + t.deletes.get() + t.range_deletes.get();
        self.0.iter().map(of).sum()
    }

    pub(super) fn tables(&self) -> &[TableTally] {
        &self.0
    }

    /// Zero again, and nothing is added anywhere.
    pub(crate) fn forget(&self) {
        for table in self.0.iter().filter(|table| !table.is_zero()) {
            for cell in [
                &table.gets,
                &table.seeks,
                &table.rows,
                &table.puts,
                &table.deletes,
                &table.range_deletes,
            ] {
                cell.set(0);
            }
        }
    }
}

/// A tally lent to a writer; it is added to the counters and given back when this drops.
#[derive(Debug)]
pub(crate) struct Lent {
    tally: Tally,
    registry: Arc<Registry>,
}

impl Lent {
    pub(crate) fn from(registry: &Arc<Registry>) -> Self {
        Self {
            tally: registry.lend(),
            registry: Arc::clone(registry),
        }
    }
}

impl Deref for Lent {
    type Target = Tally;

    fn deref(&self) -> &Tally {
        &self.tally
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.registry.take_back(std::mem::take(&mut self.tally));
    }
}
