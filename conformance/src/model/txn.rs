//! The model's write transaction: a copy-on-write set of tables, and a stack of such sets for
//! savepoints.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use storage_api::{
    Commit, Count, Durability, Error, KeyRange, Reader, Result, Savepoint, TableId, WriteTxn,
    Writer,
};

use super::gate::Pass;
use super::read::ModelTableCursor;
use super::store::{Core, NAME};
use crate::ops::TableRows;

/// Tables by number; equal ones are shared.
pub(super) type Tables = BTreeMap<TableId, Arc<TableRows>>;

/// The write transaction.
#[derive(Debug)]
pub struct ModelTxn<'s> {
    core: &'s Core,
    _pass: Pass<'s>,
    tables: Tables,
    savepoints: Vec<Tables>,
    /// Binds it to its thread, as the contract wants of every write transaction.
    _thread: PhantomData<*const ()>,
}

impl<'s> ModelTxn<'s> {
    pub(super) fn new(core: &'s Core, pass: Pass<'s>, tables: Tables) -> Self {
        Self {
            core,
            _pass: pass,
            tables,
            savepoints: Vec::new(),
            _thread: PhantomData,
        }
    }

    fn table(&self, table: TableId, operation: &'static str) -> Result<&TableRows> {
        self.core
            .table_def(table)
            .map_err(|error| error.with_operation(operation))?;
        Ok(self
            .tables
            .get(&table)
            .map_or(&self.core.no_rows, |rows| &**rows))
    }

    fn change(&mut self, table: TableId) -> &mut TableRows {
        Arc::make_mut(self.tables.entry(table).or_default())
    }

    fn check_savepoint(&self, savepoint: Savepoint) -> Result<usize> {
        let depth = savepoint.depth() as usize;
        if depth < self.savepoints.len() {
            return Ok(depth);
        }
        let error = Error::invalid(format!("no savepoint of depth {depth} in this transaction"));
        Err(error.with_engine(NAME))
    }
}

impl Reader for ModelTxn<'_> {
    type Value<'a>
        = &'a [u8]
    where
        Self: 'a;
    type Cursor<'a>
        = ModelTableCursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        Ok(self.table(table, "get")?.get(key).map(Vec::as_slice))
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<ModelTableCursor<'_>> {
        Ok(ModelTableCursor::new(self.table(table, "cursor")?, range))
    }

    fn count(&self, table: TableId) -> Result<Count> {
        Ok(Count::Exact(self.table(table, "count")?.len() as u64))
    }
}

impl Writer for ModelTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        let checked = self.core.check_key(table, key);
        let checked = checked.and_then(|()| self.core.check_value(table, value));
        checked.map_err(|error| error.with_operation("put"))?;
        self.change(table).insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.core
            .check_key(table, key)
            .map_err(|error| error.with_operation("delete"))?;
        self.change(table).remove(key);
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.table(table, "delete_range")?;
        self.change(table).retain(|key, _| !range.contains(key));
        Ok(())
    }
}

impl WriteTxn for ModelTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        let depth = self.savepoints.len();
        self.savepoints.push(self.tables.clone());
        Ok(Savepoint::at_depth(
            u32::try_from(depth).unwrap_or(u32::MAX),
        ))
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        let depth = self.check_savepoint(savepoint)?;
        self.savepoints.truncate(depth + 1);
        self.tables = self.savepoints[depth].clone();
        Ok(())
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        let depth = self.check_savepoint(savepoint)?;
        self.savepoints.truncate(depth);
        Ok(())
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        Ok(self.core.publish(self.tables, durability))
    }

    fn abort(self) -> Result<()> {
        Ok(())
    }
}
