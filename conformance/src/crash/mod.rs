//! Crashes and faults: a child process works on a store, is killed or made to fail at a chosen
//! instant or system call, and the store is opened again and judged.
//!
//! # How it goes
//! The parent ([`Stage`]) starts a child ([`play`]) with a [`Role`]: a seeded plan of commits on a
//! store of some engine. The child acknowledges each commit after it returned. The parent kills it
//! with `SIGKILL`, at random or through `strace` at the `n`-th system call of a kind, or lets a
//! call fail; afterwards [`judge`] compares the whole store with the plan.
//!
//! What is not a store that follows a plan, as an import, is a [`Subject`] with a child and a judge
//! of its own, and is killed by the same hand.
//!
//! Invariants: an engine brings nothing but a [`CrashHarness`]; parent and child share nothing but
//! the role, the socket and the directory; a kill of the process keeps the system's caches, so
//! every acknowledged commit that claims to survive the process must be there, and power loss is
//! not what is tested here. What the machine lacks (`strace`) is the caller's to report.

mod oracle;
mod plan;
mod player;
mod role;
mod stage;
#[cfg(test)]
mod tests;

pub use oracle::{Misjudged, judge};
pub use plan::Ballast;
pub use player::{Open, play};
pub use role::{Message, Mode, ROLE_VARIABLE, Role, Sabotage, Voice, Wait};
pub use stage::{
    Actor, Blow, Calls, Choice, CrashHarness, Ended, Found, Judged, Log, Point, Stage, Strace,
    Subject, Tally, strace_usable,
};
