//! Looking at, mending and cutting the blocks of a store: what `chainstore blocks check`, `repair`,
//! `index-rebuild`, `truncate` and `prune` do.
//!
//! | file | what is in it |
//! |---|---|
//! | `check` | reading everything, and saying what is damaged and which blocks that is |
//! | `disk` | the folder of segments with renamed files under their own names |
//! | `names` | which of these get their names again, and which are copies |
//! | `plan` | what a repair would do about it |
//! | `quarantine` | keeping what is removed |
//! | `run` | doing it; the index again; cutting at the tip and at the tail |
//!
//! Invariants: a check and a plan write nothing; a repair copies what it removes into the
//! quarantine, durably, before it removes it; nothing below the tip that the index has committed is
//! removed but with a height that the caller named; index before files, newest file first, so that
//! a repair that was killed is finished by the next one.

mod check;
mod disk;
mod names;
mod plan;
mod quarantine;
mod run;

use std::path::PathBuf;

use serde::Serialize;
use storage_api::blocks::{BlockError, Height};

pub use ::blocks::PackReport;
pub use check::check;
pub use plan::Action;
pub use run::{Cut, index_rebuild, other_tables, pack, prune, repair, truncate};

/// What something that is wrong is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Bytes inside a segment.
    Record,
    /// The header of a segment, so that nothing in its file can be told.
    Header,
    /// A segment's file is not there: archived or lost.
    Absent,
    /// A segment's file has another name than its own.
    Renamed,
    /// Rows of the index.
    Index,
    /// A body that is a row.
    Body,
}

/// Something that is wrong, and which blocks that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// The file, by its name in the folder of segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The segment's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u64>,
    /// Where in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// How many blocks of the index it is about.
    pub blocks: u64,
    /// The lowest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_height: Option<u64>,
    /// The highest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_height: Option<u64>,
    /// Whether the bytes of a file say so, and not only a row of the index.
    #[serde(skip)]
    is_raw: bool,
}

impl Finding {
    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            file: None,
            segment: None,
            offset: None,
            bytes: None,
            what: what.into(),
            blocks: 0,
            first_height: None,
            last_height: None,
            is_raw: false,
        }
    }

    /// Where it is, and which blocks it is about, in words.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = match (&self.file, self.kind) {
            (Some(file), _) => file.clone(),
            (None, Kind::Body) => "bodies".to_owned(),
            (None, _) => "index".to_owned(),
        };
        if let Some(offset) = self.offset {
            place.push_str(&format!(" at offset {offset}"));
        }
        match (self.first_height, self.last_height) {
            (Some(first), Some(last)) if first == last => {
                place.push_str(&format!(", block {first}"));
            }
            (Some(first), Some(last)) => {
                place.push_str(&format!(", {} blocks from {first} to {last}", self.blocks));
            }
            _ => {}
        }
        place
    }

    /// Takes in the finding of the next blocks, if that is of the same kind and file: a file
    /// without its end has one of each block.
    fn join(&mut self, next: &Self) -> bool {
        let is_next = self.last_height.and_then(|last| last.checked_add(1)) == next.first_height;
        let is_same =
            (self.kind, self.segment, &self.file) == (next.kind, next.segment, &next.file);
        if !is_same || !is_next || next.first_height.is_none() {
            return false;
        }
        self.blocks = self.blocks.saturating_add(next.blocks);
        self.last_height = next.last_height;
        self.bytes = None;
        true
    }

    /// Adds the blocks behind one that was added, up to and with the last.
    fn add_up_to(&mut self, added: Height, last: Height) {
        let (added, last) = (added.get(), last.get());
        self.blocks = self.blocks.saturating_add(last.saturating_sub(added));
        self.last_height = Some(self.last_height.map_or(last, |known| known.max(last)));
    }

    fn add(&mut self, height: Height) {
        let height = height.get();
        self.blocks += 1;
        self.first_height = Some(self.first_height.map_or(height, |first| first.min(height)));
        self.last_height = Some(self.last_height.map_or(height, |last| last.max(height)));
    }
}

/// What lies behind the last committed block: what a crash leaves, and no damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// The segment of the last committed block.
    pub segment: u64,
    /// Where its record ends.
    pub offset: u64,
    /// Bytes behind it that are not zeros in advance, in its segment and in those that follow.
    pub bytes: u64,
    /// Whole records among them.
    pub records: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Where bodies are.
    pub bodies: &'static str,
    /// The lowest block of the index.
    pub tail: Option<u64>,
    /// The highest block of the index: the commit point.
    pub tip: Option<u64>,
    /// Blocks whose rows and body agree.
    pub sound_blocks: u64,
    /// Segment files that were read.
    pub segments: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What lies behind the commit point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
    /// Files in the folder that are none of the log's, and what an interrupted making of a segment
    /// left.
    pub leftovers: Vec<String>,
}

impl Checked {
    /// Whether nothing is wrong. What lies beyond the commit point and leftovers are no damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings for people, by segment and block: those of the same kind and file about blocks
    /// in a row are one, with the place and the words of the first.
    #[must_use]
    pub fn grouped(&self) -> Vec<Finding> {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|it| (it.segment, it.first_height, it.offset));
        let mut grouped: Vec<Finding> = Vec::new();
        for finding in sorted {
            let is_in = grouped.last_mut().is_some_and(|last| last.join(finding));
            if !is_in {
                grouped.push(finding.clone());
            }
        }
        grouped
    }
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    /// What was found before.
    pub found: Checked,
    /// What was done, or would be.
    pub actions: Vec<Action>,
    /// What cannot be repaired without losing blocks, and what to do about it.
    pub left: Vec<String>,
    /// The highest height to which everything can be kept, if something is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepable_height: Option<u64>,
    /// Where the removed bytes and rows are; nothing was removed without one.
    pub quarantine: Vec<PathBuf>,
    /// Whether the check behind the repair found nothing; `None` of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<bool>,
}

/// Why blocks were not repaired or cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The store or its blocks.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// This is not for such a store.
    #[error("{0}")]
    Unsupported(String),
    /// The blocks that the index lost are needed by a state that only follows blocks forward.
    #[error(
        "the store holds the unspent outputs after its tip, which cannot be taken back yet: \
         cutting blocks at the tip alone would leave a state of another height; import into a new \
         store instead"
    )]
    WorldState,
    /// The height that was named cannot be the tip.
    #[error("{0}")]
    Height(String),
    /// The index cannot be made again up to the tip that it had.
    #[error(
        "sound records without a gap end with block {reach}: --to-height {reach} makes the index \
         up to there"
    )]
    Gap {
        /// The highest block that can be the tip.
        reach: Height,
        /// What is not there.
        source: BlockError,
    },
    /// A file could not be copied into the quarantine.
    #[error("cannot keep {what} in the quarantine")]
    Quarantine {
        /// What was to be kept.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<storage_api::Error> for RepairError {
    fn from(error: storage_api::Error) -> Self {
        Self::Blocks(error.into())
    }
}

impl From<seglog::LogError> for RepairError {
    fn from(error: seglog::LogError) -> Self {
        Self::Blocks(::blocks::of_log(error).into())
    }
}
