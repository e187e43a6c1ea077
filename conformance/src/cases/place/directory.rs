//! The directory of a persistent store: what is refused is not touched, reading changes no byte.
//!
//! The marker is the text file `CHAINSTORE` (docs/format/directory.md). Lock files are not content:
//! an opener may make them. Everything else is compared byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use storage_api::{ErrorKind, IfMissing, OpenOptions};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, STANDARD};
use crate::ops::{numbered_rows, rows_of};

/// Path inside the directory, length and checksum of every file.
type Content = BTreeMap<PathBuf, (u64, u32)>;

fn is_lock(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| name == "lock" || name.ends_with(".lock") || name == "lock.mdb")
}

fn content(directory: &Path) -> Result<Content, CaseError> {
    let (mut content, mut open) = (Content::new(), vec![directory.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let inside = path.strip_prefix(directory).unwrap_or(&path).to_path_buf();
            if path.is_dir() {
                content.insert(inside, (0, 0));
                open.push(path);
            } else if !is_lock(&path) {
                let bytes = fs::read(&path)?;
                content.insert(inside, (bytes.len() as u64, crc32c::crc32c(&bytes)));
            }
        }
    }
    Ok(content)
}

fn untouched(directory: &Path, before: &Content, what: &str) -> CaseResult {
    let now = content(directory)?;
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, file)| now.get(*path) != Some(file))
        .map(|(path, _)| path)
        .chain(now.keys().filter(|path| !before.contains_key(*path)))
        .collect();
    ensure!(
        changed.is_empty(),
        "{what}: these files changed, came or went: {changed:?}"
    );
    Ok(())
}

/// Makes a store with some rows at the lab's place and closes it.
fn made(lab: &Lab) -> Result<&Path, CaseError> {
    let directory = lab.directory()?;
    let s = lab.open()?;
    s.fill_rows(s.a, &numbered_rows(300))?;
    s.fill_rows(s.checked, &numbered_rows(30))?;
    s.sync()?;
    drop(s);
    // Openings settle what the first one left to do, such as replaying a log.
    drop(lab.open()?);
    Ok(directory)
}

pub(crate) fn a_missing_directory_is_not_made(lab: &Lab) -> CaseResult {
    let directory = lab.directory()?;
    let mut options = OpenOptions::new();
    options.if_missing = IfMissing::Fail;
    let refused = lab.open_with(&STANDARD, &options);
    ensure_refused!(refused, ErrorKind::NotFound { .. }, "a missing directory");
    let refused = lab.open_existing(&OpenOptions::new());
    ensure_refused!(
        refused,
        ErrorKind::NotFound { .. },
        "a missing directory, no schema"
    );
    let refused = lab.open_with(&STANDARD, &OpenOptions::read_only());
    ensure_refused!(
        refused,
        ErrorKind::NotFound { .. },
        "a missing directory, read-only"
    );
    ensure!(!directory.exists(), "a refused opening made the directory");
    drop(lab.open()?);
    ensure!(
        directory.is_dir(),
        "an opening that may make the directory did not"
    );
    Ok(())
}

pub(crate) fn an_empty_directory_is_taken(lab: &Lab) -> CaseResult {
    let directory = lab.directory()?;
    fs::create_dir_all(directory)?;
    let refused = lab.open_existing(&OpenOptions::new());
    ensure_refused!(
        refused,
        ErrorKind::NotFound { .. } | ErrorKind::NotAStore { .. },
        "an empty directory, where a store must be"
    );
    let s = lab.open()?;
    ensure!(
        s.report.created,
        "a store in an empty directory is reported as found"
    );
    s.put(s.a, b"k", b"v")?;
    s.table_holds(
        s.a,
        &rows_of([(b"k", b"v")]),
        "a store in an empty directory",
    )
}

pub(crate) fn a_foreign_directory_is_not_touched(lab: &Lab) -> CaseResult {
    let directory = lab.directory()?;
    fs::create_dir_all(directory.join("photos"))?;
    fs::write(directory.join("thesis.txt"), b"not to be lost")?;
    fs::write(directory.join("photos/1"), b"\xff\xd8")?;
    let before = content(directory)?;
    for options in [OpenOptions::new(), OpenOptions::read_only()] {
        let refused = lab.open_with(&STANDARD, &options);
        ensure_refused!(
            refused,
            ErrorKind::NotAStore { .. },
            "somebody else's directory"
        );
        untouched(directory, &before, "somebody else's directory")?;
    }
    let locks = fs::read_dir(directory)?.count();
    ensure_eq!(
        locks,
        2,
        "entries of somebody else's directory, lock files included"
    );
    Ok(())
}

pub(crate) fn a_file_in_its_place_is_not_touched(lab: &Lab) -> CaseResult {
    let directory = lab.directory()?;
    fs::write(directory, b"a file")?;
    let refused = lab.open();
    ensure_refused!(
        refused,
        ErrorKind::NotAStore { .. } | ErrorKind::Io { .. },
        "a file where the directory should be"
    );
    ensure_eq!(fs::read(directory)?, b"a file", "the file");
    Ok(())
}

const MARKER: &str = "CHAINSTORE";

/// Rewrites one line of the marker, with its checksum made right again.
fn edit_marker(directory: &Path, edit: &dyn Fn(&str) -> String) -> CaseResult {
    let path = directory.join(MARKER);
    let text = fs::read_to_string(&path)
        .map_err(|_| CaseError::skipped("the directory has no marker of ours"))?;
    let mut edited = String::new();
    for line in text.lines().filter(|line| !line.starts_with("crc32c ")) {
        edited.push_str(&edit(line));
        edited.push('\n');
    }
    ensure!(
        edited
            .lines()
            .ne(text.lines().filter(|l| !l.starts_with("crc32c "))),
        "no such line"
    );
    let sum = crc32c::crc32c(edited.as_bytes());
    fs::write(path, format!("{edited}crc32c {sum:08x}\n"))?;
    Ok(())
}

/// Opens in every way and expects the same refusal and no change each time.
fn refused_and_untouched(
    lab: &Lab,
    directory: &Path,
    is_right: &dyn Fn(&ErrorKind) -> bool,
    what: &str,
) -> CaseResult {
    let before = content(directory)?;
    let openings = [
        lab.open().map(|_| ()),
        lab.open_existing(&OpenOptions::new()).map(|_| ()),
        lab.open_with(&STANDARD, &OpenOptions::read_only())
            .map(|_| ()),
    ];
    for (at, opened) in openings.into_iter().enumerate() {
        let kind = opened.map_err(|error| error.kind().clone());
        let right = kind.as_ref().is_err_and(is_right);
        ensure!(
            right,
            "{what}: opening {at}: expected a refusal that says so, found {kind:?}"
        );
        untouched(directory, &before, what)?;
    }
    Ok(())
}

pub(crate) fn another_engines_directory_is_refused(lab: &Lab) -> CaseResult {
    let directory = made(lab)?;
    let marker = fs::read(directory.join(MARKER)).unwrap_or_default();
    edit_marker(directory, &|line| match line.strip_prefix("engine ") {
        Some(_) => "engine another".to_owned(),
        None => line.to_owned(),
    })?;
    let is_right = |kind: &ErrorKind| match kind {
        ErrorKind::WrongEngine { found, .. } => found == "another",
        _ => false,
    };
    refused_and_untouched(lab, directory, &is_right, "another engine's directory")?;
    fs::write(directory.join(MARKER), marker)?;
    let s = lab.open()?;
    s.table_holds(s.a, &numbered_rows(300), "after the marker was put back")
}

pub(crate) fn a_newer_format_is_refused(lab: &Lab) -> CaseResult {
    let directory = made(lab)?;
    let marker = fs::read(directory.join(MARKER)).unwrap_or_default();
    edit_marker(
        directory,
        &|line| match line.strip_prefix("engine-format ") {
            Some(_) => "engine-format 4000000000".to_owned(),
            None => line.to_owned(),
        },
    )?;
    let is_right = |kind: &ErrorKind| {
        matches!(
            kind,
            ErrorKind::FormatTooNew {
                found: 4_000_000_000,
                ..
            }
        )
    };
    refused_and_untouched(
        lab,
        directory,
        &is_right,
        "a newer format of the engine's tables",
    )?;
    fs::write(directory.join(MARKER), &marker)?;
    edit_marker(directory, &|line| {
        line.strip_prefix("chainstore-directory ")
            .map_or_else(|| line.to_owned(), |_| "chainstore-directory 9".to_owned())
    })?;
    let is_right = |kind: &ErrorKind| matches!(kind, ErrorKind::FormatTooNew { found: 9, .. });
    refused_and_untouched(lab, directory, &is_right, "a newer format of the marker")?;
    fs::write(directory.join(MARKER), marker)?;
    let s = lab.open()?;
    s.table_holds(s.a, &numbered_rows(300), "after the marker was put back")
}

pub(crate) fn a_damaged_marker_is_refused(lab: &Lab) -> CaseResult {
    let directory = made(lab)?;
    let path = directory.join(MARKER);
    let marker =
        fs::read(&path).map_err(|_| CaseError::skipped("the directory has no marker of ours"))?;
    let is_right = |kind: &ErrorKind| {
        matches!(
            kind,
            ErrorKind::Corruption { .. }
                | ErrorKind::NotAStore { .. }
                | ErrorKind::FormatTooNew { .. }
        )
    };
    for at in [0, 30, marker.len() / 2, marker.len() - 3] {
        let mut damaged = marker.clone();
        damaged[at] ^= 0x04;
        fs::write(&path, &damaged)?;
        refused_and_untouched(
            lab,
            directory,
            &is_right,
            &format!("byte {at} of the marker"),
        )?;
    }
    for len in [0, 1, marker.len() / 2, marker.len() - 1] {
        fs::write(&path, &marker[..len])?;
        refused_and_untouched(
            lab,
            directory,
            &is_right,
            &format!("a marker of {len} bytes"),
        )?;
    }
    fs::remove_file(&path)?;
    refused_and_untouched(lab, directory, &is_right, "a store without its marker")?;
    fs::write(&path, marker)?;
    let s = lab.open()?;
    s.table_holds(s.a, &numbered_rows(300), "after the marker was put back")
}

pub(crate) fn read_only_changes_no_byte(lab: &Lab) -> CaseResult {
    let directory = made(lab)?;
    let before = content(directory)?;
    for round in 0..3 {
        let opened = match round {
            0 => lab.open_with(&STANDARD, &OpenOptions::read_only()),
            _ => lab.open_existing(&OpenOptions::read_only()),
        };
        if opened
            .as_ref()
            .is_err_and(|e| matches!(e.kind(), ErrorKind::Unsupported { .. }))
        {
            return Err(CaseError::unsupported("opening read-only is refused"));
        }
        let s = opened?;
        s.table_holds(s.a, &numbered_rows(300), "read-only")?;
        s.table_holds(s.checked, &numbered_rows(30), "read-only")?;
        s.stats()?;
        s.table_stats(s.a)?;
        untouched(directory, &before, "while open read-only")?;
        drop(s);
        untouched(directory, &before, "after closing")?;
    }
    Ok(())
}

pub(crate) fn trap_17_the_lock_goes_with_the_holder(lab: &Lab) -> CaseResult {
    let directory = made(lab)?;
    for _ in 0..3 {
        let s = lab.open()?;
        // Names only: a live engine removes files of its own while somebody looks.
        let held = std::fs::read_dir(directory)?.count();
        ensure_refused!(lab.open(), ErrorKind::AlreadyOpen { .. }, "a second writer");
        let pid = match lab.open().map(|_| ()).map_err(|error| error.kind().clone()) {
            Err(ErrorKind::AlreadyOpen { holder_pid, .. }) => holder_pid,
            other => {
                return Err(CaseError::failed(format!(
                    "expected AlreadyOpen: {other:?}"
                )));
            }
        };
        ensure!(
            pid.is_none_or(|pid| pid == std::process::id()),
            "the holder's process is given as {pid:?}"
        );
        ensure!(held > 0, "the directory of an open store is empty");
        drop(s);
    }
    // What a dead process leaves behind is a lock file that nobody holds.
    let s = lab.open()?;
    s.table_holds(s.a, &numbered_rows(300), "after three holders")
}
