//! Other people's stores as stores of blocks: fjall with values apart from keys, and parity-db. One
//! process lives one life; see `benches::blocks`.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result};
use benches::blocks::{Subject, serve};
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable,
};
use parity_db::{Db, Options};

struct Fjall {
    db: Database,
    rows: Keyspace,
}

fn fjall(dir: &Path) -> Result<Box<dyn Subject>> {
    let db = Database::builder(dir.join("db"))
        .cache_size(512 << 20)
        .open()?;
    let options = || {
        KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
    };
    let rows = db.keyspace("blocks", options)?;
    Ok(Box::new(Fjall { db, rows }))
}

impl Subject for Fjall {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        let mut batch = self.db.batch();
        for (height, body) in (first..).zip(bodies) {
            batch.insert(&self.rows, height.to_be_bytes(), *body);
        }
        Ok(batch.commit()?)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let body = self.rows.get(height.to_be_bytes())?;
        Ok(body.context("a block is not there")?.len())
    }

    fn scan(&mut self) -> Result<u64> {
        let mut bytes = 0;
        for row in self.db.snapshot().iter(&self.rows) {
            let (_, body) = row.into_inner()?;
            bytes += body.len() as u64;
        }
        Ok(bytes)
    }
}

struct Parity {
    options: Options,
    db: Option<Db>,
    blocks: u64,
}

fn parity(dir: &Path) -> Result<Box<dyn Subject>> {
    let mut options = Options::with_columns(&dir.join("db"), 1);
    options.stats = false;
    let db = Some(Db::open_or_create(&options)?);
    Ok(Box::new(Parity {
        options,
        db,
        blocks: 0,
    }))
}

impl Parity {
    fn db(&self) -> Result<&Db> {
        self.db.as_ref().context("the store is closed")
    }
}

impl Subject for Parity {
    fn can_sync(&self) -> bool {
        false
    }

    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        let rows = (first..).zip(bodies);
        let rows = rows.map(|(height, body)| (0, height.to_be_bytes(), Some(body.to_vec())));
        self.db()?.commit(rows)?;
        self.blocks = self.blocks.max(first + bodies.len() as u64);
        Ok(())
    }

    /// Closing waits until all is written.
    fn sync(&mut self) -> Result<()> {
        drop(self.db.take());
        self.db = Some(Db::open_or_create(&self.options)?);
        Ok(())
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let body = self.db()?.get(0, &height.to_be_bytes())?;
        Ok(body.context("a block is not there")?.len())
    }

    fn scan(&mut self) -> Result<u64> {
        let mut bytes = 0;
        for height in 0..self.blocks {
            bytes += self.read(height)? as u64;
        }
        Ok(bytes)
    }
}

fn main() -> Result<()> {
    serve(&[("fjall, values apart", &fjall), ("parity-db", &parity)])
}
