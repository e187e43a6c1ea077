//! The ways of reading agree with each other: get, contains, `get_with`, `multi_get`, count,
//! statistics.

use std::ops::ControlFlow;

use storage_api::{Count, CountMode, KeyRange, TableId, Writer as _};

use crate::case::{CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, QUICK};
use crate::ops::{Dice, TableRows, batch_of, in_range, numbered_rows, rows_of, same_rows, scaled};
use crate::probe::ReadProbe;

/// Hard keys with values, and keys that are not among them.
fn sample(name: &str) -> (TableRows, Vec<Vec<u8>>) {
    let mut dice = Dice::of(name);
    let rows: TableRows = (0..scaled(1_000))
        .map(|_| (dice.key(), dice.value()))
        .collect();
    let absent = (0..100)
        .map(|_| dice.key())
        .filter(|key| !rows.contains_key(key))
        .collect();
    (rows, absent)
}

pub(crate) fn contains_agrees_with_get(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (rows, absent) = sample("contains_agrees_with_get");
    for table in [s.a, s.checked, s.points] {
        s.fill_rows(table, &rows)?;
        let view = s.begin_read()?;
        for key in rows.keys() {
            ensure!(view.contains(table, key)?, "contains misses a key");
        }
        for key in &absent {
            ensure!(!view.contains(table, key)?, "contains finds an absent key");
            ensure_eq!(view.get(table, key)?, None, "get of an absent key");
        }
    }
    Ok(())
}

pub(crate) fn get_with_agrees_with_get(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (rows, absent) = sample("get_with_agrees_with_get");
    for table in [s.a, s.checked] {
        s.fill_rows(table, &rows)?;
        let view = s.begin_read()?;
        for (key, value) in &rows {
            let mut seen = Vec::new();
            let found = view.get_with(table, key, &mut |value| seen.push(value.to_vec()))?;
            ensure!(
                found && seen == [value.clone()],
                "get_with hands out something else than get"
            );
        }
        for key in &absent {
            let mut calls = 0;
            let found = view.get_with(table, key, &mut |_| calls += 1)?;
            ensure_eq!((found, calls), (false, 0), "get_with of an absent key");
        }
    }
    Ok(())
}

fn multi_get_agrees(reader: &dyn ReadProbe, table: TableId, rows: &TableRows) -> CaseResult {
    let mut dice = Dice::of("multi_get");
    let (too_long, some): (Vec<u8>, Vec<&Vec<u8>>) = (vec![b'k'; 600], rows.keys().collect());
    for size in [0, 1, 2, 7, 64, 300] {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for at in 0..size {
            keys.push(match at % 5 {
                0 | 1 => (*dice.pick(&some)).clone(),
                2 => dice.key(),
                3 if at > 3 => keys[at - 3].clone(),
                3 => Vec::new(),
                _ => too_long.clone(),
            });
        }
        dice.shuffle(&mut keys);
        let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let mut answers: Vec<Vec<Option<Vec<u8>>>> = vec![Vec::new(); size];
        let mut out_of_place = false;
        reader.multi_get(table, &asked, &mut |at, value| match answers.get_mut(at) {
            Some(answers) => answers.push(value.map(<[u8]>::to_vec)),
            None => out_of_place = true,
        })?;
        ensure!(
            !out_of_place,
            "multi_get of {size} keys answers a place that was not asked"
        );
        for (key, answers) in keys.iter().zip(&answers) {
            ensure_eq!(
                *answers,
                vec![rows.get(key).cloned()],
                "multi_get of {size} keys"
            );
        }
    }
    Ok(())
}

pub(crate) fn multi_get_answers_every_place_once(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (rows, _) = sample("multi_get_answers_every_place_once");
    for table in [s.a, s.checked, s.large, s.points] {
        s.fill_rows(table, &rows)?;
        multi_get_agrees(&*s.begin_read()?, table, &rows)?;
    }
    let txn = s.begin_write()?;
    multi_get_agrees(&*txn, s.a, &rows)?;
    Ok(txn.abort()?)
}

pub(crate) fn trap_30_values_borrow_their_reader(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (mut rows, _) = sample("trap_30_values_borrow_their_reader");
    rows.insert(b"long".to_vec(), vec![7; 200_000]);
    for table in [s.a, s.checked, s.large] {
        s.fill_rows(table, &rows)?;
        let keys: Vec<&[u8]> = rows.keys().map(Vec::as_slice).collect();
        let mut wrong = 0;
        s.begin_read()?.hold(table, &keys, &mut |values| {
            let pairs = values.iter().zip(rows.values());
            wrong = pairs
                .filter(|(found, expected)| **found != Some(&expected[..]))
                .count();
        })?;
        ensure_eq!(wrong, 0, "values that changed while more of them were read");
    }
    let mut txn = s.begin_write()?;
    for at in 0..scaled(500) as u32 {
        let key = at.to_be_bytes();
        txn.put(s.b, &key, b"before")?;
        let mut seen = Vec::new();
        txn.hold(s.b, &[&key, b"absent", &key], &mut |values| {
            seen = values
                .iter()
                .map(|value| value.map(<[u8]>::to_vec))
                .collect();
        })?;
        let before = Some(b"before".to_vec());
        ensure_eq!(
            seen,
            [before.clone(), None, before],
            "values inside a transaction"
        );
        txn.put(s.b, &key, b"after")?;
        ensure_eq!(
            txn.get(s.b, &key)?,
            Some(b"after".to_vec()),
            "the value after the next put"
        );
    }
    Ok(txn.abort()?)
}

pub(crate) fn trap_21_count_says_whether_it_is_exact(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(1_000));
    ensure_eq!(
        s.begin_read()?.count(s.a)?.get(),
        0,
        "the count of a new table"
    );
    s.fill_rows(s.a, &rows)?;
    s.fill_rows(s.a, &rows)?;
    s.fill_rows(s.checked, &rows)?;
    let half = rows.len() as u64 / 2;
    s.apply(
        &batch_of(|batch| {
            batch.delete_range(s.a, &KeyRange::from_key(&half.to_be_bytes()))?;
            batch.delete(s.a, b"absent")
        })?,
        QUICK,
    )?;
    let view = s.begin_read()?;
    for (table, expected) in [(s.a, half), (s.checked, rows.len() as u64), (s.b, 0)] {
        let count = view.count(table)?;
        match s.capabilities().count {
            CountMode::Exact => ensure_eq!(count, Count::Exact(expected), "count"),
            CountMode::Estimate if count.is_exact() => {
                ensure_eq!(
                    count,
                    Count::Exact(expected),
                    "a count that says it is exact"
                );
            }
            CountMode::Estimate => {}
        }
        ensure_eq!(view.count_exact(table)?, expected, "count_exact");
    }
    Ok(())
}

pub(crate) fn table_stats_agree_with_the_rows(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(2_000));
    s.fill_rows(s.a, &rows)?;
    let stats = s.table_stats(s.a)?;
    if stats.rows.is_exact() {
        ensure_eq!(
            stats.rows.get(),
            rows.len() as u64,
            "rows in the table's statistics"
        );
    }
    if s.capabilities().count == CountMode::Exact {
        ensure!(
            stats.rows.is_exact(),
            "counts are declared exact and the statistics are not"
        );
        ensure_eq!(
            s.table_stats(s.b)?.rows,
            Count::Exact(0),
            "rows of an empty table"
        );
    }
    if let Some(Count::Exact(bytes)) = stats.bytes {
        let payload: usize = rows
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        ensure!(
            bytes >= payload as u64,
            "{bytes} bytes are less than the {payload} put in"
        );
    }
    let whole = s.stats()?;
    ensure!(
        whole.disk_bytes == 0 || s.capabilities().persistent,
        "a store in memory reports {} bytes on disk",
        whole.disk_bytes
    );
    Ok(())
}

pub(crate) fn trap_02_a_long_key_is_absent_on_read(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, &[b'k'; 511], b"v")?;
    let view = s.begin_read()?;
    for len in [512, 600, 5_000, 70_000] {
        let key = vec![b'k'; len];
        for table in [s.a, s.checked] {
            ensure_eq!(view.get(table, &key)?, None, "get of a key of {len} bytes");
            ensure!(
                !view.contains(table, &key)?,
                "contains finds a key of {len} bytes"
            );
        }
        let mut cursor = view.cursor(s.a, KeyRange::all())?;
        ensure!(
            cursor.seek(&key)?.is_none(),
            "seek of a longer key finds a row"
        );
        ensure!(
            cursor.seek_back(&key)?.is_some(),
            "seek_back of a longer key finds no row"
        );
    }
    Ok(())
}

pub(crate) fn scan_stops_when_told(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(50);
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for wanted in [1, 7, 50, 51] {
        let mut seen = Vec::new();
        view.scan(s.a, KeyRange::all(), &mut |entry| {
            seen.push((entry.key.to_vec(), entry.value.to_vec()));
            if seen.len() == wanted {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let all = in_range(&rows, &KeyRange::all());
        same_rows(&seen, &all[..wanted.min(50)], "a scan that is told to stop")?;
    }
    Ok(())
}

pub(crate) fn a_view_and_a_transaction_read_alike(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (rows, absent) = sample("a_view_and_a_transaction_read_alike");
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    let txn = s.begin_write()?;
    for key in rows.keys().chain(&absent) {
        ensure_eq!(
            txn.get(s.a, key)?,
            view.get(s.a, key)?,
            "get in a transaction"
        );
        ensure_eq!(
            txn.contains(s.a, key)?,
            view.contains(s.a, key)?,
            "contains"
        );
    }
    let (seen, expected) = (
        txn.rows(s.a, KeyRange::all())?,
        view.rows(s.a, KeyRange::all())?,
    );
    same_rows(&seen, &expected, "rows in a transaction")?;
    Ok(txn.abort()?)
}

pub(crate) fn the_view_closure_reads_the_last_commit(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"1")?;
    let mut seen = None;
    s.view(&mut |view| {
        seen = view.get(s.a, b"k")?;
        Ok(())
    })?;
    ensure_eq!(seen, Some(b"1".to_vec()), "what the closure read");
    let refused = s.view(&mut |_| Err(storage_api::Error::invalid("told to fail")));
    ensure!(refused.is_err(), "an error of the closure is lost");
    s.table_holds(s.a, &rows_of([(b"k", b"1")]), "after the closures")
}
