//! Writing through the kit: the write transaction with savepoints, and batches.
//!
//! Invariants: nothing reaches the engine that the contract refuses; every ordered commit carries
//! its number in the same engine transaction; an operation that the engine failed leaves a
//! transaction that can only be aborted; the gate is held until the engine's transaction is gone.
//! Savepoints are one journal of pre-images for every engine that has none of its own, kept only
//! while a savepoint exists (trap 20).

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage_api::{
    BatchOp, Commit, Count, Cursor, Durability, Error, ErrorKind, KeyRange, Reader, Result,
    Savepoint, TableId, WriteBatch, WriteTxn, Writer, envelope,
};

use crate::boundary;
use crate::gate::Exclusive;
use crate::metrics::{CommitOf, Lane, Lent, TableTally, Tally, Work};
use crate::raw::{CommitFailure, RawBatch, RawEngine, RawTxn};
use crate::read::{self, SEQ_KEY, TableCursor, Value};
use crate::shared::Shared;
use crate::tables::{Rule, Rules};

/// Pre-images of what was changed since the first savepoint, as the operations that put them back,
/// newest last.
#[derive(Debug, Default)]
struct Journal {
    undo: WriteBatch,
    /// Length of `undo` at each savepoint.
    marks: Vec<usize>,
}

/// The single writer's transaction.
#[must_use = "a write transaction that is dropped aborts"]
pub struct Txn<'s, E: RawEngine> {
    // The order of fields is the order of dropping: the engine's transaction goes before the gate
    // opens.
    raw: E::Txn<'s>,
    journal: Journal,
    /// The savepoints, by depth, each with its number.
    marks: Vec<Savepoint>,
    failed: bool,
    scratch: Vec<u8>,
    tally: Lent,
    /// Bytes of keys and values written.
    bytes: u64,
    shared: &'s Shared<E>,
    _gate: Exclusive<'s>,
    /// LMDB binds a write transaction to its thread (trap 12), so no engine's may move.
    _not_send: PhantomData<*const ()>,
}

impl<E: RawEngine> fmt::Debug for Txn<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("engine", &E::NAME)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<'s, E: RawEngine> Txn<'s, E> {
    pub(crate) fn begin(shared: &'s Shared<E>, gate: Exclusive<'s>) -> Result<Self> {
        let raw = boundary::call::<E, _>(|| shared.engine.begin())
            .map_err(|error| error.with_engine(E::NAME).with_operation("begin_write"))?;
        Ok(Self {
            raw,
            journal: Journal::default(),
            marks: Vec::new(),
            failed: false,
            scratch: Vec::new(),
            tally: Lent::from(&shared.registry),
            bytes: 0,
            shared,
            _gate: gate,
            _not_send: PhantomData,
        })
    }

    fn usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::TxnFailed).with_engine(E::NAME));
        }
        Ok(())
    }

    fn counted(&self) -> (&Shared<E>, &Tally) {
        (self.shared, &self.tally)
    }

    fn journals(&self) -> bool {
        !E::Txn::<'s>::NATIVE_SAVEPOINTS && !self.journal.marks.is_empty()
    }

    /// Runs an operation of the engine; a failure leaves only abort.
    fn run<T>(
        &mut self,
        operation: &'static str,
        table: TableId,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let done = boundary::call::<E, _>(|| work(&mut *self));
        done.map_err(|error| {
            self.failed = true;
            self.shared.poison_after(operation, &error);
            self.shared.explain(error, operation, table)
        })
    }

    fn remember(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        let old = self.raw.get(table, key)?;
        match old {
            Some(value) => self.journal.undo.put(table, key, &value),
            None => self.journal.undo.delete(table, key),
        }
    }

    fn remember_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        let mut cursor = self.raw.cursor(table, range.clone())?;
        while let Some(row) = cursor.next()? {
            self.journal.undo.put(table, row.key, row.value)?;
        }
        Ok(())
    }

    fn check_savepoint(&self, savepoint: Savepoint) -> Result<()> {
        if self.marks.get(savepoint.depth() as usize) == Some(&savepoint) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the savepoint of depth {} is gone or not of this transaction, which has {}",
            savepoint.depth(),
            self.marks.len()
        )))
    }

    fn undo_to(&mut self, mark: usize) -> Result<()> {
        for at in (mark..self.journal.undo.len()).rev() {
            match self.journal.undo.get(at) {
                Some(BatchOp::Put { table, key, value }) => self.raw.put(table, key, value)?,
                Some(BatchOp::Delete { table, key }) => self.raw.delete(table, key)?,
                // The journal holds single keys only.
                Some(BatchOp::DeleteRange { .. }) | None => {}
            }
        }
        self.journal.undo.truncate(mark);
        Ok(())
    }
}

impl<'s, E: RawEngine> Reader for Txn<'s, E> {
    type Value<'a>
        = Value<<E::Txn<'s> as Reader>::Value<'a>>
    where
        Self: 'a;
    type Cursor<'a>
        = TableCursor<'a, E, <E::Txn<'s> as Reader>::Cursor<'a>>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.usable()?;
        read::get(self.counted(), &self.raw, table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.usable()?;
        read::cursor(self.counted(), &self.raw, table, range, None)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.usable()?;
        read::count(self.shared, &self.raw, table)
    }

    fn multi_get(
        &self,
        table: TableId,
        keys: &[&[u8]],
        sink: &mut dyn FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.usable()?;
        read::multi_get(self.counted(), &self.raw, table, keys, sink)
    }
}

impl<E: RawEngine> Writer for Txn<'_, E> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.usable()?;
        let (count, rule) = check_put(self.counted(), table, key, value)?;
        count.count_put();
        self.bytes += (key.len() + value.len()) as u64;
        self.run("put", table, |txn| {
            if txn.journals() {
                txn.remember(table, key)?;
            }
            if rule.envelope {
                envelope::seal(table, key, value, &mut txn.scratch);
                txn.raw.put(table, key, &txn.scratch)
            } else {
                txn.raw.put(table, key, value)
            }
        })
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.usable()?;
        check_delete(self.counted(), table, key)?.count_delete();
        self.bytes += key.len() as u64;
        self.run("delete", table, |txn| {
            if txn.journals() {
                txn.remember(table, key)?;
            }
            txn.raw.delete(table, key)
        })
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.usable()?;
        check_range(self.counted(), table)?.count_range_delete();
        if range.is_empty() {
            return Ok(());
        }
        self.run("delete_range", table, |txn| {
            if txn.journals() {
                txn.remember_range(table, range)?;
            }
            txn.raw.delete_range(table, range)
        })
    }
}

impl<'s, E: RawEngine> WriteTxn for Txn<'s, E> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.usable()?;
        let depth = u32::try_from(self.marks.len())
            .map_err(|_| Error::invalid("2^32 savepoints are open already"))?;
        if E::Txn::<'s>::NATIVE_SAVEPOINTS {
            self.run("savepoint", TableId::INTERNAL, |txn| {
                txn.raw.push_savepoint()
            })?;
        } else {
            self.journal.marks.push(self.journal.undo.len());
        }
        let serial = self.shared.last_mark.fetch_add(1, Ordering::Relaxed) + 1;
        let mark = Savepoint::at_depth(depth).with_serial(serial);
        self.marks.push(mark);
        Ok(mark)
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.usable()?;
        self.check_savepoint(savepoint)?;
        let depth = savepoint.depth();
        self.run("rollback_to", TableId::INTERNAL, |txn| {
            if E::Txn::<'s>::NATIVE_SAVEPOINTS {
                return txn.raw.rollback_to_depth(depth);
            }
            let mark = txn.journal.marks.get(depth as usize).copied().unwrap_or(0);
            txn.undo_to(mark)?;
            txn.journal.marks.truncate(depth as usize + 1);
            Ok(())
        })?;
        self.marks.truncate(depth as usize + 1);
        Ok(())
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.usable()?;
        self.check_savepoint(savepoint)?;
        let depth = savepoint.depth();
        if E::Txn::<'s>::NATIVE_SAVEPOINTS {
            self.run("release", TableId::INTERNAL, |txn| {
                txn.raw.release_depth(depth)
            })?;
        } else {
            self.journal.marks.truncate(depth as usize);
            if self.journal.marks.is_empty() {
                self.journal.undo.clear();
            }
        }
        self.marks.truncate(depth as usize);
        Ok(())
    }

    fn commit(mut self, durability: Durability) -> Result<Commit> {
        let meter = &self.shared.meter;
        self.usable()
            .inspect_err(|_| meter.count_failure(Work::Commit))?;
        let seq = self.shared.last_seq().next();
        self.run("commit", TableId::INTERNAL, |txn| {
            txn.raw
                .put(TableId::INTERNAL, SEQ_KEY, &seq.get().to_le_bytes())
        })
        .inspect_err(|_| meter.count_failure(Work::Commit))?;
        let Self {
            raw,
            shared,
            tally,
            bytes,
            _gate: gate,
            ..
        } = self;
        let about = CommitOf {
            engine: E::NAME,
            lane: Lane::Txn,
            durability,
            bytes,
        };
        meter.commit(about, &tally, || finish(shared, || raw.commit(durability)))?;
        shared.set_last_seq(seq);
        drop(gate);
        Ok(Commit {
            seq: Some(seq),
            effective: shared.caps.effective(durability),
        })
    }

    fn abort(self) -> Result<()> {
        let Self {
            raw, _gate: gate, ..
        } = self;
        let done = boundary::call::<E, _>(|| {
            drop(raw);
            Ok(())
        });
        drop(gate);
        done
    }
}

fn check_put<'t, E: RawEngine>(
    (shared, tally): (&Shared<E>, &'t Tally),
    table: TableId,
    key: &[u8],
    value: &[u8],
) -> Result<(&'t TableTally, Rule)> {
    let check = || {
        let (count, rule) = tally.of(table)?;
        Rules::check_key(rule, key)?;
        shared.rules.check_value(rule, value)?;
        Ok((count, rule))
    };
    check().map_err(|error| shared.explain(error, "put", table))
}

fn check_delete<'t, E: RawEngine>(
    (shared, tally): (&Shared<E>, &'t Tally),
    table: TableId,
    key: &[u8],
) -> Result<&'t TableTally> {
    let check = || {
        let (count, rule) = tally.of(table)?;
        Rules::check_key(rule, key)?;
        Ok(count)
    };
    check().map_err(|error| shared.explain(error, "delete", table))
}

fn check_range<'t, E: RawEngine>(
    (shared, tally): (&Shared<E>, &'t Tally),
    table: TableId,
) -> Result<&'t TableTally> {
    let known = tally.of(table).map(|(count, _)| count);
    known.map_err(|error| shared.explain(error, "delete_range", table))
}

/// Commits in the engine and sorts out what a failure means.
pub(crate) fn finish<E: RawEngine>(
    shared: &Shared<E>,
    commit: impl FnOnce() -> Result<(), CommitFailure>,
) -> Result<()> {
    boundary::commit::<E>(commit).map_err(|failure| match failure {
        CommitFailure::Aborted(error) => {
            shared.poison_after("commit", &error);
            error.with_engine(E::NAME).with_operation("commit")
        }
        CommitFailure::Unknown(error) => {
            shared.poison("commit", &error);
            Error::new(ErrorKind::CommitUnknown)
                .with_engine(E::NAME)
                .with_operation("commit")
                .with_source(error)
        }
    })
}

/// Applies a batch as one commit. Its operations count when it is committed.
pub(crate) fn apply<E: RawEngine>(
    shared: &Shared<E>,
    batch: &WriteBatch,
    durability: Durability,
) -> Result<Commit> {
    let tally = Lent::from(&shared.registry);
    let applied = apply_counted(shared, &tally, batch, durability);
    if applied.is_err() {
        tally.forget();
    }
    applied
}

fn apply_counted<E: RawEngine>(
    shared: &Shared<E>,
    tally: &Tally,
    batch: &WriteBatch,
    durability: Durability,
) -> Result<Commit> {
    let refused = |_: &Error| shared.meter.count_failure(Work::Apply);
    shared.check_writable().inspect_err(refused)?;
    check_batch((shared, tally), batch).inspect_err(refused)?;
    let about = CommitOf {
        engine: E::NAME,
        lane: Lane::Batch,
        durability,
        bytes: batch.payload_bytes() as u64,
    };
    let effective = shared.caps.effective(durability);
    if shared.relaxed && shared.caps.concurrent_batches {
        let gate = shared
            .gate
            .shared()
            .map_err(|error| error.with_engine(E::NAME))
            .inspect_err(refused)?;
        shared.meter.record_wait(Lane::Batch, gate.waited);
        let write = || write_batch(shared, batch, durability, None);
        shared.meter.commit(about, tally, write)?;
        return Ok(Commit {
            seq: None,
            effective,
        });
    }
    let gate = shared
        .gate
        .exclusive(crate::gate::Wait::Forever)
        .map_err(|error| error.with_engine(E::NAME).with_operation("apply"))
        .inspect_err(refused)?;
    let waited = gate.as_ref().map_or(Duration::ZERO, |gate| gate.waited);
    shared.meter.record_wait(Lane::Batch, waited);
    let seq = shared.last_seq().next();
    let write = || write_batch(shared, batch, durability, Some(seq.get()));
    shared.meter.commit(about, tally, write)?;
    shared.set_last_seq(seq);
    Ok(Commit {
        seq: Some(seq),
        effective,
    })
}

/// Refuses a batch with an operation that no store may take, and counts the others.
fn check_batch<E: RawEngine>(
    (shared, tally): (&Shared<E>, &Tally),
    batch: &WriteBatch,
) -> Result<()> {
    for op in batch.ops() {
        match op {
            BatchOp::Put { table, key, value } => {
                check_put((shared, tally), table, key, value)?.0.count_put();
            }
            BatchOp::Delete { table, key } => {
                check_delete((shared, tally), table, key)?.count_delete();
            }
            BatchOp::DeleteRange { table, .. } => {
                check_range((shared, tally), table)?.count_range_delete();
            }
        }
    }
    Ok(())
}

fn write_batch<E: RawEngine>(
    shared: &Shared<E>,
    batch: &WriteBatch,
    durability: Durability,
    seq: Option<u64>,
) -> Result<()> {
    // The store may have been poisoned while this batch waited for the gate.
    shared.check_writable()?;
    shared.admit_write()?;
    let mut table = TableId::INTERNAL;
    // Beginning writes nothing, so a failure of the system in it leaves the store as it was.
    let mut raw = boundary::call::<E, _>(|| shared.engine.begin_batch()).map_err(|error| {
        shared.poison_after_panic("apply", &error);
        shared.explain(error, "apply", TableId::INTERNAL)
    })?;
    let written = boundary::call::<E, _>(|| {
        let mut scratch = Vec::new();
        let mut write = |op: BatchOp<'_>| {
            table = op.table();
            write_op(shared, &mut raw, op, &mut scratch)
        };
        if batch.len() >= E::SORT_BATCH_FROM {
            for_each_sorted(batch, &mut write)?;
        } else {
            batch.ops().try_for_each(&mut write)?;
        }
        if let Some(seq) = seq {
            raw.put(TableId::INTERNAL, SEQ_KEY, &seq.to_le_bytes())?;
        }
        Ok(())
    });
    written.map_err(|error| {
        shared.poison_after("apply", &error);
        shared.explain(error, "apply", table)
    })?;
    finish(shared, || raw.commit(durability))
}

fn write_op<E: RawEngine>(
    shared: &Shared<E>,
    raw: &mut E::Batch<'_>,
    op: BatchOp<'_>,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    match op {
        BatchOp::Put { table, key, value } => {
            if shared.rules.of(table)?.envelope {
                envelope::seal(table, key, value, scratch);
                raw.put(table, key, scratch)
            } else {
                raw.put(table, key, value)
            }
        }
        BatchOp::Delete { table, key } => raw.delete(table, key),
        BatchOp::DeleteRange { table, start, end } => {
            let range = end.map_or_else(
                || KeyRange::from_key(start),
                |end| KeyRange::half_open(start, end),
            );
            if range.is_empty() {
                Ok(())
            } else {
                raw.delete_range(table, &range)
            }
        }
    }
}

/// Where an operation on one key belongs: its table and the first bytes of its key as one number,
/// which tells most keys apart without looking at them, and its place in the batch.
#[derive(Clone, Copy)]
struct Rank {
    head: u128,
    at: usize,
}

impl Rank {
    fn new(at: usize, table: TableId, key: &[u8]) -> Self {
        let mut head = [0; 16];
        head[..2].copy_from_slice(&table.get().to_be_bytes());
        let len = key.len().min(14);
        head[2..2 + len].copy_from_slice(&key[..len]);
        Self {
            head: u128::from_be_bytes(head),
            at,
        }
    }

    /// The key in the batch; operations on ranges have no rank.
    fn key(self, batch: &WriteBatch) -> &[u8] {
        match batch.get(self.at) {
            Some(BatchOp::Put { key, .. } | BatchOp::Delete { key, .. }) => key,
            Some(BatchOp::DeleteRange { .. }) | None => &[],
        }
    }
}

/// Hands the operations on sorted by table and key between range deletes, of each key only the
/// last. Measured: sorted batches load 1.2 to 2.1 times faster.
fn for_each_sorted<'b>(
    batch: &'b WriteBatch,
    write: &mut impl FnMut(BatchOp<'b>) -> Result<()>,
) -> Result<()> {
    let mut run: Vec<Rank> = Vec::with_capacity(batch.len());
    for (at, op) in batch.ops().enumerate() {
        match op {
            BatchOp::Put { table, key, .. } | BatchOp::Delete { table, key } => {
                run.push(Rank::new(at, table, key));
            }
            BatchOp::DeleteRange { .. } => {
                flush_sorted(batch, &mut run, write)?;
                write(op)?;
            }
        }
    }
    flush_sorted(batch, &mut run, write)
}

fn flush_sorted<'b>(
    batch: &'b WriteBatch,
    run: &mut Vec<Rank>,
    write: &mut impl FnMut(BatchOp<'b>) -> Result<()>,
) -> Result<()> {
    // Operations of one key stay in order, so the last of each group is the one that wins.
    run.sort_unstable_by(|a, b| {
        let heads = a.head.cmp(&b.head);
        heads.then_with(|| (a.key(batch), a.at).cmp(&(b.key(batch), b.at)))
    });
    for (place, rank) in run.iter().enumerate() {
        let is_last = run
            .get(place + 1)
            .is_none_or(|next| next.head != rank.head || next.key(batch) != rank.key(batch));
        if let Some(op) = batch.get(rank.at).filter(|_| is_last) {
            write(op)?;
        }
    }
    run.clear();
    Ok(())
}
