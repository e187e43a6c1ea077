//! What must be true of a store after its process died, a fault struck or it was opened again.
//!
//! Invariants (the oracle): the store is in the state after commit `k` of its plan, whole, for one
//! `k` between the last commit that was acknowledged and the one that was under way; its commit
//! number is that `k`. So nothing acknowledged is lost, nothing that was never committed shows, no
//! commit is there in part, and none is missing before one that is there. A store that fails a read
//! is told apart from a store that is wrong.

use std::ops::RangeInclusive;

use storage_api::{Error, KeyRange, KvStore, ReadTxn};

use super::plan::{Ballast, Walk};
use crate::case::{CaseError, shown};
use crate::ops::{TableRows, forward};

/// Why a store is not in a state it may be in.
#[derive(Debug)]
pub enum Misjudged {
    /// Reading it failed with a typed error.
    Failed(Error),
    /// It holds what it must not hold, or lacks what it must hold.
    Wrong(String),
}

impl From<Error> for Misjudged {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Misjudged> for CaseError {
    #[track_caller]
    fn from(why: Misjudged) -> Self {
        match why {
            Misjudged::Failed(error) => error.into(),
            Misjudged::Wrong(what) => Self::failed(what),
        }
    }
}

/// Judges a store by a view of its present: it is in the state after one of these commits of the
/// plan, and knows which. Returns which.
///
/// # Errors
/// [`Misjudged`].
pub fn judge<S: KvStore>(
    store: &S,
    seed: u64,
    ballast: Ballast,
    allowed: RangeInclusive<u64>,
) -> Result<u64, Misjudged> {
    let seq = judge_range(store, seed, ballast, allowed)?;
    let told = store.stats()?.commit_seq.get();
    if told != seq {
        return Err(Misjudged::Wrong(format!(
            "the statistics name commit {told}, the view {seq}"
        )));
    }
    Ok(seq)
}

/// Judges as [`judge`] does, but for what the store itself knows: one that does not know how its
/// last commit ended cannot name it.
pub(crate) fn judge_range<S: KvStore>(
    store: &S,
    seed: u64,
    ballast: Ballast,
    allowed: RangeInclusive<u64>,
) -> Result<u64, Misjudged> {
    let view = store.begin_read()?;
    let seq = view.commit_seq()?.get();
    if !allowed.contains(&seq) {
        let (low, high) = (allowed.start(), allowed.end());
        return Err(Misjudged::Wrong(format!(
            "commit {seq} is the last, one of {low}..={high} was expected"
        )));
    }
    let walk = Walk::to(seed, ballast, seq, store.catalogue())?;
    judge_view(&view, &walk)?;
    Ok(seq)
}

/// Judges a view: it is in the state of the walk.
pub(crate) fn judge_view<R: ReadTxn>(view: &R, walk: &Walk) -> Result<(), Misjudged> {
    let seq = view.commit_seq()?.get();
    if seq != walk.number() {
        return Err(Misjudged::Wrong(format!(
            "a view of commit {} says that it is of commit {seq}",
            walk.number()
        )));
    }
    let empty = TableRows::new();
    for table in walk.tables() {
        let expected = walk.contents().get(table).unwrap_or(&empty);
        let found = forward(&mut view.cursor(*table, KeyRange::all())?)?;
        let differs = expected
            .iter()
            .zip(&found)
            .find(|((key, value), row)| (*key, *value) != (&row.0, &row.1));
        let at = match differs {
            Some(((key, _), row)) => format!("{} against {}", shown(key), shown(&row.0)),
            None if expected.len() != found.len() => "one ends before the other".to_owned(),
            None => continue,
        };
        return Err(Misjudged::Wrong(format!(
            "after commit {seq}, {table} is not as it was then: {} rows expected, {} found, {at}",
            expected.len(),
            found.len(),
        )));
    }
    Ok(())
}
