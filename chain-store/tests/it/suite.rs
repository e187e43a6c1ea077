//! The conformance suite over the enum of engines, the erased form, the decorator that times reads,
//! and overlays over every engine.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_store::{AnyReadTxn, AnyStore, EngineName, Opener, StoreUrl, Timed};
use conformance::{Harness, Opened, Profile};
use storage_api::overlay::Overlay;
use storage_api::{
    Capabilities, Catalogue, Commit, Count, Durability, DynStore, Error, ErrorKind, IfMissing,
    KEY_BYTES_MAX_PORTABLE, KeyRange, KvStore, OpenOptions, Reader, Result, Savepoint, Schema,
    StoreStats, TableId, TableStats, WriteBatch, WriteTxn, Writer,
};

/// The engine of a harness, as a type.
pub(crate) trait Chosen: 'static {
    const ENGINE: EngineName;
}

macro_rules! chosen {
    ($($name:ident)*) => {
        $(
            pub(crate) struct $name;
            impl Chosen for $name {
                const ENGINE: EngineName = EngineName::$name;
            }
        )*
    };
}

chosen!(Mem);
#[cfg(feature = "redb")]
chosen!(Redb);
#[cfg(feature = "lmdb")]
chosen!(Lmdb);
#[cfg(feature = "rocks")]
chosen!(Rocks);

/// A place for a store of one engine.
struct Place {
    store: Option<PathBuf>,
    _parent: tempfile::TempDir,
}

impl Place {
    fn new(engine: EngineName) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let store = (engine != EngineName::Mem).then(|| parent.path().join("store"));
        Self {
            store,
            _parent: parent,
        }
    }

    fn open(
        &self,
        engine: EngineName,
        schema: &Schema,
        options: &OpenOptions,
    ) -> Result<(AnyStore, storage_api::OpenReport)> {
        let url = match &self.store {
            Some(path) => StoreUrl::Engine(engine, path.clone()),
            None => StoreUrl::Memory,
        };
        open(&url, schema, options)
    }
}

fn open(
    url: &StoreUrl,
    schema: &Schema,
    options: &OpenOptions,
) -> Result<(AnyStore, storage_api::OpenReport)> {
    let opener = Opener {
        schema: schema.clone(),
        options: options.clone(),
        ..Opener::default()
    };
    opener.open(url)
}

fn open_copy(path: &Path, options: &OpenOptions) -> Result<(AnyStore, storage_api::OpenReport)> {
    let mut options = options.clone();
    options.if_missing = IfMissing::Fail;
    open(&StoreUrl::Path(path.to_owned()), &Schema::empty(), &options)
}

/// The enum, holding one engine.
pub(crate) struct AnyOf<C> {
    place: Place,
    chosen: PhantomData<C>,
}

impl<C: Chosen> Default for AnyOf<C> {
    fn default() -> Self {
        Self {
            place: Place::new(C::ENGINE),
            chosen: PhantomData,
        }
    }
}

impl<C: Chosen> Harness for AnyOf<C> {
    type Store = AnyStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<AnyStore>> {
        self.place
            .open(C::ENGINE, schema, options)
            .map(Opened::from)
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Opened<AnyStore>>> {
        Some(open_copy(path, options).map(Opened::from))
    }

    fn directory(&self) -> Option<&Path> {
        self.place.store.as_deref()
    }
}

/// The erased form, holding the enum, holding one engine.
pub(crate) struct DynOf<C> {
    place: Place,
    chosen: PhantomData<C>,
}

impl<C: Chosen> Default for DynOf<C> {
    fn default() -> Self {
        Self {
            place: Place::new(C::ENGINE),
            chosen: PhantomData,
        }
    }
}

impl<C: Chosen> Harness for DynOf<C> {
    type Store = DynStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<DynStore>> {
        let (store, report) = self.place.open(C::ENGINE, schema, options)?;
        Ok(Opened {
            store: DynStore::new(store),
            report,
        })
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Opened<DynStore>>> {
        let opened = open_copy(path, options);
        Some(opened.map(|(store, report)| Opened {
            store: DynStore::new(store),
            report,
        }))
    }

    fn directory(&self) -> Option<&Path> {
        self.place.store.as_deref()
    }
}

/// The enum, holding one engine, with single reads timed.
pub(crate) struct TimedOf<C>(AnyOf<C>);

impl<C: Chosen> Default for TimedOf<C> {
    fn default() -> Self {
        Self(AnyOf::default())
    }
}

fn timed(opened: Opened<AnyStore>) -> Opened<Timed<AnyStore>> {
    let Opened { store, report } = opened;
    let store = Timed::new(store);
    Opened { store, report }
}

impl<C: Chosen> Harness for TimedOf<C> {
    type Store = Timed<AnyStore>;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<Self::Store>> {
        self.0.open(schema, options).map(timed)
    }

    fn open_at(&self, path: &Path, options: &OpenOptions) -> Option<Result<Opened<Self::Store>>> {
        self.0
            .open_at(path, options)
            .map(|opened| opened.map(timed))
    }

    fn directory(&self) -> Option<&Path> {
        self.0.directory()
    }
}

/// A store whose write transaction is an overlay over a view, applied as a batch.
pub(crate) struct OverlayStore {
    inner: AnyStore,
}

pub(crate) struct OverlayTxn<'s> {
    overlay: Overlay<AnyReadTxn>,
    store: &'s AnyStore,
    _not_send: PhantomData<*const ()>,
}

impl OverlayTxn<'_> {
    /// An overlay's owner checks what it writes.
    fn check(&self, table: TableId, key: Option<&[u8]>) -> Result<()> {
        if self.store.catalogue().get(table).is_none() {
            let table = table.to_string();
            return Err(Error::new(ErrorKind::UnknownTable { table }));
        }
        let max = KEY_BYTES_MAX_PORTABLE;
        match key.map(<[u8]>::len) {
            Some(0) => Err(Error::new(ErrorKind::EmptyKey)),
            Some(len) if len > max => Err(Error::new(ErrorKind::KeyTooLong { len, max })),
            _ => Ok(()),
        }
    }
}

impl Reader for OverlayTxn<'_> {
    type Value<'a>
        = <Overlay<AnyReadTxn> as Reader>::Value<'a>
    where
        Self: 'a;
    type Cursor<'a>
        = <Overlay<AnyReadTxn> as Reader>::Cursor<'a>
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

impl Writer for OverlayTxn<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.check(table, Some(key))?;
        self.overlay.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.check(table, Some(key))?;
        self.overlay.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.check(table, None)?;
        self.overlay.delete_range(table, range)
    }
}

impl WriteTxn for OverlayTxn<'_> {
    fn savepoint(&mut self) -> Result<Savepoint> {
        self.overlay.savepoint()
    }

    fn rollback_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.rollback_to(savepoint)
    }

    fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.overlay.release(savepoint)
    }

    fn commit(self, durability: Durability) -> Result<Commit> {
        self.store.apply(self.overlay.batch(), durability)
    }

    fn abort(self) -> Result<()> {
        Ok(())
    }
}

impl KvStore for OverlayStore {
    type ReadTxn = AnyReadTxn;
    type WriteTxn<'s> = OverlayTxn<'s>;

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

    fn begin_write(&self) -> Result<OverlayTxn<'_>> {
        let overlay = Overlay::new(self.inner.begin_read()?);
        Ok(OverlayTxn {
            overlay,
            store: &self.inner,
            _not_send: PhantomData,
        })
    }

    fn try_begin_write(&self, _wait: Duration) -> Result<Option<OverlayTxn<'_>>> {
        self.begin_write().map(Some)
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

/// Overlays over one engine.
pub(crate) struct OverlayOf<C>(AnyOf<C>);

impl<C: Chosen> Default for OverlayOf<C> {
    fn default() -> Self {
        Self(AnyOf::default())
    }
}

impl<C: Chosen> Harness for OverlayOf<C> {
    type Store = OverlayStore;

    fn open(&self, schema: &Schema, options: &OpenOptions) -> Result<Opened<OverlayStore>> {
        let Opened { store, report } = self.0.open(schema, options)?;
        Ok(Opened {
            store: OverlayStore { inner: store },
            report,
        })
    }

    fn directory(&self) -> Option<&Path> {
        self.0.directory()
    }

    fn profile(&self) -> Profile {
        Profile::TXN_ONLY
    }
}

conformance::suite!(any_mem, AnyOf<Mem>);
conformance::suite!(dyn_mem, DynOf<Mem>);
conformance::suite!(timed_mem, TimedOf<Mem>);
conformance::txn_suite!(overlay_mem, OverlayOf<Mem>);

#[cfg(feature = "redb")]
conformance::suite!(any_redb, AnyOf<Redb>);
#[cfg(feature = "redb")]
conformance::suite!(dyn_redb, DynOf<Redb>);
#[cfg(feature = "redb")]
conformance::txn_suite!(overlay_redb, OverlayOf<Redb>);

#[cfg(feature = "lmdb")]
conformance::suite!(any_lmdb, AnyOf<Lmdb>);
#[cfg(feature = "lmdb")]
conformance::suite!(dyn_lmdb, DynOf<Lmdb>);
#[cfg(feature = "lmdb")]
conformance::txn_suite!(overlay_lmdb, OverlayOf<Lmdb>);

#[cfg(feature = "rocks")]
conformance::suite!(any_rocks, AnyOf<Rocks>);
#[cfg(feature = "rocks")]
conformance::suite!(dyn_rocks, DynOf<Rocks>);
#[cfg(feature = "rocks")]
conformance::txn_suite!(overlay_rocks, OverlayOf<Rocks>);
