//! Limits on old views, with a clock that the case turns.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use storage_api::{ErrorKind, KeyRange, ManualClock, OpenOptions};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, STANDARD, Subject, table_holds};
use crate::ops::rows_of;

const AGE_MAX: Duration = Duration::from_secs(10);

fn with_clock(
    lab: &Lab,
    set: impl FnOnce(&mut OpenOptions),
) -> Result<(Subject, Arc<ManualClock>), CaseError> {
    let clock = Arc::new(ManualClock::default());
    let mut options = OpenOptions::new();
    options.clock = Arc::<ManualClock>::clone(&clock);
    set(&mut options);
    Ok((lab.open_with(&STANDARD, &options)?, clock))
}

pub(crate) fn trap_11_an_old_view_is_told(lab: &Lab) -> CaseResult {
    let (s, clock) = with_clock(lab, |options| options.reader_limits.age_max = Some(AGE_MAX))?;
    let rows = rows_of([(b"k", b"1")]);
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    clock.advance(AGE_MAX);
    table_holds(&*view, s.a, &rows, "a view exactly as old as the limit")?;
    let mut cursor = view.cursor(s.a, KeyRange::all())?;
    ensure!(
        cursor.next()?.is_some(),
        "a cursor of a view as old as the limit finds nothing"
    );
    clock.advance(Duration::from_secs(1));
    ensure_refused!(
        cursor.next(),
        ErrorKind::ReaderTooOld { .. },
        "a cursor that was open"
    );
    ensure_refused!(
        cursor.last(),
        ErrorKind::ReaderTooOld { .. },
        "a cursor that was open"
    );
    ensure_refused!(
        cursor.scan(&mut |_, _| ControlFlow::Continue(())),
        ErrorKind::ReaderTooOld { .. },
        "a scan of a cursor that was open"
    );
    drop(cursor);
    for round in 0..2 {
        ensure_refused!(view.get(s.a, b"k"), ErrorKind::ReaderTooOld { .. }, "get");
        let cursor = view.cursor(s.a, KeyRange::all());
        ensure_refused!(cursor, ErrorKind::ReaderTooOld { .. }, "cursor");
        ensure_refused!(view.count(s.a), ErrorKind::ReaderTooOld { .. }, "count");
        ensure_refused!(
            view.contains(s.a, b"k"),
            ErrorKind::ReaderTooOld { .. },
            "contains"
        );
        let many = view.multi_get(s.a, &[b"k"], &mut |_, _| ());
        ensure_refused!(many, ErrorKind::ReaderTooOld { .. }, "multi_get");
        // A commit in between changes nothing about it.
        if round == 0 {
            s.put(s.a, b"k", b"2")?;
        }
    }
    s.table_holds(s.a, &rows_of([(b"k", b"2")]), "a new view")
}

pub(crate) fn a_young_view_is_left_alone(lab: &Lab) -> CaseResult {
    let (s, clock) = with_clock(lab, |options| options.reader_limits.age_max = Some(AGE_MAX))?;
    let rows = rows_of([(b"k", b"1")]);
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for _ in 0..9 {
        clock.advance(Duration::from_secs(1));
        s.put(s.a, b"k", b"2")?;
        table_holds(&*view, s.a, &rows, "a view younger than the limit")?;
    }
    Ok(())
}

pub(crate) fn without_a_limit_views_live_for_ever(lab: &Lab) -> CaseResult {
    let (s, clock) = with_clock(lab, |_| ())?;
    let rows = rows_of([(b"k", b"1")]);
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    clock.advance(Duration::from_secs(100 * 365 * 86_400));
    s.put(s.a, b"k", b"2")?;
    table_holds(&*view, s.a, &rows, "a view of a hundred years")?;
    s.put(s.b, b"k", b"and the writer goes on")?;
    Ok(())
}

pub(crate) fn the_oldest_view_is_in_the_statistics(lab: &Lab) -> CaseResult {
    let (s, clock) = with_clock(lab, |_| ())?;
    let age = |s: &Subject| -> Result<Option<Duration>, CaseError> {
        Ok(s.stats()?.oldest_reader.map(|oldest| oldest.age))
    };
    clock.advance(Duration::from_secs(5));
    ensure_eq!(
        age(&s)?,
        None,
        "the age of the oldest view when there is none"
    );
    let old = s.begin_read()?;
    clock.advance(Duration::from_secs(7));
    let young = s.begin_read()?;
    ensure_eq!(
        age(&s)?,
        Some(Duration::from_secs(7)),
        "the age of the oldest of two"
    );
    clock.advance(Duration::from_secs(2));
    ensure_eq!(
        age(&s)?,
        Some(Duration::from_secs(9)),
        "its age two seconds later"
    );
    drop(old);
    ensure_eq!(
        age(&s)?,
        Some(Duration::from_secs(2)),
        "the age after the older one dropped"
    );
    drop(young);
    ensure_eq!(age(&s)?, None, "the age after both dropped");
    Ok(())
}

pub(crate) fn views_that_pin_too_much_stop_the_writer(lab: &Lab) -> CaseResult {
    const PINNED_MAX: u64 = 64 << 10;
    let (s, _) = with_clock(lab, |options| {
        options.reader_limits.pinned_bytes_max = Some(PINNED_MAX);
    })?;
    let value = vec![1; 256 << 10];
    s.put(s.large, b"k", &value)?;
    let view = s.begin_read()?;
    let mut refused = None;
    for round in 0..64_u8 {
        let value = vec![round; 256 << 10];
        match s.put(s.large, &[b'k', round], &value) {
            Ok(_) => {}
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let pinned = s
        .stats()?
        .oldest_reader
        .map_or(0, |oldest| oldest.pinned_bytes);
    let Some(refused) = refused else {
        ensure!(
            pinned <= PINNED_MAX,
            "{pinned} bytes are pinned and nothing was refused"
        );
        return Err(CaseError::skipped("the engine cannot say what views pin"));
    };
    let kind = refused.kind().clone();
    ensure!(
        matches!(kind, ErrorKind::PinnedTooMuch { .. }),
        "expected PinnedTooMuch: {kind:?}"
    );
    ensure!(pinned > PINNED_MAX, "refused at {pinned} pinned bytes");
    ensure_refused!(
        s.begin_write(),
        ErrorKind::PinnedTooMuch { .. },
        "begin_write"
    );
    ensure!(
        view.get(s.large, b"k")?.as_ref() == Some(&value),
        "the view that pins differs"
    );
    drop(view);
    s.put(s.large, b"k", b"room again")?;
    ensure_eq!(
        s.get(s.large, b"k")?,
        Some(b"room again".to_vec()),
        "after the view dropped"
    );
    Ok(())
}
