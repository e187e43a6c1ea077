//! Migrations between all pairs of durable engines, with every odd thing that a store can hold;
//! interrupted, killed and resumed; refused where they must be.

use std::ops::ControlFlow;
use std::path::Path;

use chain_store::migrate::{MigrateError, Migrated, Migration, Step};
use chain_store::{AnyStore, ContentDigest, EngineName, Opener, StoreUrl, read_marker};
use storage_api::{
    ChainId, Durability, ErrorKind, KeyLimit, KvStore, KvStoreExt, OpenOptions, ReadTxn, ReaderExt,
    Schema, TableDef, WriteBatch, Writer,
};

fn durable() -> Vec<EngineName> {
    EngineName::compiled()
        .filter(|engine| *engine != EngineName::Mem)
        .collect()
}

fn url(engine: EngineName, path: &Path) -> StoreUrl {
    StoreUrl::Engine(engine, path.to_owned())
}

const GONE: TableDef = TableDef::new("gone");
const PLAIN: TableDef = TableDef::new("plain").point_lookups();
const SEALED: TableDef = TableDef::new("sealed").with_envelope().append_only();
const EMPTY: TableDef = TableDef::new("empty").large_values();
const WIDE: TableDef = TableDef::new("wide").with_key_limit(KeyLimit::Engine);

fn open(url: &StoreUrl, tables: &[TableDef], chain: Option<&str>) -> AnyStore {
    let mut opener = Opener {
        schema: Schema::new(tables).unwrap(),
        ..Opener::default()
    };
    opener.options.chain_id = chain.map(|name| ChainId::new(name).unwrap());
    opener.open(url).unwrap().0
}

/// A store with two commits, a table that was declared later than others, one without rows, sealed
/// values, values of many sizes, keys up to the limit.
fn fill(url: &StoreUrl, rows: u32) {
    drop(open(url, &[GONE, PLAIN], Some("testnet")));
    let store = open(url, &[SEALED, PLAIN, EMPTY, WIDE], None);
    let id = |table: &TableDef| store.catalogue().id(table.name()).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..rows {
        let key = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let value = vec![number as u8; (number % 300) as usize];
        batch.put(id(&PLAIN), &key, &value).unwrap();
        batch
            .put(id(&SEALED), &u64::from(number).to_be_bytes(), &value)
            .unwrap();
    }
    batch.put(id(&WIDE), &[7; 511], b"").unwrap();
    batch
        .put(id(&SEALED), b"\xff large", &vec![9; 3_000_000])
        .unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
    batch.clear();
    batch.delete(id(&PLAIN), &[0; 4]).unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
}

/// What a migration must keep.
#[derive(Debug, PartialEq)]
struct Kept {
    digest: ContentDigest,
    tables: Vec<storage_api::TableInfo>,
    next_table: u16,
    chain: Option<ChainId>,
    commit: u64,
}

fn kept(path: &Path) -> Kept {
    let store = AnyStore::open_existing(&path.display().to_string(), &OpenOptions::read_only());
    let store = store.unwrap();
    let view = store.begin_read().unwrap();
    let marker = read_marker(path).unwrap().unwrap();
    Kept {
        digest: ContentDigest::compute(&view, store.catalogue(), &mut |_| ()).unwrap(),
        tables: marker.tables,
        next_table: marker.next_table,
        chain: marker.chain_id,
        commit: view.commit_seq().unwrap().get(),
    }
}

fn run(migration: &Migration) -> Result<Migrated, MigrateError> {
    migration.run(&mut |_| ControlFlow::Continue(()))
}

#[test]
fn every_engine_moves_to_every_engine() {
    for from in durable() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fill(&url(from, &source), 2_000);
        let expected = kept(&source);
        for to in durable() {
            let target = dir.path().join(to.as_str());
            let migrated = run(&Migration::new(url(from, &source), url(to, &target))).unwrap();
            assert_eq!(migrated.digest, expected.digest, "{from} to {to}");
            assert_eq!(
                (migrated.rows, migrated.tables),
                (4_001, 5),
                "{from} to {to}"
            );
            assert!(!migrated.is_resumed);
            assert_eq!(kept(&target), expected, "{from} to {to}");
            // The copy is a store like any other and goes on counting.
            let store = open(&url(to, &target), &[PLAIN], Some("testnet"));
            let id = store.catalogue().id("plain").unwrap();
            let mut batch = WriteBatch::new();
            batch.put(id, b"k", b"v").unwrap();
            let commit = store.apply(&batch, Durability::Durable).unwrap();
            assert_eq!(
                commit.seq.map(storage_api::CommitSeq::get),
                Some(expected.commit + 1)
            );
        }
        assert_eq!(kept(&source), expected, "the source of {from} is as before");
    }
}

/// A migration in small chunks.
fn in_chunks(from: StoreUrl, to: StoreUrl) -> Migration {
    Migration {
        chunk_bytes: 0,
        ..Migration::new(from, to)
    }
}

#[test]
fn an_interrupted_migration_goes_on_and_nothing_else_opens_it() {
    for to in durable() {
        let from = durable()[0];
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        fill(&url(from, &source), 20_000);
        let expected = kept(&source);
        let migration = in_chunks(url(from, &source), url(to, &target));
        let mut interruptions = 0;
        let migrated = loop {
            // One chunk a run.
            let outcome = migration.run(&mut |progress| {
                if matches!(progress.step, Step::Copy(_)) && progress.bytes > 0 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            match outcome {
                Err(MigrateError::Interrupted { .. }) => interruptions += 1,
                outcome => break outcome.unwrap(),
            }
            let opened = Opener::default().open(&url(to, &target));
            let kind = opened.map(drop).map_err(|error| error.kind().clone());
            let Err(ErrorKind::NotAStore { found, .. }) = kind else {
                panic!("{to}: an unfinished copy opened: {kind:?}");
            };
            assert!(found.contains("unfinished copy"), "{found}");
            assert!(interruptions < 50, "{to}: no progress");
        };
        assert!(interruptions > 0, "{to}: never interrupted");
        assert!(
            migrated.is_resumed && migrated.copied_rows < migrated.rows,
            "{to}"
        );
        assert_eq!(kept(&target), expected, "{to}");
    }
}

/// A migration was interrupted; then a program that declares one more table and names the chain
/// opened the source, which is no commit, and the migration went on. The engine of the target got
/// the new table and its marker did not. The digests agreed, since the table has no rows, and the
/// store that was proved to be the same had lost the table, its number and its chain.
#[test]
fn tables_that_the_source_got_meanwhile_are_in_the_finished_copy() {
    const LATER: TableDef = TableDef::new("later").with_envelope();
    for to in durable() {
        let from = durable()[0];
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        let store = open(&url(from, &source), &[PLAIN], None);
        let id = store.catalogue().id("plain").unwrap();
        let mut batch = WriteBatch::new();
        batch.put(id, b"large", &vec![1; 2 << 20]).unwrap();
        batch.put(id, b"small", b"v").unwrap();
        store.apply(&batch, Durability::Durable).unwrap();
        drop(store);
        let migration = in_chunks(url(from, &source), url(to, &target));
        let interrupted = migration.run(&mut |progress| {
            if progress.bytes > 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(interrupted, Err(MigrateError::Interrupted { .. })));
        drop(open(&url(from, &source), &[PLAIN, LATER], Some("testnet")));
        let migrated = run(&migration).unwrap();
        assert!(migrated.is_resumed && migrated.copied_rows == 1, "{to}");
        assert_eq!(kept(&target), kept(&source), "{to}");
    }
}

#[test]
fn a_changed_source_is_not_gone_on_with() {
    let engine = durable()[0];
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fill(&url(engine, &source), 20_000);
    let migration = in_chunks(url(engine, &source), url(engine, &target));
    let interrupted = migration.run(&mut |progress| {
        if progress.bytes > 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(interrupted, Err(MigrateError::Interrupted { .. })));
    let store = open(&url(engine, &source), &[PLAIN], None);
    let id = store.catalogue().id("plain").unwrap();
    store
        .update(Durability::Durable, |txn| txn.put(id, b"new", b"row"))
        .unwrap();
    drop(store);
    let refused = run(&migration);
    assert!(
        matches!(&refused, Err(MigrateError::Target(error))
            if matches!(error.kind(), ErrorKind::NotAStore { .. })),
        "{refused:?}"
    );
}

#[test]
fn targets_that_are_something_else_are_refused_and_not_touched() {
    let engine = durable()[0];
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&url(engine, &source), 100);
    let other = dir.path().join("other");
    fill(&url(engine, &other), 10);
    let before = kept(&other);
    let refused = |to: StoreUrl| run(&Migration::new(url(engine, &source), to)).unwrap_err();

    let error = refused(url(engine, &other));
    assert!(matches!(error, MigrateError::Target(_)), "{error}");
    assert_eq!(kept(&other), before, "a complete store is not touched");

    let thesis = dir.path().join("thesis");
    std::fs::create_dir(&thesis).unwrap();
    std::fs::write(thesis.join("thesis.txt"), "not to be lost").unwrap();
    let error = refused(url(engine, &thesis));
    assert!(matches!(error, MigrateError::Target(_)), "{error}");
    assert_eq!(std::fs::read_dir(&thesis).unwrap().count(), 1);

    for place in [
        source.clone(),
        source.join("inside"),
        dir.path().to_owned(),
        source.join("../source/./data"),
        // Making the directory that is missing makes the way into the source.
        dir.path().join("none/../source/inside"),
    ] {
        let error = refused(url(engine, &place));
        assert!(matches!(error, MigrateError::SamePlace { .. }), "{error}");
    }
    for nowhere in [StoreUrl::Memory, StoreUrl::Path(dir.path().join("new"))] {
        let error = refused(nowhere);
        assert!(matches!(error, MigrateError::NoTarget(_)), "{error}");
    }
    assert!(!source.join("inside").exists());
}

#[test]
fn keys_that_the_target_cannot_hold_are_told() {
    let all = durable();
    let (Some(from), Some(to)) = (
        all.iter().find(|engine| engine.as_str() == "redb"),
        all.iter().find(|engine| engine.as_str() == "lmdb"),
    ) else {
        println!("SKIPPED: needs redb and lmdb in this build");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let store = open(&url(*from, &source), &[WIDE], None);
    let id = store.catalogue().id("wide").unwrap();
    store
        .update(Durability::Durable, |txn| txn.put(id, &[7; 600], b"v"))
        .unwrap();
    drop(store);
    let error = run(&Migration::new(url(*from, &source), url(*to, &target))).unwrap_err();
    let MigrateError::Target(error) = error else {
        panic!("{error}")
    };
    assert!(
        matches!(error.kind(), ErrorKind::KeyTooLong { len: 600, max: 511 }),
        "{error}"
    );
    assert_eq!(error.table(), Some("wide"), "{error}");
}

/// Rows are read to the end whichever engine's view is held.
#[test]
fn the_view_of_the_source_is_one_commit() {
    let engine = durable()[0];
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fill(&url(engine, &source), 50);
    let store = AnyStore::open_existing(&source.display().to_string(), &OpenOptions::read_only());
    let store = store.unwrap();
    let id = store.catalogue().id("sealed").unwrap();
    assert_eq!(store.begin_read().unwrap().count_exact(id).unwrap(), 51);
}

/// Progress lost the rows since its last report when the last row of a chunk was one to report at,
/// as with rows of 128 bytes and chunks of 1 MiB: a copy of 20,000 rows ended at 3,616.
#[test]
fn every_row_of_a_copy_is_in_its_progress() {
    let engine = durable()[0];
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let store = open(&url(engine, &source), &[PLAIN], None);
    let id = store.catalogue().id("plain").unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..20_000u64 {
        batch.put(id, &number.to_be_bytes(), &[7; 120]).unwrap();
    }
    store.apply(&batch, Durability::Durable).unwrap();
    drop(store);
    let mut told = Vec::new();
    let migration = in_chunks(url(engine, &source), url(engine, &target));
    let migrated = migration.run(&mut |progress| {
        if matches!(progress.step, Step::Copy(_)) {
            told.push(progress.rows);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(migrated.unwrap().rows, 20_000);
    // Before each chunk; the rows behind the second one are told with the next step.
    assert_eq!(told, [0, 8_192, 16_384]);
}
