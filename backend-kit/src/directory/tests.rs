//! Tests of the directory: golden and corrupt markers, adoption, locking, creation that is cut
//! short.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use storage_api::{
    Access, ChainId, ErrorKind, IfMissing, OpenOptions, TableDef, TableId, TableInfo,
};

use super::{DATA_FOLDER, Directory, Found, LOCK_FILE, MARKER_FILE, Marker, State, read_marker};

const ENGINE: (&str, u32) = ("redb", 1);

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/directory/",
            $name
        ))
    };
}

fn golden() -> Marker {
    let table = |id, def| TableInfo {
        id: TableId::new(id),
        def,
    };
    Marker {
        engine: "redb".to_owned(),
        engine_format: 1,
        written_by: "chainstore-0.1.0".to_owned(),
        store_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        chain_id: Some(ChainId::new("bitcoin:main").unwrap()),
        state: State::Ready,
        next_table: 4,
        tables: vec![
            table(1, TableDef::new("accounts").point_lookups()),
            table(
                3,
                TableDef::new("blocks.bodies")
                    .append_only()
                    .large_values()
                    .with_envelope(),
            ),
        ],
    }
}

#[test]
fn golden_marker_is_written_and_read_as_documented() {
    let text = fixture!("golden-v1.txt");
    assert_eq!(golden().to_text(), String::from_utf8_lossy(text));
    assert_eq!(Marker::parse(text, "golden").unwrap(), golden());
}

#[test]
fn corrupt_markers_are_refused() {
    let corrupt: [&[u8]; 5] = [
        fixture!("corrupt-checksum.txt"),
        fixture!("corrupt-truncated.txt"),
        fixture!("corrupt-unknown-word.txt"),
        fixture!("corrupt-table-order.txt"),
        fixture!("corrupt-line-ends.txt"),
    ];
    for bytes in corrupt {
        let error = Marker::parse(bytes, "fixture").unwrap_err();
        assert!(error.is_corruption(), "{error}");
    }
    let newer = Marker::parse(fixture!("newer-version.txt"), "fixture").unwrap_err();
    assert!(matches!(
        newer.kind(),
        ErrorKind::FormatTooNew {
            found: 2,
            supported: 1,
            ..
        }
    ));
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_marker_is_noticed() {
    let text = golden().to_text().into_bytes();
    for at in 0..text.len() {
        assert!(Marker::parse(&text[..at], "cut").is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bad = text.clone();
            bad[at] ^= 1 << bit;
            assert!(
                Marker::parse(&bad, "flip").is_err(),
                "bit {bit} of byte {at}"
            );
        }
    }
}

fn listing(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn kind(result: storage_api::Result<(Directory, Found)>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind().clone()
}

#[test]
fn foreign_directories_are_not_touched() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("wallet.dat"), b"keys").unwrap();
    let refused = kind(Directory::open(place.path(), ENGINE, &OpenOptions::new()));
    assert!(matches!(refused, ErrorKind::NotAStore { found, .. } if found.contains("wallet.dat")));
    assert_eq!(listing(place.path()), ["wallet.dat"]);
    let file = place.path().join("wallet.dat");
    let refused = kind(Directory::open(&file, ENGINE, &OpenOptions::new()));
    assert!(matches!(refused, ErrorKind::NotAStore { .. }));
}

#[test]
fn missing_directories_are_made_or_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a/b");
    let mut options = OpenOptions::new();
    options.if_missing = IfMissing::Fail;
    assert!(matches!(
        kind(Directory::open(&path, ENGINE, &options)),
        ErrorKind::NotFound { .. }
    ));
    assert!(!path.exists());
    let (directory, found) = Directory::open(&path, ENGINE, &OpenOptions::new()).unwrap();
    assert!(matches!(found, Found::Nothing) && !directory.existed() && directory.is_locked());
    let refused = kind(Directory::open(&path, ENGINE, &OpenOptions::new()));
    let pid = std::process::id();
    assert!(
        matches!(refused, ErrorKind::AlreadyOpen { holder_pid, .. } if holder_pid == Some(pid))
    );
    drop(directory);
    assert_eq!(listing(&path), [LOCK_FILE]);
}

/// A store marked `creating` was killed while it was made: the next writer starts again and throws
/// its half-made files away, a reader refuses it.
#[test]
fn creation_that_was_cut_short_starts_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let mut marker = golden();
    marker.state = State::Creating;
    marker.chain_id = None;
    let (directory, _) = Directory::open(path, ENGINE, &OpenOptions::new()).unwrap();
    directory.begin_creation(&marker).unwrap();
    fs::write(directory.data_path().join("half"), b"made").unwrap();
    drop(directory);

    let refused = kind(Directory::open(path, ENGINE, &OpenOptions::read_only()));
    assert!(matches!(refused, ErrorKind::NotAStore { .. }));
    assert_eq!(listing(&path.join(DATA_FOLDER)), ["half"]);

    let (directory, found) = Directory::open(path, ENGINE, &OpenOptions::new()).unwrap();
    assert!(matches!(found, Found::Nothing));
    directory.begin_creation(&marker).unwrap();
    assert!(listing(&directory.data_path()).is_empty());
    marker.state = State::Ready;
    directory.write_marker(&marker).unwrap();
    drop(directory);
    assert_eq!(read_marker(path).unwrap(), Some(marker));
}

#[test]
fn wrong_engine_chain_and_format_are_refused() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(MARKER_FILE), golden().to_text()).unwrap();
    let open = |engine, options: &OpenOptions| kind(Directory::open(place.path(), engine, options));
    let mut options = OpenOptions::new();
    let wrong = open(("lmdb", 1), &options);
    assert!(matches!(wrong, ErrorKind::WrongEngine { found, .. } if found == "redb"));
    let newer = open(("redb", 0), &options);
    assert!(matches!(
        newer,
        ErrorKind::FormatTooNew {
            found: 1,
            supported: 0,
            ..
        }
    ));
    options.chain_id = Some(ChainId::new("other").unwrap());
    let chain = open(ENGINE, &options);
    assert!(matches!(chain, ErrorKind::WrongChain { found, .. } if found == "bitcoin:main"));
    assert_eq!(listing(place.path()), [MARKER_FILE]);
}

#[test]
fn many_readers_or_one_writer() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join(MARKER_FILE), golden().to_text()).unwrap();
    let open = |access| {
        let mut options = OpenOptions::new();
        options.access = access;
        Directory::open(place.path(), ENGINE, &options)
    };
    let one = open(Access::ReadOnly).unwrap();
    let two = open(Access::ReadOnly).unwrap();
    assert!(matches!(
        kind(open(Access::ReadWrite)),
        ErrorKind::AlreadyOpen { .. }
    ));
    drop((one, two));
    let writer = open(Access::ReadWrite).unwrap();
    assert!(matches!(
        kind(open(Access::ReadOnly)),
        ErrorKind::AlreadyOpen { .. }
    ));
    drop(writer);
    assert!(open(Access::ReadOnly).is_ok());
}

/// A folder of a bulk load, or one that an engine removes, may go between being listed and being
/// read: `stats` and `compact` beside a load that ended failed with `NotFound`.
#[test]
fn folders_that_vanish_while_bytes_are_counted_count_as_nothing() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let dir = tempfile::tempdir().unwrap();
    let (path, is_over) = (dir.path(), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for number in 0..50 {
                    fs::create_dir_all(path.join("bulk").join(number.to_string())).unwrap();
                }
                fs::remove_dir_all(path.join("bulk")).unwrap();
            }
        });
        let counted: Vec<_> = (0..1_000).map(|_| super::disk_bytes(path)).collect();
        is_over.store(true, Ordering::Relaxed);
        for bytes in counted {
            bytes.unwrap();
        }
    });
    let gone = super::disk_bytes(&path.join("none"));
    assert!(gone.is_err(), "the directory itself must be there");
}
