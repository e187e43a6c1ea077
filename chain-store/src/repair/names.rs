//! Segments under names that are not their own: which get theirs again, which are copies.
//!
//! Invariants: at most one file gets the name of a segment, and none a name that stays taken; a
//! file is called a copy only where another one is, or comes, under the segment's own name.

use seglog::SegmentNumber;
use seglog::tools::{SeenFile, SeenKind};

/// A segment that can have its own name again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) name: String,
    pub(super) own_name: String,
    number: SegmentNumber,
}

/// A file that holds a segment which another file holds under its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) number: SegmentNumber,
}

impl Copied {
    /// Whether it stands where a segment has to be, so that the log does not open.
    pub(super) fn is_in_the_way(&self) -> bool {
        SegmentNumber::of_file_name(&self.name).is_some()
    }
}

/// What becomes of segments under other names. Those that are in neither list stay as they are:
/// something else is under their own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Get their own names.
    pub(super) moved: Vec<Renamed>,
    /// Are there twice.
    pub(super) copies: Vec<Copied>,
}

impl Names {
    /// Sorts the files of a folder.
    pub(super) fn of(files: &[SeenFile]) -> Self {
        let moved = moved(files);
        let is_there = |number: SegmentNumber| {
            let is_it = |file: &SeenFile| match file.kind {
                SeenKind::Segment { number: other, .. } => other == number,
                _ => false,
            };
            files.iter().any(is_it) || moved.iter().any(|it| it.number == number)
        };
        let is_moved = |name: &String| moved.iter().any(|it| it.name == *name);
        let copy_of = |file: &SeenFile| match &file.kind {
            SeenKind::Renamed { number, .. } if is_there(*number) && !is_moved(&file.name) => {
                Some(Copied {
                    name: file.name.clone(),
                    bytes: file.bytes,
                    number: *number,
                })
            }
            _ => None,
        };
        let copies = files.iter().filter_map(copy_of).collect();
        Self { moved, copies }
    }

    /// The copy that a file is, if it is one.
    pub(super) fn copy(&self, name: &str) -> Option<&Copied> {
        self.copies.iter().find(|it| it.name == name)
    }

    /// The file that gets the name of this segment.
    pub(super) fn moved_to(&self, number: SegmentNumber) -> Option<&Renamed> {
        self.moved.iter().find(|it| it.number == number)
    }
}

/// The segments that can have their own names again: one file for each number.
fn moved(files: &[SeenFile]) -> Vec<Renamed> {
    let is_taken = |number: SegmentNumber| {
        files.iter().any(|file| match file.kind {
            SeenKind::Segment { number: other, .. } | SeenKind::Bad { number: other, .. } => {
                other == number
            }
            _ => false,
        })
    };
    let mut found: Vec<Renamed> = Vec::new();
    // A file that has its number already, and only the name of the other form, comes first.
    let has_number = |file: &&SeenFile| match &file.kind {
        SeenKind::Renamed { number, .. } => {
            SegmentNumber::of_file_name(&file.name) == Some(*number)
        }
        _ => false,
    };
    let (first, others): (Vec<_>, Vec<_>) = files.iter().partition(has_number);
    for file in first.into_iter().chain(others) {
        if let SeenKind::Renamed { number, own_name } = &file.kind
            && !is_taken(*number)
            && !found.iter().any(|other| other.number == *number)
        {
            found.push(Renamed {
                name: file.name.clone(),
                own_name: own_name.clone(),
                number: *number,
            });
        }
    }
    // No file is lost under another: a name that stays taken is not given, nor are names then that
    // were to become free by it.
    loop {
        let before = found.len();
        let sources: Vec<String> = found.iter().map(|it| it.name.clone()).collect();
        let is_free =
            |name: &String| sources.contains(name) || !files.iter().any(|file| file.name == *name);
        found.retain(|it| is_free(&it.own_name));
        if found.len() == before {
            return found;
        }
    }
}
