//! The writer gate: one write transaction at a time, and batches either one at a time or beside
//! each other.
//!
//! Invariants: a thread that holds the gate exclusively and asks again gets `WouldDeadlock` at once
//! (trap 9); waiting transactions go before new batches, so a stream of batches cannot starve them;
//! the gate is free again when its guard drops, whatever happened. Cost: one uncontended mutex each
//! way; the clock is read only where there is something to wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use storage_api::{Error, ErrorKind, Result};

/// The gate of one store.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    owner: Option<ThreadId>,
    shared: usize,
    waiting: usize,
}

/// How long to wait for the gate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Forever,
    AtMost(Duration),
}

/// The gate held alone.
#[derive(Debug)]
pub(crate) struct Exclusive<'g> {
    gate: &'g Gate,
    /// How long it took to get, zero where the gate was free.
    pub(crate) waited: Duration,
}

/// The gate held beside other batches.
#[derive(Debug)]
pub(crate) struct Shared<'g> {
    gate: &'g Gate,
    /// How long it took to get, zero where the gate was free.
    pub(crate) waited: Duration,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is three plain words that are always consistent between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_owner(state: &State) -> Result<()> {
        if state.owner == Some(thread::current().id()) {
            return Err(Error::new(ErrorKind::WouldDeadlock));
        }
        Ok(())
    }

    /// Takes the gate alone; `None` when the time is over.
    pub(crate) fn exclusive(&self, wait: Wait) -> Result<Option<Exclusive<'_>>> {
        let mut state = self.lock();
        Self::refuse_owner(&state)?;
        let mut waits: Option<Instant> = None;
        state.waiting += 1;
        while state.owner.is_some() || state.shared > 0 {
            let began = *waits.get_or_insert_with(Instant::now);
            state = match wait {
                Wait::Forever => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Wait::AtMost(most) => {
                    let Some(left) = most
                        .checked_sub(began.elapsed())
                        .filter(|left| !left.is_zero())
                    else {
                        state.waiting -= 1;
                        drop(state);
                        // Batches may be waiting behind this transaction that gives up.
                        self.changed.notify_all();
                        return Ok(None);
                    };
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state.waiting -= 1;
        state.owner = Some(thread::current().id());
        Ok(Some(Exclusive {
            gate: self,
            waited: since(waits),
        }))
    }

    /// Takes the gate beside other batches.
    pub(crate) fn shared(&self) -> Result<Shared<'_>> {
        let mut state = self.lock();
        Self::refuse_owner(&state)?;
        let mut waits = None;
        while state.owner.is_some() || state.waiting > 0 {
            waits.get_or_insert_with(Instant::now);
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.shared += 1;
        Ok(Shared {
            gate: self,
            waited: since(waits),
        })
    }
}

/// The time since a wait began, zero where there was none.
fn since(began: Option<Instant>) -> Duration {
    began.map_or(Duration::ZERO, |began| began.elapsed())
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.gate.lock().owner = None;
        self.gate.changed.notify_all();
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.shared -= 1;
        let last = state.shared == 0;
        drop(state);
        if last {
            self.gate.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_thread_is_refused_and_others_wait() -> Result<()> {
        let gate = Gate::default();
        let held = gate.exclusive(Wait::Forever)?;
        assert!(matches!(
            gate.shared().map_err(|e| e.kind().clone()),
            Err(ErrorKind::WouldDeadlock)
        ));
        let refused = gate
            .exclusive(Wait::Forever)
            .map(|_| ())
            .map_err(|e| e.kind().clone());
        assert_eq!(refused, Err(ErrorKind::WouldDeadlock));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                gate.exclusive(Wait::AtMost(Duration::from_millis(5)))
                    .map(|g| g.is_some())
            });
            assert!(matches!(waiter.join(), Ok(Ok(false))));
            let batch = scope.spawn(|| gate.shared().is_ok());
            drop(held);
            assert!(matches!(batch.join(), Ok(true)));
        });
        let one = gate.shared()?;
        let two = gate.shared()?;
        assert!(gate.exclusive(Wait::AtMost(Duration::ZERO))?.is_none());
        drop((one, two));
        assert!(gate.exclusive(Wait::AtMost(Duration::ZERO))?.is_some());
        Ok(())
    }
}
