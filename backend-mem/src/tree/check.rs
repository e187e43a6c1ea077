//! Invariant checker for tests: walks a whole tree and compares every stored sum, separator and
//! head with what the entries say. Must hold after every edit. O(n).

use super::branch::{BRANCH_CAPACITY, Node};
use super::leaf::LEAF_CAPACITY;
use super::{Totals, Tree};

/// What holds for all keys of a subtree: at or above `low`, below `high`.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    low: Option<&'a [u8]>,
    high: Option<&'a [u8]>,
}

/// Asserts every invariant of `tree`.
pub(super) fn check(tree: &Tree) {
    let Some(root) = &tree.root else {
        assert_eq!(tree.len(), 0);
        return;
    };
    if let Node::Branch(branch) = root {
        assert!(branch.len() > 1, "a root with one child");
    }
    let mut depths = Vec::new();
    let totals = check_node(
        root,
        Bounds {
            low: None,
            high: None,
        },
        0,
        &mut depths,
    );
    assert_eq!(totals, tree.totals());
    assert!(
        depths.iter().all(|depth| *depth == depths[0]),
        "leaves at several depths"
    );
    assert!(depths[0] <= 40, "depth {}", depths[0]);
    assert!(!tree.is_empty() && tree.memory_bytes() >= tree.payload_bytes());
}

fn check_node(node: &Node, bounds: Bounds<'_>, depth: usize, depths: &mut Vec<usize>) -> Totals {
    let totals = match node {
        Node::Leaf(leaf) => {
            depths.push(depth);
            assert!(
                (1..=LEAF_CAPACITY).contains(&leaf.len()),
                "leaf of {}",
                leaf.len()
            );
            leaf.check();
            let in_bounds = |key: &[u8]| {
                bounds.low.is_none_or(|low| low <= key) && bounds.high.is_none_or(|high| key < high)
            };
            assert!(
                (0..leaf.len()).all(|at| in_bounds(leaf.key(at))),
                "key beyond a separator"
            );
            leaf.totals()
        }
        Node::Branch(branch) => {
            assert!(
                (1..=BRANCH_CAPACITY).contains(&branch.len()),
                "branch of {}",
                branch.len()
            );
            branch.check();
            let mut below = Totals::default();
            for (index, child) in branch.children().enumerate() {
                let low = index.checked_sub(1).map(|before| branch.separator(before));
                let high = (index + 1 < branch.len()).then(|| branch.separator(index));
                let inner = Bounds {
                    low: low.or(bounds.low),
                    high: high.or(bounds.high),
                };
                assert!(inner.low.is_none() || bounds.low.is_none() || inner.low >= bounds.low);
                below += check_node(child, inner, depth + 1, depths);
                let pair = branch.is_child_underfull(index) && branch.is_child_underfull(index + 1);
                assert!(!pair, "two underfull neighbours");
            }
            let totals = branch.totals();
            assert_eq!(below.entries, totals.entries);
            assert_eq!(below.payload_bytes, totals.payload_bytes);
            assert!(below.heap_bytes + size_of_val(&**branch) <= totals.heap_bytes);
            totals
        }
    };
    assert_eq!(totals, node.totals());
    totals
}
