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

/// A backup of a segment beside it was damage for good: a finding without blocks, the advice to put
/// a sound copy in its place although nothing was wrong, and no repair that took it away.
#[test]
fn a_backup_beside_a_segment_is_no_damage_and_is_left_alone() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        for name in ["0000000000.seg.bak", "copy"] {
            fs::copy(file(&store, 0), named(&store, name)).unwrap();
        }
        let before = snapshot(&segments(&store));
        let json = check(&store).ok().json();
        let expected = serde_json::json!(["0000000000.seg.bak", "copy"]);
        assert_eq!(json["leftovers"], expected, "{engine}");
        assert_eq!(json["sound_blocks"], super::BLOCKS, "{engine}");
        run(["verify", "--store", &store]).ok();
        let json = repair(&store, &["--write"]).ok().json();
        assert!(json["actions"].as_array().unwrap().is_empty(), "{json}");
        assert!(json["left"].as_array().unwrap().is_empty(), "{json}");
        assert_eq!(snapshot(&segments(&store)), before, "{engine}");
        // It is no leftover once it is needed.
        fs::remove_file(file(&store, 0)).unwrap();
        assert_eq!(kinds(&check(&store).json()), ["renamed"], "{engine}");
        repair(&store, &["--write"]).ok();
        assert_eq!(digests(&store), digest, "{engine}");
        let json = check(&store).ok().json();
        assert_eq!(json["leftovers"], serde_json::json!(["copy"]), "{engine}");
        // Blocks above a height go, and the copy has no part in that.
        let to = heights_in(&store, 1).0.to_string();
        repair(&store, &["--to-height", &to, "--write"]).ok();
        assert!(named(&store, "copy").exists(), "{engine}");
        assert!(!file(&store, 2).exists(), "{engine}");
    }
}

/// A copy under the name of another segment keeps the log from opening, and its own name is taken:
/// the advice was to put a sound copy in its place, and a repair never came to an end.
#[test]
fn a_copy_under_the_name_of_another_segment_goes_into_the_quarantine() {
    for engine in disk_engines() {
        for is_absent in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let digest = digests(&store);
            // Of a segment that is not there yet, or of one that somebody has lost.
            let name = if is_absent { 2 } else { 9 };
            let heights = heights_in(&store, 2);
            let aside = place.path().join("aside");
            fs::copy(file(&store, 2), &aside).unwrap();
            fs::copy(file(&store, 1), file(&store, name)).unwrap();
            let before = snapshot(place.path());
            let ran = check(&store);
            assert_eq!(ran.code, Some(1), "{engine}: {ran}");
            let json = ran.json();
            let what = json["findings"][0]["what"].as_str().unwrap();
            assert!(what.contains("a copy of segment 1"), "{ran}");
            assert_eq!(json["findings"][0]["segment"], 1, "{ran}");
            let planned = repair(&store, &["--dry-run"]).json();
            assert_eq!(planned["actions"][0]["action"], "remove-copy", "{planned}");
            assert_eq!(snapshot(place.path()), before, "{engine}");
            let ran = repair(&store, &["--write"]);
            let kept = place.path().join("store/quarantine/000001");
            let kept = fs::read(kept.join(format!("{name:010}.seg"))).unwrap();
            assert_eq!(kept, fs::read(file(&store, 1)).unwrap(), "{engine}");
            if is_absent {
                assert_eq!(ran.code, Some(1), "{engine}: {ran}");
                assert_eq!(kinds(&json), ["renamed", "absent"], "{ran}");
                assert_eq!(json["findings"][1]["first_height"], heights.0, "{ran}");
                assert_eq!(json["findings"][1]["file"], "0000000002.seg", "{ran}");
                fs::copy(&aside, file(&store, 2)).unwrap();
            } else {
                assert_eq!(kinds(&json), ["renamed"], "{ran}");
                ran.ok();
            }
            check(&store).ok();
            assert_eq!(digests(&store), digest, "{engine}");
        }
    }
}

/// What is under a segment's own name and is none stays, whatever else holds that segment: which of
/// the two is the newer one is for a person to say. Neither is lost by a repair of something else.
#[test]
fn a_copy_beside_a_segment_without_a_header_is_told_and_not_lost() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        let sound = fs::read(file(&store, 1)).unwrap();
        fs::copy(file(&store, 1), file(&store, 9)).unwrap();
        super::flip(&file(&store, 1), 20);
        super::scribble(&store);
        let ran = repair(&store, &["--write"]);
        assert_eq!(ran.code, Some(1), "{engine}: {ran}");
        let json = ran.json();
        assert!(json["left"].to_string().contains("move away"), "{ran}");
        assert_eq!(fs::read(file(&store, 9)).unwrap(), sound, "{engine}");
        fs::rename(file(&store, 1), place.path().join("away")).unwrap();
        repair(&store, &["--write"]).ok();
        assert_eq!(digests(&store), digest, "{engine}");
    }
}
