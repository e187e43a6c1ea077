//! The bulk lane: a load is one commit of any rows in any order, or nothing.

use std::fs;
use std::path::Path;

use storage_api::{Bulk, BulkMode, BulkOptions, ErrorKind, TableId};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, QUICK, STANDARD, Subject};
use crate::ops::{Dice, TableRows, numbered_rows, rows_of, scaled};

/// The lane, or the end of the case where the store has none.
fn lane(s: &Subject) -> Result<&dyn Bulk, CaseError> {
    let declared = s.capabilities().bulk;
    match s.as_bulk() {
        Some(bulk) => {
            ensure!(
                declared != BulkMode::None,
                "the bulk lane is there and not declared"
            );
            Ok(bulk)
        }
        None => {
            ensure_eq!(
                declared,
                BulkMode::None,
                "the bulk lane is declared and not there; mode"
            );
            Err(CaseError::unsupported("the store offers no bulk lane"))
        }
    }
}

/// The least memory, so that a few mebibytes are spilled.
fn tight() -> BulkOptions {
    let mut options = BulkOptions::default();
    options.memory_budget_bytes = 0;
    options
}

fn load<'r>(
    s: &Subject,
    table: TableId,
    rows: impl IntoIterator<Item = (&'r Vec<u8>, &'r Vec<u8>)>,
) -> Result<u64, CaseError> {
    let mut load = lane(s)?.begin_bulk(table, &tight())?;
    for (key, value) in rows {
        load.put(key, value)?;
    }
    Ok(load.finish()?.rows)
}

/// Rows of random keys with values long enough to fill several mebibytes at full scale.
fn wide_rows(dice: &mut Dice, count: usize) -> TableRows {
    let row = |_| (dice.bytes(16), dice.bytes(500));
    (0..scaled(count)).map(row).collect()
}

pub(crate) fn rows_in_order(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    lane(&s)?;
    let rows = wide_rows(&mut Dice::of("rows_in_order"), 8_000);
    for table in [s.a, s.checked, s.append] {
        let loaded = load(&s, table, &rows)?;
        ensure_eq!(loaded, rows.len() as u64, "rows of the report");
        s.table_holds(table, &rows, "after the load")?;
    }
    Ok(())
}

pub(crate) fn rows_in_any_order(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    lane(&s)?;
    let mut dice = Dice::of("rows_in_any_order");
    let rows = wide_rows(&mut dice, 12_000);
    let mut shuffled: Vec<_> = rows.iter().collect();
    dice.shuffle(&mut shuffled);
    for table in [s.a, s.checked] {
        load(&s, table, shuffled.iter().copied())?;
        s.table_holds(table, &rows, "after the load")?;
    }
    Ok(())
}

pub(crate) fn the_last_of_equal_keys_wins(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut load = lane(&s)?.begin_bulk(s.a, &tight())?;
    let mut dice = Dice::of("the_last_of_equal_keys_wins");
    let mut rows = TableRows::new();
    // An ascending beginning that goes straight to the engine, then keys that come again.
    for (key, value) in numbered_rows(scaled(40_000)) {
        load.put(&key, &value)?;
        rows.insert(key, value);
    }
    let keys: Vec<Vec<u8>> = rows.keys().cloned().collect();
    for _ in 0..scaled(20_000) {
        let key = dice.pick(&keys).clone();
        let value = dice.bytes(300);
        load.put(&key, &value)?;
        rows.insert(key, value);
    }
    load.finish()?;
    s.table_holds(s.a, &rows, "after the load")
}

pub(crate) fn rows_that_were_there_stay(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    lane(&s)?;
    let mut expected = rows_of([(b"\x00", b"before"), (b"\xff\xff", b"behind")]);
    for (key, value) in numbered_rows(100) {
        expected.insert(key, [&value[..], b" old"].concat());
    }
    s.fill_rows(s.a, &expected)?;
    let loaded = numbered_rows(50);
    load(&s, s.a, &loaded)?;
    expected.extend(loaded);
    s.table_holds(s.a, &expected, "after a load among other rows")?;
    let mut behind = rows_of([(b"\xff\xff\x01", b"v"), (b"\xff\xff\x02", b"v")]);
    load(&s, s.a, &behind)?;
    expected.append(&mut behind);
    s.table_holds(s.a, &expected, "after a load behind all rows")?;
    s.put(s.a, b"k", b"v")?;
    expected.insert(b"k".to_vec(), b"v".to_vec());
    s.table_holds(s.a, &expected, "after a commit behind the loads")
}

pub(crate) fn nothing_shows_before_the_end(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    let before = s.begin_read()?;
    let seq = before.commit_seq()?;
    let rows = numbered_rows(scaled(60_000));
    let mut load = lane(&s)?.begin_bulk(s.a, &tight())?;
    for (key, value) in &rows {
        load.put(key, value)?;
    }
    ensure_eq!(s.get(s.a, b"k")?, Some(b"v".to_vec()), "beside the load");
    let first = rows.keys().next().cloned().unwrap_or_default();
    ensure_eq!(s.get(s.a, &first)?, None, "a loaded row before the end");
    let report = load.finish()?;
    ensure_eq!(
        report.commit.seq,
        Some(seq.next()),
        "the number of the load's commit"
    );
    ensure_eq!(
        s.begin_read()?.commit_seq()?,
        seq.next(),
        "the number that a view sees"
    );
    ensure_eq!(
        before.get(s.a, &first)?,
        None,
        "a loaded row in the old view"
    );
    ensure!(s.get(s.a, &first)?.is_some(), "a loaded row after the end");
    Ok(())
}

/// Files and folders of a store's directory whose names say where loads leave things.
fn leavings(directory: &Path) -> Result<Vec<String>, CaseError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == "bulk" {
            found.push(name);
        }
    }
    Ok(found)
}

pub(crate) fn a_dropped_load_leaves_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    let seq = s.begin_read()?.commit_seq()?;
    let rows = wide_rows(&mut Dice::of("a_dropped_load_leaves_nothing"), 10_000);
    let mut backward: Vec<_> = rows.iter().collect();
    for _ in 0..2 {
        let mut load = lane(&s)?.begin_bulk(s.a, &tight())?;
        for (key, value) in &backward {
            load.put(key, value)?;
        }
        drop(load);
        s.table_holds(s.a, &rows_of([(b"k", b"v")]), "after a dropped load")?;
        ensure_eq!(
            s.begin_read()?.commit_seq()?,
            seq,
            "the last commit after a dropped load"
        );
        backward.reverse();
    }
    if let Ok(directory) = lab.directory() {
        ensure_eq!(leavings(directory)?, Vec::<String>::new(), "files left");
    }
    s.put(s.a, b"l", b"v")?;
    load(&s, s.a, &rows).map(drop)
}

pub(crate) fn an_empty_load_is_a_commit(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    let report = lane(&s)?
        .begin_bulk(s.a, &BulkOptions::default())?
        .finish()?;
    ensure_eq!(report.rows, 0, "rows of the report");
    s.table_holds(s.a, &rows_of([(b"k", b"v")]), "after an empty load")
}

pub(crate) fn refused_rows_change_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut load = lane(&s)?.begin_bulk(s.a, &BulkOptions::default())?;
    load.put(b"a", b"1")?;
    ensure_refused!(load.put(b"", b"v"), ErrorKind::EmptyKey, "an empty key");
    ensure_refused!(
        load.put(&[7; 512], b"v"),
        ErrorKind::KeyTooLong { .. },
        "a key of 512 bytes"
    );
    load.put(&[7; 511], b"2")?;
    load.finish()?;
    s.table_holds(
        s.a,
        &rows_of([(b"a", b"1"), (&[7; 511], b"2")]),
        "the rows that were not refused",
    )?;
    let unknown = lane(&s)?.begin_bulk(TableId::new(999), &BulkOptions::default());
    ensure_refused!(
        unknown.map(drop),
        ErrorKind::UnknownTable { .. },
        "a table that is not there"
    );
    Ok(())
}

pub(crate) fn a_load_waits_for_its_own_writer(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let bulk = lane(&s)?;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"k", b"v")?;
    let mut load = bulk.begin_bulk(s.a, &BulkOptions::default())?;
    load.put(b"l", b"v")?;
    ensure_refused!(
        load.finish(),
        ErrorKind::WouldDeadlock,
        "a load that ends inside the thread's own transaction"
    );
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"k", b"v")]), "after the transaction")
}

pub(crate) fn a_load_is_durable(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    lane(&s)?;
    let rows = wide_rows(&mut Dice::of("a_load_is_durable"), 4_000);
    load(&s, s.a, &rows)?;
    let seq = s.begin_read()?.commit_seq()?;
    drop(s);
    let s = lab.open_with(&STANDARD, &storage_api::OpenOptions::new())?;
    s.table_holds(s.a, &rows, "after reopening")?;
    ensure_eq!(s.begin_read()?.commit_seq()?, seq, "the last commit");
    s.put(s.a, b"k", b"v")?;
    ensure_eq!(
        s.begin_read()?.commit_seq()?,
        seq.next(),
        "the commit behind the load"
    );
    Ok(())
}

pub(crate) fn a_reader_takes_no_load(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    lane(&s)?;
    let declared = s.capabilities().read_only_open;
    drop(s);
    if !declared {
        return Err(CaseError::unsupported("opening read-only is refused"));
    }
    let s = lab.open_with(&STANDARD, &storage_api::OpenOptions::read_only())?;
    let begun = lane(&s)?.begin_bulk(s.a, &BulkOptions::default());
    ensure_refused!(begun.map(drop), ErrorKind::ReadOnly, "begin_bulk");
    Ok(())
}
