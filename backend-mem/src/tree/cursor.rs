//! Cursor: a position in one version of the tree, moved in both directions.
//!
//! A cursor borrows the tree and holds the path to its leaf, inline for any realistic height, so
//! that moving allocates nothing. Rows live as long as the tree, not as the cursor. It stands
//! before the first entry, on an entry, or after the last; `next` and `prev` leave an end on its
//! inner side and stay there on the other. A move inside a leaf is O(1), to the next leaf O(log n).

use std::fmt;

use super::branch::{Branch, Node};
use super::edit::lower_bound;
use super::leaf::Leaf;

/// Levels of the path that need no allocation: enough for thousands of millions of entries.
const INLINE_LEVELS: usize = 8;

/// An entry as the cursor gives it.
type Row<'t> = Option<(&'t [u8], &'t [u8])>;

/// One level of the path: the branch and the child taken.
#[derive(Clone, Copy)]
struct Step<'t> {
    branch: &'t Branch,
    child: usize,
}

/// The steps from the root to the leaf.
#[derive(Clone, Default)]
struct Path<'t> {
    inline: [Option<Step<'t>>; INLINE_LEVELS],
    len: usize,
    deep: Vec<Step<'t>>,
}

impl<'t> Path<'t> {
    #[inline]
    fn push(&mut self, step: Step<'t>) {
        match self.inline.get_mut(self.len) {
            Some(place) => {
                *place = Some(step);
                self.len += 1;
            }
            None => self.deep.push(step),
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<Step<'t>> {
        if let Some(step) = self.deep.pop() {
            return Some(step);
        }
        self.len = self.len.checked_sub(1)?;
        self.inline[self.len]
    }

    #[inline]
    fn clear(&mut self) {
        self.len = 0;
        self.deep.clear();
    }
}

/// Where the cursor stands.
#[derive(Clone, Copy)]
enum Place<'t> {
    BeforeFirst,
    At(&'t Leaf, usize),
    AfterLast,
}

/// Which end of a subtree a descent goes to.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// A position in a [`super::Tree`]; see the head of this file.
#[derive(Clone)]
pub struct Cursor<'t> {
    root: Option<&'t Node>,
    path: Path<'t>,
    place: Place<'t>,
}

impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cursor")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

impl<'t> Cursor<'t> {
    pub(super) fn new(root: Option<&'t Node>) -> Self {
        Self {
            root,
            path: Path::default(),
            place: Place::BeforeFirst,
        }
    }

    /// The entry under the cursor, if it stands on one.
    #[must_use]
    #[inline]
    pub fn current(&self) -> Row<'t> {
        match self.place {
            Place::At(leaf, at) => Some(leaf.entry(at)),
            Place::BeforeFirst | Place::AfterLast => None,
        }
    }

    /// Moves to the first entry.
    pub fn first(&mut self) -> Row<'t> {
        self.path.clear();
        self.place = Place::AfterLast;
        self.descend(self.root, End::First)
    }

    /// Moves to the last entry.
    pub fn last(&mut self) -> Row<'t> {
        self.path.clear();
        self.place = Place::BeforeFirst;
        self.descend(self.root, End::Last)
    }

    /// Moves to the first entry whose key is `key` or greater, or after the last one.
    pub fn seek(&mut self, key: &[u8]) -> Row<'t> {
        let Some(leaf) = self.find_leaf(key) else {
            return self.end(Place::AfterLast);
        };
        let at = lower_bound(leaf, key);
        if at < leaf.len() {
            return self.stand(leaf, at);
        }
        self.next_leaf()
    }

    /// Moves to the last entry whose key is `key` or smaller, or before the first one.
    pub fn seek_back(&mut self, key: &[u8]) -> Row<'t> {
        let Some(leaf) = self.find_leaf(key) else {
            return self.end(Place::BeforeFirst);
        };
        match leaf.find(key) {
            Ok(at) => self.stand(leaf, at),
            Err(0) => self.prev_leaf(),
            Err(at) => self.stand(leaf, at - 1),
        }
    }

    /// Moves one entry on; from before the first to the first.
    #[expect(
        clippy::should_implement_trait,
        reason = "a cursor moves both ways and never fuses"
    )]
    #[inline]
    pub fn next(&mut self) -> Row<'t> {
        match self.place {
            Place::At(leaf, at) if at + 1 < leaf.len() => self.stand(leaf, at + 1),
            Place::At(..) => self.next_leaf(),
            Place::BeforeFirst => self.first(),
            Place::AfterLast => None,
        }
    }

    /// Moves one entry back; from after the last to the last.
    #[inline]
    pub fn prev(&mut self) -> Row<'t> {
        match self.place {
            Place::At(_, 0) => self.prev_leaf(),
            Place::At(leaf, at) => self.stand(leaf, at - 1),
            Place::BeforeFirst => None,
            Place::AfterLast => self.last(),
        }
    }

    #[inline]
    fn stand(&mut self, leaf: &'t Leaf, at: usize) -> Row<'t> {
        self.place = Place::At(leaf, at);
        Some(leaf.entry(at))
    }

    fn end(&mut self, place: Place<'t>) -> Row<'t> {
        self.place = place;
        None
    }

    /// The only leaf that may hold `key`, with the path to it.
    fn find_leaf(&mut self, key: &[u8]) -> Option<&'t Leaf> {
        self.path.clear();
        let mut node = self.root?;
        loop {
            match node {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Branch(branch) => {
                    let child = branch.route(key);
                    self.path.push(Step { branch, child });
                    node = branch.child(child)?;
                }
            }
        }
    }

    /// Goes down to one end of the subtree; the place stays as it is when there is no subtree.
    fn descend(&mut self, node: Option<&'t Node>, end: End) -> Row<'t> {
        let mut node = node?;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let at = match end {
                        End::First => 0,
                        End::Last => leaf.len().checked_sub(1)?,
                    };
                    return self.stand(leaf, at);
                }
                Node::Branch(branch) => {
                    let child = match end {
                        End::First => 0,
                        End::Last => branch.len().checked_sub(1)?,
                    };
                    self.path.push(Step { branch, child });
                    node = branch.child(child)?;
                }
            }
        }
    }

    fn next_leaf(&mut self) -> Row<'t> {
        while let Some(Step { branch, child }) = self.path.pop() {
            if let Some(node) = branch.child(child + 1) {
                self.path.push(Step {
                    branch,
                    child: child + 1,
                });
                return self.descend(Some(node), End::First);
            }
        }
        self.end(Place::AfterLast)
    }

    fn prev_leaf(&mut self) -> Row<'t> {
        while let Some(Step { branch, child }) = self.path.pop() {
            if let Some(before) = child.checked_sub(1) {
                self.path.push(Step {
                    branch,
                    child: before,
                });
                return self.descend(branch.child(before), End::Last);
            }
        }
        self.end(Place::BeforeFirst)
    }
}
