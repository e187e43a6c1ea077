//! The project's own tasks, run as `cargo xtask <task>`.
//!
//! This file only reads the task's name and hands over. A task that finds something wrong ends with
//! a non-zero exit; what was found has been printed by then.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Result, bail};

mod cache;
mod failures;
mod host;
mod libclang;
mod msrv;
mod proof;
mod rocksdb;
mod soak;
mod steps;
mod strace;
mod test;
mod tidy;

const USAGE: &str = "\
usage: cargo xtask <task>

  test [--require-all] [--quiet]   provide what is missing and run all tests
  tidy                             check the rules of the house, formatting and clippy
  soak --minutes N                 run the long variants with new seeds
  proof [--out FILE]               run what counts crashes, faults and damage, and write the page
  rocksdb                          build RocksDB into the cache, once
  env                              print the variables that make cargo use it, for `eval`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<bool> {
    match arguments {
        ["test", rest @ ..] => test::run(test::options(rest)?),
        ["tidy"] => test::run_tidy(),
        ["soak", rest @ ..] => soak::run(soak::minutes(rest)?).map(|()| true),
        ["proof", rest @ ..] => proof::run(&proof::out(rest)?).map(|()| true),
        ["rocksdb"] => {
            for (name, value) in rocksdb::provide()? {
                println!("{name}={value}");
            }
            Ok(true)
        }
        ["env"] => {
            for (name, value) in rocksdb::provide()? {
                println!("export {name}={}", quoted(&value));
            }
            Ok(true)
        }
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => bail!("no such task\n{USAGE}"),
    }
}

/// A value as one word of a shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tasks_are_refused() {
        assert!(dispatch(&["tests"]).is_err());
        assert!(dispatch(&[]).is_err());
        assert!(dispatch(&["tidy", "--fix"]).is_err());
    }

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
