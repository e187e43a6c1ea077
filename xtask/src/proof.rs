//! `cargo xtask proof`: runs the proofs that count (crash images, kills, faults, damage, forgotten
//! readers) at full scale and writes what they counted as one page.
//!
//! Invariants: the figures are those that the tests wrote themselves, one JSON object a line; a
//! test that fails fails the task, and no page is written; the page says how to make it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use crate::host;
use crate::test::{Suite, TestScale};

/// The files that tests write, with a title and what the figures mean.
const PAGES: [(&str, &str, &str); 5] = [
    (
        "images.jsonl",
        "Power cuts of redb",
        "Crash images made at redb's storage seam: writes behind the last sync kept up to a point, \
         dropped, torn at 512 bytes and 4 KiB, reordered; each opened through the store. `nested`: \
         cut again while it was being repaired. Violations are acknowledged commits that were \
         gone, torn commits, rows that nobody wrote, stores that did not open.",
    ),
    (
        "crash.jsonl",
        "Killed processes",
        "A process that commits and tells of each commit is killed, at random instants and at each \
         of its system calls on files, and again while the store recovers. After each kill the \
         store opens, everything acknowledged is there, what is there is a prefix, nothing is \
         torn. Imports of chain files likewise, at each call that changes a file: the store holds \
         the blocks that were told, or one more, every lookup agrees with the file, and the next \
         import ends with the digests of one that nothing disturbed.",
    ),
    (
        "faults.jsonl",
        "Failing system calls, full disks, no descriptors",
        "Each system call of a short life fails in turn, by `strace`; file systems that are really \
         full; limits of size and of descriptors. Errors are typed, reads go on, nothing \
         acknowledged is lost, writing works again after reopening.",
    ),
    (
        "damage.jsonl",
        "Flipped bits",
        "One bit of a closed store's files is flipped, anywhere or where it hurts most. `wrong`: a \
         read gave a value that was never stored. `stale`: an older value. `misplaced`: a row \
         under another key. `lost`: a key that was gone. `died`: the process ended by a signal. \
         `refused`: the store did not open. `errors`: a read gave a typed error. `right`: \
         everything was read as it was written. `undetected`: the content was not the original and \
         `verify` found nothing. With the envelope `undetected` and `wrong` are 0 on every \
         engine; without it the table says honestly what each engine does.",
    ),
    (
        "reader.jsonl",
        "A forgotten reader",
        "Commits beside one view that is never dropped, and the same commits without it.",
    ),
];

/// The tests that write figures: the package and the filters.
const TESTS: [(&str, &[&str]); 2] = [
    ("backend-redb", &["power_cut"]),
    ("chain-store", &["harm::", "reader::"]),
];

/// Reads the arguments after `proof`.
pub(crate) fn out(arguments: &[&str]) -> Result<PathBuf> {
    match arguments {
        [] => Ok(host::workspace_root().join("docs/reports/proof.md")),
        ["--out", file] => Ok(PathBuf::from(file)),
        _ => bail!("usage: cargo xtask proof [--out FILE]"),
    }
}

/// Runs the proofs and writes the page.
pub(crate) fn run(out: &Path) -> Result<()> {
    let figures = tempfile::tempdir().context("making a directory for the figures")?;
    let suite = Suite::provide(TestScale::Full)?;
    for (package, filters) in TESTS {
        suite.run_proof(package, filters, figures.path())?;
    }
    let page = page(figures.path())?;
    fs::write(out, page).with_context(|| format!("writing {}", out.display()))?;
    println!("wrote {}", out.display());
    Ok(())
}

fn page(figures: &Path) -> Result<String> {
    let mut page = "# What the proofs counted\n\nMade by\n\n```sh\ncargo xtask proof\n```\n\n\
        Counts of one run at full scale, as the tests wrote them. The method is in \
        [testing.md](../testing.md); every test fails on the first violation, and each harness is \
        shown stores with planted bugs that it must condemn.\n"
        .to_owned();
    for (file, title, about) in PAGES {
        let path = figures.join(file);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no test wrote {}", path.display()))?;
        let objects = text.lines().map(serde_json::from_str);
        let objects: Vec<Map<String, Value>> = objects.collect::<Result<_, _>>()?;
        let _ = write!(page, "\n## {title}\n\n{}\n", wrapped(about));
        for (columns, rows) in tables(&objects) {
            page.push('\n');
            line(&mut page, columns.iter().map(String::as_str));
            line(&mut page, columns.iter().map(|_| "---"));
            for row in rows {
                line(&mut page, row.iter().map(String::as_str));
            }
        }
    }
    Ok(page)
}

/// Words in lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, String::len);
        if used > 0 && used + 1 + word.len() > 100 {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

fn line<'c>(page: &mut String, cells: impl Iterator<Item = &'c str>) {
    page.push('|');
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = write!(page, " {} |", cell.replace('|', "/"));
    }
    page.push('\n');
}

type Table = (Vec<String>, Vec<Vec<String>>);

/// What every object is named by; these come first.
const NAMES: [&str; 3] = ["engine", "configuration", "what"];

/// Tables of objects that have the same fields, one for each set of fields.
fn tables(objects: &[Map<String, Value>]) -> Vec<Table> {
    let mut groups: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
    for object in objects {
        let flat = flat(object);
        let named = NAMES
            .iter()
            .copied()
            .filter(|name| flat.contains_key(*name));
        let rest = flat.keys().map(String::as_str);
        let rest = rest.filter(|name| !NAMES.contains(name));
        let columns: Vec<String> = named.chain(rest).map(str::to_owned).collect();
        let row = columns.iter().map(|name| flat[name].clone()).collect();
        groups.entry(columns).or_default().push(row);
    }
    let mut tables: Vec<Table> = groups.into_iter().collect();
    for (_, rows) in &mut tables {
        rows.sort();
    }
    tables
}

/// The fields of an object as text. A map of counts becomes one cell, so that engines whose counts
/// have different names stay in one table; places are told by their number, and times not at all,
/// because they say nothing about what was proved.
fn flat(object: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    for (name, value) in object {
        match value {
            Value::Object(counts) if name == "places" => {
                flat.insert("places reached".to_owned(), counts.len().to_string());
            }
            Value::Object(counts) => {
                let counts = counts.iter().map(|(what, count)| format!("{what} {count}"));
                flat.insert(name.clone(), counts.collect::<Vec<_>>().join("; "));
            }
            Value::String(text) => {
                flat.insert(name.clone(), text.clone());
            }
            _ if name == "millis" || name == "took_ms" || name == "seed" => {}
            value => {
                flat.insert(name.clone(), value.to_string());
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_the_same_fields_share_a_table() {
        let parse = |text: &str| serde_json::from_str(text);
        let objects: Result<Vec<_>, _> = [
            r#"{"engine":"b","n":2,"millis":7}"#,
            r#"{"engine":"a","n":1,"millis":9}"#,
            r#"{"engine":"a","what":"killed","counts":{"kills":3},"places":{"x":1,"y":1}}"#,
        ]
        .into_iter()
        .map(parse)
        .collect();
        let tables = tables(&objects.unwrap_or_default());
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            tables,
            [
                (
                    words(&["engine", "n"]),
                    vec![words(&["a", "1"]), words(&["b", "2"])]
                ),
                (
                    words(&["engine", "what", "counts", "places reached"]),
                    vec![words(&["a", "killed", "kills 3", "2"])]
                ),
            ]
        );
    }

    #[test]
    fn arguments_are_read_or_refused() {
        assert!(out(&["--out", "x.md"]).is_ok_and(|path| path == Path::new("x.md")));
        assert!(out(&["--fast"]).is_err());
    }
}
