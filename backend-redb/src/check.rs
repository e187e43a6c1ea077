//! redb's own check of a database that stays open.
//!
//! `check_integrity` repairs as it goes and wants the database to itself. A second database over
//! the same bytes, with all its writes kept in memory, gives it that: the file is read and never
//! changed, views live on, and what is checked is what the next opening would find, not what a
//! cache remembers.
//!
//! Invariants: nothing is committed meanwhile, because the write slot is held; damage is a finding,
//! and so is a panic of redb on damaged pages. Cost: every page of the last durable commit is read
//! at least twice.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use backend_kit::RawCheck;
use redb::{Builder, DatabaseError};
use storage_api::{Error, Finding, Result};

use crate::engine::Core;
use crate::error::{fail_at, from_io};
use crate::file::{Locking, Overlay};

/// A check reads each page once or twice; more cache than this is no help.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// Checks the bytes of the last durable commit, after making every commit durable where that is
/// still possible.
pub(crate) fn check(core: &Core) -> Result<RawCheck> {
    // A store that is open for reading has no slot, and one that failed takes no commits: in both,
    // nothing is written.
    let _settled = core.settle();
    let _slot = core.begin_write().ok();
    let overlay = Overlay::new(Arc::clone(core.medium()), Locking::None)
        .map_err(|error| from_io(error, core.place()))?;
    let cache_bytes = core
        .cache_bytes()
        .map_or(CACHE_BYTES_MAX, |b| b.min(CACHE_BYTES_MAX));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut database = Builder::new()
            .set_cache_size(cache_bytes)
            .create_with_backend(overlay)?;
        database.check_integrity()
    }));
    let found = match outcome {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) => Some("the trees are intact; the allocator's state was not theirs".into()),
        Ok(Err(error)) => Some(damage(error, core)?),
        Err(panic) => Some(format!("redb panicked: {}", panic_text(&*panic))),
    };
    let place = core.place().to_owned();
    Ok(RawCheck {
        summary: "redb: checksums of every page, and the allocator's state against the trees"
            .to_owned(),
        findings: found
            .map(|what| Finding { place, what })
            .into_iter()
            .collect(),
    })
}

fn damage(error: DatabaseError, core: &Core) -> Result<String, Error> {
    let error = fail_at(error, core.place());
    if error.is_corruption() {
        Ok(error.kind().to_string())
    } else {
        Err(error)
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
