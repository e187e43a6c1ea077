//! Opening by URL: every engine, markers, and the errors that name what to do.

use std::path::Path;
use std::sync::Arc;

use chain_store::{AnyStore, Blocks, Bodies, EngineName};
use storage_api::{ChecksumSetting, ErrorKind, KvStore, OpenOptions, Schema, TableDef};

/// A URL of a fresh store of this engine below a directory.
pub(crate) fn of(engine: EngineName, place: &Path) -> String {
    match engine {
        EngineName::Mem => "mem:".to_owned(),
        engine => format!("{engine}:{}", place.join("store").display()),
    }
}

fn kind(result: storage_api::Result<AnyStore>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind().clone()
}

#[test]
fn every_compiled_engine_opens_by_url_and_by_its_marker() {
    let schema = Schema::new([&TableDef::new("accounts")]).unwrap();
    for engine in EngineName::compiled() {
        let place = tempfile::tempdir().unwrap();
        let store = AnyStore::open(&of(engine, place.path()), &schema).unwrap();
        assert_eq!(store.engine_name(), engine.as_str());
        if !store.capabilities().persistent {
            continue;
        }
        drop(store);
        let bare = place.path().join("store").display().to_string();
        let again = AnyStore::open_existing(&bare, &OpenOptions::read_only()).unwrap();
        assert_eq!(again.engine_name(), engine.as_str());
        assert!(again.catalogue().id("accounts").is_ok());
    }
}

#[test]
fn an_engine_that_is_not_compiled_in_is_named_with_its_feature() {
    for engine in EngineName::ALL {
        if engine.is_compiled() {
            continue;
        }
        let refused = kind(AnyStore::open(
            &format!("{engine}:somewhere"),
            &Schema::empty(),
        ));
        let ErrorKind::EngineNotCompiled {
            engine: asked,
            feature,
            available,
        } = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(
            (asked.as_str(), feature.as_str()),
            (engine.as_str(), engine.as_str())
        );
        assert!(available.contains("mem"));
        assert!(!Path::new("somewhere").exists());
    }
    let unknown = kind(AnyStore::open("leveldb:x", &Schema::empty()));
    assert!(matches!(unknown, ErrorKind::UnknownEngine { .. }));
}

#[test]
fn paths_without_a_store_are_refused_and_not_touched() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing");
    let refused = kind(AnyStore::open(
        &missing.display().to_string(),
        &Schema::empty(),
    ));
    assert!(matches!(refused, ErrorKind::NotFound { .. }));
    let refused = kind(AnyStore::open(
        &place.path().display().to_string(),
        &Schema::empty(),
    ));
    assert!(matches!(refused, ErrorKind::NotAStore { .. }));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

/// bsc#2647: another engine's data directory was wiped. Every pair of engines must refuse.
/// A store behind a path that cannot be followed was called absent, with the hint to import one.
#[cfg(unix)]
#[test]
fn a_path_that_cannot_be_followed_is_not_called_absent() {
    let dir = tempfile::tempdir().unwrap();
    let circle = dir.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let path = circle.join("store").display().to_string();
    let options = OpenOptions::read_only();
    let found = kind(AnyStore::open_existing(&path, &options));
    assert!(matches!(found, ErrorKind::Io { .. }), "{found:?}");
    let gone = dir.path().join("gone").display().to_string();
    let found = kind(AnyStore::open_existing(&gone, &options));
    assert!(matches!(found, ErrorKind::NotFound { .. }), "{found:?}");
}

#[test]
fn a_directory_of_another_engine_is_refused() {
    for made in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let place = tempfile::tempdir().unwrap();
        drop(AnyStore::open(&of(made, place.path()), &Schema::empty()).unwrap());
        for asked in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
            let opened = AnyStore::open(&of(asked, place.path()), &Schema::empty());
            if asked == made {
                assert!(opened.is_ok());
                continue;
            }
            let refused = kind(opened);
            assert!(
                matches!(&refused, ErrorKind::WrongEngine { found, .. } if found == made.as_str()),
                "{asked} over {made}: {refused:?}"
            );
        }
    }
}

/// A setting that was changed gave a store the tables of both, and its blocks could not be opened
/// any more, by nothing.
#[test]
fn tables_of_bodies_in_the_other_place_are_refused_and_not_added() {
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let place = tempfile::tempdir().unwrap();
        let url = of(engine, place.path());
        for (first, other) in [
            (Bodies::Store, Bodies::Segments),
            (Bodies::Segments, Bodies::Store),
        ] {
            let url = format!("{url}-{first}");
            let schema = |bodies: Bodies| bodies.schema(ChecksumSetting::None).unwrap();
            drop(AnyStore::open(&url, &schema(first)).unwrap());
            let error = AnyStore::open(&url, &schema(other)).map(drop).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::SchemaRefused { .. }));
            let text = error.to_string();
            assert!(
                text.contains(first.table()) && text.contains("needs a new store"),
                "{text}"
            );
            let store = Arc::new(AnyStore::open(&url, &schema(first)).unwrap());
            assert_eq!(Blocks::open(&store).unwrap().bodies(), first);
        }
    }
}
