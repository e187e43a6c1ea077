//! Branch: an inner node, its children in key order and the separators between them.
//!
//! Separator `i` stands between child `i` and child `i + 1`: every key under child `i` is smaller,
//! every key under child `i + 1` is equal or greater. Separators are as short as that allows, so
//! that their heads nearly always decide a route without a look at the bytes, which are shared
//! between versions of the branch (overwrites never change them).
//!
//! The branch is deliberately narrow: copying a shared branch costs one counter increment per
//! child, and that, not the depth, is what a batch of writes beside a snapshot pays for.
//!
//! Invariants: `heads` are those of the separators after their common prefix of `skip` bytes;
//! `below` is the sum of the children's totals; all leaves are at the same depth; only the edit in
//! progress may leave a branch with no child. Routing costs one pass over the heads.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::Totals;
use super::heads::{self, PAD};
use super::leaf::{ALLOCATION_OVERHEAD_BYTES, Leaf};

/// Most children of a branch.
pub(super) const BRANCH_CAPACITY: usize = 24;
/// A branch with fewer children is underfull and is merged with a neighbour that has room.
const BRANCH_MIN_CHILDREN: usize = BRANCH_CAPACITY / 4;

/// A subtree; cloning it is one counter increment.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Entries.
    Leaf(Arc<Leaf>),
    /// Children one level down.
    Branch(Arc<Branch>),
}

impl Node {
    /// Entries, payload and heap of the whole subtree, in O(1).
    #[inline]
    pub(super) fn totals(&self) -> Totals {
        match self {
            Self::Leaf(leaf) => leaf.totals(),
            Self::Branch(branch) => branch.totals(),
        }
    }

    pub(super) fn is_underfull(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_underfull(),
            Self::Branch(branch) => branch.len() < BRANCH_MIN_CHILDREN,
        }
    }
}

/// The separators of a branch, back to back.
#[derive(Clone, Debug, Default)]
struct Separators {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Separators {
    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn push(&mut self, separator: &[u8]) {
        self.bytes.extend_from_slice(separator);
        self.ends.push(self.bytes.len());
    }

    fn extend(&mut self, from: &Self, range: Range<usize>) {
        range.for_each(|index| self.push(from.get(index)));
    }

    fn heap_bytes(&self) -> usize {
        let buffers = self.bytes.capacity() + self.ends.capacity() * size_of::<usize>();
        buffers + size_of::<Self>() + 4 * ALLOCATION_OVERHEAD_BYTES
    }
}

/// See the head of this file.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Branch {
    len: u32,
    skip: u32,
    separators: Arc<Separators>,
    below: Totals,
    heads: [u64; BRANCH_CAPACITY],
    children: [Option<Node>; BRANCH_CAPACITY],
}

impl Clone for Branch {
    fn clone(&self) -> Self {
        self.touch_children();
        Self {
            len: self.len,
            skip: self.skip,
            separators: Arc::clone(&self.separators),
            below: self.below,
            heads: self.heads,
            children: self.children.clone(),
        }
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        self.touch_children();
        for child in self.children() {
            if let Node::Leaf(leaf) = child
                && Arc::strong_count(leaf) == 1
            {
                leaf.touch_buffers();
            }
        }
    }
}

impl Branch {
    /// A branch over two neighbours.
    pub(super) fn pair(left: Node, separator: &[u8], right: Node) -> Self {
        let mut separators = Separators::default();
        separators.push(separator);
        Self::of([left, right], separators)
    }

    /// A branch over `children`, at most [`BRANCH_CAPACITY`], with one separator less.
    pub(super) fn over(children: Vec<Node>, separators: &[Box<[u8]>]) -> Self {
        let mut packed = Separators::default();
        separators
            .iter()
            .for_each(|separator| packed.push(separator));
        Self::of(children, packed)
    }

    /// The same with separators that are packed already.
    fn of(children: impl IntoIterator<Item = Node>, separators: Separators) -> Self {
        let mut branch = Self {
            len: 0,
            skip: 0,
            below: Totals::default(),
            heads: [PAD; BRANCH_CAPACITY],
            children: [const { None }; BRANCH_CAPACITY],
            separators: Arc::default(),
        };
        for (place, child) in branch.children.iter_mut().zip(children) {
            branch.below += child.totals();
            *place = Some(child);
            branch.len += 1;
        }
        branch.set_separators(separators);
        branch
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Entries, payload and heap of the subtree, this node included.
    #[inline]
    pub(super) fn totals(&self) -> Totals {
        let own = size_of::<Self>() + 2 * ALLOCATION_OVERHEAD_BYTES + self.separators.heap_bytes();
        Totals {
            heap_bytes: self.below.heap_bytes + own,
            ..self.below
        }
    }

    /// The child at `index`, if there is one.
    #[inline]
    pub(super) fn child(&self, index: usize) -> Option<&Node> {
        self.children.get(index).and_then(Option::as_ref)
    }

    /// All children in key order.
    pub(super) fn children(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.children[..self.len()].iter().flatten()
    }

    /// The separator between child `index` and the next.
    pub(super) fn separator(&self, index: usize) -> &[u8] {
        self.separators.get(index)
    }

    /// The index of the only child that may hold `key`.
    #[inline(always)]
    pub(super) fn route(&self, key: &[u8]) -> usize {
        let count = self.len().saturating_sub(1);
        let skip = self.skip as usize;
        if skip > 0 {
            match heads::against_prefix(key, &self.separator(0)[..skip]) {
                Ordering::Less => return 0,
                Ordering::Greater => return count,
                Ordering::Equal => {}
            }
        }
        let wanted = heads::head(key, skip);
        let Range {
            start: mut low,
            end: mut high,
        } = heads::equal_heads(&self.heads[..count], wanted);
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Runs `edit` on the child at `index` and keeps the totals right. `None` when there is none.
    #[inline]
    pub(super) fn edit_child<T>(
        &mut self,
        index: usize,
        edit: impl FnOnce(&mut Node) -> T,
    ) -> Option<T> {
        let child = self.children.get_mut(index)?.as_mut()?;
        let before = child.totals();
        let result = edit(child);
        self.below += child.totals();
        self.below -= before;
        Some(result)
    }

    /// Brings the counters of the children into the cache, before each of them is changed.
    pub(super) fn touch_children(&self) {
        heads::touch(&self.separators.ends.len());
        for child in self.children() {
            match child {
                Node::Leaf(leaf) => leaf.touch(),
                Node::Branch(branch) => heads::touch(&branch.len),
            }
        }
    }

    /// Whether one more child fits.
    pub(super) fn has_room(&self) -> bool {
        self.len() < BRANCH_CAPACITY
    }

    /// Whether the child at `index` is underfull.
    pub(super) fn is_child_underfull(&self, index: usize) -> bool {
        self.child(index).is_some_and(Node::is_underfull)
    }

    /// Puts `node`, whose keys start at `separator`, behind the child at `index`. There must be
    /// room.
    pub(super) fn add_after(&mut self, index: usize, separator: &[u8], node: Node) {
        let len = self.len();
        self.below += node.totals();
        self.children[index + 1..=len].rotate_right(1);
        self.children[index + 1] = Some(node);
        self.len += 1;
        let mut separators = Separators::default();
        separators.extend(&self.separators, 0..index);
        separators.push(separator);
        separators.extend(&self.separators, index..len - 1);
        self.set_separators(separators);
    }

    /// Moves the children from `at` on into a new branch, and gives the separator between the two.
    /// Needs `0 < at < len`.
    pub(super) fn split_off(&mut self, at: usize) -> (Box<[u8]>, Self) {
        let len = self.len();
        let (mut left, mut right) = (Separators::default(), Separators::default());
        left.extend(&self.separators, 0..at - 1);
        right.extend(&self.separators, at..len - 1);
        let middle = Box::from(self.separator(at - 1));
        let moved = self.children[at..len].iter_mut().filter_map(Option::take);
        let right = Self::of(moved, right);
        self.below -= right.below;
        self.len = at as u32;
        self.set_separators(left);
        (middle, right)
    }

    /// Drops the children in `range` with all that is below them, without visiting their entries.
    pub(super) fn drop_children(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let len = self.len();
        for child in &mut self.children[range.clone()] {
            if let Some(node) = child.take() {
                self.below -= node.totals();
            }
        }
        self.children[range.start..len].rotate_left(range.len());
        self.len -= range.len() as u32;
        // A dropped child takes the separator before it along; the first ones take those behind.
        let cut = range.start.saturating_sub(1)..range.end.saturating_sub(1);
        let cut = if range.start == 0 {
            0..range.end.min(len - 1)
        } else {
            cut
        };
        let mut separators = Separators::default();
        separators.extend(&self.separators, 0..cut.start);
        separators.extend(&self.separators, cut.end..len - 1);
        self.set_separators(separators);
    }

    /// Merges the child at `index` with a neighbour while it is underfull and one has room.
    pub(super) fn settle(&mut self, index: usize) {
        let mut index = index;
        while self.is_child_underfull(index) {
            if index > 0 && self.merge_with_next(index - 1) {
                index -= 1;
            } else if !self.merge_with_next(index) {
                return;
            }
        }
    }

    /// Makes one child of the two at `index` and `index + 1`, if they fit with room to spare. Two
    /// underfull ones always do.
    fn merge_with_next(&mut self, index: usize) -> bool {
        let merged = match (self.child(index), self.child(index + 1)) {
            (Some(Node::Leaf(left)), Some(Node::Leaf(right))) if left.can_merge(right) => {
                Node::Leaf(Arc::new(left.merge(right)))
            }
            (Some(Node::Branch(left)), Some(Node::Branch(right)))
                if left.len() + right.len() <= BRANCH_CAPACITY / 4 * 3 =>
            {
                Node::Branch(Arc::new(left.merge(self.separator(index), right)))
            }
            _ => return false,
        };
        self.below += merged.totals();
        if let Some(left) = self.children[index].replace(merged) {
            self.below -= left.totals();
        }
        self.drop_children(index + 1..index + 2);
        true
    }

    /// One branch of two neighbours. The children that meet in the middle may both be underfull,
    /// so they are settled too; that recursion is bounded by the height.
    fn merge(&self, separator: &[u8], right: &Self) -> Self {
        let mut separators = Separators::default();
        separators.extend(&self.separators, 0..self.len().saturating_sub(1));
        separators.push(separator);
        separators.extend(&right.separators, 0..right.len().saturating_sub(1));
        let children = self.children().chain(right.children()).cloned();
        let mut merged = Self::of(children, separators);
        merged.settle(self.len());
        merged
    }

    /// Takes over the separators and derives prefix and heads from them.
    fn set_separators(&mut self, separators: Separators) {
        let count = separators.ends.len();
        let shared = match count {
            0 | 1 => 0,
            _ => heads::common_prefix(separators.get(0), separators.get(count - 1)),
        };
        let skip = u32::try_from(shared).unwrap_or(u32::MAX);
        self.skip = skip;
        self.heads = [PAD; BRANCH_CAPACITY];
        for (index, head) in self.heads[..count].iter_mut().enumerate() {
            *head = heads::head(separators.get(index), skip as usize);
        }
        self.separators = Arc::new(separators);
    }
}

#[cfg(test)]
impl Branch {
    /// Asserts the invariants in the head of this file that concern this node alone.
    pub(super) fn check(&self) {
        let count = self.len() - 1;
        assert_eq!(self.separators.ends.len(), count);
        assert!(self.children[..=count].iter().all(Option::is_some));
        assert!(self.children[self.len()..].iter().all(Option::is_none));
        let mut below = Totals::default();
        self.children().for_each(|child| below += child.totals());
        assert_eq!(below, self.below);
        let separators: Vec<&[u8]> = (0..count).map(|index| self.separator(index)).collect();
        assert!(
            separators.is_sorted_by(|left, right| left < right),
            "separator order"
        );
        for (index, separator) in separators.iter().enumerate() {
            assert!(separator.starts_with(&separators[0][..self.skip as usize]));
            assert_eq!(
                self.heads[index],
                heads::head(separator, self.skip as usize)
            );
            assert_eq!(self.route(separator), index + 1);
        }
        assert!(self.heads[count..].iter().all(|head| *head == PAD));
    }
}
