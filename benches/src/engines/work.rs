//! What is done to a store of keys: load, reads, scans, views, commits. Generic over the store, so
//! that the static types, the enum and the erased form run the same code.
//!
//! Invariant: each function counts what it found and fails when the count is not the plan's.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::thread;

use anyhow::{Result, anyhow, bail, ensure};
use storage_api::{
    Cursor, Durability, Effective, KeyRange, KvStore, Reader, ReaderExt, TableId, WriteBatch,
    WriteTxn, Writer,
};

use crate::figures::{Lap, timed};
use crate::workload::{BATCH_OPS, BlockCommit, Key, Plan, VALUE_BYTES, Write};

/// Rows of one range.
const RANGE_ROWS: usize = 10;

/// Loads all keys in batches of 1000 and says how durable these commits were.
///
/// # Errors
/// Of the store; a commit less durable than `asked` on a store that outlives the process.
pub fn load<S: KvStore>(
    store: &S,
    table: TableId,
    plan: &Plan,
    asked: Durability,
) -> Result<(Effective, Lap)> {
    timed(|| {
        let mut batch = WriteBatch::new();
        let mut weakest = Effective::Durable;
        for keys in plan.keys.chunks(BATCH_OPS) {
            batch.clear();
            for key in keys {
                batch.put(table, key, plan.bytes.value(key, 0))?;
            }
            weakest = weakest.min(store.apply(&batch, asked)?.effective);
        }
        honoured(store, asked, weakest)?;
        Ok(weakest)
    })
}

fn honoured<S: KvStore>(store: &S, asked: Durability, got: Effective) -> Result<()> {
    let kept = !store.capabilities().persistent || got >= Effective::from(asked);
    ensure!(
        kept,
        "{} was asked for {asked:?} and did {got:?}",
        store.engine_name()
    );
    Ok(())
}

fn get_all<R: Reader>(view: &R, table: TableId, keys: &[Key], from: usize) -> Result<usize> {
    let (behind, front) = keys.split_at(from.min(keys.len()));
    let mut bytes = 0;
    for key in front.iter().chain(behind) {
        if let Some(value) = view.get(table, key)? {
            bytes += value.len();
            black_box(value.first());
        }
    }
    Ok(bytes)
}

fn all_found(bytes: usize, expected: usize) -> Result<()> {
    let expected = expected * VALUE_BYTES;
    ensure!(
        bytes == expected,
        "gets returned {bytes} bytes, {expected} expected"
    );
    Ok(())
}

/// Gets each key; `expected` of them are there.
///
/// # Errors
/// Of the store; another number found.
pub fn gets<R: Reader>(view: &R, table: TableId, keys: &[Key], expected: usize) -> Result<Lap> {
    let (bytes, lap) = timed(|| get_all(view, table, keys, 0))?;
    all_found(bytes, expected)?;
    Ok(lap)
}

/// As [`gets`] by lending the values to a closure.
///
/// # Errors
/// As [`gets`].
pub fn gets_lent<R: Reader>(
    view: &R,
    table: TableId,
    keys: &[Key],
    expected: usize,
) -> Result<Lap> {
    let (bytes, lap) = timed(|| {
        let mut bytes = 0;
        for key in keys {
            view.get_with(table, key, &mut |value| {
                bytes += value.len();
                black_box(value.first());
            })?;
        }
        Ok(bytes)
    })?;
    all_found(bytes, expected)?;
    Ok(lap)
}

/// Two threads with a view each get every key, the second one beginning in the middle. Starting the
/// threads is outside the clock. `expected` is what each of them finds.
///
/// # Errors
/// As [`gets`].
pub fn gets_of_two<S: KvStore>(
    store: &S,
    table: TableId,
    keys: &[Key],
    expected: usize,
) -> Result<Lap> {
    let views = store.begin_read_many(NonZeroUsize::MIN.saturating_add(1))?;
    let start = Barrier::new(views.len() + 1);
    thread::scope(|scope| {
        let places = [0, keys.len() / 2];
        let spawn = |(view, from): (S::ReadTxn, usize)| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                get_all(&view, table, keys, from)
            })
        };
        let threads: Vec<_> = views.into_iter().zip(places).map(spawn).collect();
        let (bytes, lap) = timed(|| {
            start.wait();
            let done = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a reading thread panicked"))?
            });
            done.collect::<Result<Vec<usize>>>()
        })?;
        bytes
            .into_iter()
            .try_for_each(|bytes| all_found(bytes, expected))?;
        Ok(lap)
    })
}

/// Reads up to ten rows from each key on, with a cursor of its own.
///
/// # Errors
/// Of the store; fewer than one row from a key that is there.
pub fn ranges<R: Reader>(view: &R, table: TableId, starts: &[Key]) -> Result<Lap> {
    let (rows, lap) = timed(|| {
        let mut rows = 0;
        for start in starts {
            let mut cursor = view.cursor(table, KeyRange::from_key(start))?;
            for _ in 0..RANGE_ROWS {
                let Some(entry) = cursor.next()? else { break };
                black_box((entry.key.first(), entry.value.first()));
                rows += 1;
            }
        }
        Ok(rows)
    })?;
    let expected = starts.len()..=starts.len() * RANGE_ROWS;
    ensure!(
        expected.contains(&rows),
        "ranges gave {rows} rows, {expected:?} expected"
    );
    Ok(lap)
}

/// Reads every row once; `expected` of them are there.
///
/// # Errors
/// Of the store; another number found.
pub fn scan<R: Reader>(view: &R, table: TableId, expected: usize) -> Result<Lap> {
    let (rows, lap) = timed(|| {
        let mut rows = 0;
        view.scan(table, KeyRange::all(), |entry| {
            black_box((entry.key.first(), entry.value.first()));
            rows += 1;
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    })?;
    ensure!(
        rows == expected,
        "the scan gave {rows} rows, {expected} expected"
    );
    Ok(lap)
}

/// Begins and drops so many views.
///
/// # Errors
/// Of the store.
pub fn snapshots<S: KvStore>(store: &S, views: usize) -> Result<Lap> {
    let ((), lap) = timed(|| {
        for _ in 0..views {
            black_box(&store.begin_read()?);
        }
        Ok(())
    })?;
    Ok(lap)
}

/// One block-sized commit in one write transaction, `Durable`: its reads, its writes, the commit.
///
/// # Errors
/// Of the store; another number of keys found; a weaker commit of a store that outlives the
/// process.
pub fn block_commit<S: KvStore>(
    store: &S,
    table: TableId,
    plan: &Plan,
    commit: &BlockCommit,
) -> Result<Lap> {
    let (got, lap) = timed(|| {
        let mut txn = store.begin_write()?;
        all_found(get_all(&txn, table, &commit.reads, 0)?, commit.found)?;
        for write in &commit.writes {
            match write {
                Write::Put(key, version) => {
                    txn.put(table, key, plan.bytes.value(key, *version))?;
                }
                Write::Delete(key) => txn.delete(table, key)?,
            }
        }
        Ok(txn.commit(Durability::Durable)?.effective)
    })?;
    honoured(store, Durability::Durable, got)?;
    Ok(lap)
}

/// Compares every row with the plan's model. Not timed.
///
/// # Errors
/// Of the store; the first row that is not the model's.
pub fn verify<S: KvStore>(store: &S, table: TableId, plan: &Plan) -> Result<()> {
    let model = plan.model();
    let mut expected = model.iter();
    let mut wrong = None;
    store.begin_read()?.scan(table, KeyRange::all(), |entry| {
        let same = expected.next().is_some_and(|(key, version)| {
            entry.key == key && entry.value == plan.bytes.value(key, *version)
        });
        if same {
            ControlFlow::Continue(())
        } else {
            wrong = Some(entry.key.to_vec());
            ControlFlow::Break(())
        }
    })?;
    if let Some(key) = wrong {
        bail!("the row of key {key:02x?} is not what was written");
    }
    let missing = expected.len();
    ensure!(
        missing == 0,
        "the last {missing} of {} rows are missing",
        model.len()
    );
    Ok(())
}
