//! Reading through a mutant: every answer of the model, with at most one mistake on the way.
//!
//! Rows and values are copied; speed is not the point here.

use std::ops::Bound;
use std::sync::Arc;

use storage_api::{
    CommitSeq, Count, Cursor, Entry, Error, ErrorKind, KeyRange, KvStore, ReadTxn, Reader, Result,
    TableId, Visit,
};

use super::Mutation;
use super::store::Shared;
use crate::model::ModelView;
use crate::probe::{ReadProbe, Row};

/// A copied value.
#[derive(Debug)]
pub(crate) struct MutantValue(Vec<u8>);

impl std::ops::Deref for MutantValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A view with a mistake.
#[derive(Debug)]
pub(crate) struct MutantView {
    pub(super) inner: Option<ModelView>,
    pub(super) shared: Arc<Shared>,
}

impl Drop for MutantView {
    fn drop(&mut self) {
        if self.shared.is(Mutation::ReaderPlacesLeak) {
            std::mem::forget(self.inner.take());
        }
    }
}

impl MutantView {
    fn inner(&self) -> Result<&ModelView> {
        self.inner
            .as_ref()
            .ok_or_else(|| Error::invalid("the view was dropped"))
    }

    /// Reads from this view, or from the last commit where the mistake says so.
    fn read<T>(&self, late: Mutation, read: impl FnOnce(&dyn ReadProbe) -> Result<T>) -> Result<T> {
        if self.shared.is(late) {
            return read(&self.shared.store.begin_read()?);
        }
        read(self.inner()?)
    }
}

impl Reader for MutantView {
    type Value<'a> = MutantValue;
    type Cursor<'a> = MutantCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<MutantValue>> {
        if let Some(value) = self.shared.uncommitted(table, key) {
            return Ok(Some(MutantValue(value)));
        }
        let get = |reader: &dyn ReadProbe| get(&self.shared, reader, table, key);
        self.read(Mutation::ViewGetsLaterCommits, get)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<MutantCursor<'_>> {
        let make = |reader: &dyn ReadProbe| MutantCursor::new(&self.shared, reader, table, &range);
        let mut cursor = self.read(Mutation::ViewScansLaterCommits, make)?;
        cursor.view = self.inner.as_ref();
        Ok(cursor)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        count(&self.shared, self.inner()?, table)
    }

    fn contains(&self, table: TableId, key: &[u8]) -> Result<bool> {
        let value = Reader::get(self, table, key)?;
        let denied = self.shared.is(Mutation::ContainsDeniesEmpty);
        Ok(value.is_some_and(|value| !(denied && value.is_empty())))
    }

    fn get_with(&self, table: TableId, key: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = Reader::get(self, table, key)?;
        if let Some(value) = &value {
            sink(value);
            if self.shared.is(Mutation::GetWithCallsTwice) {
                sink(value);
            }
        }
        Ok(value.is_some())
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        multi_get(&self.shared, self, table, keys, sink)
    }
}

impl ReadTxn for MutantView {
    fn commit_seq(&self) -> Result<CommitSeq> {
        if self.shared.is(Mutation::ViewReportsLastCommit) {
            return Ok(self.shared.store.stats()?.commit_seq);
        }
        self.inner()?.commit_seq()
    }
}

/// The table that is read instead.
fn table_read(shared: &Shared, table: TableId) -> TableId {
    let by_name = |name: &str| shared.store.catalogue().id(name).ok();
    match (
        shared.is(Mutation::TablesSwapped),
        by_name("b"),
        by_name("c"),
    ) {
        (true, Some(b), Some(c)) if table == b => c,
        _ => table,
    }
}

fn is_unknown(shared: &Shared, table: TableId) -> bool {
    shared.store.catalogue().get(table).is_none()
}

pub(super) fn get(
    shared: &Shared,
    reader: &dyn ReadProbe,
    table: TableId,
    key: &[u8],
) -> Result<Option<MutantValue>> {
    if shared.is(Mutation::UnknownTableEmpty) && is_unknown(shared, table) {
        return Ok(None);
    }
    if shared.is(Mutation::EmptyKeyReadFails) && key.is_empty() {
        return Err(ErrorKind::EmptyKey.into());
    }
    if shared.is(Mutation::LongKeyReadFails) && key.len() > 511 {
        return Err(ErrorKind::KeyTooLong {
            len: key.len(),
            max: 511,
        }
        .into());
    }
    let key = shared.key_kept(key);
    let mut value = reader.get(table_read(shared, table), &key)?;
    if shared.is(Mutation::EmptyValueAbsent) {
        value = value.filter(|value| !value.is_empty());
    }
    Ok(value.map(MutantValue))
}

pub(super) fn count(shared: &Shared, reader: &dyn ReadProbe, table: TableId) -> Result<Count> {
    let count = reader.count(table)?;
    if shared.is(Mutation::CountLies) {
        return Ok(Count::Exact(count.get() / 16 * 16));
    }
    if shared.is(Mutation::CountGrowsOnOverwrite) {
        return Ok(Count::Exact(count.get() + shared.overwrites(table)));
    }
    Ok(count)
}

pub(super) fn multi_get<R: Reader>(
    shared: &Shared,
    reader: &R,
    table: TableId,
    keys: &[&[u8]],
    sink: &mut dyn FnMut(usize, Option<&[u8]>),
) -> Result<()> {
    if keys.is_empty() {
        return Reader::count(reader, table).map(drop);
    }
    let mut asked = keys.to_vec();
    if shared.is(Mutation::MultiGetSorts) {
        asked.sort_unstable();
    }
    for (at, key) in asked.iter().enumerate() {
        let seen_before = asked[..at].contains(key);
        if !(seen_before && shared.is(Mutation::MultiGetSkipsDuplicates)) {
            sink(at, Reader::get(reader, table, key)?.as_deref());
        }
    }
    Ok(())
}

/// A cursor over copied rows, as the contract words it, with a mistake.
#[derive(Debug)]
pub(crate) struct MutantCursor<'a> {
    rows: Vec<Row>,
    start: Vec<u8>,
    /// As in [`crate::ops::ModelCursor`].
    place: usize,
    is_fresh: bool,
    mutation: Mutation,
    /// The view that grows old under the cursor; none in a transaction.
    view: Option<&'a ModelView>,
}

/// The range that is read instead.
fn range_read(mutation: Mutation, range: KeyRange) -> KeyRange {
    let ff_only = !range.start().is_empty() && range.start().iter().all(|byte| *byte == 0xff);
    let end = range.end().map(<[u8]>::to_vec);
    match (mutation, &end) {
        (Mutation::EmptyRangeIsEverything, _) if range.is_empty() => KeyRange::all(),
        (Mutation::RangeIncludesEnd, Some(end)) if !range.is_empty() => {
            KeyRange::new(Bound::Included(range.start()), Bound::Included(end))
        }
        (Mutation::RangeExcludesStart, _) if !range.start().is_empty() => {
            let end = end
                .as_ref()
                .map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
            KeyRange::new(Bound::Excluded(range.start()), end)
        }
        (Mutation::PrefixOfFfEndsEarly, None) if ff_only => {
            KeyRange::half_open(range.start(), &[0xff; 32])
        }
        _ => range,
    }
}

impl MutantCursor<'_> {
    pub(super) fn new(
        shared: &Shared,
        reader: &dyn ReadProbe,
        table: TableId,
        range: &KeyRange,
    ) -> Result<Self> {
        let mutation = shared.mutation;
        let mut rows = if mutation == Mutation::UnknownTableEmpty && is_unknown(shared, table) {
            Vec::new()
        } else {
            let range = range_read(mutation, range.clone());
            reader.rows(table_read(shared, table), range)?
        };
        match mutation {
            Mutation::LengthFirstOrder => rows.sort_by_key(|(key, _)| (key.len(), key.clone())),
            Mutation::SignedOrder => rows.sort_by_key(|(key, _)| {
                key.iter()
                    .map(|byte| byte.cast_signed())
                    .collect::<Vec<i8>>()
            }),
            _ => {}
        }
        let start = range.start().to_vec();
        Ok(Self {
            rows,
            start,
            place: 0,
            is_fresh: true,
            mutation,
            view: None,
        })
    }

    fn stand(&mut self, place: usize) -> Result<Option<Entry<'_>>> {
        if self.mutation != Mutation::CursorForgetsAge {
            self.view.map_or(Ok(()), ModelView::check_age)?;
        }
        self.is_fresh = false;
        self.place = place;
        let row = place.checked_sub(1).and_then(|row| self.rows.get(row));
        Ok(row.map(|(key, value)| Entry { key, value }))
    }

    fn behind(&self) -> usize {
        self.rows.len() + 1
    }
}

impl Cursor for MutantCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand(1)
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.stand(self.rows.len())
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let skips = self.mutation == Mutation::SeekSkipsHit;
        let mut place = 1 + self
            .rows
            .partition_point(|(row, _)| row[..] < *key || (skips && row == key));
        if self.mutation == Mutation::SeekBeforeRangeFails && key < &self.start[..] {
            place = self.behind();
        }
        self.stand(place)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let skips = self.mutation == Mutation::SeekBackSkipsHit;
        let place = self
            .rows
            .partition_point(|(row, _)| row[..] < *key || (!skips && row == key));
        self.stand(place)
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let skips = self.mutation == Mutation::NextFromBeforeSkips;
        let step = if skips && self.place == 0 && !self.is_fresh {
            2
        } else {
            1
        };
        self.stand((self.place + step).min(self.behind()))
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        let place = match self.mutation {
            Mutation::FreshPrevGivesLast if self.is_fresh => self.rows.len(),
            Mutation::NoWayBackFromTheEnd if self.place == self.behind() => self.place,
            Mutation::ReverseSkipsFirst if self.place == 2 => 0,
            _ => self.place.saturating_sub(1),
        };
        self.stand(place)
    }

    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let end = match self.mutation {
            Mutation::ScanLeavesLast => self.rows.len(),
            _ => self.behind(),
        };
        while self.place + 1 < end
            && let Some(entry) = self.next()?
        {
            if visit(entry.key, entry.value).is_break() {
                if self.mutation == Mutation::BrokenScanGoesOn {
                    self.next()?;
                }
                return Ok(());
            }
        }
        self.stand(self.behind())?;
        Ok(())
    }
}
