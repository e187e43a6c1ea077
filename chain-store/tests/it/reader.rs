//! A forgotten reader: many commits beside a view that is held, on every engine, and the same
//! commits without it.
//!
//! What is declared and asserted: the view reads what it read at first, whatever is committed; the
//! statistics tell how old it is and what it pins; one warning is logged, and not one a commit; a
//! limit on what views pin refuses writes with an error of its own, before a small map is full; a
//! map that is full all the same is an error that aborts cleanly; when the view drops, writing goes
//! on at once in the same process, and the files do not grow any further. How much a store grows is
//! a figure, not an assertion, but where the engine must keep every replaced page (LMDB, redb) the
//! growth has to be seen.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chain_store::{AnyStore, ContentDigest, EngineName, Opener};
use conformance::damage::Figures;
use conformance::scaled;
use storage_api::{
    Durability, ErrorKind, KvStore, ManualClock, ReaderLimits, Result, Schema, TableDef, TableId,
    WriteBatch, Writer,
};
use tracing::field::{Field, Visit};
use tracing::span;

const KEYS: u64 = 2_000;
const KEYS_EACH: u64 = 4;
const VALUE_BYTES: usize = 400;
const WARN_AGE: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

/// Set in a child, which is this test binary: whether a view is held there.
const CHILD: &str = "CHAINSTORE_TEST_READER";

/// Counts the warnings about old views and keeps what the last one said.
#[derive(Clone, Default)]
struct Warnings(Arc<Heard>);

#[derive(Default)]
struct Heard {
    count: AtomicU64,
    age_seconds: AtomicU64,
    pinned_bytes: AtomicU64,
}

impl Visit for Warnings {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && format!("{value:?}").contains("open for long") {
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "age_seconds" => self.0.age_seconds.store(value, Ordering::Relaxed),
            "pinned_bytes" => self.0.pinned_bytes.store(value, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An open store with a clock that the test turns, and its work.
struct Node {
    store: AnyStore,
    table: TableId,
    clock: Arc<ManualClock>,
    commits: u64,
    _place: tempfile::TempDir,
}

impl Node {
    fn new(engine: EngineName, limits: ReaderLimits, set: impl FnOnce(&mut Opener)) -> Self {
        // What syncs cost is not the subject.
        let place = tempfile::tempdir_in(crate::place::folder(6_000 * MIB)).unwrap();
        let clock = Arc::new(ManualClock::default());
        let mut opener = Opener {
            schema: Schema::new([&TableDef::new("state")]).unwrap(),
            ..Opener::default()
        };
        opener.options.clock = Arc::<ManualClock>::clone(&clock);
        opener.options.reader_limits = limits;
        set(&mut opener);
        let url = crate::url::of(engine, place.path()).parse().unwrap();
        let (store, _) = opener.open(&url).unwrap();
        let table = store.catalogue().id("state").unwrap();
        let mut batch = WriteBatch::new();
        for key in 0..KEYS {
            batch
                .put(table, &key.to_be_bytes(), &[1; VALUE_BYTES])
                .unwrap();
        }
        store.apply(&batch, Durability::Durable).unwrap();
        Self {
            store,
            table,
            clock,
            commits: 0,
            _place: place,
        }
    }

    /// One commit: four keys, spread over all of them, are overwritten. A second passes.
    fn commit(&mut self) -> Result<()> {
        let mut batch = WriteBatch::new();
        for number in 0..KEYS_EACH {
            let key = (self.commits * KEYS_EACH + number).wrapping_mul(0x9e37_79b9) % KEYS;
            let mut value = [0; VALUE_BYTES];
            for (at, part) in value.chunks_exact_mut(8).enumerate() {
                let word = (self.commits + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                part.copy_from_slice(&word.to_le_bytes());
            }
            batch.put(self.table, &key.to_be_bytes(), &value).unwrap();
        }
        self.clock.advance(Duration::from_secs(1));
        self.store.apply(&batch, Durability::Buffered)?;
        self.commits += 1;
        Ok(())
    }

    fn commit_many(&mut self, commits: usize) {
        for _ in 0..commits {
            self.commit().unwrap();
        }
    }

    fn digest(&self, view: &chain_store::AnyReadTxn) -> ContentDigest {
        ContentDigest::compute(view, self.store.catalogue(), &mut |_| {}).unwrap()
    }

    fn disk_bytes(&self) -> u64 {
        self.store.stats().unwrap().disk_bytes
    }
}

/// What a run of commits did to a store.
#[derive(Debug, Default)]
struct Run {
    start_bytes: u64,
    end_bytes: u64,
    pinned_bytes: u64,
    age_seconds: u64,
    warnings: u64,
    /// After the view dropped and as many commits as a tenth of the run were made.
    later_bytes: u64,
    /// After a compaction, where there is one.
    compacted_bytes: u64,
    millis: u64,
}

/// The commits beside a view, or without one.
fn run(engine: EngineName, commits: usize, held: bool, set: fn(&mut Opener)) -> Run {
    let mut node = Node::new(engine, ReaderLimits::default(), set);
    // Sizes are compared in a steady state, after the file took its first shape.
    node.commit_many(commits / 20);
    let began = Instant::now();
    let mut run = Run {
        start_bytes: node.disk_bytes(),
        ..Run::default()
    };
    let view = held.then(|| node.store.begin_read().unwrap());
    let first = view.as_ref().map(|view| node.digest(view));
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        for part in 1..=10u64 {
            node.commit_many(commits / 10);
            let stats = node.store.stats().unwrap();
            assert_eq!(stats.readers, usize::from(held), "{engine}");
            let Some(oldest) = stats.oldest_reader else {
                assert!(!held, "{engine}: the view is not in the statistics");
                continue;
            };
            assert_eq!(oldest.age.as_secs(), commits as u64 / 10 * part, "{engine}");
            assert!(
                oldest.pinned_bytes >= run.pinned_bytes,
                "{engine}: {oldest:?}"
            );
            run.pinned_bytes = oldest.pinned_bytes;
            run.age_seconds = oldest.age.as_secs();
            let now = view.as_ref().map(|view| node.digest(view));
            assert!(now == first, "{engine}: the view changed");
        }
    });
    run.warnings = warnings.0.count.load(Ordering::Relaxed);
    if held && commits as u64 > WARN_AGE.as_secs() {
        assert_eq!(run.warnings, 1, "{engine}: one view, one warning");
        let told = warnings.0.age_seconds.load(Ordering::Relaxed);
        assert_eq!(told, WARN_AGE.as_secs(), "{engine}");
        assert!(
            run.pinned_bytes > 0,
            "{engine}: nothing is said to be pinned"
        );
    } else {
        assert_eq!(run.warnings, 0, "{engine}");
    }
    run.end_bytes = node.disk_bytes();
    run.millis = began.elapsed().as_millis() as u64;
    drop(view);
    assert_eq!(node.store.stats().unwrap().oldest_reader, None);
    node.commit_many(commits / 10);
    run.later_bytes = node.disk_bytes();
    // What was pinned and is free again is in order.
    let report = node.store.as_verify().unwrap().verify(&mut |_| {}).unwrap();
    assert!(report.is_sound(), "{engine}: {:?}", report.findings);
    if let Some(compact) = node.store.as_compact() {
        compact.compact().unwrap();
    }
    run.compacted_bytes = node.disk_bytes();
    run
}

fn growth(run: &Run) -> u64 {
    run.end_bytes.saturating_sub(run.start_bytes)
}

fn publish(engine: EngineName, commits: usize, configuration: &str, run: &Run) {
    Figures::new(engine.as_str(), configuration)
        .number("commits", commits as u64)
        .number("start_bytes", run.start_bytes)
        .number("end_bytes", run.end_bytes)
        .number("growth_bytes", growth(run))
        .number("pinned_bytes", run.pinned_bytes)
        .number("age_seconds", run.age_seconds)
        .number("warnings", run.warnings)
        .number("later_bytes", run.later_bytes)
        .number("compacted_bytes", run.compacted_bytes)
        .number("millis", run.millis)
        .publish("reader.jsonl")
        .unwrap();
}

/// Without a view and with one.
fn both(engine: EngineName, name: &str, commits: usize, set: fn(&mut Opener)) -> [Run; 2] {
    [false, true].map(|held| {
        let run = run(engine, commits, held, set);
        let view = if held { "view held" } else { "no view" };
        publish(engine, commits, &format!("{name}{view}"), &run);
        run
    })
}

/// Some engines keep every page that a view may read, and use it again when the view drops.
fn keeps_every_page(
    engine: EngineName,
    name: &str,
    commits: usize,
    set: fn(&mut Opener),
) -> [Run; 2] {
    let [free, held] = both(engine, name, commits, set);
    let live_bytes = KEYS * VALUE_BYTES as u64;
    assert!(growth(&free) <= 4 * live_bytes, "{engine}: {free:?}");
    let least = 10 * growth(&free).max(live_bytes);
    assert!(growth(&held) > least, "{engine}: {held:?}");
    assert!(held.pinned_bytes > growth(&held) / 4, "{engine}: {held:?}");
    // Space is used again, so nothing grows any more; and compaction gives it back.
    assert!(
        held.later_bytes <= held.end_bytes + MIB,
        "{engine}: {held:?}"
    );
    assert!(held.compacted_bytes <= 8 * live_bytes, "{engine}: {held:?}");
    [free, held]
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb_keeps_every_page_and_uses_it_again() {
    let _runs = keeps_every_page(EngineName::Lmdb, "", scaled(20_000), |_| ());
}

/// With quick repair, the default, a commit also writes the state of redb's allocator, which is as
/// long as the file is large; were that done beside an old view, which pins every copy, 20,000
/// commits would make a file of 10 GB (`docs/decisions/0013-redb-quick-repair.md`).
#[cfg(feature = "redb")]
#[test]
fn redb_keeps_every_page_and_uses_it_again() {
    let commits = scaled(20_000);
    let [_, held] = keeps_every_page(EngineName::Redb, "", commits, |_| ());
    // A commit replaces about nine pages of 4 KiB: four leaves, their branches, the roots.
    let most_bytes = commits as u64 * 64 * 1024;
    assert!(growth(&held) <= most_bytes, "{held:?}");
}

/// RocksDB keeps one more version of a key for a view, so its files grow with what is written until
/// they are compacted, view or no view.
#[cfg(feature = "rocks")]
#[test]
fn rocks_keeps_one_version_more() {
    let engine = EngineName::Rocks;
    let [free, held] = both(engine, "", scaled(20_000), |_| ());
    let live_bytes = KEYS * VALUE_BYTES as u64;
    for run in [&free, &held] {
        assert!(run.compacted_bytes <= 8 * live_bytes, "{run:?}");
    }
    assert!(
        growth(&held) <= growth(&free) + 8 * live_bytes,
        "{free:?} {held:?}"
    );
}

/// Bytes that this process holds in memory; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Not a test of its own: the body of the child, whose memory is that of one store.
#[test]
fn child_process() {
    let Ok(held) = std::env::var(CHILD) else {
        return;
    };
    let mut node = Node::new(EngineName::Mem, ReaderLimits::default(), |_| ());
    node.commit_many(500);
    let before = resident_bytes().unwrap_or(0);
    let view = (held == "held").then(|| node.store.begin_read().unwrap());
    node.commit_many(scaled(20_000));
    let after = resident_bytes().unwrap_or(0);
    drop(view);
    println!("resident {before} {after} end");
}

/// In memory an old version is kept once, however often it is written over: at most what was there
/// when the view began.
#[test]
fn memory_keeps_what_was_there_once() {
    let [_, held] = both(EngineName::Mem, "", scaled(20_000), |_| ());
    assert!(held.pinned_bytes > 0);
    for word in ["free", "held"] {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "reader::child_process", "--nocapture"])
            .env(CHILD, word)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "resident").unwrap();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let grown = number(at + 2).saturating_sub(number(at + 1));
        Figures::new("mem", &format!("process, view {word}"))
            .number("commits", scaled(20_000) as u64)
            .number("growth_bytes", grown)
            .publish("reader.jsonl")
            .unwrap();
        // The live rows are 1 MB; a second copy of them and what allocators keep is far below this,
        // a copy a commit far above.
        assert!(grown < 32 * MIB, "{word}: {grown}");
    }
}

/// Past the limit on what views pin writes are refused, reads go on, and everything works again
/// when the view drops.
#[test]
fn a_limit_on_what_views_pin_holds_writes_back_on_every_engine() {
    for engine in EngineName::compiled() {
        let max_bytes = 2 * MIB;
        let limits = ReaderLimits {
            pinned_bytes_max: Some(max_bytes),
            ..ReaderLimits::default()
        };
        let mut node = Node::new(engine, limits, |_| ());
        let view = node.store.begin_read().unwrap();
        let first = node.digest(&view);
        let refused = (0..200_000).find_map(|_| node.commit().err());
        let refused = refused.unwrap_or_else(|| panic!("{engine}: never refused"));
        let is_pinned = matches!(
            refused.kind(),
            ErrorKind::PinnedTooMuch { pinned_bytes, max_bytes: max }
                if *pinned_bytes > max_bytes && *max == max_bytes
        );
        assert!(is_pinned, "{engine}: {refused:?}");
        assert!(!refused.needs_reopen());
        let refused_at = node.commits;
        assert!(node.commit().is_err(), "{engine}: refused once only");
        assert!(node.store.begin_write().is_err(), "{engine}");
        assert!(node.digest(&view) == first, "{engine}: the view changed");
        drop(view);
        node.commit_many(200);
        Figures::new(engine.as_str(), "pinned bytes limited")
            .number("max_bytes", max_bytes)
            .number("refused_after_commits", refused_at)
            .publish("reader.jsonl")
            .unwrap();
    }
}

/// Past the age the view's own next call fails, and writers were never held back by it.
#[test]
fn a_view_past_the_age_is_told_on_every_engine() {
    for engine in EngineName::compiled() {
        let limits = ReaderLimits {
            age_max: Some(Duration::from_secs(50)),
            ..ReaderLimits::default()
        };
        let mut node = Node::new(engine, limits, |_| ());
        let view = node.store.begin_read().unwrap();
        let first = node.digest(&view);
        node.commit_many(50);
        assert!(node.digest(&view) == first, "{engine}: the view changed");
        node.commit_many(1);
        let told = ContentDigest::compute(&view, node.store.catalogue(), &mut |_| {});
        let error = told.unwrap_err();
        let is_old = matches!(error.kind(), ErrorKind::ReaderTooOld { .. });
        assert!(is_old, "{engine}: {error:?}");
        node.commit_many(10);
        drop(view);
        let fresh = node.store.begin_read().unwrap();
        assert!(node.digest(&fresh) != first, "{engine}");
    }
}

/// A small map: without a limit it fills up beside a view, which is an error and no accident; with
/// one the writer is told before.
#[cfg(feature = "lmdb")]
#[test]
fn a_full_map_is_an_error_and_the_limit_comes_before_it() {
    const MAP_BYTES: u64 = 16 * MIB;
    let small = |opener: &mut Opener| {
        opener.engines.lmdb.map_bytes_max = Some(MAP_BYTES);
    };
    let limits = [None, Some(MAP_BYTES / 2)];
    let mut refused_after = Vec::new();
    for pinned_bytes_max in limits {
        let limits = ReaderLimits {
            pinned_bytes_max,
            ..ReaderLimits::default()
        };
        let mut node = Node::new(EngineName::Lmdb, limits, small);
        let view = node.store.begin_read().unwrap();
        let first = node.digest(&view);
        let error = (0..100_000).find_map(|_| node.commit().err()).unwrap();
        match (pinned_bytes_max, error.kind()) {
            (None, ErrorKind::Full { limit_bytes }) => assert_eq!(*limit_bytes, MAP_BYTES),
            (Some(_), ErrorKind::PinnedTooMuch { .. }) => {}
            _ => panic!("{pinned_bytes_max:?}: {error:?}"),
        }
        assert!(!error.needs_reopen(), "{error:?}");
        refused_after.push(node.commits);
        let seq = node.store.stats().unwrap().commit_seq;
        assert_eq!(
            seq.get(),
            node.commits + 1,
            "what was refused left no trace"
        );
        assert!(node.digest(&view) == first, "the view changed");
        drop(view);
        // Three times as many commits as it took to fill it: pages are used again.
        node.commit_many(3 * refused_after[0] as usize);
        assert!(node.disk_bytes() <= MAP_BYTES + MIB);
        Figures::new("lmdb", "map of 16 MiB")
            .number("pinned_bytes_max", pinned_bytes_max.unwrap_or(0))
            .number(
                "refused_after_commits",
                refused_after[refused_after.len() - 1],
            )
            .publish("reader.jsonl")
            .unwrap();
    }
    assert!(refused_after[1] < refused_after[0], "{refused_after:?}");
}
