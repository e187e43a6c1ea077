//! Histories: what concurrent transactions saw, and whether one serial order explains it.
//!
//! [`record`] runs random transactions of several threads on a store: a key holds a list, a write
//! appends an element that nobody else ever writes, a read returns the list. [`check`] infers from
//! the lists who wrote before whom and looks for what no strictly serializable store shows.
//! [`bank`] adds what lists cannot see: rows that appear and vanish inside ranges. Method: Elle
//! (Kingsbury and Alvaro, 2020) over list-append histories; names of anomalies after Adya (1999).
//!
//! Invariants: an element is written once; a history is in the order in which transactions began; a
//! checker that finds nothing proves something only because the planted anomalies in the tests are
//! each found under their name.

mod bank;
mod check;
mod graph;
#[cfg(test)]
mod loose;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;

pub use bank::{BankReport, bank};
pub use check::check;
pub use record::{HISTORY_TABLES, Recording, record};

/// A key of a history.
pub type ListKey = u16;

/// An element of a list, unique in its history.
pub type Element = u32;

/// What one operation of a transaction did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOp {
    /// Put this element behind the list of this key.
    Append(ListKey, Element),
    /// Saw this list.
    Read(ListKey, Vec<Element>),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told that it is committed.
    Committed,
    /// It was aborted, or told that it failed.
    Aborted,
    /// Nobody knows.
    Unknown,
}

/// One transaction of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTxn {
    /// The thread that ran it.
    pub process: usize,
    /// When it was asked for; a place in the one order of all events.
    pub begin: u64,
    /// When its end was known; a place in the same order.
    pub end: u64,
    /// How it ended.
    pub ending: Ending,
    /// What it did, in order.
    pub ops: Vec<ListOp>,
}

/// What no strictly serializable store shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// A read saw an element that nobody wrote, or one twice.
    Garbage,
    /// A transaction did not see its own append.
    OwnWriteMissed,
    /// Two reads saw lists of which neither begins with the other.
    ForkedList,
    /// G0: transactions wrote over each other in a circle.
    DirtyWrite,
    /// G1a: a read saw what was aborted.
    AbortedRead,
    /// G1b: a read saw what its writer then wrote over.
    IntermediateRead,
    /// G1c: transactions saw each other's writes in a circle.
    CircularInformation,
    /// Two transactions read the same list and both appended to it.
    LostUpdate,
    /// A read saw one write of a transaction and missed another.
    FracturedRead,
    /// Two readers saw two writes in opposite orders.
    LongFork,
    /// G-single: a circle with one read of something older.
    ReadSkew,
    /// G2-item: a circle with several reads of something older.
    WriteSkew,
    /// A read missed what was committed before it began.
    StaleRead,
    /// A thread saw less than it had seen before.
    NonMonotonicRead,
    /// A committed append was in no list that was read later.
    LostWrite,
}

/// An anomaly and how it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its name.
    pub anomaly: Anomaly,
    /// The transactions, by their place in the history, and what they did, in words.
    pub what: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.anomaly, self.what)
    }
}
