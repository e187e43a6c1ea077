//! Bulk loads that end badly: a child that is killed with `SIGKILL` while it gathers, merges or
//! commits, and one that may not write what it spills. The next opening finds all of the load or
//! nothing, and no file of it. The child is this very test binary, which a variable turns into one.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use conformance::scaled;
use storage_api::{
    BulkOptions, BulkReport, CommitSeq, Durability, ErrorKind, KvStore, KvStoreExt, ReadTxn,
    Reader, ReaderExt, Result, Schema, TableDef, TableId, WriteBatch, Writer,
};

use crate::harm::crash::{durable, skip};

const ROWS: TableDef = TableDef::new("rows");

const PLAY: &str = "CHAINSTORE_TEST_BULK_PLAYS";
const ENGINE: &str = "CHAINSTORE_TEST_BULK_ENGINE";
const STORE: &str = "CHAINSTORE_TEST_BULK_STORE";

/// Rows of a load: more than the least memory, so that they are spilled.
const LOADED: u32 = 6_000;
const VALUE_BYTES: usize = 500;

/// Longest wait between telling the child to go on and its death, in milliseconds; waits are spread
/// over this by a stride that has no divisor in common with it.
const WAIT_MAX_MS: u64 = 80;

/// What the child says before it waits to be told to go on.
const GATHERED: &str = "gathered";
/// What the child says once the load is finished.
const DONE: &str = "done";

fn open(engine: EngineName, path: &Path) -> AnyStore {
    let opener = Opener {
        schema: Schema::new(&[ROWS]).unwrap(),
        ..Opener::default()
    };
    let url = StoreUrl::Engine(engine, path.to_owned());
    opener.open(&url).unwrap().0
}

fn table(store: &AnyStore) -> TableId {
    store.catalogue().id(ROWS.name()).unwrap()
}

/// The key of a row of the load, in an order that is not that of the keys.
fn key(number: u32) -> [u8; 4] {
    number.wrapping_mul(0x9e37_79b1).to_be_bytes()
}

fn value(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(VALUE_BYTES / 4)
}

fn tight() -> BulkOptions {
    let mut options = BulkOptions::default();
    options.memory_budget_bytes = 0;
    options
}

/// Loads everything; `gathered` runs before the end.
fn load(store: &AnyStore, gathered: impl FnOnce()) -> Result<BulkReport> {
    let mut load = store
        .as_bulk()
        .unwrap()
        .begin_bulk(table(store), &tight())?;
    for number in 0..LOADED {
        load.put(&key(number), &value(number))?;
    }
    gathered();
    load.finish()
}

/// Commits the one row that every store here has before its load.
fn make(engine: EngineName, path: &Path) -> CommitSeq {
    let store = open(engine, path);
    let mut batch = WriteBatch::new();
    batch.put(table(&store), b"before", b"v").unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
    store.begin_read().unwrap().commit_seq().unwrap()
}

/// Not a test of its own: the body of the child, which the tests below start.
#[test]
fn child_process() {
    let Ok(play) = std::env::var(PLAY) else {
        return;
    };
    let engine: EngineName = std::env::var(ENGINE).unwrap().parse().unwrap();
    let path = std::env::var(STORE).unwrap();
    let path = Path::new(&path);
    let store = open(engine, path);
    match play.as_str() {
        "load" => {
            load(&store, || {
                say(GATHERED);
                let mut word = [0];
                std::io::stdin().read_exact(&mut word).unwrap();
            })
            .unwrap();
            say(DONE);
        }
        "spill" => refused_spill(&store, path),
        other => panic!("no play {other:?}"),
    }
    // What the test runner would still write is not part of the child's life.
    std::process::exit(0);
}

fn say(word: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

/// Limits the size of this process's files.
fn limit_files(limit: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &std::process::id().to_string(), limit]);
    assert!(prlimit.status().unwrap().success(), "{limit}");
}

/// A load whose first run may not be written in full leaves nothing, and the store goes on.
fn refused_spill(store: &AnyStore, path: &Path) {
    limit_files("--fsize=300000:");
    let refused = load(store, || ()).unwrap_err();
    limit_files("--fsize=unlimited:");
    assert!(
        matches!(refused.kind(), ErrorKind::DiskFull | ErrorKind::Io { .. }),
        "{refused:?}"
    );
    assert!(!path.join("bulk").exists(), "files of the failed load");
    let rows = |store: &AnyStore| store.view(|view| view.count_exact(table(store))).unwrap();
    assert_eq!(rows(store), 1, "rows after the failed load");
    let report = load(store, || ()).unwrap();
    assert_eq!(report.rows, u64::from(LOADED));
    assert!(report.spilled_runs > 0, "{report:?}");
    assert_eq!(rows(store), u64::from(LOADED) + 1);
}

fn child(mut command: Command, play: &str, engine: EngineName, store: &Path) -> Command {
    command
        .args(["--exact", "bulk::child_process", "--nocapture"])
        .env(PLAY, play)
        .env(ENGINE, engine.as_str())
        .env(STORE, store);
    command
}

/// Reads what the child says up to this word; whether it came.
fn hear(out: &mut BufReader<ChildStdout>, word: &str) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        if out.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        // The test runner begins the line that the first word is in.
        if line.trim_end().ends_with(word) {
            return true;
        }
    }
}

/// Kills a child and says whether it had finished its load.
fn kill(mut child: Child, mut out: BufReader<ChildStdout>) -> bool {
    child.kill().unwrap();
    child.wait().unwrap();
    hear(&mut out, DONE)
}

/// All of the load is there or nothing, and nothing beside it; gives whether it is there.
fn judge(engine: EngineName, path: &Path, before: CommitSeq, finished: bool) -> bool {
    let store = open(engine, path);
    assert!(!path.join("bulk").exists(), "{engine}: files of the load");
    let rows = table(&store);
    let view = store.begin_read().unwrap();
    let found = view.count_exact(rows).unwrap();
    let is_there = found > 1;
    let seq = view.commit_seq().unwrap();
    assert!(is_there || !finished, "{engine}: a finished load is gone");
    if is_there {
        assert_eq!(found, u64::from(LOADED) + 1, "{engine}: a part of the load");
        for number in 0..LOADED {
            let expected = value(number);
            let get = view.get(rows, &key(number)).unwrap();
            assert_eq!(
                get.as_deref(),
                Some(&expected[..]),
                "{engine}: row {number}"
            );
        }
        // RocksDB numbers a load after its rows; see the decision record 0011.
        let unnumbered = engine.as_str() == "rocks" && !finished && seq == before;
        assert!(seq == before.next() || unnumbered, "{engine}: {seq:?}");
    } else {
        assert_eq!(seq, before, "{engine}: a number without its load");
    }
    assert!(view.get(rows, b"before").unwrap().is_some(), "{engine}");
    drop(view);
    let report = store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    assert!(report.is_sound(), "{engine}: {report:?}");
    let again = load(&store, || ()).unwrap();
    assert_eq!(again.rows, u64::from(LOADED), "{engine}: the load after");
    is_there
}

#[test]
fn a_killed_load_is_there_or_not() {
    for engine in durable() {
        let kills = scaled(30).max(5);
        let mut there = 0;
        for kill_number in 0..kills {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store");
            let before = make(engine, &path);
            let command = Command::new(std::env::current_exe().unwrap());
            let mut child = child(command, "load", engine, &path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            assert!(hear(&mut out, GATHERED), "{engine}: the child ended early");
            // What is to be swept: runs that were spilled.
            assert!(path.join("bulk").exists(), "{engine}: nothing was spilled");
            if kill_number > 0 {
                child.stdin.take().unwrap().write_all(b"g").unwrap();
                // The second is killed when it is done, the others at any time.
                if kill_number == 1 {
                    assert!(hear(&mut out, DONE), "{engine}: the load did not end");
                    child.kill().unwrap();
                    child.wait().unwrap();
                    assert!(judge(engine, &path, before, true), "{engine}");
                    there += 1;
                    continue;
                }
                thread::sleep(Duration::from_millis(kill_number as u64 * 37 % WAIT_MAX_MS));
            }
            let finished = kill(child, out);
            let found = judge(engine, &path, before, finished);
            assert!(kill_number > 0 || !found, "{engine}: rows before the end");
            there += usize::from(found);
        }
        println!("{engine}: {kills} kills, {there} loads were there");
    }
}

#[test]
fn a_spill_that_cannot_be_written_leaves_nothing() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        skip("a spill that cannot be written", "no program `prlimit`");
        return;
    }
    for engine in durable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let before = make(engine, &path);
        // The signal that comes with the limit ends a process that does not ignore it.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        command.arg(std::env::current_exe().unwrap());
        let output = child(command, "spill", engine, &path).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{engine}: {words}");
        assert!(judge(engine, &path, before, true), "{engine}");
    }
}
