//! Writing through a mutant: every operation goes to the model, with at most one mistake on the
//! way.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage_api::{
    Commit, Count, Durability, Error, ErrorKind, KeyRange, KvStore, Reader, Result, Savepoint,
    TableId, WriteTxn, Writer,
};

use super::Mutation;
use super::read::{MutantCursor, MutantValue, count, get, multi_get};
use super::store::Shared;
use crate::model::ModelTxn;
use crate::probe::{ReadProbe, Row};

/// A write transaction with a mistake.
#[derive(Debug)]
pub(crate) struct MutantTxn<'s> {
    inner: Option<ModelTxn<'s>>,
    shared: &'s Arc<Shared>,
    /// Range deletes since each mark, the last list being the present one.
    range_deletes: Vec<Vec<(TableId, KeyRange)>>,
    /// The first row of a deleted range.
    deleted: Vec<(TableId, KeyRange, Row)>,
    last_touched: Option<TableId>,
    is_failed: Cell<bool>,
}

fn gone() -> Error {
    Error::invalid("the transaction has ended")
}

impl<'s> MutantTxn<'s> {
    pub(super) fn new(inner: ModelTxn<'s>, shared: &'s Arc<Shared>) -> Self {
        shared.open_txns.fetch_add(1, Ordering::SeqCst);
        Self {
            inner: Some(inner),
            shared,
            range_deletes: vec![Vec::new()],
            deleted: Vec::new(),
            last_touched: None,
            is_failed: Cell::new(false),
        }
    }

    fn inner(&self) -> Result<&ModelTxn<'s>> {
        self.inner.as_ref().ok_or_else(gone)
    }

    fn inner_mut(&mut self) -> Result<&mut ModelTxn<'s>> {
        self.inner.as_mut().ok_or_else(gone)
    }

    /// Reads from the transaction, or from the last commit where the mistake says so.
    fn read<T>(&self, old: Mutation, read: impl FnOnce(&dyn ReadProbe) -> Result<T>) -> Result<T> {
        if self.shared.is(old) {
            return read(&self.shared.store.begin_read()?);
        }
        read(self.inner()?)
    }

    /// Passes an operation's outcome on, with what the mistake makes of a refusal.
    fn checked(&self, outcome: Result<()>, key: &[u8]) -> Result<()> {
        let Err(error) = outcome else {
            return if self.is_failed.get() {
                Err(ErrorKind::TxnFailed.into())
            } else {
                Ok(())
            };
        };
        if self.shared.is(Mutation::RefusalEndsTxn) {
            self.is_failed.set(true);
        }
        self.shared.accepted_or(error, key)
    }

    fn put_checked(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        let shared = self.shared;
        let mut key = shared.key_kept(key);
        if shared.is(Mutation::LongKeyCut) {
            key.truncate(511);
        }
        let value = match shared.mutation {
            Mutation::ValuesCut => &value[..value.len().min(65_536)],
            _ => value,
        };
        let old = ReadProbe::get(self.inner()?, table, &key)?;
        let covered =
            |(of, range, _): &&(TableId, KeyRange, Row)| *of == table && range.contains(&key);
        let resurrected = self.deleted.iter().find(covered).cloned();
        match shared.mutation {
            Mutation::EmptyPutIgnored if old.is_some() && value.is_empty() => return Ok(()),
            Mutation::AppendHintDropsKeys if self.is_late(table, &key)? => return Ok(()),
            Mutation::CountGrowsOnOverwrite if old.is_some() => shared.note_overwrite(table),
            Mutation::ViewSeesUncommitted => shared.note_uncommitted(table, &key, value),
            _ => {}
        }
        self.last_touched = Some(table);
        self.inner_mut()?.put(table, &key, value)?;
        match resurrected {
            Some((table, _, (key, value))) if shared.is(Mutation::DeletedKeyResurrected) => {
                self.inner_mut()?.put(table, &key, &value)
            }
            _ => Ok(()),
        }
    }

    fn is_late(&self, table: TableId, key: &[u8]) -> Result<bool> {
        let hinted = self
            .shared
            .store
            .catalogue()
            .get(table)
            .is_some_and(|table| table.def.hints().access == storage_api::AccessHint::AppendOnly);
        let later = KeyRange::from_key(key);
        Ok(hinted && !ReadProbe::rows(self.inner()?, table, later)?.is_empty())
    }

    fn delete_checked(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        let shared = self.shared;
        let key = shared.key_kept(key);
        let present = ReadProbe::get(self.inner()?, table, &key)?.is_some();
        self.inner_mut()?.delete(table, &key)?;
        if shared.is(Mutation::DeleteTakesNeighbour) && !present {
            let before = ReadProbe::rows(self.inner()?, table, KeyRange::half_open(b"", &key))?;
            if let Some((neighbour, _)) = before.last() {
                self.inner_mut()?.delete(table, neighbour)?;
            }
        }
        Ok(())
    }

    fn delete_range_checked(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        let mutation = self.shared.mutation;
        let range = match (mutation, range.end()) {
            (Mutation::RangeDeleteLeavesTail, None) => {
                KeyRange::half_open(range.start(), &[0xff; 16])
            }
            (Mutation::RangeDeleteTakesEnd, Some(end)) if !range.is_empty() => {
                let mut end = end.to_vec();
                end.push(0);
                KeyRange::half_open(range.start(), &end)
            }
            (Mutation::EmptyRangeDeletesAll, _) if range.is_empty() => KeyRange::all(),
            _ => range.clone(),
        };
        let rows = ReadProbe::rows(self.inner()?, table, range.clone())?;
        self.inner_mut()?.delete_range(table, &range)?;
        if let Some(list) = self.range_deletes.last_mut() {
            list.push((table, range.clone()));
        }
        if let Some(row) = rows.first() {
            self.deleted.push((table, range, row.clone()));
        }
        match rows.last() {
            Some((key, value)) if mutation == Mutation::RangeDeleteLeavesLast => {
                self.inner_mut()?.put(table, key, value)
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<ModelTxn<'s>> {
        let mut inner = self.inner.take().ok_or_else(gone)?;
        self.shared.open_txns.fetch_sub(1, Ordering::SeqCst);
        self.shared.forget_uncommitted();
        if let (true, Some(table)) = (
            self.shared.is(Mutation::CommitForgetsATable),
            self.last_touched,
        ) {
            let view = self.shared.store.begin_read()?;
            inner.delete_range(table, &KeyRange::all())?;
            for (key, value) in ReadProbe::rows(&view, table, KeyRange::all())? {
                inner.put(table, &key, &value)?;
            }
        }
        Ok(inner)
    }
}

impl Drop for MutantTxn<'_> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            let commits = self.shared.is(Mutation::DropCommits);
            if let (Ok(inner), true) = (self.finish(), commits) {
                // A mistake has nobody to report to.
                let _ = inner.commit(Durability::Volatile);
            }
        }
    }
}

impl Reader for MutantTxn<'_> {
    type Value<'a>
        = MutantValue
    where
        Self: 'a;
    type Cursor<'a>
        = MutantCursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<MutantValue>> {
        let get = |reader: &dyn ReadProbe| get(self.shared, reader, table, key);
        self.read(Mutation::TxnGetMissesOwnWrites, get)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<MutantCursor<'_>> {
        let make = |reader: &dyn ReadProbe| MutantCursor::new(self.shared, reader, table, &range);
        self.read(Mutation::TxnScanMissesOwnWrites, make)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        let count = |reader: &dyn ReadProbe| count(self.shared, reader, table);
        self.read(Mutation::TxnCountMissesOwnWrites, count)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        if self.shared.is(Mutation::TxnMultiGetMissesOwnWrites) {
            return Reader::multi_get(&self.shared.store.begin_read()?, table, keys, sink);
        }
        multi_get(self.shared, self, table, keys, sink)
    }
}

impl Writer for MutantTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        let outcome = self.put_checked(table, key, value);
        self.checked(outcome, key)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        if self.shared.is(Mutation::DeleteIgnored) && !key.is_empty() {
            return Ok(());
        }
        let outcome = self.delete_checked(table, key);
        self.checked(outcome, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        let outcome = self.delete_range_checked(table, range);
        self.checked(outcome, b"")
    }
}

impl WriteTxn for MutantTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.range_deletes.push(Vec::new());
        self.inner_mut()?.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let mutation = self.shared.mutation;
        let to = match mutation {
            Mutation::RollbackTooFar => Savepoint::at_depth(0),
            _ => savepoint,
        };
        let ignored = mutation == Mutation::RollbackIgnored;
        let rolled = if ignored {
            Ok(())
        } else {
            self.inner_mut()?.rollback_to(to)
        };
        match rolled {
            Err(_) if mutation == Mutation::BadMarkAccepted => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let kept = 1 + savepoint.depth() as usize;
        let undone: Vec<_> = self
            .range_deletes
            .drain(kept.min(self.range_deletes.len())..)
            .flatten()
            .collect();
        self.range_deletes.push(Vec::new());
        self.deleted.clear();
        if mutation == Mutation::RollbackKeepsRangeDeletes {
            for (table, range) in undone {
                self.inner_mut()?.delete_range(table, &range)?;
            }
        }
        if mutation == Mutation::RollbackForgetsMark {
            self.inner_mut()?.release(savepoint)?;
        }
        Ok(())
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        if self.shared.is(Mutation::ReleaseRollsBack) {
            self.inner_mut()?.rollback_to(savepoint)?;
        }
        match self.inner_mut()?.release(savepoint) {
            Err(_) if self.shared.is(Mutation::BadMarkAccepted) => Ok(()),
            outcome => outcome,
        }
    }

    fn commit(mut self, durability: Durability) -> Result<Commit> {
        if self.is_failed.get() {
            return Err(ErrorKind::TxnFailed.into());
        }
        let inner = self.finish()?;
        let number = self.shared.commits.fetch_add(1, Ordering::SeqCst);
        if self.shared.is(Mutation::CommitLost) && number % 7 == 6 {
            let seq = Some(self.shared.store.stats()?.commit_seq.next());
            let effective = self.shared.store.capabilities().effective(durability);
            return inner.abort().map(|()| Commit { seq, effective });
        }
        self.shared.before_commit()?;
        inner
            .commit(durability)
            .map(|commit| self.shared.reported(commit))
    }

    fn abort(mut self) -> Result<()> {
        let inner = self.finish()?;
        if self.shared.is(Mutation::AbortCommits) {
            return inner.commit(Durability::Volatile).map(|_| ());
        }
        inner.abort()
    }
}
