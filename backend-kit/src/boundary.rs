//! The boundary to an engine's library: its panics become errors, its errors learn where they
//! happened.
//!
//! Invariant: a panic of a library that may panic never passes this line; a library that does not
//! is called directly, so the guard costs nothing there. A caught panic in a write is treated as a
//! failed write by the caller.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use storage_api::{Error, ErrorKind, Result};

use crate::raw::{CommitFailure, RawEngine};

/// Calls into the engine.
#[inline]
pub(crate) fn call<E: RawEngine, T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if E::MAY_PANIC {
        // The engine's own state is not looked at again after a panic in a write: the transaction
        // fails for good, and a failed commit poisons the store. Reads only look.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
    } else {
        work()
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
