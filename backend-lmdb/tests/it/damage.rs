//! Files that are no store, of another version, cut short or missing: typed errors, never a crash.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use backend_kit::{RawBatch, RawEngine, RawOpen};
use backend_lmdb::{LmdbEngine, LmdbOptions};
use storage_api::{Durability, Error, ErrorKind, KeyRange, Location, Reader, Writer};

use crate::setup::{ROWS, open, open_read_only, open_with, rows, tables};

fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut txn = engine.begin().unwrap();
    for i in 0..10_000_u32 {
        txn.put(ROWS, &i.to_be_bytes(), &[i as u8; 300]).unwrap();
    }
    txn.commit(Durability::Durable).unwrap();
    directory
}

fn overwrite(directory: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new()
        .write(true)
        .open(directory.join("data.mdb"))
        .unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// The errors of opening for writing and for reading only.
fn refusals(directory: &Path) -> [Error; 2] {
    let both = [
        storage_api::OpenOptions::new(),
        storage_api::OpenOptions::read_only(),
    ];
    both.map(|options| {
        open_with(directory, &tables(), &options, &LmdbOptions::default()).unwrap_err()
    })
}

#[test]
fn a_file_that_is_no_store_is_corruption_and_is_not_touched() {
    for garbage in [&b"short"[..], &[0; 100_000], &[0xa5; 100_000]] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("data.mdb"), garbage).unwrap();
        for error in refusals(directory.path()) {
            assert!(error.is_corruption(), "{error:?}");
        }
        assert!(fs::read(directory.path().join("data.mdb")).unwrap() == garbage);
    }
}

#[test]
fn headers_that_contradict_themselves_are_corruption() {
    // Both meta pages: page size, root of the tables, last page.
    for (at, bytes) in [
        (40, &0_u32.to_le_bytes()[..]),
        (40, &12_345_u32.to_le_bytes()),
        (128, &1_u64.to_le_bytes()),
        (128, &(u64::MAX - 5).to_le_bytes()),
        (136, &u64::MAX.to_le_bytes()),
        (136, &3_u64.to_le_bytes()),
    ] {
        let directory = filled();
        overwrite(directory.path(), at, bytes);
        overwrite(directory.path(), 4096 + at, bytes);
        for error in refusals(directory.path()) {
            assert!(error.is_corruption(), "byte {at}: {error:?}");
        }
    }
}

#[test]
fn a_newer_version_is_named() {
    let directory = filled();
    overwrite(directory.path(), 20, &7_u32.to_le_bytes());
    for error in refusals(directory.path()) {
        let is_newer = matches!(
            error.kind(),
            ErrorKind::FormatTooNew {
                found: 7,
                supported: 1,
                ..
            }
        );
        assert!(is_newer, "{error:?}");
    }
}

#[test]
fn a_store_that_lost_its_file_is_not_made_anew() {
    let directory = filled();
    for empty in [true, false] {
        fs::remove_file(directory.path().join("data.mdb")).unwrap();
        if empty {
            fs::write(directory.path().join("data.mdb"), b"").unwrap();
        }
        let request = RawOpen {
            location: Location::Directory(directory.path()),
            tables: &tables(),
            fresh: false,
            options: &storage_api::OpenOptions::new(),
        };
        let error = LmdbEngine::open(&request, &LmdbOptions::default()).unwrap_err();
        assert!(error.is_corruption(), "{error:?}");
        assert_eq!(directory.path().join("data.mdb").exists(), empty);
    }
}

#[test]
fn a_file_cut_short_is_corruption_where_rows_are_missing() {
    let whole = filled();
    // Small commits move the roots to pages that were freed at the beginning of the file, away from
    // the leaves.
    let engine = open(whole.path());
    for i in 0..10_u8 {
        let mut txn = engine.begin().unwrap();
        let range = KeyRange::half_open(&[0, 0, i, 0], &[0, 0, i, 100]);
        txn.delete_range(ROWS, &range).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
    drop(engine);
    let len = fs::metadata(whole.path().join("data.mdb")).unwrap().len();
    let bytes = fs::read(whole.path().join("data.mdb")).unwrap();
    let (mut refused, mut found) = (0, 0);
    for cut in (1..20).map(|i| len * i / 20 / 4096 * 4096) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("data.mdb"), &bytes[..cut as usize]).unwrap();
        assert!(
            open_read_only(directory.path())
                .unwrap_err()
                .is_corruption()
        );
        let opened = open_with(
            directory.path(),
            &tables(),
            &storage_api::OpenOptions::new(),
            &LmdbOptions::default(),
        );
        match opened {
            Err(error) => {
                assert!(error.is_corruption(), "{error:?}");
                refused += 1;
            }
            Ok((engine, opened)) => {
                assert!(opened.recovered.is_some());
                let error = rows(&engine.view().unwrap(), ROWS, KeyRange::all()).unwrap_err();
                assert!(error.is_corruption(), "{error:?}");
                found += 1;
            }
        }
    }
    println!("{refused} refused at opening, {found} found by reading");
    assert!(refused > 0 && found > 0, "{refused}, {found}");
}

#[test]
fn pages_freed_before_they_were_written_leave_no_short_file() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut txn = engine.begin().unwrap();
    txn.put(ROWS, b"kept", b"v").unwrap();
    txn.put(ROWS, b"large", &vec![1; 1_000_000]).unwrap();
    txn.delete(ROWS, b"large").unwrap();
    txn.commit(Durability::Durable).unwrap();
    let used = engine.used_bytes();
    assert!(used > 1_000_000, "{used}");
    assert_eq!(
        fs::metadata(directory.path().join("data.mdb"))
            .unwrap()
            .len(),
        used
    );
    drop(engine);
    let engine = open_read_only(directory.path()).unwrap();
    assert_eq!(
        engine.view().unwrap().get(ROWS, b"kept").unwrap(),
        Some(&b"v"[..])
    );
}

#[test]
fn missing_permission_and_missing_directory_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let error = open_with(
        &directory.path().join("nowhere"),
        &tables(),
        &storage_api::OpenOptions::read_only(),
        &LmdbOptions::default(),
    )
    .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::FileMissing { .. }),
        "{error:?}"
    );
}
