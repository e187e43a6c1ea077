//! Ethereum and Antelope files on every compiled engine: the real ones, again, interrupted, cut.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use chain_store::chain_files::FileFormat;
use chain_store::{
    AntelopeState, AnyStore, Blocks, BlocksDigest, Bodies, ContentDigest, EngineName, FileImport,
    ImportError,
};
use storage_api::blocks::{BlockQuery, BlockStore, Height, KvBlocks};
use storage_api::{ChecksumSetting, Durability, KvStore, ReadTxn};

use super::real_file;

const FILES: [(&str, FileFormat, u64, u64); 3] = [
    ("sepolia-00000-643a00f7.era1", FileFormat::Era1, 8_192, 0),
    ("execapis-chain.rlp", FileFormat::EthereumRlp, 54, 1),
    ("antelope-blocks.log", FileFormat::AntelopeLog, 5, 1),
];

fn store(engine: EngineName, dir: &Path) -> Arc<AnyStore> {
    store_with(engine, dir, Bodies::Store)
}

fn store_with(engine: EngineName, dir: &Path, bodies: Bodies) -> Arc<AnyStore> {
    let schema = FileImport::schema(bodies, ChecksumSetting::None).unwrap();
    Arc::new(AnyStore::open(&crate::url::of(engine, dir), &schema).unwrap())
}

fn digest(store: &AnyStore) -> ContentDigest {
    let view = store.begin_read().unwrap();
    ContentDigest::compute(&view, store.catalogue(), &mut |_| {}).unwrap()
}

fn import(store: &Arc<AnyStore>, path: &Path) -> Result<(u64, u64), ImportError> {
    let import = FileImport::into(store).unwrap();
    let mut import = import.with_durability(Durability::Buffered);
    import.file(path, &mut |_| ControlFlow::Continue(()))?;
    Ok((import.report().blocks, import.report().known_blocks))
}

/// The bodies of a store, written as a file of this format again.
fn bodies(store: &AnyStore) -> Vec<Vec<u8>> {
    let blocks = KvBlocks::resolve(store.catalogue()).unwrap();
    let view = store.begin_read().unwrap();
    let mut bodies = Vec::new();
    blocks
        .range(&view, BlockQuery::from(Height::ZERO), &mut |_, body| {
            bodies.push(body.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    bodies
}

#[test]
fn real_files_mean_the_same_on_every_engine_and_again() {
    for (name, _, count, first) in FILES {
        let Some(path) = real_file(name) else { return };
        let mut digests = Vec::new();
        for engine in EngineName::compiled() {
            let dir = tempfile::tempdir().unwrap();
            let store = store(engine, dir.path());
            assert_eq!(
                import(&store, &path).unwrap(),
                (count, 0),
                "{engine}, {name}"
            );
            let before = digest(&store);
            assert_eq!(
                import(&store, &path).unwrap(),
                (0, count),
                "{engine}, {name} again"
            );
            assert_eq!(digest(&store), before, "{engine}, {name} again");
            let blocks = KvBlocks::resolve(store.catalogue()).unwrap();
            let tail = blocks.tail(&store.begin_read().unwrap()).unwrap().unwrap();
            assert_eq!(tail.height.get(), first, "{engine}, {name}");
            digests.push(before);
        }
        assert!(digests.windows(2).all(|two| two[0] == two[1]), "{name}");
    }
}

#[test]
fn an_import_that_was_broken_off_goes_on() {
    let Some(path) = real_file(FILES[1].0) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store(EngineName::Mem, dir.path());
    let mut first = FileImport::into(&store).unwrap();
    first
        .file(&path, &mut |report| {
            if report.blocks == 7 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert!(first.report().stopped);
    assert_eq!(import(&store, &path).unwrap(), (FILES[1].2 - 7, 7));
}

#[test]
fn a_cut_file_keeps_what_came_before_and_goes_on_when_it_is_whole() {
    let Some(path) = real_file(FILES[0].0) else {
        return;
    };
    let bytes = fs::read(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.era1");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let store = store(EngineName::Mem, dir.path());
    let error = import(&store, &cut).unwrap_err();
    assert!(matches!(error, ImportError::Record { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("cut.era1") && text.contains("offset"),
        "{text}"
    );
    let kept = bodies(&store).len() as u64;
    assert!(kept > 1_000, "{kept} blocks are kept");
    assert_eq!(import(&store, &path).unwrap(), (FILES[0].2 - kept, kept));
}

#[test]
fn files_of_other_chains_and_formats_are_refused() {
    let (Some(era1), Some(rlp)) = (real_file(FILES[0].0), real_file(FILES[1].0)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let store = store(EngineName::Mem, dir.path());
    import(&store, &rlp).unwrap();
    let before = digest(&store);
    // It begins with height 0, which is below the tail; the block at the tail is another one.
    let error = import(&store, &era1).unwrap_err();
    let ImportError::OtherBlock { at, height, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((at.record, height.get()), (1, 1), "{error}");
    let import = FileImport::into(&store).unwrap();
    let mut import = import.with_format(Some(FileFormat::AntelopeLog));
    let error = import
        .file(&rlp, &mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, ImportError::OtherFormat { .. }), "{error}");
    let nothing = dir.path().join("text");
    fs::write(&nothing, "this is no chain").unwrap();
    let error = super::files::import(&store, &nothing).unwrap_err();
    let unknown = matches!(error, ImportError::UnknownFormat { .. });
    assert!(unknown, "{error}");
    assert_eq!(digest(&store), before);
}

#[test]
fn the_beginning_of_a_log_without_a_sound_block_is_not_kept_with_blocks_of_another_file() {
    let (Some(rlp), Some(log)) = (real_file(FILES[1].0), real_file(FILES[2].0)) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.log");
    fs::write(&cut, &fs::read(log).unwrap()[..150]).unwrap();
    let store = store(EngineName::Mem, dir.path());
    let mut import = FileImport::into(&store).unwrap();
    let go_on = &mut |_: &_| ControlFlow::Continue(());
    let error = import.file(&cut, go_on).unwrap_err();
    assert!(matches!(error, ImportError::Record { .. }), "{error}");
    import.file(&rlp, go_on).unwrap();
    assert_eq!(import.report().blocks, FILES[1].2);
    let state = AntelopeState::resolve(store.catalogue()).unwrap();
    let kept = state.preamble(&store.begin_read().unwrap()).unwrap();
    assert!(kept.is_none(), "{kept:?}");
}

/// A commit for each block was most of the time of an import that promised nothing for each.
#[test]
fn what_is_not_durable_one_by_one_is_committed_in_groups() {
    let Some(path) = real_file(FILES[0].0) else {
        return;
    };
    let commits = |durability| {
        let dir = tempfile::tempdir().unwrap();
        let store = store(EngineName::Mem, dir.path());
        let import = FileImport::into(&store).unwrap();
        let mut import = import.with_durability(durability);
        import
            .file(&path, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        assert_eq!(import.report().blocks, FILES[0].2);
        let commits = store.begin_read().unwrap().commit_seq().unwrap();
        (commits.get(), digest(&store))
    };
    let (each, one_by_one) = commits(Durability::Durable);
    let (few, in_groups) = commits(Durability::Buffered);
    assert_eq!(one_by_one, in_groups);
    assert_eq!(each, FILES[0].2);
    assert!((8..40).contains(&few), "{few} commits");
}

fn blocks_digest(store: &Arc<AnyStore>) -> BlocksDigest {
    let blocks = Blocks::open(store).unwrap();
    let view = store.begin_read().unwrap();
    BlocksDigest::compute(&blocks, &view, &mut |_| {}).unwrap()
}

#[test]
fn bodies_in_segments_are_the_same_blocks_on_every_engine() {
    for (name, _, count, _) in &FILES[1..] {
        let Some(path) = real_file(name) else { return };
        let mut digests = Vec::new();
        let mut contents = Vec::new();
        for engine in EngineName::compiled() {
            let dir = tempfile::tempdir().unwrap();
            let rows = store(engine, dir.path());
            import(&rows, &path).unwrap();
            digests.push(blocks_digest(&rows));
            drop(rows);
            let dir = tempfile::tempdir().unwrap();
            let store = store_with(engine, dir.path(), Bodies::Segments);
            if engine == EngineName::Mem {
                let refused = FileImport::into(&store).unwrap_err().to_string();
                assert!(refused.contains("a store in a directory"), "{refused}");
                continue;
            }
            assert_eq!(import(&store, &path).unwrap(), (*count, 0), "{engine}");
            assert_eq!(import(&store, &path).unwrap(), (0, *count), "{engine}");
            digests.push(blocks_digest(&store));
            contents.push(digest(&store));
            let held = Blocks::open(&store).unwrap();
            let second = Blocks::open(&store).unwrap_err().to_string();
            assert!(second.contains("open"), "{engine}: {second}");
            assert_eq!(held.bodies(), Bodies::Segments);
        }
        assert_eq!(digests[0].blocks(), *count);
        assert!(digests.windows(2).all(|two| two[0] == two[1]), "{name}");
        assert!(contents.windows(2).all(|two| two[0] == two[1]), "{name}");
    }
}
