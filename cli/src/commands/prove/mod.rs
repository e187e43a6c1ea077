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

/// The command line that makes this run again, for a page that others read: without the note,
/// which stands in the page, and without the directories of this machine.
fn command_line() -> String {
    printed_command(std::env::args().skip(1))
}

fn printed_command(mut words: impl Iterator<Item = String>) -> String {
    let mut command = "chainstore".to_owned();
    while let Some(word) = words.next() {
        if word == "--note" {
            words.next();
        } else if !word.starts_with("--note=") {
            command.push(' ');
            command.push_str(&quoted(&without_directories(&word)));
        }
    }
    command
}

/// An absolute path, alone or as the value of an option, as its last part.
fn without_directories(word: &str) -> String {
    let (option, value) = match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
        _ => (String::new(), word),
    };
    let path = Path::new(value);
    let shown = path.file_name().filter(|_| path.is_absolute());
    let shown = shown.map_or(value.into(), |name| name.to_string_lossy());
    format!("{option}{shown}")
}

/// A word as a shell reads it as one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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

#[cfg(test)]
mod tests {
    use super::printed_command;

    fn printed(words: &[&str]) -> String {
        printed_command(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_printed_command_can_be_pasted_and_tells_no_directory() {
        let words = [
            "bench",
            "--engines",
            "all",
            "--note",
            "of two words",
            "--rows",
            "10",
        ];
        assert_eq!(printed(&words), "chainstore bench --engines all --rows 10");
        assert_eq!(
            printed(&[
                "conform",
                "--note=a b",
                "--dir=/srv/x y",
                "--out",
                "/tmp/reports"
            ]),
            "chainstore conform '--dir=x y' --out reports"
        );
        assert_eq!(
            printed(&["get", "it's", ""]),
            r"chainstore get 'it'\''s' ''"
        );
        assert_eq!(
            printed(&["--store", "redb:./a"]),
            "chainstore --store redb:./a"
        );
    }
}
