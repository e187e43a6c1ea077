//! `verify`: sound stores, damaged ones, and a second process that dies.

use std::fs;
use std::path::Path;

use chain_store::{AnyStore, EngineName};
use storage_api::{Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

use crate::support::{alone, disk_engines, run, snapshot, url};

const PATTERN: [u8; 64] = [0xa5; 64];

/// A store whose values are a pattern that can be found in its files.
fn filled(engine: EngineName, folder: &Path) -> String {
    let url = url(engine, folder);
    let schema = Schema::new([&TableDef::new("checked").with_envelope()]).unwrap();
    let _alone = alone();
    let store = AnyStore::open(&url, &schema).unwrap();
    let table = store.catalogue().id("checked").unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..500u32 {
        batch.put(table, &number.to_be_bytes(), &PATTERN).unwrap();
    }
    store.apply(&batch, Durability::Durable).unwrap();
    // RocksDB keeps rows in its log until they are flushed, where damage counts as a torn write.
    if let Some(compact) = store.as_compact() {
        compact.compact().unwrap();
    }
    url
}

#[test]
fn a_sound_store_is_found_sound_and_not_touched() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = filled(engine, place.path());
        let before = snapshot(place.path());
        let json = run(["verify", "--store", &store, "--output", "json"])
            .ok()
            .json();
        assert_eq!(json["sound"], true);
        assert_eq!(json["tables"][0]["name"], "checked");
        assert_eq!(json["tables"][0]["rows"], 500);
        assert_eq!(json["findings"].as_array().unwrap().len(), 0);
        assert!(
            run(["verify", "--store", &store])
                .ok()
                .text()
                .ends_with("sound\n")
        );
        assert_eq!(snapshot(place.path()), before, "{engine}");
    }
}

#[test]
fn values_that_nobody_checks_are_told() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let schema = Schema::new([&TableDef::new("plain")]).unwrap();
        {
            let _alone = alone();
            let opened = AnyStore::open(&store, &schema).unwrap();
            let table = opened.catalogue().id("plain").unwrap();
            let mut batch = WriteBatch::new();
            batch.put(table, b"key", b"value").unwrap();
            opened.apply(&batch, Durability::Durable).unwrap();
        }
        let json = run(["verify", "--store", &store, "--output", "json"]).ok();
        let json = json.json();
        assert_eq!(json["sound"], true);
        let bare = place.path().join("store");
        let ran = run(["verify", "--store", bare.to_str().unwrap()]).ok();
        if engine == EngineName::Lmdb {
            assert_eq!(json["unchecked_tables"], serde_json::json!(["plain"]));
            let said = "no damage found\nvalues of 1 table carry no checksum and engine lmdb";
            assert!(ran.text().contains(said), "{ran}");
            assert!(!ran.text().contains("sound"), "{ran}");
        } else {
            assert_eq!(json["unchecked_tables"], serde_json::json!([]));
            assert!(ran.text().ends_with("sound\n"), "{ran}");
        }
        assert!(ran.text().contains("engine's own check: "), "{ran}");
    }
}

#[test]
fn an_open_error_is_told_once() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = filled(engine, place.path());
        let marker = place.path().join("store/CHAINSTORE");
        fs::write(marker, "nonsense").unwrap();
        let ran = run(["verify", "--store", &store]);
        assert_eq!(ran.stderr.matches("error:").count(), 1, "{ran}");
        assert!(!ran.stderr.contains("chainstore verify"), "{ran}");
        assert!(!ran.stderr.contains("URL"), "{ran}");
    }
}

/// Damages one value; a file without the pattern (compressed) is damaged in its middle.
fn damage(file: &Path) -> bool {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes
        .windows(PATTERN.len())
        .position(|window| window == PATTERN);
    let is_table = file.extension().is_some_and(|extension| extension == "sst");
    let Some(at) = at.or_else(|| is_table.then_some(bytes.len() / 3)) else {
        return false;
    };
    bytes[at + 9] ^= 0x10;
    fs::write(file, bytes).unwrap();
    true
}

#[test]
fn damage_is_exit_code_1() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = filled(engine, place.path());
        let data = place.path().join("store/data");
        let files: Vec<_> = fs::read_dir(data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let damaged = files.iter().filter(|file| damage(file)).count();
        assert!(damaged > 0, "{engine}: the pattern is in no file");
        let ran = run(["verify", "--store", &store, "--output", "json"]);
        assert_eq!(ran.code, Some(1), "{engine}: {ran}");
        if ran.stdout.is_empty() {
            // It was noticed on opening already.
            assert!(ran.stderr.contains("corruption"), "{engine}: {ran}");
            continue;
        }
        let json = ran.json();
        assert_eq!(json["sound"], false);
        let finding = json["findings"][0]["place"].as_str().unwrap();
        assert!(!finding.is_empty());
        assert!(
            run(["verify", "--store", &store]).text().contains(finding),
            "{engine}"
        );
    }
}
