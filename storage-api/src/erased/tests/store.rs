//! [`MapStore`]: a store of plain maps, just enough of one to be erased.
//!
//! One writer at a time by a mutex, an overlay over the last commit for its writes, a shared map
//! for each view.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use crate::capability::{Capabilities, Mode};
use crate::commit::{Commit, CommitSeq, Durability, Effective};
use crate::contract::{
    Compact, CompactReport, Count, Cursor, Entry, KvStore, ReadTxn, Reader, Savepoint, StoreStats,
    TableStats, WriteBatch, WriteTxn, Writer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::overlay::tests::{MapCursor, MapReader, Tables};
use crate::overlay::{Overlay, OverlayCursor, OverlayValue};
use crate::range::KeyRange;
use crate::table::{Catalogue, TableDef, TableId, TableInfo};

pub(super) const T: TableId = TableId::new(3);

#[derive(Clone)]
struct State {
    tables: Arc<Tables>,
    seq: CommitSeq,
}

pub(super) struct MapStore {
    capabilities: Capabilities,
    catalogue: Catalogue,
    writer: Mutex<()>,
    state: Mutex<State>,
}

impl MapStore {
    pub(super) fn new() -> Self {
        let def = TableDef::new("rows");
        Self {
            capabilities: Capabilities {
                compact: Mode::Online,
                readers_max: Some(17),
                ..Capabilities::IN_MEMORY
            },
            catalogue: Catalogue::new(vec![TableInfo { id: T, def }]).unwrap(),
            writer: Mutex::new(()),
            state: Mutex::new(State {
                tables: Arc::default(),
                seq: CommitSeq::ZERO,
            }),
        }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    fn publish(&self, batch: &WriteBatch) -> Result<Commit> {
        let mut state = self.state.lock().unwrap();
        Arc::make_mut(&mut state.tables).apply(batch)?;
        state.seq = state.seq.next();
        Ok(Commit {
            seq: Some(state.seq),
            effective: Effective::Process,
        })
    }

    fn txn<'s>(&'s self, gate: MutexGuard<'s, ()>) -> MapWriteTxn<'s> {
        MapWriteTxn {
            store: self,
            overlay: Overlay::new(MapReader::shared(self.state().tables)),
            _gate: gate,
        }
    }
}

impl Compact for MapStore {
    fn compact(&self) -> Result<CompactReport> {
        Ok(CompactReport {
            before_bytes: 11,
            after_bytes: 7,
            took: Duration::ZERO,
        })
    }
}

impl KvStore for MapStore {
    type ReadTxn = MapReadTxn;
    type WriteTxn<'s> = MapWriteTxn<'s>;

    fn engine_name(&self) -> &str {
        "map"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn begin_read(&self) -> Result<MapReadTxn> {
        let state = self.state();
        Ok(MapReadTxn {
            reader: MapReader::shared(state.tables),
            seq: state.seq,
        })
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<MapReadTxn>> {
        Ok(vec![self.begin_read()?; views.get()])
    }

    fn begin_write(&self) -> Result<MapWriteTxn<'_>> {
        Ok(self.txn(self.writer.lock().unwrap()))
    }

    fn try_begin_write(&self, _wait: Duration) -> Result<Option<MapWriteTxn<'_>>> {
        match self.writer.try_lock() {
            Ok(gate) => Ok(Some(self.txn(gate))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Poisoned(_)) => Err(Error::invalid("a writer panicked")),
        }
    }

    fn apply(&self, batch: &WriteBatch, _durability: Durability) -> Result<Commit> {
        let _gate = self.writer.lock().unwrap();
        self.publish(batch)
    }

    fn sync(&self) -> Result<()> {
        Err(Error::unsupported("sync of a map"))
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        let rows = self.begin_read()?.count(table)?;
        Ok(TableStats { rows, bytes: None })
    }

    fn stats(&self) -> Result<StoreStats> {
        Ok(StoreStats {
            commit_seq: self.state().seq,
            ..StoreStats::default()
        })
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        Some(self)
    }
}

#[derive(Clone)]
pub(super) struct MapReadTxn {
    reader: MapReader,
    seq: CommitSeq,
}

impl Reader for MapReadTxn {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = MapCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        if table != T {
            let table = table.to_string();
            return Err(Error::new(ErrorKind::UnknownTable { table }));
        }
        self.reader.get(table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<MapCursor<'_>> {
        self.reader.cursor(table, range)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.reader.count(table)
    }
}

impl ReadTxn for MapReadTxn {
    fn commit_seq(&self) -> Result<CommitSeq> {
        Ok(self.seq)
    }
}

pub(super) struct MapWriteTxn<'s> {
    store: &'s MapStore,
    overlay: Overlay<MapReader>,
    _gate: MutexGuard<'s, ()>,
}

impl Reader for MapWriteTxn<'_> {
    type Value<'a>
        = OverlayValue<'a, &'a [u8]>
    where
        Self: 'a;

    type Cursor<'a>
        = OverlayCursor<'a, MapCursor<'a>>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.overlay.get(table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.overlay.cursor(table, range)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.overlay.count(table)
    }
}

impl Writer for MapWriteTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::new(ErrorKind::EmptyKey));
        }
        self.overlay.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.overlay.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.overlay.delete_range(table, range)
    }
}

impl WriteTxn for MapWriteTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.overlay.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.release(savepoint)
    }

    fn commit(self, _durability: Durability) -> Result<Commit> {
        self.store.publish(self.overlay.batch())
    }

    fn abort(self) -> Result<()> {
        Ok(())
    }
}

/// A cursor that is asked for its keys only.
pub(super) fn keys(cursor: &mut impl Cursor) -> Vec<u8> {
    let mut keys = Vec::new();
    while let Some(Entry { key, .. }) = cursor.next().unwrap() {
        keys.push(key[0]);
    }
    keys
}
