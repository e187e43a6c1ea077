//! Commits of many blocks, on every compiled engine and with bodies in both places: a block that is
//! refused takes none of its group with it, and leaves nothing of its own.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use chain_store::{AnyStore, BitcoinImport, Bodies, EngineName, ImportError};
use storage_api::{ChecksumSetting, Durability, KvStore, ReadTxn};

use super::ground::{Content, content, grounds};
use crate::regtest::{block_file, coinbase_alone, spends_nothing};

const LEVELS: [Durability; 3] = [
    Durability::Durable,
    Durability::Buffered,
    Durability::Volatile,
];

struct Place {
    store: Arc<AnyStore>,
    _dir: tempfile::TempDir,
}

fn place(engine: EngineName, bodies: Bodies) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let schema = BitcoinImport::schema(bodies, ChecksumSetting::None).unwrap();
    let store = AnyStore::open(&crate::url::of(engine, dir.path()), &schema).unwrap();
    Place {
        store: Arc::new(store),
        _dir: dir,
    }
}

impl Place {
    /// Blocks that were stored, those that were known, and what ended the import.
    fn import(&self, path: &Path, level: Durability) -> (u64, u64, Result<(), ImportError>) {
        let mut import = BitcoinImport::into(&self.store)
            .unwrap()
            .with_durability(level);
        let ended = import.file(path, &mut |_| ControlFlow::Continue(()));
        (import.report().blocks, import.report().known_blocks, ended)
    }

    fn digest(&self) -> Content {
        content(&self.store)
    }

    fn commits(&self) -> u64 {
        self.store.begin_read().unwrap().commit_seq().unwrap().get()
    }
}

#[test]
fn a_block_that_is_refused_takes_none_of_its_group_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, _) = block_file(30, &mut numbered());
    let (mut bad, tip) = block_file(20, &mut numbered());
    assert!(whole.starts_with(&bad));
    bad.extend(spends_nothing(tip, 21));
    let (whole_file, bad_file) = (dir.path().join("whole.dat"), dir.path().join("bad.dat"));
    fs::write(&whole_file, whole).unwrap();
    fs::write(&bad_file, bad).unwrap();
    for (engine, bodies) in grounds() {
        let undisturbed = place(engine, bodies);
        let (stored, _, ended) = undisturbed.import(&whole_file, Durability::Durable);
        assert!(ended.is_ok() && stored == 30, "{ended:?}");
        let expected = undisturbed.digest();
        for level in LEVELS {
            let context = format!("{engine}, {bodies}, {level:?}");
            let place = place(engine, bodies);
            let before = place.commits();
            let (stored, _, ended) = place.import(&bad_file, level);
            let is_output = matches!(ended, Err(ImportError::MissingOutput { .. }));
            assert!(is_output, "{context}: {ended:?}");
            assert_eq!(stored, 20, "{context}");
            let commits = if level == Durability::Durable { 20 } else { 1 };
            assert_eq!(place.commits() - before, commits, "{context}");
            let (stored, known, ended) = place.import(&whole_file, level);
            assert!(ended.is_ok(), "{context}: {ended:?}");
            assert_eq!((stored, known), (10, 20), "{context}");
            assert_eq!(place.digest(), expected, "{context}");
        }
    }
}

fn numbered() -> impl FnMut() -> Vec<u8> {
    let mut number = 0_u32;
    move || {
        number += 1;
        number.to_le_bytes().repeat(20)
    }
}

/// Blocks that wait count as stored: one that is twice in a group is known the second time, a
/// second one on the same parent is a fork, and one on no block that is there has no parent.
#[test]
fn a_group_knows_the_blocks_that_wait_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, _) = block_file(20, &mut numbered());
    let (half, middle) = block_file(10, &mut numbered());
    assert!(chain.starts_with(&half));
    let twice = [&half[..], &chain].concat();
    let fork = [&chain[..], &coinbase_alone(middle, 900)].concat();
    let orphan = [&chain[..], &coinbase_alone([9; 32], 901)].concat();
    let files = [("twice", twice), ("fork", fork), ("orphan", orphan)].map(|(name, bytes)| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    });
    for (engine, bodies) in grounds() {
        for level in LEVELS {
            let context = format!("{engine}, {bodies}, {level:?}");
            let results = files.each_ref().map(|file| {
                let place = place(engine, bodies);
                let (stored, known, ended) = place.import(file, level);
                (stored, known, ended, place.digest())
            });
            let [twice, fork, orphan] = results;
            assert!(twice.2.is_ok(), "{context}: {:?}", twice.2);
            assert_eq!((twice.0, twice.1), (20, 10), "{context}");
            let Err(ImportError::Fork { parent, tip, .. }) = fork.2 else {
                panic!("{context}: {:?}", fork.2);
            };
            assert_eq!((parent.get(), tip.get()), (10, 20), "{context}");
            let Err(ImportError::MissingParent { height, .. }) = orphan.2 else {
                panic!("{context}: {:?}", orphan.2);
            };
            assert_eq!(height.get(), 20, "{context}");
            assert_eq!((fork.0, orphan.0), (20, 20), "{context}");
            assert_eq!(twice.3, fork.3, "{context}");
            assert_eq!(twice.3, orphan.3, "{context}");
        }
    }
}

/// Where bodies lie in segments, the log is synced once a commit and not once a block.
#[test]
fn a_group_is_one_sync_of_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chain.dat");
    fs::write(&file, block_file(50, &mut numbered()).0).unwrap();
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let syncs = [Durability::Durable, Durability::Buffered].map(|level| {
            let place = place(engine, Bodies::Segments);
            let mut import = BitcoinImport::into(&place.store)
                .unwrap()
                .with_durability(level);
            let of = |import: &BitcoinImport| import.blocks().segments().unwrap().syncs();
            let before = of(&import);
            let go_on = &mut |_: &_| ControlFlow::Continue(());
            import.file(&file, go_on).unwrap();
            assert_eq!(import.report().blocks, 50);
            of(&import) - before
        });
        assert_eq!(syncs, [50, 1], "{engine}");
    }
}

/// The map is full in the middle of a group: the error says so, whole groups before it are there,
/// and the import goes on once there is room.
#[cfg(feature = "lmdb")]
#[test]
fn a_full_store_keeps_whole_blocks_and_the_import_goes_on_with_more_room() {
    use chain_store::{Opener, StoreUrl};
    use storage_api::ErrorKind;
    use storage_api::blocks::BlockError;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chain.dat");
    let mut number = 0_u32;
    let mut filler = || {
        number += 1;
        number.to_le_bytes().repeat(5_000)
    };
    fs::write(&file, block_file(400, &mut filler).0).unwrap();
    for level in [Durability::Durable, Durability::Buffered] {
        let at = tempfile::tempdir_in(dir.path()).unwrap();
        let url = StoreUrl::Engine(EngineName::Lmdb, at.path().join("store"));
        let open = |map_bytes: u64| {
            let schema = BitcoinImport::schema(Bodies::Store, ChecksumSetting::None).unwrap();
            let mut opener = Opener {
                schema,
                ..Opener::default()
            };
            opener.engines.lmdb.map_bytes_max = Some(map_bytes);
            Arc::new(opener.open(&url).unwrap().0)
        };
        let small = Place {
            store: open(4 << 20),
            _dir: tempfile::tempdir().unwrap(),
        };
        let (stored, _, ended) = small.import(&file, level);
        let (ImportError::Store(why) | ImportError::Blocks(BlockError::Store(why))) =
            ended.unwrap_err()
        else {
            panic!("{level:?}: no failure of the store");
        };
        assert!(
            matches!(why.kind(), ErrorKind::Full { .. }),
            "{level:?}: {why:?}"
        );
        assert!((20..300).contains(&stored), "{level:?}: {stored} blocks");
        drop(small);
        let large = Place {
            store: open(64 << 20),
            _dir: tempfile::tempdir().unwrap(),
        };
        let (more, known, ended) = large.import(&file, level);
        assert!(ended.is_ok(), "{level:?}: {ended:?}");
        assert_eq!((more, known), (400 - stored, stored), "{level:?}");
        let undisturbed = place(EngineName::Mem, Bodies::Store);
        undisturbed.import(&file, level).2.unwrap();
        assert_eq!(large.digest(), undisturbed.digest(), "{level:?}");
    }
}
