//! Opening: segments that end before the index does, that are of another store or absent, are told;
//! a group of blocks costs one sync; reading only writes nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backend_mem::MemStore;
use blocks::{SegmentBlocks, SegmentOptions};
use seglog::tools::Tools;
use seglog::{ChainTag, SegmentNumber};
use storage_api::blocks::{
    AutoCommit, BlockError, BlockHash, BlockQuery, BlockStore, Height, NewBlock, TxId,
};
use storage_api::{
    ChecksumSetting, Cursor, Durability, Engine, ErrorKind, KeyRange, KvStore, Location,
    OpenOptions, Reader, WriteTxn, Writer,
};

use crate::{folder, small};

fn store() -> Arc<MemStore> {
    let schema = SegmentBlocks::<MemStore>::schema(ChecksumSetting::None).unwrap();
    let options = OpenOptions::new();
    let opened = MemStore::open(Location::Memory, &schema, &options, &Default::default());
    Arc::new(opened.unwrap().0)
}

fn hash(height: u64) -> BlockHash {
    BlockHash::new(&height.to_be_bytes()).unwrap()
}

fn new_block(height: u64, body: &[u8]) -> NewBlock<'_> {
    NewBlock {
        height: Height::new(height),
        hash: hash(height),
        parent: hash(height - 1),
        tx_ids: &[],
        body,
    }
}

fn open(store: &Arc<MemStore>, path: &Path) -> Result<SegmentBlocks<MemStore>, BlockError> {
    SegmentBlocks::open(Arc::clone(store), folder(path), &small()).map(|(blocks, _)| blocks)
}

/// Twenty blocks of a kilobyte in five segments.
fn grown(path: &Path) -> Arc<MemStore> {
    let store = store();
    let blocks = open(&store, path).unwrap();
    let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
    for height in 1..=20_u8 {
        auto.append(new_block(height.into(), &[height; 1_000]))
            .unwrap();
    }
    store
}

/// Blocks in each segment; none is without.
fn in_segments(store: &Arc<MemStore>, blocks: &SegmentBlocks<MemStore>) -> Vec<usize> {
    let view = store.begin_read().unwrap();
    let places = (1..).map_while(|height| {
        let place = blocks.record_place(&view, Height::new(height));
        place.unwrap().map(|place| place.segment)
    });
    let places: Vec<SegmentNumber> = places.collect();
    let segments: Vec<usize> = places.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    let last = places.last().map_or(0, |last| last.get());
    assert_eq!(last + 1, segments.len() as u64);
    segments
}

#[test]
fn segments_roll_over_by_the_bytes_of_bodies_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let tx_ids: Vec<TxId> = (1..40).map(|id| TxId::new(&[id; 64]).unwrap()).collect();
    let put = |height: u64, bytes: usize| {
        // Opened anew for each, so that what opening counts decides as well.
        let blocks = open(&store, dir.path()).unwrap();
        let body = vec![height as u8; bytes];
        let block = NewBlock {
            tx_ids: &tx_ids,
            ..new_block(height, &body)
        };
        let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
        auto.append(block).unwrap();
        in_segments(&store, auto.blocks())
    };
    let sizes = [1_600, 1_600, 1_600, 2_400, 4_000, 1, 4_000, 9_000, 0, 4_000];
    let expected = [1, 2, 1, 2, 1, 1, 1, 1, 1, 2];
    for (height, (bytes, expected)) in (1..).zip(sizes.into_iter().zip(expected)) {
        assert_eq!(put(height, bytes).last(), Some(&expected), "block {height}");
    }
    let blocks = open(&store, dir.path()).unwrap();
    assert_eq!(in_segments(&store, &blocks), [2, 2, 1, 1, 1, 1, 2]);
}

#[test]
fn segments_that_end_before_the_index_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    names.sort();
    let last = names.last().unwrap();
    let bytes = std::fs::read(last).unwrap();
    std::fs::write(last, &bytes[..bytes.len() - 1]).unwrap();
    let error = open(&store, dir.path()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("block 20") || text.contains("segment"),
        "{text}"
    );
    std::fs::remove_file(last).unwrap();
    let BlockError::Store(error) = open(&store, dir.path()).unwrap_err() else {
        panic!("another error");
    };
    assert!(
        matches!(error.kind(), ErrorKind::Corruption { .. }),
        "{error:?}"
    );
    std::fs::write(last, bytes).unwrap();
    open(&store, dir.path()).unwrap();
}

#[test]
fn segments_of_another_chain_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let options = SegmentOptions {
        chain: ChainTag::new(5),
        ..small()
    };
    let refused = SegmentBlocks::open(Arc::clone(&store), folder(dir.path()), &options);
    assert!(refused.unwrap_err().to_string().contains("chain"));
}

#[test]
fn an_archived_segment_is_named_and_everything_else_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let archived = dir.path().join(SegmentNumber::new(1).file_name());
    std::fs::remove_file(&archived).unwrap();
    let (blocks, opened) =
        SegmentBlocks::open(Arc::clone(&store), folder(dir.path()), &small()).unwrap();
    assert_eq!(opened.log.absent, [SegmentNumber::new(1)]);
    let view = store.begin_read().unwrap();
    let mut absent = 0;
    for height in 1..=20 {
        let height = Height::new(height);
        assert!(blocks.info(&view, height).unwrap().is_some());
        match blocks.body(&view, height) {
            Ok(body) => assert!(body.is_some()),
            Err(BlockError::BodyAbsent { height: of, place }) => {
                assert_eq!(of, height);
                assert_eq!(Path::new(&place), archived);
                absent += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(absent, 4, "four blocks a segment");
}

#[test]
fn a_group_of_blocks_costs_one_sync_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let options = SegmentOptions::default();
    let (blocks, _) =
        SegmentBlocks::open(Arc::clone(&store), folder(dir.path()), &options).unwrap();
    let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
    let before = auto.blocks().syncs();
    let body = [9; 100];
    let group: Vec<_> = (1..=50).map(|height| new_block(height, &body)).collect();
    auto.append_all(&group).unwrap();
    assert_eq!(auto.blocks().syncs(), before + 1, "fifty blocks");
    auto.append(new_block(51, &body)).unwrap();
    assert_eq!(auto.blocks().syncs(), before + 2, "and one more");
}

#[test]
fn reading_only_changes_nothing_and_sees_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                (path, bytes)
            })
            .collect();
        files.sort();
        files
    };
    let before = files();
    let chain = ChainTag::default();
    let (blocks, opened) =
        SegmentBlocks::open_read_only(Arc::clone(&store), folder(dir.path()), chain).unwrap();
    assert_eq!(opened.beyond_commit, 0);
    let view = store.begin_read().unwrap();
    let mut seen = 0;
    blocks
        .range(&view, BlockQuery::from(Height::new(1)), &mut |_, body| {
            seen += body.len();
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 20_000);
    let refused = blocks.stage(new_block(21, b"x")).unwrap_err();
    let BlockError::Store(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(*refused.kind(), ErrorKind::ReadOnly);
    assert!(files() == before);
}

/// A flipped bit in the middle of the segments is found by a check and told by a read, and opening
/// cuts nothing.
#[test]
fn a_flipped_body_is_told_by_its_height() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let path = dir.path().join(SegmentNumber::new(2).file_name());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[64 + 40 + 500] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let blocks = open(&store, dir.path()).unwrap();
    let view = store.begin_read().unwrap();
    let checked = blocks.check(&view).unwrap();
    assert_eq!(checked.sound_blocks, 19);
    assert_eq!(checked.blocks.len(), 1);
    assert_eq!(checked.segments.len(), 1);
    let height = checked.blocks[0].0;
    let BlockError::Store(error) = blocks.body(&view, height).unwrap_err() else {
        panic!("another error");
    };
    assert!(error.is_corruption(), "{error}");
    assert!(std::fs::read(&path).unwrap() == bytes);
    drop(view);
    // Making the index again from damaged segments is refused, and the old one stays.
    let mut txn = store.begin_write().unwrap();
    assert!(blocks.rebuild_index(&mut txn).is_err());
    txn.abort().unwrap();
}

/// The files of a folder with their bytes.
fn contents(path: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    let read = |entry: std::fs::DirEntry| (entry.file_name(), std::fs::read(entry.path()).unwrap());
    entries.map(read).collect()
}

/// Among records that one sync made durable, none says that another was durable before: a damaged
/// one was taken for the torn end of the log, and opening to write cut it and all sound blocks
/// behind it before it told that the index names them. Nobody could read the blocks before it
/// either.
#[test]
fn damage_in_what_one_sync_made_durable_is_told_and_not_cut() {
    let (store, dir) = (store(), tempfile::tempdir().unwrap());
    let options = SegmentOptions {
        segment_bytes_max: 1 << 20,
        ..small()
    };
    let open = || SegmentBlocks::open(Arc::clone(&store), folder(dir.path()), &options);
    let (blocks, _) = open().unwrap();
    let bodies: Vec<Vec<u8>> = (1..=20).map(|byte| vec![byte; 1_000]).collect();
    let all: Vec<NewBlock<'_>> = (1..).zip(&bodies).map(|(at, b)| new_block(at, b)).collect();
    let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
    auto.append_all(&all).unwrap();
    let places: Vec<_> = {
        let view = store.begin_read().unwrap();
        let place = |height| auto.blocks().record_place(&view, Height::new(height));
        (1..=20)
            .map(|height| place(height).unwrap().unwrap())
            .collect()
    };
    drop(auto);
    let path = dir.path().join("0000000000.seg");
    let whole = std::fs::read(&path).unwrap();
    for (height, place) in (1..).zip(&places) {
        for offset in [place.offset + 8, place.offset + 100] {
            let mut damaged = whole.clone();
            damaged[offset as usize] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            let before = contents(dir.path());
            let BlockError::Store(error) = open().unwrap_err() else {
                panic!("block {height}: another error");
            };
            assert!(error.is_corruption(), "block {height}: {error}");
            assert!(error.to_string().contains("0000000000.seg"), "{error}");
            assert!(contents(dir.path()) == before, "block {height}: changed");

            let chain = options.chain;
            let disk = folder(dir.path());
            let reader = SegmentBlocks::open_read_only(Arc::clone(&store), disk, chain);
            let (reader, _) = reader.unwrap();
            assert!(contents(dir.path()) == before, "block {height}: changed");
            let view = store.begin_read().unwrap();
            for (other, body) in (1..).zip(&bodies) {
                let found = reader.body(&view, Height::new(other));
                match found {
                    Ok(found) if other != height => assert_eq!(found.as_ref(), Some(body)),
                    Err(BlockError::Store(error)) if other == height => {
                        assert!(error.is_corruption(), "{error}");
                    }
                    found => panic!("block {other}, {height} damaged: {found:?}"),
                }
            }
        }
    }
    std::fs::write(&path, &whole).unwrap();
    let (blocks, _) = open().unwrap();
    let checked = blocks.check(&store.begin_read().unwrap()).unwrap();
    assert_eq!(checked.sound_blocks, 20);
}

/// A folder that was lost, or not mounted, got an empty segment before the error was told: the
/// files that were put back lay beside it.
#[test]
fn segments_that_are_all_gone_are_told_and_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = |from: &Path, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    moved(dir.path(), elsewhere.path());
    let BlockError::Store(error) = open(&store, dir.path()).unwrap_err() else {
        panic!("another error");
    };
    assert!(error.is_corruption(), "{error}");
    assert!(error.to_string().contains("no segment"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    moved(elsewhere.path(), dir.path());
    let blocks = open(&store, dir.path()).unwrap();
    let checked = blocks.check(&store.begin_read().unwrap()).unwrap();
    assert_eq!(checked.sound_blocks, 20);
}

/// Opening took an index without blocks for a log of trash and would have cut every body away.
#[test]
fn segments_whose_index_was_lost_are_kept_and_give_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let old = grown(dir.path());
    let new = store();
    let blocks = open(&new, dir.path()).unwrap();
    let mut txn = new.begin_write().unwrap();
    let rebuilt = blocks.rebuild_index(&mut txn).unwrap();
    txn.commit(Durability::Durable).unwrap();
    assert_eq!((rebuilt.blocks, rebuilt.passed_over), (20, 0));
    let (before, after) = (old.begin_read().unwrap(), new.begin_read().unwrap());
    for table in SegmentBlocks::<MemStore>::tables() {
        let id = old.catalogue().id(table.name()).unwrap();
        let mut old_rows = before.cursor(id, KeyRange::all()).unwrap();
        let id = new.catalogue().id(table.name()).unwrap();
        let mut new_rows = after.cursor(id, KeyRange::all()).unwrap();
        loop {
            let (old_row, new_row) = (old_rows.next().unwrap(), new_rows.next().unwrap());
            let old_row = old_row.map(|row| (row.key.to_vec(), row.value.to_vec()));
            let new_row = new_row.map(|row| (row.key.to_vec(), row.value.to_vec()));
            assert_eq!(old_row, new_row, "{}", table.name());
            if old_row.is_none() {
                break;
            }
        }
    }
}

/// A block that was staged and not appended had not been written yet when the index was made again:
/// its record was taken for damage.
#[test]
fn what_was_staged_last_is_in_an_index_that_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let blocks = open(&store, dir.path()).unwrap();
    blocks.stage(new_block(21, b"staged")).unwrap();
    let mut txn = store.begin_write().unwrap();
    let rebuilt = blocks.rebuild_index(&mut txn).unwrap();
    txn.commit(Durability::Durable).unwrap();
    assert_eq!((rebuilt.blocks, rebuilt.passed_over), (21, 0));
    let view = store.begin_read().unwrap();
    let body = blocks.body(&view, Height::new(21)).unwrap();
    assert_eq!(body.as_deref(), Some(&b"staged"[..]));
    let checked = blocks.check(&view).unwrap();
    assert_eq!(checked.sound_blocks, 21);
}

#[test]
fn a_row_of_totals_that_came_back_cuts_no_block_that_has_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let state = store.catalogue().id("blocks.state").unwrap();
    let row = |store: &MemStore| {
        let view = store.begin_read().unwrap();
        let mut rows = view.cursor(state, KeyRange::all()).unwrap();
        let row = rows.first().unwrap().unwrap();
        (row.key.to_vec(), row.value.to_vec())
    };
    let before = row(&store);
    let blocks = open(&store, dir.path()).unwrap();
    let auto = AutoCommit::new(Arc::clone(&store), blocks, Durability::Durable);
    for height in 21..=30_u8 {
        auto.append(new_block(height.into(), &[height; 1_000]))
            .unwrap();
    }
    drop(auto);
    let newest = row(&store);
    for (row, is_refused) in [(&before, true), (&newest, false)] {
        let mut txn = store.begin_write().unwrap();
        txn.put(state, &row.0, &row.1).unwrap();
        txn.commit(Durability::Durable).unwrap();
        match open(&store, dir.path()) {
            Err(error) => {
                assert!(is_refused, "{error}");
                // A repair makes the index again, with every block of it.
                let tools = Tools::new(folder(dir.path()), small().chain);
                let blocks = SegmentBlocks::open_for_tools(Arc::clone(&store), &tools).unwrap();
                let mut txn = store.begin_write().unwrap();
                let rebuilt = blocks.rebuild_to(&mut txn, &tools, None).unwrap();
                assert_eq!(rebuilt.blocks, 30);
                txn.abort().unwrap();
                let text = error.to_string();
                assert!(
                    text.contains("tip is 20") && text.contains("up to 30"),
                    "{text}"
                );
            }
            Ok(blocks) => {
                assert!(!is_refused);
                let view = store.begin_read().unwrap();
                assert_eq!(blocks.check(&view).unwrap().sound_blocks, 30);
            }
        }
    }
}

/// The segments of a folder.
fn segments(path: &Path) -> Vec<String> {
    let names = contents(path).into_keys();
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.ends_with(".seg")).collect()
}

/// What a pruning left when it was killed behind its commit took space until the next pruning,
/// which need never come.
#[test]
fn opening_takes_what_a_killed_pruning_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = grown(dir.path());
    let blocks = open(&store, dir.path()).unwrap();
    let mut txn = store.begin_write().unwrap();
    // Its file work is never done. Four blocks are a segment.
    blocks.prune(&mut txn, Height::new(10)).unwrap();
    txn.commit(Durability::Durable).unwrap();
    drop(blocks);
    assert_eq!(segments(dir.path()).len(), 5);
    let expect_left = |left: usize| {
        let blocks = open(&store, dir.path()).unwrap();
        assert_eq!(segments(dir.path()).len(), left);
        let checked = blocks.check(&store.begin_read().unwrap()).unwrap();
        assert_eq!(checked.sound_blocks, 11 - checked.blocks.len() as u64);
    };

    // A row of a block below the tail: one of the two is wrong, and nothing goes.
    let places = store.catalogue().id("blocks.places").unwrap();
    let view = store.begin_read().unwrap();
    let row = view.get(places, &10_u64.to_be_bytes()).unwrap().unwrap();
    let row = row.as_ref().to_vec();
    drop(view);
    let low = 3_u64.to_be_bytes();
    let mut txn = store.begin_write().unwrap();
    txn.put(places, &low, &row).unwrap();
    txn.commit(Durability::Durable).unwrap();
    expect_left(5);
    let mut txn = store.begin_write().unwrap();
    txn.delete(places, &low).unwrap();
    txn.commit(Durability::Durable).unwrap();

    // A tail whose body is damaged: what lies before it may help.
    let path = dir.path().join(SegmentNumber::new(2).file_name());
    let whole = std::fs::read(&path).unwrap();
    let place = {
        let blocks = open_to_read(&store, dir.path());
        let view = store.begin_read().unwrap();
        blocks.record_place(&view, Height::new(10)).unwrap()
    };
    let mut damaged = whole.clone();
    damaged[place.unwrap().offset as usize + 100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    expect_left(5);
    std::fs::write(&path, &whole).unwrap();

    // Reading only takes nothing.
    drop(open_to_read(&store, dir.path()));
    assert_eq!(segments(dir.path()).len(), 5);
    expect_left(3);
    expect_left(3);
}

fn open_to_read(store: &Arc<MemStore>, path: &Path) -> SegmentBlocks<MemStore> {
    let chain = ChainTag::default();
    let opened = SegmentBlocks::open_read_only(Arc::clone(store), folder(path), chain);
    opened.unwrap().0
}
