//! What our layers cost over the best raw use of an engine: instructions, allocations, time.
//!
//! What belongs here: the matrix ([`case`]), its rows ([`rows`]), the stores in each form
//! ([`subjects`]), counting under callgrind ([`count`]), the budgets ([`budget`]), paired times
//! ([`timing`]) and the page made of all ([`report`]). The counting program is `src/bin/price.rs`.
//!
//! Invariants: budgets are judged on what repeats exactly or nearly so, instructions and
//! allocations, never on time; times are ratios of turns next to each other, with the interval of
//! the ratio, and are not measurable where the interval is wider than what is asked.

pub mod budget;
pub mod case;
pub mod count;
pub mod report;
pub mod rows;
pub mod subjects;
pub mod timing;
