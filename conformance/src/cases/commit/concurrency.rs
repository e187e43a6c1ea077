//! Several threads at once: readers never wait, writers are serial, nothing hangs. The deadline of
//! each case is the watchdog for deadlocks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread::{self, ScopedJoinHandle};

use storage_api::{KeyRange, TableId, Writer as _};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, QUICK, table_holds};
use crate::ops::{Dice, batch_of, numbered_rows, rows_of, scaled};
use crate::probe::StoreProbe;

fn join_all(threads: Vec<ScopedJoinHandle<'_, CaseResult>>) -> CaseResult {
    let ended: Vec<CaseResult> = threads
        .into_iter()
        .map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(CaseError::failed("a thread panicked")))
        })
        .collect();
    ended.into_iter().collect()
}

fn number(value: Option<Vec<u8>>) -> Result<u64, CaseError> {
    let bytes = value.unwrap_or_else(|| vec![0; 8]).try_into();
    bytes
        .map(u64::from_be_bytes)
        .map_err(|_| CaseError::failed("a value that is no number"))
}

pub(crate) fn readers_do_not_wait_for_an_open_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(200);
    s.fill_rows(s.a, &rows)?;
    let (store, table) = (&*s.store, s.a);
    let mut txn = s.begin_write()?;
    txn.delete_range(table, &KeyRange::all())?;
    txn.put(table, b"k", b"uncommitted")?;
    // The transaction stays open until every reader is done: a reader that waits for it never ends.
    thread::scope(|scope| {
        let readers = (0..4)
            .map(|_| {
                scope.spawn(|| -> CaseResult {
                    for _ in 0..scaled(100) {
                        let view = store.begin_read()?;
                        table_holds(&*view, table, &rows, "beside an open transaction")?;
                        store.stats()?;
                        store.table_stats(table)?;
                    }
                    Ok(())
                })
            })
            .collect();
        join_all(readers)
    })?;
    txn.commit(QUICK)?;
    s.table_holds(
        table,
        &rows_of([(b"k", b"uncommitted")]),
        "after the commit",
    )
}

pub(crate) fn the_writer_does_not_wait_for_readers(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(200);
    s.fill_rows(s.a, &rows)?;
    let views: Vec<_> = (0..8).map(|_| s.begin_read()).collect::<Result<_, _>>()?;
    let mut cursors = Vec::new();
    for view in &views {
        let mut cursor = view.cursor(s.a, KeyRange::all())?;
        cursor.next()?;
        cursors.push(cursor);
    }
    for round in 0..50_u8 {
        s.put(s.a, &[0, round], b"v")?;
        let mut txn = s.begin_write()?;
        txn.delete(s.a, &[0, round])?;
        txn.commit(QUICK)?;
    }
    for cursor in &mut cursors {
        let mut left = 0;
        while cursor.next()?.is_some() {
            left += 1;
        }
        ensure_eq!(
            left,
            199,
            "rows left in a cursor that was open beside a hundred commits"
        );
    }
    Ok(())
}

pub(crate) fn writers_are_serial(lab: &Lab) -> CaseResult {
    const THREADS: u64 = 4;
    let s = lab.open()?;
    let (store, table, rounds) = (&*s.store, s.a, scaled(500) as u64);
    let inside = AtomicU64::new(0);
    thread::scope(|scope| {
        let writers = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> CaseResult {
                    for _ in 0..rounds {
                        let mut txn = store.begin_write()?;
                        let beside = inside.fetch_add(1, Ordering::SeqCst);
                        ensure_eq!(beside, 0, "other writers inside");
                        let sum = number(txn.get(table, b"sum")?)? + 1;
                        txn.put(table, b"sum", &sum.to_be_bytes())?;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        txn.commit(QUICK)?;
                    }
                    Ok(())
                })
            })
            .collect();
        join_all(writers)
    })?;
    let sum = number(s.get(table, b"sum")?)?;
    ensure_eq!(
        sum,
        THREADS * rounds,
        "the sum of additions by four threads"
    );
    Ok(())
}

pub(crate) fn updates_of_several_threads_add_up(lab: &Lab) -> CaseResult {
    const THREADS: u64 = 4;
    let s = lab.open()?;
    let (store, table, rounds) = (&*s.store, s.a, scaled(500) as u64);
    thread::scope(|scope| {
        let writers = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> CaseResult {
                    for _ in 0..rounds {
                        store.update(QUICK, &mut |txn| {
                            let sum = number(txn.get(table, b"sum")?).unwrap_or(0) + 1;
                            txn.put(table, b"sum", &sum.to_be_bytes())
                        })?;
                    }
                    Ok(())
                })
            })
            .collect();
        join_all(writers)
    })?;
    let sum = number(s.get(table, b"sum")?)?;
    ensure_eq!(sum, THREADS * rounds, "the sum of updates by four threads");
    Ok(())
}

/// Moves a random amount between two of the accounts, so that their sum stays.
fn transfer(store: &dyn StoreProbe, table: TableId, accounts: u8, dice: &mut Dice) -> CaseResult {
    let (from, to) = (
        dice.below(accounts.into()) as u8,
        dice.below(accounts.into()) as u8,
    );
    let mut txn = store.begin_write()?;
    let mut balance = |account: u8, change: &dyn Fn(u64) -> u64| -> CaseResult {
        let old = number(txn.get(table, &[account + 1])?)?;
        txn.put(table, &[account + 1], &change(old).to_be_bytes())?;
        Ok(())
    };
    let amount = dice.below(10) as u64;
    balance(from, &|old| old.wrapping_sub(amount))?;
    balance(to, &|old| old.wrapping_add(amount))?;
    if dice.once_in(5) {
        txn.abort()?;
    } else {
        txn.commit(QUICK).map(|_| ())?;
    }
    Ok(())
}

fn audit(store: &dyn StoreProbe, table: TableId, accounts: u8, sum: u64) -> CaseResult {
    let view = store.begin_read()?;
    let rows = view.rows(table, KeyRange::all())?;
    ensure_eq!(rows.len(), usize::from(accounts), "accounts in a view");
    let mut total = 0_u64;
    for (key, value) in rows {
        ensure!(
            view.get(table, &key)?.as_ref() == Some(&value),
            "get differs from the scan"
        );
        total = total.wrapping_add(number(Some(value))?);
    }
    ensure_eq!(total, sum, "the sum of all accounts in one view");
    Ok(())
}

pub(crate) fn transfers_keep_their_sum_in_every_view(lab: &Lab) -> CaseResult {
    const ACCOUNTS: u8 = 20;
    let s = lab.open()?;
    let (store, table) = (&*s.store, s.a);
    let start = batch_of(|batch| {
        (1..=ACCOUNTS).try_for_each(|key| batch.put(table, &[key], &1_000_u64.to_be_bytes()))
    })?;
    s.apply(&start, QUICK)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        let readers = (0..3)
            .map(|_| {
                scope.spawn(move || -> CaseResult {
                    while !done.load(Ordering::Acquire) {
                        audit(store, table, ACCOUNTS, 1_000 * u64::from(ACCOUNTS))?;
                    }
                    Ok(())
                })
            })
            .collect();
        let writers = (0..2)
            .map(|at| {
                scope.spawn(move || -> CaseResult {
                    let mut dice = Dice::of(&format!("transfers by thread {at}"));
                    (0..scaled(1_000)).try_for_each(|_| transfer(store, table, ACCOUNTS, &mut dice))
                })
            })
            .collect();
        let written = join_all(writers);
        done.store(true, Ordering::Release);
        let read = join_all(readers);
        written.and(read)
    })?;
    audit(store, table, ACCOUNTS, 1_000 * u64::from(ACCOUNTS))
}

pub(crate) fn many_small_batches_of_many_threads(lab: &Lab) -> CaseResult {
    const THREADS: u8 = 6;
    let s = lab.open()?;
    let (store, table, rounds) = (&*s.store, s.a, scaled(500) as u32);
    let start = Barrier::new(THREADS.into());
    let mut seqs = Vec::new();
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let writers = (0..THREADS)
            .map(|thread| {
                let (tell, start) = (tell.clone(), &start);
                scope.spawn(move || -> CaseResult {
                    start.wait();
                    for round in 0..rounds {
                        let key = [&[thread + 1][..], &round.to_be_bytes()].concat();
                        let batch = batch_of(|batch| {
                            batch.put(table, &key, b"v")?;
                            batch.put(table, &[thread + 1], &round.to_be_bytes())
                        })?;
                        let commit = store.apply(&batch, QUICK)?;
                        // Nobody stops listening before every writer is done.
                        let _ = tell.send(commit.seq);
                    }
                    Ok(())
                })
            })
            .collect();
        drop(tell);
        let written = join_all(writers);
        seqs = told.iter().collect();
        written
    })?;
    let count = seqs.len();
    seqs.sort_unstable();
    seqs.dedup();
    ensure_eq!(seqs.len(), count, "different places among {count} commits");
    ensure!(
        seqs.iter().all(Option::is_some),
        "a commit without a place in ordered commits"
    );
    let rows = s.begin_read()?.count_exact(table)?;
    ensure_eq!(
        rows,
        u64::from(THREADS) * u64::from(rounds + 1),
        "rows of all threads"
    );
    for thread in 1..=THREADS {
        let last = s.get(table, &[thread])?;
        ensure_eq!(
            last,
            Some((rounds - 1).to_be_bytes().to_vec()),
            "the last batch of a thread"
        );
    }
    Ok(())
}

pub(crate) fn batches_and_transactions_take_turns(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (store, table, rounds) = (&*s.store, s.a, scaled(1_000));
    s.put(table, b"both", b"start")?;
    thread::scope(|scope| {
        let in_batches = scope.spawn(move || -> CaseResult {
            for _ in 0..rounds {
                store.apply(
                    &batch_of(|batch| batch.put(table, b"both", b"batch"))?,
                    QUICK,
                )?;
            }
            Ok(())
        });
        let in_txns = scope.spawn(move || -> CaseResult {
            for _ in 0..rounds {
                let mut txn = store.begin_write()?;
                let first = txn.get(table, b"both")?;
                ensure_eq!(
                    txn.get(table, b"both")?,
                    first,
                    "a second read in a transaction"
                );
                txn.put(table, b"both", b"txn")?;
                ensure_eq!(
                    txn.get(table, b"both")?,
                    Some(b"txn".to_vec()),
                    "its own write"
                );
                txn.commit(QUICK)?;
            }
            Ok(())
        });
        join_all(vec![in_batches, in_txns])
    })?;
    let last = s.get(table, b"both")?;
    ensure!(
        last == Some(b"batch".to_vec()) || last == Some(b"txn".to_vec()),
        "found {last:?}"
    );
    ensure_eq!(s.rows(table)?.len(), 1, "rows after both");
    Ok(())
}

pub(crate) fn views_begin_and_drop_in_many_threads(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(20);
    s.fill_rows(s.a, &rows)?;
    let (store, table) = (&*s.store, s.a);
    thread::scope(|scope| {
        let readers = (0..6)
            .map(|_| {
                scope.spawn(|| -> CaseResult {
                    for _ in 0..scaled(300) {
                        let views = [store.begin_read()?, store.begin_read()?];
                        let [first, second] = &views;
                        table_holds(&**first, table, &rows, "the first of two views")?;
                        drop(store.begin_read()?);
                        table_holds(&**second, table, &rows, "the second of two views")?;
                    }
                    Ok(())
                })
            })
            .collect();
        join_all(readers)
    })?;
    ensure_eq!(
        s.stats()?.readers,
        0,
        "live views after all threads are done"
    );
    Ok(())
}

pub(crate) fn a_queue_of_writers_all_get_their_turn(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (store, table) = (&*s.store, s.a);
    let txn = s.begin_write()?;
    let waiting = AtomicU64::new(0);
    thread::scope(|scope| {
        let waiting = &waiting;
        let writers = (0..6_u8)
            .map(|at| {
                scope.spawn(move || -> CaseResult {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    if at % 2 == 0 {
                        let batch = batch_of(|batch| batch.put(table, &[at + 1], b"v"))?;
                        store.apply(&batch, QUICK)?;
                    } else {
                        let mut txn = store.begin_write()?;
                        txn.put(table, &[at + 1], b"v")?;
                        txn.commit(QUICK)?;
                    }
                    Ok(())
                })
            })
            .collect();
        while waiting.load(Ordering::SeqCst) < 6 {
            thread::yield_now();
        }
        let aborted = txn.abort();
        let written = join_all(writers);
        aborted?;
        written
    })?;
    ensure_eq!(
        s.rows(table)?.len(),
        6,
        "rows of six writers that waited for one"
    );
    Ok(())
}
