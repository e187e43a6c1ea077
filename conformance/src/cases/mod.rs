//! The cases, one file a group. Which of them run, under which names, is in one list:
//! [`crate::for_each_case`].
//!
//! Invariants: a case needs nothing from another; it states what must hold with `ensure!` and its
//! kin, which say what was expected and found; randomness comes from [`crate::ops::Dice`] alone;
//! nothing measures time.

pub(crate) mod blocks;
mod commit;
mod data;
mod place;

pub(crate) use commit::{batch, concurrency, isolation, reader, savepoint, txn, view};
pub(crate) use data::crud::{batch as crud_batch, txn as crud_txn};
pub(crate) use data::{cursor, envelope, order, range, read};
pub(crate) use place::{bulk, directory, durability, errors, extension, limits, open, replay};
