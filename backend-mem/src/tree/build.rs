//! Build: a tree from rows in ascending key order, bottom-up.
//!
//! Rows are packed into leaves that are filled to [`LEAF_FILL_ENTRIES`] or [`LEAF_FILL_BYTES`],
//! nodes into branches of [`BRANCH_FILL`]; a little room is left so that the first writes after a
//! load do not split every node they meet. No descent, no split, no copy of a node: O(n) for n
//! rows, with one open node per level beside the finished ones.
//!
//! Invariants: those of `leaf` and `branch`; only the last node of a level may be underfull, so
//! that no two neighbours are; a row out of order is refused and changes nothing.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Tree;
use super::branch::{BRANCH_CAPACITY, Branch, Node};
use super::heads;
use super::leaf::{LEAF_CAPACITY, LEAF_MAX_BYTES, Leaf};

/// Entries of a leaf that is built.
const LEAF_FILL_ENTRIES: usize = LEAF_CAPACITY / 16 * 15;
/// Inline bytes of a leaf that is built.
const LEAF_FILL_BYTES: usize = LEAF_MAX_BYTES / 16 * 15;
/// Children of a branch that is built.
const BRANCH_FILL: usize = BRANCH_CAPACITY / 12 * 11;

/// The open node of a level of branches: children that wait for their branch to be full.
#[derive(Debug, Default)]
struct Level {
    /// What separates the first child from the last one of the branch before; empty for the first
    /// branch of the level.
    lead: Box<[u8]>,
    children: Vec<Node>,
    /// One less than there are children.
    separators: Vec<Box<[u8]>>,
}

/// Takes rows in strictly ascending key order and makes a tree of them; see the head of this file.
#[derive(Debug)]
pub struct TreeBuilder {
    leaf: Leaf,
    /// What separates `leaf` from the one before it; empty for the first.
    lead: Box<[u8]>,
    levels: Vec<Level>,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// A builder without rows; allocates the buffer of one leaf.
    #[must_use]
    pub fn new() -> Self {
        Self {
            leaf: Leaf::open(LEAF_FILL_BYTES),
            lead: Box::default(),
            levels: Vec::new(),
        }
    }

    /// Adds a row, whose key must be greater than all before it; otherwise nothing is added and
    /// the answer is `false`. Amortised O(1) beside the copy of the bytes.
    #[must_use = "a row out of order is not added"]
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(last) = self.leaf.len().checked_sub(1) {
            let last = self.leaf.key(last);
            if last >= key {
                return false;
            }
            if self.leaf.len() == LEAF_FILL_ENTRIES || !self.leaf.fits(key, value, LEAF_FILL_BYTES)
            {
                let separator = heads::separator(last, key).into();
                let full = Node::Leaf(Arc::new(self.leaf.seal(LEAF_FILL_BYTES)));
                let lead = std::mem::replace(&mut self.lead, separator);
                self.add(0, lead, full);
            }
        }
        self.leaf.append(key, value);
        true
    }

    /// The tree of all rows.
    #[must_use]
    pub fn finish(mut self) -> Tree {
        if self.leaf.len() == 0 {
            return Tree::new();
        }
        let last = Node::Leaf(Arc::new(self.leaf.seal(0)));
        let lead = std::mem::take(&mut self.lead);
        self.add(0, lead, last);
        let mut height = 0;
        loop {
            let is_top = height + 1 == self.levels.len();
            if is_top && self.levels[height].children.len() == 1 {
                let root = self.levels[height].children.pop();
                return Tree { root };
            }
            self.close(height);
            height += 1;
        }
    }

    /// Puts a finished node behind those of the level at `height`, where 0 is right above the
    /// leaves; `separator` stands before it.
    fn add(&mut self, height: usize, separator: Box<[u8]>, node: Node) {
        if height == self.levels.len() {
            self.levels.push(Level::default());
        }
        if self.levels[height].children.len() == BRANCH_FILL {
            self.close(height);
        }
        let level = &mut self.levels[height];
        if level.children.is_empty() {
            level.lead = separator;
        } else {
            level.separators.push(separator);
        }
        level.children.push(node);
    }

    /// Makes a branch of the open children at `height` and hands it up. Recursion is bounded by
    /// the height of the tree.
    fn close(&mut self, height: usize) {
        let level = std::mem::take(&mut self.levels[height]);
        let branch = Branch::over(level.children, &level.separators);
        self.add(height + 1, level.lead, Node::Branch(Arc::new(branch)));
    }
}

impl Tree {
    /// A tree of `rows`, which must be in strictly ascending key order; `None` when they are not.
    /// O(n); leaves are about 94 % full.
    #[must_use]
    pub fn from_sorted<K, V>(rows: impl IntoIterator<Item = (K, V)>) -> Option<Self>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut builder = TreeBuilder::new();
        for (key, value) in rows {
            if !builder.push(key.as_ref(), value.as_ref()) {
                return None;
            }
        }
        Some(builder.finish())
    }

    /// A tree of the entries of this one and of `rows`, which must be in strictly ascending key
    /// order (`None` when they are not) and win where a key is in both. O(n + m) over all entries:
    /// right when the rows are a good part of the result, while few rows are better inserted.
    #[must_use]
    pub fn merged<K, V>(&self, rows: impl IntoIterator<Item = (K, V)>) -> Option<Self>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut builder = TreeBuilder::new();
        let mut cursor = self.cursor();
        let mut old = cursor.next();
        for (key, value) in rows {
            let key = key.as_ref();
            while let Some((before, kept)) = old {
                match before.cmp(key) {
                    Ordering::Less => {
                        // Kept entries are always greater than the last row that was taken.
                        if !builder.push(before, kept) {
                            return None;
                        }
                    }
                    Ordering::Equal => {}
                    Ordering::Greater => break,
                }
                old = cursor.next();
            }
            if !builder.push(key, value.as_ref()) {
                return None;
            }
        }
        while let Some((key, value)) = old {
            if !builder.push(key, value) {
                return None;
            }
            old = cursor.next();
        }
        Some(builder.finish())
    }
}
