//! [`Store`]: the contract over any raw engine.
//!
//! Invariants: the marker knows a table before the engine does; a creation that fails leaves
//! nothing behind; opening read-only changes no byte; compaction that needs the store to itself is
//! refused with `Busy` while views live.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use storage_api::{
    Access, Backup, Bulk, BulkMode, Capabilities, Catalogue, Commit, CommitOrder, CommitSeq,
    Compact, CompactReport, Count, Cursor, Durability, Engine, Error, ErrorKind, IfMissing,
    KeyRange, KvStore, Location, Mode, OpenOptions, OpenReport, Persistence, Reader, Result,
    Schema, StoreStats, TableId, TableInfo, TableStats, Verify, WriteBatch,
};

use crate::boundary;
use crate::directory::{self, Directory, Found, Marker, State};
use crate::gate::{Gate, Wait};
use crate::metrics::{self, Lane, Meter, Work};
use crate::raw::{RawEngine, RawOpen};
use crate::read::{self, View};
use crate::registry::Registry;
use crate::shared::Shared;
use crate::tables::{self, Merged, Rules};
use crate::write::{self, Txn};

/// The release, as markers name it.
const WRITTEN_BY: &str = concat!("chainstore-", env!("CARGO_PKG_VERSION"));

/// Rows read from each end of a table to estimate its bytes.
const SAMPLE_ROWS: u64 = 64;

/// A store over the engine `E`. The handle that writes; views keep what they need when it drops.
pub struct Store<E: RawEngine> {
    pub(crate) shared: Arc<Shared<E>>,
}

impl<E: RawEngine> fmt::Debug for Store<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &E::NAME)
            .field("path", &self.shared.directory.as_ref().map(Directory::path))
            .finish_non_exhaustive()
    }
}

/// A file that is missing in a store that the marker calls complete is damage, and no reason to
/// make a new store.
fn lost_file(error: Error) -> Error {
    match error.kind() {
        ErrorKind::FileMissing { path } => {
            let path = path.clone();
            Error::corruption(path, "the file is missing").with_source(error)
        }
        _ => error,
    }
}

/// Refuses a store that holds less than was durable when it was last closed.
fn check_seal(last_seq: CommitSeq, sealed: CommitSeq, data: &Path) -> Result<()> {
    if last_seq >= sealed {
        return Ok(());
    }
    Err(Error::corruption(
        data.display().to_string(),
        format!(
            "commit {sealed} was durable when the store was last closed, and the last one that can \
             be read is {last_seq}"
        ),
    ))
}

/// Reads the last commit of files that opening to write would cut, before it cuts them.
fn look_before_cutting<E: RawEngine>(
    location: Location<'_>,
    merged: &Merged,
    sealed: CommitSeq,
    options: &OpenOptions,
    engine_options: &E::Options,
) -> Result<()> {
    let mut options = options.clone();
    options.access = Access::ReadOnly;
    let tables = tables::for_engine(&merged.tables);
    let request = RawOpen {
        location,
        tables: &tables,
        fresh: false,
        options: &options,
    };
    let last_seq = boundary::call::<E, _>(|| {
        let (engine, _) = E::open(&request, engine_options)?;
        read::commit_seq::<E, _>(&engine.view()?)
    })?;
    let Location::Directory(data) = location else {
        return Ok(());
    };
    check_seal(last_seq, sealed, data)
}

/// A random number for a new store.
pub(crate) fn new_store_id() -> Result<u128> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::from_io(error.into(), "random numbers"))?;
    Ok(u128::from_le_bytes(bytes))
}

/// A marker for a new store of these tables.
pub(crate) fn new_marker<E: RawEngine>(
    tables: Vec<TableInfo>,
    next_table: u16,
    options: &OpenOptions,
) -> Result<Marker> {
    Ok(Marker {
        engine: E::NAME.to_owned(),
        engine_format: E::FORMAT,
        written_by: WRITTEN_BY.to_owned(),
        store_id: new_store_id()?,
        chain_id: options.chain_id.clone(),
        state: State::Creating,
        next_table,
        tables,
    })
}

impl<E: RawEngine> Store<E> {
    /// The engine, for its own crate's tests and tools.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.shared.engine
    }

    /// The directory of the store; `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.shared.directory.as_ref().map(Directory::path)
    }

    /// What the store was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.shared.access
    }

    fn open_in_memory(
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        if options.persistence == Persistence::Required {
            return Err(Error::unsupported("persistent"));
        }
        if options.access == Access::ReadOnly {
            return Err(Error::unsupported("read_only_open"));
        }
        if options.if_missing == IfMissing::Fail {
            return Err(Error::new(ErrorKind::NotFound {
                path: "memory".to_owned(),
            }));
        }
        let merged = tables::merge(&[], 1, schema, options.access, &E::CAPABILITIES)?;
        let store = Self::assemble(
            Location::Memory,
            None,
            &merged,
            true,
            options,
            engine_options,
        )?;
        Ok((store.0, report(&merged, true, store.1)))
    }

    fn open_directory(
        path: &Path,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        if !E::CAPABILITIES.persistent {
            return Err(Error::unsupported("persistent"));
        }
        if options.access == Access::ReadOnly && !E::CAPABILITIES.read_only_open {
            return Err(Error::unsupported("read_only_open"));
        }
        let (directory, found) = Directory::open(path, (E::NAME, E::FORMAT), options)?;
        match found {
            Found::Existing(marker) => {
                Self::open_found(directory, marker, schema, options, engine_options)
            }
            Found::Filling(_, source) => Err(directory::unfinished(path, source)),
            Found::Nothing => Self::create(directory, schema, options, engine_options),
        }
    }

    fn open_found(
        directory: Directory,
        mut marker: Marker,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        let merged = tables::merge(
            &marker.tables,
            marker.next_table,
            schema,
            options.access,
            &E::CAPABILITIES,
        )?;
        if options.access == Access::ReadWrite {
            directory.sweep()?;
        }
        let names_chain = marker.chain_id.is_none() && options.chain_id.is_some();
        if options.access == Access::ReadWrite && (merged.changed || names_chain) {
            marker.tables.clone_from(&merged.tables);
            marker.next_table = merged.next_table;
            marker.chain_id = marker.chain_id.take().or_else(|| options.chain_id.clone());
            WRITTEN_BY.clone_into(&mut marker.written_by);
            directory.write_marker(&marker)?;
        }
        let sealed = directory.read_seal()?;
        let data = directory.data_path();
        let location = Location::Directory(&data);
        if options.access == Access::ReadWrite && sealed > CommitSeq::ZERO && E::would_cut(&data) {
            look_before_cutting::<E>(location, &merged, sealed, options, engine_options)?;
        }
        let (store, recovered) = Self::assemble(
            location,
            Some(directory),
            &merged,
            false,
            options,
            engine_options,
        )?;
        check_seal(store.shared.last_seq(), sealed, &data)?;
        store.shared.sealed.store(sealed.get(), Ordering::Relaxed);
        Ok((store, report(&merged, false, recovered)))
    }

    fn create(
        directory: Directory,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        let creation = directory.creation();
        let made = Self::make(directory, schema, options, engine_options);
        if made.is_err() {
            creation.undo();
        }
        made
    }

    fn make(
        directory: Directory,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        let merged = tables::merge(&[], 1, schema, options.access, &E::CAPABILITIES)?;
        let mut marker = new_marker::<E>(merged.tables.clone(), merged.next_table, options)?;
        let data = directory.data_path();
        directory.begin_creation(&marker)?;
        let (store, recovered) = Self::assemble(
            Location::Directory(&data),
            Some(directory),
            &merged,
            true,
            options,
            engine_options,
        )?;
        // The names of the engine's files are durable before the marker vouches for them.
        directory::sync_folder(&data)?;
        marker.state = State::Ready;
        store.directory()?.write_marker(&marker)?;
        Ok((store, report(&merged, true, recovered)))
    }

    pub(crate) fn directory(&self) -> Result<&Directory> {
        self.shared
            .directory
            .as_ref()
            .ok_or_else(|| Error::unsupported("persistent"))
    }

    pub(crate) fn assemble(
        location: Location<'_>,
        directory: Option<Directory>,
        merged: &Merged,
        fresh: bool,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, Option<String>)> {
        let raw_tables = tables::for_engine(&merged.tables);
        let request = RawOpen {
            location,
            tables: &raw_tables,
            fresh,
            options,
        };
        let (engine, opened) = boundary::call::<E, _>(|| E::open(&request, engine_options))
            .map_err(|error| if fresh { error } else { lost_file(error) })?;
        let caps = engine.capabilities();
        let catalogue = Catalogue::new(merged.tables.clone())?;
        let last_seq = boundary::call::<E, _>(|| read::commit_seq::<E, _>(&engine.view()?))?;
        let rules = Rules::new(&catalogue, &caps);
        let meter = Arc::new(Meter::new(E::NAME, &catalogue, &rules));
        let clock = Arc::clone(&options.clock);
        let registry = Registry::new(clock, options.reader_limits, Arc::clone(&meter));
        let shared = Shared {
            rules,
            engine,
            directory,
            caps,
            catalogue,
            gate: Gate::default(),
            registry: Arc::new(registry),
            meter,
            access: options.access,
            relaxed: options.commit_order == CommitOrder::Relaxed,
            last_seq: AtomicU64::new(last_seq.get()),
            sealed: AtomicU64::new(0),
            last_mark: AtomicU64::new(0),
            poison: OnceLock::new(),
        };
        Ok((
            Self {
                shared: Arc::new(shared),
            },
            opened.recovered,
        ))
    }

    fn begin_gated(&self, wait: Wait) -> Result<Option<Txn<'_, E>>> {
        let begun = self.begin_uncounted(wait);
        begun.inspect_err(|_| self.shared.meter.count_failure(Work::BeginWrite))
    }

    fn begin_uncounted(&self, wait: Wait) -> Result<Option<Txn<'_, E>>> {
        let shared = &*self.shared;
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("begin_write");
        shared.check_writable().map_err(explain)?;
        let Some(gate) = shared.gate.exclusive(wait).map_err(explain)? else {
            return Ok(None);
        };
        // The store may have been poisoned while this writer waited.
        shared.check_writable().map_err(explain)?;
        shared.admit_write().map_err(explain)?;
        shared.meter.record_wait(Lane::Txn, gate.waited);
        Txn::begin(shared, gate).map(Some)
    }

    /// Explains why there is no view.
    #[cold]
    fn no_view(&self, error: Error, operation: &'static str) -> Error {
        self.shared.meter.count_failure(Work::BeginRead);
        error.with_engine(E::NAME).with_operation(operation)
    }

    fn sync_untimed(&self) -> Result<()> {
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("sync");
        self.shared.check_writable().map_err(explain)?;
        let _gate = self.shared.gate.exclusive(Wait::Forever).map_err(explain)?;
        // A sync that succeeds after another failed would vouch for pages that the kernel has
        // dropped, so the poison is looked at again, and is set while the gate still keeps the next
        // writer out.
        self.shared.check_writable().map_err(explain)?;
        boundary::call::<E, _>(|| self.shared.engine.sync()).map_err(|error| {
            self.shared.poison("sync", &error);
            explain(error)
        })
    }

    /// Bytes of a table from a sample of rows at both ends; exact when the sample is the whole
    /// table.
    fn sample_bytes(&self, view: &View<E>, table: TableId, rows: Count) -> Result<Count> {
        let (mut seen, mut bytes) = (0u64, 0u64);
        let mut cursor = view.cursor(table, KeyRange::all())?;
        while seen < SAMPLE_ROWS
            && let Some(row) = cursor.next()?
        {
            seen += 1;
            bytes += (row.key.len() + row.value.len()) as u64;
        }
        if seen < SAMPLE_ROWS {
            return Ok(Count::Exact(bytes));
        }
        let mut row = cursor.last()?;
        let mut tail = 0;
        while tail < SAMPLE_ROWS
            && let Some(entry) = row
        {
            tail += 1;
            bytes += (entry.key.len() + entry.value.len()) as u64;
            row = cursor.prev()?;
        }
        let total = u128::from(bytes) * u128::from(rows.get()) / u128::from(seen + tail);
        Ok(Count::Estimate(u64::try_from(total).unwrap_or(u64::MAX)))
    }
}

fn report(merged: &Merged, created: bool, recovered: Option<String>) -> OpenReport {
    let mut report = OpenReport::default();
    report.created = created;
    report.recovered = recovered;
    report.tables_added.clone_from(&merged.added);
    report.tables_unnamed.clone_from(&merged.unnamed);
    report
}

impl<E: RawEngine> Engine for Store<E> {
    const NAME: &'static str = E::NAME;
    const CAPABILITIES: Capabilities = E::CAPABILITIES;
    type Options = E::Options;

    fn open(
        location: Location<'_>,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &E::Options,
    ) -> Result<(Self, OpenReport)> {
        let path = match location {
            Location::Memory => Path::new("memory"),
            Location::Directory(path) => path,
        };
        let span = tracing::info_span!("open", engine = E::NAME, path = %path.display());
        let _in_span = span.enter();
        let began = Instant::now();
        let opened = match location {
            Location::Memory => Self::open_in_memory(schema, options, engine_options),
            Location::Directory(path) => {
                Self::open_directory(path, schema, options, engine_options)
            }
        };
        let (store, mut report) = opened.map_err(|error| {
            metrics::failures(E::NAME, Work::Open).increment(1);
            error.with_engine(E::NAME).with_operation("open")
        })?;
        report.took = began.elapsed();
        store.shared.meter.record(Work::Open, report.took);
        tracing::info!(
            tables = store.shared.catalogue.iter().count(),
            created = report.created,
            recovered = report.recovered.as_deref(),
            took_seconds = report.took.as_secs_f64(),
            "opened"
        );
        Ok((store, report))
    }
}

impl<E: RawEngine> KvStore for Store<E> {
    type ReadTxn = View<E>;
    type WriteTxn<'s> = Txn<'s, E>;

    fn engine_name(&self) -> &str {
        E::NAME
    }

    fn capabilities(&self) -> &Capabilities {
        &self.shared.caps
    }

    fn catalogue(&self) -> &Catalogue {
        &self.shared.catalogue
    }

    fn begin_read(&self) -> Result<View<E>> {
        let registry = &self.shared.registry;
        let (ticket, sample) = registry.enter(self.shared.engine.used_bytes());
        let raw = boundary::call::<E, _>(|| self.shared.engine.view())
            .map_err(|error| self.no_view(error, "begin_read"))?;
        registry.begun(sample);
        Ok(View::new(raw, ticket, Arc::clone(&self.shared)))
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<View<E>>> {
        let used_bytes = self.shared.engine.used_bytes();
        // The first ticket keeps exclusive work out, so the rest never wait; each is entered before
        // its snapshot is taken, or a view could look younger than what it sees.
        let enter = |_| self.shared.registry.enter(used_bytes).0;
        let tickets: Vec<_> = (0..views.get()).map(enter).collect();
        let raw = boundary::call::<E, _>(|| self.shared.engine.views(views.get()))
            .map_err(|error| self.no_view(error, "begin_read_many"))?;
        self.shared.meter.count_views(raw.len() as u64);
        Ok(raw
            .into_iter()
            .zip(tickets)
            .map(|(raw, ticket)| View::new(raw, ticket, Arc::clone(&self.shared)))
            .collect())
    }

    fn begin_write(&self) -> Result<Txn<'_, E>> {
        loop {
            if let Some(txn) = self.begin_gated(Wait::Forever)? {
                return Ok(txn);
            }
        }
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<Txn<'_, E>>> {
        self.begin_gated(Wait::AtMost(wait))
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        write::apply(&self.shared, batch, durability)
    }

    fn sync(&self) -> Result<()> {
        self.shared.meter.time(Work::Sync, || self.sync_untimed())
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        let view = self.begin_read()?;
        let rows = view.count(table)?;
        let known = boundary::call::<E, _>(|| self.shared.engine.table_bytes(table))
            .map_err(|error| self.shared.explain(error, "table_stats", table))?;
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.sample_bytes(&view, table, rows)?,
        };
        Ok(TableStats {
            rows,
            bytes: Some(bytes),
        })
    }

    fn stats(&self) -> Result<StoreStats> {
        let space = boundary::call::<E, _>(|| self.shared.engine.space())
            .map_err(|error| error.with_engine(E::NAME).with_operation("stats"))?;
        let (readers, oldest_reader) = self.shared.registry.oldest(self.shared.engine.used_bytes());
        let (disk_bytes, disk_free_bytes) = match &self.shared.directory {
            Some(directory) => {
                let path = directory.path();
                (
                    directory::disk_bytes(path)?,
                    directory::disk_free_bytes(path),
                )
            }
            None => (0, None),
        };
        Ok(StoreStats {
            disk_bytes,
            disk_free_bytes,
            memory_bytes: space.memory_bytes,
            free_bytes: space.free_bytes,
            limit_bytes: space.limit_bytes,
            readers,
            oldest_reader,
            commit_seq: self.shared.last_seq(),
        })
    }

    fn as_bulk(&self) -> Option<&dyn Bulk> {
        (self.shared.caps.bulk != BulkMode::None).then_some(self as &dyn Bulk)
    }

    fn as_compact(&self) -> Option<&dyn Compact> {
        (self.shared.caps.compact != Mode::None).then_some(self as &dyn Compact)
    }

    fn as_backup(&self) -> Option<&dyn Backup> {
        (self.shared.caps.backup != Mode::None).then_some(self as &dyn Backup)
    }

    fn as_verify(&self) -> Option<&dyn Verify> {
        Some(self)
    }
}

impl<E: RawEngine> Compact for Store<E> {
    fn compact(&self) -> Result<CompactReport> {
        let span = tracing::info_span!("compact", engine = E::NAME);
        let _in_span = span.enter();
        let done = (self.shared.meter).time(Work::Compact, || self.compact_untimed());
        if let Ok(report) = &done {
            tracing::info!(
                before_bytes = report.before_bytes,
                after_bytes = report.after_bytes,
                took_seconds = report.took.as_secs_f64(),
                "compacted"
            );
        }
        done
    }
}

impl<E: RawEngine> Store<E> {
    fn compact_untimed(&self) -> Result<CompactReport> {
        let shared = &*self.shared;
        let explain = |error: Error| error.with_engine(E::NAME).with_operation("compact");
        if shared.caps.compact == Mode::None {
            return Err(explain(Error::unsupported("compact")));
        }
        shared.check_writable().map_err(explain)?;
        let began = Instant::now();
        let before_bytes = self.stats()?.disk_bytes;
        {
            let _gate = shared.gate.exclusive(Wait::Forever).map_err(explain)?;
            // The store may have been poisoned while this waited.
            shared.check_writable().map_err(explain)?;
            let _alone = match shared.caps.compact {
                Mode::Exclusive => Some(shared.registry.alone().map_err(explain)?),
                Mode::Online | Mode::None => None,
            };
            boundary::call::<E, _>(|| shared.engine.compact())
                .inspect_err(|error| shared.poison_after_panic("compact", error))
                .map_err(explain)?;
        }
        let after_bytes = self.stats()?.disk_bytes;
        Ok(CompactReport {
            before_bytes,
            after_bytes,
            took: began.elapsed(),
        })
    }
}
