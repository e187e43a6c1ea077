//! Rules about text: head comment, length, width, ASCII, unfinished work, size of folders.

use std::collections::BTreeMap;

use super::Finding;
use super::house::{House, Source};

/// The most lines of a file that is not test code, and of one that is.
const MAX_LINES: usize = 800;
const MAX_TEST_LINES: usize = 1200;

/// The most columns of a line of Rust or shell.
const MAX_COLUMNS: usize = 100;

/// The most Rust files side by side in one folder.
const MAX_FILES: usize = 12;

/// Words that say that work is not finished, cut in two so that this file does not hold them.
const UNFINISHED: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// Every Rust file starts with `//!`, after a `#!` line if it has one.
pub(super) fn head_comment(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in rust(house) {
        let mut lines = source.numbered_lines().skip_while(|(number, line)| {
            *number == 1 && line.starts_with("#!") && !line.starts_with("#![")
        });
        let (number, first) = lines.next().unwrap_or((1, ""));
        let said = first
            .strip_prefix("//!")
            .is_some_and(|said| !said.trim().is_empty());
        if !said {
            findings.push(Finding::new(
                &source.path,
                number,
                "does not start with a `//!` comment",
            ));
        }
    }
    findings
}

/// A file that must be scrolled for long is two files.
pub(super) fn length(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in rust(house) {
        let most = if source.is_test() {
            MAX_TEST_LINES
        } else {
            MAX_LINES
        };
        let lines = source.text.lines().count();
        if lines > most {
            let message = format!("{lines} lines, more than {most}");
            findings.push(Finding::new(&source.path, most + 1, message));
        }
    }
    findings
}

/// Lines fit beside each other on a screen; rustfmt leaves comments and strings alone. A line with
/// an address may be longer.
pub(super) fn width(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wanted = |source: &&Source| source.is_rust() || is_shell(source);
    for source in house.sources.iter().filter(wanted) {
        for (number, line) in source.numbered_lines() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS && !line.contains("://") {
                let message = format!("{columns} columns, more than {MAX_COLUMNS}");
                findings.push(Finding::new(&source.path, number, message));
            }
        }
    }
    findings
}

/// Sources are ASCII, so that what a reader sees is what the compiler sees.
pub(super) fn ascii(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        for (number, line) in source.numbered_lines() {
            if let Some(other) = line
                .chars()
                .find(|c| !c.is_ascii() || c.is_ascii_control() && *c != '\t')
            {
                let message = format!("holds {}, which is not plain ASCII", other.escape_unicode());
                findings.push(Finding::new(&source.path, number, message));
            }
        }
    }
    findings
}

/// Unfinished work is an issue with a number, not a word in a comment.
pub(super) fn unfinished(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        for (number, line) in source.numbered_lines() {
            let word = UNFINISHED.into_iter().find(|word| has_word(line, word));
            if let Some(word) = word
                && !names_issue(line)
            {
                let message = format!("`{word}` without the number of an issue, as in #123");
                findings.push(Finding::new(&source.path, number, message));
            }
        }
    }
    findings
}

/// A folder can be taken in at a glance.
pub(super) fn folder_size(house: &House) -> Vec<Finding> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for source in rust(house) {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or(".", |(folder, _)| folder);
        *folders.entry(folder).or_default() += 1;
    }
    let crowded = folders.into_iter().filter(|(_, count)| *count > MAX_FILES);
    crowded
        .map(|(folder, count)| {
            let message = format!("{count} Rust files in one folder, more than {MAX_FILES}");
            Finding::new(folder, 0, message)
        })
        .collect()
}

fn rust(house: &House) -> impl Iterator<Item = &Source> {
    house.sources.iter().filter(|source| source.is_rust())
}

fn is_shell(source: &Source) -> bool {
    source.path.ends_with(".sh") || source.path == ".ci/run"
}

/// Whether a line holds a word that is not a part of a longer one.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn names_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}
