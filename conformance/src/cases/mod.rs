//! The cases, one file a group. Which of them run, under which names, is in one list: [`crate::for_each_case`].
//!
//! Invariants: a case needs nothing from another; it states what must hold with `ensure!` and its kin, which say what was
//! expected and found; randomness comes from [`crate::ops::Dice`] alone; nothing measures time.

pub(crate) mod batch;
pub(crate) mod concurrency;
pub(crate) mod crud;
pub(crate) mod cursor;
pub(crate) mod directory;
pub(crate) mod durability;
pub(crate) mod envelope;
pub(crate) mod errors;
pub(crate) mod extension;
pub(crate) mod isolation;
pub(crate) mod limits;
pub(crate) mod open;
pub(crate) mod order;
pub(crate) mod range;
pub(crate) mod read;
pub(crate) mod reader;
pub(crate) mod savepoint;
pub(crate) mod txn;
pub(crate) mod view;

pub(crate) use crud::{batch as crud_batch, txn as crud_txn};
