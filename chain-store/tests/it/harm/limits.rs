//! Limits of the system that are really reached: a full file system, a file that may not grow, no
//! descriptor left, a directory that may not be written. The child (see `crash`) checks its store
//! after each failure, goes on when there is room again, and this parent judges the store.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use chain_store::EngineName;
use conformance::crash::{Actor, CrashHarness, Mode, Stage, Tally, Wait};
use conformance::scaled;
use storage_api::{ErrorKind, KvStore, OpenOptions, ReadTxn, Schema};

use super::crash::{Crashed, durable, skip};

/// Commits before and after the limit is reached.
const BEFORE: u64 = 5;
const AFTER: u64 = 40;

/// The folder of the mounted file system, for the tests that run inside.
const MOUNTED: &str = "CHAINSTORE_TEST_MOUNTED";

/// Lowers or lifts a soft limit of a child.
fn limit(actor: &Actor, limit: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &actor.id().to_string(), limit]);
    let output = prlimit.output().unwrap();
    assert!(output.status.success(), "{limit}: {output:?}");
}

fn has_program(test: &str, program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        skip(test, &format!("no program `{program}`"));
    }
    there
}

/// A child that has opened a store with some commits, and waits.
fn ready<'h>(harness: &'h Crashed, seed: u64, folder: &Path) -> Stage<'h, Crashed> {
    let stage = Stage::new_in(harness, seed, folder).unwrap().with_ballast();
    stage.make(BEFORE).unwrap();
    stage
}

fn publish(tally: &Tally, wrong: &[String]) {
    tally.publish("faults.jsonl").unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_may_not_grow() {
    if !has_program("a file that may not grow", "prlimit") {
        return;
    }
    for engine in durable() {
        let harness = Crashed(engine);
        let mut tally = Tally::new(engine.as_str(), "files at their size limit");
        let mut wrong = Vec::new();
        for n in 0..scaled(10) {
            let stage = ready(&harness, 20 + n as u64, &std::env::temp_dir());
            let role = stage.role(BEFORE + AFTER, Wait::BeforeWork, Mode::Fault);
            // The signal that comes with the limit ends a process that does not ignore it.
            let plain = stage.command().unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            command.arg(plain.get_program()).args(plain.get_args());
            let mut actor = stage.start_by(command, &role).unwrap();
            actor.wait_until_ready().unwrap();
            // Odd sizes cut a write in its middle.
            let largest = largest_file(&stage.store());
            let bytes = largest / 10 * (n as u64 % 10) + 10_007 * (n as u64 + 1);
            limit(&actor, &format!("--fsize={bytes}:"));
            actor.go_on();
            let process = actor.id().to_string();
            let ended = actor.finish(&mut || {
                let lifted = Command::new("prlimit")
                    .args(["--pid", &process, "--fsize=unlimited:"])
                    .status();
                assert!(lifted.unwrap().success());
            });
            let ended = ended.unwrap();
            tally.add("limits set");
            if let Err(error) = stage.judge_failed(&role, &ended, &["DiskFull", "Io"], &mut tally) {
                wrong.push(format!("{engine}, {bytes} bytes at most: {error}"));
            }
        }
        publish(&tally, &wrong);
    }
}

fn largest_file(folder: &Path) -> u64 {
    let mut largest = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        let bytes = if about.is_dir() {
            largest_file(&entry.path())
        } else {
            about.len()
        };
        largest = largest.max(bytes);
    }
    largest
}

/// The limit under which a process can open so many files more.
fn limit_with_free(process: u32, free: usize) -> usize {
    let open: Vec<usize> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|fd| fd.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    (0..).filter(|fd| !open.contains(fd)).nth(free).unwrap()
}

#[test]
fn no_descriptor_left() {
    if !has_program("no descriptor left", "prlimit") {
        return;
    }
    for engine in durable() {
        let harness = Crashed(engine);
        let mut tally = Tally::new(engine.as_str(), "no file descriptor left");
        let mut wrong = Vec::new();
        for wait in [Wait::BeforeOpen, Wait::BeforeWork] {
            for free in 0..scaled(12) {
                let stage = ready(&harness, 50, &std::env::temp_dir());
                let role = stage.role(BEFORE + AFTER, wait, Mode::Fault);
                let mut actor = stage.start(&role).unwrap();
                actor.wait_until_ready().unwrap();
                let descriptors = limit_with_free(actor.id(), free);
                limit(&actor, &format!("--nofile={descriptors}:"));
                actor.go_on();
                let process = actor.id().to_string();
                let ended = actor.finish(&mut || {
                    let lifted = Command::new("prlimit")
                        .args(["--pid", &process, "--nofile=1024:"])
                        .status();
                    assert!(lifted.unwrap().success());
                });
                let ended = ended.unwrap();
                tally.add("limits set");
                let judged = stage.judge_failed(&role, &ended, &["Io"], &mut tally);
                if let Err(error) = judged {
                    wrong.push(format!("{engine}, {wait:?}, {free} free: {error}"));
                }
            }
        }
        publish(&tally, &wrong);
        assert!(failures(&tally) > 0, "{tally}");
    }
}

/// Calls of stores that failed.
fn failures(tally: &Tally) -> u64 {
    let gave = tally
        .counts
        .iter()
        .filter(|(name, _)| name.contains(" gave "));
    gave.map(|(_, count)| count).sum()
}

/// Runs a test of this file again inside a mount namespace of its own, with a small file system
/// mounted on a folder; `false` where that is not possible.
fn inside_small_file_system(test: &str, megabytes: usize) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(MOUNTED) {
        return Some(folder.into());
    }
    let can = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        skip(test, "no permission to mount");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let script =
        format!("mount -t tmpfs -o size={megabytes}m tmpfs '{path}' && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("harm::limits::{test}"), "--nocapture"])
        .env(MOUNTED, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("1 passed"), "{told}");
    None
}

/// Fills a file system until so many bytes are free.
fn fill(folder: &Path, free_bytes: u64) -> PathBuf {
    let filler = folder.join("filler");
    let output = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let available: u64 = text.lines().nth(1).unwrap().trim().parse().unwrap();
    let bytes = available.saturating_sub(free_bytes);
    let mut file = fs::File::create(&filler).unwrap();
    match file.write_all(&vec![1; bytes as usize]) {
        Ok(()) => {}
        // An engine's own threads took space since it was counted: give that much back.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let written = file.metadata().unwrap().len();
            file.set_len(written.saturating_sub(free_bytes)).unwrap();
        }
        Err(error) => panic!("filling {}: {error}", filler.display()),
    }
    filler
}

#[test]
fn a_full_file_system() {
    let Some(folder) = inside_small_file_system("a_full_file_system", 48) else {
        return;
    };
    for engine in durable() {
        let harness = Crashed(engine);
        let mut tally = Tally::new(engine.as_str(), "file system full");
        let mut wrong = Vec::new();
        for n in 0..scaled(16) as u64 {
            let stage = ready(&harness, 80 + n, &folder);
            let role = stage.role(BEFORE + AFTER, Wait::BeforeWork, Mode::Fault);
            let mut actor = stage.start(&role).unwrap();
            actor.wait_until_ready().unwrap();
            let filler = fill(&folder, n * 24_000);
            actor.go_on();
            let mut was_stuck = false;
            let ended = actor.finish(&mut || {
                was_stuck = true;
                fs::remove_file(&filler).unwrap();
            });
            let ended = ended.unwrap();
            tally.add("times full");
            if !was_stuck {
                // Opening again made room, as RocksDB's does by writing its log to tables.
                tally.add("made room by opening again");
                fs::remove_file(&filler).unwrap();
            }
            if let Err(error) = stage.judge_failed(&role, &ended, &["DiskFull"], &mut tally) {
                wrong.push(format!("{engine}, {} bytes free: {error}", n * 24_000));
            }
        }
        publish(&tally, &wrong);
        assert!(
            tally.count("never stuck") < tally.count("times full"),
            "{tally}"
        );
    }
}

/// What a store does that may be read and not written; `permit` allows and forbids writing.
fn judge_unwritable(engine: EngineName, folder: &Path, forbid: &dyn Fn(bool)) {
    let harness = Crashed(engine);
    let stage = ready(&harness, 90, folder);
    let missing = stage.store().with_file_name("missing");
    let schema = Schema::empty();
    forbid(true);
    let before = listing(&stage.store());
    let write = harness.open(&stage.store(), &schema, &OpenOptions::new());
    let made = harness.open(&missing, &schema, &OpenOptions::new());
    for refused in [write.map(drop), made.map(drop)] {
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Io { .. } | ErrorKind::PermissionDenied { .. }
            ),
            "{engine}: {error:?}"
        );
    }
    let store = harness
        .open(&stage.store(), &schema, &OpenOptions::read_only())
        .unwrap();
    let seq = store.begin_read().unwrap().commit_seq().unwrap();
    assert_eq!(seq.get(), BEFORE);
    let refused = store.begin_write().map(drop).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::ReadOnly);
    drop(store);
    assert_eq!(listing(&stage.store()), before, "{engine}");
    forbid(false);
    assert!(!missing.exists());
    stage.judge(BEFORE, BEFORE).unwrap();
}

/// Every file below a folder with its size and time.
fn listing(folder: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        all.push((entry.path(), about.len(), about.modified().unwrap()));
        if about.is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_read_only_file_system() {
    let Some(folder) = inside_small_file_system("a_read_only_file_system", 64) else {
        return;
    };
    for engine in durable() {
        judge_unwritable(engine, &folder, &|forbidden| {
            let how = if forbidden {
                "remount,ro"
            } else {
                "remount,rw"
            };
            let status = Command::new("mount")
                .args(["-o", how])
                .arg(&folder)
                .status()
                .unwrap();
            assert!(status.success(), "{how}");
        });
    }
}

#[cfg(unix)]
#[test]
fn a_directory_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let test = "a_directory_without_permission";
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let closed = folder.path().join("probe");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).unwrap();
    if fs::write(closed.join("file"), b"").is_ok() {
        // Nothing is forbidden to root: be someone else, with a copy of the program that anyone may
        // run.
        let program = folder.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["--exact", &format!("harm::limits::{test}"), "--nocapture"])
            .current_dir(folder.path())
            .output();
        match output {
            Ok(output) => {
                let told = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{told}\n{errors}");
            }
            Err(error) => skip(test, &format!("root, and no setpriv: {error}")),
        }
        return;
    }
    for engine in durable() {
        let home = tempfile::tempdir().unwrap();
        judge_unwritable(engine, home.path(), &|forbidden| {
            for (path, is_folder) in below(home.path()) {
                let mode = match (is_folder, forbidden) {
                    (true, true) => 0o555,
                    (true, false) => 0o755,
                    (false, true) => 0o400,
                    (false, false) => 0o600,
                };
                fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            }
        });
    }
}

/// A folder and all below it, and whether each is a folder.
fn below(folder: &Path) -> Vec<(PathBuf, bool)> {
    let mut all = vec![(folder.to_owned(), true)];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(below(&entry.path()));
        } else {
            all.push((entry.path(), false));
        }
    }
    all
}
