//! Errors, each provoked: sizes, reader slots, options, locations.

use backend_kit::{RawBatch, RawEngine, RawOpen};
use backend_lmdb::{LmdbEngine, LmdbOptions};
use storage_api::{
    Capabilities, Durability, Effective, ErrorKind, Location, OpenOptions, Reader, Writer,
};

use crate::setup::{ROWS, open, open_with, put_all, tables};

#[test]
fn keys_of_the_longest_length_pass_and_longer_ones_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let max = LmdbEngine::CAPABILITIES.key_bytes_max;
    put_all(&engine, ROWS, &[(&vec![0xff; max], b"v")]);
    assert_eq!(
        engine.view().unwrap().get(ROWS, &vec![0xff; max]).unwrap(),
        Some(&b"v"[..])
    );
    assert_eq!(
        engine
            .view()
            .unwrap()
            .get(ROWS, &vec![0xff; max + 1])
            .unwrap(),
        None
    );
    for key in [vec![], vec![0xff; max + 1]] {
        let mut txn = engine.begin().unwrap();
        let error = txn.put(ROWS, &key, b"v").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
            "{error:?}"
        );
        assert_eq!(error.engine(), Some("lmdb"));
        txn.put(ROWS, b"k", b"v").unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
}

#[test]
fn reader_slots_run_out_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = LmdbOptions {
        readers_max: 5,
        ..LmdbOptions::default()
    };
    let (engine, _) =
        open_with(directory.path(), &tables(), &OpenOptions::new(), &options).unwrap();
    assert_eq!(engine.capabilities().readers_max, Some(5));
    let mut views = engine.views(5).unwrap();
    let error = engine.view().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TooManyReaders { max: 5 });
    assert_eq!(engine.views(2).unwrap_err().kind(), error.kind());
    views.pop();
    engine.view().unwrap();
    // Writing needs no slot.
    put_all(&engine, ROWS, &[(b"k", b"v")]);
}

#[test]
fn senseless_options_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let fine = LmdbOptions::default();
    for options in [
        LmdbOptions {
            readers_max: 0,
            ..fine.clone()
        },
        LmdbOptions {
            map_bytes_max: Some(4096),
            ..fine.clone()
        },
        LmdbOptions {
            map_bytes_max: Some(1 << 20),
            map_bytes_initial: Some(2 << 20),
            ..fine
        },
    ] {
        let error =
            open_with(directory.path(), &tables(), &OpenOptions::new(), &options).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidArgument { .. }),
            "{error:?}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn memory_is_no_location() {
    let request = RawOpen {
        location: Location::Memory,
        tables: &tables(),
        fresh: true,
        options: &OpenOptions::new(),
    };
    let error = LmdbEngine::open(&request, &LmdbOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
}

#[test]
fn what_is_declared() {
    const ALL: Capabilities = LmdbEngine::CAPABILITIES;
    assert_eq!(LmdbEngine::NAME, "lmdb");
    for asked in [
        Durability::Volatile,
        Durability::Buffered,
        Durability::Durable,
    ] {
        assert_eq!(ALL.effective(asked), Effective::Durable);
    }
    const { assert!(ALL.persistent && ALL.size_limit && ALL.read_only_open) };
}
