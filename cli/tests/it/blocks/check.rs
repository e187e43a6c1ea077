//! `blocks check` and `repair --dry-run`: what is damaged is told, with the blocks that it is
//! about, and no byte is written.

use std::fs;

use chain_store::Bodies;
use serde_json::Value;

use super::{
    BLOCKS, FIRST, TIP, check, file, flip, heights_in, lose, made, place, repair, scribble,
    segments,
};
use crate::refuse::{set_mode, unprivileged};
use crate::support::{PROGRAM, disk_engines, run, snapshot};

/// A way to harm a store, and what a check has to say: the kind of a finding, the segment, the
/// lowest and the highest height that it is about.
type Harm = (&'static str, fn(&str) -> (Option<u64>, Option<(u64, u64)>));

fn flip_body(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let (number, offset, _) = place(store, 30);
    flip(&file(store, number), offset + 60);
    (Some(number), Some((30, 30)))
}

fn flip_record_header(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let (number, offset, _) = place(store, 20);
    flip(&file(store, number), offset + 9);
    (Some(number), Some((20, 20)))
}

fn flip_segment_header(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let heights = heights_in(store, 1);
    flip(&file(store, 1), 34);
    (Some(1), Some(heights))
}

fn lose_segment(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let heights = heights_in(store, 1);
    fs::remove_file(file(store, 1)).unwrap();
    (Some(1), Some(heights))
}

fn lose_last_segment(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let number = place(store, TIP).0;
    let heights = heights_in(store, number);
    fs::remove_file(file(store, number)).unwrap();
    (Some(number), Some(heights))
}

fn cut_tail(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let (number, offset, _) = place(store, TIP);
    let path = file(store, number);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(usize::try_from(offset + 50).unwrap());
    fs::write(&path, bytes).unwrap();
    (Some(number), Some((TIP, TIP)))
}

fn rename_segment(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    fs::rename(file(store, 1), segments(store).join("backup of 1")).unwrap();
    (Some(1), None)
}

fn swap_segments(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    let aside = segments(store).join("aside");
    fs::rename(file(store, 1), &aside).unwrap();
    fs::rename(file(store, 0), file(store, 1)).unwrap();
    fs::rename(&aside, file(store, 0)).unwrap();
    (Some(1), None)
}

fn lose_entry(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    lose(store, "blocks.index", Some(&17_u64.to_be_bytes()));
    (None, Some((17, 17)))
}

fn lose_place(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    lose(store, "blocks.places", Some(&18_u64.to_be_bytes()));
    (None, Some((18, 18)))
}

fn lose_ids(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    lose(store, "blocks.tx-ids", None);
    (None, Some((FIRST, TIP)))
}

fn lose_totals(store: &str) -> (Option<u64>, Option<(u64, u64)>) {
    lose(store, "blocks.state", None);
    (None, None)
}

const HARMS: [Harm; 12] = [
    ("record", flip_body),
    ("record", flip_record_header),
    ("header", flip_segment_header),
    ("absent", lose_segment),
    ("absent", lose_last_segment),
    ("record", cut_tail),
    ("renamed", rename_segment),
    ("renamed", swap_segments),
    ("index", lose_entry),
    ("index", lose_place),
    ("index", lose_ids),
    ("index", lose_totals),
];

#[test]
fn every_damage_is_told_with_its_blocks_and_nothing_is_written() {
    for engine in disk_engines() {
        for (at, (kind, harm)) in HARMS.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let (segment, heights) = harm(&store);
            let before = snapshot(place.path());
            let ran = check(&store);
            assert_eq!(ran.code, Some(1), "{engine}, harm {at}: {ran}");
            let json = ran.json();
            assert_eq!(json["sound"], false);
            let findings = json["findings"].as_array().unwrap();
            let is_it = |finding: &&Value| {
                finding["kind"] == kind
                    && finding["segment"].as_u64() == segment
                    && heights.is_none_or(|(first, last)| {
                        finding["first_height"] == first && finding["last_height"] == last
                    })
            };
            assert!(
                findings.iter().any(|it| is_it(&it)),
                "{engine}, harm {at}: {ran}"
            );
            let next = json["next"].as_str().unwrap();
            assert!(next.contains("blocks repair --store"), "{next}");
            let text = run(["blocks", "check", "--store", &store]);
            assert!(text.text().contains("finding"), "{text}");

            let dry = repair(&store, &["--dry-run"]);
            assert_eq!(dry.code, Some(1), "{engine}, harm {at}: {dry}");
            let dry = dry.json();
            let planned = dry["actions"].as_array().unwrap().len();
            let left = dry["left"].as_array().unwrap().len();
            assert!(planned + left > 0, "{engine}, harm {at}: {dry}");
            assert_eq!(snapshot(place.path()), before, "{engine}, harm {at}");
            // The whole store says the same.
            let ran = run(["verify", "--store", &store]);
            assert_eq!(ran.code, Some(1), "{engine}, harm {at}: {ran}");
            assert_eq!(snapshot(place.path()), before, "{engine}, harm {at}");
        }
    }
}

#[test]
fn a_sound_store_is_sound_with_and_without_the_right_to_write() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, &place.path().join("made"), Bodies::Segments, TIP);
        let program = place.path().join("chainstore");
        fs::copy(PROGRAM, &program).unwrap();
        let folder = place.path().join("made");
        let close = |is_open: bool| {
            let modes = if is_open {
                (0o644, 0o755)
            } else {
                (0o444, 0o555)
            };
            for (path, (content, _)) in snapshot(&folder) {
                set_mode(&path, if content.is_some() { modes.0 } else { modes.1 });
            }
            set_mode(&folder, modes.1);
        };
        set_mode(place.path(), 0o755);
        close(false);
        let before = snapshot(&folder);
        for args in [
            vec!["blocks", "check", "--store", &store, "--output", "json"],
            vec!["blocks", "repair", "--dry-run", "--store", &store],
            vec!["verify", "--store", &store],
            vec!["blocks", "get", "--height", "30", "--store", &store],
        ] {
            unprivileged(&program, &args).ok();
        }
        let json = check(&store).ok().json();
        assert_eq!(json["sound_blocks"], BLOCKS);
        assert_eq!(json["bodies"], "segments");
        assert!(json["segments"].as_u64() > Some(3), "{json}");
        assert_eq!(snapshot(&folder), before, "{engine}");
        close(true);
    }
}

#[test]
fn what_was_never_committed_is_no_damage() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        scribble(&store);
        fs::write(segments(&store).join("coming.new"), b"left").unwrap();
        fs::write(segments(&store).join("notes.txt"), b"of a person").unwrap();
        let json = check(&store).ok().json();
        assert_eq!(json["beyond"]["bytes"], 120);
        assert_eq!(json["beyond"]["records"], 0);
        let leftovers = serde_json::json!(["coming.new", "notes.txt"]);
        assert_eq!(json["leftovers"], leftovers);
        run(["verify", "--store", &store]).ok();
    }
}

#[test]
fn segments_of_another_store_are_told() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, &place.path().join("one"), Bodies::Segments, TIP);
        let other = made(engine, &place.path().join("other"), Bodies::Segments, TIP);
        fs::copy(file(&other, 1), file(&store, 1)).unwrap();
        let ran = check(&store);
        assert_eq!(ran.code, Some(1), "{ran}");
        let found = &ran.json()["findings"][0];
        assert_eq!(found["kind"], "header", "{ran}");
        assert!(found["what"].as_str().unwrap().contains("chain"), "{ran}");
        // Nothing is written beside files of another chain.
        let before = snapshot(place.path());
        let tip = TIP.to_string();
        let args = ["blocks", "truncate", "--to-height", &tip, "--write"];
        run(args.iter().chain(&["--store", &store])).refused(1, &["is of chain"]);
        let segments = |files: std::collections::BTreeMap<std::path::PathBuf, _>| {
            let inside = |path: &std::path::PathBuf| path.to_string_lossy().contains("segments");
            let files = files.into_iter().filter(|(path, _)| inside(path));
            files.collect::<Vec<(std::path::PathBuf, (Option<Vec<u8>>, _))>>()
        };
        assert_eq!(segments(snapshot(place.path())), segments(before));
    }
}

#[test]
fn bodies_that_are_rows_are_checked_too() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Store, TIP);
        let json = check(&store).ok().json();
        assert_eq!(json["sound_blocks"], BLOCKS);
        lose(&store, "blocks.bodies", Some(&9_u64.to_be_bytes()));
        lose(&store, "blocks.hashes", None);
        let before = snapshot(place.path());
        let ran = check(&store);
        assert_eq!(ran.code, Some(1), "{ran}");
        let json = ran.json();
        let findings = json["findings"].as_array().unwrap();
        let body = |it: &&Value| it["kind"] == "body" && it["first_height"] == 9;
        assert!(findings.iter().any(|it| body(&it)), "{ran}");
        assert!(json["next"].as_str().unwrap().contains("verify"), "{ran}");
        assert_eq!(snapshot(place.path()), before, "{engine}");
        let why = ["rows of this store"];
        repair(&store, &["--dry-run"]).refused(5, &why);
        repair(&store, &["--write"]).refused(5, &why);
        run(["blocks", "index-rebuild", "--store", &store, "--write"]).refused(5, &why);
    }
}
