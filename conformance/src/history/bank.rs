//! A bank: accounts are opened, closed and moved between, and the money in all of them together is
//! always the same. A view that sees a part of a transaction, or rows that appear inside its range
//! meanwhile, sees another sum.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use storage_api::{
    Cursor, Durability, Error, KeyRange, KvStore, KvStoreExt, ReadTxn, Reader, Result, TableId,
    Writer,
};

use super::record::HISTORY_TABLES;
use crate::ops::Dice;

/// The money of the whole bank.
const MONEY: u64 = 1_000_000;

/// Account numbers.
const NUMBERS: u64 = 64;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BankReport {
    /// Committed transactions.
    pub transfers: u64,
    /// Views that were counted through.
    pub views: u64,
}

fn amount(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let len = bytes.len().min(8);
    word[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(word)
}

/// Half of the threads move money, so many times each, the others look at views until they are
/// done.
///
/// # Errors
/// Of the store; `Corruption` with both sums when a view shows another sum, or not the same
/// forwards, backwards and account by account.
pub fn bank<S: KvStore>(
    store: &S,
    threads: usize,
    transfers: usize,
    seed: u64,
) -> Result<BankReport> {
    let table = store.catalogue().id(HISTORY_TABLES[1].name())?;
    store.update(Durability::Volatile, |txn| {
        txn.delete_range(table, &KeyRange::all())?;
        txn.put(table, &0_u64.to_be_bytes(), &MONEY.to_le_bytes())
    })?;
    let (done, views) = (AtomicBool::new(false), AtomicU64::new(0));
    let movers = (threads / 2).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = (movers..threads.max(movers + 1))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        // A last look after all is done.
                        let is_last = done.load(Ordering::Acquire);
                        audit(&store.begin_read()?, table)?;
                        views.fetch_add(1, Ordering::Relaxed);
                        if is_last {
                            return Ok(());
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..movers)
            .map(|mover| scope.spawn(move || moves(store, table, transfers, seed + mover as u64)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let moved = writers.into_iter().map(join).collect::<Vec<_>>();
        done.store(true, Ordering::Release);
        let looked = readers.into_iter().map(join).collect::<Vec<_>>();
        moved.into_iter().chain(looked).collect::<Result<()>>()
    })?;
    Ok(BankReport {
        transfers: (movers * transfers) as u64,
        views: views.load(Ordering::Relaxed),
    })
}

fn moves<S: KvStore>(store: &S, table: TableId, transfers: usize, seed: u64) -> Result<()> {
    let mut dice = Dice::seeded(seed);
    for _ in 0..transfers {
        let number = |dice: &mut Dice| dice.below(NUMBERS as usize) as u64;
        let (from, to) = (number(&mut dice), number(&mut dice));
        let share = 1 + dice.below(3) as u64;
        store.update(Durability::Volatile, |txn| {
            // From the first account at or behind the number drawn, so that there is one.
            let found = {
                let mut cursor = txn.cursor(table, KeyRange::all())?;
                let mut row = cursor.seek(&from.to_be_bytes())?;
                if row.is_none() {
                    row = cursor.first()?;
                }
                row.map(|row| (row.key.to_vec(), amount(row.value)))
            };
            let Some((from, has)) = found else {
                return Err(Error::corruption("accounts", "no account is left"));
            };
            let to = to.to_be_bytes();
            if from == to {
                return Ok(());
            }
            let moved = has.div_ceil(share);
            let there = txn.get(table, &to)?.map_or(0, |value| amount(&value));
            if moved == has {
                txn.delete(table, &from)?;
            } else {
                txn.put(table, &from, &(has - moved).to_le_bytes())?;
            }
            txn.put(table, &to, &(there + moved).to_le_bytes())
        })?;
    }
    Ok(())
}

/// Counts a view in three ways.
fn audit<R: ReadTxn>(view: &R, table: TableId) -> Result<()> {
    let (mut forward, mut by_account) = (0, 0);
    let mut cursor = view.cursor(table, KeyRange::all())?;
    while let Some(row) = cursor.next()? {
        forward += amount(row.value);
        let again = view.get(table, row.key)?;
        by_account += again.map_or(0, |value| amount(&value));
    }
    let mut backward = 0;
    let mut row = cursor.last()?;
    while let Some(entry) = row {
        backward += amount(entry.value);
        row = cursor.prev()?;
    }
    if [forward, backward, by_account] == [MONEY; 3] {
        return Ok(());
    }
    Err(Error::corruption(
        "accounts",
        format!(
            "a view holds {forward} forwards, {backward} backwards, {by_account} account by \
             account; {MONEY} are there"
        ),
    ))
}
