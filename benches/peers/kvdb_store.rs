//! Any store behind the `kvdb` interface, as both programs of peers use it. The interface has no
//! durable commit, no views and no range from a key on.

use std::hint::black_box;

use anyhow::Result;
use benches::comparison::script::{Changes, Script};
use benches::comparison::{About, Contestant, Level, Offered};
use benches::workload::Key;
use kvdb::KeyValueDB;

/// Rows of one batch of the load.
const BATCH_ROWS: usize = 100_000;

/// The one column.
const ROWS: u32 = 0;

/// How a store of the interface gives back space; the interface itself cannot.
pub(crate) type Compact<D> = fn(&D) -> Result<Offered>;

pub(crate) struct Kvdb<D> {
    pub(crate) db: D,
    pub(crate) about: About,
    pub(crate) is_persistent: bool,
    pub(crate) compact: Compact<D>,
}

impl<D: KeyValueDB> Contestant for Kvdb<D> {
    fn about(&self) -> About {
        self.about.clone()
    }

    fn is_persistent(&self) -> bool {
        self.is_persistent
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        for rows in script.sorted_rows().chunks(BATCH_ROWS) {
            let mut txn = self.db.transaction();
            for (key, value) in rows {
                txn.put(ROWS, &key[..], value);
            }
            self.db.write(txn)?;
        }
        Ok(())
    }

    fn commit(&self, changes: Changes<'_>, level: Level) -> Result<Offered> {
        if level == Level::Durable && self.is_persistent {
            return Ok(Offered::Not);
        }
        let mut txn = self.db.transaction();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => txn.put(ROWS, key, value),
                None => txn.delete(ROWS, key),
            }
        }
        self.db.write(txn)?;
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let mut bytes = 0;
        for key in keys {
            if let Some(value) = self.db.get(ROWS, key)? {
                bytes += value.len();
                black_box(value.first());
            }
        }
        Ok(bytes)
    }

    fn ranges(&self, _: &[Key], _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn scan(&self) -> Result<Option<usize>> {
        let mut found = 0;
        for row in self.db.iter(ROWS) {
            let (key, value) = row?;
            black_box((key.first(), value.first()));
            found += 1;
        }
        Ok(Some(found))
    }

    fn compact(&self) -> Result<Offered> {
        (self.compact)(&self.db)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
