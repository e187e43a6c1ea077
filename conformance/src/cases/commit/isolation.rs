//! Isolation: the known anomalies as fixed interleavings, on a store with one writer at a time.
//!
//! A second writer cannot begin beside the first; each case therefore shows both that it is kept
//! out and that, once in, it sees what the first one did. Order is fixed by channels and joins,
//! never by time.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use storage_api::{ErrorKind, KeyRange, TableId, Writer as _};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, QUICK, Subject};
use crate::ops::{batch_of, rows_of};
use crate::probe::{ReadProbe, StoreProbe};

/// How long a writer waits for another that is known to hold on.
const SHORT: Duration = Duration::from_millis(30);

fn number(reader: &dyn ReadProbe, table: TableId, key: &[u8]) -> Result<i64, CaseError> {
    let value = reader.get(table, key)?;
    let value = value.ok_or_else(|| CaseError::failed("an account is missing"))?;
    let bytes = value
        .try_into()
        .map_err(|_| CaseError::failed("an account is not a number"))?;
    Ok(i64::from_be_bytes(bytes))
}

fn set(s: &Subject, key: &[u8], value: i64) -> CaseResult {
    s.put(s.a, key, &value.to_be_bytes())?;
    Ok(())
}

/// Runs `second` in another thread while this thread holds a write transaction, which it commits
/// only after the second writer was seen to be kept out; then the second one goes on.
fn beside_a_writer(
    s: &Subject,
    first: &dyn Fn(&mut dyn crate::probe::TxnProbe) -> CaseResult,
    second: &(dyn Fn(&dyn StoreProbe) -> CaseResult + Sync),
) -> CaseResult {
    let store = &*s.store;
    let mut txn = store.begin_write()?;
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let other = scope.spawn(move || -> CaseResult {
            let early = store.try_begin_write(SHORT).map(|txn| txn.is_some());
            // The first writer is gone when nobody listens; its error is the one to report.
            let _ = tell.send(());
            ensure!(!early?, "a second writer began beside the first");
            second(store)
        });
        let done = first(&mut *txn);
        let waited = told.recv();
        let committed = match &done {
            Ok(()) => txn.commit(QUICK).map(|_| ()),
            Err(_) => txn.abort(),
        };
        let joined = other.join();
        done?;
        waited.map_err(|_| CaseError::failed("the second thread ended early"))?;
        committed?;
        joined.map_err(|_| CaseError::failed("the second thread panicked"))?
    })
}

pub(crate) fn write_skew(lab: &Lab) -> CaseResult {
    // Two doctors on call; each may leave only if the other stays.
    let s = lab.open()?;
    set(&s, b"alice", 1)?;
    set(&s, b"bob", 1)?;
    let leave = |txn: &mut dyn crate::probe::TxnProbe, who: &[u8]| -> CaseResult {
        let on_call = number(txn, s.a, b"alice")? + number(txn, s.a, b"bob")?;
        if on_call > 1 {
            txn.put(s.a, who, &0_i64.to_be_bytes())?;
        }
        Ok(())
    };
    beside_a_writer(&s, &|txn| leave(txn, b"alice"), &|store| {
        let mut txn = store.begin_write()?;
        leave(&mut *txn, b"bob")?;
        txn.commit(QUICK)?;
        Ok(())
    })?;
    let view = s.begin_read()?;
    let on_call = number(&*view, s.a, b"alice")? + number(&*view, s.a, b"bob")?;
    ensure_eq!(on_call, 1, "doctors on call after both asked to leave");
    Ok(())
}

pub(crate) fn lost_update(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    set(&s, b"x", 100)?;
    let add = |txn: &mut dyn crate::probe::TxnProbe, amount: i64| -> CaseResult {
        let sum = number(txn, s.a, b"x")? + amount;
        txn.put(s.a, b"x", &sum.to_be_bytes())?;
        Ok(())
    };
    beside_a_writer(&s, &|txn| add(txn, 20), &|store| {
        let mut txn = store.begin_write()?;
        add(&mut *txn, 3)?;
        txn.commit(QUICK)?;
        Ok(())
    })?;
    ensure_eq!(
        number(&*s.begin_read()?, s.a, b"x")?,
        123,
        "the sum after both additions"
    );
    Ok(())
}

pub(crate) fn phantom(lab: &Lab) -> CaseResult {
    // Each adds a row only when the range holds fewer than three.
    let s = lab.open()?;
    s.fill(s.a, [(&b"room/1"[..], &b"v"[..]), (b"room/2", b"v")])?;
    let book = |txn: &mut dyn crate::probe::TxnProbe, key: &[u8]| -> CaseResult {
        if txn.rows(s.a, KeyRange::prefix(b"room/"))?.len() < 3 {
            txn.put(s.a, key, b"v")?;
        }
        ensure_eq!(
            txn.rows(s.a, KeyRange::prefix(b"room/"))?.len(),
            3,
            "rows of the range"
        );
        Ok(())
    };
    beside_a_writer(&s, &|txn| book(txn, b"room/3"), &|store| {
        let mut txn = store.begin_write()?;
        book(&mut *txn, b"room/4")?;
        txn.commit(QUICK)?;
        Ok(())
    })?;
    ensure_eq!(s.rows(s.a)?.len(), 3, "rows after both saw the range");
    Ok(())
}

pub(crate) fn read_only_anomaly(lab: &Lab) -> CaseResult {
    // Fekete, O'Neil, O'Neil 2004: a report between a deposit and a withdrawal with a fee must fit
    // one order of the two.
    let s = lab.open()?;
    set(&s, b"checking", 0)?;
    set(&s, b"savings", 0)?;
    let report = |store: &dyn StoreProbe| -> Result<(i64, i64), CaseError> {
        let view = store.begin_read()?;
        Ok((
            number(&*view, s.a, b"checking")?,
            number(&*view, s.a, b"savings")?,
        ))
    };
    beside_a_writer(
        &s,
        &|txn| {
            // The withdrawal: it sees both accounts and takes a fee when the sum goes below zero.
            let sum = number(txn, s.a, b"checking")? + number(txn, s.a, b"savings")?;
            let taken = if sum < 10 { 11 } else { 10 };
            txn.put(s.a, b"checking", &(-i64::from(taken)).to_be_bytes())?;
            Ok(())
        },
        &|store| {
            let early = report(store)?;
            ensure!(
                early == (0, 0) || early == (-11, 0),
                "a report between: {early:?}"
            );
            let mut txn = store.begin_write()?;
            ensure_eq!(report(store)?, (-11, 0), "a report beside the deposit");
            txn.put(s.a, b"savings", &20_i64.to_be_bytes())?;
            txn.commit(QUICK)?;
            Ok(())
        },
    )?;
    ensure_eq!(report(&*s.store)?, (-11, 20), "the report after both");
    Ok(())
}

pub(crate) fn read_skew(lab: &Lab) -> CaseResult {
    // G-single: a view reads one row before a commit and the other after it.
    let s = lab.open()?;
    set(&s, b"x", 50)?;
    set(&s, b"y", 50)?;
    let view = s.begin_read()?;
    ensure_eq!(number(&*view, s.a, b"x")?, 50, "x before the transfer");
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"x", &25_i64.to_be_bytes())?;
    txn.put(s.a, b"y", &75_i64.to_be_bytes())?;
    ensure_eq!(
        number(&*view, s.a, b"y")?,
        50,
        "y beside the uncommitted transfer"
    );
    txn.commit(QUICK)?;
    ensure_eq!(
        number(&*view, s.a, b"y")?,
        50,
        "y after the transfer, in the same view"
    );
    let later = s.begin_read()?;
    let sum = number(&*later, s.a, b"x")? + number(&*later, s.a, b"y")?;
    ensure_eq!(sum, 100, "the sum in a new view");
    Ok(())
}

pub(crate) fn aborted_and_intermediate_reads(lab: &Lab) -> CaseResult {
    // G1a and G1b: nobody sees what was aborted, nor what was overwritten before the commit.
    let s = lab.open()?;
    set(&s, b"x", 1)?;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"x", &2_i64.to_be_bytes())?;
    ensure_eq!(
        number(&*s.begin_read()?, s.a, b"x")?,
        1,
        "beside a transaction"
    );
    txn.abort()?;
    ensure_eq!(number(&*s.begin_read()?, s.a, b"x")?, 1, "after its abort");
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"x", &3_i64.to_be_bytes())?;
    let view = s.begin_read()?;
    txn.put(s.a, b"x", &4_i64.to_be_bytes())?;
    txn.commit(QUICK)?;
    ensure_eq!(
        number(&*view, s.a, b"x")?,
        1,
        "a view from between two writes"
    );
    ensure_eq!(number(&*s.begin_read()?, s.a, b"x")?, 4, "after the commit");
    Ok(())
}

pub(crate) fn try_begin_write_times_out(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (store, table) = (&*s.store, s.a);
    let mut txn = s.begin_write()?;
    txn.put(table, b"k", b"v")?;
    thread::scope(|scope| {
        let other = scope.spawn(move || -> CaseResult {
            for wait in [Duration::ZERO, Duration::from_millis(1), SHORT] {
                let txn = store.try_begin_write(wait)?;
                ensure!(txn.is_none(), "a second writer began beside the first");
            }
            Ok(())
        });
        other
            .join()
            .map_err(|_| CaseError::failed("the other thread panicked"))?
    })?;
    txn.commit(QUICK)?;
    for wait in [Duration::ZERO, Duration::from_secs(5)] {
        let txn = s.try_begin_write(wait)?;
        let txn = txn.ok_or_else(|| CaseError::failed("the store is free and nobody may write"))?;
        ensure_eq!(
            txn.get(table, b"k")?,
            Some(b"v".to_vec()),
            "what the next writer sees"
        );
    }
    Ok(())
}

pub(crate) fn trap_09_waiting_for_oneself_is_refused(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let batch = batch_of(|batch| batch.put(s.a, b"k", b"from the batch"))?;
    for round in 0..3 {
        let mut txn = s.begin_write()?;
        let refused = s.try_begin_write(SHORT);
        ensure_refused!(
            refused,
            ErrorKind::WouldDeadlock,
            "try_begin_write, round {round}"
        );
        let refused = s.try_begin_write(Duration::ZERO);
        ensure_refused!(
            refused,
            ErrorKind::WouldDeadlock,
            "try_begin_write without waiting"
        );
        let refused = s.begin_write();
        ensure_refused!(refused, ErrorKind::WouldDeadlock, "begin_write");
        let refused = s.apply(&batch, QUICK);
        ensure_refused!(refused, ErrorKind::WouldDeadlock, "apply");
        txn.put(s.a, b"own", b"v")?;
        match round {
            0 => txn.commit(QUICK).map(|_| ())?,
            1 => txn.abort()?,
            _ => drop(txn),
        }
        s.table_holds(s.a, &rows_of([(b"own", b"v")]), "after refusals")?;
    }
    s.apply(&batch, QUICK)?;
    s.table_holds(
        s.a,
        &rows_of([(b"k", b"from the batch"), (b"own", b"v")]),
        "the batch after",
    )
}

pub(crate) fn a_batch_waits_for_the_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    set(&s, b"x", 1)?;
    let overwrite = batch_of(|batch| batch.put(s.a, b"x", &5_i64.to_be_bytes()))?;
    beside_a_writer(
        &s,
        &|txn| {
            let x = number(txn, s.a, b"x")?;
            txn.put(s.a, b"x", &(x + 1).to_be_bytes())?;
            Ok(())
        },
        &|store| {
            store.apply(&overwrite, QUICK)?;
            Ok(())
        },
    )?;
    let x = number(&*s.begin_read()?, s.a, b"x")?;
    ensure_eq!(x, 5, "x after a batch that had to wait for a transaction");
    Ok(())
}

pub(crate) fn a_batch_cannot_slip_into_a_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    set(&s, b"x", 1)?;
    let (store, table) = (&*s.store, s.a);
    let overwrite = batch_of(|batch| batch.put(table, b"x", &50_i64.to_be_bytes()))?;
    let mut txn = s.begin_write()?;
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let other = scope.spawn(move || {
            let _ = tell.send(());
            store.apply(&overwrite, QUICK).map(|_| ())
        });
        let body = (|| -> CaseResult {
            told.recv()
                .map_err(|_| CaseError::failed("the other thread ended early"))?;
            // The batch is on its way; however far it got, this transaction must not see it.
            for _ in 0..200 {
                ensure_eq!(number(&*txn, table, b"x")?, 1, "x inside the transaction");
                thread::yield_now();
            }
            txn.put(table, b"x", &2_i64.to_be_bytes())?;
            ensure_eq!(number(&*txn, table, b"x")?, 2, "x after its own write");
            Ok(())
        })();
        let committed = txn.commit(QUICK);
        let joined = other.join();
        body?;
        committed?;
        joined.map_err(|_| CaseError::failed("the other thread panicked"))??;
        Ok::<(), CaseError>(())
    })?;
    let x = number(&*s.begin_read()?, s.a, b"x")?;
    ensure_eq!(x, 50, "x after the batch that came behind the transaction");
    Ok(())
}
