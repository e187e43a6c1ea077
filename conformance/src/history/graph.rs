//! Who must come before whom: edges between transactions, and circles in them.
//!
//! Invariant: an edge stands for an order that every serial explanation must have. Cost: a search
//! is linear in the edges.

use std::collections::VecDeque;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Edge {
    /// It wrote the version before.
    WriteWrite,
    /// It wrote what the other read.
    WriteRead,
    /// It read the version before the one that the other wrote.
    ReadWrite,
    /// It had ended before the other began.
    RealTime,
}

/// Edges between transactions.
#[derive(Debug)]
pub(super) struct Graph {
    edges: Vec<Vec<(usize, Edge)>>,
}

impl Graph {
    pub(super) fn new(txns: usize) -> Self {
        Self {
            edges: vec![Vec::new(); txns],
        }
    }

    /// Adds an edge; one from a transaction to itself says nothing.
    pub(super) fn add(&mut self, from: usize, to: usize, edge: Edge) {
        if from != to && !self.edges[from].contains(&(to, edge)) {
            self.edges[from].push((to, edge));
        }
    }

    /// Adds an edge that is not there yet.
    pub(super) fn add_new(&mut self, from: usize, to: usize, edge: Edge) {
        self.edges[from].push((to, edge));
    }

    /// Every edge.
    pub(super) fn edges(&self) -> impl Iterator<Item = (usize, usize, Edge)> {
        let of = |(from, to): (usize, &Vec<(usize, Edge)>)| {
            let edges = to.iter().map(move |(to, edge)| (from, *to, *edge));
            edges.collect::<Vec<_>>()
        };
        self.edges.iter().enumerate().flat_map(of)
    }

    /// Whether there is this edge.
    pub(super) fn has(&self, from: usize, to: usize, edge: Edge) -> bool {
        self.edges[from].contains(&(to, edge))
    }

    /// The shortest way over edges of these kinds, both ends included.
    pub(super) fn way(&self, from: usize, to: usize, kinds: &[Edge]) -> Option<Vec<usize>> {
        let mut before: Vec<Option<usize>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            for (next, edge) in &self.edges[at] {
                if !kinds.contains(edge) || before[*next].is_some() || *next == from {
                    continue;
                }
                before[*next] = Some(at);
                if *next == to {
                    let mut way = vec![to];
                    let mut at = to;
                    while let Some(previous) = before[at] {
                        way.push(previous);
                        at = previous;
                    }
                    way.reverse();
                    return Some(way);
                }
                queue.push_back(*next);
            }
        }
        None
    }

    /// Whether edges of these kinds form a circle. Cost: one pass (Kahn, 1962), which spares the
    /// searches for one where there is none.
    pub(super) fn is_circular(&self, kinds: &[Edge]) -> bool {
        let counts = |edge: &&(usize, Edge)| kinds.contains(&edge.1);
        let mut before = vec![0usize; self.edges.len()];
        for (to, _) in self.edges.iter().flatten().filter(counts) {
            before[*to] += 1;
        }
        let mut free: Vec<usize> = (0..before.len()).filter(|at| before[*at] == 0).collect();
        let mut placed = 0;
        while let Some(at) = free.pop() {
            placed += 1;
            for (to, _) in self.edges[at].iter().filter(counts) {
                before[*to] -= 1;
                if before[*to] == 0 {
                    free.push(*to);
                }
            }
        }
        placed < before.len()
    }

    /// A circle that begins with an edge of the first kind and goes on over the others; the
    /// transactions in order, the first one once.
    pub(super) fn circle(&self, first: Edge, rest: &[Edge]) -> Option<Vec<usize>> {
        let kinds: Vec<Edge> = rest.iter().copied().chain([first]).collect();
        if !self.is_circular(&kinds) {
            return None;
        }
        self.edges()
            .filter(|(_, _, edge)| *edge == first)
            .find_map(|(from, to, _)| self.way(to, from, rest))
    }
}
