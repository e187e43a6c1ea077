//! [`Overlay`]: uncommitted writes merged over a reader, for transactions, undo and speculative
//! execution.
//!
//! [`OverlayWrites`] holds the writes alone and takes the base reader at each call, for owners
//! whose base is borrowed from elsewhere; [`Overlay`] owns both.
//!
//! Invariants: every operation is kept in order in one [`WriteBatch`](crate::WriteBatch), which is
//! what the engine gets at commit; what is read is the base with exactly those operations applied,
//! in order (traps 22 and 23); the base does not change while the overlay lives. Keys are not
//! checked here: the owner refuses empty keys, keys past the limit and unknown tables before it
//! writes, since only it knows the store. Reading an empty key finds nothing.
//!
//! Cost: a write costs what it costs in a batch, and one branch. The index is built by the first
//! read after a write, over the operations since the last one, so that a user who only writes never
//! builds it. A get in a table without own writes costs two branches more than the base's; a cursor
//! over a range without own writes is the base's cursor.

mod cursor;
mod hidden;
mod index;
mod merge;
mod reader;
mod writes;

#[cfg(test)]
pub(crate) mod tests;

pub use cursor::OverlayCursor;
pub use reader::{Overlay, OverlayValue};
pub use writes::OverlayWrites;
