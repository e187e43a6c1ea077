//! A store with a mistake, around the model.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use storage_api::{
    Access, BatchOp, Capabilities, Catalogue, Commit, CommitSeq, Durability, Effective, Error,
    ErrorKind, IfMissing, KeyRange, KvStore, Mode, OpenOptions, OpenReport, Result, Schema,
    StoreStats, TableId, TableInfo, TableStats, WriteBatch, WriteTxn, Writer,
};

use super::Mutation;
use super::read::MutantView;
use super::txn::MutantTxn;
use crate::model::{ModelDisk, ModelStore, ModelView};
use crate::probe::ReadProbe;

/// A row's table and key.
type Place = (TableId, Vec<u8>);

/// What a store, its views and its transactions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mutation: Mutation,
    pub(super) store: ModelStore,
    pub(super) commits: AtomicU64,
    pub(super) open_txns: AtomicU64,
    uncommitted: Mutex<BTreeMap<Place, Vec<u8>>>,
    overwrites: Mutex<BTreeMap<TableId, u64>>,
    /// A view from before the last commit.
    stale: Mutex<Option<ModelView>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    /// The key that is stored and looked up instead.
    pub(super) fn key_kept(&self, key: &[u8]) -> Vec<u8> {
        let mut kept = key.to_vec();
        while self.is(Mutation::TrailingZerosCut) && kept.len() > 1 && kept.last() == Some(&0) {
            kept.pop();
        }
        kept
    }

    pub(super) fn note_uncommitted(&self, table: TableId, key: &[u8], value: &[u8]) {
        locked(&self.uncommitted).insert((table, key.to_vec()), value.to_vec());
    }

    pub(super) fn uncommitted(&self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        locked(&self.uncommitted)
            .get(&(table, key.to_vec()))
            .cloned()
    }

    pub(super) fn forget_uncommitted(&self) {
        locked(&self.uncommitted).clear();
    }

    pub(super) fn note_overwrite(&self, table: TableId) {
        *locked(&self.overwrites).entry(table).or_default() += 1;
    }

    pub(super) fn overwrites(&self, table: TableId) -> u64 {
        locked(&self.overwrites)
            .get(&table)
            .copied()
            .unwrap_or_default()
    }

    /// What a refusal becomes: success where the mistake accepts it, else the error.
    pub(super) fn accepted_or(&self, error: Error, key: &[u8]) -> Result<()> {
        let accepts = match error.kind() {
            ErrorKind::EmptyKey => Mutation::EmptyKeyAccepted,
            ErrorKind::KeyTooLong { .. } => Mutation::LongKeyAccepted,
            ErrorKind::UnknownTable { .. } => Mutation::UnknownTableDropped,
            _ => Mutation::Nothing,
        };
        if accepts != Mutation::Nothing && self.is(accepts) {
            return Ok(());
        }
        match self.mutation {
            Mutation::ErrorWithoutPlace => Err(Error::new(error.kind().clone())),
            Mutation::ErrorPrintsKey => {
                let printed = Error::new(error.kind().clone()).with_table(format!("{key:?}"));
                Err(printed.with_engine("model").with_operation("put"))
            }
            _ => Err(error),
        }
    }

    /// Keeps a view of the state before a commit, for a mistake that needs one.
    pub(super) fn before_commit(&self) -> Result<()> {
        if self.is(Mutation::ViewIsStale) {
            let view = self.store.begin_read()?;
            *locked(&self.stale) = Some(view);
        }
        Ok(())
    }

    /// The receipt that is handed out.
    pub(super) fn reported(&self, mut commit: Commit) -> Commit {
        match self.mutation {
            Mutation::CommitSeqStands => commit.seq = Some(CommitSeq::new(1)),
            Mutation::DurabilityMisreported => commit.effective = Effective::Volatile,
            Mutation::DurabilityWeakened if commit.effective != Effective::Process => {
                commit.effective = Effective::Volatile;
            }
            _ => {}
        }
        commit
    }
}

/// The model with a mistake.
#[derive(Debug)]
pub(crate) struct MutantStore {
    shared: Arc<Shared>,
    catalogue: Catalogue,
    capabilities: Capabilities,
    access: Access,
}

impl Drop for MutantStore {
    fn drop(&mut self) {
        *locked(&self.shared.stale) = None;
        if self.shared.is(Mutation::LockLeaks) {
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}

/// The options that are used instead.
fn options_used(mutation: Mutation, asked: &OpenOptions) -> OpenOptions {
    let mut options = asked.clone();
    let limits = &mut options.reader_limits;
    match mutation {
        Mutation::OldViewNotTold => limits.age_max = None,
        Mutation::YoungViewTold => limits.age_max = limits.age_max.map(|age| age / 2),
        Mutation::PinnedIgnored => limits.pinned_bytes_max = None,
        Mutation::ChainIgnored => options.chain_id = None,
        Mutation::MissingStoreMade if options.access == Access::ReadWrite => {
            options.if_missing = IfMissing::Create;
        }
        _ => {}
    }
    options
}

fn swapped(catalogue: &Catalogue) -> Result<Catalogue> {
    let mut tables: Vec<TableInfo> = catalogue.iter().cloned().collect();
    if let [first, second, ..] = &mut tables[..] {
        std::mem::swap(&mut first.id, &mut second.id);
    }
    Catalogue::new(tables)
}

fn lose_a_row(store: &ModelStore) -> Result<()> {
    let mut txn = store.begin_write()?;
    for table in store.catalogue().iter() {
        if let Some((key, _)) = ReadProbe::rows(&txn, table.id, KeyRange::all())?.last() {
            txn.delete(table.id, key)?;
            return txn.commit(Durability::Durable).map(|_| ());
        }
    }
    Ok(())
}

impl MutantStore {
    /// Opens the model on this disk, with a mistake.
    pub(super) fn open(
        mutation: Mutation,
        disk: &Arc<ModelDisk>,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(Self, OpenReport)> {
        let used = options_used(mutation, options);
        let opened = ModelStore::open(disk, schema, &used);
        let (store, report) = match (mutation, opened) {
            (Mutation::ChangedSettingsAccepted, Err(error))
                if matches!(error.kind(), ErrorKind::SchemaRefused { .. }) =>
            {
                ModelStore::open(disk, &Schema::empty(), &used)?
            }
            (Mutation::DoubleOpenAllowed, Err(error))
                if matches!(error.kind(), ErrorKind::AlreadyOpen { .. }) =>
            {
                ModelStore::open(&Arc::default(), schema, &OpenOptions::new())?
            }
            (Mutation::TablesLimitIgnored, Err(error))
                if matches!(error.kind(), ErrorKind::TooManyTables { .. }) =>
            {
                ModelStore::open(disk, &Schema::empty(), &used)?
            }
            (_, opened) => opened?,
        };
        let mut catalogue = store.catalogue().clone();
        if !report.created && options.access == Access::ReadWrite {
            match mutation {
                Mutation::ReopenLosesARow => lose_a_row(&store)?,
                Mutation::ReopenRenumbers => catalogue = swapped(&catalogue)?,
                Mutation::UnnamedTablesEmptied if !report.tables_unnamed.is_empty() => {
                    let mut txn = store.begin_write()?;
                    for table in &report.tables_unnamed {
                        txn.delete_range(*table, &KeyRange::all())?;
                    }
                    txn.commit(Durability::Durable)?;
                }
                _ => {}
            }
        }
        let mut capabilities = *store.capabilities();
        match mutation {
            Mutation::DurabilityWeakened if capabilities.persistent => {
                capabilities.effective = [Effective::Volatile; 3];
            }
            Mutation::CompactionClaimed => capabilities.compact = Mode::Online,
            _ => {}
        }
        let shared = Arc::new(Shared {
            mutation,
            store,
            commits: AtomicU64::new(0),
            open_txns: AtomicU64::new(0),
            uncommitted: Mutex::default(),
            overwrites: Mutex::default(),
            stale: Mutex::default(),
        });
        Ok((
            Self {
                shared,
                catalogue,
                capabilities,
                access: options.access,
            },
            report,
        ))
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.shared.is(mutation)
    }

    fn view_of(&self, inner: ModelView) -> MutantView {
        MutantView {
            inner: Some(inner),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The operations of a batch as the mistake has them.
    fn ops_applied<'b>(&self, batch: &'b WriteBatch) -> Vec<BatchOp<'b>> {
        let mut ops: Vec<BatchOp<'b>> = batch.ops().collect();
        match self.shared.mutation {
            Mutation::BatchLosesLast => {
                ops.pop();
            }
            Mutation::BatchRangeDeletesLast => {
                ops.sort_by_key(|op| matches!(op, BatchOp::DeleteRange { .. }));
            }
            Mutation::LongBatchDropsOne if ops.len() > 50 => {
                ops.remove(50);
            }
            Mutation::BatchFirstWins => {
                let mut seen = Vec::new();
                ops.retain(|op| match op {
                    BatchOp::Put { table, key, .. } if seen.len() < 300 => {
                        let is_first = !seen.contains(&(*table, *key));
                        seen.push((*table, *key));
                        is_first
                    }
                    _ => true,
                });
            }
            _ => {}
        }
        ops
    }

    fn apply_ops(&self, ops: &[BatchOp<'_>], durability: Durability) -> Result<Commit> {
        let mut txn = MutantTxn::new(self.shared.store.begin_write()?, &self.shared);
        for op in ops {
            match *op {
                BatchOp::Put { table, key, value } => txn.put(table, key, value)?,
                BatchOp::Delete { table, key } => txn.delete(table, key)?,
                BatchOp::DeleteRange { table, start, end } => {
                    let range = end.map_or_else(
                        || KeyRange::from_key(start),
                        |end| KeyRange::half_open(start, end),
                    );
                    txn.delete_range(table, &range)?;
                }
            }
        }
        txn.commit(durability)
    }

    /// What the model says to a batch that it must refuse, before anything is written.
    fn check(&self, ops: &[BatchOp<'_>]) -> Result<()> {
        let mut checked = WriteBatch::new();
        let mut outcome = Ok(());
        for op in ops {
            checked.clear();
            match *op {
                BatchOp::Put { table, key, value } => checked.put(table, key, value)?,
                BatchOp::Delete { table, key } => checked.delete(table, key)?,
                BatchOp::DeleteRange { table, .. } => {
                    checked.delete_range(table, &KeyRange::all())?;
                }
            }
            let (BatchOp::Put { key, .. } | BatchOp::Delete { key, .. }) = *op else {
                outcome = outcome.and_then(|()| self.shared.store.check_batch(&checked));
                continue;
            };
            let refused = self.shared.store.check_batch(&checked);
            outcome = outcome.and_then(|()| {
                refused.or_else(|error| {
                    let cuts = self.is(Mutation::LongKeyCut)
                        && matches!(error.kind(), ErrorKind::KeyTooLong { .. });
                    if cuts {
                        Ok(())
                    } else {
                        self.shared.accepted_or(error, key)
                    }
                })
            });
        }
        outcome.map_err(|error| error.with_engine("model").with_operation("apply"))
    }
}

impl KvStore for MutantStore {
    type ReadTxn = MutantView;
    type WriteTxn<'s> = MutantTxn<'s>;

    fn engine_name(&self) -> &str {
        self.shared.store.engine_name()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn begin_read(&self) -> Result<MutantView> {
        if self.is(Mutation::ReadersRefusedBesideWriter)
            && self.shared.open_txns.load(Ordering::SeqCst) > 0
        {
            return Err(ErrorKind::Busy {
                readers: 0,
                oldest_reader: Duration::ZERO,
            }
            .into());
        }
        let stale = locked(&self.shared.stale).take();
        match stale {
            Some(view) => Ok(self.view_of(view)),
            None => Ok(self.view_of(self.shared.store.begin_read()?)),
        }
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<MutantView>> {
        if self.is(Mutation::ViewsBegunOneByOne) {
            let one_by_one = (0..views.get()).map(|_| {
                thread::sleep(Duration::from_millis(1));
                self.begin_read()
            });
            return one_by_one.collect();
        }
        let views = self.shared.store.begin_read_many(views)?;
        Ok(views.into_iter().map(|view| self.view_of(view)).collect())
    }

    fn begin_write(&self) -> Result<MutantTxn<'_>> {
        Ok(MutantTxn::new(
            self.shared.store.begin_write()?,
            &self.shared,
        ))
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<MutantTxn<'_>>> {
        match self.shared.store.try_begin_write(wait) {
            Err(error)
                if self.is(Mutation::NoDeadlockCheck)
                    && *error.kind() == ErrorKind::WouldDeadlock =>
            {
                thread::sleep(wait);
                Ok(None)
            }
            txn => Ok(txn?.map(|txn| MutantTxn::new(txn, &self.shared))),
        }
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        let effective = self.capabilities.effective(durability);
        let seq = Some(self.shared.store.stats()?.commit_seq);
        if self.is(Mutation::ReadOnlyDropsWrites) && self.access == Access::ReadOnly {
            return Ok(Commit { seq, effective });
        }
        let ops = self.ops_applied(batch);
        match self.check(&ops) {
            Err(error) if self.is(Mutation::BadBatchHalfApplied) => {
                let good = ops
                    .iter()
                    .take_while(|op| self.check(std::slice::from_ref(op)).is_ok());
                self.apply_ops(&good.copied().collect::<Vec<_>>(), durability)?;
                return Err(error);
            }
            checked => checked?,
        }
        if self.is(Mutation::BatchTornInTwo) && ops.len() > 1 {
            let (first, second) = ops.split_at(ops.len() / 2);
            self.apply_ops(first, durability)?;
            thread::sleep(Duration::from_millis(1));
            return self.apply_ops(second, durability);
        }
        match self.apply_ops(&ops, durability) {
            Err(error)
                if self.is(Mutation::ApplyInsideTxnDropped)
                    && *error.kind() == ErrorKind::WouldDeadlock =>
            {
                Ok(Commit { seq, effective })
            }
            Ok(mut commit) if self.is(Mutation::BatchWithoutSeq) => {
                commit.seq = None;
                Ok(commit)
            }
            outcome => outcome.map_err(|error| error.with_operation("apply")),
        }
    }

    fn sync(&self) -> Result<()> {
        self.shared.store.sync()
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        self.shared.store.table_stats(table)
    }

    fn stats(&self) -> Result<StoreStats> {
        let mut stats = self.shared.store.stats()?;
        match self.shared.mutation {
            Mutation::LiveViewsForgotten => stats.readers = 0,
            Mutation::OldestViewIsNew => {
                if let Some(oldest) = &mut stats.oldest_reader {
                    oldest.age = Duration::ZERO;
                }
            }
            _ => {}
        }
        Ok(stats)
    }
}
