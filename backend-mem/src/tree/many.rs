//! Many keys at once: the descents of a group of keys run level by level, side by side.
//!
//! A descent in a large tree is a chain of cache misses, one behind the other. A group has as many
//! independent chains as keys, so that the processor waits for all of them together. Nothing here
//! changes what a read means; a result is exactly that of the keys one by one. Cost: that of the
//! single reads in instructions, a fraction of it in time once the tree outgrows the caches.

use std::sync::Arc;

use super::Tree;
use super::branch::Node;

/// Keys whose descents run side by side.
const GROUP_LEN: usize = 16;

/// Whether the nodes on the way are about to be read or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Only the way itself matters.
    Read,
    /// A shared branch will be copied, which changes the counters of all its children.
    Edit,
}

impl Tree {
    /// Gives `sink` the index and the value of every key, in the order of `keys`.
    pub fn get_many<'t, K: AsRef<[u8]>>(
        &'t self,
        keys: &[K],
        mut sink: impl FnMut(usize, Option<&'t [u8]>),
    ) {
        for (group, keys) in keys.chunks(GROUP_LEN).enumerate() {
            let nodes = self.leaves_of(keys, Purpose::Read);
            let mut found = [None; GROUP_LEN];
            for ((key, node), found) in keys.iter().zip(nodes).zip(&mut found) {
                if let Some(Node::Leaf(leaf)) = node {
                    *found = leaf.find(key.as_ref()).ok().map(|at| leaf.entry(at).1);
                }
            }
            for (index, value) in found[..keys.len()].iter().enumerate() {
                sink(group * GROUP_LEN + index, *value);
            }
        }
    }

    /// Reads the nodes that edits of `keys` will touch, so that the edits find them in the cache.
    /// A batch is fastest when it warms the next 16 keys or so, edits them, and goes on; more at
    /// once than the cache holds is wasted.
    pub fn warm<K: AsRef<[u8]>>(&self, keys: &[K]) {
        for keys in keys.chunks(GROUP_LEN) {
            let nodes = self.leaves_of(keys, Purpose::Edit);
            for (key, node) in keys.iter().zip(nodes) {
                if let Some(Node::Leaf(leaf)) = node {
                    leaf.touch_for_copy(key.as_ref());
                }
            }
        }
    }

    /// The leaf that may hold each of the keys, of which there are at most [`GROUP_LEN`].
    fn leaves_of<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        purpose: Purpose,
    ) -> [Option<&Node>; GROUP_LEN] {
        let mut nodes = [self.root.as_ref(); GROUP_LEN];
        while let Some(Node::Branch(_)) = nodes[0] {
            for (key, node) in keys.iter().zip(&mut nodes) {
                if let Some(Node::Branch(branch)) = *node {
                    if purpose == Purpose::Edit && Arc::strong_count(branch) > 1 {
                        branch.touch_children();
                    }
                    *node = branch.child(branch.route(key.as_ref()));
                }
            }
        }
        nodes
    }
}
