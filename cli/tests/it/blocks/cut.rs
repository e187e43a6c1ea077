//! `blocks index-rebuild`, `truncate`, `prune` and `pack`: the same store comes out, wherever
//! bodies are.

use chain_store::{AnyStore, Bodies};
use storage_api::{Schema, TableDef};

use super::{FIRST, TIP, check, digests, lose, made};
use crate::support::{alone, disk_engines, run, snapshot};

fn blocks(store: &str, args: &[&str]) -> crate::support::Ran {
    let words = ["blocks", args[0], "--store", store, "--output", "json"];
    run(words.iter().chain(&args[1..]))
}

#[test]
fn the_index_comes_back_byte_by_byte() {
    let lost: [&[&str]; 4] = [
        &["blocks.index"],
        &["blocks.places", "blocks.txs"],
        &["blocks.state", "blocks.hashes"],
        &[
            "blocks.index",
            "blocks.places",
            "blocks.txs",
            "blocks.tx-ids",
            "blocks.hashes",
            "blocks.state",
        ],
    ];
    for engine in disk_engines() {
        for tables in lost {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let digest = digests(&store);
            for table in tables {
                lose(&store, table, None);
            }
            blocks(&store, &["index-rebuild"]).refused(2, &["--write is missing"]);
            let json = blocks(&store, &["index-rebuild", "--write"]).ok().json();
            assert_eq!(json["blocks"], TIP - FIRST + 1, "{engine}: {json}");
            assert_eq!(digests(&store), digest, "{engine}, without {tables:?}");
            check(&store).ok();
            // Of a sound index the same comes out.
            blocks(&store, &["index-rebuild", "--write"]).ok();
            assert_eq!(digests(&store), digest, "{engine}");
        }
    }
}

#[test]
fn an_index_is_not_made_of_half_a_chain() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        lose(&store, "blocks.index", None);
        std::fs::remove_file(super::file(&store, 1)).unwrap();
        let before = super::snapshot_rows(&store);
        let ran = blocks(&store, &["index-rebuild", "--write"]);
        ran.refused(1, &["no sound record of the block below"]);
        assert_eq!(super::snapshot_rows(&store), before, "{engine}");
    }
}

/// A height above the last block of a sound store was called corruption, and a tip that the index
/// had had: it is what was typed that is wrong.
#[test]
fn a_height_above_every_block_is_no_damage() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let before = super::snapshot_rows(&store);
        let ran = blocks(&store, &["index-rebuild", "--to-height", "1000", "--write"]);
        assert!(!ran.stderr.contains("corruption"), "{ran}");
        assert!(!ran.stderr.contains("verify"), "{ran}");
        let highest = format!("the highest sound record is of block {TIP}");
        ran.refused(1, &["block 1000", &highest]);
        let ran = blocks(&store, &["index-rebuild", "--to-height", "4", "--write"]);
        ran.refused(1, &["block 4 cannot be the tip", "begin with 5"]);
        assert_eq!(super::snapshot_rows(&store), before, "{engine}");
    }
}

/// Where the last segment was lost, or one between, the error said what is not there and not which
/// height can be asked for.
#[test]
fn the_height_up_to_which_an_index_can_be_made_is_named_and_works() {
    for engine in disk_engines() {
        for is_last in [true, false] {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let number = if is_last {
                super::place(&store, TIP).0
            } else {
                2
            };
            let reach = super::heights_in(&store, number).0 - 1;
            std::fs::remove_file(super::file(&store, number)).unwrap();
            lose(&store, "blocks.hashes", None);
            let before = super::snapshot_rows(&store);
            let ran = blocks(&store, &["index-rebuild", "--write"]);
            let named = format!("--to-height {reach} makes the index");
            ran.refused(1, &[&named, "no sound record of"]);
            assert_eq!(super::snapshot_rows(&store), before, "{engine}");
            let to = reach.to_string();
            let json = blocks(&store, &["index-rebuild", "--to-height", &to, "--write"]);
            assert_eq!(json.ok().json()["tip_height"], reach, "{engine}");
            let short = made(engine, &place.path().join("b"), Bodies::Segments, reach);
            assert_eq!(digests(&store), digests(&short), "{engine}");
            check(&store).ok();
        }
    }
}

/// The state of a node stayed at the tip that was cut away, and nothing said so.
#[test]
fn tables_that_a_cut_at_the_tip_leaves_as_they_were_are_named() {
    let note = "leaves other tables as they are: balances, undo;";
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let ran = blocks(&store, &["truncate", "--to-height", "60", "--write"]).ok();
        assert!(!ran.stderr.contains("other tables"), "{ran}");
        {
            let _alone = alone();
            let own = ["balances", "undo"].map(TableDef::new);
            drop(AnyStore::open(&store, &Schema::new(&own).unwrap()).unwrap());
        }
        let ran = blocks(&store, &["prune", "--below", "10", "--write"]).ok();
        assert!(!ran.stderr.contains("other tables"), "{ran}");
        let (number, offset, _) = super::place(&store, 50);
        super::flip(&super::file(&store, number), offset + 60);
        let ran = run(["blocks", "get", "--store", &store, "--height", "50"]);
        assert!(ran.stderr.contains("), block 50: the payload"), "{ran}");
        for args in [
            ["repair", "--to-height", "49", "--dry-run"],
            ["repair", "--to-height", "49", "--write"],
            ["index-rebuild", "--to-height", "45", "--write"],
            ["truncate", "--to-height", "40", "--write"],
        ] {
            let ran = blocks(&store, &args);
            assert!(ran.stderr.contains(note), "{args:?}: {ran}");
        }
    }
}

#[test]
fn blocks_go_at_the_tip_and_again() {
    for engine in disk_engines() {
        for bodies in Bodies::ALL {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, &place.path().join("a"), bodies, TIP);
            let short = made(engine, &place.path().join("b"), bodies, 21);
            let before = snapshot(place.path());
            let truncate = ["truncate", "--to-height", "21"];
            blocks(&store, &truncate).refused(2, &["--write is missing"]);
            assert_eq!(snapshot(place.path()), before, "{engine}");
            let words = ["not stored"];
            let high = ["truncate", "--to-height", "1000", "--write"];
            blocks(&store, &high).refused(1, &words);
            let low = ["truncate", "--to-height", "4", "--write"];
            blocks(&store, &low).refused(1, &words);
            for removed in [TIP - 21, 0] {
                let args = ["truncate", "--to-height", "21", "--write"];
                let json = blocks(&store, &args).ok().json();
                assert_eq!(json["removed_blocks"], removed, "{engine}, {bodies}");
                assert_eq!(json["tip_height"], 21);
                assert_eq!(digests(&store), digests(&short), "{engine}, {bodies}");
                check(&store).ok();
            }
        }
    }
}

#[test]
fn blocks_go_at_the_tail_and_again() {
    for engine in disk_engines() {
        let mut digest = Vec::new();
        for bodies in Bodies::ALL {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), bodies, TIP);
            let prune = ["prune", "--below", "40"];
            blocks(&store, &prune).refused(2, &["--write is missing"]);
            let high = ["prune", "--below", "1000", "--write"];
            blocks(&store, &high).refused(1, &["not stored"]);
            for removed in [40 - FIRST, 0] {
                let args = ["prune", "--below", "40", "--write"];
                let json = blocks(&store, &args).ok().json();
                assert_eq!(json["removed_blocks"], removed, "{engine}, {bodies}");
                assert_eq!(json["first_height"], 40);
                check(&store).ok();
            }
            if bodies == Bodies::Segments {
                assert!(!super::file(&store, 0).exists(), "{engine}");
                // What begins the index is told by its row of totals.
                let before = digests(&store);
                lose(&store, "blocks.hashes", None);
                blocks(&store, &["index-rebuild", "--write"]).ok();
                assert_eq!(digests(&store), before, "{engine}");
            }
            digest.push(digests(&store).1);
        }
        assert_eq!(digest[0], digest[1], "{engine}");
    }
}

#[test]
fn packed_segments_are_smaller_and_hold_the_same_blocks() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, &place.path().join("a"), Bodies::Segments, TIP);
        let digest = digests(&store);
        blocks(&store, &["pack"]).refused(2, &["--write is missing"]);
        let none = blocks(&store, &["pack", "--below", "5", "--write"]);
        assert_eq!(none.ok().json()["segments"], 0, "{engine}");
        let json = blocks(&store, &["pack", "--write"]).ok().json();
        assert!(json["segments"].as_u64().unwrap() >= 2, "{engine}: {json}");
        let bytes = |name: &str| json[name].as_u64().unwrap();
        assert!(
            bytes("packed_bytes") < bytes("plain_bytes") / 2,
            "{engine}: {json}"
        );
        assert_eq!(digests(&store), digest, "{engine}");
        check(&store).ok();
        let again = blocks(&store, &["pack", "--write"]).ok().json();
        assert_eq!(again["segments"], 0, "{engine}");

        let rows = made(engine, &place.path().join("b"), Bodies::Store, FIRST);
        blocks(&rows, &["pack", "--write"]).refused(5, &["rows of this store"]);
    }
}
