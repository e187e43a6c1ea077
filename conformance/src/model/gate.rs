//! The gate for the one writer: it waits, it times out, and it refuses the thread that already
//! holds it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use storage_api::{ErrorKind, Result};

/// Lets one writer in at a time.
#[derive(Debug, Default)]
pub(super) struct Gate {
    holder: Mutex<Option<ThreadId>>,
    freed: Condvar,
}

/// The right to write; dropping it lets the next writer in.
#[derive(Debug)]
pub(super) struct Pass<'g>(&'g Gate);

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the writer before, at most this long; `None` when it held on.
    pub(super) fn enter(&self, wait: Option<Duration>) -> Result<Option<Pass<'_>>> {
        let me = thread::current().id();
        let until = wait.map(|wait| Instant::now() + wait);
        let mut holder = self.lock();
        loop {
            match *holder {
                None => {
                    *holder = Some(me);
                    return Ok(Some(Pass(self)));
                }
                Some(other) if other == me => return Err(ErrorKind::WouldDeadlock.into()),
                Some(_) => {}
            }
            holder = match until {
                None => self
                    .freed
                    .wait(holder)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()) else {
                        return Ok(None);
                    };
                    let woken = self.freed.wait_timeout(holder, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
        self.0.freed.notify_one();
    }
}
