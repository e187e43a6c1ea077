//! Errors: the right kind, what can be done about it, where it happened, and nothing of keys and
//! values in its text.

use storage_api::{Error, ErrorKind, KeyRange, OpenOptions, TableId};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, Lane, QUICK, STANDARD};

fn refused<T>(result: Result<T, Error>, what: &str) -> Result<Error, CaseError> {
    result
        .err()
        .ok_or_else(|| CaseError::failed(format!("{what} was not refused")))
}

pub(crate) fn trap_29_each_kind_is_told_by_type(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let unknown = TableId::new(u16::MAX);
    let long = vec![b'k'; 512];
    for lane in [Lane::Batch, Lane::Txn] {
        let kind_of = |table: TableId, key: &[u8]| -> Result<ErrorKind, CaseError> {
            let error = refused(
                lane.write(&s, &mut |w| w.put(table, key, b"v")),
                "a bad put",
            )?;
            Ok(error.kind().clone())
        };
        ensure_eq!(kind_of(s.a, b"")?, ErrorKind::EmptyKey, "the kind");
        let too_long = ErrorKind::KeyTooLong { len: 512, max: 511 };
        ensure_eq!(kind_of(s.a, &long)?, too_long, "the kind");
        let found = kind_of(unknown, b"k")?;
        ensure!(
            matches!(found, ErrorKind::UnknownTable { .. }),
            "found {found:?}"
        );
    }
    let missing = refused(s.catalogue().id("no-such"), "an unknown name")?;
    let expected = ErrorKind::UnknownTable {
        table: "no-such".to_owned(),
    };
    ensure_eq!(*missing.kind(), expected, "the kind");
    Ok(())
}

/// Refusals of several kinds, made on purpose.
fn some_refusals(lab: &Lab) -> Result<Vec<(&'static str, Error)>, CaseError> {
    let s = lab.open()?;
    let long = vec![b'Z'; 512];
    let mut errors = Vec::new();
    let mut txn = s.begin_write()?;
    errors.push((
        "put",
        refused(txn.put(s.a, b"", b"SECRET"), "an empty key")?,
    ));
    errors.push((
        "put",
        refused(txn.put(s.a, &long, b"SECRET"), "a long key")?,
    ));
    errors.push((
        "delete",
        refused(txn.delete(s.checked, &long), "a long key")?,
    ));
    drop(txn);
    let put = Lane::Batch.write(&s, &mut |w| w.put(s.b, &long, b"SECRET"));
    errors.push(("apply", refused(put, "a long key in a batch")?));
    Ok(errors)
}

pub(crate) fn an_error_names_its_place(lab: &Lab) -> CaseResult {
    let name = lab.open()?.engine_name().to_owned();
    for (operation, error) in some_refusals(lab)? {
        let text = error.to_string();
        ensure!(
            error.engine().is_some_and(|engine| text.contains(engine)),
            "{operation} on {name}: no engine in {text:?}"
        );
        ensure!(
            error
                .operation()
                .is_some_and(|operation| text.contains(operation)),
            "{operation} on {name}: no operation in {text:?}"
        );
        ensure!(
            error.table().is_some_and(|table| text.contains(table)),
            "{operation} on {name}: no table in {text:?}"
        );
        ensure!(
            !text.ends_with('.') && !text.contains('\n'),
            "not one line: {text:?}"
        );
    }
    Ok(())
}

pub(crate) fn an_error_keeps_keys_and_values_to_itself(lab: &Lab) -> CaseResult {
    for (operation, error) in some_refusals(lab)? {
        for text in [error.to_string(), format!("{error:?}")] {
            let told = text.contains("SECRET") || text.contains("ZZZ") || text.contains("90, 90");
            ensure!(!told, "{operation}: bytes of the row in {text:?}");
        }
    }
    Ok(())
}

pub(crate) fn what_to_do_follows_from_the_kind(lab: &Lab) -> CaseResult {
    for (operation, error) in some_refusals(lab)? {
        ensure!(
            !error.is_retryable(),
            "{operation}: {error} is called retryable"
        );
        ensure!(
            !error.needs_reopen(),
            "{operation}: {error} is said to need reopening"
        );
        ensure!(
            !error.is_corruption(),
            "{operation}: {error} is called a corruption"
        );
    }
    // Kinds that a healthy store cannot be made to return.
    ensure!(
        Error::new(ErrorKind::Conflict).is_retryable(),
        "a conflict is not retryable"
    );
    let unknown = Error::new(ErrorKind::CommitUnknown);
    ensure!(
        !unknown.is_retryable() && unknown.needs_reopen(),
        "an unknown commit is a guess"
    );
    let damage = Error::corruption("table a", "checksum");
    ensure!(
        damage.is_corruption() && !damage.is_retryable(),
        "a corruption is not one"
    );
    let full = Error::new(ErrorKind::DiskFull);
    ensure!(
        !full.is_retryable(),
        "a full disk is called retryable at once"
    );
    Ok(())
}

pub(crate) fn absence_is_no_error(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let view = s.begin_read()?;
    for table in s.tables() {
        ensure_eq!(view.get(table, b"k")?, None, "get from an empty table");
        let mut cursor = view.cursor(table, KeyRange::all())?;
        ensure!(
            cursor.first()?.is_none() && cursor.last()?.is_none(),
            "an end of nothing"
        );
        ensure!(
            cursor.next()?.is_none() && cursor.prev()?.is_none(),
            "a row of nothing"
        );
        ensure!(
            cursor.seek(b"k")?.is_none() && cursor.seek_back(b"k")?.is_none(),
            "a row"
        );
    }
    let mut txn = s.begin_write()?;
    txn.delete(s.a, b"k")?;
    txn.delete_range(s.a, &KeyRange::all())?;
    txn.commit(QUICK)?;
    Ok(())
}

pub(crate) fn an_error_is_one_pointer_wide(_: &Lab) -> CaseResult {
    ensure_eq!(size_of::<Error>(), size_of::<usize>(), "bytes of an error");
    ensure_eq!(
        size_of::<Result<(), Error>>(),
        size_of::<usize>(),
        "bytes of a result"
    );
    Ok(())
}

pub(crate) fn a_refused_opening_names_the_engine(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let error = refused(lab.open(), "a second writer")?;
    let text = error.to_string();
    ensure!(text.contains(s.engine_name()), "no engine in {text:?}");
    ensure!(error.operation().is_some(), "no operation in {text:?}");
    drop(s);
    drop(lab.open_with(&STANDARD, &OpenOptions::new())?);
    Ok(())
}
