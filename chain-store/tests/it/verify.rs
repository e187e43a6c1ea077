//! Verification in a child process. The child is this very test binary, which a variable turns into
//! one.

use std::process::Command;

use chain_store::{AnyStore, EngineName, verify};
use storage_api::{Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

const URL: &str = "CHAINSTORE_TEST_VERIFY_URL";
const DIE: &str = "CHAINSTORE_TEST_VERIFY_DIE";

/// Not a test of its own: the body of the child, which the tests below start.
#[test]
fn child_process() {
    let Ok(url) = std::env::var(URL) else { return };
    if std::env::var_os(DIE).is_some() {
        std::process::abort();
    }
    let sound = verify::child(&url, &mut std::io::stdout()).is_ok_and(|report| report.is_sound());
    assert!(
        sound,
        "the child found damage, as it should where the parent made some"
    );
}

fn child(url: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "verify::child_process", "--nocapture"])
        .env(URL, url);
    command.stderr(std::process::Stdio::null());
    command
}

fn filled(engine: EngineName, place: &std::path::Path) -> String {
    let url = crate::url::of(engine, place);
    let tables = [
        TableDef::new("plain"),
        TableDef::new("checked").with_envelope(),
    ];
    let store = AnyStore::open(&url, &Schema::new(&tables).unwrap()).unwrap();
    let mut batch = WriteBatch::new();
    for table in ["plain", "checked"] {
        let table = store.catalogue().id(table).unwrap();
        for number in 0..500u32 {
            let value = [0xa5u8; 64];
            batch.put(table, &number.to_be_bytes(), &value).unwrap();
        }
    }
    store.apply(&batch, Durability::Durable).unwrap();
    url
}

#[test]
fn a_sound_store_of_every_engine_is_found_sound() {
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let place = tempfile::tempdir().unwrap();
        let url = filled(engine, place.path());
        let report = verify::in_child(&mut child(&url), &mut |_| {}).unwrap();
        assert!(report.is_sound(), "{engine}: {:?}", report.findings);
        let rows: Vec<u64> = report.tables.iter().map(|table| table.rows).collect();
        assert_eq!(rows, [500, 500], "{engine}");
        // LMDB checks nothing by itself, so a table without envelope is said to be unchecked.
        let expected: &[&str] = if engine == EngineName::Lmdb {
            &["plain"]
        } else {
            &[]
        };
        assert_eq!(report.unchecked_tables, expected, "{engine}");
    }
}

/// Every byte of the value pattern that is found in the files is damaged, one file at a time; on
/// every engine the child must notice, or die in trying, which is a finding as well.
#[test]
fn damage_in_any_engine_is_a_finding() {
    for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
        let place = tempfile::tempdir().unwrap();
        let url = filled(engine, place.path());
        // RocksDB keeps the rows in its log until they are flushed, and drops a damaged tail of it
        // as a torn write; compaction moves them into a table file, where damage is damage.
        if let Some(compact) = AnyStore::open(&url, &Schema::empty()).unwrap().as_compact() {
            compact.compact().unwrap();
        }
        let mut hits = 0;
        for file in files(&place.path().join("store/data")) {
            let mut bytes = std::fs::read(&file).unwrap();
            let pattern = [0xa5u8; 64];
            let found: Vec<usize> = bytes
                .windows(pattern.len())
                .enumerate()
                .filter(|(_, window)| *window == pattern)
                .map(|(at, _)| at)
                .collect();
            for at in &found {
                bytes[at + 7] ^= 0x10;
            }
            hits += found.len();
            if !found.is_empty() {
                std::fs::write(&file, &bytes).unwrap();
            }
        }
        if hits == 0 {
            eprintln!("{engine}: values are compressed, so the pattern is not in its files");
            for file in files(&place.path().join("store/data")) {
                flip_middle(&file);
            }
        }
        match verify::in_child(&mut child(&url), &mut |_| {}) {
            Ok(report) => assert!(!report.is_sound(), "{engine}: damage was not noticed"),
            Err(verify::VerifyError::Refused { message, .. }) => {
                eprintln!("{engine}: refused to open: {message}");
            }
            Err(other) => panic!("{engine}: {other}"),
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect()
}

/// Damages a table file of RocksDB in its middle.
fn flip_middle(file: &std::path::Path) {
    if file.extension().is_some_and(|extension| extension == "sst") {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x10;
        std::fs::write(file, bytes).unwrap();
    }
}

#[test]
fn a_child_that_dies_is_a_finding() {
    let place = tempfile::tempdir().unwrap();
    let url = place.path().display().to_string();
    let report = verify::in_child(child(&url).env(DIE, "1"), &mut |_| {}).unwrap();
    assert!(!report.is_sound());
    assert!(
        report.findings[0].what.contains("died"),
        "{:?}",
        report.findings
    );
}

#[test]
fn a_store_that_is_not_there_is_an_error_and_no_finding() {
    let place = tempfile::tempdir().unwrap();
    let url = place.path().join("missing").display().to_string();
    let error = verify::in_child(&mut child(&url), &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, verify::VerifyError::Refused { .. }),
        "{error}"
    );
}
