//! `blocks repair`: what can be mended is, what would cost blocks needs a height, everything
//! removed is kept, and a kill at any time leaves something that the next repair finishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_store::Bodies;
use serde_json::Value;

use super::{
    FIRST, TIP, check, digests, file, flip, heights_in, lose, made, place, put, repair, scribble,
    segments, unhex,
};
use crate::support::{disk_engines, finish, run, seed, snapshot, start};

/// The folders in the quarantine, the oldest first.
fn kept(store: &str) -> Vec<PathBuf> {
    let all = Path::new(store.split_once(':').unwrap().1).join("quarantine");
    let Ok(entries) = fs::read_dir(all) else {
        return Vec::new();
    };
    let mut kept: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    kept
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

#[test]
fn nothing_is_repaired_unasked_and_nothing_where_nothing_is_wrong() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        scribble(&store);
        let before = snapshot(place.path());
        repair(&store, &[]).refused(2, &["blocks repair changes the store", "--write"]);
        assert_eq!(snapshot(place.path()), before, "{engine}");
        repair(&store, &["--write"]).ok();
        let after = snapshot(&segments(&store));
        let json = repair(&store, &["--write"]).ok().json();
        assert_eq!(json["actions"].as_array().unwrap().len(), 0, "{json}");
        assert_eq!(snapshot(&segments(&store)), after, "{engine}");
        assert_eq!(kept(&store).len(), 1);
    }
}

#[test]
fn what_is_behind_the_last_commit_goes_into_the_quarantine() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        scribble(&store);
        let (number, offset, bytes) = place(&store, TIP);
        let end = offset + 40 + bytes;
        fs::write(segments(&store).join("coming.new"), b"left").unwrap();
        let planned = repair(&store, &["--dry-run"]).ok().json();
        let json = repair(&store, &["--write"]).ok().json();
        assert_eq!(json["actions"], planned["actions"], "{engine}");
        assert_eq!(json["sound"], true);
        assert_eq!(fs::metadata(file(&store, number)).unwrap().len(), end);
        assert!(!segments(&store).join("coming.new").exists());
        let kept = kept(&store);
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(json["quarantine"][0], kept[0].to_str().unwrap());
        let name = format!("{number:010}.seg.from-{end}");
        assert_eq!(fs::read(kept[0].join(&name)).unwrap(), b"torn".repeat(30));
        assert_eq!(fs::read(kept[0].join("coming.new")).unwrap(), b"left");
        let report = report(&kept[0]);
        assert_eq!(report["schema"], 1);
        let removed = report["removed"].as_array().unwrap();
        let cut = removed
            .iter()
            .find(|it| it["file"] == name.as_str())
            .unwrap();
        assert_eq!(cut["from"], format!("{number:010}.seg"));
        assert_eq!((&cut["offset"], &cut["length"]), (&end.into(), &120.into()));
        assert_eq!(cut["why"], "behind the last committed block");
        assert_eq!(digests(&store), digest, "{engine}");
    }
}

#[test]
fn names_and_rows_are_mended_without_losing_a_block() {
    type Harm = fn(&str);
    let harms: [Harm; 11] = [
        |store| fs::rename(file(store, 1), segments(store).join("old")).unwrap(),
        |store| {
            let aside = segments(store).join("aside");
            fs::rename(file(store, 1), &aside).unwrap();
            fs::rename(file(store, 0), file(store, 1)).unwrap();
            fs::rename(&aside, file(store, 0)).unwrap();
        },
        |store| lose(store, "blocks.index", Some(&17_u64.to_be_bytes())),
        |store| lose(store, "blocks.places", Some(&TIP.to_be_bytes())),
        |store| lose(store, "blocks.tx-ids", None),
        // Rows that cannot be read ended the check of everything behind them.
        |store| put(store, "blocks.tx-ids", &17_u64.to_be_bytes(), &[0, 9]),
        |store| put(store, "blocks.index", &17_u64.to_be_bytes(), &[]),
        |store| put(store, "blocks.places", &17_u64.to_be_bytes(), &[1]),
        |store| lose(store, "blocks.hashes", None),
        |store| lose(store, "blocks.state", None),
        |store| {
            for table in Bodies::Segments.tables() {
                lose(store, table.name(), None);
            }
        },
    ];
    for engine in disk_engines() {
        for (at, harm) in harms.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let digest = digests(&store);
            harm(&store);
            assert_eq!(check(&store).code, Some(1), "{engine}, harm {at}");
            let planned = repair(&store, &["--dry-run"]).json();
            let ran = repair(&store, &["--write"]);
            assert_eq!(ran.code, Some(0), "{engine}, harm {at}: {ran}");
            assert_eq!(ran.json()["actions"], planned["actions"], "{engine}, {at}");
            assert_eq!(digests(&store), digest, "{engine}, harm {at}");
            check(&store).ok();
            run(["verify", "--store", &store]).ok();
        }
    }
}

/// A place of the tip that lies made everything behind it what was never committed: the index was
/// made again, and then all blocks but the lowest were cut off.
#[test]
fn a_place_that_lies_costs_no_block() {
    let swapped = |store: &str, height: u64, of: u64| {
        let rows = run([
            "list",
            "--store",
            store,
            "--table",
            "blocks.places",
            "--output",
            "json",
        ]);
        let value = rows.ok().json()["rows"][(of - FIRST) as usize]["value"].clone();
        put(
            store,
            "blocks.places",
            &height.to_be_bytes(),
            &unhex(&value),
        );
    };
    for engine in disk_engines() {
        // Cutting at such a block cut files where its place lies.
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        swapped(&store, 40, FIRST);
        swapped(&store, 30, TIP - 3);
        let files = snapshot(&segments(&store));
        for (cut, to) in [
            ("truncate", ["--to-height", "40"]),
            ("prune", ["--below", "30"]),
        ] {
            let all = ["blocks", cut, "--store", &store, "--write"];
            run(all.iter().chain(&to)).refused(1, &["nothing was changed"]);
        }
        assert!(snapshot(&segments(&store)) == files, "{engine}");
        repair(&store, &["--write"]).ok();
        assert_eq!(digests(&store), digest_up_to(engine, TIP), "{engine}");
        for (lies, to) in [(TIP, None), (TIP - 1, Some(TIP - 1))] {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            swapped(&store, lies, FIRST);
            if lies == TIP {
                // Opening to write cut them as well, and kept nothing.
                let prune = [
                    "blocks", "prune", "--store", &store, "--below", "5", "--write",
                ];
                run(prune).refused(1, &["block 64, the tip", "nothing was changed"]);
            }
            let to = to.map(|to: u64| to.to_string());
            let more = to.iter().flat_map(|to| ["--to-height", &to[..]]);
            let more: Vec<&str> = std::iter::once("--write").chain(more).collect();
            repair(&store, &more).ok();
            assert_eq!(
                digests(&store),
                digest_up_to(engine, lies),
                "{engine}, {lies}"
            );
            check(&store).ok();
        }
    }
}

#[test]
fn a_row_of_totals_that_lies_is_no_endless_walk() {
    use storage_api::{KvStore, Reader, WriteTxn, Writer};
    for engine in disk_engines() {
        // Bytes 1 to 8 are the tail, 9 to 16 the tip.
        for (at, height) in [(9, u64::MAX - 1), (9, 40), (1, 0), (1, 30)] {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let digest = digests(&store);
            {
                let _alone = crate::support::alone();
                let opened = super::open(&store);
                let table = opened.catalogue().id("blocks.state").unwrap();
                let mut txn = opened.begin_write().unwrap();
                let mut row = txn.get(table, b"totals").unwrap().unwrap().to_vec();
                row[at..at + 8].copy_from_slice(&height.to_le_bytes());
                txn.put(table, b"totals", &row).unwrap();
                txn.commit(storage_api::Durability::Durable).unwrap();
            }
            let ran = check(&store);
            assert_eq!(ran.code, Some(1), "{engine}, {height}: {ran}");
            let ran = repair(&store, &["--write"]);
            assert_eq!(ran.code, Some(0), "{engine}, {height}: {ran}");
            assert_eq!(digests(&store), digest, "{engine}, {height}");
        }
    }
}

/// A store without the blocks above a height, as if they had never been.
fn digest_up_to(engine: chain_store::EngineName, tip: u64) -> (String, String) {
    let place = tempfile::tempdir().unwrap();
    digests(&made(engine, place.path(), Bodies::Segments, tip))
}

#[test]
fn damage_below_the_tip_is_cut_only_at_a_height_that_was_said() {
    type Harm = fn(&str) -> u64;
    let harms: [Harm; 5] = [
        |store| {
            let (number, offset, _) = place(store, 30);
            flip(&file(store, number), offset + 60);
            30
        },
        |store| {
            let (number, offset, _) = place(store, 44);
            flip(&file(store, number), offset + 3);
            44
        },
        |store| {
            let lost = heights_in(store, 1).0;
            fs::remove_file(file(store, 1)).unwrap();
            lost
        },
        |store| {
            let lost = heights_in(store, 2).0;
            flip(&file(store, 2), 20);
            lost
        },
        |store| {
            let (number, offset, _) = place(store, 30);
            flip(&file(store, number), offset + 60);
            // The row that says how far the index goes is gone as well.
            lose(store, "blocks.index", Some(&50_u64.to_be_bytes()));
            30
        },
    ];
    for engine in disk_engines() {
        for (at, harm) in harms.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let store = made(engine, place.path(), Bodies::Segments, TIP);
            let lowest = harm(&store);
            let before = snapshot(&segments(&store));
            // Unasked, nothing of it goes, and it is said what would.
            let ran = repair(&store, &["--write"]);
            assert_eq!(ran.code, Some(1), "{engine}, harm {at}: {ran}");
            let json = ran.json();
            assert_eq!(
                json["keepable_height"],
                lowest - 1,
                "{engine}, {at}: {json}"
            );
            let said = format!("--to-height {}", lowest - 1);
            assert!(json["left"].to_string().contains(&said), "{json}");
            let names = |files: &std::collections::BTreeMap<_, (Option<Vec<u8>>, _)>| {
                let contents = files.values().map(|(content, _)| content.clone());
                contents.collect::<Vec<_>>()
            };
            let after = snapshot(&segments(&store));
            assert_eq!(
                after.keys().collect::<Vec<_>>(),
                before.keys().collect::<Vec<_>>()
            );
            if kept(&store).is_empty() {
                assert_eq!(names(&after), names(&before), "{engine}, harm {at}");
            }
            // A height above the damage is refused.
            let high = lowest.to_string();
            let ran = repair(&store, &["--to-height", &high, "--write"]);
            ran.refused(1, &["damage below height"]);
            let to = (lowest - 1).to_string();
            let ran = repair(&store, &["--to-height", &to, "--write"]);
            assert_eq!(ran.code, Some(0), "{engine}, harm {at}: {ran}");
            check(&store).ok();
            assert_eq!(
                digests(&store),
                digest_up_to(engine, lowest - 1),
                "{engine}, {at}"
            );
            // Every byte that went is in the quarantine.
            let kept = kept(&store);
            for (path, (content, _)) in &before {
                let content = content.as_deref().unwrap_or_default();
                let rest = fs::read(path).map_or(0, |there| there.len());
                let name = path.file_name().unwrap().to_str().unwrap();
                let found = kept.iter().any(|folder| {
                    let whole = fs::read(folder.join(name)).ok();
                    let part = fs::read(folder.join(format!("{name}.from-{rest}"))).ok();
                    whole.is_some_and(|it| it == content)
                        || part.is_some_and(|it| it == content[rest..])
                });
                assert!(found || rest == content.len(), "{engine}, {at}: {name}");
            }
        }
    }
}

/// Kills a command at random, three times on each of some stores, and lets it end then. Gives how
/// often it was killed, and what the stores came to.
fn killed(
    engine: chain_store::EngineName,
    args: &[&str],
    harm: fn(&str),
    random: &mut u64,
) -> (u32, Vec<(String, String)>) {
    let (mut killed, mut digest) = (0, Vec::new());
    for _ in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        harm(&store);
        let args = [&["blocks"], args, &["--write", "--store", &store]].concat();
        for _ in 0..3 {
            *random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let mut child = start(&args);
            std::thread::sleep(Duration::from_micros((*random >> 33) % 60_000));
            child.kill().unwrap();
            let ran = finish(child);
            killed += u32::from(ran.code.is_none());
            assert!(ran.code.is_none_or(|code| code == 0), "{engine}: {ran}");
        }
        run(&args).ok();
        check(&store).ok();
        digest.push(digests(&store));
        for folder in kept(&store) {
            assert_ne!(folder.extension().and_then(|it| it.to_str()), Some("part"));
            assert!(report(&folder)["removed"].as_array().is_some());
        }
    }
    (killed, digest)
}

/// A command, what it is to mend, and the digests that it has to come to.
type Run = (&'static [&'static str], fn(&str), (String, String));

#[test]
fn what_was_killed_is_finished_by_the_same_command() {
    let mut random = seed();
    let damage = |store: &str| {
        let (number, offset, _) = place(store, 30);
        flip(&file(store, number), offset + 60);
    };
    let pruned = |engine| {
        let place = tempfile::tempdir().unwrap();
        let store = made(engine, place.path(), Bodies::Segments, TIP);
        let prune = ["blocks", "prune", "--below", "40", "--write", "--store"];
        run(prune.iter().chain(&[&store[..]])).ok();
        digests(&store)
    };
    for engine in disk_engines() {
        let short = digest_up_to(engine, 29);
        let lost = |store: &str| lose(store, "blocks.places", None);
        let whole = digest_up_to(engine, TIP);
        let runs: [Run; 4] = [
            (&["repair", "--to-height", "29"], damage, short.clone()),
            (&["truncate", "--to-height", "29"], |_| {}, short),
            (&["prune", "--below", "40"], |_| {}, pruned(engine)),
            (&["index-rebuild"], lost, whole),
        ];
        let mut kills = 0;
        for (args, harm, expected) in runs {
            let (killed, digests) = killed(engine, args, harm, &mut random);
            kills += killed;
            for digest in digests {
                assert_eq!(digest, expected, "{engine}: {args:?}");
            }
        }
        println!("{engine}: {kills} of 48 commands were killed");
        assert!(
            kills > 0,
            "{engine}: every command was faster than its kill"
        );
    }
}

/// Packs every segment that is not written to.
fn pack(store: &str) {
    let _alone = crate::support::alone();
    let opened = super::open(store);
    let blocks = chain_store::Blocks::open(&opened).unwrap();
    let view = storage_api::KvStore::begin_read(&*opened).unwrap();
    let all = storage_api::blocks::Height::new(TIP);
    let report = blocks.segments().unwrap().pack(&view, all).unwrap();
    assert!(report.segments > 2, "{report:?}");
}

#[test]
fn packed_segments_are_checked_moved_and_cut() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let digest = digests(&store);
        pack(&store);
        let packed = segments(&store).join("0000000001.segz");
        assert!(packed.exists() && !file(&store, 1).exists());
        check(&store).ok();
        assert_eq!(digests(&store), digest, "{engine}");
        let copy = folder.path().join("copy");
        let copy = copy.to_str().unwrap();
        run(["copy", "--store", &store, "--to", copy]).ok();
        assert_eq!(digests(copy), digest, "{engine}");
        let named = segments(&store).join("named otherwise");
        fs::rename(&packed, &named).unwrap();
        assert_eq!(check(&store).code, Some(1), "{engine}");
        repair(&store, &["--write"]).ok();
        lose(&store, "blocks.hashes", None);
        repair(&store, &["--write"]).ok();
        assert_eq!(digests(&store), digest, "{engine}");

        // A frame of a packed segment is damaged: its blocks are told, and go with those above.
        let (first, last) = heights_in(&store, 2);
        let damaged = segments(&store).join("0000000002.segz");
        let middle = fs::metadata(&damaged).unwrap().len() / 2;
        flip(&damaged, middle);
        let json = check(&store).json();
        let found = &json["findings"][0];
        assert_eq!(found["file"], "0000000002.segz", "{engine}: {json}");
        let told = found["first_height"].as_u64().unwrap();
        assert!((first..=last).contains(&told), "{engine}: {json}");
        let whole = fs::read(&packed).unwrap();
        // In the middle of a packed segment, which is a plain one afterwards.
        let to = first - 3;
        let ran = repair(&store, &["--to-height", &to.to_string(), "--write"]);
        assert_eq!(ran.code, Some(0), "{engine}: {ran}");
        assert!(!packed.exists() && file(&store, 1).exists(), "{engine}");
        assert_eq!(digests(&store), digest_up_to(engine, to), "{engine}");
        let kept = kept(&store);
        let last = kept.last().unwrap();
        assert_eq!(
            fs::read(last.join("0000000001.segz")).unwrap(),
            whole,
            "{engine}"
        );
        check(&store).ok();
    }
}

/// The rows of hashes and of places of transactions went without a copy, though whatever a repair
/// removes is in the quarantine first: with them and the others the tables are as they were.
#[test]
fn every_row_that_a_cut_removes_is_in_the_quarantine() {
    for engine in disk_engines() {
        let folder = tempfile::tempdir().unwrap();
        let store = made(engine, folder.path(), Bodies::Segments, TIP);
        let before = super::snapshot_rows(&store);
        repair(&store, &["--to-height", "29", "--write"]).ok();
        assert_ne!(super::snapshot_rows(&store), before, "{engine}");
        let kept = kept(&store);
        let removed = TIP - 29;
        let tables = [
            ("blocks.index", removed),
            ("blocks.places", removed),
            ("blocks.tx-ids", removed),
            ("blocks.hashes", removed),
            // Each block has two transactions.
            ("blocks.txs", 2 * removed),
            ("blocks.state", 1),
        ];
        for (table, rows) in tables {
            let path = kept[0].join(format!("{table}.jsonl"));
            let lines = fs::read_to_string(&path).unwrap();
            assert_eq!(lines.lines().count() as u64, rows, "{engine}: {table}");
            let path = path.to_str().unwrap();
            let put = ["put", "--write", "--from-jsonl", path, "--table", table];
            run(put.iter().chain(&["--store", &store])).ok();
        }
        assert_eq!(super::snapshot_rows(&store), before, "{engine}");
    }
}
