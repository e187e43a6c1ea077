//! Build: a tree from rows in ascending key order, bottom-up.
//!
//! Rows are packed into leaves that are filled to [`LEAF_FILL_ENTRIES`] or [`LEAF_FILL_BYTES`],
//! nodes into branches of [`BRANCH_FILL`]; a little room is left so that the first writes after a
//! load do not split every node they meet. No descent, no split, no copy of a node: O(n) for n
//! rows, with one open node per level beside the finished ones.
//!
//! Invariants: those of `leaf` and `branch`; only the last node of a level and the last leaf of a
//! part may be underfull, and full leaves follow that, so that no two neighbours are; a row out of
//! order is refused and changes nothing.

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

/// The leaf that takes the rows, and what separates it from the one before.
#[derive(Debug)]
struct Open {
    leaf: Leaf,
    /// Empty for the first leaf.
    lead: Box<[u8]>,
}

/// A leaf that is full, and what stands before it.
type Full = (Box<[u8]>, Node);

impl Open {
    fn new() -> Self {
        Self {
            leaf: Leaf::open(LEAF_FILL_BYTES),
            lead: Box::default(),
        }
    }

    fn last(&self) -> Option<&[u8]> {
        let last = self.leaf.len().checked_sub(1)?;
        Some(self.leaf.key(last))
    }

    /// Adds a row behind all others, false if it does not belong there. `full` is given the leaf
    /// that was full before.
    #[inline]
    fn push(&mut self, key: &[u8], value: &[u8], mut full: impl FnMut(Full)) -> bool {
        if let Some(last) = self.leaf.len().checked_sub(1) {
            let last = self.leaf.key(last);
            if last >= key {
                return false;
            }
            if self.leaf.len() == LEAF_FILL_ENTRIES || !self.leaf.fits(key, value, LEAF_FILL_BYTES)
            {
                let separator = heads::separator(last, key).into();
                full(self.close(separator));
            }
        }
        self.leaf.append(key, value);
        true
    }

    /// The leaf, and an empty one behind it.
    fn close(&mut self, separator: Box<[u8]>) -> Full {
        let leaf = Node::Leaf(Arc::new(self.leaf.seal(LEAF_FILL_BYTES)));
        (std::mem::replace(&mut self.lead, separator), leaf)
    }
}

/// The leaves of a range of keys, built beside a [`TreeBuilder`] that takes them later.
#[derive(Debug)]
pub struct TreePart {
    full: Vec<Full>,
    open: Open,
}

impl Default for TreePart {
    fn default() -> Self {
        Self::new()
    }
}

impl TreePart {
    /// A part without rows.
    #[must_use]
    pub fn new() -> Self {
        Self {
            full: Vec::new(),
            open: Open::new(),
        }
    }

    /// As [`TreeBuilder::push`].
    #[must_use = "a row out of order is not added"]
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Self { full, open } = self;
        open.push(key, value, |leaf| full.push(leaf))
    }

    fn first(&self) -> Option<&[u8]> {
        match self.full.first() {
            Some((_, Node::Leaf(leaf))) => Some(leaf.key(0)),
            _ => (self.open.leaf.len() > 0).then(|| self.open.leaf.key(0)),
        }
    }
}

/// Takes rows in strictly ascending key order and makes a tree of them; see the head of this file.
#[derive(Debug)]
pub struct TreeBuilder {
    open: Open,
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
            open: Open::new(),
            levels: Vec::new(),
        }
    }

    /// Adds a row, whose key must be greater than all before it; otherwise nothing is added and
    /// the answer is `false`. Amortised O(1) beside the copy of the bytes.
    #[must_use = "a row out of order is not added"]
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Self { open, levels } = self;
        open.push(key, value, |(lead, leaf)| add(levels, 0, lead, leaf))
    }

    /// Adds all rows of a part, whose keys must be greater than all before them; otherwise nothing
    /// is added and the answer is `false`. O(leaves).
    #[must_use = "a part out of order is not added"]
    pub fn append(&mut self, part: TreePart) -> bool {
        let (Some(last), Some(first)) = (self.open.last(), part.first()) else {
            if part.first().is_some() {
                let TreePart { full, open } = part;
                self.adopt(full, open);
            }
            return true;
        };
        if last >= first {
            return false;
        }
        if part.full.is_empty() {
            // Two leaves that are not full would be neighbours, so the rows move.
            let leaf = &part.open.leaf;
            return (0..leaf.len()).all(|at| {
                let (key, value) = leaf.entry(at);
                self.push(key, value)
            });
        }
        let separator: Box<[u8]> = heads::separator(last, first).into();
        let (lead, leaf) = self.open.close(Box::default());
        add(&mut self.levels, 0, lead, leaf);
        let TreePart { mut full, open } = part;
        if let Some((lead, _)) = full.first_mut() {
            *lead = separator;
        }
        self.adopt(full, open);
        true
    }

    /// Takes leaves behind all others, of which none is open.
    fn adopt(&mut self, full: Vec<Full>, open: Open) {
        for (lead, leaf) in full {
            add(&mut self.levels, 0, lead, leaf);
        }
        self.open = open;
    }

    /// The tree of all rows.
    #[must_use]
    pub fn finish(self) -> Tree {
        let Self {
            open: Open { mut leaf, lead },
            mut levels,
        } = self;
        if leaf.len() == 0 {
            return Tree::new();
        }
        let last = Node::Leaf(Arc::new(leaf.seal(0)));
        add(&mut levels, 0, lead, last);
        let mut height = 0;
        loop {
            let is_top = height + 1 == levels.len();
            if is_top && levels[height].children.len() == 1 {
                let root = levels[height].children.pop();
                return Tree { root };
            }
            close(&mut levels, height);
            height += 1;
        }
    }
}

/// Puts a finished node behind those of the level at `height`, where 0 is right above the leaves;
/// `separator` stands before it.
fn add(levels: &mut Vec<Level>, height: usize, separator: Box<[u8]>, node: Node) {
    if height == levels.len() {
        levels.push(Level::default());
    }
    if levels[height].children.len() == BRANCH_FILL {
        close(levels, height);
    }
    let level = &mut levels[height];
    if level.children.is_empty() {
        level.lead = separator;
    } else {
        level.separators.push(separator);
    }
    level.children.push(node);
}

/// Makes a branch of the open children at `height` and hands it up. Recursion is bounded by the
/// height of the tree.
fn close(levels: &mut Vec<Level>, height: usize) {
    let level = std::mem::take(&mut levels[height]);
    let branch = Branch::over(level.children, &level.separators);
    add(
        levels,
        height + 1,
        level.lead,
        Node::Branch(Arc::new(branch)),
    );
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
