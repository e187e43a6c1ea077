//! Writing: [`Writer`] for the three operations, [`WriteTxn`] for the single writer's atomic
//! change.
//!
//! Invariants: one write transaction at a time; it reads its own writes; it is serializable because
//! writers are serial; dropping aborts (trap 25); after an operation that the engine failed only
//! abort is allowed (trap 24), while an operation refused before it reached the engine (a bad key,
//! an unknown table) changes nothing and leaves the transaction usable.

use crate::commit::{Commit, Durability};
use crate::contract::read::Reader;
use crate::error::Result;
use crate::range::KeyRange;
use crate::table::TableId;

/// The three operations that change tables.
pub trait Writer {
    /// Sets the value of a key. An empty value is a value.
    ///
    /// # Errors
    /// `EmptyKey`, `KeyTooLong`, `ValueTooLong`, `UnknownTable`; of the engine `Full`, `DiskFull`,
    /// `Io`.
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes a key; removing an absent key does nothing.
    ///
    /// # Errors
    /// `EmptyKey`, `KeyTooLong`, `UnknownTable`; of the engine as [`Writer::put`].
    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()>;

    /// Removes every key of the range; an empty range does nothing (trap 5). Affects earlier
    /// operations only: what is put afterwards stays (trap 23).
    ///
    /// # Errors
    /// `UnknownTable`; of the engine as [`Writer::put`].
    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()>;
}

/// A mark inside one write transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint {
    depth: u32,
    serial: u64,
}

impl Savepoint {
    /// The mark of this depth, counted from 0; for implementers of stores.
    #[must_use]
    pub const fn at_depth(depth: u32) -> Self {
        Self { depth, serial: 0 }
    }

    /// The same mark with a number that its store gives once, so that a mark that is gone and one
    /// of another transaction are told from the mark that has their depth now; for implementers.
    #[must_use]
    pub const fn with_serial(self, serial: u64) -> Self {
        Self { serial, ..self }
    }

    /// Its number, 0 where the store gives none.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.serial
    }

    /// Its depth.
    #[must_use]
    pub const fn depth(self) -> u32 {
        self.depth
    }
}

/// The single writer's atomic change over all tables. Deliberately not `Send`: LMDB binds it to its
/// thread (trap 12).
pub trait WriteTxn: Reader + Writer + Sized {
    /// Marks the present state. Marks nest.
    ///
    /// # Errors
    /// `TxnFailed`; of the engine as [`Writer::put`].
    fn savepoint(&mut self) -> Result<Savepoint>;

    /// Takes back everything written since the mark. The mark stays, marks inside it are gone.
    ///
    /// # Errors
    /// `InvalidArgument` when the mark is not of this transaction or gone; of the engine as
    /// [`Writer::put`].
    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()>;

    /// Forgets the mark and marks inside it, keeping what was written.
    ///
    /// # Errors
    /// `InvalidArgument` when the mark is not of this transaction or gone.
    fn release(&mut self, savepoint: Savepoint) -> Result<()>;

    /// Makes everything visible at once.
    ///
    /// # Errors
    /// `TxnFailed` when an operation failed before; `Full` and others when nothing was committed;
    /// `CommitUnknown` when the outcome is not known, after which the store is poisoned.
    fn commit(self, durability: Durability) -> Result<Commit>;

    /// Drops everything, like dropping the transaction, and reports what goes wrong in it.
    ///
    /// # Errors
    /// `Io`.
    fn abort(self) -> Result<()>;
}
