//! What the store's handle and its views share: the engine, the rules, the gate, the register, the
//! poison, the lock.
//!
//! Invariants: the directory stays locked until the last view has dropped, because the engine's
//! files are open till then; a store that a write or sync has failed on takes no writes until it is
//! reopened, while readers go on (trap 24).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use storage_api::{Access, Capabilities, Catalogue, CommitSeq, Error, ErrorKind, Result, TableId};

use crate::boundary;
use crate::directory::Directory;
use crate::gate::Gate;
use crate::metrics::Meter;
use crate::raw::RawEngine;
use crate::registry::Registry;
use crate::tables::Rules;

pub(crate) struct Shared<E: RawEngine> {
    // The engine drops before the directory's lock is freed.
    pub(crate) engine: E,
    pub(crate) directory: Option<Directory>,
    pub(crate) caps: Capabilities,
    pub(crate) catalogue: Catalogue,
    pub(crate) rules: Rules,
    pub(crate) gate: Gate,
    pub(crate) registry: Arc<Registry>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) access: Access,
    pub(crate) relaxed: bool,
    /// The last ordered commit; changed under the exclusive gate only.
    pub(crate) last_seq: AtomicU64,
    /// The last commit that the directory's seal vouches for.
    pub(crate) sealed: AtomicU64,
    /// Numbers savepoints, so that one that is gone is never taken for another.
    pub(crate) last_mark: AtomicU64,
    pub(crate) poison: OnceLock<String>,
}

impl<E: RawEngine> Shared<E> {
    /// Says where an error happened.
    #[cold]
    pub(crate) fn explain(&self, error: Error, operation: &'static str, table: TableId) -> Error {
        let error = error.with_engine(E::NAME).with_operation(operation);
        match self.catalogue.get(table) {
            Some(info) => error.with_table(info.def.name()),
            None => error,
        }
    }

    /// Refuses a write to a store that takes none.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.access == Access::ReadOnly {
            return Err(Error::new(ErrorKind::ReadOnly).with_engine(E::NAME));
        }
        match self.poison.get() {
            None => Ok(()),
            Some(cause) => {
                let cause = cause.clone();
                Err(Error::new(ErrorKind::Poisoned { cause }).with_engine(E::NAME))
            }
        }
    }

    /// Refuses writes while views pin too much.
    pub(crate) fn admit_write(&self) -> Result<()> {
        self.registry
            .admit_write(E::NAME, self.engine.used_bytes())
            .map_err(|error| error.with_engine(E::NAME))
    }

    /// Takes no writes from now on.
    pub(crate) fn poison(&self, operation: &str, error: &Error) {
        let cause = format!("{operation} failed: {error}");
        tracing::error!(
            engine = E::NAME,
            cause,
            "the store takes no writes until it is reopened"
        );
        // The first cause is the one that counts.
        if self.poison.set(cause).is_ok() {
            self.meter.count_poisoning();
        }
    }

    /// Takes no writes from now on if the system failed an operation of the write lane, or if the
    /// engine's library panicked in one: what reached the files, of earlier commits too, is not
    /// known. One rule for every engine, whatever its own library would allow; see
    /// `docs/decisions/0010`.
    pub(crate) fn poison_after(&self, operation: &str, error: &Error) {
        if matches!(
            error.kind(),
            ErrorKind::Io { .. }
                | ErrorKind::DiskFull
                | ErrorKind::PermissionDenied { .. }
                | ErrorKind::FileMissing { .. }
        ) {
            self.poison(operation, error);
        } else {
            self.poison_after_panic(operation, error);
        }
    }

    /// Takes no writes from now on if the engine's library panicked: what it left behind is not
    /// known, and the error says that the store needs to be reopened.
    pub(crate) fn poison_after_panic(&self, operation: &str, error: &Error) {
        if matches!(error.kind(), ErrorKind::EnginePanic { .. }) {
            self.poison(operation, error);
        }
    }

    pub(crate) fn last_seq(&self) -> CommitSeq {
        CommitSeq::new(self.last_seq.load(Ordering::Acquire))
    }

    pub(crate) fn set_last_seq(&self, seq: CommitSeq) {
        self.last_seq.store(seq.get(), Ordering::Release);
    }
}

impl<E: RawEngine> fmt::Debug for Shared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("engine", &E::NAME)
            .finish_non_exhaustive()
    }
}

/// Closing: what was committed is made durable and sealed, so that the next opening can tell a
/// state that damage made older from one that a crash did. A failure seals nothing, which is as
/// true.
impl<E: RawEngine> Drop for Shared<E> {
    fn drop(&mut self) {
        let last_seq = self.last_seq();
        let Some(directory) = &self.directory else {
            return;
        };
        if self.access == Access::ReadOnly
            || self.poison.get().is_some()
            || last_seq.get() <= self.sealed.load(Ordering::Relaxed)
        {
            return;
        }
        let sealed = boundary::call::<E, _>(|| self.engine.sync())
            .and_then(|()| directory.write_seal(last_seq));
        if let Err(error) = sealed {
            tracing::warn!(engine = E::NAME, %error, "closed without a seal");
        }
    }
}
