//! Running the program, reading what it says, and looking at directories.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain_store::EngineName;
use serde_json::Value;

/// The program itself.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chainstore");
/// A program that hangs fails its test.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Held to write while this process itself has a store open, and to read while it starts another
/// process: between `fork` and `exec` that one has every file of this one, locks included.
static STORES: RwLock<()> = RwLock::new(());

/// Keeps other tests from starting processes, for as long as a store is open in this one.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    STORES.write().unwrap_or_else(PoisonError::into_inner)
}

/// Starts any process; it has taken over when this returns.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _no_store_is_open = STORES.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Runs the program with these arguments.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    run_command(command)
}

/// Runs a prepared command.
pub(crate) fn run_command(mut command: Command) -> Ran {
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    finish(child)
}

/// Starts the program and does not wait for it.
pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null());
    spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

fn gather(pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe;
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for the end of a process, and ends it itself when that takes too long.
pub(crate) fn finish(mut child: Child) -> Ran {
    let stdout = gather(child.stdout.take().unwrap());
    let stderr = gather(child.stderr.take().unwrap());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > TIME_LIMIT {
            child.kill().unwrap();
            panic!("a process took too long: {child:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ran {
        code,
        stdout: stdout.join().unwrap(),
        stderr: String::from_utf8(stderr.join().unwrap()).unwrap(),
    }
}

/// Sends a signal to a process by its number.
pub(crate) fn signal(child: &Child, name: &str) {
    let mut command = Command::new("kill");
    command.args([format!("-{name}"), child.id().to_string()]);
    run_command(command).ok();
}

/// Waits until something is so, and fails when that takes too long.
pub(crate) fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < TIME_LIMIT, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Ran {
    /// It ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// It ended with this code, said these words on standard error and nothing on standard output.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(self.stdout.is_empty(), "{self}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {self}");
        }
        self
    }

    /// Standard output as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as one JSON document of schema 1.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value =
            serde_json::from_slice(&self.stdout).unwrap_or_else(|_| panic!("{self}"));
        assert_eq!(value["schema"], 1, "{self}");
        value
    }

    /// Standard output as JSON lines, each of schema 1.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines: Vec<Value> = self
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.iter().all(|line| line["schema"] == 1), "{self}");
        lines
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let out = String::from_utf8_lossy(&self.stdout);
        write!(
            f,
            "code {:?}\nstdout: {out}\nstderr: {}",
            self.code, self.stderr
        )
    }
}

/// The compiled engines that keep something on disk.
pub(crate) fn disk_engines() -> impl Iterator<Item = EngineName> {
    let on_disk = |engine: &EngineName| *engine != EngineName::Mem;
    if !EngineName::compiled().any(|engine| on_disk(&engine)) {
        eprintln!("SKIPPED: no engine of this build keeps anything on disk");
    }
    EngineName::compiled().filter(on_disk)
}

/// A URL of an engine in a folder.
pub(crate) fn url(engine: EngineName, folder: &Path) -> String {
    match engine {
        EngineName::Mem => "mem:".to_owned(),
        engine => format!("{engine}:{}", folder.join("store").display()),
    }
}

/// Every file and folder below a path, with its content and its time of change.
pub(crate) fn snapshot(path: &Path) -> BTreeMap<PathBuf, (Option<Vec<u8>>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let content = if about.is_dir() {
                folders.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            found.insert(path, (content, about.modified().unwrap()));
        }
    }
    found
}

/// The path of a file of real chain data; `None`, visibly, where there is none.
pub(crate) fn real_file(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/realdata");
    let root = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(|| root.into(), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    let must = std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!must, "{} is absent", path.display());
    eprintln!(
        "SKIPPED: {} is absent (CHAINSTORE_REALDATA names its folder)",
        path.display()
    );
    None
}

/// The seed of random choices, printed so that a failure repeats.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("CHAINSTORE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(20_090_112);
    eprintln!("CHAINSTORE_SEED={seed}");
    seed
}

/// Reads on until these words came, and fails when the other end closes before.
pub(crate) fn read_until(from: &mut impl Read, words: &str) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&text).contains(words) {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{words:?} did not come");
        text.extend(byte);
    }
}
