//! What the tests share: a store of every engine that can be opened again, its rows, real files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use seglog::disk::{Disk, Folder};
use storage_api::{
    Cursor, Durability, KeyRange, KvStore, Reader, Schema, TableId, WriteTxn, Writer,
};

/// Every engine that is compiled in.
pub(crate) fn engines() -> impl Iterator<Item = EngineName> {
    EngineName::compiled()
}

/// One store in a folder of its own, with a folder for segments.
pub(crate) struct Lab {
    pub(crate) engine: EngineName,
    dir: tempfile::TempDir,
    schema: Schema,
    /// A store in memory is not opened again, because it would be empty.
    in_memory: Option<Arc<AnyStore>>,
}

impl Lab {
    pub(crate) fn new(engine: EngineName, schema: Schema) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("segments")).unwrap();
        Self {
            engine,
            dir,
            schema,
            in_memory: None,
        }
    }

    /// The store, opened again where it can be; nobody else may hold it.
    pub(crate) fn store(&mut self) -> Arc<AnyStore> {
        if let Some(store) = &self.in_memory {
            return Arc::clone(store);
        }
        let opener = Opener {
            schema: self.schema.clone(),
            ..Opener::default()
        };
        let url = match self.engine {
            EngineName::Mem => StoreUrl::Memory,
            engine => StoreUrl::Engine(engine, self.dir.path().join("store")),
        };
        let store = Arc::new(opener.open(&url).unwrap().0);
        if self.engine == EngineName::Mem {
            self.in_memory = Some(Arc::clone(&store));
        }
        store
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.dir.path().join("segments")
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Folder::new(&self.segments()))
    }

    /// The file of the newest segment.
    pub(crate) fn last_segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.segments()).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| path.extension().is_some_and(|end| end == "seg"));
        segments.max().unwrap()
    }
}

/// Rows by the name of their table and their key.
pub(crate) type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Every row of every table whose name begins so.
pub(crate) fn rows_of<S: KvStore>(store: &S, prefix: &str) -> Rows {
    let view = store.begin_read().unwrap();
    let mut rows = Rows::new();
    for table in store.catalogue().iter() {
        if !table.def.name().starts_with(prefix) {
            continue;
        }
        let mut cursor = view.cursor(table.id, KeyRange::all()).unwrap();
        while let Some(row) = cursor.next().unwrap() {
            let key = (table.def.name().to_owned(), row.key.to_vec());
            rows.insert(key, row.value.to_vec());
        }
    }
    rows
}

/// Makes the rows of all tables whose name begins so these, and no others.
pub(crate) fn put_rows<S: KvStore>(store: &S, prefix: &str, rows: &Rows) {
    let mut txn = store.begin_write().unwrap();
    for table in store.catalogue().iter() {
        if table.def.name().starts_with(prefix) {
            txn.delete_range(table.id, &KeyRange::all()).unwrap();
        }
    }
    for ((table, key), value) in rows {
        let table = table_of(store, table);
        txn.put(table, key, value).unwrap();
    }
    txn.commit(Durability::Durable).unwrap();
}

pub(crate) fn table_of<S: KvStore>(store: &S, name: &str) -> TableId {
    store.catalogue().id(name).unwrap()
}

/// A file of real chain data; `None`, visibly, where there is none.
pub(crate) fn real_file(name: &str) -> Option<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/realdata");
    let root = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(|| root.into(), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(std::fs::read(path).unwrap());
    }
    assert!(
        std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_none(),
        "{} is absent",
        path.display()
    );
    eprintln!(
        "SKIPPED: {} is absent (CHAINSTORE_REALDATA names its folder)",
        path.display()
    );
    None
}
