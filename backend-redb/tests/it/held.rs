//! Views that are held while commits go on: what they make the file grow by, and what a crash
//! beside them costs.
//!
//! Invariants: beside a held view the file grows as it does without quick repair, give or take a
//! fixed amount; a crash beside an old view costs a walk and no commit; a crash beside a young
//! view, or after a commit that found no old one, costs no walk.

use std::collections::VecDeque;

use backend_kit::RawEngine;
use backend_redb::{CommitStrategy, RedbEngine};
use storage_api::{Durability, Location, Reader, Writer};

use crate::support::{A, Disk, Opening, all, change};

const KEYS: u64 = 2_000;

/// Commits after which a view is old for sure. Source: `CommitStrategy::QuickRepair`.
const OLD_FROM: u64 = 64;
/// Commits beside a view that is young for sure.
const YOUNG_TO: u64 = 32;

/// An engine on a disk that the test can look at.
struct Node {
    engine: RedbEngine,
    disk: Disk,
    directory: tempfile::TempDir,
    commits: u64,
}

impl Node {
    fn new(strategy: CommitStrategy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let on = disk.clone();
        let mut opening = Opening::fresh().on(move || Box::new(on.clone()));
        opening.redb.commit_strategy = strategy;
        let (engine, _) = opening.at(Location::Directory(directory.path())).unwrap();
        change(&engine, Durability::Durable, |txn| {
            (0..KEYS).try_for_each(|key| txn.put(A, &key.to_be_bytes(), &[1; 400]))
        });
        Self {
            engine,
            disk,
            directory,
            commits: 0,
        }
    }

    /// Four keys, spread over all of them, get the number of the commit as their value.
    fn commit(&mut self) {
        self.commits += 1;
        let commits = self.commits;
        change(&self.engine, Durability::Durable, |txn| {
            (0..4u64).try_for_each(|number| {
                let key = (commits * 4 + number).wrapping_mul(0x9e37_79b9) % KEYS;
                txn.put(A, &key.to_be_bytes(), &commits.to_be_bytes().repeat(50))
            })
        });
    }

    fn commit_many(&mut self, commits: u64) {
        (0..commits).for_each(|_| self.commit());
    }

    /// Opens what a killed process leaves now, finds the last commit whole, and says whether that
    /// took a walk.
    fn crash_walks(&self) -> bool {
        let copy = Disk::of(self.disk.image());
        let opening = Opening::again().on(move || Box::new(copy.clone()));
        let (again, opened) = opening
            .at(Location::Directory(self.directory.path()))
            .unwrap();
        let found = all(&again.view().unwrap(), A);
        assert!(
            found == all(&self.engine.view().unwrap(), A),
            "a commit is lost"
        );
        let recovered = opened.recovered.unwrap();
        let walks = recovered.contains("walked every page");
        assert!(
            walks || recovered.contains("took the last durable commit as it was"),
            "{recovered}"
        );
        walks
    }
}

fn growth_bytes(strategy: CommitStrategy, commits: u64) -> u64 {
    let mut node = Node::new(strategy);
    let start_bytes = node.engine.used_bytes();
    let view = node.engine.view().unwrap();
    let first = all(&view, A);
    node.commit_many(commits);
    assert!(all(&view, A) == first, "the view changed");
    let growth_bytes = node.engine.used_bytes() - start_bytes;
    drop(view);
    // What was pinned is free again, and enough for as many commits.
    node.commit_many(commits);
    assert!(node.engine.used_bytes() <= start_bytes + growth_bytes + (1 << 20));
    let quick = strategy == CommitStrategy::QuickRepair;
    assert_eq!(node.crash_walks(), !quick, "{strategy:?} after the view");
    growth_bytes
}

/// A store of 20,000 commits beside one forgotten view had grown to 10 GB, against 0.8 GB without
/// quick repair: each commit wrote the allocator's state, which is as long as the file is large,
/// and the view pinned every copy of it, so the file grew with the square of the commits.
#[test]
fn a_forgotten_view_costs_what_it_costs_without_quick_repair() {
    let mut last = None;
    for commits in [375, 750, 1_500] {
        let quick = growth_bytes(CommitStrategy::QuickRepair, commits);
        let plain = growth_bytes(CommitStrategy::TwoPhase, commits);
        println!("{commits} commits: quick repair {quick}, two-phase {plain}");
        assert!(quick <= 2 * plain, "{commits}: {quick} and {plain}");
        // What quick repair adds does not grow with the commits.
        let more = quick.saturating_sub(plain);
        if let Some(before) = last.replace(more) {
            assert!(more <= before + before / 4, "{before}, then {more}");
        }
    }
}

#[test]
fn a_crash_walks_beside_an_old_view_and_at_no_other_time() {
    let mut node = Node::new(CommitStrategy::QuickRepair);
    // Wherever the view falls among the commits that are counted.
    for start in [0, 1, 31, 45] {
        node.commit_many(start);
        assert!(!node.crash_walks(), "{start}: no view");
        let view = node.engine.view().unwrap();
        let many = node.engine.views(3).unwrap();
        node.commit_many(YOUNG_TO);
        assert!(!node.crash_walks(), "{start}: the view is young");
        node.commit_many(OLD_FROM - YOUNG_TO + 1);
        assert!(node.crash_walks(), "{start}: the view is old");
        drop(view);
        node.commit();
        assert!(node.crash_walks(), "{start}: three more are as old");
        let young = node.engine.view().unwrap();
        drop(many);
        assert!(node.crash_walks(), "{start}: no commit since");
        node.commit();
        assert!(!node.crash_walks(), "{start}: only a young view is left");
        drop(young);
    }
}

/// Reads come and go beside a busy writer, and some of them are always under way.
#[test]
fn short_views_never_cost_a_walk() {
    let mut node = Node::new(CommitStrategy::QuickRepair);
    let mut views = VecDeque::new();
    for commit in 0..300 {
        views.push_back(node.engine.view().unwrap());
        if views.len() as u64 > YOUNG_TO {
            views.pop_front();
        }
        node.commit();
        if commit % 20 == 0 {
            assert!(!node.crash_walks(), "commit {commit}");
        }
    }
}

/// Closing writes the allocator's state whatever lived beside the last commit, and so does a
/// compaction, which waits for no next commit.
#[test]
fn closing_beside_an_old_view_and_compacting_after_it_cost_no_walk() {
    let mut node = Node::new(CommitStrategy::QuickRepair);
    let view = node.engine.view().unwrap();
    node.commit_many(OLD_FROM + 1);
    assert!(node.crash_walks());
    drop(view);
    node.engine.compact().unwrap();
    assert!(!node.crash_walks());
    let view = node.engine.view().unwrap();
    node.commit_many(OLD_FROM + 1);
    assert!(node.crash_walks());
    let rows = all(&node.engine.view().unwrap(), A);
    drop(node.engine);
    // The view keeps the database open until it drops.
    assert!(view.get(A, &0u64.to_be_bytes()).unwrap().is_some());
    drop(view);
    let disk = node.disk;
    let opening = Opening::again().on(move || Box::new(disk.clone()));
    let (again, opened) = opening
        .at(Location::Directory(node.directory.path()))
        .unwrap();
    assert_eq!(opened.recovered, None);
    assert!(all(&again.view().unwrap(), A) == rows);
}
