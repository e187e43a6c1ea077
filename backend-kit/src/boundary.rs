//! The boundary to an engine's library: its panics become errors, its errors learn where they
//! happened.
//!
//! Invariant: a panic of a library that may panic never passes this line; a library that does not
//! is called directly, so the guard costs nothing there. A caught panic in a write is treated as a
//! failed write by the caller.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use storage_api::{Error, ErrorKind, Result};

use crate::raw::{CommitFailure, RawEngine};

/// Calls into the engine.
#[inline(always)]
pub(crate) fn call<E: RawEngine, T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if E::MAY_PANIC {
        // The engine's own state is not looked at again after a panic in a write: the transaction
        // fails for good, and a failed commit poisons the store. Reads only look.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
    } else {
        work()
    }
}

/// What takes the answers of a read of several keys.
type Sink<'s> = dyn FnMut(usize, Option<&[u8]>) + 's;

/// Calls into the engine, which calls the caller's `sink`: a panic of the sink is the caller's own
/// and goes on to the caller, past the engine.
pub(crate) fn call_with_sink<E: RawEngine>(
    sink: &mut Sink<'_>,
    work: impl FnOnce(&mut Sink<'_>) -> Result<()>,
) -> Result<()> {
    if !E::MAY_PANIC {
        return work(sink);
    }
    let mut callers: Option<Box<dyn Any + Send>> = None;
    let done = call::<E, _>(|| {
        work(&mut |at, value| {
            if callers.is_none() {
                callers = catch_unwind(AssertUnwindSafe(|| sink(at, value))).err();
            }
        })
    });
    match callers {
        Some(panic) => resume_unwind(panic),
        None => done,
    }
}

/// Calls the caller back from within the engine, and says so meanwhile.
#[inline(always)]
pub(crate) fn call_back<E: RawEngine, T>(
    is_callers: &Cell<bool>,
    callback: impl FnOnce() -> T,
) -> T {
    if !E::MAY_PANIC {
        return callback();
    }
    is_callers.set(true);
    let answer = callback();
    is_callers.set(false);
    answer
}

/// Calls into the engine, which calls the caller back: a panic while `is_callers` says so is the
/// caller's own and goes on to the caller.
pub(crate) fn call_with_callback<E: RawEngine>(
    is_callers: &Cell<bool>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if !E::MAY_PANIC {
        return work();
    }
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) if is_callers.get() => resume_unwind(panic),
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Calls into the engine's commit.
pub(crate) fn commit<E: RawEngine>(
    work: impl FnOnce() -> Result<(), CommitFailure>,
) -> Result<(), CommitFailure> {
    if E::MAY_PANIC {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(CommitFailure::Unknown(panicked(&*panic))))
    } else {
        work()
    }
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::new(ErrorKind::EnginePanic {
        message: text.to_owned(),
    })
}
