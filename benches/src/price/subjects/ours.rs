//! Our stores, by one piece of code for the static types, the enum and the erased form.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use storage_api::{
    Cursor, Durability, DynStore, Entry, KeyRange, KvStore, Reader, ReaderExt as _, Schema,
    TableDef, TableId, WriteBatch, WriteTxn, Writer,
};

#[cfg(feature = "lmdb")]
use super::lmdb::MAP_BYTES as LMDB_MAP_BYTES;
use super::{Subject, expect, look, look_at_row, starts};
use crate::engines::MEMORY_BUDGET_BYTES;
use crate::price::case::{Block, Operation};
use crate::price::rows::{Rows, Turn};

const ROWS: TableDef = TableDef::new("rows");

/// A reader with the order of its keys.
struct Reading<R> {
    view: R,
    table: TableId,
    rows: Arc<Rows>,
    turn: Turn,
}

struct Ours<S: KvStore> {
    reading: Reading<S::ReadTxn>,
    batch: WriteBatch,
    version: usize,
    store: Arc<S>,
}

fn open(engine: EngineName, rows: &Rows, dir: &Path) -> Result<AnyStore> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let mut opener = Opener {
        schema: Schema::new([&ROWS])?,
        ..Opener::default()
    };
    opener.options.memory_budget_bytes = Some(MEMORY_BUDGET_BYTES);
    #[cfg(feature = "lmdb")]
    {
        opener.engines.lmdb.map_bytes_initial = Some(LMDB_MAP_BYTES);
        opener.engines.lmdb.map_bytes_max = Some(LMDB_MAP_BYTES);
    }
    let (store, _) = opener.open(&url)?;
    let table = store.catalogue().id(ROWS.name())?;
    let mut txn = store.begin_write()?;
    for (at, key) in rows.keys.iter().enumerate() {
        txn.put(table, key, rows.value(at, 0))?;
    }
    txn.commit(Durability::Buffered)?;
    if let Some(compact) = store.as_compact()
        && engine == EngineName::Rocks
    {
        compact.compact()?;
    }
    Ok(store)
}

fn subject<S: KvStore>(store: S, rows: Arc<Rows>) -> Result<Box<dyn Subject>> {
    let table = store.catalogue().id(ROWS.name())?;
    let reading = Reading {
        view: store.begin_read()?,
        table,
        rows,
        turn: Turn::default(),
    };
    Ok(Box::new(Ours {
        reading,
        batch: WriteBatch::new(),
        version: 0,
        store: Arc::new(store),
    }))
}

/// Hands the store over by its own type.
macro_rules! by_type {
    ($store:expr, $own:ident => $made:expr) => {
        match $store {
            AnyStore::Mem($own) => $made,
            #[cfg(feature = "redb")]
            AnyStore::Redb($own) => $made,
            #[cfg(feature = "lmdb")]
            AnyStore::Lmdb($own) => $made,
            #[cfg(feature = "rocks")]
            AnyStore::Rocks($own) => $made,
            other => bail!("{} has no static form here", other.engine_name()),
        }
    };
}

pub(super) fn fixed(engine: EngineName, rows: Arc<Rows>, dir: &Path) -> Result<Box<dyn Subject>> {
    by_type!(open(engine, &rows, dir)?, store => subject(store, rows))
}

pub(super) fn any(engine: EngineName, rows: Arc<Rows>, dir: &Path) -> Result<Box<dyn Subject>> {
    subject(open(engine, &rows, dir)?, rows)
}

pub(super) fn erased(engine: EngineName, rows: Arc<Rows>, dir: &Path) -> Result<Box<dyn Subject>> {
    by_type!(open(engine, &rows, dir)?, store => subject(DynStore::new(store), rows))
}

impl<R: Reader> Reading<R> {
    fn gets(&mut self, keys: fn(&Rows) -> &[[u8; 32]], times: usize, wanted: usize) -> Result<()> {
        let keys = keys(&self.rows);
        let mut found = 0;
        for _ in 0..times {
            let key = &keys[self.turn.next(keys.len())];
            if let Some(value) = self.view.get(self.table, key)? {
                look(&value);
                found += 1;
            }
        }
        expect(found, wanted)
    }

    fn gets_lent(&mut self, times: usize) -> Result<()> {
        let mut found = 0;
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            found += usize::from(self.view.get_with(self.table, key, &mut look)?);
        }
        expect(found, times)
    }

    fn multi_gets(&mut self, at_once: usize, times: usize) -> Result<()> {
        let mut keys: Vec<&[u8]> = Vec::with_capacity(at_once);
        let (mut found, mut wanted) = (0, 0);
        for _ in 0..times {
            let places = self.turn.next_many(at_once, self.rows.hits.len());
            keys.clear();
            keys.extend(self.rows.hits[places].iter().map(|key| &key[..]));
            wanted += keys.len();
            self.view.multi_get(self.table, &keys, &mut |_, value| {
                if let Some(value) = value {
                    look(value);
                    found += 1;
                }
            })?;
        }
        expect(found, wanted)
    }

    fn seeks(&mut self, times: usize) -> Result<()> {
        let mut cursor = self.view.cursor(self.table, KeyRange::all())?;
        let mut found = 0;
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            if let Some(Entry { key, value }) = cursor.seek(key)? {
                look_at_row(key, value);
                found += 1;
            }
        }
        expect(found, times)
    }

    fn ranges(&mut self, most: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            let at = self.turn.next(starts(&self.rows, most));
            let range = KeyRange::from_key(&self.rows.keys[at]);
            let mut cursor = self.view.cursor(self.table, range)?;
            let mut found = 0;
            cursor.scan(&mut |key, value| {
                look_at_row(key, value);
                found += 1;
                if found < most {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            expect(found, most.min(self.rows.keys.len()))?;
        }
        Ok(())
    }

    fn scan(&self) -> Result<()> {
        let mut found = 0;
        self.view.scan(self.table, KeyRange::all(), |row| {
            look_at_row(row.key, row.value);
            found += 1;
            ControlFlow::Continue(())
        })?;
        expect(found, self.rows.keys.len())
    }

    /// A cursor that is stepped: there is no other way back.
    fn scan_back(&self) -> Result<()> {
        let mut cursor = self.view.cursor(self.table, KeyRange::all())?;
        let mut found = 0;
        let mut row = cursor.last()?;
        while let Some(Entry { key, value }) = row {
            look_at_row(key, value);
            found += 1;
            row = cursor.prev()?;
        }
        expect(found, self.rows.keys.len())
    }

    /// Reads; `false` for an operation that is not one.
    fn run(&mut self, operation: Operation, times: usize) -> Result<bool> {
        match operation {
            Operation::GetHit => self.gets(|rows| &rows.hits, times, times)?,
            Operation::GetMiss => self.gets(|rows| &rows.misses, times, 0)?,
            Operation::GetWith => self.gets_lent(times)?,
            Operation::Seek => self.seeks(times)?,
            Operation::ScanForward => (0..times).try_for_each(|_| self.scan())?,
            Operation::ScanReverse => (0..times).try_for_each(|_| self.scan_back())?,
            operation => match (operation.keys_at_once(), operation.range_rows()) {
                (Some(at_once), _) => self.multi_gets(at_once, times)?,
                (_, Some(most)) => self.ranges(most, times)?,
                (None, None) => return Ok(false),
            },
        }
        Ok(true)
    }
}

impl<S: KvStore> Ours<S> {
    fn batch(&mut self, puts: usize) -> Result<()> {
        self.version += 1;
        let Reading {
            table, rows, turn, ..
        } = &mut self.reading;
        self.batch.clear();
        for at in turn.next_many(puts, rows.hits.len()) {
            self.batch
                .put(*table, &rows.hits[at], rows.value(at, self.version))?;
        }
        self.store.apply(&self.batch, Durability::Buffered)?;
        Ok(())
    }

    fn transaction(&mut self, block: Block) -> Result<()> {
        self.version += 1;
        let Reading {
            table, rows, turn, ..
        } = &mut self.reading;
        let mut txn = self.store.begin_write()?;
        let places = turn.next_many(block.operations, rows.hits.len());
        for (number, at) in places.enumerate() {
            let key = &rows.hits[at];
            if number * block.reads_percent % 100 + block.reads_percent >= 100 {
                match txn.get(*table, key)? {
                    Some(value) => look(&value),
                    None => bail!("a row is gone"),
                }
            } else {
                txn.put(*table, key, rows.value(at, self.version))?;
            }
        }
        txn.commit(Durability::Buffered)?;
        Ok(())
    }
}

impl<S: KvStore> Subject for Ours<S> {
    fn has(&self, _: Operation) -> bool {
        true
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        if operation == Operation::BeginRead {
            for _ in 0..times {
                drop(std::hint::black_box(self.store.begin_read()?));
            }
            return Ok(());
        }
        if self.reading.run(operation, times)? {
            return Ok(());
        }
        for _ in 0..times {
            match (operation.batch(), operation.block()) {
                (Some(puts), _) => self.batch(puts)?,
                (_, Some(block)) => self.transaction(block)?,
                (None, None) => return super::missing(operation),
            }
        }
        Ok(())
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(Some(Box::new(Reading {
            view: self.store.begin_read()?,
            table: self.reading.table,
            rows: Arc::clone(&self.reading.rows),
            turn: Turn::default(),
        })))
    }
}

impl<R: Reader> Subject for Reading<R> {
    fn has(&self, operation: Operation) -> bool {
        !operation.writes() && operation != Operation::BeginRead
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        if Self::run(self, operation, times)? {
            return Ok(());
        }
        super::missing(operation)
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(None)
    }
}
