//! Recording: random list-append transactions of several threads on a store.
//!
//! Invariants: the place of an event in the order is taken before a transaction is asked for and
//! after its end is known, so that an order in the history was an order in time; a value is its
//! elements one after the other, four bytes little-endian each.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use storage_api::{
    Durability, Error, ErrorKind, KvStore, Reader, ReaderExt, Result, TableDef, TableId, WriteTxn,
    Writer,
};

use super::{Element, Ending, ListKey, ListOp, ListTxn};
use crate::ops::Dice;

/// The tables that [`record`] and [`super::bank`] need.
pub const HISTORY_TABLES: [TableDef; 2] = [TableDef::new("lists"), TableDef::new("accounts")];

/// How much is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Threads.
    pub threads: usize,
    /// Transactions of each.
    pub txns: usize,
    /// Keys; few of them meet often.
    pub keys: ListKey,
    /// The seed.
    pub seed: u64,
}

/// What all threads share.
struct Shared {
    clock: AtomicU64,
    elements: AtomicU32,
    history: Mutex<Vec<ListTxn>>,
}

/// Runs the transactions and returns their history, in the order in which they began.
///
/// # Errors
/// Of the store; a transaction that is told to abort is part of the history and no error.
pub fn record<S: KvStore>(store: &S, recording: Recording) -> Result<Vec<ListTxn>> {
    let table = store.catalogue().id(HISTORY_TABLES[0].name())?;
    let shared = Shared {
        clock: AtomicU64::new(0),
        elements: AtomicU32::new(0),
        history: Mutex::new(Vec::new()),
    };
    thread::scope(|scope| {
        let run = |process| {
            let shared = &shared;
            move || one_thread(store, table, recording, process, shared)
        };
        let threads: Vec<_> = (0..recording.threads)
            .map(|process| scope.spawn(run(process)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let history = shared.history.into_inner();
    let mut history = history.unwrap_or_else(PoisonError::into_inner);
    history.sort_by_key(|txn| txn.begin);
    history.push(last_look(store, table, recording, &shared.clock)?);
    Ok(history)
}

/// A view of all keys after everything else has ended: without it, nobody would have to see what
/// was committed last.
fn last_look<S: KvStore>(
    store: &S,
    table: TableId,
    recording: Recording,
    clock: &AtomicU64,
) -> Result<ListTxn> {
    let begin = clock.fetch_add(1, Ordering::SeqCst);
    let view = store.begin_read()?;
    let read = |key| Ok(ListOp::Read(key, list(&view, table, key)?));
    Ok(ListTxn {
        process: recording.threads,
        begin,
        end: clock.fetch_add(1, Ordering::SeqCst),
        ending: Ending::Committed,
        ops: (0..recording.keys).map(read).collect::<Result<_>>()?,
    })
}

fn one_thread<S: KvStore>(
    store: &S,
    table: TableId,
    recording: Recording,
    process: usize,
    shared: &Shared,
) -> Result<()> {
    let seed = recording.seed ^ (process as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut dice = Dice::seeded(seed);
    let tick = || shared.clock.fetch_add(1, Ordering::SeqCst);
    for _ in 0..recording.txns {
        let count = 2 + dice.below(5);
        let keys: Vec<ListKey> = (0..count)
            .map(|_| ListKey::try_from(dice.below(usize::from(recording.keys))).unwrap_or(0))
            .collect();
        let begin = tick();
        let (ending, ops) = if dice.below(10) < 3 {
            (Ending::Committed, view(store, table, &keys, &mut dice)?)
        } else {
            write(store, table, &keys, &mut dice, &shared.elements)?
        };
        let txn = ListTxn {
            process,
            begin,
            end: tick(),
            ending,
            ops,
        };
        let history = shared.history.lock();
        history.unwrap_or_else(PoisonError::into_inner).push(txn);
    }
    Ok(())
}

fn view<S: KvStore>(
    store: &S,
    table: TableId,
    keys: &[ListKey],
    dice: &mut Dice,
) -> Result<Vec<ListOp>> {
    let view = store.begin_read()?;
    let mut ops = Vec::new();
    for key in keys {
        if dice.once_in(2) {
            // Others get a chance to commit between two reads of one view.
            thread::yield_now();
        }
        ops.push(ListOp::Read(*key, list(&view, table, *key)?));
    }
    Ok(ops)
}

fn write<S: KvStore>(
    store: &S,
    table: TableId,
    keys: &[ListKey],
    dice: &mut Dice,
    elements: &AtomicU32,
) -> Result<(Ending, Vec<ListOp>)> {
    let mut txn = store.begin_write()?;
    let mut ops = Vec::new();
    for key in keys {
        let found = list(&txn, table, *key)?;
        ops.push(ListOp::Read(*key, found.clone()));
        if dice.once_in(3) {
            continue;
        }
        let element = elements.fetch_add(1, Ordering::Relaxed);
        let bytes: Vec<u8> = found
            .iter()
            .chain([&element])
            .flat_map(|element| element.to_le_bytes())
            .collect();
        txn.put(table, &key.to_be_bytes(), &bytes)?;
        ops.push(ListOp::Append(*key, element));
        if dice.once_in(4) {
            // Others get a chance to see what is not committed.
            thread::yield_now();
        }
    }
    if dice.once_in(8) {
        txn.abort()?;
        return Ok((Ending::Aborted, ops));
    }
    match txn.commit(Durability::Volatile) {
        Ok(_) => Ok((Ending::Committed, ops)),
        Err(error) if *error.kind() == ErrorKind::CommitUnknown => Ok((Ending::Unknown, ops)),
        Err(error) if error.is_retryable() => Ok((Ending::Aborted, ops)),
        Err(error) => Err(error),
    }
}

fn list<R: Reader>(reader: &R, table: TableId, key: ListKey) -> Result<Vec<Element>> {
    let bytes = reader.get_copied(table, &key.to_be_bytes())?;
    let bytes = bytes.unwrap_or_default();
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let what = format!("a list of {} bytes ends inside an element", bytes.len());
        return Err(Error::corruption(format!("list {key}"), what));
    }
    Ok(words.iter().copied().map(Element::from_le_bytes).collect())
}
