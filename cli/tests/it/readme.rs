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

/// The program's arguments in a printed command.
fn arguments(printed: &str) -> &str {
    let Some(run) = printed.strip_prefix("cargo run --release ") else {
        let arguments = printed.strip_prefix("chainstore ");
        return arguments
            .unwrap_or_else(|| panic!("README prints {printed:?}, which nothing proves"));
    };
    run.split_once("-- ").unwrap().1
}

/// The engine that a word of the arguments names, and the path that it is named for.
fn engine_named(word: &str) -> Option<(EngineName, Option<&str>)> {
    let (name, path) = match word.split_once(':') {
        Some((name, path)) => (name, Some(path)),
        None => (word, None),
    };
    Some((name.parse().ok()?, path))
}

/// Why this build cannot run a command: an engine that is not in it, or a store that only a
/// command makes which could not run. Such stores are noted.
fn missing<'a>(arguments: &'a str, absent: &mut Vec<&'a str>) -> Option<String> {
    for word in arguments.split_whitespace() {
        if absent.contains(&word) {
            return Some(format!("{word} was not made"));
        }
        let Some((engine, path)) = engine_named(word) else {
            continue;
        };
        if !engine.is_compiled() {
            absent.extend(path);
            return Some(format!("{engine} is not in this build"));
        }
    }
    None
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
    let mut absent = Vec::new();
    for printed in commands {
        if PROVED_BY_THE_RUN.contains(&printed) {
            continue;
        }
        let arguments = arguments(printed);
        if let Some(missing) = missing(arguments, &mut absent) {
            eprintln!("SKIPPED: {printed}: {missing}");
            continue;
        }
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments.split_whitespace())
            .current_dir(place.path());
        let ran = run_command(command);
        assert_eq!(ran.code, Some(0), "{printed}\n{ran}");
        assert!(!ran.stdout.is_empty(), "{printed}\n{ran}");
    }
}
