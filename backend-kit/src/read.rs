//! Reading through the kit: views, and what a view and a write transaction do alike.
//!
//! Invariants: a key that cannot be stored is absent (traps 1 and 2); an engine sees only tables
//! that exist, keys that are legal and ranges that are not empty; a value of a table with envelope
//! is checked before it is lent. Cost over the engine's call: an index into the reader's own table
//! of rules and counts, two comparisons and one addition.

use std::cell::Cell;
use std::fmt;
use std::ops::{ControlFlow, Deref};
use std::sync::Arc;
use std::time::Instant;

use storage_api::{
    CommitSeq, Count, Cursor, Entry, Error, KeyRange, ReadTxn, Reader, Result, TableId, Visit,
    envelope,
};

use crate::boundary;
use crate::metrics::{SCAN_STRIDE_ROWS, TableTally, Tally};
use crate::raw::RawEngine;
use crate::registry::{Deadline, Registry, Ticket};
use crate::shared::Shared;

/// The row of the internal table that holds the last ordered commit, as 8 bytes little endian.
pub(crate) const SEQ_KEY: &[u8] = b"commit-seq";

/// A value, its envelope cut off.
#[derive(Debug)]
pub struct Value<V> {
    raw: V,
    trim: usize,
}

impl<V: Deref<Target = [u8]>> Deref for Value<V> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = &self.raw;
        // The envelope was opened when the value was made, so the stored bytes are long enough.
        bytes.split_at(bytes.len().saturating_sub(self.trim)).0
    }
}

/// Reads one key.
#[inline(always)]
pub(crate) fn get<'r, E: RawEngine, R: Reader>(
    (shared, tally): (&Shared<E>, &Tally),
    reader: &'r R,
    table: TableId,
    key: &[u8],
) -> Result<Option<Value<R::Value<'r>>>> {
    let (count, rule) = tally.of(table)?;
    count.count_get();
    if key.is_empty() || key.len() > rule.key_bytes_max {
        return Ok(None);
    }
    let found = boundary::call::<E, _>(move || reader.get(table, key))
        .map_err(|error| shared.explain(error, "get", table))?;
    match found {
        None => Ok(None),
        Some(raw) if rule.envelope => {
            envelope::open(table, key, &raw)
                .map_err(|error| shared.explain(error, "get", table))?;
            Ok(Some(Value {
                raw,
                trim: envelope::ENVELOPE_BYTES,
            }))
        }
        Some(raw) => Ok(Some(Value { raw, trim: 0 })),
    }
}

/// Reads several keys.
pub(crate) fn multi_get<E: RawEngine, R: Reader>(
    (shared, tally): (&Shared<E>, &Tally),
    reader: &R,
    table: TableId,
    keys: &[&[u8]],
    sink: &mut dyn FnMut(usize, Option<&[u8]>),
) -> Result<()> {
    let (count, rule) = tally.of(table)?;
    let explain = |error| shared.explain(error, "multi_get", table);
    if keys
        .iter()
        .any(|key| key.is_empty() || key.len() > rule.key_bytes_max)
    {
        for (at, key) in keys.iter().enumerate() {
            sink(at, get((shared, tally), reader, table, key)?.as_deref());
        }
        return Ok(());
    }
    count.count_gets(keys.len());
    if !rule.envelope {
        return boundary::call_with_sink::<E>(sink, |sink| reader.multi_get(table, keys, sink))
            .map_err(explain);
    }
    let mut damaged = None;
    let mut check = |at: usize, stored: Option<&[u8]>| match (stored, keys.get(at)) {
        (Some(stored), Some(key)) => match envelope::open(table, key, stored) {
            Ok(value) => sink(at, Some(value)),
            Err(error) => damaged = Some(error),
        },
        _ => sink(at, None),
    };
    boundary::call_with_sink::<E>(&mut check, |check| reader.multi_get(table, keys, check))
        .map_err(explain)?;
    damaged.map_or(Ok(()), |error| Err(explain(error)))
}

/// Counts rows.
pub(crate) fn count<E: RawEngine, R: Reader>(
    shared: &Shared<E>,
    reader: &R,
    table: TableId,
) -> Result<Count> {
    shared.rules.of(table)?;
    boundary::call::<E, _>(|| reader.count(table))
        .map_err(|error| shared.explain(error, "count", table))
}

/// Begins a cursor.
pub(crate) fn cursor<'r, E: RawEngine, R: Reader>(
    (shared, tally): (&'r Shared<E>, &'r Tally),
    reader: &'r R,
    table: TableId,
    range: KeyRange,
    watch: Option<(&'r Registry, Deadline)>,
) -> Result<TableCursor<'r, E, R::Cursor<'r>>> {
    let (count, rule) = tally.of(table)?;
    let raw = if range.is_empty() {
        None
    } else {
        let begun = boundary::call::<E, _>(move || reader.cursor(table, range));
        Some(begun.map_err(|error| shared.explain(error, "cursor", table))?)
    };
    Ok(TableCursor {
        raw,
        table,
        envelope: rule.envelope,
        watch,
        shared,
        strides: Strides {
            count,
            mark: Cell::new(None),
        },
    })
}

/// The last ordered commit that a raw reader sees.
pub(crate) fn commit_seq<E: RawEngine, R: Reader>(reader: &R) -> Result<CommitSeq> {
    let stored = boundary::call::<E, _>(|| reader.get(TableId::INTERNAL, SEQ_KEY))?;
    match stored {
        None => Ok(CommitSeq::ZERO),
        Some(bytes) => match <[u8; 8]>::try_from(&bytes[..]) {
            // No store gets there by counting, and there is no number behind it.
            Ok([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Err(Error::corruption(
                "internal table",
                "commit sequence of 2^64 - 1",
            )),
            Ok(bytes) => Ok(CommitSeq::new(u64::from_le_bytes(bytes))),
            Err(_) => Err(Error::corruption(
                "internal table",
                format!("commit sequence of {} bytes, 8 expected", bytes.len()),
            )),
        },
    }
}

/// Counts the rows of a cursor and times them by strides.
struct Strides<'r> {
    count: &'r TableTally,
    /// When the last stride of rows ended, and the count of rows at that time.
    mark: Cell<Option<(Instant, u64)>>,
}

impl Strides<'_> {
    /// Before a move that may lead to a row.
    #[inline(always)]
    fn before_row<E: RawEngine>(&self, shared: &Shared<E>, table: TableId) {
        if self.count.ends_stride() {
            self.time(shared, table);
        }
    }

    /// The end of a stride, and what follows it.
    #[cold]
    #[inline(never)]
    fn time_and<E: RawEngine, T>(
        &self,
        shared: &Shared<E>,
        table: TableId,
        then: impl FnOnce() -> T,
    ) -> T {
        self.time(shared, table);
        then()
    }

    /// Records how long the rows since the last mark took, if they are one stride.
    #[cold]
    fn time<E: RawEngine>(&self, shared: &Shared<E>, table: TableId) {
        let (now, rows) = (Instant::now(), self.count.rows.get());
        if let Some((began, before)) = self.mark.replace(Some((now, rows)))
            && rows.wrapping_sub(before) == SCAN_STRIDE_ROWS
        {
            let took = now.saturating_duration_since(began);
            shared.meter.record_scan(table, took);
        }
    }
}

/// A cursor over one table. A row whose envelope is damaged is an error of that move; the next move
/// goes on behind it.
pub struct TableCursor<'r, E: RawEngine, C> {
    /// Absent over an empty range, which the engine never sees.
    raw: Option<C>,
    table: TableId,
    envelope: bool,
    watch: Option<(&'r Registry, Deadline)>,
    shared: &'r Shared<E>,
    strides: Strides<'r>,
}

impl<E: RawEngine, C> fmt::Debug for TableCursor<'_, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableCursor")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl<E: RawEngine, C: Cursor> TableCursor<'_, E, C> {
    #[inline(always)]
    fn step<'c>(
        &'c mut self,
        operation: &'static str,
        step: impl FnOnce(&'c mut C) -> Result<Option<Entry<'c>>>,
    ) -> Result<Option<Entry<'c>>> {
        let Self {
            raw,
            table,
            envelope,
            watch,
            shared,
            ..
        } = self;
        if let Some((registry, deadline)) = watch {
            registry.check(Some(*deadline))?;
        }
        let Some(raw) = raw else { return Ok(None) };
        let explain = |error| shared.explain(error, operation, *table);
        let entry = boundary::call::<E, _>(move || step(raw)).map_err(explain)?;
        match entry {
            Some(Entry { key, value }) if *envelope => {
                let value = envelope::open(*table, key, value).map_err(explain)?;
                Ok(Some(Entry { key, value }))
            }
            entry => Ok(entry),
        }
    }
}

impl<E: RawEngine, C: Cursor> TableCursor<'_, E, C> {
    /// Scans rows that need no check.
    fn scan_plain(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let Some(raw) = &mut self.raw else {
            return Ok(());
        };
        let (shared, strides, table) = (self.shared, &self.strides, self.table);
        let is_callers = Cell::new(false);
        let mut each = |key: &[u8], value: &[u8]| {
            strides.count.count_row();
            // Apart, so that nothing is saved for it in the other rows.
            if strides.count.ends_stride() {
                return strides.time_and(shared, table, || {
                    boundary::call_back::<E, _>(&is_callers, || visit(key, value))
                });
            }
            boundary::call_back::<E, _>(&is_callers, || visit(key, value))
        };
        boundary::call_with_callback::<E>(&is_callers, || raw.scan(&mut each))
            .map_err(|error| shared.explain(error, "scan", table))
    }

    /// Scans rows of a table with envelope, or of a view that grows too old: a row that fails its
    /// check is not handed on, and before each move the age is looked at.
    fn scan_checked(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let Some(raw) = &mut self.raw else {
            return Ok(());
        };
        let (shared, strides, table) = (self.shared, &self.strides, self.table);
        let (envelope, watch) = (self.envelope, self.watch);
        let explain = |error| shared.explain(error, "scan", table);
        let is_callers = Cell::new(false);
        let mut stopped = Ok(());
        let mut each = |key: &[u8], value: &[u8]| {
            let opened = if envelope {
                envelope::open(table, key, value).map_err(explain)
            } else {
                Ok(value)
            };
            let value = match opened {
                Ok(value) => value,
                Err(error) => {
                    stopped = Err(error);
                    return ControlFlow::Break(());
                }
            };
            strides.count.count_row();
            strides.before_row(shared, table);
            boundary::call_back::<E, _>(&is_callers, || visit(key, value))?;
            let young = watch.map_or(Ok(()), |(registry, deadline)| {
                registry.check(Some(deadline))
            });
            match young {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    stopped = Err(error);
                    ControlFlow::Break(())
                }
            }
        };
        boundary::call_with_callback::<E>(&is_callers, || raw.scan(&mut each)).map_err(explain)?;
        stopped
    }
}

impl<E: RawEngine, C: Cursor> Cursor for TableCursor<'_, E, C> {
    #[inline]
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.strides.count.count_seek();
        self.step("first", |raw| raw.first())
    }

    #[inline]
    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.strides.count.count_seek();
        self.step("last", |raw| raw.last())
    }

    #[inline]
    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        if key.is_empty() {
            return self.first();
        }
        self.strides.count.count_seek();
        self.step("seek", |raw| raw.seek(key))
    }

    #[inline]
    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.strides.count.count_seek();
        if key.is_empty() {
            // No key is at or before the empty one, and engines never see it: stand before the
            // first row.
            self.step("first", |raw| raw.first())?;
            return self.step("prev", |raw| raw.prev());
        }
        self.step("seek_back", |raw| raw.seek_back(key))
    }

    #[inline(always)]
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.strides.before_row(self.shared, self.table);
        let count = self.strides.count;
        let row = self.step("next", |raw| raw.next());
        if let Ok(Some(_)) = row {
            count.count_row();
        }
        row
    }

    #[inline(always)]
    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.strides.before_row(self.shared, self.table);
        let count = self.strides.count;
        let row = self.step("prev", |raw| raw.prev());
        if let Ok(Some(_)) = row {
            count.count_row();
        }
        row
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.strides.before_row(self.shared, self.table);
        if let Some((registry, deadline)) = self.watch {
            registry.check(Some(deadline))?;
        }
        if self.envelope || self.watch.is_some() {
            self.scan_checked(visit)
        } else {
            self.scan_plain(visit)
        }
    }
}

/// An owned view of one commit. It keeps the engine open and the directory locked until it drops.
pub struct View<E: RawEngine> {
    // The order of fields is the order of dropping: the engine's view, the ticket, the engine.
    raw: E::View,
    ticket: Ticket,
    shared: Arc<Shared<E>>,
}

impl<E: RawEngine> View<E> {
    pub(crate) fn new(raw: E::View, ticket: Ticket, shared: Arc<Shared<E>>) -> Self {
        Self {
            raw,
            ticket,
            shared,
        }
    }

    #[inline]
    fn counted(&self) -> (&Shared<E>, &Tally) {
        (&self.shared, self.ticket.tally())
    }
}

impl<E: RawEngine> fmt::Debug for View<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("engine", &E::NAME)
            .finish_non_exhaustive()
    }
}

impl<E: RawEngine> Reader for View<E> {
    type Value<'a> = Value<<E::View as Reader>::Value<'a>>;
    type Cursor<'a> = TableCursor<'a, E, <E::View as Reader>::Cursor<'a>>;

    #[inline(always)]
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.ticket.check()?;
        get(self.counted(), &self.raw, table, key)
    }

    #[inline]
    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.ticket.check()?;
        cursor(self.counted(), &self.raw, table, range, self.ticket.watch())
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.ticket.check()?;
        count(&self.shared, &self.raw, table)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.ticket.check()?;
        multi_get(self.counted(), &self.raw, table, keys, sink)
    }
}

impl<E: RawEngine> ReadTxn for View<E> {
    fn commit_seq(&self) -> Result<CommitSeq> {
        self.ticket.check()?;
        commit_seq::<E, _>(&self.raw).map_err(|error| error.with_engine(E::NAME))
    }
}
