//! `strace` as the hand that kills or fails a child at a chosen system call, and as the witness of
//! which one it was.
//!
//! Invariants: it is attached only while the child waits, so that nothing but the part under test
//! is counted; the count of an injection is one of its kind of call and of a thread, so a sweep
//! goes kind by kind up to the most that any thread made; what threads beside the busiest do is
//! reached by counting the calls on one file alone; a process that is killed at a call has not made
//! it. Detaching leaves the child running and lifts the fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::HOME;

/// Calls that change files or what is known of them, and those that take memory for them. The
/// question mark lets a machine lack a call.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "msync",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "copy_file_range",
    "sendfile",
    "openat",
    "open",
    "creat",
    "mmap",
];

/// The call by which a child speaks.
const WORD: &str = "sendto";

/// What is done to the child at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// `SIGKILL`.
    Kill,
    /// This error, by its name, once.
    Error(&'static str),
    /// This error at this call and every later one of its kind, until the fault is lifted.
    ErrorFrom(&'static str),
    /// The call does nothing and says that it wrote nothing: the shortest short write.
    NothingWritten,
}

impl Blow {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Kill => "KILL".to_owned(),
            Self::Error(errno) => errno.to_owned(),
            Self::ErrorFrom(errno) => format!("{errno}+"),
            Self::NothingWritten => "short".to_owned(),
        }
    }
}

/// A call of a child, by kind and by count in its thread.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The call's name.
    pub call: String,
    /// Which one of that name, from 1.
    pub count: usize,
    /// The file on which the calls are counted; without one all are.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.count)?;
        match &self.file {
            Some(file) => write!(f, " on {}", file.display()),
            None => Ok(()),
        }
    }
}

/// Which calls a sweep of kills strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All that touch files.
    Files,
    /// Those that change a file or a name. A kill at any other leaves what a kill at the next of
    /// these leaves.
    Changes,
}

/// An attached `strace`.
#[derive(Debug)]
pub struct Strace {
    tracer: Child,
    log: PathBuf,
}

/// Whether there is an `strace` that may attach to a child; the reason why not otherwise.
///
/// # Errors
/// The reason, in words.
pub fn usable() -> Result<(), String> {
    let mut sleeper = Command::new("sleep")
        .arg("30")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("no program `sleep`: {error}"))?;
    let attached = Strace::attach(sleeper.id(), None, Path::new("/dev/null"));
    let usable = attached
        .map(Strace::lift)
        .map_err(|error| format!("no usable strace: {error}"));
    let _ended = sleeper.kill().and_then(|()| sleeper.wait());
    usable
}

impl Strace {
    /// Attaches to a process that waits, to log its calls and to strike at one of them.
    ///
    /// # Errors
    /// When `strace` is not there or may not.
    pub fn attach(process: u32, blow: Option<(Blow, &Point)>, log: &Path) -> io::Result<Self> {
        let calls: Vec<String> = CALLS.iter().map(|call| format!("?{call}")).collect();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-y", "-s", "0", "-p", &process.to_string(), "-o"])
            .arg(log)
            .arg("-e")
            .arg(format!("trace={WORD},{}", calls.join(",")));
        if let Some((blow, Point { call, count, file })) = blow {
            if let Some(file) = file {
                command.arg("-P").arg(file);
            }
            let what = match blow {
                Blow::Kill => format!("signal=KILL:when={count}"),
                Blow::Error(errno) => format!("error={errno}:when={count}"),
                Blow::ErrorFrom(errno) => format!("error={errno}:when={count}+"),
                Blow::NothingWritten => format!("retval=0:when={count}"),
            };
            command.arg("-e").arg(format!("inject={call}:{what}"));
        }
        let mut tracer = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(stderr) = tracer.stderr.take() {
            let mut lines = BufReader::new(stderr);
            while !said.contains("attached") && lines.read_line(&mut said)? > 0 {}
            // What it says later is about threads that come and go; it must not block on it.
            std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        }
        if !said.contains(" attached") {
            let status = tracer.wait()?;
            return Err(io::Error::other(format!("strace: {status}: {said}")));
        }
        Ok(Self {
            tracer,
            log: log.to_owned(),
        })
    }

    /// Lets the child go; it runs on without faults.
    pub fn lift(mut self) {
        let _gone = self.tracer.kill();
        let _ended = self.tracer.wait();
    }

    /// Waits for the end of the child and reads what it did.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn read(mut self) -> io::Result<Log> {
        self.tracer.wait()?;
        Ok(Log::parse(&String::from_utf8_lossy(&fs::read(&self.log)?)))
    }
}

/// What one thread of a child did, while a log is read.
#[derive(Default)]
struct Thread<'t> {
    all: usize,
    calls: BTreeMap<&'t str, usize>,
    /// The changes, by call and file.
    on_file: BTreeMap<(&'t str, &'t str), usize>,
    /// The place of the last call.
    last: String,
}

/// What a child did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The most calls of each kind in one thread.
    pub most: BTreeMap<String, usize>,
    /// The places, as a call and a file, with how often each was reached.
    pub places: BTreeMap<String, usize>,
    /// What each point was, over all threads.
    pub at: BTreeMap<Point, BTreeSet<String>>,
    /// The points that changed a file or a name, in one thread at least, each with the places that
    /// it changed.
    pub changes: BTreeMap<Point, BTreeSet<String>>,
    /// The last change of each kind on each file.
    pub last_on_file: Vec<Point>,
    /// The same by threads beside the busiest.
    pub last_aside: Vec<Point>,
    /// The places that were struck.
    pub struck: BTreeSet<String>,
    /// Words that the child sent to its parent after the last strike.
    pub words_after: usize,
}

impl Log {
    fn parse(text: &str) -> Self {
        let mut log = Self::default();
        let mut threads: BTreeMap<&str, Thread<'_>> = BTreeMap::new();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once(' ') else {
                continue;
            };
            let rest = rest.trim_start();
            let thread = threads.entry(name).or_default();
            if !rest.starts_with("<... ") {
                let Some((call, arguments)) = rest.split_once('(') else {
                    continue;
                };
                if call == WORD {
                    log.words_after += 1;
                }
                if !CALLS.contains(&call) {
                    continue;
                }
                log.note(thread, call, arguments);
            }
            if rest.contains("(INJECTED)") && !thread.last.is_empty() {
                log.struck.insert(thread.last.clone());
                log.words_after = 0;
            }
        }
        for (call, count) in threads.values().flat_map(|thread| &thread.calls) {
            let most = log.most.entry((*call).to_owned()).or_default();
            *most = (*most).max(*count);
        }
        let busiest = threads.iter().max_by_key(|(_, thread)| thread.all);
        let busiest = busiest.map(|(name, _)| *name);
        log.last_on_file = last_on_file(threads.values());
        let aside = threads.iter().filter(|(name, _)| Some(**name) != busiest);
        log.last_aside = last_on_file(aside.map(|(_, thread)| thread));
        log
    }

    /// Notes that a thread made a call.
    fn note<'t>(&mut self, thread: &mut Thread<'t>, call: &'t str, arguments: &'t str) {
        let count = thread.calls.entry(call).or_default();
        *count += 1;
        thread.all += 1;
        let point = Point {
            call: call.to_owned(),
            count: *count,
            file: None,
        };
        let place = format!("{call} {}", file_in(arguments));
        *self.places.entry(place.clone()).or_default() += 1;
        let opens = call == "open" || call == "openat";
        let makes = ["O_CREAT", "O_TRUNC"]
            .iter()
            .any(|flag| arguments.contains(flag));
        if call != "mmap" && (makes || !opens) {
            let changed = self.changes.entry(point.clone()).or_default();
            changed.insert(place.clone());
            if let Some(path) = path_in(arguments).filter(|path| path.starts_with('/')) {
                *thread.on_file.entry((call, path)).or_default() += 1;
            }
        }
        self.at.entry(point).or_default().insert(place.clone());
        thread.last = place;
    }

    /// Every point whose calls are wanted, kind by kind.
    #[must_use]
    pub fn points(&self, wanted: impl Fn(&str) -> bool) -> Vec<Point> {
        let points = self.at.keys().filter(|point| wanted(&point.call));
        points.cloned().collect()
    }

    /// The points at which each place is reached first, and every `stride`-th of the others.
    #[must_use]
    pub fn sample(&self, points: &[Point], stride: usize) -> Vec<Point> {
        let mut seen = BTreeSet::new();
        let mut taken = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let is_new = self
                .places_at(point)
                .filter(|place| seen.insert((*place).clone()))
                .count()
                > 0;
            if is_new || at % stride.max(1) == 0 {
                taken.push(point.clone());
            }
        }
        taken
    }

    /// The places that a point was, over all threads.
    pub fn places_at(&self, point: &Point) -> impl Iterator<Item = &String> {
        self.at.get(point).into_iter().flatten()
    }

    /// The points of each change of each file by threads beside the busiest, in their order.
    pub fn points_aside(&self) -> impl Iterator<Item = Point> {
        self.last_aside.iter().flat_map(|last| {
            (1..=last.count).map(|count| Point {
                count,
                ..last.clone()
            })
        })
    }

    /// The first change of each file that is this place.
    pub fn points_on_files<'l>(&'l self, place: &'l str) -> impl Iterator<Item = Point> + 'l {
        let here = move |last: &&Point| last.place_on_file().as_deref() == Some(place);
        self.last_on_file.iter().filter(here).map(|last| Point {
            count: 1,
            ..last.clone()
        })
    }

    /// Whether a point, in one thread at least, takes memory and touches no file.
    #[must_use]
    pub fn is_memory(&self, point: &Point) -> bool {
        self.places_at(point).any(|place| place == "mmap memory")
    }
}

/// The last change of each kind on each file by any of these threads.
fn last_on_file<'t>(threads: impl Iterator<Item = &'t Thread<'t>>) -> Vec<Point> {
    let mut last: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (place, count) in threads.flat_map(|thread| &thread.on_file) {
        let most = last.entry(*place).or_default();
        *most = (*most).max(*count);
    }
    let points = last.into_iter().map(|((call, file), count)| Point {
        call: call.to_owned(),
        count,
        file: Some(file.into()),
    });
    points.collect()
}

/// The path that the arguments of a call name.
fn path_in(arguments: &str) -> Option<&str> {
    // A path in quotes is what a call names; one in angle brackets is behind a descriptor. What is
    // in brackets without a path is a remark of strace's.
    let quoted = arguments.split('"').nth(1).filter(|path| !path.is_empty());
    let behind = || {
        let bracketed = arguments.split(['<', '>']).nth(1);
        bracketed.filter(|path| path.starts_with('/'))
    };
    quoted.or_else(behind)
}

/// The file that the arguments of a call name.
fn file_in(arguments: &str) -> String {
    path_in(arguments).map_or_else(|| "memory".to_owned(), general)
}

impl Point {
    /// The place of a point that is counted on one file.
    pub(super) fn place_on_file(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(format!(
            "{} {}",
            self.call,
            general(&file.to_string_lossy())
        ))
    }
}

/// The name of a file, its numbers replaced, so that all of one kind are one.
fn general(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with(HOME) {
        return "the folder around the store".to_owned();
    }
    let mut general = String::new();
    for c in name.chars() {
        if !c.is_ascii_digit() {
            general.push(c);
        } else if !general.ends_with('#') {
            general.push('#');
        }
    }
    general
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_counted_by_thread_and_place() {
        let text = "\
7 openat(AT_FDCWD</x>, \"/x/data/000012.sst\", O_RDONLY) = 3</x/data/000012.sst>
7 pwrite64(3</x/data.redb>, \"\"..., 3, 0) = 3
8 pwrite64(3</x/data.redb>, \"\"..., 3, 0 <unfinished ...>
7 pwrite64(3</x/data.redb>, \"\"..., 3, 0) = 3
8 <... pwrite64 resumed>) = -1 EIO (Input/output error) (INJECTED)
7 mmap(NULL, 8, PROT_READ, MAP_ANONYMOUS, -1, 0) = 0x7f
7 fdatasync(3</x/data.redb>) = ?
7 +++ killed by SIGKILL +++
8 +++ killed by SIGKILL +++
7 mmap(NULL, 8, PROT_READ, MAP_ANONYMOUS, -1, 0 <unfinished ...>
";
        let log = Log::parse(text);
        assert_eq!(log.most.get("pwrite64"), Some(&2));
        assert_eq!(log.places.get("pwrite64 data.redb"), Some(&3));
        assert_eq!(log.places.get("openat #.sst"), Some(&1));
        assert_eq!(log.places.get("mmap memory"), Some(&2));
        assert!(log.struck.contains("pwrite64 data.redb"));
        assert_eq!(log.points(|call| call == "pwrite64").len(), 2);
        // The open reads, and the mapping changes no file.
        assert_eq!(log.changes.len(), 3);
        let asides: Vec<String> = log.points_aside().map(|at| format!("{at:?}")).collect();
        assert_eq!(asides, ["pwrite64 1 on /x/data.redb"]);
        let places: Vec<_> = log.points_aside().map(|at| at.place_on_file()).collect();
        assert_eq!(places, [Some("pwrite64 data.redb".to_owned())]);
    }
}
