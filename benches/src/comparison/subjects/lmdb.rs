//! LMDB used raw, through heed: one database, one read transaction for each piece of work, the
//! appending load.

use std::hint::black_box;
use std::ops::Bound;
use std::path::Path;

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, PutFlags, WithoutTls};

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::machine;
use crate::workload::Key;

/// Address space, of which only what is used becomes a file.
const MAP_BYTES: u64 = 64 << 30;

/// One tuning at a time left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// As we use it.
    Ours,
    /// A read transaction for each get and each range.
    TxnPerRead,
    /// Sorted rows are put, not appended.
    SortedPuts,
    /// Rows are put as they come.
    PutsAsTheyCome,
}

struct Lmdb {
    tuning: Tuning,
    env: Env<WithoutTls>,
    rows: Database<'static, Bytes, Bytes>,
}

pub(super) fn make(dir: &Path, _: u64) -> Result<Box<dyn Contestant>> {
    make_with(dir, Tuning::Ours)
}

pub(super) fn make_with(dir: &Path, tuning: Tuning) -> Result<Box<dyn Contestant>> {
    let env = backend_lmdb::open_raw(dir, MAP_BYTES)?;
    let rows = env
        .create_databases_and_commit(env.write_txn()?, |opener, txn| {
            let rows = opener.create_database::<Bytes, Bytes>(txn, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
        })?
        .commit()
        .context("the table was not made")?;
    Ok(Box::new(Lmdb { tuning, env, rows }))
}

impl Contestant for Lmdb {
    fn about(&self) -> About {
        About {
            version: machine::engine_version("lmdb"),
            durable: "outlives power loss".to_owned(),
            buffered: "as durable: the engine has no safe level between".to_owned(),
            load: "sorted, appended in one transaction (MDB_APPEND)".to_owned(),
        }
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        if self.tuning == Tuning::PutsAsTheyCome {
            for (key, value) in script.rows() {
                self.rows.put(&mut txn, key, value)?;
            }
            return Ok(txn.commit()?);
        }
        let flags = match self.tuning {
            Tuning::SortedPuts => PutFlags::empty(),
            _ => PutFlags::APPEND,
        };
        for (key, value) in script.sorted_rows() {
            self.rows.put_with_flags(&mut txn, flags, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn commit(&self, changes: Changes<'_>, _: Level) -> Result<Offered> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in changes.iter() {
            match value {
                Some(value) => self.rows.put(&mut txn, key, value)?,
                None => {
                    self.rows.delete(&mut txn, key)?;
                }
            }
        }
        txn.commit()?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let mut txn = self.env.read_txn()?;
        let mut bytes = 0;
        for key in keys {
            if self.tuning == Tuning::TxnPerRead {
                txn = self.env.read_txn()?;
            }
            if let Some(value) = self.rows.get(&txn, key)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let mut txn = self.env.read_txn()?;
        let mut found = 0;
        for start in starts {
            if self.tuning == Tuning::TxnPerRead {
                txn = self.env.read_txn()?;
            }
            let from = (Bound::Included(&start[..]), Bound::Unbounded);
            for row in self.rows.range(&txn, &from)?.take(rows) {
                let (key, value) = row?;
                black_box((key.first(), value.first()));
                found += 1;
            }
        }
        Ok(Some(found))
    }

    fn scan(&self) -> Result<Option<usize>> {
        let txn = self.env.read_txn()?;
        let mut found = 0;
        for row in self.rows.iter(&txn)? {
            let (key, value) = row?;
            black_box((key.first(), value.first()));
            found += 1;
        }
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        Ok(Offered::Not)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
