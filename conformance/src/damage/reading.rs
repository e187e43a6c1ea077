//! Reading a store that may be damaged as an application would, and what came of it.
//!
//! Invariants: every key is asked for, keys that were deleted or never written included, and every
//! table is read in both directions; a cursor that an error stopped is moved on a few times, and
//! one that goes round for ever is noticed; what was read is compared with [`Content`] byte by
//! byte.

use storage_api::{Cursor, Entry, ErrorKind, KeyRange, KvStore, Reader, Result, TableId};

use super::content::{Content, Keys, Versions};

/// Errors after which a scan is given up.
const ERRORS_MAX: usize = 64;

/// What the reads of a store gave, by how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Answers that are right.
    pub right: u64,
    /// Typed errors.
    pub errors: u64,
    /// Among them panics of the engine's library, caught at our boundary.
    pub panics: u64,
    /// Keys that are there and were said to be absent, by a get or by a scan that ended without an
    /// error.
    pub lost: u64,
    /// Values that the key had once and has no longer, deleted keys included.
    pub stale: u64,
    /// Right rows at a wrong place: twice, or not in the order of keys.
    pub misplaced: u64,
    /// Values that the key never had, and keys that never were.
    pub wrong: u64,
}

/// What one flip did to the reads of a store, the worst of it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A value that was never written was served.
    Wrong,
    /// A value that was replaced or deleted was served.
    Stale,
    /// Rows came twice, or not in the order of keys.
    Misplaced,
    /// A key that is there was said to be absent.
    Lost,
    /// The process died.
    Died,
    /// The store was refused.
    Refused,
    /// Some reads ended in a typed error; all others were right.
    Errors,
    /// Everything was right.
    Right,
}

impl Verdict {
    /// All verdicts, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Wrong,
        Self::Stale,
        Self::Misplaced,
        Self::Lost,
        Self::Died,
        Self::Refused,
        Self::Errors,
        Self::Right,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Misplaced => "misplaced",
            Self::Lost => "lost",
            Self::Died => "died",
            Self::Refused => "refused",
            Self::Errors => "errors",
            Self::Right => "right",
        }
    }

    /// The verdict of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == name)
    }

    /// Whether a reader was told something that is not so.
    #[must_use]
    pub const fn is_silent(self) -> bool {
        matches!(
            self,
            Self::Wrong | Self::Stale | Self::Misplaced | Self::Lost
        )
    }
}

impl Reading {
    /// The worst of what was read.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        if self.wrong > 0 {
            Verdict::Wrong
        } else if self.stale > 0 {
            Verdict::Stale
        } else if self.misplaced > 0 {
            Verdict::Misplaced
        } else if self.lost > 0 {
            Verdict::Lost
        } else if self.errors > 0 {
            Verdict::Errors
        } else {
            Verdict::Right
        }
    }

    /// Reads everything of an open store.
    pub fn of<S: KvStore>(store: &S, content: &Content) -> Self {
        let mut reading = Self::default();
        let view = match store.begin_read() {
            Ok(view) => view,
            Err(error) => {
                reading.fail(error.kind());
                return reading;
            }
        };
        for (name, keys) in content.tables() {
            match store.catalogue().id(name) {
                Ok(table) => reading.table(&view, table, keys),
                Err(error) => reading.fail(error.kind()),
            }
        }
        reading
    }

    fn fail(&mut self, kind: &ErrorKind) {
        self.errors += 1;
        self.panics += u64::from(matches!(kind, ErrorKind::EnginePanic { .. }));
    }

    fn table<R: Reader>(&mut self, view: &R, table: TableId, keys: &Keys) {
        for (key, versions) in keys {
            match view.get(table, key) {
                Ok(value) => self.judge(versions, value.as_deref()),
                Err(error) => self.fail(error.kind()),
            }
        }
        match view.get(table, b"never written") {
            Ok(None) => self.right += 1,
            Ok(Some(_)) => self.wrong += 1,
            Err(error) => self.fail(error.kind()),
        }
        self.scan(view, table, keys, Direction::Forward);
        self.scan(view, table, keys, Direction::Backward);
    }

    fn judge(&mut self, versions: &Versions, found: Option<&[u8]>) {
        let slot = match (found, versions.now.as_deref()) {
            (found, now) if found == now => &mut self.right,
            (None, _) => &mut self.lost,
            (Some(value), _) if versions.before.iter().any(|old| old == value) => &mut self.stale,
            (Some(_), _) => &mut self.wrong,
        };
        *slot += 1;
    }

    fn scan<R: Reader>(&mut self, view: &R, table: TableId, keys: &Keys, direction: Direction) {
        let mut cursor = match view.cursor(table, KeyRange::all()) {
            Ok(cursor) => cursor,
            Err(error) => return self.fail(error.kind()),
        };
        let expected = keys.values().filter(|v| v.now.is_some()).count();
        let (mut seen, mut errors, mut last) = (0, 0, None::<Vec<u8>>);
        loop {
            match direction.step(&mut cursor, last.is_none() && errors == 0) {
                Ok(None) => break,
                Ok(Some(row)) => {
                    seen += 1;
                    match keys.get(row.key) {
                        Some(versions) => self.judge(versions, Some(row.value)),
                        None => self.wrong += 1,
                    }
                    if !direction.is_after(last.as_deref(), row.key) {
                        // After an error a cursor may begin again; without one that is an answer.
                        self.misplaced += u64::from(errors == 0);
                        return;
                    }
                    last = Some(row.key.to_vec());
                }
                Err(error) => {
                    errors += 1;
                    self.fail(error.kind());
                    if errors >= ERRORS_MAX {
                        break;
                    }
                }
            }
        }
        if errors == 0 && seen < expected {
            self.lost += (expected - seen) as u64;
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

impl Direction {
    fn step<C: Cursor>(self, cursor: &mut C, is_first: bool) -> Result<Option<Entry<'_>>> {
        match self {
            Self::Forward => cursor.next(),
            Self::Backward if is_first => cursor.last(),
            Self::Backward => cursor.prev(),
        }
    }

    fn is_after(self, last: Option<&[u8]>, key: &[u8]) -> bool {
        last.is_none_or(|last| match self {
            Self::Forward => last < key,
            Self::Backward => key < last,
        })
    }
}
