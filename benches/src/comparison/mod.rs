//! Stores of this project beside the best raw use of the same engines and beside other people's
//! stores, on the same work in the same run.
//!
//! What belongs here: the work ([`script`]), what a store brings ([`contestant`]), the life that
//! every store goes through in a process of its own ([`life`], [`protocol`]), the host that runs
//! all of them in shuffled order ([`host`]), the page that results ([`report`]), and the stores
//! that can live in this workspace ([`subjects`]). Stores that pin another version of an engine's
//! library are programs of their own which speak the same protocol.
//!
//! Invariants: every store of a round gets the same script, made from a seed; each lives in a new
//! process and a new directory, so that memory and caches of one are not those of the next; the
//! order of the stores is shuffled in each round; an answer that is not the script's fails the
//! store in that round, and a failure is shown; a store that does not offer a piece of work has no
//! figure there, never a figure of something else.

pub mod contestant;
pub mod host;
pub mod life;
pub mod protocol;
pub mod report;
pub mod script;
pub mod subjects;
mod work;

pub use contestant::{About, Contestant, Level, Maker, Offered};
pub use work::{Work, Workload};
