//! The README's commands run as they stand there. `cargo run --release -- X` is the program that
//! these tests were built with; `cargo xtask test` is what runs these tests and proves itself.

use std::fs;
use std::process::Command;

use chain_store::EngineName;

use crate::chain;
use crate::support::{PROGRAM, run_command};

const README: &str = include_str!("../../../README.md");

/// What runs this very test, or provides RocksDB to it.
const PROVED_BY_THE_RUN: [&str; 2] = ["cargo xtask test", "eval \"$(cargo xtask env)\""];

/// The lines of all `sh` blocks, in order.
fn commands() -> Vec<&'static str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in README.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => commands.push(line),
            _ => {}
        }
    }
    commands
}

/// The program's arguments in a printed command; `None` where this build cannot run it.
fn arguments(printed: &str) -> Option<&str> {
    let Some(run) = printed.strip_prefix("cargo run --release ") else {
        let arguments = printed.strip_prefix("chainstore ");
        assert!(
            arguments.is_some(),
            "README prints {printed:?}, which nothing proves"
        );
        return arguments;
    };
    let (features, arguments) = run.split_once("-- ").unwrap();
    if features.contains("rocks") && !EngineName::Rocks.is_compiled() {
        eprintln!("SKIPPED: {printed}: RocksDB is not in this build");
        return None;
    }
    Some(arguments)
}

#[test]
fn every_command_of_the_readme_runs() {
    let commands = commands();
    assert!(commands.len() >= 10, "{commands:?}");
    if !EngineName::Redb.is_compiled() {
        eprintln!(
            "SKIPPED: the README's commands make a store of redb, which is not in this build"
        );
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // Block 170 is asked for.
    let file = chain::file(&chain::blocks(180));
    fs::write(place.path().join("blk00000.dat"), file).unwrap();
    for printed in commands {
        if PROVED_BY_THE_RUN.contains(&printed) {
            continue;
        }
        let Some(arguments) = arguments(printed) else {
            continue;
        };
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments.split_whitespace())
            .current_dir(place.path());
        let ran = run_command(command);
        assert_eq!(ran.code, Some(0), "{printed}\n{ran}");
        assert!(!ran.stdout.is_empty(), "{printed}\n{ran}");
    }
}
