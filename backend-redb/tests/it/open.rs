//! Opening: fresh, again, read-only, after an unclean end; what is refused; compaction and the
//! check.

use std::fs;
use std::path::Path;

use backend_kit::RawEngine;
use backend_redb::{CommitStrategy, DATA_FILE_NAME, RedbEngine};
use storage_api::{Count, Durability, ErrorKind, KeyRange, Location, Reader, Writer};

use crate::support::{A, B, FAR, Opening, all, change, get, put};

fn fill(engine: &RedbEngine, rows: u32) {
    change(engine, Durability::Durable, |txn| {
        (0..rows).try_for_each(|n| txn.put(A, &n.to_be_bytes(), &[n as u8; 200]))
    });
}

/// The files as they are now, in another directory: what a killed process leaves.
fn killed(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::copy(from.join(DATA_FILE_NAME), to.path().join(DATA_FILE_NAME)).unwrap();
    to
}

fn data(directory: &Path) -> Vec<u8> {
    fs::read(directory.join(DATA_FILE_NAME)).unwrap()
}

#[test]
fn a_store_opens_again_with_what_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, opened) = Opening::fresh().open(directory.path()).unwrap();
    assert_eq!(opened.recovered, None);
    fill(&engine, 1_000);
    drop(engine);
    let mut opening = Opening::again();
    opening.tables.retain(|table| table.id != FAR);
    opening.options.memory_budget_bytes = Some(0);
    let (engine, opened) = opening.open(directory.path()).unwrap();
    assert_eq!(opened.recovered, None);
    let view = engine.view().unwrap();
    assert_eq!(view.count(A).unwrap(), Count::Exact(1_000));
    assert_eq!(all(&view, A).len(), 1_000);
    assert_eq!(
        view.count(FAR).unwrap_err().kind(),
        &ErrorKind::UnknownTable {
            table: "#40".into()
        }
    );
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let _engine = Opening::fresh().open(directory.path()).unwrap();
    let about = fs::metadata(directory.path().join(DATA_FILE_NAME)).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_unclean_end_is_recovered_without_a_walk() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    fill(&engine, 1_000);
    for _ in 0..3 {
        let copy = killed(directory.path());
        let (again, opened) = Opening::again().open(copy.path()).unwrap();
        let recovered = opened.recovered.unwrap();
        assert!(
            recovered.contains("took the last durable commit as it was"),
            "{recovered}"
        );
        assert_eq!(all(&again.view().unwrap(), A).len(), 1_000);
        fill(&again, 2_000);
        assert!(again.check().unwrap().unwrap().findings.is_empty());
        engine.compact().unwrap();
    }
}

#[test]
fn without_quick_repair_an_unclean_end_costs_a_walk() {
    for strategy in [CommitStrategy::OnePhase, CommitStrategy::TwoPhase] {
        let directory = tempfile::tempdir().unwrap();
        let mut opening = Opening::fresh();
        opening.redb.commit_strategy = strategy;
        let (engine, _) = opening.open(directory.path()).unwrap();
        fill(&engine, 1_000);
        for opening in [Opening::again(), Opening::read_only()] {
            let copy = killed(directory.path());
            let (again, opened) = opening.open(copy.path()).unwrap();
            assert!(opened.recovered.unwrap().contains("walked every page"));
            assert_eq!(all(&again.view().unwrap(), A).len(), 1_000);
        }
    }
}

#[test]
fn read_only_changes_no_byte_after_any_end() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    fill(&engine, 1_000);
    let unclean = killed(directory.path());
    drop(engine);
    for (copy, is_unclean) in [(&directory, false), (&unclean, true)] {
        let before = data(copy.path());
        let (reader, opened) = Opening::read_only().open(copy.path()).unwrap();
        assert_eq!(opened.recovered.is_some(), is_unclean);
        assert!(
            opened
                .recovered
                .is_none_or(|text| text.ends_with("in memory only"))
        );
        assert_eq!(all(&reader.view().unwrap(), A).len(), 1_000);
        // Many readers at once, and no writer beside them.
        let (second, _) = Opening::read_only().open(copy.path()).unwrap();
        assert_eq!(
            second.view().unwrap().count(A).unwrap(),
            Count::Exact(1_000)
        );
        let busy = Opening::again().open(copy.path()).unwrap_err();
        assert!(
            matches!(busy.kind(), ErrorKind::AlreadyOpen { .. }),
            "{busy}"
        );
        assert_eq!(reader.begin().unwrap_err().kind(), &ErrorKind::ReadOnly);
        assert_eq!(
            reader.begin_batch().unwrap_err().kind(),
            &ErrorKind::ReadOnly
        );
        assert_eq!(reader.compact().unwrap_err().kind(), &ErrorKind::ReadOnly);
        assert!(reader.check().unwrap().unwrap().findings.is_empty());
        reader.sync().unwrap();
        let view = second.view().unwrap();
        drop((reader, second));
        assert_eq!(view.count(A).unwrap(), Count::Exact(1_000));
        drop(view);
        assert!(data(copy.path()) == before, "a byte changed");
        let (engine, _) = Opening::again().open(copy.path()).unwrap();
        assert_eq!(
            engine.view().unwrap().count(A).unwrap(),
            Count::Exact(1_000)
        );
    }
}

#[test]
fn a_missing_table_is_made_for_writing_and_empty_for_reading() {
    let directory = tempfile::tempdir().unwrap();
    let mut less = Opening::fresh();
    less.tables.retain(|table| table.id != B);
    drop(less.open(directory.path()).unwrap());
    let (reader, _) = Opening::read_only().open(directory.path()).unwrap();
    let view = reader.view().unwrap();
    assert_eq!(
        (get(&view, B, b"k"), view.count(B).unwrap()),
        (None, Count::Exact(0))
    );
    assert!(all(&view, B).is_empty());
    drop((view, reader));
    let (engine, _) = Opening::again().open(directory.path()).unwrap();
    put(&engine, B, b"k", b"v");
    assert_eq!(get(&engine.view().unwrap(), B, b"k"), Some(b"v".to_vec()));
}

#[test]
fn what_is_not_a_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATA_FILE_NAME);
    let refused = |opening: Opening| opening.open(directory.path()).unwrap_err();

    // A lost file does not become an empty store, nor a store that never was: `NotFound` would
    // invite the caller to make one.
    for opening in [Opening::again(), Opening::read_only()] {
        let error = refused(opening);
        assert!(error.is_corruption(), "{error:?}");
        assert!(error.to_string().contains("missing"), "{error}");
        assert!(!file.exists());
    }
    for content in [&b""[..], b"short", &[b'x'; 50_000]] {
        fs::write(&file, content).unwrap();
        for opening in [Opening::again(), Opening::read_only()] {
            let error = refused(opening);
            assert!(error.is_corruption(), "{error:?}");
            assert_eq!(data(directory.path()), content);
        }
    }
    let memory = Opening::read_only().at(Location::Memory).unwrap_err();
    assert_eq!(
        memory.kind(),
        &ErrorKind::Unsupported {
            capability: "read_only_open"
        }
    );
}

#[test]
fn another_version_of_the_file_is_refused() {
    // Versions stand at the head of both commit slots. Source: redb's docs/design.md.
    const VERSIONS_AT: [usize; 2] = [64, 192];
    let directory = tempfile::tempdir().unwrap();
    drop(Opening::fresh().open(directory.path()).unwrap());
    let file = directory.path().join(DATA_FILE_NAME);
    let sound = fs::read(&file).unwrap();
    let refused = |version: u8| {
        let mut bytes = sound.clone();
        for at in VERSIONS_AT {
            assert_eq!(bytes[at], 3);
            bytes[at] = version;
        }
        fs::write(&file, bytes).unwrap();
        Opening::again().open(directory.path()).unwrap_err()
    };
    let old = refused(2);
    assert!(
        matches!(old.kind(), ErrorKind::Unsupported { .. }),
        "{old:?}"
    );
    // redb 4.4 calls a version it does not know a corruption.
    assert!(refused(9).is_corruption());
}

#[test]
fn compaction_gives_space_back_and_stays_quick_to_repair() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    fill(&engine, 20_000);
    change(&engine, Durability::Durable, |txn| {
        txn.delete_range(A, &KeyRange::from_key(&100_u32.to_be_bytes()))
    });
    let before = data(directory.path()).len();
    engine.compact().unwrap();
    let after = data(directory.path()).len();
    assert!(after * 4 < before, "{before} to {after}");
    assert!(engine.used_bytes() <= after as u64);
    let copy = killed(directory.path());
    let (again, opened) = Opening::again().open(copy.path()).unwrap();
    assert!(
        opened
            .recovered
            .unwrap()
            .contains("took the last durable commit as it was")
    );
    assert_eq!(all(&again.view().unwrap(), A).len(), 100);
    fill(&engine, 1_000);
    assert_eq!(
        engine.view().unwrap().count(A).unwrap(),
        Count::Exact(1_000)
    );
}

#[test]
fn a_check_runs_beside_views_and_finds_a_flipped_bit() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = Opening::fresh().open(directory.path()).unwrap();
    fill(&engine, 5_000);
    change(&engine, Durability::Volatile, |txn| {
        txn.put(B, b"k", b"only in the cache")
    });
    let view = engine.view().unwrap();
    let checked = engine.check().unwrap().unwrap();
    assert!(checked.findings.is_empty(), "{checked:?}");
    assert!(!checked.summary.is_empty());

    let mut bytes = data(directory.path());
    let at = bytes.windows(200).position(|row| row == [77; 200]).unwrap();
    bytes[at] ^= 4;
    fs::write(directory.path().join(DATA_FILE_NAME), &bytes).unwrap();
    let found = engine.check().unwrap().unwrap().findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(view.count(A).unwrap(), Count::Exact(5_000));
    bytes[at] ^= 4;
    fs::write(directory.path().join(DATA_FILE_NAME), &bytes).unwrap();
    assert!(engine.check().unwrap().unwrap().findings.is_empty());
    put(&engine, A, b"k", b"the slot was given back");
}
