//! An ordered map from byte strings to byte strings whose clones are snapshots.
//!
//! [`Tree`] is a copy-on-write B+tree: a clone shares every node and costs one counter increment;
//! a write copies only the shared nodes on its path, and edits nodes that no clone shares in
//! place. Leaves are packed (`leaf`), inner nodes are narrow (`branch`), both search by key heads
//! (`heads`), and `many` runs the descents of a group of keys side by side. It knows no table,
//! transaction or lock: readers take clones, one writer owns one tree. Keys and values may have any
//! length, also none; order is unsigned lexicographic.
//!
//! Invariants: a tree never changes through a write to another one, however they were cloned; an
//! empty tree has no node; all leaves are non-empty and at one depth; `len` and the sizes are
//! exact sums. Reads and single writes cost O(log n) and reads never allocate.

mod branch;
mod build;
#[cfg(test)]
mod check;
mod cursor;
mod edit;
mod heads;
mod leaf;
mod many;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;

use branch::{Branch, Node};
use edit::{Edge, Inserted};
use leaf::Leaf;

pub use build::{TreeBuilder, TreePart};
pub use cursor::Cursor;

/// The sums that every subtree knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    entries: usize,
    payload_bytes: usize,
    heap_bytes: usize,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.payload_bytes += other.payload_bytes;
        self.heap_bytes += other.heap_bytes;
    }
}

impl SubAssign for Totals {
    fn sub_assign(&mut self, other: Self) {
        self.entries -= other.entries;
        self.payload_bytes -= other.payload_bytes;
        self.heap_bytes -= other.heap_bytes;
    }
}

/// A persistent ordered map; see the head of this module.
#[derive(Clone, Default)]
pub struct Tree {
    root: Option<Node>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Tree");
        fields
            .field("len", &self.len())
            .field("payload_bytes", &self.payload_bytes());
        fields.finish_non_exhaustive()
    }
}

impl Tree {
    /// An empty tree; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None }
    }

    /// Number of entries, exact, in O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        self.totals().entries
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Bytes of all keys and values, exact, in O(1).
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.totals().payload_bytes
    }

    /// Heap bytes that this version alone would take, in O(1): node and buffer capacities plus a
    /// constant per allocation. Parts shared with clones are counted in each of them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.totals().heap_bytes
    }

    fn totals(&self) -> Totals {
        self.root.as_ref().map(Node::totals).unwrap_or_default()
    }

    /// The value stored under `key`, borrowed from the tree.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Branch(branch) => node = branch.child(branch.route(key))?,
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|at| leaf.entry(at).1),
            }
        }
    }

    /// Whether `key` is present.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Stores `value` under `key`; the length of the value that it replaced is returned.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Option<usize> {
        let Some(root) = &mut self.root else {
            self.root = Some(Node::Leaf(Arc::new(Leaf::single(key, value))));
            return None;
        };
        let Inserted {
            replaced_len,
            split,
        } = edit::insert(root, key, value, Edge::Last);
        if let Some((separator, right)) = split {
            let pair = Branch::pair(root.clone(), &separator, right);
            *root = Node::Branch(Arc::new(pair));
        }
        replaced_len
    }

    /// Removes `key`; whether it was present.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if !self.contains(key) {
            return false;
        }
        if let Some(root) = &mut self.root {
            edit::remove(root, key);
        }
        self.lower_root();
        true
    }

    /// Removes the keys from `start` up to, but not including, `end` (all that follow when there
    /// is none), and returns how many there were. Subtrees inside the range are dropped whole:
    /// O(log n) plus the release of the nodes that no clone shares. A reversed range is empty.
    pub fn remove_range(&mut self, start: &[u8], end: Option<&[u8]>) -> usize {
        let removed = self.count_range(start, end);
        if removed == self.len() {
            self.root = None;
        } else if removed > 0 {
            if let Some(root) = &mut self.root {
                edit::remove_range(root, Some(start), end);
            }
            self.lower_root();
        }
        removed
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.root = None;
    }

    /// How many keys there are from `start` up to, but not including, `end` (to the last key when
    /// there is none), exact, in O(log n).
    #[must_use]
    pub fn count_range(&self, start: &[u8], end: Option<&[u8]>) -> usize {
        let before_end = end.map_or(self.len(), |end| self.rank(end));
        before_end.saturating_sub(self.rank(start))
    }

    /// How many keys are smaller than `key`, exact, in O(log n).
    #[must_use]
    pub fn rank(&self, key: &[u8]) -> usize {
        let mut smaller = 0;
        let mut next = self.root.as_ref();
        while let Some(node) = next {
            match node {
                Node::Leaf(leaf) => return smaller + edit::lower_bound(leaf, key),
                Node::Branch(branch) => {
                    let at = branch.route(key);
                    let before = branch.children().take(at);
                    smaller += before.map(|child| child.totals().entries).sum::<usize>();
                    next = branch.child(at);
                }
            }
        }
        smaller
    }

    /// A cursor that stands before the first entry.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self.root.as_ref())
    }

    /// Takes away root levels that no longer branch.
    fn lower_root(&mut self) {
        loop {
            let only_child = match &self.root {
                Some(Node::Branch(branch)) if branch.len() <= 1 => branch.child(0).cloned(),
                Some(Node::Leaf(leaf)) if leaf.len() == 0 => None,
                _ => return,
            };
            self.root = only_child;
        }
    }
}
