//! Crashes: a child works on a store of each durable engine and is killed with `SIGKILL`, at random
//! instants, at each system call of a short life, and at each of the recovery; the store is opened
//! again and judged. The child is this very test binary, which a variable turns into one.
//!
//! At full scale each engine is killed more than 300 times; plain runs do a tenth of that.

use std::io;
use std::path::Path;
use std::process::Command;

use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use conformance::crash::{
    CrashHarness, Mode, Role, Sabotage, Stage, Tally, Wait, play, strace_usable,
};
use conformance::{Scale, scaled};
use storage_api::{OpenOptions, Result, Schema};

/// An engine whose stores are crashed.
pub(crate) struct Crashed(pub(crate) EngineName);

impl CrashHarness for Crashed {
    type Store = AnyStore;

    fn engine(&self) -> &str {
        self.0.as_str()
    }

    fn open(&self, directory: &Path, schema: &Schema, options: &OpenOptions) -> Result<AnyStore> {
        let opener = Opener {
            schema: schema.clone(),
            options: options.clone(),
            ..Opener::default()
        };
        let url = StoreUrl::Engine(self.0, directory.to_owned());
        opener.open(&url).map(|(store, _)| store)
    }

    fn child(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "harm::crash::child_process", "--nocapture"]);
        Ok(command)
    }
}

/// Not a test of its own: the body of the child, which the tests start.
#[test]
fn child_process() {
    let Some(role) = Role::of_process() else {
        return;
    };
    let harness = Crashed(role.engine.parse().unwrap());
    let open =
        |path: &Path, schema: &Schema, options: &OpenOptions| harness.open(path, schema, options);
    let played = play(&role, &open);
    assert!(played.is_ok(), "{}", played.unwrap_err());
    // What the test runner would still write is not part of the child's life.
    std::process::exit(0);
}

/// The engines of this build that keep anything on disk.
pub(crate) fn durable() -> impl Iterator<Item = EngineName> {
    EngineName::compiled().filter(|engine| *engine != EngineName::Mem)
}

/// Whether `strace` can be used here; a visible skip otherwise, and a failure where everything is
/// required.
pub(crate) fn has_strace(test: &str) -> bool {
    match strace_usable() {
        Ok(()) => true,
        Err(reason) => {
            skip(test, &reason);
            false
        }
    }
}

/// Says that a test cannot be done here; fails where everything is required.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED: {test}: {reason}");
    assert!(
        std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_none(),
        "required, but skipped: {test}: {reason}"
    );
}

/// One of so many, at this scale.
pub(crate) fn stride(full: usize) -> usize {
    match Scale::of_run() {
        Scale::Tenth => full * 10,
        Scale::Full | Scale::Soak => full,
    }
}

fn killed_at_random(engine: EngineName) {
    let harness = Crashed(engine);
    let stage = Stage::new(&harness, 1).unwrap();
    let mut tally = Tally::new(engine.as_str(), "killed at random instants");
    let done = stage.kill_at_random(scaled(150), &mut tally);
    tally.publish("crash.jsonl").unwrap();
    assert!(done.is_ok(), "{}", done.unwrap_err());
}

fn killed_at_each_call(engine: EngineName, calls_of_one: usize) {
    if !has_strace("kills at each system call") {
        return;
    }
    let harness = Crashed(engine);
    let stage = Stage::new(&harness, 2).unwrap();
    let mut tally = Tally::new(engine.as_str(), "killed at system calls");
    let done = stage
        .sweep(10, stride(calls_of_one), &mut tally)
        .and_then(|()| {
            // The same again for each of several first kills.
            let one_in = stride(calls_of_one * calls_of_one);
            stage.sweep_recovery(scaled(3), one_in, &mut tally)
        });
    tally.publish("crash.jsonl").unwrap();
    assert!(done.is_ok(), "{}", done.unwrap_err());
    let all = tally.count("calls of the life");
    assert!(all > 30, "a life of {all} calls is no life");
}

macro_rules! engines {
    ($($feature:literal $module:ident $name:ident $calls_of_one:literal)*) => {
        $(
            #[cfg(feature = $feature)]
            mod $module {
                use super::*;

                #[test]
                fn killed_at_random_instants() {
                    killed_at_random(EngineName::$name);
                }

                #[test]
                fn killed_at_each_system_call() {
                    killed_at_each_call(EngineName::$name, $calls_of_one);
                }
            }
        )*
    };
}

engines! {
    "redb" redb Redb 1
    "lmdb" lmdb Lmdb 1
    "rocks" rocks Rocks 2
}

#[test]
fn children_that_do_wrong_are_found_out() {
    if !has_strace("kills of children that do wrong") {
        return;
    }
    let engine = durable().next().unwrap();
    let harness = Crashed(engine);
    for sabotage in [Sabotage::AckFirst, Sabotage::Late, Sabotage::Torn] {
        let stage = Stage::new(&harness, 3).unwrap().with_sabotage(sabotage);
        // Few calls lie between a wrong word and its commit, so no part of them is enough.
        let kills = stage.kills_until_wrong(4, 10).unwrap();
        println!("{engine} {sabotage:?}: found out by kill {kills:?}");
        assert!(kills.is_some(), "{sabotage:?} was not found out");
    }
}

/// The way of the kill is right too: a child that is not disturbed comes to its end.
#[test]
fn a_child_that_is_left_alone_is_done() {
    for engine in durable() {
        let harness = Crashed(engine);
        let stage = Stage::new(&harness, 4).unwrap();
        let role = stage.role(30, Wait::Never, Mode::Crash);
        let actor = stage.start(&role).unwrap();
        let ended = actor.finish(&mut || ()).unwrap();
        assert!(ended.is_done(), "{ended}");
        assert_eq!(ended.acked(), 30);
        assert_eq!(stage.judge(30, 30).unwrap(), 30);
    }
}
