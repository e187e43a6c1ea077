//! What needs a process of its own: killed readers, a device without room, a read-only mount, a
//! user without permission.
//!
//! A role is an ignored test that this program runs again by name; it talks over its standard
//! output.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use backend_kit::{CommitFailure, RawBatch, RawEngine};
use backend_lmdb::{LmdbEngine, LmdbOptions};
use storage_api::{
    Count, Durability, Error, ErrorKind, KeyRange, OpenOptions, Reader, Result, Writer,
};

use crate::open::contents;
use crate::setup::{LOG, ROWS, aborted, open, open_read_only, open_with, put_all, rows, tables};

const DIRECTORY: &str = "BACKEND_LMDB_TEST_DIRECTORY";

fn directory() -> std::path::PathBuf {
    std::env::var_os(DIRECTORY).unwrap().into()
}

fn role(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--ignored",
        "--exact",
        &format!("child::{name}"),
        "--nocapture",
    ]);
    command.env(DIRECTORY, directory);
    command
}

/// Runs a role under a shell that first runs `before`.
fn role_after(before: &str, name: &str, directory: &Path) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!("{before} && exec \"$0\" \"$@\""))
        .arg(program)
        .args([
            "--ignored",
            "--exact",
            &format!("child::{name}"),
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .output()
        .unwrap()
}

/// Whether this process may make mounts of its own; said aloud when not.
fn can_mount(test: &str) -> bool {
    let made = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    let can = made.is_ok_and(|output| output.status.success());
    if !can {
        println!("SKIPPED {test}: no permission to mount");
    }
    can
}

fn expect_success(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "the role did not run: {text}");
    text
}

fn small() -> LmdbOptions {
    LmdbOptions {
        readers_max: 6,
        ..LmdbOptions::default()
    }
}

fn open_small(directory: &Path) -> LmdbEngine {
    open_with(directory, &tables(), &OpenOptions::new(), &small())
        .unwrap()
        .0
}

#[test]
#[ignore = "a role, run by killed_readers_give_their_slots_back"]
fn hold_every_slot() {
    let engine = open_small(&directory());
    let _views = engine.views(6).unwrap();
    println!("\nready");
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[test]
fn killed_readers_give_their_slots_back() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_small(directory.path());
    put_all(&engine, ROWS, &[(b"k", b"v")]);
    let mut child = role("hold_every_slot", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"));
    // While it lives, its slots are its own.
    let taken = engine.view().unwrap_err();
    assert_eq!(taken.kind(), &ErrorKind::TooManyReaders { max: 6 });
    child.kill().unwrap();
    child.wait().unwrap();
    let views = engine.views(6).unwrap();
    assert_eq!(views[5].get(ROWS, b"k").unwrap(), Some(&b"v"[..]));
}

/// Commits until it fails, and checks that what was committed before is whole.
fn fill_the_device() -> (CommitFailure, LmdbEngine, u32) {
    let engine = open(&directory());
    let mut commits = 0;
    loop {
        match commit_some(&engine, commits) {
            Ok(()) => commits += 1,
            Err(failure) => {
                let view = engine.view().unwrap();
                let expected = u64::from(commits) * 100;
                assert_eq!(view.count(ROWS).unwrap(), Count::Exact(expected));
                assert_eq!(
                    rows(&view, ROWS, KeyRange::all()).unwrap().len() as u64,
                    expected
                );
                return (failure, engine, commits);
            }
        }
    }
}

fn commit_some(engine: &LmdbEngine, number: u32) -> Result<(), CommitFailure> {
    let mut txn = engine.begin().map_err(CommitFailure::Aborted)?;
    for i in 0..100 {
        let key = (number * 100 + i).to_be_bytes();
        txn.put(ROWS, &key, &[i as u8; 900])
            .map_err(CommitFailure::Aborted)?;
    }
    txn.commit(Durability::Durable)
}

#[test]
#[ignore = "a role, run by many_default_maps_fit_beside_each_other"]
fn open_many() {
    // Past 128 TiB of address space the system refuses 1 TiB maps, and smaller ones are taken.
    let engines: Vec<_> = (0..140)
        .map(|i| {
            let path = directory().join(i.to_string());
            std::fs::create_dir(&path).unwrap();
            open(&path)
        })
        .collect();
    let limits = engines
        .iter()
        .map(|engine| engine.space().unwrap().limit_bytes.unwrap());
    assert_eq!(limits.clone().max(), Some(1 << 40));
    assert!(limits.min().unwrap() < 1 << 40);
    put_all(&engines[139], ROWS, &[(b"k", b"v")]);
}

#[test]
fn many_default_maps_fit_beside_each_other() {
    let directory = tempfile::tempdir().unwrap();
    expect_success(&role("open_many", directory.path()).output().unwrap());
}

fn is_device_error(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Io { .. })
}

#[test]
#[ignore = "a role, run by a_file_size_limit_is_reported"]
fn meet_the_limit() {
    let (failure, _, commits) = fill_the_device();
    let (CommitFailure::Aborted(error) | CommitFailure::Unknown(error)) = &failure;
    assert!(is_device_error(error), "{error:?}");
    println!("\nafter {commits} commits: {failure:?}");
}

#[test]
fn a_file_size_limit_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(program)
        .args([
            "--ignored",
            "--exact",
            "child::meet_the_limit",
            "--nocapture",
        ])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    println!("{}", expect_success(&output));
    // Without the limit the store goes on.
    let engine = open(directory.path());
    let rows = engine.view().unwrap().count(ROWS).unwrap().get();
    assert!(rows > 0 && rows.is_multiple_of(100), "{rows}");
    put_all(&engine, LOG, &[(b"k", &vec![1; 5_000_000])]);
}

#[test]
#[ignore = "a role, run by a_full_device_is_reported"]
fn fill_a_small_device() {
    let (failure, engine, commits) = fill_the_device();
    let error = aborted(Err(failure));
    assert_eq!(error.kind(), &ErrorKind::DiskFull, "{error:?}");
    // Compaction finds no room either, and leaves the store as it is.
    assert_eq!(engine.compact().unwrap_err().kind(), &ErrorKind::DiskFull);
    assert!(!directory().join("data.mdb.compacting").exists());
    drop(engine);
    let engine = open(&directory());
    let expected = u64::from(commits) * 100;
    assert_eq!(
        engine.view().unwrap().count(ROWS).unwrap(),
        Count::Exact(expected)
    );
}

#[test]
fn a_full_device_is_reported() {
    if !can_mount("a_full_device_is_reported") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=3m tmpfs '{}'",
        directory.path().display()
    );
    let output = role_after(&mount, "fill_a_small_device", directory.path());
    println!("{}", expect_success(&output));
}

#[test]
#[ignore = "a role, run by a_read_only_mount_is_enough"]
fn read_a_read_only_mount() {
    let path = directory();
    let refused = std::fs::write(path.join("probe"), b"x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let engine = open_read_only(&path).unwrap();
    assert_eq!(
        engine.view().unwrap().get(ROWS, b"k").unwrap(),
        Some(&b"v"[..])
    );
    drop(engine);
    let writing = open_with(
        &path,
        &tables(),
        &OpenOptions::new(),
        &LmdbOptions::default(),
    );
    let error = writing.unwrap_err();
    assert!(is_device_error(&error), "{error:?}");
}

#[test]
fn a_read_only_mount_is_enough() {
    if !can_mount("a_read_only_mount_is_enough") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    put_all(&open(directory.path()), ROWS, &[(b"k", b"v")]);
    let before = contents(directory.path());
    let path = directory.path().display();
    let mount = format!("mount --bind '{path}' '{path}' && mount -o remount,ro,bind '{path}'");
    expect_success(&role_after(
        &mount,
        "read_a_read_only_mount",
        directory.path(),
    ));
    assert!(contents(directory.path()) == before);
}
