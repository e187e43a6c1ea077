//! Single bits flipped in every file of a store of every engine, one at a time, with the checksum
//! envelope and without it; what an application reads then, and what verification says.
//!
//! The store is read in a child process, because an engine's library may crash on damaged files;
//! the child is this very test binary. A child that dies is started again behind the flip that
//! killed it, once more for the verification, which comes after the reads. Seeds are printed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chain_store::{AnyStore, EngineName, Opener, StoreUrl, verify};
use conformance::damage::{
    COMMITS, Content, Figures, Flip, Outcome, Promise, Reading, Specimen, Tally, Verdict,
    Verification,
};
use conformance::scaled;
use storage_api::{ChecksumSetting, ErrorKind, KvStore, OpenOptions};

/// What the child is to do: a path of a [`Job`] as text.
const JOB: &str = "CHAINSTORE_TEST_DAMAGE_JOB";

const SEED: u64 = 0xda3a;

/// A child that says nothing for this long hangs. Long, because a loaded disk takes its time with
/// syncs.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Flips between two that are also tried with a store that is opened for writing.
const WRITABLE_EVERY: usize = 8;

/// What a child is told: where the store is, which flips to try, where to begin.
struct Job {
    url: String,
    root: PathBuf,
    flips: Vec<Flip>,
    first: usize,
    /// The first flip killed the reads, so only its verification is left.
    only_verify_first: bool,
}

impl Job {
    fn to_text(&self) -> String {
        let flips: Vec<String> = self.flips.iter().map(ToString::to_string).collect();
        format!(
            "{}\n{}\n{}\n{}\n{}",
            self.url,
            self.root.display(),
            self.first,
            self.only_verify_first,
            flips.join("\n")
        )
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap();
        Self {
            url: next().to_owned(),
            root: next().into(),
            first: next().parse().unwrap(),
            only_verify_first: next().parse().unwrap(),
            flips: lines.map(|line| Flip::parse(line).unwrap()).collect(),
        }
    }
}

/// Not a test of its own: the body of the child, which the tests below start.
#[test]
fn child_process() {
    let Some(path) = std::env::var_os(JOB) else {
        return;
    };
    let path = PathBuf::from(path);
    let job = Job::parse(&fs::read_to_string(&path).unwrap());
    let mut out = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path.with_extension("out"))
        .unwrap();
    let content = Content::of_seed(SEED);
    let specimen = Specimen::read(&job.root).unwrap();
    let mut say = |line: String| out.write_all(line.as_bytes()).unwrap();
    for (at, flip) in job.flips.iter().enumerate().skip(job.first) {
        specimen.flip(*flip).unwrap();
        if at != job.first || !job.only_verify_first {
            say(format!("reading {at}\n"));
            let (verdict, panics) = read(&job.url, &content, &OpenOptions::read_only());
            say(format!("read {at} {} {panics}\n", verdict.as_str()));
        }
        say(format!("verifying {at}\n"));
        let said = match verify::here(&job.url, &mut |_| {}) {
            Ok(report) if report.is_sound() => Verification::Sound,
            Ok(_) => Verification::Findings,
            Err(error) => refused(error.kind()),
        };
        say(format!("verified {at} {}\n", said.as_str()));
        if at % WRITABLE_EVERY == 0 {
            say(format!("writable {at}\n"));
            let (verdict, panics) = read(&job.url, &content, &existing());
            say(format!("wrote {at} {} {panics}\n", verdict.as_str()));
        }
        specimen.restore().unwrap();
    }
    say("end\n".to_owned());
}

fn existing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.if_missing = storage_api::IfMissing::Fail;
    options
}

fn read(url: &str, content: &Content, options: &OpenOptions) -> (Verdict, u64) {
    match AnyStore::open_existing(url, options) {
        Ok(store) => {
            let reading = Reading::of(&store, content);
            (reading.verdict(), reading.panics)
        }
        Err(error) => {
            refused(error.kind());
            let panicked = matches!(error.kind(), ErrorKind::EnginePanic { .. });
            (Verdict::Refused, u64::from(panicked))
        }
    }
}

/// A refusal has to say that something is wrong with the store, and not with the caller.
fn refused(kind: &ErrorKind) -> Verification {
    assert!(
        !matches!(
            kind,
            ErrorKind::AlreadyOpen { .. } | ErrorKind::InvalidArgument { .. }
        ),
        "{kind:?}"
    );
    Verification::Refused
}

/// A closed store of known content: most of it where the engine keeps it for good, the last commits
/// where they are after an ordinary close.
fn filled(engine: EngineName, place: &Path, checksum: ChecksumSetting) -> (String, Specimen) {
    let url = crate::url::of(engine, place);
    let content = Content::of_seed(SEED);
    let opener = Opener {
        schema: Content::schema(checksum).unwrap(),
        ..Opener::default()
    };
    let parsed: StoreUrl = url.parse().unwrap();
    let (store, _) = opener.open(&parsed).unwrap();
    content.write(&store, 0..COMMITS - 3).unwrap();
    if engine == EngineName::Rocks {
        // The others have no log from which rows move into files of another kind.
        store.as_compact().unwrap().compact().unwrap();
    }
    content.write(&store, COMMITS - 3..COMMITS).unwrap();
    drop(store);
    let specimen = Specimen::read(&place.join("store")).unwrap();
    let (verdict, _) = read(&url, &content, &OpenOptions::read_only());
    assert_eq!(verdict, Verdict::Right, "{engine}: before any damage");
    assert!(specimen.is_unchanged().unwrap(), "{engine}: reading wrote");
    (url, specimen)
}

/// What a child said, flip by flip.
#[derive(Default)]
struct Said {
    read: BTreeMap<usize, (Verdict, u64)>,
    verified: BTreeMap<usize, Verification>,
    wrote: BTreeMap<usize, (Verdict, u64)>,
}

/// Where a child was when it ended.
enum Stopped {
    Reading(usize),
    Verifying(usize),
    Writable(usize),
    AtTheEnd,
}

impl Said {
    /// Takes in what a child wrote, and tells where it stopped.
    fn hear(&mut self, text: &str) -> Stopped {
        let mut stopped = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let at = || words[1].parse().unwrap();
            let verdict = || (Verdict::parse(words[2]).unwrap(), words[3].parse().unwrap());
            match words[0] {
                "reading" => stopped = Some(Stopped::Reading(at())),
                "read" => drop(self.read.insert(at(), verdict())),
                "verifying" => stopped = Some(Stopped::Verifying(at())),
                "verified" => {
                    let said = Verification::parse(words[2]).unwrap();
                    self.verified.insert(at(), said);
                }
                "writable" => stopped = Some(Stopped::Writable(at())),
                "wrote" => drop(self.wrote.insert(at(), verdict())),
                "end" => return Stopped::AtTheEnd,
                _ => panic!("{line}"),
            }
        }
        stopped.expect("a child that said nothing did not even begin")
    }
}

/// Runs children until every flip was tried.
fn examine(url: &str, specimen: &Specimen, flips: Vec<Flip>, place: &Path) -> (Said, u32, u32) {
    let mut job = Job {
        url: url.to_owned(),
        root: specimen.root().to_owned(),
        flips,
        first: 0,
        only_verify_first: false,
    };
    let mut said = Said::default();
    let (mut deaths, mut hangs) = (0, 0);
    while job.first < job.flips.len() {
        let path = place.join("job");
        fs::write(&path, job.to_text()).unwrap();
        let out = path.with_extension("out");
        fs::write(&out, "").unwrap();
        let hung = run_child(&path, &out);
        let stopped = said.hear(&fs::read_to_string(&out).unwrap());
        specimen.restore().unwrap();
        let is_over = matches!(stopped, Stopped::AtTheEnd);
        deaths += u32::from(!is_over && !hung);
        hangs += u32::from(hung);
        match stopped {
            Stopped::Reading(at) => {
                said.read.insert(at, (Verdict::Died, 0));
                (job.first, job.only_verify_first) = (at, true);
            }
            Stopped::Verifying(at) => {
                said.verified.insert(at, Verification::Died);
                (job.first, job.only_verify_first) = (at + 1, false);
            }
            Stopped::Writable(at) => {
                said.wrote.insert(at, (Verdict::Died, 0));
                (job.first, job.only_verify_first) = (at + 1, false);
            }
            Stopped::AtTheEnd => break,
        }
    }
    (said, deaths, hangs)
}

/// Runs one child to its end, and ends it when it hangs; whether it did.
fn run_child(job: &Path, out: &Path) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harm::damage::child_process", "--nocapture"])
        .env(JOB, job)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut heard, mut since) = (0, Instant::now());
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let len = fs::metadata(out).unwrap().len();
        if len > heard {
            (heard, since) = (len, Instant::now());
        } else if since.elapsed() > SILENCE_MAX {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Trial {
    tally: Tally,
    /// Of stores that were opened for writing.
    writable: Tally,
    hangs: u32,
}

/// Which bits are flipped, of a specimen.
type Choose = fn(&Specimen) -> Vec<Flip>;

fn anywhere(specimen: &Specimen) -> Vec<Flip> {
    specimen.choose(scaled(2_500), SEED)
}

fn flipped(engine: EngineName, checksum: ChecksumSetting, what: &str, choose: Choose) -> Trial {
    let began = Instant::now();
    let place = crate::place::in_memory();
    let (url, specimen) = filled(engine, place.path(), checksum);
    let bytes: usize = specimen.files().map(|(_, len)| len).sum();
    let chosen = choose(&specimen);
    println!(
        "{engine} {checksum:?}: seed {SEED:#x}, {} flips",
        chosen.len()
    );
    let (said, deaths, hangs) = examine(&url, &specimen, chosen.clone(), place.path());
    let (mut tally, mut writable) = (Tally::default(), Tally::default());
    for (at, flip) in chosen.iter().enumerate() {
        let (verdict, panics) = said.read[&at];
        let outcome = |verdict, verification, panics| Outcome {
            flip: *flip,
            file: specimen.name_of(*flip),
            verdict,
            verification,
            panics,
        };
        let verification = said.verified[&at];
        tally.add(outcome(verdict, verification, panics));
        if let Some((verdict, panics)) = said.wrote.get(&at) {
            writable.add(outcome(*verdict, verification, *panics));
        }
    }
    let figures = Figures::new(engine.as_str(), &format!("{checksum:?}, {what}"))
        .number("seed", SEED)
        .number("files", specimen.files().count() as u64)
        .number("bytes", bytes as u64);
    let figures = tally
        .figures(figures)
        .number("deaths", deaths.into())
        .number("hangs", hangs.into())
        .number("opened_to_write", writable.outcomes().len() as u64)
        .number("opened_to_write_died", writable.count(Verdict::Died) as u64);
    let millis = began.elapsed().as_millis() as u64;
    figures
        .number("millis", millis)
        .publish("damage.jsonl")
        .unwrap();
    println!(
        "{engine} {checksum:?}: silent by file {:?}",
        tally.silent_by_file()
    );
    Trial {
        tally,
        writable,
        hangs,
    }
}

/// With the envelope: no wrong value is served, and verification misses nothing. Where only what
/// leads to pages is hit, a pointer may lead to an old version of a page, whose values were right
/// once and check; verification finds those too.
fn checked(engine: EngineName, what: &str, promise: Promise, choose: Choose) {
    let trial = flipped(engine, ChecksumSetting::Envelope, what, choose);
    let breaches = trial.tally.breaches(promise);
    let lines: Vec<String> = breaches.iter().take(40).map(ToString::to_string).collect();
    assert!(
        breaches.is_empty(),
        "{engine}: {} breaches: {lines:#?}",
        breaches.len()
    );
    let served = trial.writable.count(Verdict::Wrong);
    assert_eq!(served, 0, "{engine}: wrong values, opened to write");
    assert_eq!(trial.hangs, 0, "{engine}: hangs");
    let felt = trial.tally.outcomes().len() - trial.tally.count(Verdict::Right);
    assert!(felt > 0, "{engine}: no flip was felt");
}

/// Without it: what each engine does, as figures.
fn plain(engine: EngineName) -> Trial {
    let trial = flipped(engine, ChecksumSetting::None, "anywhere", anywhere);
    assert_eq!(trial.hangs, 0, "{engine}: hangs");
    trial
}

#[cfg(feature = "redb")]
#[test]
fn redb_with_envelopes() {
    checked(EngineName::Redb, "anywhere", Promise::Checked, anywhere);
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb_with_envelopes() {
    checked(EngineName::Lmdb, "anywhere", Promise::Checked, anywhere);
}

#[cfg(feature = "rocks")]
#[test]
fn rocks_with_envelopes() {
    checked(EngineName::Rocks, "anywhere", Promise::Checked, anywhere);
}

/// redb's own check needs no envelope to find everything, while its reads serve what is damaged.
#[cfg(feature = "redb")]
#[test]
fn redb_as_it_is() {
    let trial = plain(EngineName::Redb);
    let missed =
        |o: &&Outcome| o.verification == Verification::Sound && o.verdict != Verdict::Right;
    let missed: Vec<_> = trial.tally.outcomes().iter().filter(missed).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Nothing in LMDB notices a flipped bit of a value: the same judge that passes the store with
/// envelopes must condemn this one.
#[cfg(feature = "lmdb")]
#[test]
fn lmdb_as_it_is_breaks_the_promise() {
    let trial = plain(EngineName::Lmdb);
    let breaches = trial.tally.breaches(Promise::Checked);
    let wrong = |o: &&&Outcome| o.verdict == Verdict::Wrong;
    assert!(breaches.iter().filter(wrong).count() > 0);
    let missed = |o: &&&Outcome| o.verification == Verification::Sound;
    assert!(breaches.iter().filter(missed).count() > 0);
}

/// RocksDB checks what it reads.
#[cfg(feature = "rocks")]
#[test]
fn rocks_as_it_is() {
    let trial = plain(EngineName::Rocks);
    let breaches = trial.tally.breaches(Promise::Checked);
    assert!(breaches.is_empty(), "{breaches:?}");
}

/// Pages of 4 KiB that this says yes to.
fn pages(bytes: &[u8], is_one: impl Fn(&[u8]) -> bool) -> Vec<std::ops::Range<usize>> {
    let pages = bytes.chunks_exact(4096).enumerate();
    pages
        .filter(|(_, page)| is_one(page))
        .map(|(at, _)| at * 4096..(at + 1) * 4096)
        .collect()
}

/// What leads to everything else in a file of LMDB: both meta pages as far as they are used, the
/// records of the tables, and the lower half of every page number in a branch page, live or old.
/// Nothing of it has a checksum.
/// Source: LMDB's `mdb.c`, `MDB_page` and `MDB_node`.
fn lmdb_pointers(specimen: &Specimen) -> Vec<Flip> {
    let (file, bytes) = specimen.file("data.mdb").unwrap();
    let mut parts = vec![0..152, 4096..4096 + 152];
    let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    for page in pages(bytes, |page| page[10..12] == [1, 0]) {
        // A page that begins with its own number is one, and no part of a long value.
        let number = u64::from_le_bytes(bytes[page.start..page.start + 8].try_into().unwrap());
        if number != page.start as u64 / 4096 {
            continue;
        }
        let lower = word(page.start + 12).min(4096);
        for pointer in (16..lower).step_by(2) {
            let node = page.start + word(page.start + pointer).min(4094);
            parts.push(node..node + 2);
        }
    }
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let newest = if long(4096 + 144) > long(144) {
        4096
    } else {
        0
    };
    let root = long(newest + 128) as usize * 4096;
    for pointer in (16..word(root + 12)).step_by(2) {
        // A node: length or page (4 bytes), flags, length of the key, key, and the table's record.
        let node = root + word(root + pointer);
        let record = node + 8 + word(node + 6);
        parts.push(record..record + 48);
    }
    assert!(parts.len() > 20, "{} parts", parts.len());
    specimen.choose_in(file, &parts, scaled(6_000), SEED)
}

/// The header of a file of redb with both commit slots, and pages that begin as branch pages do.
fn redb_pointers(specimen: &Specimen) -> Vec<Flip> {
    let (file, bytes) = specimen.file("data.redb").unwrap();
    let keys = |page: &[u8]| u16::from_le_bytes([page[2], page[3]]);
    let mut parts = pages(bytes, |page| page[0] == 2 && (1..300).contains(&keys(page)));
    assert!(!parts.is_empty(), "no branch page");
    parts.push(0..320);
    specimen.choose_in(file, &parts, scaled(2_000), SEED)
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb_pointers_with_envelopes() {
    checked(EngineName::Lmdb, "pointers", Promise::Found, lmdb_pointers);
}

#[cfg(feature = "redb")]
#[test]
fn redb_pointers_with_envelopes() {
    checked(EngineName::Redb, "pointers", Promise::Found, redb_pointers);
}
