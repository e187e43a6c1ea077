//! The place where a case works: the harness without its type, the test tables, and short ways to
//! fill and read them.
//!
//! Invariants: every case has a lab of its own; the tables and their settings are the same in every
//! case, so that a case says only what is special to it. Commits that are not about durability are
//! `Volatile`, which is cheapest everywhere.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use storage_api::blocks::{AutoCommit, KvBlocks};
use storage_api::{
    ChecksumSetting, Commit, Durability, Error, KeyLimit, KeyRange, KvStore, OpenOptions,
    OpenReport, Result, Schema, TableDef, TableId, WriteBatch, Writer,
};

use crate::case::{CaseError, CaseResult};
use crate::chain::{BlockHarness, Blocks, Over};
use crate::harness::{Harness, Profile};
use crate::ops::{Contents, TableRows, same_rows};
use crate::probe::{ReadProbe, Row, Store, StoreProbe};

/// A harness without its type.
trait Place {
    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<(Store, OpenReport)>;
    fn open_existing(&self, options: &OpenOptions) -> Result<(Store, OpenReport)>;
    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Store>>;
    fn directory(&self) -> Option<&Path>;
    fn profile(&self) -> Profile;
    fn open_blocks(&self, schema: &Schema, options: &OpenOptions) -> Result<Box<dyn Blocks>>;
}

impl<H: Harness> Place for H {
    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<(Store, OpenReport)> {
        let opened = Harness::open(self, schema, options)?;
        Ok((Box::new(opened.store), opened.report))
    }

    fn open_existing(&self, options: &OpenOptions) -> Result<(Store, OpenReport)> {
        let opened = Harness::open_existing(self, options)?;
        Ok((Box::new(opened.store), opened.report))
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Store>> {
        let opened = Harness::open_at(self, path, options)?;
        Some(opened.map(|opened| Box::new(opened.store) as Store))
    }

    fn directory(&self) -> Option<&Path> {
        Harness::directory(self)
    }

    fn profile(&self) -> Profile {
        Harness::profile(self)
    }

    fn open_blocks(&self, schema: &Schema, options: &OpenOptions) -> Result<Box<dyn Blocks>> {
        let mut schema = schema.clone();
        schema.merge(&KvBlocks::schema(ChecksumSetting::Envelope)?)?;
        let store = Arc::new(Harness::open(self, &schema, options)?.store);
        let blocks = KvBlocks::resolve(KvStore::catalogue(&*store))?;
        Ok(Box::new(Over(AutoCommit::new(store, blocks, QUICK))))
    }
}

/// A block harness as a place; it opens nothing but blocks.
struct BlockPlace<H>(H);

impl<H: BlockHarness> Place for BlockPlace<H> {
    fn open(&self, _: &Schema, _: &OpenOptions) -> Result<(Store, OpenReport)> {
        Err(Error::invalid("a harness of blocks opens no plain store"))
    }

    fn open_existing(&self, _: &OpenOptions) -> Result<(Store, OpenReport)> {
        Err(Error::invalid("a harness of blocks opens no plain store"))
    }

    fn open_at(&self, _: &Path, _: &OpenOptions) -> Option<Result<Store>> {
        None
    }

    fn directory(&self) -> Option<&Path> {
        None
    }

    fn profile(&self) -> Profile {
        Profile {
            name: "blocks-only",
            groups: Some(&["blocks"]),
        }
    }

    fn open_blocks(&self, schema: &Schema, options: &OpenOptions) -> Result<Box<dyn Blocks>> {
        let (store, blocks) = self.0.open(schema, options)?;
        Ok(Box::new(Over(AutoCommit::new(store, blocks, QUICK))))
    }
}

/// Plain tables.
pub(crate) const A: TableDef = TableDef::new("a");
/// See [`A`].
pub(crate) const B: TableDef = TableDef::new("b");
/// See [`A`].
pub(crate) const C: TableDef = TableDef::new("c");
/// Values carry our checksum.
pub(crate) const CHECKED: TableDef = TableDef::new("checked").with_envelope();
/// Hinted for large values.
pub(crate) const LARGE: TableDef = TableDef::new("large").large_values();
/// Hinted for ascending keys.
pub(crate) const APPEND: TableDef = TableDef::new("append").append_only();
/// Hinted for gets.
pub(crate) const POINTS: TableDef = TableDef::new("points").point_lookups();
/// Hinted for scans by a prefix of four bytes.
pub(crate) const PREFIXED: TableDef = TableDef::new("prefixed").prefix_bytes(4);
/// Keys as long as the engine takes.
pub(crate) const WIDE: TableDef = TableDef::new("wide").with_key_limit(KeyLimit::Engine);

/// Durability of commits whose durability is not what is tested.
pub(crate) const QUICK: Durability = Durability::Volatile;

/// The tables of every case, in order of declaration.
pub(crate) const STANDARD: [TableDef; 9] =
    [A, B, C, CHECKED, LARGE, APPEND, POINTS, PREFIXED, WIDE];

/// One place with its way of opening.
pub struct Lab {
    place: Box<dyn Place>,
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("directory", &self.place.directory())
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// A lab at the place of this harness.
    pub fn new<H: Harness>(harness: H) -> Self {
        Self {
            place: Box::new(harness),
        }
    }

    /// A lab at the place of this harness of a block store.
    pub fn of_blocks<H: BlockHarness>(harness: H) -> Self {
        Self {
            place: Box::new(BlockPlace(harness)),
        }
    }

    pub(crate) fn profile(&self) -> Profile {
        self.place.profile()
    }

    /// Opens a block store with table [`A`] beside it.
    pub(crate) fn open_blocks(&self) -> Result<Box<dyn Blocks>> {
        self.place
            .open_blocks(&Schema::new(&[A])?, &OpenOptions::new())
    }

    /// Opens with the standard tables and default options.
    pub(crate) fn open(&self) -> Result<Subject> {
        self.open_with(&STANDARD, &OpenOptions::new())
    }

    /// Opens with these tables; standard tables that are not among them resolve to the internal id.
    pub(crate) fn open_with(&self, tables: &[TableDef], options: &OpenOptions) -> Result<Subject> {
        let (store, report) = self.place.open(&Schema::new(tables)?, options)?;
        Ok(Subject::new(store, report))
    }

    /// Opens without a schema.
    pub(crate) fn open_existing(&self, options: &OpenOptions) -> Result<Subject> {
        let (store, report) = self.place.open_existing(options)?;
        Ok(Subject::new(store, report))
    }

    /// Opens a copy in another directory; a skip when the harness cannot.
    pub(crate) fn open_at(&self, path: &Path) -> Result<Subject, CaseError> {
        let opened = self.place.open_at(path, &OpenOptions::read_only());
        let store = opened.ok_or_else(|| CaseError::skipped("the harness opens no copies"))??;
        Ok(Subject::new(store, OpenReport::default()))
    }

    /// The store's directory; a skip when there is none.
    pub(crate) fn directory(&self) -> Result<&Path, CaseError> {
        self.place
            .directory()
            .ok_or_else(|| CaseError::skipped("no directory to look into"))
    }

    /// Opens like [`Lab::open`]; a skip when the store forgets on closing.
    pub(crate) fn open_persistent(&self) -> Result<Subject, CaseError> {
        let subject = self.open()?;
        if subject.capabilities().persistent {
            return Ok(subject);
        }
        Err(CaseError::skipped("persistent is not declared"))
    }
}

/// An open store with its tables resolved.
pub(crate) struct Subject {
    pub(crate) store: Store,
    pub(crate) report: OpenReport,
    pub(crate) a: TableId,
    pub(crate) b: TableId,
    pub(crate) c: TableId,
    pub(crate) checked: TableId,
    pub(crate) large: TableId,
    pub(crate) append: TableId,
    pub(crate) points: TableId,
    pub(crate) prefixed: TableId,
    pub(crate) wide: TableId,
}

impl Deref for Subject {
    type Target = dyn StoreProbe;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl Subject {
    fn new(store: Store, report: OpenReport) -> Self {
        let id = |table: &TableDef| {
            store
                .catalogue()
                .id(table.name())
                .unwrap_or(TableId::INTERNAL)
        };
        Self {
            a: id(&A),
            b: id(&B),
            c: id(&C),
            checked: id(&CHECKED),
            large: id(&LARGE),
            append: id(&APPEND),
            points: id(&POINTS),
            prefixed: id(&PREFIXED),
            wide: id(&WIDE),
            store,
            report,
        }
    }

    /// The standard tables whose keys are portable: the same operations must mean the same in each.
    pub(crate) fn tables(&self) -> [TableId; 8] {
        [
            self.a,
            self.b,
            self.c,
            self.checked,
            self.large,
            self.append,
            self.points,
            self.prefixed,
        ]
    }

    /// Puts rows as one batch.
    pub(crate) fn fill<'r>(
        &self,
        table: TableId,
        rows: impl IntoIterator<Item = (&'r [u8], &'r [u8])>,
    ) -> Result<Commit> {
        let mut batch = WriteBatch::new();
        for (key, value) in rows {
            batch.put(table, key, value)?;
        }
        self.apply(&batch, QUICK)
    }

    /// Puts the rows of a model as one batch.
    pub(crate) fn fill_rows(&self, table: TableId, rows: &TableRows) -> Result<Commit> {
        self.fill(
            table,
            rows.iter().map(|(key, value)| (&key[..], &value[..])),
        )
    }

    /// Puts one row as one commit.
    pub(crate) fn put(&self, table: TableId, key: &[u8], value: &[u8]) -> Result<Commit> {
        self.fill(table, [(key, value)])
    }

    /// A copy of a value in a view of its own.
    pub(crate) fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.begin_read()?.get(table, key)
    }

    /// All rows of a table in a view of its own.
    pub(crate) fn rows(&self, table: TableId) -> Result<Vec<Row>> {
        self.begin_read()?.rows(table, KeyRange::all())
    }

    /// States that the store holds exactly this.
    pub(crate) fn holds(&self, expected: &Contents, what: &str) -> CaseResult {
        let view = self.begin_read()?;
        reader_holds(&*view, expected, what)
    }

    /// States that a table holds exactly these rows.
    pub(crate) fn table_holds(
        &self,
        table: TableId,
        expected: &TableRows,
        what: &str,
    ) -> CaseResult {
        let view = self.begin_read()?;
        table_holds(&*view, table, expected, what)
    }
}

/// States that a reader sees exactly this in the tables that the model names.
pub(crate) fn reader_holds(reader: &dyn ReadProbe, expected: &Contents, what: &str) -> CaseResult {
    expected
        .iter()
        .try_for_each(|(table, rows)| table_holds(reader, *table, rows, what))
}

/// States that a reader sees exactly these rows in a table, by a scan both ways, by gets and by
/// counting.
pub(crate) fn table_holds(
    reader: &dyn ReadProbe,
    table: TableId,
    expected: &TableRows,
    what: &str,
) -> CaseResult {
    let rows: Vec<Row> = expected
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    same_rows(
        &reader.rows(table, KeyRange::all())?,
        &rows,
        &format!("{what}, table {table}"),
    )?;
    for (key, value) in expected {
        if reader.get(table, key)?.as_ref() != Some(value) {
            return Err(CaseError::failed(format!(
                "{what}, table {table}: a row that a scan finds is not found by get"
            )));
        }
    }
    let counted = reader.count_exact(table)?;
    if counted != rows.len() as u64 {
        return Err(CaseError::failed(format!(
            "{what}, table {table}: expected a count of {}, found {counted}",
            rows.len()
        )));
    }
    Ok(())
}

/// Which way a case writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// One batch.
    Batch,
    /// One write transaction.
    Txn,
}

impl Lane {
    /// Writes and commits.
    pub(crate) fn write(
        self,
        subject: &Subject,
        write: &mut dyn FnMut(&mut dyn Writer) -> Result<()>,
    ) -> Result<Commit> {
        match self {
            Self::Batch => {
                let mut batch = WriteBatch::new();
                write(&mut batch)?;
                subject.apply(&batch, QUICK)
            }
            Self::Txn => {
                let mut txn = subject.begin_write()?;
                write(&mut *txn)?;
                txn.commit(QUICK)
            }
        }
    }
}
