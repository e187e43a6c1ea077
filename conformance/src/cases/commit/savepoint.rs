//! Savepoints: roll back, nest, release, misuse, and random stacks of them against a stack of
//! models.

use storage_api::{ErrorKind, KeyRange, Savepoint};

use crate::case::{CaseResult, ensure_refused};
use crate::lab::{Lab, QUICK, reader_holds, table_holds};
use crate::ops::{Contents, Dice, TableRows, numbered_rows, rows_of, scaled};

pub(crate) fn rollback_takes_everything_back(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let committed = rows_of([(b"a", b"1"), (b"b", b"2"), (b"c", b"")]);
    for table in [s.a, s.checked] {
        s.fill_rows(table, &committed)?;
        let mut txn = s.begin_write()?;
        txn.put(table, b"d", b"before")?;
        let mut expected = committed.clone();
        expected.insert(b"d".to_vec(), b"before".to_vec());
        let mark = txn.savepoint()?;
        txn.put(table, b"a", b"changed")?;
        txn.put(table, b"a", b"changed twice")?;
        txn.put(table, b"e", b"new")?;
        txn.delete(table, b"b")?;
        txn.delete(table, b"d")?;
        txn.delete(table, b"c")?;
        txn.rollback_to(mark)?;
        table_holds(&*txn, table, &expected, "after a rollback")?;
        txn.commit(QUICK)?;
        s.table_holds(table, &expected, "after the commit")?;
    }
    Ok(())
}

pub(crate) fn rollback_over_range_deletes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(60);
    let key = |at: u64| at.to_be_bytes();
    s.fill_rows(s.a, &rows)?;
    let mut txn = s.begin_write()?;
    txn.delete_range(s.a, &KeyRange::half_open(&key(10), &key(20)))?;
    txn.put(s.a, &key(12), b"back")?;
    let mut expected = rows.clone();
    expected.retain(|k, _| k[..] < key(10)[..] || k[..] >= key(20)[..]);
    expected.insert(key(12).to_vec(), b"back".to_vec());
    let mark = txn.savepoint()?;
    txn.delete_range(s.a, &KeyRange::half_open(&key(5), &key(30)))?;
    txn.put(s.a, &key(7), b"other")?;
    txn.put(s.a, &key(15), b"other")?;
    txn.delete_range(s.a, &KeyRange::all())?;
    txn.put(s.a, &key(12), b"last")?;
    txn.rollback_to(mark)?;
    table_holds(&*txn, s.a, &expected, "after a rollback over range deletes")?;
    txn.delete_range(s.a, &KeyRange::from_key(&key(50)))?;
    expected.retain(|k, _| k[..] < key(50)[..]);
    txn.commit(QUICK)?;
    s.table_holds(s.a, &expected, "after the commit")
}

pub(crate) fn a_mark_survives_its_rollback(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"k", b"kept")?;
    let mark = txn.savepoint()?;
    for round in 0..4_u8 {
        txn.put(s.a, b"k", &[round])?;
        txn.put(s.b, &[round + 1], b"v")?;
        txn.rollback_to(mark)?;
        let expected = [(s.a, rows_of([(b"k", b"kept")])), (s.b, TableRows::new())];
        reader_holds(&*txn, &expected.into(), &format!("after rollback {round}"))?;
    }
    txn.put(s.a, b"k", b"last")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"k", b"last")]), "after the commit")
}

pub(crate) fn three_marks_nest(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    // For each depth that is rolled back to: writes of that depth and deeper are gone, the others
    // stay.
    for back_to in 0..3_usize {
        let mut txn = s.begin_write()?;
        let mut marks = Vec::new();
        for depth in 0..3_u8 {
            txn.put(s.a, &[depth + 1], b"v")?;
            txn.put(s.a, b"last", &[depth])?;
            marks.push(txn.savepoint()?);
        }
        txn.put(s.a, b"last", b"inside all")?;
        txn.rollback_to(marks[back_to])?;
        let depth = u8::try_from(back_to).unwrap_or_default();
        let mut expected: TableRows = (0..=depth).map(|d| (vec![d + 1], b"v".to_vec())).collect();
        expected.insert(b"last".to_vec(), vec![depth]);
        table_holds(
            &*txn,
            s.a,
            &expected,
            &format!("rolled back to mark {back_to}"),
        )?;
        for gone in &marks[back_to + 1..] {
            let refused = txn.rollback_to(*gone);
            ensure_refused!(
                refused,
                ErrorKind::InvalidArgument { .. },
                "a mark inside it"
            );
        }
        txn.rollback_to(marks[back_to])?;
        table_holds(&*txn, s.a, &expected, "rolled back to it once more")?;
        txn.abort()?;
    }
    s.table_holds(s.a, &TableRows::new(), "after aborts")
}

pub(crate) fn release_keeps_what_was_written(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut txn = s.begin_write()?;
    let outer = txn.savepoint()?;
    txn.put(s.a, b"a", b"1")?;
    let inner = txn.savepoint()?;
    txn.put(s.a, b"b", b"2")?;
    txn.release(inner)?;
    let both = rows_of([(b"a", b"1"), (b"b", b"2")]);
    table_holds(&*txn, s.a, &both, "after releasing the inner mark")?;
    let refused = txn.rollback_to(inner);
    ensure_refused!(
        refused,
        ErrorKind::InvalidArgument { .. },
        "rollback to a released mark"
    );
    txn.rollback_to(outer)?;
    table_holds(
        &*txn,
        s.a,
        &TableRows::new(),
        "after rolling the outer mark back",
    )?;
    txn.put(s.a, b"c", b"3")?;
    txn.release(outer)?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"c", b"3")]), "after the commit")
}

pub(crate) fn misuse_is_refused_and_harmless(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"k", b"v")?;
    for depth in [0, 1, 7, u32::MAX] {
        let refused = txn.rollback_to(Savepoint::at_depth(depth));
        ensure_refused!(
            refused,
            ErrorKind::InvalidArgument { .. },
            "rollback without a mark"
        );
        let refused = txn.release(Savepoint::at_depth(depth));
        ensure_refused!(
            refused,
            ErrorKind::InvalidArgument { .. },
            "release without a mark"
        );
    }
    let outer = txn.savepoint()?;
    let inner = txn.savepoint()?;
    txn.release(outer)?;
    let refused = txn.release(inner);
    ensure_refused!(
        refused,
        ErrorKind::InvalidArgument { .. },
        "release of a mark that went too"
    );
    let refused = txn.release(outer);
    ensure_refused!(refused, ErrorKind::InvalidArgument { .. }, "release twice");
    txn.put(s.a, b"k2", b"v")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"k", b"v"), (b"k2", b"v")]), "after misuse")
}

pub(crate) fn trap_20_marks_work_after_tables_were_used(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"1")?;
    let mut txn = s.begin_write()?;
    txn.get(s.a, b"k")?;
    txn.rows(s.b, KeyRange::all())?;
    txn.put(s.b, b"k", b"2")?;
    let mark = txn.savepoint()?;
    txn.put(s.b, b"k", b"3")?;
    let second = txn.savepoint()?;
    txn.put(s.c, b"k", b"4")?;
    txn.rollback_to(second)?;
    txn.rollback_to(mark)?;
    let expected = [
        (s.a, rows_of([(b"k", b"1")])),
        (s.b, rows_of([(b"k", b"2")])),
        (s.c, TableRows::new()),
    ];
    reader_holds(
        &*txn,
        &expected.clone().into(),
        "after rollbacks over used tables",
    )?;
    txn.commit(QUICK)?;
    s.holds(&expected.into(), "after the commit")
}

pub(crate) fn marks_end_with_their_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut txn = s.begin_write()?;
    txn.savepoint()?;
    let mark = txn.savepoint()?;
    txn.put(s.a, b"k", b"v")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"k", b"v")]), "committed with marks open")?;
    let mut txn = s.begin_write()?;
    let refused = txn.rollback_to(mark);
    ensure_refused!(
        refused,
        ErrorKind::InvalidArgument { .. },
        "a mark of another transaction"
    );
    Ok(txn.abort()?)
}

pub(crate) fn random_marks_against_a_stack_of_models(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("random_marks_against_a_stack_of_models");
    let (tables, mut committed) = ([s.a, s.b, s.checked], Contents::new());
    for round in 0..scaled(100) {
        let mut txn = s.begin_write()?;
        let mut contents = committed.clone();
        let mut marks: Vec<(Savepoint, Contents)> = Vec::new();
        for step in 0..60 {
            match dice.below(10) {
                0 | 1 => marks.push((txn.savepoint()?, contents.clone())),
                2 if !marks.is_empty() => {
                    let at = dice.below(marks.len());
                    txn.rollback_to(marks[at].0)?;
                    contents.clone_from(&marks[at].1);
                    marks.truncate(at + 1);
                    let what = format!("round {round}, step {step}, after a rollback");
                    let everywhere = tables
                        .map(|table| (table, contents.get(&table).cloned().unwrap_or_default()));
                    reader_holds(&*txn, &everywhere.into(), &what)?;
                }
                3 if !marks.is_empty() => {
                    let at = dice.below(marks.len());
                    txn.release(marks[at].0)?;
                    marks.truncate(at);
                }
                _ => {
                    let op = dice.op(&tables, &contents);
                    op.write(&mut *txn)?;
                    op.note(&mut contents);
                }
            }
        }
        reader_holds(&*txn, &contents, &format!("round {round}, at the end"))?;
        if dice.once_in(4) {
            txn.abort()?;
        } else {
            txn.commit(QUICK)?;
            committed = contents;
        }
        s.holds(&committed, &format!("after round {round}"))?;
    }
    Ok(())
}
