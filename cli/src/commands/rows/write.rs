//! Changing rows of one table: what `put` and `delete` have in common.
//!
//! Invariants: a table, a key or a value that the store cannot take is refused by a look at the
//! store opened read-only, before it is opened to write; rows of a regular file are all read and
//! checked before the first commit; each commit is atomic and durable, and an interrupt ends
//! between two of them. Memory: one batch.

use std::path::Path;

use anyhow::{Context, Result};
use chain_store::{AnyStore, StoreUrl};
use clap::Args;
use serde::Serialize;
use storage_api::{
    Durability, Error, ErrorKind, KEY_BYTES_MAX_PORTABLE, KeyLimit, KvStore, TableId, WriteBatch,
    Writer,
};

use super::given::{self, Row, Rows};
use crate::args::{StoreArg, WriteArg};
use crate::exit::Stop;
use crate::interrupt;
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit, say};
use crate::store;

/// Rows of one commit at most.
const BATCH_ROWS_MAX: usize = 10_000;
/// Bytes of keys and values of one commit, unless a single row has more.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Which table of which store is written.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    #[command(flatten)]
    write: WriteArg,

    /// The table; `chainstore list` names them.
    #[arg(long, value_name = "NAME")]
    pub(super) table: String,
}

/// What is done with each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put,
    Delete,
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// What a table takes.
pub(super) struct Limits {
    pub(super) table: TableId,
    key_bytes_max: usize,
    value_bytes_max: usize,
}

impl Limits {
    fn of(opened: &AnyStore, name: &str) -> Result<Self> {
        let table = opened.catalogue().id(name)?;
        let caps = opened.capabilities();
        let key_limit = (opened.catalogue().get(table)).map(|info| info.def.key_limit());
        Ok(Self {
            table,
            key_bytes_max: match key_limit {
                Some(KeyLimit::Engine) => caps.key_bytes_max,
                _ => KEY_BYTES_MAX_PORTABLE,
            },
            value_bytes_max: caps.value_bytes_max,
        })
    }

    /// Refuses a row that the table cannot hold.
    pub(super) fn check(&self, row: &Row) -> Result<(), Error> {
        let (key, value) = (row.key.len(), row.value.as_ref().map_or(0, Vec::len));
        let kind = if key == 0 {
            ErrorKind::EmptyKey
        } else if key > self.key_bytes_max {
            ErrorKind::KeyTooLong {
                len: key,
                max: self.key_bytes_max,
            }
        } else if value > self.value_bytes_max {
            ErrorKind::ValueTooLong {
                len: value,
                max: self.value_bytes_max,
            }
        } else {
            return Ok(());
        };
        Err(Error::new(kind))
    }

    /// Adds the change of a row to a batch.
    fn add(&self, change: Change, row: &Row, batch: &mut WriteBatch) -> Result<()> {
        self.check(row)?;
        match (change, &row.value) {
            (Change::Delete, _) => batch.delete(self.table, &row.key)?,
            (Change::Put, Some(value)) => batch.put(self.table, &row.key, value)?,
            (Change::Put, None) => {
                return Err(Stop::Different("the row has no value".to_owned()).into());
            }
        }
        Ok(())
    }
}

/// What was written.
#[derive(Serialize)]
pub(super) struct Written {
    store: String,
    table: String,
    change: &'static str,
    rows: u64,
    bytes: u64,
    commits: u64,
    interrupted: bool,
}

impl Written {
    fn new(target: &Target, change: Change) -> Self {
        Self {
            store: target.store.store.to_string(),
            table: target.table.clone(),
            change: change.word(),
            rows: 0,
            bytes: 0,
            commits: 0,
            interrupted: false,
        }
    }

    /// One commit of a batch.
    fn commit(&mut self, store: &AnyStore, batch: &mut WriteBatch) -> Result<()> {
        store.apply(batch, Durability::Durable)?;
        self.rows += batch.len() as u64;
        self.bytes += batch.payload_bytes() as u64;
        self.commits += 1;
        batch.clear();
        Ok(())
    }

    /// Prints it; an interrupt is told after it.
    pub(super) fn print(&self, out: &mut Output) -> Result<()> {
        out.document(self, |done| {
            facts([
                ("table", done.table.clone()),
                (
                    match done.change {
                        "put" => "rows put",
                        _ => "keys deleted",
                    },
                    grouped(done.rows),
                ),
                ("bytes", grouped(done.bytes)),
                ("durable commits", grouped(done.commits)),
            ])
        })?;
        if self.interrupted {
            let what = "interrupted between two commits; the same command does it all again, \
                        which changes nothing about the rows done";
            return Err(Stop::Interrupted(what.to_owned()).into());
        }
        Ok(())
    }
}

/// Whether a store may be changed, looked at before anything is.
pub(super) fn agreed(target: &Target, change: Change) -> Result<()> {
    target.write.check(change.word())
}

/// Looks at the store read-only and says what the table takes; `look` sees it, too.
pub(super) fn look(
    target: &Target,
    look: impl FnOnce(&AnyStore, &Limits) -> Result<()>,
) -> Result<Limits> {
    let opened = store::open_to_read(&target.store.store)?;
    let limits = Limits::of(&opened, &target.table)?;
    look(&opened, &limits)?;
    Ok(limits)
}

/// Changes one row.
pub(super) fn one(target: &Target, change: Change, limits: &Limits, row: &Row) -> Result<Written> {
    let mut written = Written::new(target, change);
    let mut batch = WriteBatch::new();
    limits.add(change, row, &mut batch)?;
    let _writing = interrupt::finish_commits();
    let opened = store::open_to_write(&target.store.store)?;
    written.commit(&opened, &mut batch)?;
    Ok(written)
}

/// Changes all rows of a file or of standard input, batch by batch.
pub(super) fn all(target: &Target, change: Change, from: &Path) -> Result<Written> {
    let limits = look(target, |_, _| Ok(()))?;
    if given::is_file(from) {
        check_all(change, &limits, from)?;
    }
    let mut written = Written::new(target, change);
    let writing = interrupt::finish_commits();
    let outcome = commit_all(&target.store.store, change, &limits, from, &mut written);
    drop(writing);
    if outcome.is_err() && written.commits > 0 {
        say(&format!(
            "chainstore: {} rows before the error are committed",
            grouped(written.rows)
        ));
    }
    outcome.map(|()| written)
}

/// Reads all rows once without a change, so that a bad one is known before the first commit.
fn check_all(change: Change, limits: &Limits, from: &Path) -> Result<()> {
    let mut progress = Progress::begin("check", Unit::Things("rows"), None);
    let mut rows = Rows::open(from)?;
    let mut batch = WriteBatch::new();
    let mut count = 0;
    while gather(change, limits, &mut rows, &mut batch)? {
        count += batch.len() as u64;
        progress.set(count, String::new);
        batch.clear();
    }
    Ok(())
}

fn commit_all(
    url: &StoreUrl,
    change: Change,
    limits: &Limits,
    from: &Path,
    written: &mut Written,
) -> Result<()> {
    let mut progress = Progress::begin(change.word(), Unit::Things("rows"), None);
    let mut rows = Rows::open(from)?;
    let mut batch = WriteBatch::new();
    let mut opened = None;
    while gather(change, limits, &mut rows, &mut batch)? {
        if interrupt::asked() {
            written.interrupted = true;
            break;
        }
        let store = match &opened {
            Some(store) => store,
            // Opened only now, so that rows which begin wrong touch nothing.
            None => opened.insert(store::open_to_write(url)?),
        };
        written.commit(store, &mut batch)?;
        progress.set(written.rows, String::new);
    }
    Ok(())
}

/// Fills a batch with the next rows; `false` when there are none.
fn gather(
    change: Change,
    limits: &Limits,
    rows: &mut Rows,
    batch: &mut WriteBatch,
) -> Result<bool> {
    while batch.len() < BATCH_ROWS_MAX && batch.payload_bytes() < BATCH_BYTES_MAX {
        let Some(row) = rows.next()? else { break };
        let added = limits.add(change, &row, batch);
        added.with_context(|| rows.place())?;
    }
    Ok(!batch.is_empty())
}
