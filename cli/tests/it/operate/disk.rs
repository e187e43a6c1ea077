//! Disks that are full or read-only, and outputs that take nothing: the error says it, and what was
//! committed is there.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chain_store::EngineName;

use super::{is_missing, store};
use crate::refuse::{set_mode, unprivileged};
use crate::support::{PROGRAM, Ran, disk_engines, run, run_command, snapshot, spawn};

/// Whether this process may mount file systems of its own, which nobody else sees.
fn cannot_mount() -> bool {
    let made = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    let can = made.is_ok_and(|output| output.status.success());
    is_missing("the right to mount a file system", can)
}

/// A small file system of its own, with a copy of a store in it, and what is done there.
struct Disk {
    place: tempfile::TempDir,
    script: String,
    runs: usize,
}

impl Disk {
    fn new(engine: EngineName, mebibytes: u32) -> Self {
        let place = tempfile::tempdir().unwrap();
        store(engine, &place.path().join("made"), 10);
        let folder = place.path().display();
        fs::create_dir(place.path().join("disk")).unwrap();
        let script = format!(
            "set -eu\nmount -t tmpfs -o size={mebibytes}m tmpfs '{folder}/disk'\n\
             cp -r '{folder}/made/store' '{folder}/disk/store'\ncd '{folder}/disk'\n"
        );
        Self {
            place,
            script,
            runs: 0,
        }
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Any command.
    fn shell(&mut self, line: &str) {
        self.script.push_str(line);
        self.script.push('\n');
    }

    /// The program; the number is that of what it came to.
    fn program(&mut self, args: &str) -> usize {
        let at = self.runs;
        self.runs += 1;
        let file = |name: &str| self.outside(&format!("{at}.{name}")).display().to_string();
        let (out, err, code) = (file("out"), file("err"), file("code"));
        self.shell(&format!(
            "set +e; '{PROGRAM}' {args} >'{out}' 2>'{err}' </dev/null; echo $? >'{code}'; set -e"
        ));
        at
    }

    /// Does it all, and gives what each run came to.
    fn done(&self) -> Vec<Ran> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &self.script]);
        run_command(command).ok();
        let read = |at: usize, name: &str| fs::read(self.outside(&format!("{at}.{name}"))).unwrap();
        let text = |at, name| String::from_utf8(read(at, name)).unwrap();
        let ran = |at| Ran {
            code: text(at, "code").trim().parse().ok(),
            stdout: read(at, "out"),
            stderr: text(at, "err"),
        };
        (0..self.runs).map(ran).collect()
    }
}

/// Rows of 8 KiB each, as lines.
fn rows(count: u32) -> String {
    let value = "ab".repeat(8 << 10);
    let line = |number: u32| format!("{{\"key\":\"ff{number:06x}\",\"value\":\"{value}\"}}\n");
    (0..count).map(line).collect()
}

#[test]
fn a_full_disk() {
    if cannot_mount() {
        return;
    }
    for engine in disk_engines() {
        let mut disk = Disk::new(engine, 16);
        fs::write(disk.outside("rows.jsonl"), rows(4_096)).unwrap();
        fs::write(disk.outside("one.jsonl"), rows(1)).unwrap();
        disk.shell("dd if=/dev/zero of=ballast bs=1M count=4 2>/dev/null");
        let names = "--store ./store --table names";
        let put = disk.program(&format!("put {names} --write --from-jsonl ../rows.jsonl"));
        let read = disk.program("checksum --store ./store");
        let list = disk.program(&format!("list {names} --output jsonl"));
        // Whatever room is left is filled, so that nothing can be made.
        disk.shell("dd if=/dev/zero of=rest bs=4k 2>/dev/null || true");
        let copy = disk.program("copy --store ../made/store --to ./copy");
        disk.shell("test ! -e copy/CHAINSTORE");
        disk.shell("rm -f ballast rest");
        let verify = disk.program("verify --store ./store");
        let again = disk.program(&format!("put {names} --write --from-jsonl ../one.jsonl"));
        let last = disk.program("checksum --store ./store");
        let ran = disk.done();
        let words = ["no space left on the device", "hint:", "free some space"];
        eprintln!("{engine}: {}", ran[put]);
        assert_eq!(ran[put].code, Some(74), "{engine}: {}", ran[put]);
        for word in words {
            assert!(ran[put].stderr.contains(word), "{engine}: {}", ran[put]);
            assert!(ran[copy].stderr.contains(word), "{engine}: {}", ran[copy]);
        }
        assert_eq!(ran[copy].code, Some(74), "{engine}: {}", ran[copy]);
        for at in [read, list, verify, again, last] {
            assert_eq!(ran[at].code, Some(0), "{engine}: run {at}: {}", ran[at]);
        }
        // What it said to be committed is there, with the rows of before.
        let said = ran[put].stderr.lines();
        let committed = said
            .filter_map(|line| line.strip_prefix("chainstore: "))
            .find_map(|line| line.strip_suffix(" rows before the error are committed"));
        let committed: usize = committed.map_or(0, |it| it.replace(',', "").parse().unwrap());
        let there = ran[list].text().lines().count();
        assert!(there >= 10 + committed, "{engine}: {there} of {committed}");
    }
}

#[test]
fn a_read_only_file_system() {
    if cannot_mount() {
        return;
    }
    for engine in disk_engines() {
        let mut disk = Disk::new(engine, 32);
        disk.shell("mount -o remount,ro .");
        let names = "--store ./store --table names";
        let reads = [
            disk.program("stat --store ./store --digest"),
            disk.program(&format!("list {names}")),
            disk.program(&format!("get {names} 00000001")),
            disk.program("checksum --store ./store"),
            disk.program("verify --store ./store"),
            disk.program("copy --store ./store --to ../copy"),
        ];
        let writes = [
            disk.program(&format!("put {names} --write --key 01 --value 02")),
            disk.program(&format!("delete {names} --write --key 00000001")),
            disk.program("compact --store ./store --write"),
            disk.program("copy --store ./store --to ./copy"),
            disk.program("man --dir ./man"),
        ];
        let ran = disk.done();
        for at in reads {
            assert_eq!(ran[at].code, Some(0), "{engine}: run {at}: {}", ran[at]);
        }
        for at in writes {
            let ran = &ran[at];
            assert_eq!(ran.code, Some(74), "{engine}: run {at}: {ran}");
            assert!(ran.stdout.is_empty(), "{ran}");
            let said = ran.stderr.to_lowercase();
            assert!(said.contains("read-only file system"), "{engine}: {ran}");
        }
        assert!(disk.outside("copy/CHAINSTORE").exists());
    }
}

/// Everything below a folder may be read by everybody and changed by its owner alone.
fn show_everybody(folder: &Path) {
    for (path, (content, _)) in snapshot(folder) {
        set_mode(&path, if content.is_some() { 0o644 } else { 0o755 });
    }
    set_mode(folder, 0o755);
}

#[test]
fn rights_that_are_missing() {
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 10);
        let closed = place.path().join("closed");
        fs::create_dir(&closed).unwrap();
        let program = place.path().join("chainstore");
        fs::copy(PROGRAM, &program).unwrap();
        let secret = place.path().join("secret");
        fs::write(&secret, "{\"key\":\"01\",\"value\":\"02\"}\n").unwrap();
        show_everybody(place.path());
        set_mode(&program, 0o755);
        // Whoever runs the tests without being root owns these, so they lose their own rights.
        for folder in ["store", "closed"] {
            for (path, (content, _)) in snapshot(&place.path().join(folder)) {
                set_mode(&path, if content.is_some() { 0o444 } else { 0o555 });
            }
            set_mode(&place.path().join(folder), 0o555);
        }
        set_mode(&secret, 0);
        let before = snapshot(&place.path().join("store"));
        let secret = secret.to_str().unwrap();
        let target = closed.join("copy").display().to_string();
        let pages = closed.join("man").display().to_string();
        let names = ["--store", &store, "--table", "names", "--write"];
        let commands: [(Vec<&str>, &str); 8] = [
            (
                vec!["copy", "--store", &store, "--to", &target],
                "closed/copy",
            ),
            (vec!["man", "--dir", &pages], "closed/man"),
            (vec!["compact", "--store", &store, "--write"], "store"),
            (
                [&["put"], &names[..], &["--key", "01", "--value", "02"]].concat(),
                "store",
            ),
            (
                [&["delete"], &names[..], &["--key", "00000001"]].concat(),
                "store",
            ),
            (
                [&["put"], &names[..], &["--from-jsonl", secret]].concat(),
                "secret",
            ),
            (
                [
                    &["put"],
                    &names[..],
                    &["--key", "01", "--value-file", secret],
                ]
                .concat(),
                "secret",
            ),
            (vec!["version", "--config", secret], "secret"),
        ];
        for (args, words) in commands {
            let ran = unprivileged(&program, &args);
            ran.refused(74, &["ermission denied", words]);
        }
        // To read, the right to read is enough.
        unprivileged(&program, &["stat", "--store", &store, "--digest"]).ok();
        assert_eq!(snapshot(&place.path().join("store")), before, "{engine}");
        assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
        for folder in ["store", "closed"] {
            show_everybody(&place.path().join(folder));
        }
    }
}

/// The program with its standard output there.
fn run_to(out: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null());
    let out = fs::OpenOptions::new().write(true).open(out).unwrap();
    command.stdout(out).stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    assert_eq!(output.status.signal(), None);
    Ran {
        code: output.status.code(),
        stdout: Vec::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn an_output_that_takes_nothing() {
    let full = Path::new("/dev/full");
    if is_missing("/dev/full", full.exists()) {
        return;
    }
    for engine in disk_engines() {
        let place = tempfile::tempdir().unwrap();
        let store = store(engine, place.path(), 100);
        let commands: [&[&str]; 7] = [
            &["list", "--store", &store, "--table", "names"],
            &[
                "get", "--store", &store, "--table", "names", "00000001", "--raw",
            ],
            &["stat", "--store", &store],
            &["checksum", "--store", &store, "--output", "json"],
            &["completions", "bash"],
            &["man"],
            &["config", "show", "--output", "jsonl"],
        ];
        for command in commands {
            let words = ["cannot write to standard output", "o space left"];
            run_to(full, command).refused(74, &words);
        }
        // What was written stays written: the output is about it and no part of it.
        let put = [
            "put", "--store", &store, "--table", "names", "--key", "77", "--value", "01", "--write",
        ];
        run_to(full, &put).refused(74, &["cannot write to standard output"]);
        let get = ["get", "--store", &store, "--table", "names", "77"];
        assert_eq!(run(get).ok().text(), "0x01\n");
    }
}

#[test]
fn a_reader_of_anything_may_go_away() {
    let commands = [&["completions", "zsh"][..], &["man"], &["config", "show"]];
    for args in commands {
        let mut command = Command::new(PROGRAM);
        command.args(args).stdin(Stdio::null());
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        drop(child.stdout.take());
        child.stdout = None;
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}
