//! Reading commands: `get`, `list`, `blocks`, `stat`, `version`, in every format.

use std::fs;
use std::io::Read;
use std::path::Path;

use chain_store::{AnyStore, EngineName};
use serde_json::json;
use storage_api::{Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

use crate::chain::{self, TestBlock, printed};
use crate::support::{alone, disk_engines, run, snapshot, start, url};

/// A store with a few rows of every kind.
fn rows(engine: EngineName, folder: &Path) -> String {
    let url = url(engine, folder);
    let _alone = alone();
    let tables = [
        TableDef::new("names").with_envelope(),
        TableDef::new("void"),
    ];
    let store = AnyStore::open(&url, &Schema::new(&tables).unwrap()).unwrap();
    let names = store.catalogue().id("names").unwrap();
    let mut batch = WriteBatch::new();
    let rows: [(&[u8], &[u8]); 5] = [
        (&[0x00], b"zero"),
        (&[0x01], b""),
        (&[0x01, 0x02], b"\xff\n\x00"),
        (&[0x01, 0xff], b"last of 01"),
        (&[0xff], b"end"),
    ];
    for (key, value) in rows {
        batch.put(names, key, value).unwrap();
    }
    store.apply(&batch, Durability::Durable).unwrap();
    url
}

fn keys(store: &str, args: &[&str]) -> Vec<String> {
    let front = [
        "list", "--store", store, "--table", "names", "--output", "jsonl",
    ];
    let ran = run(front.iter().chain(args)).ok();
    ran.json_lines()
        .iter()
        .map(|row| row["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn one_value_is_printed_in_every_format() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = rows(engine, place.path());
        let before = snapshot(place.path());
        let get = |args: &[&str]| run(["get", "--store", &store].iter().chain(args));
        assert_eq!(get(&["--table", "names", "0102"]).ok().text(), "0xff0a00\n");
        assert_eq!(
            get(&["--table", "names", "0x0102", "--raw"]).ok().stdout,
            b"\xff\n\x00"
        );
        assert_eq!(get(&["--table", "names", "01", "--raw"]).ok().stdout, b"");
        let json = get(&["--table", "names", "0x01", "--output", "json"])
            .ok()
            .json();
        let expected =
            json!({"schema": 1, "table": "names", "key": "0x01", "value": "0x", "value_bytes": 0});
        assert_eq!(json, expected);
        get(&["--table", "names", "02"]).refused(1, &["names", "0x02"]);
        get(&["--table", "nobody", "02"]).refused(1, &["unknown table nobody", "list"]);
        get(&["--table", "names", "0x2"]).refused(2, &["odd number"]);
        get(&["--table", "names", "02", "--raw", "--output", "json"]).refused(2, &["--raw"]);
        assert_eq!(
            snapshot(place.path()),
            before,
            "{engine}: reading changed the store"
        );
    }
}

#[test]
fn rows_are_listed_by_prefix_bounds_and_direction() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = rows(engine, place.path());
        let check = |args: &[&str], expected: &[&str]| {
            assert_eq!(keys(&store, args), expected, "{engine} {args:?}");
        };
        check(&[], &["0x00", "0x01", "0x0102", "0x01ff", "0xff"]);
        check(
            &["--reverse"],
            &["0xff", "0x01ff", "0x0102", "0x01", "0x00"],
        );
        check(&["--limit", "2"], &["0x00", "0x01"]);
        check(&["--limit", "0"], &[]);
        check(&["--prefix", "0x01"], &["0x01", "0x0102", "0x01ff"]);
        check(
            &["--prefix", "01", "--reverse", "--limit", "1"],
            &["0x01ff"],
        );
        check(&["--start", "0102"], &["0x0102", "0x01ff", "0xff"]);
        check(&["--start", "01", "--end", "01ff"], &["0x01", "0x0102"]);
        check(&["--prefix", "01", "--end", "0102"], &["0x01"]);
        check(&["--start", "02", "--end", "01"], &[]);

        let list = |args: &[&str]| run(["list", "--store", &store].iter().chain(args)).ok();
        let json = list(&["--table", "void", "--output", "json"]).json();
        assert_eq!(json, json!({"schema": 1, "rows": []}));
        let json = list(&["--table", "names", "--limit", "2", "--output", "json"]).json();
        let row = json!({"key": "0x00", "value": "0x7a65726f"});
        assert_eq!(json["rows"][0], row);
        assert_eq!(json["rows"].as_array().unwrap().len(), 2);
        let text = list(&["--table", "names", "--limit", "1"]);
        assert_eq!(text.text(), "0x00 0x7a65726f\n");

        let tables = list(&["--output", "json"]).json();
        let tables = tables["rows"].as_array().unwrap();
        let names: Vec<_> = tables.iter().map(|table| &table["name"]).collect();
        assert_eq!(names, ["names", "void"]);
        assert_eq!(tables[0]["checksum"], "envelope");
        assert_eq!(
            (&tables[1]["rows"], &tables[1]["id"]),
            (&0.into(), &2.into())
        );
        assert!(list(&[]).text().starts_with("table "));
        run(["list", "--store", &store, "--limit", "1"]).refused(2, &["--table"]);
    }
}

/// A store of the small chain, and the chain.
fn imported(engine: EngineName, folder: &Path) -> (String, Vec<TestBlock>) {
    let store = url(engine, folder);
    let blocks = chain::blocks(12);
    let file = folder.join("blocks.dat");
    fs::write(&file, chain::file(&blocks)).unwrap();
    run([
        "import",
        "--from",
        "bitcoin",
        "--store",
        &store,
        file.to_str().unwrap(),
    ])
    .ok();
    (store, blocks)
}

#[test]
fn blocks_are_found_by_height_hash_and_transaction() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, blocks) = imported(engine, place.path());
        let get = |args: &[&str]| run(["blocks", "get", "--store", &store].iter().chain(args));
        let tenth = &blocks[9];
        let (hash, tx) = (printed(&tenth.hash), printed(&tenth.tx_ids[1]));
        for by in [["--height", "10"], ["--hash", &hash], ["--tx", &tx]] {
            assert_eq!(
                get(&[by[0], by[1], "--raw"]).ok().stdout,
                tenth.bytes,
                "{by:?}"
            );
            let json = get(&[by[0], by[1], "--output", "json"]).ok().json();
            assert_eq!(json["height"], 10, "{by:?}");
            assert_eq!(json["hash"], hash.as_str());
            assert_eq!(json["parent"], printed(&blocks[8].hash).as_str());
            assert_eq!(
                (&json["transactions"], &json["tx_ids"][1]),
                (&2.into(), &tx.clone().into())
            );
            assert_eq!(json["body_bytes"], tenth.bytes.len());
            let body = json["body"].as_str().unwrap();
            assert_eq!(body.len(), 2 + 2 * tenth.bytes.len());
            assert!(get(&by).ok().text().contains(body));
            let position = if by[0] == "--tx" {
                json!(1)
            } else {
                json!(null)
            };
            assert_eq!(json["position"], position);
        }
        let prefixed = format!("0x{hash}");
        assert_eq!(
            get(&["--hash", &prefixed, "--raw"]).ok().stdout,
            tenth.bytes
        );
        get(&["--height", "13"]).refused(1, &["no block at height 13", "1 to 12"]);
        get(&["--hash", &"00".repeat(32)]).refused(1, &["no block of hash"]);
        get(&["--tx", &"00".repeat(32)]).refused(1, &["no transaction"]);
        get(&["--hash", "xyz"]).refused(2, &["hex"]);
        get(&["--height", "1", "--hash", &hash]).refused(2, &["cannot be used with"]);
        get(&[]).refused(2, &["--height"]);
    }
}

#[test]
fn blocks_are_listed_both_ways() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, blocks) = imported(engine, place.path());
        let list = |args: &[&str]| {
            let front = ["blocks", "list", "--store", &store, "--output", "jsonl"];
            let ran = run(front.iter().chain(args)).ok();
            let heights = ran.json_lines();
            heights
                .iter()
                .map(|row| row["height"].as_u64().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&[]), (1..=12).collect::<Vec<_>>());
        assert_eq!(list(&["--limit", "2"]), [1, 2]);
        assert_eq!(list(&["--start", "11"]), [11, 12]);
        assert_eq!(list(&["--height", "11", "--limit", "1"]), [11]);
        assert_eq!(list(&["--start", "13"]), Vec::<u64>::new());
        assert_eq!(list(&["--start", "0", "--limit", "1"]), [1]);
        assert_eq!(list(&["--reverse", "--limit", "3"]), [12, 11, 10]);
        assert_eq!(list(&["--reverse", "--start", "2"]), [2, 1]);
        let hash = printed(&blocks[6].hash);
        assert_eq!(list(&["--hash", &hash, "--limit", "2"]), [7, 8]);
        // A refused list was begun, and no JSON.
        for (from, code, words) in [
            (["--hash", "00"], 1, "no block of hash 00"),
            (["--hash", "zz"], 2, "hexadecimal"),
            (["--tx", "zz"], 2, "hexadecimal"),
        ] {
            let args = ["blocks", "list", "--store", &store, "--output", "json"];
            run(args.iter().chain(&from)).refused(code, &[words]);
        }
        assert_eq!(list(&["--tx", &printed(&blocks[4].tx_ids[1])]), [5]);
        let tx = printed(&blocks[4].tx_ids[1]);
        let places = run(["blocks", "list", "--store", &store, "--tx", &tx]).ok();
        let head: Vec<_> = places.text().lines().take(1).collect();
        assert!(head[0].ends_with("position  hash"), "{places}");
        let table = run(["blocks", "list", "--store", &store, "--limit", "1"]).ok();
        assert!(table.text().contains(&printed(&blocks[0].hash)), "{table}");
    }
}

#[test]
fn statistics_of_a_store_without_blocks() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = rows(engine, place.path());
        let json = run(["stat", "--store", &store, "--output", "json"])
            .ok()
            .json();
        assert_eq!(json["engine"], engine.as_str());
        assert_eq!(json["format"], 1);
        assert_eq!(json["blocks"]["count"], 0);
        assert_eq!(json["blocks"]["tip_hash"], json!(null));
        let table = &json["tables"][0];
        let (rows, bytes) = (&table["rows_exact"], &table["bytes_exact"]);
        assert_eq!(table["exact"], json!(*rows == true && *bytes == true));
        let text = run(["stat", "--store", &store]).ok();
        let line = text.text().lines().find(|line| line.starts_with("names"));
        let cells: Vec<_> = line.unwrap().split_whitespace().collect();
        assert_eq!(cells[1].starts_with('~'), *rows == false, "{text}");
        assert_eq!(cells[2].starts_with('~'), *bytes == false, "{text}");
        assert!(json["disk_bytes"].as_u64().unwrap() > 0);
        assert!(json.get("bitcoin").is_none() && json.get("content_digest").is_none());
        let digest = run(["stat", "--store", &store, "--digest", "--output", "jsonl"]).ok();
        assert_eq!(
            digest.json_lines()[0]["content_digest"]
                .as_str()
                .unwrap()
                .len(),
            64
        );
        assert!(
            run(["stat", "--store", &store])
                .ok()
                .text()
                .contains("names")
        );
        run(["blocks", "get", "--store", &store, "--height", "1"]).refused(1, &["no blocks"]);
    }
}

#[test]
fn versions_name_every_engine() {
    let json = run(["version", "--output", "json"]).ok().json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["directory_format"], chain_store::MARKER_VERSION);
    for engine in EngineName::ALL {
        let engines = json["engines"].as_array().unwrap();
        let told = engines
            .iter()
            .find(|told| told["name"] == engine.as_str())
            .unwrap();
        assert_eq!(told["compiled"], engine.is_compiled());
        assert_eq!(told["format"].as_u64(), engine.format().map(u64::from));
        let library = told["library"].as_str();
        assert_eq!(
            library.is_some(),
            engine.is_compiled() && engine != EngineName::Mem
        );
        assert!(
            library.is_none_or(|library| library.contains('.')),
            "{library:?}"
        );
    }
    assert!(run(["version"]).ok().text().contains("chainstore"));
    assert!(
        run(["--version"])
            .ok()
            .text()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

/// `chainstore list | head -1` ends well and says nothing.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let schema = Schema::new([&TableDef::new("many")]).unwrap();
        let alone = alone();
        let opened = AnyStore::open(&store, &schema).unwrap();
        let many = opened.catalogue().id("many").unwrap();
        let mut batch = WriteBatch::new();
        for number in 0..20_000u32 {
            batch.put(many, &number.to_be_bytes(), &[0; 64]).unwrap();
        }
        opened.apply(&batch, Durability::Durable).unwrap();
        drop(opened);
        drop(alone);
        for format in ["table", "json", "jsonl"] {
            let args = [
                "list", "--store", &store, "--table", "many", "--output", format,
            ];
            let mut child = start(args);
            let mut out = child.stdout.take().unwrap();
            out.read_exact(&mut [0; 16]).unwrap();
            drop(out);
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            assert_eq!(
                child.wait().unwrap().code(),
                Some(0),
                "{engine} {format}: {said}"
            );
            assert_eq!(said, "");
        }
    }
}
