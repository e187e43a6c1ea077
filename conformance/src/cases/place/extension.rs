//! Compaction, backup, verification: what is declared works and changes no row, what is not
//! declared is refused.

use storage_api::{ErrorKind, KeyRange, Mode, Writer as _};

use crate::case::{
    CaseError, CaseResult, ensure, ensure_eq, ensure_refused, refused_as_unsupported,
};
use crate::lab::{Lab, QUICK, STANDARD, Subject, table_holds};
use crate::ops::{Contents, Dice, batch_of, numbered_rows, rows_of, scaled};

/// Rows in several tables, with a part overwritten and a part deleted, so that there is something
/// to win.
fn filled(s: &Subject) -> Result<Contents, CaseError> {
    let mut dice = Dice::of("extension");
    let mut contents = Contents::new();
    for table in [s.a, s.checked, s.large] {
        let mut rows = numbered_rows(scaled(2_000));
        for value in rows.values_mut() {
            *value = dice.value();
        }
        s.fill_rows(table, &rows)?;
        let low = 20_u64.to_be_bytes();
        let range = KeyRange::half_open(&low, &100_u64.to_be_bytes());
        s.apply(&batch_of(|batch| batch.delete_range(table, &range))?, QUICK)?;
        rows.retain(|key, _| !range.contains(key));
        contents.insert(table, rows);
    }
    s.sync()?;
    Ok(contents)
}

pub(crate) fn compaction_changes_no_row(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let contents = filled(&s)?;
    let declared = s.capabilities().compact;
    let Some(compact) = s.as_compact() else {
        ensure_eq!(
            declared,
            Mode::None,
            "compaction is declared and not there; mode"
        );
        return Err(CaseError::unsupported("the store offers no compaction"));
    };
    if declared == Mode::None {
        refused_as_unsupported(compact.compact(), "compact")?;
        return Err(CaseError::unsupported("compaction is refused"));
    }
    for round in 0..2 {
        compact.compact()?;
        s.holds(&contents, &format!("after compaction {round}"))?;
    }
    s.put(s.b, b"k", b"v")?;
    s.table_holds(s.b, &rows_of([(b"k", b"v")]), "a commit after compaction")
}

pub(crate) fn compaction_beside_views_is_as_declared(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let contents = filled(&s)?;
    let declared = s.capabilities().compact;
    let compact = s.as_compact().filter(|_| declared != Mode::None);
    let compact = compact.ok_or_else(|| CaseError::skipped("compact is not declared"))?;
    let view = s.begin_read()?;
    s.put(s.a, b"later", b"v")?;
    match declared {
        Mode::Exclusive => {
            let refused = compact.compact();
            ensure_refused!(
                refused,
                ErrorKind::Busy { .. },
                "exclusive compaction beside a view"
            );
        }
        Mode::Online | Mode::None => {
            compact.compact()?;
        }
    }
    for (table, rows) in &contents {
        table_holds(&*view, *table, rows, "a view across a compaction")?;
    }
    drop(view);
    compact.compact()?;
    ensure_eq!(
        s.get(s.a, b"later")?,
        Some(b"v".to_vec()),
        "a row from beside the compaction"
    );
    Ok(())
}

pub(crate) fn a_backup_is_a_store_of_the_same_rows(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let contents = filled(&s)?;
    let declared = s.capabilities().backup;
    let Some(backup) = s.as_backup() else {
        ensure_eq!(
            declared,
            Mode::None,
            "backup is declared and not there; mode"
        );
        return Err(CaseError::unsupported("the store offers no backup"));
    };
    let parent = tempfile::tempdir()?;
    let target = parent.path().join("copy");
    if declared == Mode::None {
        refused_as_unsupported(backup.backup(&target), "backup")?;
        return Err(CaseError::unsupported("backup is refused"));
    }
    let report = backup.backup(&target)?;
    ensure!(report.bytes > 0, "a backup of no bytes");
    s.put(s.a, b"later", b"not in the copy")?;
    let copy = lab.open_at(&target)?;
    copy.holds(&contents, "the copy")?;
    ensure_eq!(
        copy.get(copy.a, b"later")?,
        None,
        "a row committed after the backup"
    );
    ensure_eq!(
        copy.catalogue().clone(),
        s.catalogue().clone(),
        "the tables of the copy"
    );
    Ok(())
}

pub(crate) fn a_backup_overwrites_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let declared = s.capabilities().backup;
    let backup = s.as_backup().filter(|_| declared != Mode::None);
    let backup = backup.ok_or_else(|| CaseError::skipped("backup is not declared"))?;
    let parent = tempfile::tempdir()?;
    std::fs::write(parent.path().join("thesis.txt"), b"not to be lost")?;
    let refused = backup.backup(parent.path());
    ensure_refused!(
        refused,
        ErrorKind::NotAStore { .. },
        "a backup into a directory with files"
    );
    let left: Vec<_> = std::fs::read_dir(parent.path())?.collect::<Result<_, _>>()?;
    ensure_eq!(left.len(), 1, "files in the target after the refusal");
    let bytes = std::fs::read(parent.path().join("thesis.txt"))?;
    ensure_eq!(bytes, b"not to be lost", "the file in the target");
    Ok(())
}

pub(crate) fn a_healthy_store_verifies(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let contents = filled(&s)?;
    let verify = s.as_verify();
    let verify = verify.ok_or_else(|| CaseError::skipped("the store has no verification"))?;
    let mut calls = 0;
    let report = verify.verify(&mut |_| calls += 1)?;
    ensure_eq!(report.findings, Vec::new(), "findings in a healthy store");
    ensure!(report.is_sound(), "a report without findings is not sound");
    for (table, rows) in &contents {
        let name = s
            .catalogue()
            .get(*table)
            .map(|table| table.def.name().to_owned());
        let check = report
            .tables
            .iter()
            .find(|check| Some(&check.table) == name.as_ref());
        ensure_eq!(
            check.map(|check| check.rows),
            Some(rows.len() as u64),
            "rows verified"
        );
        let payload: usize = rows
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        ensure!(
            check.is_some_and(|c| c.bytes >= payload as u64),
            "fewer bytes than were put in"
        );
    }
    s.holds(&contents, "after verification")
}

pub(crate) fn trap_27_who_finds_damage_is_declared(lab: &Lab) -> CaseResult {
    // What a flipped bit does is shown by the damage tests; here, that the declaration fits and the
    // envelope is no burden.
    let s = lab.open()?;
    let capabilities = s.capabilities();
    if capabilities.persistent {
        let declared = capabilities.bit_rot != storage_api::BitRot::NotApplicable;
        ensure!(
            declared,
            "a persistent store declares that its medium cannot rot"
        );
    }
    let mut dice = Dice::of("trap_27_who_finds_damage_is_declared");
    let mut rows = numbered_rows(scaled(1_000));
    for (at, value) in rows.values_mut().enumerate() {
        *value = dice.bytes(at % 300);
    }
    s.fill_rows(s.checked, &rows)?;
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    table_holds(&*view, s.checked, &rows, "values with checksums")?;
    let (with, without) = (
        view.rows(s.checked, KeyRange::all())?,
        view.rows(s.a, KeyRange::all())?,
    );
    crate::ops::same_rows(&with, &without, "the same rows with and without checksums")
}

pub(crate) fn declarations_fit_together(lab: &Lab) -> CaseResult {
    use storage_api::{Effective, Sharing};
    let s = lab.open()?;
    let c = s.capabilities();
    let [volatile, buffered, durable] = c.effective;
    ensure!(
        volatile <= buffered && buffered <= durable,
        "a stronger request survives less"
    );
    let process = c.effective.contains(&Effective::Process);
    ensure_eq!(
        process,
        !c.persistent,
        "whether commits end with the process"
    );
    ensure_eq!(
        c.sharing == Sharing::None,
        !c.persistent,
        "whether there is nothing to share"
    );
    ensure!(
        c.value_bytes_max >= 1 << 20,
        "values end at {} bytes",
        c.value_bytes_max
    );
    ensure!(
        c.tables_max >= STANDARD.len(),
        "tables end at {}",
        c.tables_max
    );
    ensure!(
        c.persistent || c.backup != Mode::Exclusive,
        "an exclusive backup of memory"
    );
    ensure!(!s.engine_name().is_empty(), "the engine has no name");
    Ok(())
}
