//! Rows in motion: batches, transactions, savepoints, views beside them, several threads.

pub(crate) mod batch;
pub(crate) mod concurrency;
pub(crate) mod isolation;
pub(crate) mod reader;
pub(crate) mod savepoint;
pub(crate) mod txn;
pub(crate) mod view;
