//! Imports that are killed: a child imports a chain file into a store of each durable engine, with
//! bodies as rows and in segments, and is killed with `SIGKILL` at each system call of a short
//! import from the making of the store to its closing, at each of the recovery, and at random in a
//! long one. See `judge` for what must be true afterwards.
//!
//! The count of a call is one of its thread. RocksDB has threads and so has the log that writes
//! segments in advance, so the n-th call of a kind is not the same one in every life: a sweep
//! strikes what other threads did file by file, goes on behind the last call that was logged until
//! a child comes to its end, aims again at places that it missed, and counts what it struck. Struck
//! are the calls that change a file or a name; at full scale all of them, in plain runs a tenth and
//! the first of each place.

mod chains;
mod judge;
mod work;

use std::path::PathBuf;

use chain_store::{Bodies, EngineName};
use conformance::crash::{Calls, Role, Sabotage, Stage, Tally};
use conformance::{scaled, seed_of_run};

use super::crash::{durable, has_strace, stride};
use chains::Chain;
use judge::{Imported, Then};
use work::{Commits, Length, Work};

/// Not a test of its own: the body of the child, which the tests start.
#[test]
fn child_process() {
    let Some(role) = Role::of_process() else {
        return;
    };
    let played = work::play(&role);
    assert!(played.is_ok(), "{}", played.unwrap_err());
    // What the test runner would still write is not part of the child's life.
    std::process::exit(0);
}

/// Where the children work.
fn folder() -> PathBuf {
    crate::place::folder(1 << 30)
}

fn killed_at_each_call(engine: EngineName, bodies: Bodies, nested_of_one: usize) {
    if !has_strace("kills of imports at each system call") {
        return;
    }
    for chain in Chain::ALL {
        let work = Work {
            engine,
            bodies,
            chain,
            length: Length::Short,
            commits: Commits::Each,
        };
        let imported = Imported::new(work, Then::Finish, &folder()).unwrap();
        let stage = Stage::new_in(&imported, 21, &folder())
            .unwrap()
            .striking(Calls::Changes);
        let what = format!(
            "import of {} into {bodies}, killed at system calls",
            chain.word()
        );
        let mut tally = Tally::new(engine.as_str(), &what);
        let done = stage
            .sweep(imported.all(), stride(1), &mut tally)
            .and_then(|()| {
                // The same again for each of several first kills; a recovery is much the same for
                // each chain, so plain runs do it for one.
                let first_kills = match chain {
                    Chain::Antelope => scaled(3),
                    Chain::Bitcoin => scaled(10) / 10,
                };
                stage.sweep_recovery(first_kills, stride(nested_of_one), &mut tally)
            });
        tally.publish("crash.jsonl").unwrap();
        assert!(done.is_ok(), "{}", done.unwrap_err());
        let all = tally.count("calls of the life");
        assert!(all > 30, "a life of {all} calls is no life");
    }
}

fn killed_at_random(engine: EngineName, bodies: Bodies) {
    for chain in Chain::ALL {
        let work = Work {
            engine,
            bodies,
            chain,
            length: Length::Long,
            commits: Commits::Each,
        };
        let imported = Imported::new(work, Then::Leave, &folder()).unwrap();
        let stage = Stage::new_in(&imported, 22, &folder()).unwrap();
        let what = format!("import of {} into {bodies}, killed at random", chain.word());
        let mut tally = Tally::new(engine.as_str(), &what);
        let done = stage
            .kill_at_random(scaled(30), &mut tally)
            .and_then(|()| stage.finish());
        println!("CHAINSTORE_SEED={}", seed_of_run());
        tally.publish("crash.jsonl").unwrap();
        assert!(done.is_ok(), "{}", done.unwrap_err());
    }
}

/// Blocks that are committed together are there together or not at all.
fn groups_killed(engine: EngineName, bodies: Bodies) {
    if !has_strace("kills of imports in groups") {
        return;
    }
    for chain in Chain::ALL {
        for length in [Length::Short, Length::Long] {
            let work = Work {
                engine,
                bodies,
                chain,
                length,
                commits: Commits::Groups,
            };
            let (then, how) = match length {
                Length::Short => (Then::Finish, "at system calls"),
                Length::Long => (Then::Leave, "at random"),
            };
            let imported = Imported::new(work, then, &folder()).unwrap();
            let stage = Stage::new_in(&imported, 24, &folder()).unwrap();
            let what = format!(
                "import of {} in groups into {bodies}, killed {how}",
                chain.word()
            );
            let mut tally = Tally::new(engine.as_str(), &what);
            let done = match length {
                Length::Short => {
                    stage
                        .striking(Calls::Changes)
                        .sweep(imported.all(), stride(1), &mut tally)
                }
                Length::Long => stage
                    .kill_at_random(scaled(20), &mut tally)
                    .and_then(|()| stage.finish()),
            };
            tally.publish("crash.jsonl").unwrap();
            assert!(done.is_ok(), "{}", done.unwrap_err());
        }
    }
}

macro_rules! engines {
    ($($feature:literal $module:ident $name:ident $nested_of_one:literal)*) => {
        $(
            #[cfg(feature = $feature)]
            mod $module {
                use super::*;

                #[test]
                fn rows_killed_at_each_system_call() {
                    killed_at_each_call(EngineName::$name, Bodies::Store, $nested_of_one);
                }

                #[test]
                fn segments_killed_at_each_system_call() {
                    killed_at_each_call(EngineName::$name, Bodies::Segments, $nested_of_one);
                }

                #[test]
                fn rows_killed_at_random() {
                    killed_at_random(EngineName::$name, Bodies::Store);
                }

                #[test]
                fn rows_in_groups_killed() {
                    groups_killed(EngineName::$name, Bodies::Store);
                }

                #[test]
                fn segments_in_groups_killed() {
                    groups_killed(EngineName::$name, Bodies::Segments);
                }

                #[test]
                fn segments_killed_at_random() {
                    killed_at_random(EngineName::$name, Bodies::Segments);
                }
            }
        )*
    };
}

engines! {
    "redb" redb Redb 2
    "lmdb" lmdb Lmdb 2
    "rocks" rocks Rocks 8
}

#[test]
fn imports_that_do_wrong_are_found_out() {
    if !has_strace("kills of imports that do wrong") {
        return;
    }
    let engine = durable().next().unwrap();
    for bodies in Bodies::ALL {
        let work = Work {
            engine,
            bodies,
            chain: Chain::Antelope,
            length: Length::Short,
            commits: Commits::Each,
        };
        let imported = Imported::new(work, Then::Finish, &folder()).unwrap();
        for sabotage in [Sabotage::AckFirst, Sabotage::Torn] {
            let stage = Stage::new_in(&imported, 23, &folder())
                .unwrap()
                .with_sabotage(sabotage);
            let kills = stage.kills_until_wrong(imported.all(), 10).unwrap();
            println!("{engine} {bodies} {sabotage:?}: found out by kill {kills:?}");
            assert!(kills.is_some(), "{sabotage:?} was not found out");
        }
    }
}
