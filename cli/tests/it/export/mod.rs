//! Exporting: what was imported comes out again from every engine, into files that appear whole and
//! to standard output; what is refused, and with which exit code.

mod auto;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use chain_store::EngineName;
use serde_json::Value;

use crate::chain;
use crate::import::said;
use crate::support::{
    PROGRAM, Ran, disk_engines, finish, real_file, run, signal, snapshot, spawn, start, url,
    wait_until,
};

fn import(store: &str, file: &Path, more: &[&str]) -> Ran {
    let mut args = vec![
        "import", "--from", "auto", "--store", store, "--output", "json", "--digest",
    ];
    args.extend(["--durability", "buffered"]);
    args.extend(more);
    args.push(file.to_str().unwrap());
    run(args)
}

fn export(store: &str, file: &Path, more: &[&str]) -> Ran {
    let file = file.to_str().unwrap();
    let mut args = vec!["export", "--store", store, "--output-file", file];
    args.extend(["--output", "json"]);
    args.extend(more);
    run(args)
}

/// Every engine that keeps something on disk, with bodies in either place.
fn stores() -> impl Iterator<Item = (EngineName, &'static str)> {
    disk_engines().flat_map(|engine| ["store", "segments"].map(|bodies| (engine, bodies)))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "store").collect();
    names.sort();
    names
}

/// A store with so many blocks of the small chain, and its file.
fn small(engine: EngineName, folder: &Path, blocks: u32) -> (String, Vec<u8>) {
    let bytes = chain::file(&chain::blocks(blocks));
    let file = folder.join("in.dat");
    fs::write(&file, &bytes).unwrap();
    let store = url(engine, folder);
    import(&store, &file, &[]).ok();
    fs::remove_file(file).unwrap();
    (store, bytes)
}

/// The file, decompressed by the decoder that its name tells.
fn plain(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    if file.extension().is_some_and(|end| end == "bz2") {
        let mut plain = Vec::new();
        let mut decoder = bzip2::read::BzDecoder::new(&bytes[..]);
        decoder.read_to_end(&mut plain).unwrap();
        return plain;
    }
    bytes
}

#[test]
fn real_files_come_back_from_every_engine() {
    for (name, format, blocks) in [
        ("btc-blocks1-256.bz2", "bitcoin", 255),
        ("execapis-chain.rlp", "ethereum-rlp", 54),
        ("antelope-blocks.log", "antelope", 5),
    ] {
        let Some(file) = real_file(name) else { return };
        for (engine, bodies) in stores() {
            let place = tempfile::tempdir().unwrap();
            let store = url(engine, place.path());
            let bodies = ["--bodies", bodies];
            let imported = import(&store, &file, &bodies).ok().json();
            let out = place.path().join("out");
            let index = place.path().join("index");
            let beside = ["--index-file", index.to_str().unwrap()];
            let more = if format == "antelope" {
                &beside[..]
            } else {
                &[]
            };
            let before = snapshot(&place.path().join("store"));
            let done = export(&store, &out, more).ok().json();
            let after = snapshot(&place.path().join("store"));
            assert!(before == after, "{engine}: an export changed the store");
            assert_eq!(done["format"], format, "{engine}");
            assert_eq!(done["blocks"], blocks, "{engine}");
            assert_eq!(done["file_bytes"], fs::metadata(&out).unwrap().len());
            assert!(fs::read(&out).unwrap() == plain(&file), "{engine} {name}");
            if let Some(real) = real_file("antelope-blocks.index")
                && format == "antelope"
            {
                assert_eq!(fs::read(&index).unwrap(), fs::read(real).unwrap());
            }
            let again = place.path().join("again");
            fs::create_dir(&again).unwrap();
            let again = import(&url(engine, &again), &out, &bodies).ok().json();
            for digest in ["content_digest", "blocks_digest"] {
                let of = |imported: &Value| imported["stat"][digest].clone();
                assert_eq!(of(&again), of(&imported), "{engine} {name}");
                assert!(of(&again).is_string(), "{digest}: {again}");
            }
        }
    }
}

#[test]
fn a_bare_block_comes_back_bare_or_framed() {
    let Some(file) = real_file("btc-block-367891.raw.zst") else {
        return;
    };
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let imported = import(&store, &file, &["--partial"]).ok().json();
        let bare = place.path().join("bare");
        let done = export(&store, &bare, &[]).ok().json();
        assert_eq!(done["network"], Value::Null);
        assert_eq!(done["first_height"], 367_891);
        let framed = place.path().join("framed.dat");
        let done = export(&store, &framed, &["--network", "mainnet"])
            .ok()
            .json();
        assert_eq!(done["network"], "mainnet");
        let (bare_bytes, framed_bytes) = (fs::read(&bare).unwrap(), fs::read(framed).unwrap());
        assert!(framed_bytes[8..] == bare_bytes);
        assert_eq!(framed_bytes[..4], [0xf9, 0xbe, 0xb4, 0xd9]);
        let again = place.path().join("again");
        fs::create_dir(&again).unwrap();
        let again = import(&url(engine, &again), &bare, &["--partial"])
            .ok()
            .json();
        let digest = |imported: &Value| imported["stat"]["content_digest"].clone();
        assert_eq!(digest(&again), digest(&imported), "{engine}");
    }
}

#[test]
fn standard_output_carries_the_file_and_nothing_else() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, bytes) = small(engine, place.path(), 30);
        let to_stdout = ["export", "--store", &store, "--output-file", "-"];
        let ran = run(to_stdout).ok();
        assert!(ran.stdout == bytes, "{engine}");
        assert!(
            ran.stderr.contains("exported 30 blocks of regtest"),
            "{ran}"
        );
        // Some heights, joined to the rest.
        let part = |first: &str, last: &str| {
            let heights = ["--first-height", first, "--last-height", last];
            run(to_stdout.into_iter().chain(heights)).ok().stdout
        };
        assert!(
            [part("1", "7"), part("8", "30")].concat() == bytes,
            "{engine}"
        );
        run(to_stdout.into_iter().chain(["--output", "json"])).refused(2, &["--output table"]);
        run(to_stdout.into_iter().chain(["--index-file", "x"])).refused(2, &["--index-file"]);
        assert!(names(place.path()).is_empty());
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let Some(engine) = disk_engines().next() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    // More than a pipe holds.
    let (store, _) = small(engine, place.path(), 1_200);
    let mut command = Command::new(PROGRAM);
    command.args(["export", "--store", &store, "--output-file", "-"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut front = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut front).unwrap();
    drop(stdout);
    let status = child.wait().unwrap();
    let mut words = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut words).unwrap();
    assert_eq!((status.code(), words.as_str()), (Some(0), ""));
}

#[test]
fn an_existing_file_stays_unless_it_is_to_be_replaced() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, bytes) = small(engine, place.path(), 12);
        let file = place.path().join("blk.dat");
        fs::write(&file, "mine").unwrap();
        export(&store, &file, &[]).refused(2, &["blk.dat exists", "--overwrite"]);
        // A failed one does not replace it either.
        export(&store, &file, &["--overwrite", "--to", "era1"]).refused(1, &["era1", "bitcoin"]);
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        export(&store, &file, &["--overwrite"]).ok();
        assert!(fs::read(&file).unwrap() == bytes, "{engine}");
        assert_eq!(names(place.path()), ["blk.dat"]);
        let store_folder = place.path().join("store");
        export(&store, &store_folder, &["--overwrite"]).refused(2, &["inside the store"]);
        let inside = store_folder.join("blk.dat");
        export(&store, &inside, &[]).refused(2, &["inside the store"]);
        assert!(!inside.exists());
        export(&store, place.path(), &["--overwrite"]).refused(2, &["no regular file"]);
    }
}

#[test]
fn what_cannot_be_exported_is_refused_and_leaves_nothing() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, _) = small(engine, place.path(), 12);
        let file = place.path().join("out");
        let index = place.path().join("index");
        let index = ["--index-file", index.to_str().unwrap()];
        // It was taken for a file that another process writes.
        let same = place.path().join("store/../out");
        let same = ["--index-file", same.to_str().unwrap()];
        for (more, code, words) in [
            (&["--to", "era1"][..], 1, "the block at height 1 is bitcoin"),
            (&["--to", "ethereum-rlp"], 1, "a file of ethereum-rlp"),
            (&["--to", "antelope"], 1, "antelope cannot hold"),
            (&["--first-height", "0"], 1, "blocks 1 to 12 are"),
            (&["--last-height", "13"], 1, "height 13 is not stored"),
            (
                &["--first-height", "9", "--last-height", "8"],
                2,
                "below the first height 9",
            ),
            (&["--network", "signet"], 2, "of regtest, signet was said"),
            (&["--network", "moon"], 2, "known are mainnet"),
            (&index, 2, "no index beside it"),
            (&same, 2, "name the same file"),
        ] {
            export(&store, &file, more).refused(code, &[words]);
            assert!(names(place.path()).is_empty(), "{engine} {more:?}");
        }
        let nowhere = place.path().join("absent").join("out");
        export(&store, &nowhere, &[]).refused(74, &["cannot write", "absent"]);
        let absent = place.path().join("no-store");
        let absent = absent.to_str().unwrap();
        export(absent, &file, &[]).refused(4, &["no-store"]);
        export("mem:", &file, &[]).refused(5, &["in memory"]);
        assert!(names(place.path()).is_empty(), "{engine}");
    }
}

#[test]
fn an_interrupted_export_leaves_nothing_and_the_next_one_is_whole() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (store, bytes) = small(engine, place.path(), 1_200);
        // To a pipe that nobody reads: it stands in the middle until it is told to end.
        let mut child = start(["export", "--store", &store, "--output-file", "-"]);
        let mut stdout = child.stdout.take().unwrap();
        let mut front = vec![0; 1];
        stdout.read_exact(&mut front).unwrap();
        signal(&child, "INT");
        let answer = said(&mut child);
        assert!(answer.contains("ends after this block"), "{answer}");
        stdout.read_to_end(&mut front).unwrap();
        child.stdout = None;
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{engine}");
        assert!(
            bytes.starts_with(&front) && front.len() < bytes.len(),
            "{engine}"
        );

        // A killed one leaves at most the part, which the next one takes over.
        let file = place.path().join("blk.dat");
        for _ in 0..4 {
            let mut child = start([
                "export",
                "--store",
                &store,
                "--output-file",
                file.to_str().unwrap(),
            ]);
            let part = place.path().join("blk.dat.part");
            wait_until("it writes or has written", || {
                part.exists() || file.exists()
            });
            child.kill().unwrap();
            finish(child);
            let left = names(place.path());
            let is = left.iter().all(|name| name.starts_with("blk.dat"));
            assert!(is, "{left:?}");
            if file.exists() {
                assert!(fs::read(&file).unwrap() == bytes, "{engine}: half a file");
                fs::remove_file(&file).unwrap();
            }
        }
        export(&store, &file, &[]).ok();
        assert!(fs::read(&file).unwrap() == bytes, "{engine}");
        assert_eq!(names(place.path()), ["blk.dat"]);
    }
}
