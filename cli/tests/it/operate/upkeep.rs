//! `compact` and `copy`: the same content in less space, and in another place.

use std::fs;
use std::io::Read;

use super::{listed, store};
use crate::support::{disk_engines, finish, run, snapshot, start};

fn digest(store: &str) -> String {
    let stat = run(["stat", "--store", store, "--digest", "--output", "json"]);
    stat.ok().json()["content_digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_store_is_compacted() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 60_000);
        let rows = listed(&store, "names");
        let lines: Vec<&[u8]> = rows.split_inclusive(|byte| *byte == b'\n').collect();
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("rows.jsonl");
        fs::write(&file, lines[1_000..].concat()).unwrap();
        let delete = [
            "delete",
            "--store",
            &store,
            "--table",
            "names",
            "--write",
            "--from-jsonl",
            file.to_str().unwrap(),
        ];
        run(delete).ok();
        let content = digest(&store);

        let before = snapshot(place.path());
        let words = ["compact changes the store", "--write is missing", "hint:"];
        run(["compact", "--store", &store]).refused(2, &words);
        assert_eq!(snapshot(place.path()), before, "{engine}");

        let compact = ["compact", "--store", &store, "--write", "--output", "json"];
        let json = run(compact).ok().json();
        let (was, is) = (&json["before_bytes"], &json["after_bytes"]);
        assert!(is.as_u64() < was.as_u64(), "{engine}: {json}");
        assert_eq!(json["engine"], engine.as_str());
        assert_eq!(digest(&store), content, "{engine}");
        let text = run(["compact", "--store", &store, "--write"]).ok();
        assert!(text.text().contains("before"), "{text}");
        run(["verify", "--store", &store]).ok();
    }
}

#[test]
fn a_store_is_copied_and_not_touched() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, &place.path().join("source"), 5_000);
        let before = snapshot(&place.path().join("source"));
        let copy = place.path().join("deep/copy");
        let copy = copy.to_str().unwrap();
        let args = ["copy", "--store", &store, "--to", copy, "--output", "json"];
        let json = run(args).ok().json();
        assert!(json["bytes"].as_u64() > Some(5_000 * 68), "{json}");
        assert_eq!(json["to"], copy);
        assert_eq!(snapshot(&place.path().join("source")), before, "{engine}");
        assert_eq!(digest(copy), digest(&store), "{engine}");
        run(["verify", "--store", copy]).ok();

        // Neither a store nor anything else is written over.
        let words = ["holds a store already", copy];
        let before = snapshot(place.path());
        run(args).refused(4, &words);
        let foreign = place.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("cat.jpg"), b"meow").unwrap();
        let to = foreign.to_str().unwrap();
        run(["copy", "--store", &store, "--to", to]).refused(4, &["cat.jpg"]);
        let file = foreign.join("cat.jpg");
        let to = file.to_str().unwrap();
        run(["copy", "--store", &store, "--to", to]).refused(4, &["cat.jpg"]);
        fs::remove_dir_all(&foreign).unwrap();
        // Nor is the copy made part of the store, or of another engine.
        let (_, source) = store.split_once(':').unwrap();
        let inside = format!("{source}/copy");
        run(["copy", "--store", &store, "--to", &inside]).refused(2, &["inside the store"]);
        run(["copy", "--store", &store, "--to", source]).refused(2, &["inside the store"]);
        // Nor by way of a directory that would only be made.
        let around = format!("{source}/../none/../store/copy");
        run(["copy", "--store", &store, "--to", &around]).refused(2, &["inside the store"]);
        run(["copy", "--store", &store, "--to", "mem:"]).refused(2, &["migrate --from"]);
        for other in disk_engines().filter(|other| *other != engine) {
            let to = format!("{other}:{}/other", place.path().display());
            run(["copy", "--store", &store, "--to", &to]).refused(2, &["migrate --from"]);
        }
        let is_now = snapshot(place.path());
        assert_eq!(
            is_now.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>()
        );
        assert_eq!(is_now, before, "{engine}");
        let to = format!("{engine}:{}/named", place.path().display());
        run(["copy", "--store", &store, "--to", &to]).ok();
        assert_eq!(digest(&to), digest(&store));
    }
}

#[test]
fn copies_are_made_beside_readers_and_changes_are_not() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, &place.path().join("source"), 5_000);
        // More than a pipe holds, and nobody reads on: the program waits with the store open.
        let mut reader = start(["list", "--store", &store, "--table", "names"]);
        let mut front = [0; 16];
        let out = reader.stdout.as_mut().unwrap();
        out.read_exact(&mut front).unwrap();
        let copy = place.path().join("copy");
        let copy = copy.to_str().unwrap();
        run(["copy", "--store", &store, "--to", copy]).ok();
        let before = snapshot(place.path());
        let put = [
            "put", "--store", &store, "--table", "names", "--write", "--key", "00", "--value", "01",
        ];
        let delete = [
            "delete", "--store", &store, "--table", "names", "--write", "--key", "00000000",
        ];
        for args in [
            &put[..],
            &delete,
            &["compact", "--store", &store, "--write"],
        ] {
            run(args).refused(3, &["already open", "hint:"]);
            assert_eq!(snapshot(place.path()), before, "{engine}");
        }
        finish(reader).ok();
        run(put).ok();
        assert_ne!(digest(copy), digest(&store), "{engine}");
    }
}

#[test]
fn a_copy_that_was_cut_short_is_no_store_and_begins_again() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, &place.path().join("source"), 5_000);
        let copy = place.path().join("copy");
        let to = copy.to_str().unwrap();
        let args = ["copy", "--store", &store, "--to", to];
        run(args).ok();
        // What a cut leaves: the marker of a creation, and some of the files.
        let marker = copy.join("CHAINSTORE");
        let text = fs::read_to_string(&marker).unwrap();
        let (body, _) = text.split_once("crc32c ").unwrap();
        let body = body.replace("state ready\n", "state creating\n");
        let sum = crc32c::crc32c(body.as_bytes());
        fs::write(&marker, format!("{body}crc32c {sum:08x}\n")).unwrap();
        run(["stat", "--store", to]).refused(4, &["cut short"]);
        run(args).ok();
        assert_eq!(digest(to), digest(&store), "{engine}");
    }
}
