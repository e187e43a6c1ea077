//! The README's commands run as they stand there.

use std::fs;
use std::process::Command;

use chain_store::EngineName;

use crate::chain;
use crate::support::{PROGRAM, run_command};

const README: &str = include_str!("../../../README.md");

#[test]
fn every_command_of_the_readme_runs() {
    let commands: Vec<&str> = README
        .lines()
        .filter(|line| line.starts_with("chainstore "))
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
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
    for line in commands {
        let mut command = Command::new(PROGRAM);
        command
            .args(line.split_whitespace().skip(1))
            .current_dir(place.path());
        let ran = run_command(command);
        assert_eq!(ran.code, Some(0), "{line}\n{ran}");
        assert!(!ran.stdout.is_empty(), "{line}\n{ran}");
    }
}
