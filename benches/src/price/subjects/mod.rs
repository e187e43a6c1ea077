//! The subjects: one store or database each, which does every operation it has.
//!
//! Invariants: all subjects of an engine hold the same rows, loaded in the same order in one
//! transaction, with the same options of the engine; the loop around the call that is measured is
//! the same; a wrong answer is an error, so that no figure comes from a call that did something
//! else.

#[cfg(feature = "lmdb")]
mod lmdb;
mod ours;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocks")]
mod rocks;
#[cfg(feature = "rocks")]
mod rocks_transactions;
mod tree;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use chain_store::EngineName;

use super::case::{Form, Operation};
use super::rows::Rows;

/// A store in one form.
pub trait Subject {
    /// Whether it has this operation.
    fn has(&self, operation: Operation) -> bool;

    /// Does the operation so many times.
    ///
    /// # Errors
    /// Of the store; a wrong answer.
    fn run(&mut self, operation: Operation, times: usize) -> Result<()>;

    /// Another reader of the same store, for another thread; `None` when it has none.
    ///
    /// # Errors
    /// Of the store.
    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>>;
}

/// A subject with its form.
pub struct Named {
    /// The form.
    pub form: Form,
    /// The subject.
    pub subject: Box<dyn Subject>,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Named").field(&self.form).finish()
    }
}

/// Makes the subject of this form below `dir`, which exists; `None` when the engine has none.
///
/// # Errors
/// Of the engine.
pub fn make(engine: EngineName, form: Form, rows: &Arc<Rows>, dir: &Path) -> Result<Option<Named>> {
    let dir = dir.join(format!("{engine}-{}-{form:?}", rows.value_bytes));
    std::fs::create_dir_all(&dir)?;
    let rows = Arc::clone(rows);
    let subject = match form {
        Form::Raw | Form::Naive | Form::Optimistic => raw(engine, form, rows, &dir)?,
        Form::Static => Some(ours::fixed(engine, rows, &dir)?),
        Form::Any => Some(ours::any(engine, rows, &dir)?),
        Form::Dyn => Some(ours::erased(engine, rows, &dir)?),
    };
    Ok(subject.map(|subject| Named { form, subject }))
}

fn raw(
    engine: EngineName,
    form: Form,
    rows: Arc<Rows>,
    dir: &Path,
) -> Result<Option<Box<dyn Subject>>> {
    Ok(match (engine, form) {
        (EngineName::Mem, Form::Raw) => Some(Box::new(tree::Raw::new(rows))),
        #[cfg(feature = "redb")]
        (EngineName::Redb, Form::Raw) => Some(Box::new(redb::Raw::new(rows, dir)?)),
        #[cfg(feature = "redb")]
        (EngineName::Redb, Form::Naive) => Some(Box::new(redb::Naive::new(rows, dir)?)),
        #[cfg(feature = "lmdb")]
        (EngineName::Lmdb, Form::Raw) => Some(Box::new(lmdb::Raw::new(rows, dir)?)),
        #[cfg(feature = "rocks")]
        (EngineName::Rocks, Form::Raw) => Some(Box::new(rocks::Raw::new(rows, dir)?)),
        #[cfg(feature = "rocks")]
        (EngineName::Rocks, Form::Naive) => Some(Box::new(rocks::Naive::new(rows, dir)?)),
        #[cfg(feature = "rocks")]
        (EngineName::Rocks, Form::Optimistic) => {
            Some(Box::new(rocks_transactions::Optimistic::new(rows, dir)?))
        }
        _ => None,
    })
}

/// Looks at a value as every subject does.
#[inline]
fn look(value: &[u8]) {
    black_box((value.len(), value.first()));
}

/// Looks at a row as every subject does.
#[inline]
fn look_at_row(key: &[u8], value: &[u8]) {
    black_box((key.len(), key.first(), value.len(), value.first()));
}

/// Fails unless so many rows or values were found.
fn expect(found: usize, wanted: usize) -> Result<()> {
    ensure!(found == wanted, "{found} found, {wanted} expected");
    Ok(())
}

/// How many keys there are from which a range finds so many rows.
fn starts(rows: &Rows, most: usize) -> usize {
    rows.keys.len().saturating_sub(most) + 1
}

/// Fails for an operation that [`Subject::has`] denies.
fn missing<T>(operation: Operation) -> Result<T> {
    bail!("no {} here", operation.name())
}
