//! A store whose next write fails at a chosen operation, before its commit or after it: what of
//! R-A6 is the store's and not the files'.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain_store::{AnyReadTxn, AnyStore, AnyWriteTxn};
use compat::repchain::{Blocks, Error as ChainError, Restored};
use seglog::disk::Folder;
use storage_api::blocks::{BlockError, Height};
use storage_api::{
    Capabilities, Catalogue, Commit, Count, Durability, Error, ErrorKind, KeyRange, KvStore,
    Reader, Result, Savepoint, StoreStats, TableId, TableStats, WriteBatch, WriteTxn, Writer,
};

use super::{Place, SEED, compare, digest, on_each_engine, options, random_chain, restore_singly};

/// Where the next write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// At this operation; what came before it is not committed.
    Operation(u64),
    /// At the commit, which does nothing.
    BeforeCommit,
    /// Behind the commit, which is done and not known to be.
    AfterCommit,
}

#[derive(Debug)]
struct Failing {
    inner: Arc<AnyStore>,
    plan: Mutex<Option<Plan>>,
    operations: AtomicU64,
}

impl Failing {
    fn plan(&self, plan: Option<Plan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.operations.store(0, Ordering::Relaxed);
    }

    fn planned(&self) -> Option<Plan> {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self) -> Result<()> {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        if self.planned() == Some(Plan::Operation(number)) {
            return Err(failed());
        }
        Ok(())
    }
}

fn failed() -> Error {
    Error::from_io(std::io::Error::other("planned"), "the store")
}

struct FailingTxn<'s> {
    inner: AnyWriteTxn<'s>,
    store: &'s Failing,
}

impl<'s> Reader for FailingTxn<'s> {
    type Value<'a>
        = <AnyWriteTxn<'s> as Reader>::Value<'a>
    where
        Self: 'a;
    type Cursor<'a>
        = <AnyWriteTxn<'s> as Reader>::Cursor<'a>
    where
        Self: 'a;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Self::Value<'_>>> {
        self.inner.get(table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<Self::Cursor<'_>> {
        self.inner.cursor(table, range)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.inner.count(table)
    }
}

impl Writer for FailingTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.store.operation()?;
        self.inner.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.store.operation()?;
        self.inner.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.store.operation()?;
        self.inner.delete_range(table, range)
    }
}

impl WriteTxn for FailingTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.inner.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.inner.rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.inner.release(savepoint)
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        match self.store.planned() {
            Some(Plan::BeforeCommit) => Err(failed()),
            Some(Plan::AfterCommit) => {
                self.inner.commit(durability)?;
                Err(Error::new(ErrorKind::CommitUnknown))
            }
            _ => self.inner.commit(durability),
        }
    }

    fn abort(self) -> Result<()> {
        self.inner.abort()
    }
}

impl KvStore for Failing {
    type ReadTxn = AnyReadTxn;
    type WriteTxn<'s> = FailingTxn<'s>;

    fn engine_name(&self) -> &str {
        self.inner.engine_name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn catalogue(&self) -> &Catalogue {
        self.inner.catalogue()
    }

    fn begin_read(&self) -> Result<AnyReadTxn> {
        self.inner.begin_read()
    }

    fn begin_read_many(&self, views: NonZeroUsize) -> Result<Vec<AnyReadTxn>> {
        self.inner.begin_read_many(views)
    }

    fn begin_write(&self) -> Result<FailingTxn<'_>> {
        let inner = self.inner.begin_write()?;
        Ok(FailingTxn { inner, store: self })
    }

    fn try_begin_write(&self, wait: Duration) -> Result<Option<FailingTxn<'_>>> {
        let begun = self.inner.try_begin_write(wait)?;
        Ok(begun.map(|inner| FailingTxn { inner, store: self }))
    }

    fn apply(&self, batch: &WriteBatch, durability: Durability) -> Result<Commit> {
        self.inner.apply(batch, durability)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn table_stats(&self, table: TableId) -> Result<TableStats> {
        self.inner.table_stats(table)
    }

    fn stats(&self) -> Result<StoreStats> {
        self.inner.stats()
    }
}

fn open(place: &Place, store: &Arc<Failing>) -> Blocks<Failing> {
    let disk = Arc::new(Folder::new(&place.files()));
    Blocks::open(Arc::clone(store), disk, &options()).unwrap().0
}

fn is_planned(error: &ChainError, plan: Plan) -> bool {
    let ChainError::Block(BlockError::Store(error)) = error else {
        return false;
    };
    let is_unknown = matches!(error.kind(), ErrorKind::CommitUnknown);
    is_unknown == (plan == Plan::AfterCommit)
}

#[test]
fn r_a6_a_failure_of_the_store_leaves_the_block_stored_or_not() {
    const BEFORE: usize = 5;
    let chain = random_chain(SEED ^ 0x40, BEFORE + 3);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let store = Arc::new(Failing {
            inner: place.store(),
            plan: Mutex::new(None),
            operations: AtomicU64::new(0),
        });
        let mut blocks = open(&place, &store);
        for block in &chain[..BEFORE] {
            blocks.restore_block(&block.block).unwrap();
        }
        // How many operations a block takes, so that each of them fails once.
        store.plan(None);
        blocks.restore_block(&chain[BEFORE].block).unwrap();
        let operations = store.operations.load(Ordering::Relaxed);
        blocks
            .rollback_to_height(Height::new(BEFORE as u64))
            .unwrap();
        assert!(operations >= 4, "{operations}");
        let plans = (0..operations).map(Plan::Operation);
        let plans = plans.chain([Plan::BeforeCommit, Plan::AfterCommit]);
        for (number, plan) in plans.enumerate() {
            let context = format!("{engine}, {plan:?}");
            let before = digest(&store.inner);
            store.plan(Some(plan));
            let error = if number % 2 == 0 {
                blocks.restore_block(&chain[BEFORE].block).unwrap_err()
            } else {
                let list = chain[BEFORE..].iter().map(|known| &known.bytes);
                let error = blocks.restore_blocks_bytes(list).unwrap_err();
                assert_eq!(error.restored, 0, "{context}: not known to be durable");
                error.source
            };
            assert!(is_planned(&error, plan), "{context}: {error:?}");
            store.plan(None);
            let stored = blocks.get_block_height().unwrap().get() as usize;
            if plan == Plan::AfterCommit {
                assert!(stored > BEFORE, "{context}");
            } else {
                assert_eq!(stored, BEFORE, "{context}");
                assert!(before == digest(&store.inner), "{context}");
                let hash = &chain[BEFORE].hash;
                assert!(blocks.get_block_by_hash(hash).unwrap().is_none());
            }
            compare(&blocks, &chain[..stored], &context);
            if number % 3 == 0 {
                // The next opening removes what was staged; without it the log goes on behind it.
                drop(blocks);
                blocks = open(&place, &store);
                compare(&blocks, &chain[..stored], &context);
            }
            let list = chain[stored..].iter().map(|known| &known.bytes);
            blocks.restore_blocks_bytes(list).unwrap();
            compare(&blocks, &chain, &context);
            let last = blocks.restore_block(&chain[BEFORE + 2].block).unwrap();
            assert_eq!(last, Restored::WasHead(Height::new(BEFORE as u64 + 3)));

            store.plan(Some(Plan::BeforeCommit));
            let back = Height::new(BEFORE as u64);
            assert!(blocks.rollback_to_height(back).is_err(), "{context}");
            store.plan(None);
            compare(&blocks, &chain, "a rollback that failed");
            blocks.rollback_to_height(back).unwrap();
            compare(&blocks, &chain[..BEFORE], "a rollback");
        }
        drop(blocks);
        let Ok(store) = Arc::try_unwrap(store) else {
            panic!("the chain is closed");
        };
        drop(store);
        let open = place.open(&options());
        compare(&open.blocks, &chain[..BEFORE], "opened without failures");
        restore_singly(&open.blocks, BEFORE as u64 + 1, &chain[BEFORE..]);
    });
}
