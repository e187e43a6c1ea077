//! What proves the product on the user's own machine: the conformance suite and the comparison.
//!
//! Invariant: these commands make stores of their own in a directory below `--dir` and remove them;
//! they touch no store of the user's.

#[cfg(feature = "bench")]
pub(crate) mod bench;
#[cfg(feature = "conform")]
pub(crate) mod conform;
#[cfg(feature = "conform")]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use chain_store::EngineName;

use crate::exit::Stop;

/// The engines of `--engine`: `all` in this build, or names between commas.
fn engines(words: &[String]) -> Result<Vec<EngineName>> {
    if let [all] = words
        && all == "all"
    {
        return Ok(EngineName::compiled().collect());
    }
    let engine = |word: &String| -> Result<EngineName> {
        let engine: EngineName = word.parse()?;
        if engine.is_compiled() {
            return Ok(engine);
        }
        Err(Stop::Unsupported(engine.not_compiled().to_string()).into())
    };
    words.iter().map(engine).collect()
}

/// A directory for stores, made below `dir` or where the system keeps temporary files.
fn workplace(dir: Option<&Path>) -> Result<tempfile::TempDir> {
    let parent = dir.map_or_else(std::env::temp_dir, PathBuf::from);
    fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
    tempfile::Builder::new()
        .prefix("chainstore-")
        .tempdir_in(&parent)
        .with_context(|| format!("making a directory in {}", parent.display()))
}

/// The command line that makes this run again.
fn command_line() -> String {
    let words = std::env::args().skip(1);
    std::iter::once("chainstore".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// This program, to be started again as another process.
fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("this program's own path is unknown")
}

/// Seconds since 1970 as `2026-11-21`, by the system's own tool; the words `unknown` where it is
/// missing.
fn today() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.ok().filter(|out| out.status.success());
    let date = date.and_then(|out| String::from_utf8(out.stdout).ok());
    date.map_or("unknown".to_owned(), |date| date.trim().to_owned())
}
