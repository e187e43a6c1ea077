//! The engine under the tests: rows in a sorted map, the whole map in one file after each commit.
//!
//! Invariant: it does what the raw level promises, except where its [`Plan`] says otherwise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use backend_kit::{
    CommitFailure, InsertingLoader, RawBatch, RawEngine, RawOpen, RawOpened, RawSpace, RawTxn,
};
use storage_api::{
    Access, BulkMode, Capabilities, Count, Cursor, Durability, Effective, Entry, Error, ErrorKind,
    KeyRange, Location, Mode, Reader, Result, Sharing, TableId, Writer,
};

/// What goes wrong, and when.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Opening fails.
    pub(crate) open_fails: AtomicBool,
    /// A put panics.
    pub(crate) put_panics: AtomicBool,
    /// Where something fails, and with what.
    pub(crate) failure: Mutex<Option<(Failing, ErrorKind)>>,
    /// A commit writes and then fails.
    pub(crate) commit_fails: AtomicBool,
    /// A sync fails.
    pub(crate) sync_fails: AtomicBool,
    /// A cursor is damaged at the row of this number, counted from 1, and begins again.
    pub(crate) thrown_back_at: AtomicUsize,
    /// A cursor panics at the row of this number, counted from 1.
    pub(crate) row_panics_at: AtomicUsize,
}

/// Where something fails before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    Begin,
    Put,
    Commit,
}

impl Plan {
    fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::SeqCst)
    }

    fn check(&self, here: Failing) -> Result<()> {
        match &*self.failure.lock().unwrap() {
            Some((place, kind)) if *place == here => Err(kind.clone().into()),
            _ => Ok(()),
        }
    }
}

type Rows = BTreeMap<(TableId, Vec<u8>), Vec<u8>>;

/// The file that holds the rows.
pub(crate) const ROWS_FILE: &str = "rows";

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'b>(bytes: &mut &'b [u8]) -> &'b [u8] {
    let (len, rest) = bytes.split_first_chunk::<4>().unwrap();
    let (field, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
    *bytes = rest;
    field
}

/// Writes the rows of a store that nobody has open.
pub(crate) fn save(file: &Path, rows: &Rows) {
    let mut out = Vec::new();
    for ((table, key), value) in rows {
        push(&mut out, &table.get().to_le_bytes());
        push(&mut out, key);
        push(&mut out, value);
    }
    std::fs::write(file, out).unwrap();
}

/// Reads the rows of a store.
pub(crate) fn load(file: &Path) -> Rows {
    let text = std::fs::read(file).unwrap_or_default();
    let (mut rest, mut rows) = (&text[..], Rows::new());
    while !rest.is_empty() {
        let table = u16::from_le_bytes(take(&mut rest).try_into().unwrap());
        let key = take(&mut rest).to_vec();
        rows.insert((TableId::new(table), key), take(&mut rest).to_vec());
    }
    rows
}

/// The engine.
#[derive(Debug)]
pub(crate) struct TestEngine {
    rows: Mutex<Arc<Rows>>,
    file: Option<PathBuf>,
    plan: Arc<Plan>,
}

impl TestEngine {
    fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A view.
#[derive(Debug)]
pub(crate) struct TestView {
    rows: Arc<Rows>,
    plan: Arc<Plan>,
}

/// A cursor: a list of rows, and how many of them lie behind it.
#[derive(Debug)]
pub(crate) struct TestCursor<'a> {
    rows: Vec<(&'a [u8], &'a [u8])>,
    /// The row it stands on, from 1; 0 before the first, one more than there are behind the last.
    at: usize,
    plan: &'a Plan,
}

impl TestCursor<'_> {
    fn go(&mut self, at: usize) -> Result<Option<Entry<'_>>> {
        self.at = at;
        if at > 0 && at == self.plan.thrown_back_at.load(Ordering::SeqCst) {
            self.at = 0;
            return Err(Error::corruption("rows", "a damaged page"));
        }
        let panics_at = self.plan.row_panics_at.load(Ordering::SeqCst);
        assert!(at == 0 || at != panics_at, "the library's own");
        let row = at.checked_sub(1).and_then(|at| self.rows.get(at));
        Ok(row.map(|(key, value)| Entry { key, value }))
    }
}

impl Cursor for TestCursor<'_> {
    fn first(&mut self) -> Result<Option<Entry<'_>>> {
        self.go(1)
    }

    fn last(&mut self) -> Result<Option<Entry<'_>>> {
        self.go(self.rows.len())
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.go(self.rows.partition_point(|row| row.0 < key) + 1)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.go(self.rows.partition_point(|row| row.0 <= key))
    }

    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.go((self.at + 1).min(self.rows.len() + 1))
    }

    fn prev(&mut self) -> Result<Option<Entry<'_>>> {
        self.go(self.at.saturating_sub(1))
    }
}

fn cursor<'a>(rows: &'a Rows, plan: &'a Plan, id: TableId, range: &KeyRange) -> TestCursor<'a> {
    let rows = rows
        .iter()
        .filter(|((table, key), _)| *table == id && range.contains(key))
        .map(|((_, key), value)| (&key[..], &value[..]))
        .collect();
    TestCursor { rows, at: 0, plan }
}

macro_rules! reader {
    ([$($generics:tt)*] $reader:ty) => {
        impl $($generics)* Reader for $reader {
            type Value<'a>
                = &'a [u8]
            where
                Self: 'a;
            type Cursor<'a>
                = TestCursor<'a>
            where
                Self: 'a;

            fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
                Ok(self.rows.get(&(table, key.to_vec())).map(|value| &value[..]))
            }

            fn cursor(&self, table: TableId, range: KeyRange) -> Result<TestCursor<'_>> {
                Ok(cursor(&self.rows, &self.plan, table, &range))
            }

            fn count(&self, table: TableId) -> Result<Count> {
                let rows = self.rows.keys().filter(|key| key.0 == table).count();
                Ok(Count::Exact(rows as u64))
            }
        }
    };
}

reader!([] TestView);
reader!([] TestTxn<'_>);

/// The write transaction and the batch.
#[derive(Debug)]
pub(crate) struct TestTxn<'e> {
    engine: &'e TestEngine,
    rows: Rows,
    plan: Arc<Plan>,
}

impl Writer for TestTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        assert!(!Plan::is(&self.plan.put_panics), "the library is confused");
        self.plan.check(Failing::Put)?;
        self.rows.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.rows.remove(&(table, key.to_vec()));
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.rows
            .retain(|(id, key), _| *id != table || !range.contains(key));
        Ok(())
    }
}

impl RawBatch for TestTxn<'_> {
    fn commit(self, _durability: Durability) -> Result<(), CommitFailure> {
        let aborted = self.plan.check(Failing::Commit);
        aborted.map_err(CommitFailure::Aborted)?;
        if let Some(file) = &self.engine.file {
            save(file, &self.rows);
        }
        if Plan::is(&self.plan.commit_fails) {
            return Err(CommitFailure::Unknown(ErrorKind::DiskFull.into()));
        }
        *self.engine.rows.lock().unwrap() = Arc::new(self.rows);
        Ok(())
    }
}

impl RawTxn for TestTxn<'_> {}

impl RawEngine for TestEngine {
    const NAME: &'static str = "test";
    const CAPABILITIES: Capabilities = {
        let mut caps = Capabilities::IN_MEMORY;
        caps.persistent = true;
        caps.sharing = Sharing::ReadersOrWriter;
        caps.read_only_open = true;
        caps.bulk = BulkMode::Insertion;
        caps.backup = Mode::Online;
        caps.effective = [Effective::Buffered; 3];
        caps
    };
    const FORMAT: u32 = 1;
    const MAY_PANIC: bool = true;

    type Options = Arc<Plan>;
    type View = TestView;
    type Txn<'e> = TestTxn<'e>;
    type Batch<'e> = TestTxn<'e>;
    type Loader<'e> = InsertingLoader<TestTxn<'e>>;

    fn open(request: &RawOpen<'_>, plan: &Arc<Plan>) -> Result<(Self, RawOpened)> {
        if Plan::is(&plan.open_fails) {
            return Err(ErrorKind::DiskFull.into());
        }
        let file = match request.location {
            Location::Memory => None,
            Location::Directory(path) => Some(path.join(ROWS_FILE)),
        };
        let rows = file.as_deref().map_or_else(Rows::new, load);
        if let Some(file) = &file
            && request.options.access == Access::ReadWrite
        {
            save(file, &rows);
        }
        let engine = Self {
            rows: Mutex::new(Arc::new(rows)),
            file,
            plan: Arc::clone(plan),
        };
        Ok((engine, RawOpened::default()))
    }

    fn view(&self) -> Result<TestView> {
        Ok(TestView {
            rows: self.rows(),
            plan: Arc::clone(&self.plan),
        })
    }

    fn views(&self, count: usize) -> Result<Vec<TestView>> {
        let rows = self.rows();
        let view = || TestView {
            rows: Arc::clone(&rows),
            plan: Arc::clone(&self.plan),
        };
        Ok((0..count).map(|_| view()).collect())
    }

    fn begin(&self) -> Result<TestTxn<'_>> {
        self.plan.check(Failing::Begin)?;
        Ok(TestTxn {
            engine: self,
            rows: (*self.rows()).clone(),
            plan: Arc::clone(&self.plan),
        })
    }

    fn begin_batch(&self) -> Result<TestTxn<'_>> {
        self.begin()
    }

    fn begin_load(
        &self,
        table: TableId,
        _: Option<&std::path::Path>,
    ) -> Result<InsertingLoader<TestTxn<'_>>> {
        Ok(InsertingLoader::new(self.begin()?, table))
    }

    fn sync(&self) -> Result<()> {
        if Plan::is(&self.plan.sync_fails) {
            return Err(ErrorKind::DiskFull.into());
        }
        Ok(())
    }

    fn space(&self) -> Result<RawSpace> {
        Ok(RawSpace::default())
    }

    fn used_bytes(&self) -> u64 {
        0
    }
}
