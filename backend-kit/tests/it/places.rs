//! What a creation and a backup leave behind, and what they never touch.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use backend_kit::Store;
use backend_kit::directory::{DATA_FOLDER, Directory, MARKER_FILE, read_marker};
use storage_api::{
    Backup, ChainId, Durability, Engine, ErrorKind, KvStore, Location, OpenOptions, ReadTxn,
    Reader, Schema, TableDef, TableId, WriteTxn, Writer,
};

use crate::engine::{Plan, ROWS_FILE, TestEngine, load, save};

const T: TableId = TableId::new(1);

fn open(
    path: &Path,
    chain: Option<&str>,
    plan: &Arc<Plan>,
) -> storage_api::Result<Store<TestEngine>> {
    let tables = [TableDef::new("one").with_envelope()];
    let mut options = OpenOptions::new();
    options.chain_id = chain.map(|name| ChainId::new(name).unwrap());
    let schema = Schema::new(&tables).unwrap();
    Ok(Store::open(Location::Directory(path), &schema, &options, plan)?.0)
}

fn filled(path: &Path, chain: &str) -> Store<TestEngine> {
    let store = open(path, Some(chain), &Arc::default()).unwrap();
    for number in 0..5u8 {
        let mut txn = store.begin_write().unwrap();
        txn.put(T, &[number], b"value").unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
    store
}

/// Every file below a directory with its content.
fn content(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut content(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_backup_never_touches_a_store_that_is_there() {
    let place = tempfile::tempdir().unwrap();
    let source = filled(&place.path().join("source"), "bitcoin");
    for (name, chain, engine) in [
        ("same", "bitcoin", "test"),
        ("chain", "dogecoin", "test"),
        ("engine", "bitcoin", "other"),
        ("damaged", "bitcoin", ""),
    ] {
        let target = place.path().join(name);
        drop(filled(&target, chain));
        let marker = target.join(MARKER_FILE);
        match engine {
            "test" => {}
            "" => fs::write(&marker, "nonsense").unwrap(),
            other => {
                let mut changed = read_marker(&target).unwrap().unwrap();
                other.clone_into(&mut changed.engine);
                fs::write(&marker, changed.to_text()).unwrap();
            }
        }
        let before = content(&target);
        source.backup(&target).unwrap_err();
        // The lock file holds the process id of whoever looked last, which is the same process.
        assert_eq!(content(&target), before, "{name}");
    }
}

#[test]
fn a_streamed_backup_goes_on_counting_commits() {
    let place = tempfile::tempdir().unwrap();
    let source = filled(&place.path().join("source"), "bitcoin");
    let target = place.path().join("copy");
    source.backup(&target).unwrap();
    let copy = open(&target, Some("bitcoin"), &Arc::default()).unwrap();
    let seq = copy.begin_read().unwrap().commit_seq().unwrap();
    assert_eq!(seq, source.begin_read().unwrap().commit_seq().unwrap());
    assert_eq!(seq.get(), 5);
    assert_eq!(
        copy.begin_read().unwrap().get(T, &[4]).unwrap().as_deref(),
        Some(&b"value"[..])
    );
}

#[test]
fn a_creation_that_fails_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let plan = Arc::new(Plan::default());
    plan.open_fails.store(true, Ordering::SeqCst);
    assert!(open(&path, None, &plan).is_err());
    assert!(!path.exists());
    let too_many: Vec<TableDef> = (0..2_000)
        .map(|number| TableDef::from_name(format!("t{number}").into()))
        .collect();
    let schema = Schema::new(&too_many).unwrap();
    let (place, options) = (Location::Directory(&path), OpenOptions::new());
    let refused = Store::<TestEngine>::open(place, &schema, &options, &Arc::default());
    assert!(matches!(
        refused.map(|_| ()).unwrap_err().kind(),
        ErrorKind::TooManyTables { .. }
    ));
    assert!(!path.exists());
    fs::create_dir(&path).unwrap();
    assert!(open(&path, None, &plan).is_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

/// Undoing takes time; whoever creates the store anew meanwhile would lose it again.
#[test]
fn a_directory_stays_locked_until_its_creation_is_undone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let again = || Directory::open(&path, ("test", 1), &OpenOptions::new());
    let (directory, _) = again().unwrap();
    let creation = directory.creation();
    drop(directory);
    let refused = again().unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::AlreadyOpen { .. }));
    creation.undo();
    assert!(!path.exists());
    assert!(again().is_ok());
}

#[test]
fn the_last_number_of_commits_is_damage_and_no_panic() {
    let place = tempfile::tempdir().unwrap();
    drop(filled(place.path(), "bitcoin"));
    let file = place.path().join(DATA_FOLDER).join(ROWS_FILE);
    let mut rows = load(&file);
    let key = (TableId::INTERNAL, b"commit-seq".to_vec());
    rows.insert(key, vec![0xff; 8]).unwrap();
    save(&file, &rows);
    let refused = open(place.path(), None, &Arc::default()).unwrap_err();
    assert!(refused.is_corruption(), "{refused}");
}
