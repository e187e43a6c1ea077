//! Stores with segments made by `import`, moved, copied, compared; and those that keep unspent
//! outputs, which go forward only.

use std::fs;
use std::path::Path;

use chain_store::{Bodies, EngineName};

use super::{FIRST, TIP, check, digests, file, flip, hex};
use crate::chain;
use crate::support::{Ran, disk_engines, run, snapshot, url};

pub(super) fn import(store: &str, file: &Path, more: &[&str]) -> Ran {
    let args = ["import", "--from", "bitcoin", "--store", store];
    let file = file.to_str().unwrap();
    run(args
        .iter()
        .copied()
        .chain(more.iter().copied())
        .chain([file]))
}

pub(super) fn block_file(folder: &Path, blocks: u32) -> std::path::PathBuf {
    let path = folder.join(format!("{blocks}.dat"));
    fs::write(&path, chain::file(&chain::blocks(blocks))).unwrap();
    path
}

#[test]
fn an_import_keeps_bodies_where_it_was_told() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let (some, all) = (block_file(place.path(), 20), block_file(place.path(), 40));
        let rows = url(engine, &place.path().join("rows"));
        let files = url(engine, &place.path().join("files"));
        import(&rows, &all, &[]).ok();
        import(&files, &some, &["--bodies", "segments"]).ok();
        let before = snapshot(place.path());
        let ran = import(&files, &all, &["--bodies", "store"]);
        ran.refused(2, &["keeps bodies in segments"]);
        let ran = import(&rows, &all, &["--bodies", "segments"]);
        ran.refused(2, &["keeps bodies in store"]);
        assert_eq!(snapshot(place.path()), before, "{engine}");
        // What it is, a store knows itself.
        import(&files, &all, &[]).ok();
        assert_eq!(digests(&rows).1, digests(&files).1, "{engine}");
        assert_ne!(digests(&rows).0, digests(&files).0, "{engine}");
        let get = |store: &str| {
            let args = ["blocks", "get", "--height", "33", "--raw", "--store", store];
            run(args).ok().stdout
        };
        assert_eq!(get(&rows), get(&files), "{engine}");
        let stat = run(["stat", "--store", &files, "--output", "json"]).ok();
        assert_eq!(stat.json()["blocks"]["bodies"], "segments");
        check(&files).ok();
        check(&rows).ok();
        run(["verify", "--store", &files]).ok();
    }
    let place = tempfile::tempdir().unwrap();
    let file = block_file(place.path(), 3);
    import("mem:", &file, &["--bodies", "segments"]).refused(5, &["in memory"]);
}

#[test]
fn segments_are_moved_and_copied_and_proved() {
    let engines: Vec<EngineName> = disk_engines().collect();
    for (at, engine) in engines.iter().enumerate() {
        let place = tempfile::tempdir().unwrap();
        let blocks = block_file(place.path(), 40);
        let store = url(*engine, &place.path().join("from"));
        import(&store, &blocks, &["--bodies", "segments"]).ok();
        let digest = digests(&store);
        let other = engines[(at + 1) % engines.len()];
        let to = url(other, &place.path().join("moved"));
        run(["migrate", "--from", &store, "--to", &to]).ok();
        let copy = place.path().join("copy");
        let copy = copy.to_str().unwrap();
        run(["copy", "--store", &store, "--to", copy]).ok();
        for new in [&to[..], copy] {
            assert_eq!(digests(new), digest, "{engine} to {new}");
            check(new).ok();
            run(["verify", "--store", new]).ok();
            // It is a store like any other, with a number of its own.
            import(new, &block_file(place.path(), 45), &[]).ok();
            check(new).ok();
        }
        run(["diff", &store, &store]).ok();

        // Damage is not moved.
        flip(&file(&store, 0), 500);
        let to = url(other, &place.path().join("damaged"));
        let ran = run(["migrate", "--from", &store, "--to", &to]);
        ran.refused(1, &["stays marked as unfinished"]);
        run(["stat", "--store", &to]).refused(4, &["unfinished copy"]);
        let ran = run(["stat", "--store", &store, "--digest"]);
        ran.refused(1, &["0000000000.seg"]);
    }
}

/// Stores with the same blocks differed in every row of places, and in a whole table where one of
/// them kept bodies as rows, though `checksum` said of both that their blocks are the same.
#[test]
fn bodies_are_compared_wherever_they_lie() {
    let engines: Vec<EngineName> = disk_engines().collect();
    for (at, engine) in engines.iter().enumerate() {
        let place = tempfile::tempdir().unwrap();
        let made = |engine, name: &str, bodies, tip| {
            super::made(engine, &place.path().join(name), bodies, tip)
        };
        let other = engines[(at + 1) % engines.len()];
        let rows = made(other, "rows", Bodies::Store, TIP);
        let files = made(*engine, "files", Bodies::Segments, TIP);
        // The same blocks in other places: in segments of another size.
        let wide = made(other, "wide", Bodies::Segments, FIRST + 9);
        super::append(&wide, FIRST + 10..=TIP);
        let before = snapshot(place.path());
        for (left, right) in [(&rows, &files), (&files, &rows), (&files, &wide)] {
            let ran = run(["diff", left, right]).ok();
            assert!(ran.stdout.is_empty(), "{ran}");
        }
        let places = ["diff", &files, &wide, "--table", "blocks.places"];
        assert_eq!(run(places).code, Some(1), "{engine}");
        assert_eq!(snapshot(place.path()), before, "{engine}");

        super::put(&rows, "blocks.bodies", &(FIRST + 3).to_be_bytes(), b"other");
        let key = format!("0x{:016x}", FIRST + 3);
        let of = |height| hex(&super::body(height));
        let own = of(FIRST + 3);
        let changed = format!("~ blocks.bodies {key} {} {own}\n", hex(b"other"));
        let ran = run(["diff", &rows, &files]);
        assert_eq!((ran.code, ran.text()), (Some(1), &changed[..]), "{ran}");
        let table = ["diff", &rows, &files, "--table", "blocks.bodies"];
        assert_eq!(run(table).text(), changed);
        for (range, is_within) in [(["--prefix", &key], true), (["--end", &key], false)] {
            let ran = run(table.iter().chain(&range));
            assert_eq!(ran.code, Some(i32::from(is_within)), "{ran}");
        }

        // A block more is one more in every table; a store without blocks lacks them all.
        let short = made(*engine, "short", Bodies::Segments, TIP - 1);
        let ran = run(["diff", &files, &short, "--table", "blocks.bodies"]);
        let only = format!("- blocks.bodies 0x{TIP:016x} {}\n", of(TIP));
        assert_eq!((ran.code, ran.text()), (Some(1), &only[..]), "{ran}");
        let none = super::empty(*engine, &place.path().join("none"));
        let ran = run(["diff", &none, &short, "--limit", "3"]);
        assert_eq!(ran.code, Some(1), "{ran}");
        let is_told = ran.stderr.contains("table blocks.bodies is in");
        assert!(is_told && ran.text().lines().count() == 3, "{ran}");
    }
}

/// One damaged byte in the last segment kept everybody from every block of the store.
#[test]
fn sound_blocks_are_read_beside_a_damaged_one() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = super::made(engine, place.path(), Bodies::Segments, TIP);
        let (segment, offset, _) = super::place(&store, TIP - 2);
        flip(&file(&store, segment), offset + 60);
        let before = snapshot(place.path());
        let of = |args: &[&str]| {
            let blocks = ["blocks"].into_iter().chain(args.iter().copied());
            run(blocks.chain(["--store", &store]))
        };
        for height in [FIRST, TIP - 3, TIP - 1, TIP] {
            let ran = of(&["get", "--raw", "--height", &height.to_string()]).ok();
            assert_eq!(ran.stdout, super::body(height), "{engine}, block {height}");
        }
        let name = format!("{segment:010}.seg");
        of(&["get", "--raw", "--height", &(TIP - 2).to_string()]).refused(1, &[&name]);
        of(&["list", "--limit", "1"]).ok();
        let lines = check(&store).json();
        assert_eq!(
            lines["sound_blocks"],
            super::BLOCKS - 1,
            "{engine}: {lines}"
        );
        assert_eq!(snapshot(place.path()), before, "{engine}");
    }
}

#[test]
fn a_state_that_only_goes_forward_is_not_cut() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, place.path());
        let blocks = block_file(place.path(), 20);
        import(&store, &blocks, &["--bodies", "segments"]).ok();
        let digest = digests(&store);
        let words = ["unspent outputs", "cannot be taken back"];
        for args in [
            vec!["truncate", "--to-height", "10"],
            vec!["repair", "--to-height", "10"],
            vec!["index-rebuild", "--to-height", "10"],
        ] {
            let all = [&["blocks"], &args[..], &["--write", "--store", &store]].concat();
            run(all).refused(5, &words);
        }
        assert_eq!(digests(&store), digest, "{engine}");
        // What changes no state is done, and an index that was lost in part comes back.
        super::lose(&store, "blocks.hashes", None);
        run(["blocks", "repair", "--write", "--store", &store]).ok();
        assert_eq!(digests(&store), digest, "{engine}");
        // Without any row nothing says which block the state follows.
        for table in chain_store::Bodies::Segments.tables() {
            super::lose(&store, table.name(), None);
        }
        let rebuild = ["blocks", "index-rebuild", "--write", "--store", &store];
        run(rebuild).refused(5, &words);
        let prune = ["blocks", "prune", "--below", "5", "--write"];
        let other = url(engine, &place.path().join("other"));
        import(&other, &blocks, &["--bodies", "segments"]).ok();
        run(prune.iter().chain(&["--store", &other])).ok();
        check(&other).ok();
    }
}

/// Blocks that were never committed came into the index by their height, and what they spend and
/// add stayed out of the state: the next import went on with outputs that were long spent.
#[test]
fn a_state_is_not_left_behind_by_an_index_above_it() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = url(engine, &place.path().join("store"));
        let blocks = block_file(place.path(), 20);
        import(
            &store,
            &block_file(place.path(), 10),
            &["--bodies", "segments"],
        )
        .ok();
        // The same store with bodies of ten blocks above, as a commit that was killed leaves it.
        let whole = place.path().join("whole");
        let copy = ["copy", "--store", &store, "--to", whole.to_str().unwrap()];
        run(copy).ok();
        let whole = format!("{engine}:{}", whole.display());
        import(&whole, &blocks, &[]).ok();
        fs::copy(super::file(&whole, 0), super::file(&store, 0)).unwrap();
        assert_eq!(check(&store).ok().json()["beyond"]["records"], 10);
        let digest = digests(&store);
        let rebuild = ["blocks", "index-rebuild", "--store", &store, "--write"];
        let words = ["block 14 cannot be the tip", "outputs after block 10"];
        run(rebuild.iter().chain(&["--to-height", "14"])).refused(5, &words);
        assert_eq!(digests(&store), digest, "{engine}");
        run(rebuild.iter().chain(&["--to-height", "10"])).ok();
        assert_eq!(digests(&store), digest, "{engine}");
        import(&store, &blocks, &[]).ok();
        assert_eq!(digests(&store), digests(&whole), "{engine}");
    }
}

/// The same file names and lengths were taken for copies, so a source that was mended after it was
/// refused was refused for ever, and a file that had gone from it stayed beside the packed one.
#[test]
fn a_migration_goes_on_from_segments_that_changed_meanwhile() {
    let engines: Vec<EngineName> = disk_engines().collect();
    for (at, engine) in engines.iter().enumerate() {
        let place = tempfile::tempdir().unwrap();
        let store = super::made(*engine, &place.path().join("from"), Bodies::Segments, TIP);
        let (number, offset, _) = super::place(&store, FIRST + 20);
        let harmed = file(&store, number);
        let sound = fs::read(&harmed).unwrap();
        flip(&harmed, offset + 60);
        let other = engines[(at + 1) % engines.len()];
        let to = url(other, &place.path().join("moved"));
        let migrate = ["migrate", "--from", &store, "--to", &to];
        run(migrate).refused(1, &["stays marked as unfinished"]);
        fs::write(&harmed, sound).unwrap();
        run(["blocks", "pack", "--store", &store, "--write"]).ok();
        run(migrate).ok();
        assert_eq!(digests(&to), digests(&store), "{engine} to {other}");
        let names = |store: &str| -> Vec<String> {
            let entries = fs::read_dir(super::segments(store)).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        };
        assert_eq!(names(&to), names(&store), "{engine} to {other}");
    }
}
