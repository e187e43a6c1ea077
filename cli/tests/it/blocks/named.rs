//! Segments under names that are not their own: told, with what to do about it, and mended without
//! losing a byte.

use std::fs;

use chain_store::Bodies;
use serde_json::Value;

use super::{TIP, check, digests, file, heights_in, made, repair, segments};
use crate::support::{disk_engines, run, snapshot};

/// A file in the folder of segments.
fn named(store: &str, name: &str) -> std::path::PathBuf {
    segments(store).join(name)
}

fn pack(store: &str) {
    run(["blocks", "pack", "--write", "--store", store]).ok();
}

fn kinds(json: &Value) -> Vec<&str> {
    let findings = json["findings"].as_array().unwrap().iter();
    findings.map(|it| it["kind"].as_str().unwrap()).collect()
}

/// A plain file under the name of a packed segment, or a packed one under that of a plain one, was
/// opened by its name: `check`, `repair` and `verify` ended with "the file does not begin as a
/// packed segment" and told nothing of the rest of the store.
#[test]
fn a_plain_file_named_as_a_packed_one_and_the_other_way_gets_its_name() {
    let harms: [fn(&str); 3] = [
        |store| fs::rename(file(store, 1), named(store, "0000000001.segz")).unwrap(),
        |store| {
            pack(store);
            fs::rename(named(store, "0000000001.segz"), file(store, 1)).unwrap();
        },
        |store| {
            // Both at once, and under each other's numbers.
            pack(store);
            let aside = named(store, "aside");
            fs::rename(named(store, "0000000001.segz"), &aside).unwrap();
            fs::rename(named(store, "0000000000.segz"), file(store, 1)).unwrap();
            fs::rename(&aside, file(store, 0)).unwrap();
        },
    ];
    for engine in disk_engines() {
        for (at, harm) in harms.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let digest = digests(&store);
            harm(&store);
            let before = snapshot(place.path());
            let ran = check(&store);
            assert_eq!(ran.code, Some(1), "{engine}, harm {at}: {ran}");
            let json = ran.json();
            assert!(kinds(&json).iter().all(|kind| *kind == "renamed"), "{ran}");
            assert_eq!(json["findings"][0]["segment"], 1, "{ran}");
            assert_eq!(json["sound_blocks"], super::BLOCKS, "{ran}");
            let ran = run(["verify", "--store", &store]);
            assert_eq!(ran.code, Some(1), "{engine}, harm {at}: {ran}");
            assert!(ran.to_string().contains("under another name"), "{ran}");
            let planned = repair(&store, &["--dry-run"]).json();
            assert_eq!(snapshot(place.path()), before, "{engine}, harm {at}");
            let rebuild = ["blocks", "index-rebuild", "--write", "--store", &store];
            assert_eq!(run(rebuild).code, Some(0), "{engine}, harm {at}");
            let json = repair(&store, &["--write"]).ok().json();
            assert_eq!(json["actions"], planned["actions"], "{engine}, harm {at}");
            assert!(json["quarantine"].as_array().unwrap().is_empty(), "{json}");
            check(&store).ok();
            assert_eq!(digests(&store), digest, "{engine}, harm {at}");
            super::append(&store, TIP + 1..=TIP + 2);
            check(&store).ok();
        }
    }
}

/// What is under the name of a packed segment and is none ended every tool as well.
#[test]
fn what_is_no_segment_at_all_is_told_under_either_name() {
    for engine in disk_engines() {
        for name in ["0000000001.seg", "0000000001.segz"] {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let heights = heights_in(&store, 1);
            fs::remove_file(file(&store, 1)).unwrap();
            for content in [&b"no segment"[..], &[7; 5_000], b"\x89SEGZ\r\n\x1a no more"] {
                fs::write(named(&store, name), content).unwrap();
                let ran = check(&store);
                assert_eq!(ran.code, Some(1), "{engine}, {name}: {ran}");
                let json = ran.json();
                let found = &json["findings"][0];
                assert_eq!(kinds(&json), ["header"], "{engine}, {name}: {ran}");
                assert_eq!(found["first_height"], heights.0, "{ran}");
                assert_eq!(found["last_height"], heights.1, "{ran}");
                let ran = repair(&store, &["--dry-run"]);
                assert_eq!(ran.code, Some(1), "{engine}, {name}: {ran}");
                assert_eq!(ran.json()["keepable_height"], heights.0 - 1, "{ran}");
            }
        }
    }
}
