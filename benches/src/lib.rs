//! Engines side by side on the same work, and the price of choosing one at run time.
//!
//! What belongs here: the comparison with raw engines and with other people's stores
//! ([`comparison`]), workloads ([`workload`]), a timed runner that interleaves engines
//! ([`engines`]), stores of blocks ([`blocks`]), the facade's price ([`facade`]), the price of
//! every layer over an engine's own library in instructions, allocations and time ([`price`]),
//! statistics and tables ([`figures`]), and what the machine is ([`machine`]). A harness that
//! repeats one closure cannot hold an engine that changes while it is measured, so each round makes
//! a new store and takes it through its life.
//!
//! Invariants: every engine does exactly the same operations in a round, in an order made from a
//! seed; every answer is counted and a wrong count is an error, so that no figure comes from a
//! store that lost something; losing figures are printed like winning ones. Wall times mean
//! something as ratios inside one run only.
#![forbid(unsafe_code)]

#[cfg(feature = "blocks")]
pub mod blocks;
pub mod comparison;
pub mod engines;
pub mod facade;
pub mod figures;
pub mod machine;
pub mod price;
pub mod report;
pub mod workload;
