//! Stores that must be refused: each with its exit code, a clear error, and nothing touched.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use chain_store::{AnyStore, EngineName};
use storage_api::{Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

use crate::chain;
use crate::import::feed;
use crate::support::{
    PROGRAM, Ran, alone, disk_engines, finish, run, run_command, snapshot, start, url,
};

const MARKER: &str = "CHAINSTORE";

/// A store with one table, closed.
fn store(engine: EngineName, folder: &Path) -> PathBuf {
    let schema = Schema::new([&TableDef::new("names")]).unwrap();
    let _alone = alone();
    drop(AnyStore::open(&url(engine, folder), &schema).unwrap());
    folder.join("store")
}

/// A block file that could be imported anywhere.
fn block_file(folder: &Path) -> String {
    let file = folder.join("blocks.dat");
    if !file.exists() {
        fs::write(&file, chain::file(&chain::blocks(2))).unwrap();
    }
    file.to_str().unwrap().to_owned()
}

/// Every command that opens a store, on this URL.
fn commands(url: &str, file: &str) -> Vec<Vec<String>> {
    let copy = format!("{file}.copy");
    let commands: [&[&str]; 15] = [
        &["stat"],
        &["stat", "--digest"],
        &["list"],
        &["get", "--table", "names", "00"],
        &["blocks", "list"],
        &["blocks", "get", "--height", "1"],
        &["verify"],
        &["import", "--from", "bitcoin", file],
        &["import", "--from", "auto", file],
        &["export", "--output-file", &copy],
        &["checksum"],
        &["compact", "--write"],
        &["copy", "--to", &copy],
        &["delete", "--table", "names", "--key", "00", "--write"],
        &[
            "put", "--table", "names", "--key", "00", "--value", "01", "--write",
        ],
    ];
    let to_args = |command: &&[&str]| {
        let store = ["--store", url];
        let args = command.iter().chain(&store);
        args.map(|arg| (*arg).to_owned()).collect()
    };
    commands.iter().map(to_args).collect()
}

/// Every command is refused alike and leaves everything below `place` as it was.
#[track_caller]
fn all_refused(place: &Path, url: &str, code: i32, words: &[&str]) {
    let outside = tempfile::tempdir().unwrap();
    let file = block_file(outside.path());
    let before = snapshot(place);
    let nothing_made = snapshot(outside.path());
    for command in commands(url, &file) {
        eprintln!("chainstore {}", command.join(" "));
        run(&command).refused(code, words);
        assert_eq!(snapshot(place), before, "{command:?} touched something");
        assert_eq!(snapshot(outside.path()), nothing_made, "{command:?}");
    }
}

#[test]
fn a_directory_of_another_engine() {
    for made in disk_engines() {
        for asked in disk_engines().filter(|asked| *asked != made) {
            let place = tempfile::tempdir().unwrap();
            store(made, place.path());
            let words = [asked.as_str(), made.as_str(), "belongs to engine", "hint:"];
            all_refused(place.path(), &url(asked, place.path()), 4, &words);
        }
    }
}

/// Writes a marker again with one line replaced and the right checksum.
fn edit_marker(store: &Path, line: &str, new: &str) {
    let path = store.join(MARKER);
    let text = fs::read_to_string(&path).unwrap();
    let (body, _) = text.split_once("crc32c ").unwrap();
    assert!(body.contains(line), "{line:?} is not in {body}");
    let body = body.replace(line, new);
    let sum = crc32c::crc32c(body.as_bytes());
    fs::write(&path, format!("{body}crc32c {sum:08x}\n")).unwrap();
}

#[test]
fn a_newer_format() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let path = store(engine, place.path());
        edit_marker(&path, "engine-format 1\n", "engine-format 7\n");
        let words = ["format 7", "newer than 1", "hint:"];
        all_refused(place.path(), &url(engine, place.path()), 4, &words);
        all_refused(place.path(), path.to_str().unwrap(), 4, &words);

        edit_marker(
            &path,
            "chainstore-directory 1\n",
            "chainstore-directory 2\n",
        );
        let words = ["format 2", MARKER, "newer than 1"];
        all_refused(place.path(), path.to_str().unwrap(), 4, &words);
    }
}

#[test]
fn a_creation_that_was_cut_short() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let path = store(engine, place.path());
        edit_marker(&path, "state ready\n", "state creating\n");
        let words = ["cut short", "run the command that made it again"];
        for command in commands(path.to_str().unwrap(), "unused") {
            if command[0] != "import" {
                run(&command).refused(4, &words);
            }
        }
    }
}

#[test]
fn a_damaged_marker() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let path = store(engine, place.path());
        let marker = path.join(MARKER);
        let text = fs::read_to_string(&marker).unwrap();
        fs::write(&marker, text.replace("engine-format 1", "engine-format 2")).unwrap();
        let words = ["corruption in", MARKER, "checksum"];
        all_refused(place.path(), path.to_str().unwrap(), 1, &words);
    }
}

#[test]
fn a_store_that_another_process_holds() {
    let outside = tempfile::tempdir().unwrap();
    let file = block_file(outside.path());
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let url = url(engine, place.path());
        let bare = place.path().join("store").display().to_string();
        // An import that waits for the rest of its file holds the store to write.
        let mut writer = feed(outside.path(), &url);
        writer.pipe.write_all(&fs::read(&file).unwrap()).unwrap();
        writer.wait_until_it_holds(place.path());
        let holder = format!("process {}", writer.child.id());
        for url in [&url, &bare] {
            for command in commands(url, &file) {
                run(&command).refused(3, &["already open", &holder, "hint:"]);
            }
        }
        drop(writer.pipe);
        finish(writer.child).ok();
        run(["stat", "--store", &bare]).ok();
    }
}

/// Readers share a store and keep writers out.
#[test]
fn a_store_that_other_processes_read() {
    let outside = tempfile::tempdir().unwrap();
    let file = block_file(outside.path());
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let path = store(engine, place.path());
        let path = path.to_str().unwrap();
        let reading = alone();
        let filled = AnyStore::open(path, &Schema::empty()).unwrap();
        let names = filled.catalogue().id("names").unwrap();
        let mut batch = WriteBatch::new();
        for number in 0..5_000u32 {
            batch.put(names, &number.to_be_bytes(), &[7; 64]).unwrap();
        }
        filled.apply(&batch, Durability::Durable).unwrap();
        drop(filled);
        drop(reading);

        // More than a pipe holds, and nobody reads on: the program waits with the store open.
        let mut reader = start(["list", "--store", path, "--table", "names"]);
        let mut front = [0; 16];
        reader
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut front)
            .unwrap();
        run(["list", "--store", path]).ok();
        let import = ["import", "--from", "bitcoin", "--store", path, &file];
        run(import).refused(3, &["already open"]);
        let read = finish(reader).ok();
        assert_eq!(read.text().lines().count(), 5_000);
        run(import).ok();
    }
}

#[test]
fn a_directory_that_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("store");
    let file = block_file(place.path());
    let before = snapshot(place.path());
    let bare = missing.to_str().unwrap();
    let urls = disk_engines()
        .map(|engine| url(engine, place.path()))
        .chain([bare.to_owned()]);
    for url in urls {
        for command in commands(&url, &file) {
            // Only an import by a URL that names the engine makes a store.
            if command[0] == "import" && url != bare {
                continue;
            }
            run(&command).refused(4, &["no store at", bare, "hint:"]);
            assert_eq!(snapshot(place.path()), before, "{command:?} made something");
        }
    }
}

#[test]
fn a_directory_or_file_of_somebody_else() {
    let place = tempfile::tempdir().unwrap();
    let foreign = place.path().join("store");
    fs::create_dir_all(foreign.join("photos")).unwrap();
    fs::write(foreign.join("photos/cat.jpg"), b"meow").unwrap();
    let bare = foreign.to_str().unwrap();
    for engine in disk_engines() {
        let words = [bare, "is not a store directory", "photos"];
        all_refused(place.path(), &url(engine, place.path()), 4, &words);
    }
    let words = [
        bare,
        "is not a store directory",
        "nothing in it was touched",
    ];
    all_refused(place.path(), bare, 4, &words);
    let said = run(["stat", "--store", bare]).stderr;
    assert!(!said.contains("ENGINE:PATH"), "{said}");
    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let words = ["is not a store directory", "hint:", "ENGINE:PATH"];
    all_refused(place.path(), empty.to_str().unwrap(), 4, &words);
    let file = foreign.join("photos/cat.jpg");
    for scheme in disk_engines()
        .map(|engine| format!("{engine}:"))
        .chain([String::new()])
    {
        let url = format!("{scheme}{}", file.display());
        all_refused(
            place.path(),
            &url,
            4,
            &["cat.jpg", "is not a store directory"],
        );
    }
}

/// A command of the program that cannot pass permissions, even when the tests run as root.
pub(crate) fn unprivileged<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> Ran {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.args(args);
    if is_root() {
        command.uid(65_534).gid(65_534);
    }
    run_command(command)
}

fn is_root() -> bool {
    let mut command = Command::new("id");
    command.arg("-u");
    run_command(command).ok().text() == "0\n"
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_without_permission() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        set_mode(place.path(), 0o755);
        // A copy, because the build directory may be closed to others.
        let program = place.path().join("chainstore");
        fs::copy(PROGRAM, &program).unwrap();
        set_mode(&program, 0o755);
        let file = block_file(place.path());
        set_mode(Path::new(&file), 0o644);

        let path = store(engine, place.path());
        let before = snapshot(&path);
        set_mode(&path, 0);
        for url in [url(engine, place.path()), path.to_str().unwrap().to_owned()] {
            for command in commands(&url, &file) {
                let ran = unprivileged(&program, &command);
                ran.refused(74, &["permission denied", path.to_str().unwrap()]);
            }
        }
        set_mode(&path, 0o700);
        assert_eq!(snapshot(&path), before, "{engine}");

        // Nor may a store be made where nothing may be made.
        let closed = place.path().join("closed");
        fs::create_dir(&closed).unwrap();
        set_mode(&closed, 0o555);
        let import = [
            "import",
            "--from",
            "bitcoin",
            &file,
            "--store",
            &url(engine, &closed),
        ];
        let ran = unprivileged(&program, &import.map(str::to_owned));
        ran.refused(74, &["permission denied"]);
        assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
        set_mode(&closed, 0o755);
    }
}

#[test]
fn engines_unknown_or_not_in_this_build() {
    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("store").display().to_string();
    let words = ["unknown engine leveldb", "redb"];
    all_refused(place.path(), &format!("leveldb:{nowhere}"), 2, &words);
    run(["demo", "--engine", "leveldb"]).refused(2, &words);
    for engine in EngineName::ALL
        .into_iter()
        .filter(|engine| !engine.is_compiled())
    {
        let words = [engine.as_str(), "not compiled in", "feature", "mem"];
        all_refused(place.path(), &format!("{engine}:{nowhere}"), 5, &words);
        run(["demo", "--engine", engine.as_str()]).refused(5, &words);
    }
    if EngineName::ALL.into_iter().all(EngineName::is_compiled) {
        eprintln!("SKIPPED: every engine is in this build, so none can be missing from it");
    }
    // Another process finds nothing in memory.
    for command in commands("mem:", "unused") {
        if command[0] != "import" {
            run(&command).refused(5, &["in memory"]);
        }
    }
}

#[test]
fn wrong_command_lines() {
    run(["stat"]).refused(2, &["--store"]);
    run(["stat", "--store", ""]).refused(2, &["--store"]);
    run(["stat", "--store", "redb:"]).refused(2, &["missing its path"]);
    run(["stat", "--store", "x", "--output", "xml"]).refused(2, &["xml", "jsonl"]);
    run(["frobnicate"]).refused(2, &["frobnicate"]);
    run(["import", "--store", "mem:", "--from", "bitcoin"]).refused(2, &["FILE"]);
    run(["import", "--store", "mem:", "x"]).refused(2, &["--from"]);
    run(["demo", "--blocks", "0"]).refused(2, &["--blocks"]);
    assert_eq!(run::<&str>([]).code, Some(2));
}

#[test]
fn flags_that_make_no_sense_touch_nothing() {
    let Some(engine) = disk_engines().next() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let path = store(engine, place.path());
    let before = snapshot(place.path());
    let store = path.to_str().unwrap();
    let commands: [(&[&str], &str); 17] = [
        (&["list", "--prefix", "00"], "--table"),
        (&["list", "--table", "names", "--start", "0"], "odd number"),
        (&["list", "--table", "names", "--end", "x0"], "hexadecimal"),
        (&["list", "--table", "names", "--limit", "-1"], "'-1'"),
        (&["list", "--output", "html"], "forms of reports"),
        (&["checksum", "--start", "00"], "--table"),
        (
            &["checksum", "--table", "names", "--split", "--start", "00"],
            "cannot be used with",
        ),
        (&["blocks", "list", "--start", "one"], "'one'"),
        (
            &["blocks", "list", "--start", "1", "--hash", "00"],
            "cannot be used",
        ),
        (&["blocks", "get"], "--height"),
        (
            &["get", "--table", "names", "00", "--raw", "--output", "json"],
            "--raw",
        ),
        (&["stat", "--memory-budget-bytes", "0"], "0"),
        (
            &["stat", "-v", "--log-level", "info"],
            "cannot be used with",
        ),
        (&["stat", "--color", "red"], "red"),
        (&["stat", "--write"], "--write"),
        (&["compact", "--write", "--to", "x"], "--to"),
        (&["copy", "--to", ""], "--to"),
    ];
    for (command, words) in commands {
        eprintln!("chainstore {}", command.join(" "));
        run([command, &["--store", store]].concat()).refused(2, &[words]);
        assert_eq!(snapshot(place.path()), before, "{command:?}");
    }
    // A range that is reversed or of nothing is empty, as everywhere.
    let empty = [
        "list", "--store", store, "--table", "names", "--start", "05", "--end", "01",
    ];
    assert_eq!(run(empty).ok().text(), "");
}

/// Commands that make stores of their own say where they cannot.
#[test]
fn places_of_work_that_cannot_be_made() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let before = snapshot(place.path());
    let name = file.to_str().unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("demo").env("TMPDIR", &file);
    run_command(command).refused(74, &["cannot make a temporary directory", name]);
    if cfg!(feature = "conform") {
        let conform = ["conform", "--engine", "mem", "--dir", name];
        run(conform).refused(74, &["making", name]);
    }
    if cfg!(feature = "bench") {
        let bench = ["bench", "--engines", "mem", "--dir", name];
        run(bench).refused(74, &["making", name]);
        let bench = ["bench", "--engines", "mem", "--out", name];
        run(bench).refused(74, &["making", name]);
    }
    assert_eq!(snapshot(place.path()), before);
}

#[test]
fn the_store_can_be_named_by_the_environment() {
    let Some(engine) = disk_engines().next() else {
        eprintln!("SKIPPED: no engine of this build keeps anything");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let path = store(engine, place.path());
    let mut command = Command::new(PROGRAM);
    command
        .args(["list", "--output", "json"])
        .env("CHAINSTORE_STORE", &path);
    let json = run_command(command).ok().json();
    assert_eq!(json["rows"][0]["name"], "names");
}
