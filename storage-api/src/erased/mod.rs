//! The erased form of a store: [`DynStore`] holds any store behind a pointer and is itself a store,
//! so that programs take engines from outside this repository without being generic over them.
//!
//! The object-safe mirrors of the traits ([`ErasedStore`] and what it begins) are implemented for
//! every store, reader and transaction, so nobody writes them. Cursors and writers need no mirror:
//! [`crate::Cursor`] and [`crate::Writer`] are object-safe as they are.
//!
//! Invariants: the erased form means exactly what the store means, errors and capabilities
//! included; a write transaction stays on its thread. Cost: a virtual call for each call, one
//! allocation for each view, transaction and cursor, none for each row; `get` copies the value and
//! allocates when it is longer than 64 bytes, `get_with` never does.

mod store;
mod traits;
mod txn;

#[cfg(test)]
mod tests;

pub use store::DynStore;
pub use traits::ErasedStore;
