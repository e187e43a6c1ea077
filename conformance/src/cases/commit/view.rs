//! Views: they never change, they are consistent over tables, they outlive the handle, they may be
//! many.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use storage_api::{CommitSeq, KeyRange, WriteBatch, Writer as _};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, QUICK, Subject, reader_holds, table_holds};
use crate::ops::{
    Contents, Dice, TableRows, batch_of, forward, in_range, numbered_rows, owned, rows_of,
    same_rows, scaled,
};
use crate::probe::View;

pub(crate) fn reads_are_repeatable(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let before = rows_of([(b"a", b"1"), (b"b", b"2"), (b"c", b"")]);
    for table in [s.a, s.checked] {
        s.fill_rows(table, &before)?;
        let view = s.begin_read()?;
        table_holds(&*view, table, &before, "at the beginning")?;
        s.put(table, b"b", b"changed")?;
        s.put(table, b"bb", b"new")?;
        table_holds(&*view, table, &before, "after puts")?;
        s.apply(&batch_of(|batch| batch.delete(table, b"a"))?, QUICK)?;
        table_holds(&*view, table, &before, "after a delete")?;
        s.apply(
            &batch_of(|batch| batch.delete_range(table, &KeyRange::all()))?,
            QUICK,
        )?;
        table_holds(&*view, table, &before, "after a delete of everything")?;
        s.table_holds(table, &TableRows::new(), "a new view")?;
    }
    Ok(())
}

pub(crate) fn trap_07_a_view_never_sees_later_commits(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(2_000));
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    let mut cursor = view.cursor(s.a, KeyRange::all())?;
    let mut seen = Vec::new();
    let mut number = 0_u64;
    while let Some(row) = cursor.next()?.map(owned) {
        seen.push(row);
        if seen.len() % 20 == 0 {
            // Behind the cursor, at it, before it, and in a place that is not there yet.
            s.apply(
                &batch_of(|batch| {
                    batch.delete(s.a, &number.to_be_bytes())?;
                    batch.put(s.a, &(number + 21).to_be_bytes(), b"changed")?;
                    batch.delete(s.a, &(number + 22).to_be_bytes())?;
                    batch.put(s.a, &[&number.to_be_bytes()[..], b"new"].concat(), b"new")
                })?,
                QUICK,
            )?;
            number += 20;
        }
    }
    same_rows(
        &seen,
        &in_range(&rows, &KeyRange::all()),
        "a scan beside commits",
    )?;
    drop(cursor);
    table_holds(&*view, s.a, &rows, "the same view again")
}

pub(crate) fn all_tables_are_of_one_commit(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let tables = s.tables();
    let set = |number: u64| -> storage_api::Result<()> {
        let mut batch = WriteBatch::new();
        for table in tables {
            batch.put(table, b"number", &number.to_be_bytes())?;
        }
        s.apply(&batch, QUICK).map(|_| ())
    };
    set(0)?;
    let done = AtomicBool::new(false);
    let store = &*s.store;
    thread::scope(|scope| {
        let watcher = scope.spawn(|| -> CaseResult {
            while !done.load(Ordering::Acquire) {
                let view = store.begin_read()?;
                let first = view.get(tables[0], b"number")?;
                for table in tables {
                    ensure_eq!(
                        view.get(table, b"number")?,
                        first,
                        "a number in another table"
                    );
                }
            }
            Ok(())
        });
        let written = (1..=scaled(1_000) as u64).try_for_each(set);
        done.store(true, Ordering::Release);
        watcher
            .join()
            .map_err(|_| CaseError::failed("the watching thread panicked"))??;
        Ok(written?)
    })
}

pub(crate) fn trap_10_a_view_outlives_the_handle_and_moves(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(1_000));
    s.fill_rows(s.a, &rows)?;
    s.fill_rows(s.checked, &rows)?;
    let (table, checked) = (s.a, s.checked);
    let views = [s.begin_read()?, s.begin_read()?];
    s.apply(
        &batch_of(|batch| batch.delete_range(table, &KeyRange::all()))?,
        QUICK,
    )?;
    drop(s);
    for view in views {
        let rows = rows.clone();
        let reader = thread::spawn(move || {
            table_holds(
                &*view,
                table,
                &rows,
                "after the handle is gone, in another thread",
            )?;
            table_holds(&*view, checked, &rows, "the other table")
        });
        reader
            .join()
            .map_err(|_| CaseError::failed("the reading thread panicked"))??;
    }
    Ok(())
}

pub(crate) fn trap_26_dropping_the_handle_closes_nothing_in_use(lab: &Lab) -> CaseResult {
    // A call on a closed store does not compile (see `conformance::traps`); what is alive stays
    // usable.
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    let (view, table) = (s.begin_read()?, s.a);
    let mut cursor = view.cursor(table, KeyRange::all())?;
    drop(s);
    ensure_eq!(
        cursor.next()?.map(owned),
        Some((b"k".to_vec(), b"v".to_vec())),
        "a live cursor"
    );
    drop(cursor);
    ensure_eq!(view.get(table, b"k")?, Some(b"v".to_vec()), "a live view");
    drop(view);
    lab.open().map(|_| ()).map_err(CaseError::from)
}

pub(crate) fn a_view_of_a_new_store_is_empty(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let view = s.begin_read()?;
    s.put(s.a, b"k", b"v")?;
    let nothing: Contents = s.tables().map(|table| (table, TableRows::new())).into();
    reader_holds(&*view, &nothing, "a view from before the first commit")
}

/// A view of each of several commits, with what it must see.
fn views_of_many_commits(s: &Subject) -> Result<Vec<(View, Contents)>, CaseError> {
    let mut dice = Dice::of("views_of_many_commits");
    let (tables, mut contents) = ([s.a, s.b, s.checked], Contents::new());
    let everything = |batch: &mut WriteBatch| {
        tables
            .iter()
            .try_for_each(|table| batch.delete_range(*table, &KeyRange::all()))
    };
    s.apply(&batch_of(everything)?, QUICK)?;
    let mut views = Vec::new();
    for _ in 0..40 {
        let mut batch = WriteBatch::new();
        for _ in 0..20 {
            let op = dice.op(&tables, &contents);
            op.write(&mut batch)?;
            op.note(&mut contents);
        }
        s.apply(&batch, QUICK)?;
        views.push((s.begin_read()?, contents.clone()));
    }
    Ok(views)
}

pub(crate) fn many_views_of_many_commits(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let views = views_of_many_commits(&s)?;
    for (at, (view, contents)) in views.iter().enumerate() {
        reader_holds(&**view, contents, &format!("view {at}"))?;
    }
    thread::scope(|scope| {
        // Views are not promised to be shared between threads, so each moves to its own.
        let readers: Vec<_> = views
            .into_iter()
            .map(|(view, contents)| {
                scope.spawn(move || reader_holds(&*view, &contents, "a view in its own thread"))
            })
            .collect();
        readers.into_iter().try_for_each(|reader| {
            reader
                .join()
                .map_err(|_| CaseError::failed("a reading thread panicked"))?
        })
    })
}

pub(crate) fn views_may_drop_in_any_order(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for order in ["oldest first", "newest first", "shuffled"] {
        let mut views = views_of_many_commits(&s)?;
        match order {
            "oldest first" => views.reverse(),
            "newest first" => {}
            _ => Dice::of(order).shuffle(&mut views),
        }
        while let Some((view, contents)) = views.pop() {
            reader_holds(&*view, &contents, &format!("the next to drop, {order}"))?;
            drop(view);
            s.put(s.c, b"k", b"a commit between drops")?;
            if let Some((view, contents)) = views.first() {
                reader_holds(&**view, contents, &format!("one of those left, {order}"))?;
            }
        }
        ensure_eq!(
            s.stats()?.readers,
            0,
            "live views after the last was dropped"
        );
    }
    Ok(())
}

pub(crate) fn views_of_one_commit_agree(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let count = NonZeroUsize::new(4).ok_or_else(|| CaseError::failed("four is zero"))?;
    let (done, store, table) = (AtomicBool::new(false), &*s.store, s.a);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> CaseResult {
            let mut number = 0_u64;
            while !done.load(Ordering::Acquire) {
                number += 1;
                let batch = batch_of(|batch| {
                    batch.put(table, b"number", &number.to_be_bytes())?;
                    batch.put(table, &(number % 50).to_be_bytes(), &number.to_be_bytes())
                })?;
                store.apply(&batch, QUICK)?;
            }
            Ok(())
        });
        let compared = (0..scaled(500)).try_for_each(|_| -> CaseResult {
            let views = store.begin_read_many(count)?;
            ensure_eq!(views.len(), count.get(), "views that were asked for");
            let first = (
                views[0].commit_seq()?,
                views[0].rows(table, KeyRange::all())?,
            );
            for view in &views[1..] {
                ensure_eq!(
                    view.commit_seq()?,
                    first.0,
                    "the commit of another of the views"
                );
                same_rows(
                    &view.rows(table, KeyRange::all())?,
                    &first.1,
                    "another of the views",
                )?;
            }
            Ok(())
        });
        done.store(true, Ordering::Release);
        writer
            .join()
            .map_err(|_| CaseError::failed("the writing thread panicked"))??;
        compared
    })
}

pub(crate) fn one_view_of_many_is_a_view(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = rows_of([(b"k", b"v")]);
    s.fill_rows(s.a, &rows)?;
    for count in [1, 2, 17] {
        let count = NonZeroUsize::new(count).ok_or_else(|| CaseError::failed("zero"))?;
        let views = s.begin_read_many(count)?;
        ensure_eq!(views.len(), count.get(), "views that were asked for");
        ensure_eq!(
            s.stats()?.readers,
            count.get(),
            "live views in the statistics"
        );
        s.put(s.a, b"later", b"later")?;
        for view in views {
            table_holds(&*view, s.a, &rows, "one of several views")?;
        }
        s.apply(&batch_of(|batch| batch.delete(s.a, b"later"))?, QUICK)?;
    }
    Ok(())
}

pub(crate) fn a_view_knows_its_commit(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let start = s.begin_read()?.commit_seq()?;
    ensure_eq!(
        s.stats()?.commit_seq,
        start,
        "the last commit in the statistics"
    );
    let mut before: (CommitSeq, Option<View>) = (start, None);
    for number in 0..20_u8 {
        let commit = if number % 2 == 0 {
            s.put(s.a, b"k", &[number])?
        } else {
            let mut txn = s.begin_write()?;
            txn.put(s.a, b"k", &[number])?;
            txn.commit(QUICK)?
        };
        let seq = commit.seq.ok_or_else(|| {
            CaseError::failed("a commit of a store with ordered commits has no place")
        })?;
        ensure!(
            seq > before.0,
            "commit {seq} does not come after {}",
            before.0
        );
        let view = s.begin_read()?;
        ensure_eq!(
            view.commit_seq()?,
            seq,
            "the commit of a view begun after it"
        );
        ensure_eq!(
            s.stats()?.commit_seq,
            seq,
            "the last commit in the statistics"
        );
        if let Some(old) = &before.1 {
            ensure_eq!(old.commit_seq()?, before.0, "the commit of an older view");
        }
        before = (seq, Some(view));
    }
    Ok(())
}

pub(crate) fn statistics_count_live_views(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    ensure_eq!(s.stats()?.readers, 0, "live views of a new store");
    ensure_eq!(
        s.stats()?.oldest_reader,
        None,
        "the oldest view when there is none"
    );
    let first = s.begin_read()?;
    let second = s.begin_read()?;
    ensure_eq!(s.stats()?.readers, 2, "live views");
    ensure!(
        s.stats()?.oldest_reader.is_some(),
        "two views live and none is the oldest"
    );
    drop(first);
    ensure_eq!(s.stats()?.readers, 1, "live views after one was dropped");
    drop(second);
    ensure_eq!(s.stats()?.readers, 0, "live views after both were dropped");
    Ok(())
}

pub(crate) fn a_view_begun_beside_a_transaction_sees_none_of_it(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = rows_of([(b"a", b"1"), (b"b", b"2")]);
    s.fill_rows(s.a, &rows)?;
    let (store, table) = (&*s.store, s.a);
    let mut txn = s.begin_write()?;
    txn.put(table, b"a", b"dirty")?;
    txn.put(table, b"c", b"dirty")?;
    txn.delete(table, b"b")?;
    let own = s.begin_read()?;
    table_holds(&*own, table, &rows, "a view in the writer's thread")?;
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let view = store.begin_read()?;
            table_holds(&*view, table, &rows, "a view in another thread")
        });
        reader
            .join()
            .map_err(|_| CaseError::failed("the reading thread panicked"))?
    })?;
    txn.commit(QUICK)?;
    table_holds(&*own, table, &rows, "the older view after the commit")?;
    s.table_holds(
        table,
        &rows_of([(b"a", b"dirty"), (b"c", b"dirty")]),
        "a new view",
    )
}

pub(crate) fn long_scans_beside_a_busy_writer(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(10_000));
    s.fill_rows(s.a, &rows)?;
    let (store, table) = (&*s.store, s.a);
    let expected = in_range(&rows, &KeyRange::all());
    let (told, tell) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let view = store.begin_read()?;
        let writer = scope.spawn(move || -> CaseResult {
            let mut number = 0_u64;
            while let Err(mpsc::TryRecvError::Empty) = tell.try_recv() {
                number = (number + 7) % 997;
                let batch = batch_of(|batch| {
                    batch.put(table, &number.to_be_bytes(), b"changed")?;
                    batch.delete_range(
                        table,
                        &KeyRange::half_open(&number.to_be_bytes(), &(number + 3).to_be_bytes()),
                    )
                })?;
                store.apply(&batch, QUICK)?;
            }
            Ok(())
        });
        let mut compared = Ok(());
        for _ in 0..5 {
            let found = view
                .cursor(table, KeyRange::all())
                .and_then(|mut c| forward(&mut *c));
            compared = found
                .map_err(CaseError::from)
                .and_then(|found| same_rows(&found, &expected, "a scan beside a busy writer"));
            if compared.is_err() {
                break;
            }
        }
        drop(told);
        writer
            .join()
            .map_err(|_| CaseError::failed("the writing thread panicked"))??;
        compared
    })
}
