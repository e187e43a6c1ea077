//! Limits: each declared one at its value and one beyond, unknown tables, the internal table.
//!
//! A limit too large to be built in a test (4 GiB values) is shown only from below; the skip line
//! says so.

use storage_api::{
    Count, ErrorKind, KeyRange, OpenOptions, TableDef, TableId, WriteBatch, Writer as _,
};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, Lane, QUICK, STANDARD, Subject, table_holds};
use crate::ops::{Scale, TableRows, batch_of, rows_of};

/// The longest key or value that a case builds just to be refused.
const BUILDABLE_BYTES_MAX: usize = 64 << 20;

const LANES: [Lane; 2] = [Lane::Batch, Lane::Txn];

fn key_limit_holds(s: &Subject, table: TableId, limit: usize, what: &str) -> CaseResult {
    let (longest, beyond) = (vec![b'k'; limit], vec![b'k'; limit + 1]);
    for lane in LANES {
        lane.write(s, &mut |w| w.put(table, &longest, b"longest"))?;
        s.table_holds(table, &rows_of([(&longest, b"longest")]), what)?;
        let refused = lane.write(s, &mut |w| w.put(table, &beyond, b"v"));
        let limits = ErrorKind::KeyTooLong {
            len: limit + 1,
            max: limit,
        };
        let kind = refused.map_err(|error| error.kind().clone());
        ensure!(
            kind == Err(limits.clone()),
            "{what}: put: expected {limits:?}, found {kind:?}"
        );
        let refused = lane.write(s, &mut |w| w.delete(table, &beyond));
        let kind = refused.map_err(|error| error.kind().clone());
        ensure!(
            kind == Err(limits.clone()),
            "{what}: delete: expected {limits:?}, found {kind:?}"
        );
        let view = s.begin_read()?;
        ensure_eq!(
            view.get(table, &beyond)?,
            None,
            "{what}: get of a key beyond the limit"
        );
        table_holds(&*view, table, &rows_of([(&longest, b"longest")]), what)?;
        lane.write(s, &mut |w| w.delete(table, &longest))?;
        s.table_holds(table, &TableRows::new(), what)?;
    }
    Ok(())
}

pub(crate) fn trap_02_portable_keys_end_at_511(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    ensure!(
        s.capabilities().key_bytes_max >= 511,
        "an engine with keys shorter than 511 bytes"
    );
    for table in s.tables() {
        key_limit_holds(&s, table, 511, "a table with portable keys")?;
    }
    Ok(())
}

pub(crate) fn trap_02_engine_keys_end_where_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let limit = s.capabilities().key_bytes_max;
    let kept = limit.min(64 << 10);
    let key = vec![b'w'; kept];
    s.put(s.wide, &key, b"v")?;
    s.put(s.wide, &key[1..], b"shorter")?;
    let expected = rows_of([(&key, b"v"), (&key[1..], b"shorter")]);
    s.table_holds(s.wide, &expected, "keys as long as the engine takes")?;
    s.apply(
        &batch_of(|batch| batch.delete_range(s.wide, &KeyRange::all()))?,
        QUICK,
    )?;
    s.table_holds(s.wide, &TableRows::new(), "after deleting them")?;
    if limit <= 64 << 10 {
        return key_limit_holds(&s, s.wide, limit, "a table with the engine's keys");
    }
    if limit <= BUILDABLE_BYTES_MAX {
        let refused = s.put(s.wide, &vec![b'w'; limit + 1], b"v");
        ensure_refused!(
            refused,
            ErrorKind::KeyTooLong { .. },
            "a key beyond the engine's limit"
        );
    }
    Ok(())
}

pub(crate) fn trap_04_values_of_many_sizes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let sizes = [
        0,
        1,
        2,
        3,
        4,
        5,
        63,
        64,
        127,
        128,
        255,
        256,
        511,
        512,
        1_023,
        1_024,
        2_047,
        2_048,
        4_091,
        4_092,
        4_095,
        4_096,
        4_097,
        8_192,
        16_383,
        16_384,
        65_535,
        65_536,
        65_537,
        1 << 20,
    ];
    let value = |size: usize| -> Vec<u8> { (0..size).map(|at| (at * 7 + size) as u8).collect() };
    let rows: TableRows = sizes
        .iter()
        .map(|size| ((*size as u64).to_be_bytes().to_vec(), value(*size)))
        .collect();
    for table in [s.a, s.large, s.checked] {
        s.fill_rows(table, &rows)?;
        s.table_holds(table, &rows, "values of many sizes")?;
        // Each value takes the place of one of another size.
        let turned: TableRows = rows
            .keys()
            .cloned()
            .zip(rows.values().rev().cloned())
            .collect();
        s.fill_rows(table, &turned)?;
        s.table_holds(table, &turned, "values of many sizes, exchanged")?;
    }
    Ok(())
}

pub(crate) fn trap_04_a_value_of_sixteen_mebibytes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let value = vec![0xa5; 16 << 20];
    for (table, lane) in [(s.large, Lane::Batch), (s.a, Lane::Txn)] {
        lane.write(&s, &mut |w| w.put(table, b"big", &value))?;
        let view = s.begin_read()?;
        ensure!(
            view.get(table, b"big")?.as_ref() == Some(&value),
            "a value of 16 MiB differs"
        );
        drop(view);
        lane.write(&s, &mut |w| w.put(table, b"big", b"small"))?;
        s.table_holds(
            table,
            &rows_of([(b"big", b"small")]),
            "after it was replaced",
        )?;
    }
    Ok(())
}

pub(crate) fn values_end_where_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let max = s.capabilities().value_bytes_max;
    if max > BUILDABLE_BYTES_MAX {
        return Err(CaseError::skipped(format!(
            "value_bytes_max of {max} is too long to build"
        )));
    }
    let (longest, beyond) = (vec![1; max], vec![2; max + 1]);
    s.put(s.large, b"k", &longest)?;
    for lane in LANES {
        let refused = lane.write(&s, &mut |w| w.put(s.large, b"k", &beyond));
        let kind = refused.map_err(|error| error.kind().clone());
        let limits = ErrorKind::ValueTooLong { len: max + 1, max };
        ensure!(
            kind == Err(limits.clone()),
            "expected {limits:?}, found {kind:?}"
        );
        let found = s.get(s.large, b"k")?;
        ensure!(
            found.as_ref() == Some(&longest),
            "the longest value differs"
        );
    }
    Ok(())
}

fn every_call_refuses(s: &Subject, table: TableId, what: &str) -> CaseResult {
    use ErrorKind::UnknownTable;
    let view = s.begin_read()?;
    ensure_refused!(view.get(table, b"k"), UnknownTable { .. }, "{what}: get");
    ensure_refused!(
        view.contains(table, b"k"),
        UnknownTable { .. },
        "{what}: contains"
    );
    ensure_refused!(
        view.get(table, b""),
        UnknownTable { .. },
        "{what}: get of the empty key"
    );
    ensure_refused!(view.count(table), UnknownTable { .. }, "{what}: count");
    ensure_refused!(
        view.cursor(table, KeyRange::all()),
        UnknownTable { .. },
        "{what}: cursor"
    );
    ensure_refused!(
        view.cursor(table, KeyRange::empty()),
        UnknownTable { .. },
        "{what}: cursor"
    );
    let many = view.multi_get(table, &[b"k"], &mut |_, _| ());
    ensure_refused!(many, UnknownTable { .. }, "{what}: multi_get");
    let none = view.multi_get(table, &[], &mut |_, _| ());
    ensure_refused!(none, UnknownTable { .. }, "{what}: multi_get of no keys");
    let with = view.get_with(table, b"k", &mut |_| ());
    ensure_refused!(with, UnknownTable { .. }, "{what}: get_with");
    ensure_refused!(
        s.table_stats(table),
        UnknownTable { .. },
        "{what}: table_stats"
    );
    for lane in LANES {
        let put = lane.write(s, &mut |w| w.put(table, b"k", b"v"));
        ensure_refused!(put, UnknownTable { .. }, "{what}: put, {lane:?}");
        let delete = lane.write(s, &mut |w| w.delete(table, b"k"));
        ensure_refused!(delete, UnknownTable { .. }, "{what}: delete, {lane:?}");
        let range = lane.write(s, &mut |w| w.delete_range(table, &KeyRange::all()));
        ensure_refused!(range, UnknownTable { .. }, "{what}: delete_range, {lane:?}");
    }
    let txn = s.begin_write()?;
    ensure_refused!(
        txn.get(table, b"k"),
        UnknownTable { .. },
        "{what}: get in a transaction"
    );
    let cursor = txn.cursor(table, KeyRange::all());
    ensure_refused!(
        cursor,
        UnknownTable { .. },
        "{what}: cursor in a transaction"
    );
    Ok(())
}

pub(crate) fn unknown_tables_are_refused(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let next = s
        .catalogue()
        .iter()
        .map(|table| table.id.get())
        .max()
        .unwrap_or(0)
        + 1;
    for number in [next, next + 1, 1_000, u16::MAX] {
        every_call_refuses(&s, TableId::new(number), &format!("table {number}"))?;
    }
    ensure_refused!(
        s.catalogue().id("no-such"),
        ErrorKind::UnknownTable { .. },
        "an unknown name"
    );
    Ok(())
}

pub(crate) fn the_internal_table_is_refused(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    every_call_refuses(&s, TableId::INTERNAL, "the internal table")?;
    let listed = s
        .catalogue()
        .iter()
        .any(|table| table.id == TableId::INTERNAL);
    ensure!(!listed, "the internal table is in the catalogue");
    s.table_holds(s.a, &rows_of([(b"k", b"v")]), "after refusals")
}

pub(crate) fn trap_15_declared_tables_exist_at_once(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    ensure_eq!(
        s.catalogue().len(),
        STANDARD.len(),
        "tables in the catalogue"
    );
    let view = s.begin_read()?;
    let txn = s.begin_write()?;
    for def in &STANDARD {
        let info = s.catalogue().by_name(def.name());
        let info = info.ok_or_else(|| CaseError::failed("a declared table is not there"))?;
        ensure_eq!(info.def, *def, "the definition in force");
        ensure_eq!(
            view.get(info.id, b"k")?,
            None,
            "get from a table never written"
        );
        ensure!(
            view.rows(info.id, KeyRange::all())?.is_empty(),
            "a new table has rows"
        );
        ensure_eq!(view.count_exact(info.id)?, 0, "the count of a new table");
        ensure_eq!(txn.get(info.id, b"k")?, None, "get in a transaction");
        ensure!(
            txn.rows(info.id, KeyRange::all())?.is_empty(),
            "a new table has rows"
        );
    }
    Ok(txn.abort()?)
}

fn numbered_tables(count: usize) -> Vec<TableDef> {
    (0..count)
        .map(|at| TableDef::from_name(format!("t{at}").into()))
        .collect()
}

pub(crate) fn tables_end_where_declared(lab: &Lab) -> CaseResult {
    let max = lab
        .open_with(&[], &OpenOptions::new())?
        .capabilities()
        .tables_max;
    ensure!(
        max < usize::from(u16::MAX),
        "tables_max of {max} does not fit the table numbers"
    );
    let refused = lab
        .open_with(&numbered_tables(max + 1), &OpenOptions::new())
        .map(|_| ());
    let kind = refused.map_err(|error| error.kind().clone());
    let limits = ErrorKind::TooManyTables {
        asked: max + 1,
        max,
    };
    ensure!(
        kind == Err(limits.clone()),
        "expected {limits:?}, found {kind:?}"
    );
    let most = match Scale::of_run() {
        Scale::Tenth => max.min(48),
        Scale::Full | Scale::Soak => max,
    };
    let tables = numbered_tables(most);
    let s = lab.open_with(&tables, &OpenOptions::new())?;
    ensure_eq!(
        s.catalogue().len(),
        most,
        "tables after the refused opening"
    );
    let mut batch = WriteBatch::new();
    for table in s.catalogue().iter() {
        batch.put(table.id, b"name", table.def.name().as_bytes())?;
    }
    s.apply(&batch, QUICK)?;
    let view = s.begin_read()?;
    for table in s.catalogue().iter() {
        let name = view.get(table.id, b"name")?;
        ensure_eq!(
            name.as_deref(),
            Some(table.def.name().as_bytes()),
            "a row of each table"
        );
    }
    Ok(())
}

pub(crate) fn trap_14_views_end_where_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    let Some(max) = s.capabilities().readers_max else {
        let views: Vec<_> = (0..300).map(|_| s.begin_read()).collect::<Result<_, _>>()?;
        ensure_eq!(
            s.stats()?.readers,
            300,
            "live views where memory is the limit"
        );
        for view in &views {
            ensure_eq!(
                view.get(s.a, b"k")?,
                Some(b"v".to_vec()),
                "one of 300 views"
            );
        }
        return Ok(());
    };
    if max > 20_000 {
        return Err(CaseError::skipped(format!(
            "readers_max of {max} is too many to open"
        )));
    }
    let mut views: Vec<_> = (0..max).map(|_| s.begin_read()).collect::<Result<_, _>>()?;
    for _ in 0..2 {
        let refused = s.begin_read();
        ensure_refused!(
            refused,
            ErrorKind::TooManyReaders { .. },
            "one view beyond the limit"
        );
    }
    let last = views
        .last()
        .ok_or_else(|| CaseError::failed("a store without views"))?;
    ensure_eq!(last.get(s.a, b"k")?, Some(b"v".to_vec()), "the last view");
    s.put(s.a, b"k", b"the writer needs no view")?;
    views.pop();
    let view = s.begin_read()?;
    let value = view.get(s.a, b"k")?;
    ensure_eq!(
        value,
        Some(b"the writer needs no view".to_vec()),
        "a view in the freed place"
    );
    Ok(())
}

pub(crate) fn trap_13_the_size_limit_is_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (declared, stats) = (s.capabilities().size_limit, s.stats()?);
    ensure_eq!(
        stats.limit_bytes.is_some(),
        declared,
        "whether statistics name a size limit"
    );
    if let Some(limit) = stats.limit_bytes {
        ensure!(
            limit > stats.disk_bytes,
            "the limit of {limit} bytes is reached when empty"
        );
    }
    Ok(())
}

pub(crate) fn transactions_end_where_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let piece = vec![3; 1 << 20];
    let max = s.capabilities().txn_bytes_max;
    if let Some(max) = max.filter(|max| *max > BUILDABLE_BYTES_MAX as u64) {
        return Err(CaseError::skipped(format!(
            "txn_bytes_max of {max} is too much to write"
        )));
    }
    let pieces = max.map_or(24, |max| (max >> 20) + 2);
    let mut txn = s.begin_write()?;
    let mut written = Ok(());
    for at in 0..pieces {
        written = written.and_then(|()| txn.put(s.large, &(at + 1).to_be_bytes(), &piece));
    }
    let outcome = match written {
        Ok(()) => txn.commit(QUICK).map(|_| ()),
        Err(refused) => {
            drop(txn);
            Err(refused)
        }
    };
    ensure_eq!(
        outcome.is_ok(),
        max.is_none(),
        "whether a transaction of {pieces} MiB commits"
    );
    let rows = if max.is_none() { pieces } else { 0 };
    ensure_eq!(s.begin_read()?.count_exact(s.large)?, rows, "rows after it");
    s.put(s.a, b"k", b"v")?;
    s.table_holds(
        s.a,
        &rows_of([(b"k", b"v")]),
        "a small transaction after it",
    )
}

pub(crate) fn transactions_live_as_long_as_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    if let Some(seconds) = s.capabilities().txn_age_seconds_max {
        return Err(CaseError::skipped(format!(
            "txn_age_seconds_max of {seconds} is too long to wait for"
        )));
    }
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"first", b"v")?;
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        ensure_eq!(
            s.begin_read()?.get(s.a, b"first")?,
            None,
            "a view beside it"
        );
    }
    txn.put(s.a, b"last", b"v")?;
    txn.commit(QUICK)?;
    s.table_holds(
        s.a,
        &rows_of([(b"first", b"v"), (b"last", b"v")]),
        "after a slow one",
    )
}

pub(crate) fn counts_of_every_table_begin_at_zero(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for table in s.tables() {
        ensure_eq!(
            s.begin_read()?.count(table)?.get(),
            0,
            "the count of a new table"
        );
        if let Count::Exact(rows) = s.table_stats(table)?.rows {
            ensure_eq!(rows, 0, "rows of a new table in its statistics");
        }
    }
    Ok(())
}
