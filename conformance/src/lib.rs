//! The shared suite that proves that every store means the same.
//!
//! # What this is
//! One list of cases over [`storage_api`], each stating one requirement of the contract, run on
//! every engine and every decorator by [`suite!`], or without the test runner by [`run_all`]. The
//! models it compares with, deliberately broken stores that it must catch, and the table of
//! semantic [`traps`].
//!
//! # Starting points
//! [`Harness`] is what a store's author brings; [`TempHarness`] does it for every
//! [`storage_api::Engine`]. [`CASES`] is the list, [`Report`] the result.
//!
//! # Sizes and seeds
//! `CHAINSTORE_TEST_SCALE=tenth|full|soak` sets how much of the counted work is done;
//! `CHAINSTORE_SEED=<number>` replaces the fixed seed, which every failure prints.
#![forbid(unsafe_code)]

mod case;
mod cases;
mod chain;
#[cfg(unix)]
pub mod crash;
pub mod damage;
pub mod differential;
pub mod fixtures;
mod harness;
pub mod history;
mod lab;
mod list;
pub mod matrix;
mod model;
pub mod mutants;
mod ops;
mod probe;
mod report;
mod suite;
pub mod traps;

pub use case::{Case, CaseError, CaseResult};
pub use chain::BlockHarness;
pub use harness::{Harness, Opened, Profile, TempHarness};
pub use lab::Lab;
pub use model::{Medium, ModelDisk, ModelDiskHarness, ModelHarness, ModelStore};
pub use ops::{Scale, scaled, seed_of_run};
pub use report::{
    CaseReport, Outcome, Report, check, check_blocks, deadline, run_all, run_all_telling,
};
pub use suite::CASES;
