//! Durability as far as it shows without a crash: what is reported, and what is there after closing
//! and reopening.

use storage_api::{Durability, Effective, KeyRange, Persistence, Writer as _};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, Lane, STANDARD};
use crate::ops::{Contents, Dice, TableRows, batch_of, numbered_rows, rows_of, scaled};

const LEVELS: [Durability; 3] = [
    Durability::Volatile,
    Durability::Buffered,
    Durability::Durable,
];

pub(crate) fn trap_18_what_a_commit_survives_is_reported(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let capabilities = *s.capabilities();
    for asked in LEVELS {
        let declared = capabilities.effective(asked);
        if capabilities.persistent {
            ensure!(
                declared >= Effective::from(asked),
                "{asked:?} is declared as {declared:?}"
            );
        } else {
            ensure_eq!(
                declared,
                Effective::Process,
                "what a store in memory declares"
            );
        }
        let batch = s.apply(&batch_of(|batch| batch.put(s.a, b"k", b"batch"))?, asked)?;
        ensure_eq!(
            batch.effective,
            declared,
            "what a batch asked for {asked:?} reports"
        );
        let mut txn = s.begin_write()?;
        txn.put(s.a, b"k", b"txn")?;
        let txn = txn.commit(asked)?;
        ensure_eq!(
            txn.effective,
            declared,
            "what a transaction asked for {asked:?} reports"
        );
        let updated = s.update(asked, &mut |txn| txn.put(s.a, b"k", b"update"))?;
        ensure_eq!(
            updated.effective,
            declared,
            "what an update asked for {asked:?} reports"
        );
        s.table_holds(s.a, &rows_of([(b"k", b"update")]), "after three commits")?;
    }
    Ok(())
}

pub(crate) fn persistence_can_be_required(lab: &Lab) -> CaseResult {
    let persistent = lab.open()?.capabilities().persistent;
    let mut options = storage_api::OpenOptions::new();
    options.persistence = Persistence::Required;
    let opened = lab.open_with(&STANDARD, &options);
    if persistent {
        ensure!(
            opened?.capabilities().persistent,
            "a persistent store opened as one that is not"
        );
        return Ok(());
    }
    crate::case::refused_as_unsupported(opened.map(|_| ()), "requiring persistence in memory")
}

pub(crate) fn sync_is_always_allowed(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.sync()?;
    s.put(s.a, b"k", b"v")?;
    s.sync()?;
    s.sync()?;
    let view = s.begin_read()?;
    s.sync()?;
    ensure_eq!(
        view.get(s.a, b"k")?,
        Some(b"v".to_vec()),
        "a view across a sync"
    );
    s.put(s.a, b"k2", b"v")?;
    s.table_holds(s.a, &rows_of([(b"k", b"v"), (b"k2", b"v")]), "after syncs")
}

fn kept_after_reopening(lab: &Lab, level: Durability, sync: bool) -> CaseResult {
    let s = lab.open_persistent()?;
    let mut dice = Dice::of("kept_after_reopening");
    let (tables, mut contents) = (s.tables(), Contents::new());
    for round in 0..12 {
        let lane = if round % 2 == 0 {
            Lane::Batch
        } else {
            Lane::Txn
        };
        let ops: Vec<_> = (0..30)
            .map(|_| {
                let op = dice.op(&tables, &contents);
                op.note(&mut contents);
                op
            })
            .collect();
        match lane {
            Lane::Batch => {
                let batch = batch_of(|batch| ops.iter().try_for_each(|op| op.write(batch)))?;
                s.apply(&batch, level)?;
            }
            Lane::Txn => {
                let mut txn = s.begin_write()?;
                ops.iter().try_for_each(|op| op.write(&mut *txn))?;
                txn.commit(level)?;
            }
        }
    }
    let mut dropped = s.begin_write()?;
    dropped.delete_range(s.a, &KeyRange::all())?;
    drop(dropped);
    if sync {
        s.sync()?;
    }
    let seq = s.stats()?.commit_seq;
    drop(s);
    let s = lab.open()?;
    ensure!(!s.report.created, "reopening made a new store");
    s.holds(&contents, &format!("{level:?} commits after reopening"))?;
    ensure_eq!(
        s.stats()?.commit_seq,
        seq,
        "the last commit after reopening"
    );
    let next = s.put(s.a, b"next", b"v")?.seq;
    ensure!(
        next > Some(seq),
        "commit {next:?} after reopening does not come after {seq}"
    );
    Ok(())
}

pub(crate) fn durable_commits_are_there_after_reopening(lab: &Lab) -> CaseResult {
    kept_after_reopening(lab, Durability::Durable, false)
}

pub(crate) fn buffered_commits_are_there_after_reopening(lab: &Lab) -> CaseResult {
    kept_after_reopening(lab, Durability::Buffered, false)
}

pub(crate) fn volatile_commits_are_there_after_a_sync(lab: &Lab) -> CaseResult {
    kept_after_reopening(lab, Durability::Volatile, true)
}

pub(crate) fn volatile_commits_keep_a_prefix(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let commits = 40_u64;
    for number in 0..commits {
        let batch = batch_of(|batch| batch.put(s.a, &number.to_be_bytes(), b"v"))?;
        s.apply(&batch, Durability::Volatile)?;
        if number == 9 {
            s.sync()?;
        }
    }
    drop(s);
    let s = lab.open()?;
    let rows = s.rows(s.a)?;
    ensure!(
        rows.len() >= 10,
        "{} of 10 synced commits are left",
        rows.len()
    );
    let prefix = (0..commits)
        .zip(&rows)
        .all(|(number, (key, _))| key[..] == number.to_be_bytes());
    ensure!(
        prefix,
        "the {} commits that are left are not the first ones",
        rows.len()
    );
    Ok(())
}

pub(crate) fn trap_19_reopening_shows_whole_commits(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let tables = s.tables();
    for number in 0..30_u64 {
        let level = LEVELS[(number % 2) as usize];
        let batch = batch_of(|batch| {
            let number = number.to_be_bytes();
            tables
                .iter()
                .try_for_each(|table| batch.put(*table, b"number", &number))
        })?;
        s.apply(&batch, level)?;
    }
    drop(s);
    let s = lab.open()?;
    let first = s.get(s.a, b"number")?;
    ensure!(first.is_some(), "nothing is left after reopening");
    for table in s.tables() {
        ensure_eq!(
            s.get(table, b"number")?,
            first,
            "the number in table {table}"
        );
    }
    Ok(())
}

pub(crate) fn a_store_in_memory_forgets(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    if s.capabilities().persistent {
        return Err(CaseError::skipped(
            "persistent is declared, and the cases of reopening run",
        ));
    }
    s.put(s.a, b"k", b"v")?;
    drop(s);
    let s = lab.open()?;
    ensure!(s.report.created, "a store in memory was not made anew");
    s.table_holds(s.a, &TableRows::new(), "a store in memory after reopening")?;
    drop(s);
    let missing = lab
        .open_existing(&storage_api::OpenOptions::new())
        .map(|_| ());
    ensure_refused!(
        missing,
        storage_api::ErrorKind::NotFound { .. } | storage_api::ErrorKind::Unsupported { .. },
        "opening an existing store in memory"
    );
    Ok(())
}

pub(crate) fn many_openings(lab: &Lab) -> CaseResult {
    let mut expected = TableRows::new();
    drop(lab.open_persistent()?);
    for (number, (key, value)) in numbered_rows(scaled(100)).into_iter().enumerate() {
        let s = lab.open()?;
        s.table_holds(s.a, &expected, &format!("at opening {number}"))?;
        s.put(s.a, &key, &value)?;
        s.sync()?;
        expected.insert(key, value);
    }
    let s = lab.open()?;
    s.table_holds(s.a, &expected, "at the last opening")
}
