//! `checksum`, `diff` and `migrate`: the same on every engine, and clear where they cannot go on.

use std::fs;
use std::path::Path;

use chain_store::{AnyStore, EngineName};
use storage_api::{Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

use crate::support::{alone, disk_engines, run, signal, snapshot, start, url, wait_until};

const NAMES: TableDef = TableDef::new("names").with_envelope();
const NUMBERS: TableDef = TableDef::new("numbers").point_lookups();
const VOID: TableDef = TableDef::new("void");

/// A store with so many rows, and what `change` adds.
fn store(
    engine: EngineName,
    folder: &Path,
    rows: u32,
    change: impl Fn(&AnyStore, &mut WriteBatch),
) -> String {
    fs::create_dir_all(folder).unwrap();
    let url = url(engine, folder);
    let _alone = alone();
    let schema = Schema::new(&[NAMES, NUMBERS, VOID]).unwrap();
    let store = AnyStore::open(&url, &schema).unwrap();
    let names = store.catalogue().id("names").unwrap();
    let numbers = store.catalogue().id("numbers").unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..rows {
        let key = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        batch.put(numbers, &key, &[number as u8; 20]).unwrap();
    }
    batch.put(names, b"a", b"").unwrap();
    batch.put(names, b"\x01\x02", b"two").unwrap();
    change(&store, &mut batch);
    store.apply(&batch, Durability::Durable).unwrap();
    url
}

fn plain(engine: EngineName, folder: &Path) -> String {
    store(engine, folder, 1_000, |_, _| ())
}

/// The same rows but three in `names`: one gone, one new, one changed.
fn changed(engine: EngineName, folder: &Path) -> String {
    store(engine, folder, 1_000, |store, batch| {
        let names = store.catalogue().id("names").unwrap();
        batch.delete(names, b"a").unwrap();
        batch.put(names, b"b", b"new").unwrap();
        batch.put(names, b"\x01\x02", b"other").unwrap();
    })
}

#[test]
fn a_checksum_is_the_same_on_every_engine() {
    let place = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for engine in disk_engines() {
        let folder = place.path().join(engine.as_str());
        let store = plain(engine, &folder);
        let before = snapshot(&folder);
        let whole = run(["checksum", "--store", &store]).ok();
        let digest = run(["stat", "--store", &store, "--digest", "--output", "json"]).ok();
        let digest = digest.json()["content_digest"].as_str().unwrap().to_owned();
        let last = whole.text().lines().last().unwrap().to_owned();
        assert_eq!(last, format!("content digest  {digest}"));
        let json = run(["checksum", "--store", &store, "--output", "json"]).ok();
        assert_eq!(json.json()["content_digest"], digest);
        assert_eq!(json.json()["tables"][1]["rows"], 1_000);
        let of = |args: &[&str]| {
            let front = ["checksum", "--store", &store, "--table", "numbers"];
            run(front.iter().chain(args)).ok().text().to_owned()
        };
        let parts = of(&["--split"]);
        assert_eq!(parts.lines().count(), 256, "a part for each first byte");
        seen.push([
            digest,
            of(&[]),
            of(&["--prefix", "9e"]),
            of(&["--start", "80", "--end", "81"]),
            parts,
            of(&["--prefix", "9e", "--split"]),
        ]);
        assert_eq!(
            snapshot(&folder),
            before,
            "{engine}: reading changed the store"
        );
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn two_stores_are_bisected_to_the_row_that_differs() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let one = plain(engine, &place.path().join("one"));
        let other = store(
            engine,
            &place.path().join("other"),
            1_000,
            |store, batch| {
                let numbers = store.catalogue().id("numbers").unwrap();
                batch
                    .put(
                        numbers,
                        &7_u32.wrapping_mul(0x9e37_79b9).to_be_bytes(),
                        b"7",
                    )
                    .unwrap();
            },
        );
        let mut prefix = String::from("0x");
        for _ in 0..4 {
            let parts = |store: &str| {
                let mut args = vec![
                    "checksum", "--store", store, "--table", "numbers", "--split",
                ];
                if prefix.len() > 2 {
                    args.extend(["--prefix", &prefix]);
                }
                let ran = run(args).ok();
                ran.text().lines().map(str::to_owned).collect::<Vec<_>>()
            };
            let (here, there) = (parts(&one), parts(&other));
            let differ: Vec<_> = here.iter().filter(|part| !there.contains(part)).collect();
            assert_eq!(differ.len(), 1, "{engine}: {differ:?}");
            prefix = differ[0].split(' ').next().unwrap().to_owned();
        }
        let key = 7_u32.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(prefix, format!("0x{key}"));
        run([
            "checksum", "--store", &one, "--table", "names", "--prefix", "77", "--split",
        ])
        .refused(1, &["no key of table names begins with 0x77"]);
    }
}

/// A table without rows that only one store has was told on stderr and ended with 0, against the
/// help; a script that asks before it deletes a copy took the stores for the same.
#[test]
fn a_table_that_only_one_store_has_is_a_difference() {
    let Some(engine) = disk_engines().next() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let one = plain(engine, &place.path().join("one"));
    let two = plain(engine, &place.path().join("two"));
    {
        let _alone = alone();
        let schema = Schema::new(&[TableDef::new("more")]).unwrap();
        drop(AnyStore::open(&two, &schema).unwrap());
    }
    for (left, right) in [(&one, &two), (&two, &one)] {
        let ran = run(["diff", left, right]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("table more is in"), "{ran}");
        run(["diff", left, right, "--table", "names"]).ok();
    }
}

#[test]
fn a_difference_is_shown_and_ends_with_1() {
    let engines: Vec<_> = disk_engines().collect();
    for (at, engine) in engines.iter().enumerate() {
        let other = engines[(at + 1) % engines.len()];
        let place = tempfile::tempdir().unwrap();
        let one = plain(*engine, &place.path().join("one"));
        let same = plain(other, &place.path().join("same"));
        let ran = run(["diff", &one, &same]).ok();
        assert!(ran.stdout.is_empty(), "{ran}");

        let two = changed(other, &place.path().join("two"));
        let ran = run(["diff", &one, &two]);
        assert_eq!(ran.code, Some(1), "{ran}");
        let expected = "~ names 0x0102 0x74776f 0x6f74686572\n\
                        - names 0x61 0x\n\
                        + names 0x62 0x6e6577\n";
        assert_eq!(ran.text(), expected);
        assert!(ran.stderr.contains("3 differences"), "{ran}");

        let lines = run(["diff", &one, &two, "--limit", "2", "--output", "jsonl"]);
        assert_eq!(lines.code, Some(1), "{lines}");
        let rows = lines.json_lines();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["only"], "changed");
        assert_eq!(rows[1]["only"], "left");
        assert!(lines.stderr.contains("there may be more"), "{lines}");

        // A limit of none ended after the first table, and said of two stores that they are equal.
        run(["diff", &one, &two, "--limit", "0"]).refused(2, &["--limit"]);

        let range = ["diff", &one, &two, "--table", "names", "--prefix", "01"];
        assert_eq!(run(range).text(), "~ names 0x0102 0x74776f 0x6f74686572\n");
        run(["diff", &one, &two, "--table", "numbers"]).ok();
        run(["diff", &one, &two, "--table", "nobody"]).refused(1, &["neither store", "nobody"]);
        run(["diff", &one, &two, "--prefix", "01"]).refused(2, &["--table"]);
        run(["diff", &one]).refused(2, &["OTHER"]);
        let gone = place.path().join("gone").display().to_string();
        run(["diff", &one, &gone]).refused(4, &["no store"]);
    }
}

#[test]
fn a_store_moves_to_every_engine_and_back() {
    for from in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("from");
        let source = plain(from, &folder);
        let before = snapshot(&folder);
        for to in disk_engines() {
            let target = format!("{to}:{}", place.path().join(to.as_str()).display());
            let ran = run(["migrate", "--from", &source, "--to", &target]).ok();
            assert!(ran.text().contains("content digest"), "{ran}");
            run(["diff", &source, &target]).ok();
            // What is complete is not overwritten.
            run(["migrate", "--from", &source, "--to", &target])
                .refused(4, &["the target", "complete store"]);
            let json = run(["checksum", "--store", &target, "--output", "json"]).ok();
            let expected = run(["checksum", "--store", &source, "--output", "json"]).ok();
            assert_eq!(json.json(), expected.json());
        }
        let after = snapshot(&folder);
        assert_eq!(after, before, "the source of {from} was changed");
    }
}

#[test]
fn targets_that_make_no_sense_are_refused_and_not_touched() {
    let Some(engine) = disk_engines().next() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let source = plain(engine, &place.path().join("from"));
    let inside = place.path().join("from/store/inside");
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.txt"), "not to be lost").unwrap();
    let file = place.path().join("file");
    fs::write(&file, "a file").unwrap();
    let before = snapshot(place.path());
    let to = |target: String| run(["migrate", "--from", &source, "--to", &target]);
    let at = |path: &Path| format!("{engine}:{}", path.display());

    to(source.clone()).refused(2, &["same directory"]);
    to(at(&inside)).refused(2, &["one lies inside the other"]);
    to(at(place.path())).refused(2, &["one lies inside the other"]);
    to("mem:".to_owned()).refused(2, &["ENGINE:PATH"]);
    to(place.path().join("new").display().to_string()).refused(2, &["ENGINE:PATH"]);
    to("bolt:/somewhere".to_owned()).refused(2, &["bolt"]);
    to(at(&full)).refused(4, &["thesis.txt"]);
    to(at(&file)).refused(4, &["file"]);
    let gone = place.path().join("gone");
    run([
        "migrate",
        "--from",
        &at(&gone),
        "--to",
        &at(&place.path().join("new")),
    ])
    .refused(4, &["the source", "gone"]);
    run(["migrate", "--from", "mem:", "--to", &at(&gone)]).refused(2, &["no store"]);
    assert_eq!(snapshot(place.path()), before, "something was touched");
}

#[test]
fn a_killed_migration_goes_on_and_nobody_takes_it_for_a_store() {
    for to in disk_engines() {
        let Some(from) = disk_engines().next() else {
            return;
        };
        let place = tempfile::tempdir().unwrap();
        let source = store(from, &place.path().join("from"), 60_000, |_, _| ());
        let path = place.path().join("to");
        let target = format!("{to}:{}", path.display());
        let args = ["migrate", "--from", &source, "--to", &target];
        let marker = path.join("CHAINSTORE");
        let mut kills = 0;
        for _ in 0..20 {
            let child = start(args);
            wait_until("the target is begun", || {
                fs::read_to_string(&marker).is_ok_and(|text| text.contains("state "))
            });
            std::thread::sleep(std::time::Duration::from_millis(3 * kills));
            signal(&child, "KILL");
            let ran = crate::support::finish(child);
            kills += 1;
            if fs::read_to_string(&marker).is_ok_and(|text| text.contains("state ready")) {
                break;
            }
            assert_ne!(ran.code, Some(0), "{ran}");
            let refused = run(["stat", "--store", &target]);
            assert_eq!(refused.code, Some(4), "{refused}");
        }
        if !fs::read_to_string(&marker).is_ok_and(|text| text.contains("state ready")) {
            run(args).ok();
        }
        run(["diff", &source, &target]).ok();
        println!("{to}: {kills} kills");
    }
}
