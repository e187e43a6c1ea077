//! Edits of a subtree: insert, remove one key, remove a range.
//!
//! Every function takes the node by `&mut` and copies what another version shares on its way down,
//! so that no other version ever sees a change. Recursion is bounded by the height of the tree.
//! Invariants kept: those of `leaf` and `branch`, and no two neighbouring children of a branch are
//! both underfull. Nodes left empty are the caller's to drop.

use std::sync::Arc;

use super::branch::{BRANCH_CAPACITY, Branch, Node};
use super::heads;
use super::leaf::Leaf;

/// The upper half of a node that was split: the least string its keys may start at, and the node.
pub(super) type Split = (Box<[u8]>, Node);

/// What an insert did below.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    /// Length of the value that was replaced, if there was one.
    pub(super) replaced_len: Option<usize>,
    /// The node to be put behind the one that was given.
    pub(super) split: Option<Split>,
}

/// Whether the node is the last one of its level; an append there splits unevenly, so that keys
/// written in ascending order leave full nodes behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// No key of the tree is greater than those of this node.
    Last,
    /// Some other place.
    Inner,
}

/// Stores `value` under `key` in the subtree.
pub(super) fn insert(node: &mut Node, key: &[u8], value: &[u8], edge: Edge) -> Inserted {
    match node {
        Node::Leaf(leaf) => insert_in_leaf(leaf, key, value, edge),
        Node::Branch(branch) => {
            // Routing reads the node before its counter is locked, which waits for the cache once.
            let at = branch.route(key);
            edit_branch(branch, |branch| {
                insert_in_branch(branch, at, key, value, edge)
            })
        }
    }
}

fn insert_in_branch(
    branch: &mut Branch,
    at: usize,
    key: &[u8],
    value: &[u8],
    edge: Edge,
) -> Inserted {
    let below = if at + 1 == branch.len() {
        edge
    } else {
        Edge::Inner
    };
    let edited = branch.edit_child(at, |child| {
        let was_underfull = child.is_underfull();
        let inserted = insert(child, key, value, below);
        (inserted, child.is_underfull() && !was_underfull)
    });
    let (inserted, became_underfull) = edited.unwrap_or_default();
    // A shorter value can shrink a leaf; a split cannot have happened then.
    if became_underfull {
        branch.settle(at);
    }
    let Some((separator, right)) = inserted.split else {
        return inserted;
    };
    let mut split = None;
    if branch.has_room() {
        branch.add_after(at, &separator, right);
    } else {
        let cut = if below == Edge::Last {
            BRANCH_CAPACITY - 1
        } else {
            BRANCH_CAPACITY / 2
        };
        let (middle, mut upper) = branch.split_off(cut);
        if at < cut {
            branch.add_after(at, &separator, right);
        } else {
            upper.add_after(at - cut, &separator, right);
        }
        split = Some((middle, Node::Branch(Arc::new(upper))));
    }
    Inserted { split, ..inserted }
}

fn insert_in_leaf(leaf: &mut Arc<Leaf>, key: &[u8], value: &[u8], edge: Edge) -> Inserted {
    let place = leaf.find(key);
    let replaced_len = place.ok().map(|at| leaf.entry(at).1.len());
    if leaf.has_room(place, key, value) {
        edit_leaf(leaf, key.len() + value.len(), |leaf| {
            put(leaf, place, key, value);
        });
        return Inserted {
            replaced_len,
            split: None,
        };
    }
    if edge == Edge::Last && place == Err(leaf.len()) {
        let separator = heads::separator(leaf.key(leaf.len() - 1), key).into();
        let right = Node::Leaf(Arc::new(Leaf::single(key, value)));
        return Inserted {
            replaced_len,
            split: Some((separator, right)),
        };
    }
    let middle = leaf.split_point();
    let (mut left, mut right) = leaf.split(middle, key.len() + value.len());
    match place {
        Ok(at) if at < middle => left.replace_at(at, key, value),
        Ok(at) => right.replace_at(at - middle, key, value),
        Err(at) if at <= middle => left.insert_at(at, key, value),
        Err(at) => right.insert_at(at - middle, key, value),
    }
    let separator = heads::separator(left.key(left.len() - 1), right.key(0)).into();
    *leaf = Arc::new(left);
    Inserted {
        replaced_len,
        split: Some((separator, Node::Leaf(Arc::new(right)))),
    }
}

fn put(leaf: &mut Leaf, place: Result<usize, usize>, key: &[u8], value: &[u8]) {
    match place {
        Ok(at) => leaf.replace_at(at, key, value),
        Err(at) => leaf.insert_at(at, key, value),
    }
}

/// Edits the leaf in place when no other version has it; else edits a copy, and only then puts
/// that behind a counter, since a locked instruction would wait for the copied bytes.
fn edit_leaf(leaf: &mut Arc<Leaf>, spare_bytes: usize, edit: impl FnOnce(&mut Leaf)) {
    if Arc::strong_count(leaf) == 1
        && let Some(own) = Arc::get_mut(leaf)
    {
        return edit(own);
    }
    let mut copy = leaf.copy(spare_bytes);
    edit(&mut copy);
    *leaf = Arc::new(copy);
}

/// The same for a branch.
fn edit_branch<T>(branch: &mut Arc<Branch>, edit: impl FnOnce(&mut Branch) -> T) -> T {
    if Arc::strong_count(branch) == 1
        && let Some(own) = Arc::get_mut(branch)
    {
        return edit(own);
    }
    let mut copy = Branch::clone(branch);
    let result = edit(&mut copy);
    *branch = Arc::new(copy);
    result
}

/// Removes `key`, which must be present, from the subtree.
pub(super) fn remove(node: &mut Node, key: &[u8]) {
    match node {
        Node::Leaf(leaf) => {
            if let Ok(at) = leaf.find(key) {
                edit_leaf(leaf, 0, |leaf| leaf.remove(at..at + 1));
            }
        }
        Node::Branch(branch) => {
            let at = branch.route(key);
            edit_branch(branch, |branch| {
                branch.edit_child(at, |child| remove(child, key));
                tidy(branch, at);
            });
        }
    }
}

/// Removes the keys from `start` (from the first without one) up to, but not including, `end`
/// (through the last without one). At least one key of the subtree must be in that range, or a
/// shared node is copied for nothing.
pub(super) fn remove_range(node: &mut Node, start: Option<&[u8]>, end: Option<&[u8]>) {
    match node {
        Node::Leaf(leaf) => {
            let from = start.map_or(0, |key| lower_bound(leaf, key));
            let to = end.map_or(leaf.len(), |key| lower_bound(leaf, key));
            if from < to {
                edit_leaf(leaf, 0, |leaf| leaf.remove(from..to));
            }
        }
        Node::Branch(branch) => {
            edit_branch(branch, |branch| remove_range_in_branch(branch, start, end));
        }
    }
}

fn remove_range_in_branch(branch: &mut Branch, start: Option<&[u8]>, end: Option<&[u8]>) {
    let from = start.map_or(0, |key| branch.route(key));
    let to = end.map_or(branch.len() - 1, |key| branch.route(key));
    if from == to {
        branch.edit_child(from, |child| remove_range(child, start, end));
        tidy(branch, from);
        return;
    }
    // Whole subtrees go first, so that only the two at the ends are left to edit.
    let first = if start.is_some() { from + 1 } else { from };
    let last = if end.is_some() { to } else { branch.len() };
    branch.drop_children(first..last);
    if end.is_some() {
        branch.edit_child(first, |child| remove_range(child, None, end));
        drop_if_empty(branch, first);
    }
    if start.is_some() {
        branch.edit_child(from, |child| remove_range(child, start, None));
        drop_if_empty(branch, from);
    }
    branch.settle(from + 1);
    branch.settle(from);
}

/// The index of the first key of `leaf` that is not below `key`.
pub(super) fn lower_bound(leaf: &Leaf, key: &[u8]) -> usize {
    leaf.find(key).unwrap_or_else(|at| at)
}

/// Drops the child at `at` if an edit emptied it, and merges what is there then if it is underfull.
fn tidy(branch: &mut Branch, at: usize) {
    drop_if_empty(branch, at);
    branch.settle(at);
}

fn drop_if_empty(branch: &mut Branch, at: usize) {
    if branch
        .child(at)
        .is_some_and(|child| child.totals().entries == 0)
    {
        branch.drop_children(at..at + 1);
    }
}
