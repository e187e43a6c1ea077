//! Damage: single bits flipped in the files of a store, and what came of each.
//!
//! # What this is
//! The generic part of the proof that no flipped bit is served: [`Specimen`] is a store's directory
//! in memory, from which one bit at a time is flipped on disk and put back; [`Reading`] is what an
//! application reads of the [`Content`] afterwards, [`Tally`] counts it and judges. What opens and
//! reads the store is the caller's, in a child process, because an engine's library may crash on
//! damaged files. [`Figures`] publishes what a proof counted.
//!
//! # What must always hold
//! Every file of the directory takes part; a flip changes one bit of one file and nothing else, and
//! taking it back leaves the directory as it was.

mod content;
mod reading;
mod record;
mod specimen;
mod tally;

pub use content::{COMMITS, Content, Keys, Versions};
pub use reading::{Reading, Verdict};
pub use record::{Figures, PROOF_OUT_VARIABLE};
pub use specimen::{Flip, Specimen};
pub use tally::{Outcome, Promise, Tally, Verification};
