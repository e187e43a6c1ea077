//! The register of live views: how many, how old, what they pin, and the limits on them (trap 11).
//!
//! Invariants: every live view has a ticket, and nothing borrowed from a view is ever revoked: past
//! the hard age its next call fails, and space returns when it drops; exclusive work starts only
//! without views and holds new ones back until it is done. Cost: one uncontended mutex and one
//! clock read for each begin and each drop; nothing on a read, unless a hard age is set, which
//! costs one clock read a call. A slot keeps the tally of its views, so counting allocates nothing.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage_api::{Clock, Error, ErrorKind, OldestReader, ReaderLimits, Result};

use crate::metrics::{Meter, Tally};

/// Of so many views of a store, one has its beginning timed.
const VIEWS_PER_SAMPLE: u64 = 16;

/// The register of one store.
#[derive(Debug)]
pub(crate) struct Registry {
    clock: Arc<dyn Clock>,
    limits: ReaderLimits,
    meter: Arc<Meter>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Live views by slot; a free slot is `None`.
    slots: Vec<Option<Slot>>,
    /// Free slots, each with the tally of its last view, all zero.
    free: Vec<(usize, Tally)>,
    /// Tallies for writers, all zero.
    spare: Vec<Tally>,
    /// Views begun.
    begun: u64,
    exclusive: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    began: Duration,
    used_bytes: u64,
    warned: bool,
}

impl State {
    fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn oldest(&self) -> Option<Slot> {
        self.slots
            .iter()
            .flatten()
            .min_by_key(|slot| slot.began)
            .copied()
    }
}

/// A view's place in the register; dropping it leaves.
pub(crate) struct Ticket {
    registry: Arc<Registry>,
    slot: usize,
    deadline: Option<Deadline>,
    tally: Tally,
}

/// When a view began to begin, if that is to be timed.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Sample(Option<Duration>);

/// When a view becomes too old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    began: Duration,
    at: Duration,
}

/// Exclusive work in progress; dropping it lets views begin again.
#[derive(Debug)]
pub(crate) struct Alone<'r>(&'r Registry);

impl Registry {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: ReaderLimits, meter: Arc<Meter>) -> Self {
        Self {
            clock,
            limits,
            meter,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a view, waiting for exclusive work to end. `used_bytes` is what the store takes
    /// now.
    pub(crate) fn enter(self: &Arc<Self>, used_bytes: u64) -> (Ticket, Sample) {
        let began = self.clock.now();
        let mut state = self.lock();
        while state.exclusive {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let entry = Some(Slot {
            began,
            used_bytes,
            warned: false,
        });
        let (slot, tally) = match state.free.pop() {
            Some((slot, tally)) => {
                state.slots[slot] = entry;
                (slot, tally)
            }
            None => {
                state.slots.push(entry);
                (state.slots.len() - 1, self.meter.tally())
            }
        };
        let sampled = state
            .begun
            .is_multiple_of(VIEWS_PER_SAMPLE)
            .then_some(began);
        state.begun += 1;
        drop(state);
        let deadline = self.limits.age_max.map(|max| Deadline {
            began,
            at: began.saturating_add(max),
        });
        let ticket = Ticket {
            registry: Arc::clone(self),
            slot,
            deadline,
            tally,
        };
        (ticket, Sample(sampled))
    }

    /// A view that entered is there now.
    #[inline]
    pub(crate) fn begun(&self, sample: Sample) {
        self.meter.count_views(1);
        if let Some(began) = sample.0 {
            let took = self.clock.now().saturating_sub(began);
            self.meter.record_view_begin(took);
        }
    }

    /// A tally for a writer.
    pub(crate) fn lend(&self) -> Tally {
        let spare = self.lock().spare.pop();
        spare.unwrap_or_else(|| self.meter.tally())
    }

    /// Adds what a writer counted to the counters and keeps its tally for the next.
    pub(crate) fn take_back(&self, tally: Tally) {
        self.meter.add(&tally);
        self.lock().spare.push(tally);
    }

    /// Keeps new views out while there are none, or refuses with `Busy`.
    pub(crate) fn alone(&self) -> Result<Alone<'_>> {
        let mut state = self.lock();
        if let Some(oldest) = state.oldest() {
            return Err(Error::new(ErrorKind::Busy {
                readers: state.live(),
                oldest_reader: self.clock.now().saturating_sub(oldest.began),
            }));
        }
        state.exclusive = true;
        Ok(Alone(self))
    }

    /// Live views and the oldest of them.
    pub(crate) fn oldest(&self, used_bytes: u64) -> (usize, Option<OldestReader>) {
        let state = self.lock();
        let oldest = state.oldest().map(|slot| OldestReader {
            age: self.clock.now().saturating_sub(slot.began),
            pinned_bytes: used_bytes.saturating_sub(slot.used_bytes),
        });
        (state.live(), oldest)
    }

    /// Refuses a write when the oldest view pins too much, and warns of old views once each.
    pub(crate) fn admit_write(&self, engine: &'static str, used_bytes: u64) -> Result<()> {
        let mut state = self.lock();
        if state.live() == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let warn_age = self.limits.warn_age;
        for slot in state.slots.iter_mut().flatten() {
            let age = now.saturating_sub(slot.began);
            if age >= warn_age && !slot.warned {
                slot.warned = true;
                tracing::warn!(
                    engine,
                    age_seconds = age.as_secs(),
                    pinned_bytes = used_bytes.saturating_sub(slot.used_bytes),
                    "a view has been open for long and keeps space from being reused"
                );
            }
        }
        let pinned_bytes = state
            .oldest()
            .map_or(0, |slot| used_bytes.saturating_sub(slot.used_bytes));
        match self.limits.pinned_bytes_max {
            Some(max_bytes) if pinned_bytes > max_bytes => {
                Err(Error::new(ErrorKind::PinnedTooMuch {
                    pinned_bytes,
                    max_bytes,
                }))
            }
            _ => Ok(()),
        }
    }

    /// Whether a view with this deadline may still be read.
    #[inline]
    pub(crate) fn check(&self, deadline: Option<Deadline>) -> Result<()> {
        match deadline {
            None => Ok(()),
            Some(deadline) => self.check_age(deadline),
        }
    }

    #[cold]
    fn check_age(&self, deadline: Deadline) -> Result<()> {
        let now = self.clock.now();
        if now <= deadline.at {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ReaderTooOld {
            age: now.saturating_sub(deadline.began),
            max: deadline.at.saturating_sub(deadline.began),
        }))
    }
}

impl Ticket {
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        self.registry.check(self.deadline)
    }

    /// Where the view counts.
    #[inline]
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What a cursor needs to make the same check; `None` when there is no limit.
    pub(crate) fn watch(&self) -> Option<(&Registry, Deadline)> {
        self.deadline.map(|deadline| (&*self.registry, deadline))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        self.registry.meter.add(&tally);
        let mut state = self.registry.lock();
        if let Some(slot) = state.slots.get_mut(self.slot) {
            *slot = None;
        }
        state.free.push((self.slot, tally));
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.lock().exclusive = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use storage_api::{Capabilities, Catalogue, ManualClock};

    use super::*;
    use crate::tables::Rules;

    #[test]
    fn ages_limits_and_exclusive_work() -> Result<()> {
        let clock = Arc::new(ManualClock::default());
        let limits = ReaderLimits {
            age_max: Some(Duration::from_secs(10)),
            pinned_bytes_max: Some(100),
            ..ReaderLimits::default()
        };
        let catalogue = Catalogue::new(Vec::new())?;
        let rules = Rules::new(&catalogue, &Capabilities::IN_MEMORY);
        let meter = Arc::new(Meter::new("test", &catalogue, &rules));
        let clock_too = Arc::clone(&clock) as Arc<dyn Clock>;
        let registry = Arc::new(Registry::new(clock_too, limits, meter));
        let (old, _) = registry.enter(1000);
        clock.advance(Duration::from_secs(4));
        let (young, _) = registry.enter(1050);
        assert_eq!(
            registry.oldest(1080),
            (
                2,
                Some(OldestReader {
                    age: Duration::from_secs(4),
                    pinned_bytes: 80
                })
            )
        );
        registry.admit_write("test", 1100)?;
        let refused = registry
            .admit_write("test", 1101)
            .map_err(|e| e.kind().clone());
        assert_eq!(
            refused,
            Err(ErrorKind::PinnedTooMuch {
                pinned_bytes: 101,
                max_bytes: 100
            })
        );
        clock.advance(Duration::from_secs(7));
        let age = Duration::from_secs(11);
        let too_old = ErrorKind::ReaderTooOld {
            age,
            max: Duration::from_secs(10),
        };
        assert_eq!(old.check().map_err(|e| e.kind().clone()), Err(too_old));
        young.check()?;
        assert!(matches!(
            registry.alone().map_err(|e| e.kind().clone()),
            Err(ErrorKind::Busy { readers: 2, .. })
        ));
        drop((old, young));
        let alone = registry.alone()?;
        drop(alone);
        assert_eq!(registry.oldest(0), (0, None));
        Ok(())
    }
}
