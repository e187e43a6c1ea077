//! What a repair advises about damage that it leaves: said once, true, and it works when typed.

use std::fs;

use chain_store::Bodies;
use serde_json::Value;

use super::moved::{block_file, import};
use super::{FIRST, TIP, check, digests, file, flip, made, place, repair, segments};
use crate::support::{disk_engines, run, snapshot, url};

/// Changes a byte of a block's body.
fn harm(store: &str, height: u64) {
    let (number, offset, _) = place(store, height);
    flip(&file(store, number), offset + 60);
}

fn advised(json: &Value) -> Vec<&str> {
    let left = json["left"].as_array().unwrap().iter();
    let left = left.map(|it| it.as_str().unwrap());
    left.filter(|it| it.contains("--to-height")).collect()
}

/// Every finding named a height of its own, and all but the lowest of these were refused because of
/// the damage below them.
#[test]
fn one_height_is_advised_and_it_works() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        for height in [50, 20, 41] {
            harm(&store, height);
        }
        let json = repair(&store, &["--dry-run"]).json();
        assert_eq!(json["left"].as_array().unwrap().len(), 4, "{json}");
        assert_eq!(json["keepable_height"], 19, "{json}");
        let advice = advised(&json);
        assert_eq!(advice.len(), 1, "{json}");
        assert!(advice[0].contains("--to-height 19`"), "{json}");
        let blocks = format!("blocks 20 to {TIP}");
        assert!(advice[0].contains(&blocks), "{json}");
        let text = run(["blocks", "repair", "--dry-run", "--store", &store]);
        assert_eq!(text.text().matches("--to-height").count(), 1, "{text}");
        let high = repair(&store, &["--to-height", "40", "--write"]);
        high.refused(1, &["everything can be kept up to 19"]);
        repair(&store, &["--to-height", "19", "--write"]).ok();
        check(&store).ok();
    }
}

/// A store that keeps unspent outputs refuses every height, and was told to say one.
#[test]
fn no_height_is_advised_to_a_store_that_goes_forward_only() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, &place.path().join("state"));
        let blocks = block_file(place.path(), 20);
        import(&store, &blocks, &["--bodies", "segments"]).ok();
        harm(&store, 12);
        for also_index in [false, true] {
            if also_index {
                super::lose(&store, "blocks.hashes", None);
            }
            let ran = repair(&store, &["--dry-run"]);
            assert_eq!(ran.code, Some(1), "{engine}: {ran}");
            let json = ran.json();
            assert!(advised(&json).is_empty(), "{json}");
            let left = json["left"].to_string();
            assert!(left.contains("sound copy of the file"), "{json}");
            assert!(left.contains("import into a new store"), "{json}");
            assert_eq!(left.contains("read and exported"), !also_index, "{json}");
            if !also_index {
                // What is said of the others is true.
                let get = ["blocks", "get", "--height", "11", "--store", &store];
                run(get).ok();
                let out = place.path().join("exported");
                let out = out.to_str().unwrap();
                let export = ["export", "--store", &store, "--output-file", out];
                run(export.iter().chain(&["--last-height", "11"])).ok();
            }
            assert!(!left.contains("a height is said"), "{json}");
        }
        repair(&store, &["--to-height", "11", "--dry-run"]).refused(5, &["unspent outputs"]);
    }
}

/// A file behind the last committed block that is no segment was damage for good, and the advice
/// was to give up the blocks above the tip. It goes as everything does that was never committed.
#[test]
fn what_is_behind_the_tip_costs_no_block() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        fs::write(file(&store, 9), b"no segment").unwrap();
        let before = snapshot(folder.path());
        assert_eq!(check(&store).code, Some(1), "{engine}");
        let planned = repair(&store, &["--dry-run"]).json();
        assert!(advised(&planned).is_empty(), "{planned}");
        assert!(planned["left"].as_array().unwrap().is_empty(), "{planned}");
        assert_eq!(snapshot(folder.path()), before, "{engine}");
        let json = repair(&store, &["--write"]).ok().json();
        let kept = std::path::Path::new(json["quarantine"][0].as_str().unwrap());
        let kept = fs::read(kept.join("0000000009.seg")).unwrap();
        assert_eq!(kept, b"no segment", "{engine}");
        assert!(!file(&store, 9).exists(), "{engine}");
        check(&store).ok();
        assert_eq!(digests(&store), digest, "{engine}");

        // Where rows that say how far the blocks go may be lost, nothing is surely behind the tip.
        fs::write(file(&store, 9), b"no segment").unwrap();
        super::lose(&store, "blocks.hashes", None);
        let ran = repair(&store, &["--write"]);
        assert_eq!(ran.code, Some(1), "{engine}: {ran}");
        let json = ran.json();
        assert!(file(&store, 9).exists(), "{engine}: {json}");
        let tip = format!("--to-height {TIP}");
        assert!(advised(&json)[0].contains(&tip), "{json}");
        assert!(advised(&json)[0].contains("gives up no block"), "{json}");
        repair(&store, &["--to-height", &TIP.to_string(), "--write"]).ok();
        assert_eq!(digests(&store), digest, "{engine}");
    }
}

/// Where the lowest block is damaged no height keeps everything, and one was advised all the same
/// if other blocks were damaged too.
#[test]
fn no_height_is_advised_where_the_lowest_block_is_damaged() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        harm(&store, FIRST);
        flip(&file(&store, 2), 20);
        fs::remove_file(file(&store, place(&store, TIP).0)).unwrap();
        let json = repair(&store, &["--dry-run"]).json();
        assert!(advised(&json).is_empty(), "{json}");
        assert!(json["keepable_height"].is_null(), "{json}");
        assert!(
            json["left"].to_string().contains("the lowest block"),
            "{json}"
        );
        // What is said of the others is true.
        assert!(json["left"].to_string().contains("can be read"), "{json}");
        let get = ["blocks", "get", "--height", "29", "--store", &store];
        run(get).ok();
        let before = snapshot(&segments(&store));
        let ran = repair(&store, &["--to-height", "29", "--write"]);
        ran.refused(1, &["begins with the lowest block"]);
        assert_eq!(snapshot(&segments(&store)), before, "{engine}");
    }
}

/// Damage in a segment of which there is a copy beside it: the advice names that copy.
#[test]
fn a_copy_beside_a_damaged_segment_is_named() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        let backup = segments(&store).join("0000000001.seg.bak");
        fs::copy(file(&store, 1), &backup).unwrap();
        harm(&store, 30);
        let json = repair(&store, &["--dry-run"]).json();
        let left = json["left"][0].as_str().unwrap();
        assert!(left.contains("0000000001.seg.bak"), "{json}");
        fs::rename(&backup, file(&store, 1)).unwrap();
        check(&store).ok();
        assert_eq!(digests(&store), digest, "{engine}");
    }
}

/// A segment that was cut short gave one line for each of its lost blocks, a hundred and more.
#[test]
fn blocks_in_a_row_are_one_line() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let last = super::heights_in(&store, 1).1;
        let (number, offset, _) = place(&store, last - 6);
        assert_eq!(number, 1);
        let whole = fs::read(file(&store, 1)).unwrap();
        let end = usize::try_from(offset).unwrap();
        fs::write(file(&store, 1), &whole[..end + 20]).unwrap();
        let json = check(&store).json();
        let blocks = json["findings"].as_array().unwrap().iter();
        let blocks: u64 = blocks.map(|it| it["blocks"].as_u64().unwrap()).sum();
        assert_eq!(blocks, 7, "{json}");
        let text = run(["blocks", "check", "--store", &store]);
        assert!(text.text().contains("1 finding:"), "{text}");
        let range = format!("7 blocks from {} to {last}", last - 6);
        assert!(text.text().contains(&range), "{text}");
        let left = repair(&store, &["--dry-run"]).json();
        assert_eq!(left["left"].as_array().unwrap().len(), 2, "{left}");
        assert_eq!(left["keepable_height"], last - 7, "{left}");
    }
}

/// A repair that could not make the index again said which record is not there, and not which
/// height can be asked for: `index-rebuild` did.
#[test]
fn the_height_up_to_which_a_lost_index_can_be_repaired_is_named_and_works() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let number = super::place(&store, TIP).0;
        let reach = super::heights_in(&store, number).0 - 1;
        std::fs::remove_file(file(&store, number)).unwrap();
        super::lose(&store, "blocks.places", None);
        let before = super::snapshot_rows(&store);
        let named = format!("--to-height {reach} makes the index");
        repair(&store, &["--write"]).refused(1, &[&named, "no sound record of"]);
        assert_eq!(super::snapshot_rows(&store), before, "{engine}");
        let to = reach.to_string();
        repair(&store, &["--write", "--to-height", &to]).ok();
        assert_eq!(check(&store).ok().json()["tip"], reach, "{engine}");
    }
}
