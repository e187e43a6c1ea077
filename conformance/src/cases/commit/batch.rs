//! Batches: order of operations, range deletes among them, reuse, refusal as a whole, atomic
//! appearance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use storage_api::{ErrorKind, KeyRange, TableId, WriteBatch, Writer as _};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, QUICK, Subject};
use crate::ops::{Contents, Dice, TableRows, batch_of, numbered_rows, rows_of, scaled};
use crate::probe::StoreProbe;

pub(crate) fn trap_23_the_last_operation_wins(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill(s.a, [(&b"x"[..], &b"old"[..]), (b"y", b"old")])?;
    let batch = batch_of(|batch| {
        batch.put(s.a, b"x", b"1")?;
        batch.delete(s.a, b"x")?;
        batch.put(s.a, b"y", b"1")?;
        batch.put(s.a, b"y", b"2")?;
        batch.delete(s.a, b"z")?;
        batch.put(s.a, b"z", b"1")?;
        for at in 0..200u32 {
            batch.put(s.a, b"w", &at.to_be_bytes())?;
        }
        Ok(())
    })?;
    s.apply(&batch, QUICK)?;
    let expected = rows_of([(b"w", &199u32.to_be_bytes()), (b"y", b"2"), (b"z", b"1")]);
    s.table_holds(s.a, &expected, "after contrary operations on the same keys")
}

pub(crate) fn a_range_delete_affects_earlier_operations_only(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for table in [s.a, s.checked] {
        s.fill(
            table,
            [(&b"b1"[..], &b"old"[..]), (b"b2", b"old"), (b"c", b"old")],
        )?;
        let batch = batch_of(|batch| {
            batch.put(table, b"b3", b"before")?;
            batch.put(table, b"a", b"outside")?;
            batch.delete_range(table, &KeyRange::prefix(b"b"))?;
            batch.put(table, b"b2", b"after")?;
            batch.put(table, b"b4", b"after")
        })?;
        s.apply(&batch, QUICK)?;
        let expected = rows_of([
            (b"a", b"outside"),
            (b"b2", b"after"),
            (b"b4", b"after"),
            (b"c", b"old"),
        ]);
        s.table_holds(table, &expected, "puts before and after a range delete")?;
    }
    Ok(())
}

pub(crate) fn range_delete_unbounded_tail(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let long = vec![0xff; 511];
    let keys: [&[u8]; 6] = [b"a", b"\xfe\xff", b"\xff", &[0xff; 16], &[0xff; 33], &long];
    let ranges = [
        KeyRange::all(),
        KeyRange::from_key(b"b"),
        KeyRange::prefix(b"\xff\xff"),
    ];
    for range in ranges {
        for committed_first in [true, false] {
            let table = s.a;
            let mut batch = WriteBatch::new();
            for key in keys {
                batch.put(table, key, key)?;
            }
            if committed_first {
                s.apply(&batch, QUICK)?;
                batch.clear();
            }
            batch.delete_range(table, &range)?;
            batch.put(table, &[0xff; 20], b"put afterwards")?;
            s.apply(&batch, QUICK)?;
            let mut expected: TableRows = keys
                .iter()
                .filter(|key| !range.contains(key))
                .map(|key| (key.to_vec(), key.to_vec()))
                .collect();
            expected.insert(vec![0xff; 20], b"put afterwards".to_vec());
            s.table_holds(
                table,
                &expected,
                &format!("{range:?}, committed: {committed_first}"),
            )?;
            s.apply(
                &batch_of(|batch| batch.delete_range(table, &KeyRange::all()))?,
                QUICK,
            )?;
            s.table_holds(table, &TableRows::new(), "after deleting everything")?;
        }
    }
    Ok(())
}

pub(crate) fn overlapping_range_deletes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(100);
    let key = |at: u64| at.to_be_bytes();
    for table in [s.a, s.b] {
        s.fill_rows(table, &rows)?;
    }
    let batch = batch_of(|batch| {
        batch.delete_range(s.a, &KeyRange::half_open(&key(10), &key(30)))?;
        batch.put(s.a, &key(15), b"again")?;
        batch.put(s.a, &key(25), b"again")?;
        batch.delete_range(s.a, &KeyRange::half_open(&key(20), &key(40)))?;
        batch.delete_range(s.a, &KeyRange::half_open(&key(12), &key(14)))?;
        batch.put(s.a, &key(39), b"again")?;
        batch.delete_range(s.a, &KeyRange::half_open(&key(60), &key(60)))?;
        batch.delete_range(s.b, &KeyRange::from_key(&key(5)))
    })?;
    s.apply(&batch, QUICK)?;
    let mut in_a = rows.clone();
    in_a.retain(|k, _| k[..] < key(10)[..] || k[..] >= key(40)[..]);
    in_a.insert(key(15).to_vec(), b"again".to_vec());
    in_a.insert(key(39).to_vec(), b"again".to_vec());
    s.table_holds(s.a, &in_a, "after overlapping range deletes")?;
    let in_b = rows.into_iter().take(5).collect();
    s.table_holds(s.b, &in_b, "the other table")
}

pub(crate) fn trap_22_many_range_deletes_mean_what_they_say(lab: &Lab) -> CaseResult {
    // Narrow and wide ones, one upon another, as engines with tombstones keep them.
    let s = lab.open()?;
    let mut dice = Dice::of("trap_22_many_range_deletes_mean_what_they_say");
    let (count, mut rows) = (scaled(3_000), numbered_rows(scaled(3_000)));
    s.fill_rows(s.a, &rows)?;
    for round in 0..scaled(400) {
        let start = dice.below(count) as u64;
        let width = if dice.once_in(20) {
            200
        } else {
            1 + dice.below(4)
        } as u64;
        let range = KeyRange::half_open(&start.to_be_bytes(), &(start + width).to_be_bytes());
        let again = (start + width / 2).to_be_bytes();
        let batch = batch_of(|batch| {
            batch.delete_range(s.a, &range)?;
            if round % 3 == 0 {
                batch.put(s.a, &again, b"again")
            } else {
                Ok(())
            }
        })?;
        s.apply(&batch, QUICK)?;
        rows.retain(|key, _| !range.contains(key));
        if round % 3 == 0 {
            rows.insert(again.to_vec(), b"again".to_vec());
        }
    }
    s.table_holds(s.a, &rows, "after many range deletes")
}

pub(crate) fn a_batch_can_be_applied_again(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut batch = batch_of(|batch| {
        batch.put(s.a, b"k1", b"1")?;
        batch.put(s.a, b"k2", b"2")?;
        batch.delete_range(s.b, &KeyRange::all())
    })?;
    s.apply(&batch, QUICK)?;
    s.fill(s.a, [(&b"k1"[..], &b"other"[..])])?;
    s.put(s.b, b"k", b"other")?;
    s.apply(&batch, QUICK)?;
    let expected = [
        (s.a, rows_of([(b"k1", b"1"), (b"k2", b"2")])),
        (s.b, TableRows::new()),
    ];
    s.holds(&expected.into(), "a batch applied twice")?;
    batch.truncate(1);
    s.apply(
        &batch_of(|all| all.delete_range(s.a, &KeyRange::all()))?,
        QUICK,
    )?;
    s.apply(&batch, QUICK)?;
    s.table_holds(
        s.a,
        &rows_of([(b"k1", b"1")]),
        "a batch cut to its first operation",
    )?;
    batch.clear();
    batch.put(s.a, b"k3", b"3")?;
    s.apply(&batch, QUICK)?;
    s.table_holds(
        s.a,
        &rows_of([(b"k1", b"1"), (b"k3", b"3")]),
        "a batch cleared and refilled",
    )
}

pub(crate) fn an_empty_batch_changes_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    s.apply(&WriteBatch::new(), QUICK)?;
    s.table_holds(s.a, &rows_of([(b"k", b"v")]), "after an empty batch")?;
    s.put(s.a, b"k2", b"v")?;
    s.table_holds(
        s.a,
        &rows_of([(b"k", b"v"), (b"k2", b"v")]),
        "after the batch behind it",
    )
}

pub(crate) fn one_batch_over_all_tables(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut contents = Contents::new();
    let mut batch = WriteBatch::new();
    for round in 0..50u8 {
        for table in s.tables() {
            let key = [round, table.get().to_be_bytes()[1]];
            batch.put(table, &key, &[round; 9])?;
            contents
                .entry(table)
                .or_default()
                .insert(key.to_vec(), vec![round; 9]);
        }
    }
    let commit = s.apply(&batch, QUICK)?;
    s.holds(&contents, "one batch over all tables")?;
    ensure_eq!(
        s.begin_read()?.commit_seq()?,
        commit.seq.unwrap_or_default(),
        "its one commit"
    );
    Ok(())
}

pub(crate) fn a_bad_operation_refuses_the_whole_batch(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"old", b"old")?;
    let before = s.stats()?.commit_seq;
    let (unknown, long) = (TableId::new(u16::MAX), vec![b'k'; 512]);
    let good = batch_of(|batch| {
        batch.put(s.a, b"new", b"new")?;
        batch.delete(s.a, b"old")
    })?;
    let with = |add: &dyn Fn(&mut WriteBatch) -> storage_api::Result<()>| {
        let mut batch = good.clone();
        add(&mut batch).map(|()| s.apply(&batch, QUICK))
    };
    let put = with(&|batch| batch.put(s.a, b"", b"v"))?;
    ensure_refused!(
        put,
        ErrorKind::EmptyKey,
        "a put of the empty key at the end"
    );
    let delete = with(&|batch| batch.delete(s.b, b""))?;
    ensure_refused!(
        delete,
        ErrorKind::EmptyKey,
        "a delete of the empty key at the end"
    );
    let put = with(&|batch| batch.put(s.a, &long, b"v"))?;
    ensure_refused!(
        put,
        ErrorKind::KeyTooLong { len: 512, max: 511 },
        "a long key at the end"
    );
    let put = with(&|batch| batch.put(unknown, b"k", b"v"))?;
    ensure_refused!(
        put,
        ErrorKind::UnknownTable { .. },
        "an unknown table at the end"
    );
    let range = with(&|batch| batch.delete_range(unknown, &KeyRange::all()))?;
    ensure_refused!(
        range,
        ErrorKind::UnknownTable { .. },
        "an unknown table in a range delete"
    );
    s.table_holds(s.a, &rows_of([(b"old", b"old")]), "after refused batches")?;
    ensure_eq!(
        s.stats()?.commit_seq,
        before,
        "the last commit after refused batches"
    );
    s.apply(&good, QUICK)?;
    s.table_holds(
        s.a,
        &rows_of([(b"new", b"new")]),
        "after the good operations alone",
    )
}

pub(crate) fn random_batches_against_the_model(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("random_batches_against_the_model");
    let (tables, mut contents) = (s.tables(), Contents::new());
    for round in 0..scaled(400) {
        let mut batch = WriteBatch::new();
        for _ in 0..1 + dice.below(60) {
            let op = dice.op(&tables, &contents);
            op.write(&mut batch)?;
            op.note(&mut contents);
        }
        s.apply(&batch, QUICK)?;
        if round % 10 == 0 {
            s.holds(&contents, &format!("after {} random batches", round + 1))?;
        }
    }
    s.holds(&contents, "after random batches")
}

pub(crate) fn a_hundred_thousand_operations(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let count = scaled(100_000);
    let rows = numbered_rows(count);
    let mut order: Vec<u64> = (0..count as u64).collect();
    Dice::of("a_hundred_thousand_operations").shuffle(&mut order);
    let mut batch = WriteBatch::new();
    for number in &order {
        batch.put(
            s.a,
            &number.to_be_bytes(),
            format!("value {number}").as_bytes(),
        )?;
    }
    s.apply(&batch, QUICK)?;
    s.table_holds(s.a, &rows, "a batch of many puts")?;
    batch.clear();
    for number in order.iter().filter(|number| **number % 2 == 0) {
        batch.delete(s.a, &number.to_be_bytes())?;
    }
    s.apply(&batch, QUICK)?;
    let odd = rows
        .into_iter()
        .filter(|(key, _)| key.last().is_some_and(|last| last % 2 == 1));
    s.table_holds(s.a, &odd.collect(), "a batch of many deletes")
}

pub(crate) fn a_batch_of_large_values(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for table in [s.large, s.a] {
        let rows: TableRows = (0..4u8)
            .map(|at| (vec![at + 1], vec![at; 1 << 20]))
            .collect();
        s.fill_rows(table, &rows)?;
        s.table_holds(table, &rows, "four values of 1 MiB in one batch")?;
    }
    Ok(())
}

pub(crate) fn replayed_into_a_transaction_it_means_the_same(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("replayed_into_a_transaction_it_means_the_same");
    let mut contents = Contents::new();
    for _ in 0..scaled(100) {
        let mut txn = s.begin_write()?;
        let mut batch = WriteBatch::new();
        for _ in 0..30 {
            let op = dice.op(&[s.a], &contents);
            op.write(&mut batch)?;
            op.clone().on(s.b).write(&mut *txn)?;
            op.note(&mut contents);
        }
        txn.commit(QUICK)?;
        s.apply(&batch, QUICK)?;
    }
    let rows = contents.remove(&s.a).unwrap_or_default();
    s.table_holds(s.a, &rows, "through batches")?;
    s.table_holds(s.b, &rows, "through transactions")
}

/// A batch that sets every row of a table to one number.
fn all_set_to(table: TableId, rows: u64, number: u64) -> storage_api::Result<WriteBatch> {
    batch_of(|batch| {
        if number.is_multiple_of(3) {
            batch.delete_range(table, &KeyRange::all())?;
        }
        (0..rows).try_for_each(|row| batch.put(table, &row.to_be_bytes(), &number.to_be_bytes()))
    })
}

fn watch(s: &dyn StoreProbe, table: TableId, rows: u64, done: &AtomicBool) -> CaseResult {
    while !done.load(Ordering::Acquire) {
        let seen = s.begin_read()?.rows(table, KeyRange::all())?;
        ensure_eq!(
            seen.len() as u64,
            rows,
            "rows that a view sees beside a batch"
        );
        let first = seen.first().map(|(_, value)| value.clone());
        let same = seen.iter().all(|(_, value)| Some(value) == first.as_ref());
        ensure!(same, "a view sees half of a batch");
    }
    Ok(())
}

pub(crate) fn appears_as_a_whole_beside_views(lab: &Lab) -> CaseResult {
    const ROWS: u64 = 64;
    let s = lab.open()?;
    s.apply(&all_set_to(s.a, ROWS, 0)?, QUICK)?;
    let (done, store) = (AtomicBool::new(false), &*s.store);
    thread::scope(|scope| {
        let watchers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| watch(store, s.a, ROWS, &done)))
            .collect();
        let written = (1..=scaled(1_000) as u64).try_for_each(|number| {
            store
                .apply(&all_set_to(s.a, ROWS, number)?, QUICK)
                .map(|_| ())
        });
        done.store(true, Ordering::Release);
        for watcher in watchers {
            watcher
                .join()
                .map_err(|_| CaseError::failed("a watching thread panicked"))??;
        }
        Ok(written?)
    })
}

/// One writer removes a range and puts a mark, the other puts two marks: the rows must be those of
/// one order.
fn race(s: &Subject, round: usize) -> CaseResult {
    let (start, store) = (std::sync::Barrier::new(2), &*s.store);
    let remover = batch_of(|batch| {
        batch.delete_range(s.a, &KeyRange::half_open(b"k0", b"k9"))?;
        batch.put(s.a, b"k1", b"remover")
    })?;
    let putter = batch_of(|batch| {
        batch.put(s.a, b"k1", b"putter")?;
        batch.put(s.a, b"k5", b"putter")
    })?;
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            start.wait();
            store.apply(&remover, QUICK)
        });
        start.wait();
        let own = store.apply(&putter, QUICK);
        other
            .join()
            .map_err(|_| CaseError::failed("the removing thread panicked"))??;
        own.map_err(CaseError::from)
    })?;
    let found: TableRows = s.rows(s.a)?.into_iter().collect();
    let remover_last = rows_of([(b"k1", b"remover")]);
    let putter_last = rows_of([(b"k1", b"putter"), (b"k5", b"putter")]);
    ensure!(
        found == remover_last || found == putter_last,
        "round {round}: a mix of both batches: {found:?}"
    );
    Ok(())
}

pub(crate) fn batch_delete_range_races_put(lab: &Lab) -> CaseResult {
    for order in [
        storage_api::CommitOrder::Ordered,
        storage_api::CommitOrder::Relaxed,
    ] {
        let mut options = storage_api::OpenOptions::new();
        options.commit_order = order;
        let s = lab.open_with(&crate::lab::STANDARD, &options)?;
        for round in 0..scaled(1_000) {
            let filler = [(&b"k2"[..], &b"filler"[..]), (b"k7", b"filler")];
            s.fill(s.a, filler)?;
            race(&s, round)?;
        }
    }
    Ok(())
}
