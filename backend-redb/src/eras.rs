//! [`Eras`]: whether a view lives that began many commits ago.
//!
//! A commit with quick repair writes the whole state of the page allocator anew, and frees the
//! pages of the one before only when no view is left that began earlier. What a view pins thus
//! grows with every commit by a part of the whole file, unless quick repair is left off while such
//! a view lives. Views are counted in two eras, this one and the one before, and an era ends after
//! [`ERA_COMMITS`] commits, once no view of the era before it is left.
//!
//! Invariants: a view keeps the era in which it was counted until it is gone; eras are ended by the
//! one write transaction alone. So at most twice [`ERA_COMMITS`] commits with quick repair are made
//! beside a view, however long it lives, and views that end within [`ERA_COMMITS`] commits never
//! take quick repair away. A view that is counted late is at worst taken for an older one. Cost:
//! one atomic addition when a view begins and one when it ends; a commit reads two numbers.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Durable commits in an era at the least. The state has two bits a page, in pages of a power of
/// two, so that 64 copies of it are less than a hundredth of a large file; and a read that lasts
/// for no more than 32 commits is everyday work.
const ERA_COMMITS: u32 = 32;

/// One of the two eras that views are counted in; they take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Even,
    Odd,
}

/// What a commit has to know about views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oldest {
    /// No view, or none that began long ago.
    Young,
    /// A view began at least [`ERA_COMMITS`] commits ago.
    Old,
}

/// Counts of the live views, by era.
#[derive(Debug, Default)]
pub(crate) struct Eras {
    even: AtomicU64,
    odd: AtomicU64,
    is_odd: AtomicBool,
    /// Commits of this era; no more are counted than it takes to end it.
    commits: AtomicU32,
}

impl Eras {
    fn now(&self) -> Era {
        if self.is_odd.load(Ordering::Relaxed) {
            Era::Odd
        } else {
            Era::Even
        }
    }

    fn views(&self, era: Era) -> &AtomicU64 {
        match era {
            Era::Even => &self.even,
            Era::Odd => &self.odd,
        }
    }

    /// Counts a view that is about to begin.
    pub(crate) fn enter(&self) -> Era {
        let era = self.now();
        self.views(era).fetch_add(1, Ordering::Relaxed);
        era
    }

    /// A view that was counted in this era is gone.
    pub(crate) fn leave(&self, era: Era) {
        self.views(era).fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a durable commit that is about to be made and says what lives beside it. Only the
    /// holder of the write transaction may call it.
    pub(crate) fn commit(&self) -> Oldest {
        let commits = self.commits.load(Ordering::Relaxed);
        if commits < ERA_COMMITS {
            self.commits.store(commits + 1, Ordering::Relaxed);
            return Oldest::Young;
        }
        let before = match self.now() {
            Era::Even => Era::Odd,
            Era::Odd => Era::Even,
        };
        if self.views(before).load(Ordering::Relaxed) > 0 {
            return Oldest::Old;
        }
        self.is_odd.store(before == Era::Odd, Ordering::Relaxed);
        self.commits.store(1, Ordering::Relaxed);
        Oldest::Young
    }
}

#[cfg(test)]
mod tests {
    use super::{ERA_COMMITS, Eras, Oldest};

    /// Commits until one is made beside an old view.
    fn young(eras: &Eras) -> Option<u32> {
        (0..1_000).find(|_| eras.commit() == Oldest::Old)
    }

    #[test]
    fn a_view_is_old_after_one_era_or_two_and_young_again_when_it_is_gone() {
        assert_eq!(young(&Eras::default()), None);
        for before in 0..3 * ERA_COMMITS {
            let eras = Eras::default();
            (0..before).for_each(|_| assert_eq!(eras.commit(), Oldest::Young));
            let (first, second) = (eras.enter(), eras.enter());
            let commits = young(&eras);
            let is_due = |commits| (ERA_COMMITS..=2 * ERA_COMMITS).contains(&commits);
            assert!(commits.is_some_and(is_due), "{commits:?}");
            let later = eras.enter();
            eras.leave(first);
            assert_eq!(young(&eras), Some(0), "the second is as old");
            eras.leave(second);
            assert_eq!(young(&eras), Some(ERA_COMMITS), "the later one grows old");
            eras.leave(later);
            assert_eq!(young(&eras), None);
        }
    }

    #[test]
    fn views_that_end_within_an_era_are_never_old() {
        for age in [1, 7, ERA_COMMITS as usize] {
            let eras = Eras::default();
            let mut live = std::collections::VecDeque::new();
            for _ in 0..1_000 {
                live.push_back(eras.enter());
                if live.len() > age {
                    live.pop_front().into_iter().for_each(|era| eras.leave(era));
                }
                assert_eq!(eras.commit(), Oldest::Young);
            }
        }
    }
}
