//! Rules about code: length of functions, unsafe, printing, purity, files that belong to no module.

use super::Finding;
use super::house::{House, Source};
use super::survey::{Function, Spot};

/// The most lines of a function, from `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;

/// What excuses a longer function, followed by the reason; cut in two so that this file does not
/// hold it.
pub(super) const EXCUSE: &str = concat!("// tidy: long", " because ");

/// The files that may hold unsafe code.
const UNSAFE_ALLOWED: [&str; 1] = ["backend-lmdb/src/env.rs"];

/// The crates that never print: what they have to say is a value or an event.
const SILENT: [&str; 7] = [
    "storage-api/src/",
    "backend-kit/src/",
    "backend-mem/src/",
    "backend-redb/src/",
    "backend-lmdb/src/",
    "backend-rocks/src/",
    "chain-store/src/",
];

/// The macros that print.
const PRINTING: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

/// The crates that touch neither files nor network nor processes.
const PURE: [&str; 1] = ["storage-api/src/"];

/// What pure code does not name.
const IMPURE: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::io::Write",
    "std::net",
    "std::os",
    "std::process",
    "std::thread::sleep",
    "io::Write",
    "fs::File",
];

/// Every Rust file can be parsed, or the other rules would pass over it.
pub(super) fn parses(house: &House) -> Vec<Finding> {
    let broken = house
        .sources
        .iter()
        .filter_map(|source| match &source.survey {
            Some(Err((line, message))) => Some(Finding::new(
                &source.path,
                *line,
                format!("cannot be parsed: {message}"),
            )),
            _ => None,
        });
    broken.collect()
}

/// A function fits on a screen, or says why not. An excuse that excuses nothing is found too.
pub(super) fn function_length(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        let Some(survey) = source.parsed() else {
            continue;
        };
        let mut excuses: Vec<usize> = source
            .numbered_lines()
            .filter(|(_, line)| {
                line.split_once(EXCUSE)
                    .is_some_and(|(_, why)| why.len() >= 10)
            })
            .map(|(number, _)| number)
            .collect();
        let long = |function: &&Function| {
            function.last_line - function.first_line + 1 > MAX_FUNCTION_LINES
                && !function.in_test
                && !source.is_test()
        };
        for function in survey.functions.iter().filter(long) {
            // The excuse stands right above the function, in its head or in its body.
            let place = function.head_line.saturating_sub(1)..=function.last_line;
            if let Some(index) = excuses.iter().position(|line| place.contains(line)) {
                excuses.remove(index);
                continue;
            }
            let lines = function.last_line - function.first_line + 1;
            let name = &function.name;
            let message = format!(
                "`{name}` has {lines} lines, more than {MAX_FUNCTION_LINES}: cut it or `{EXCUSE}`"
            );
            findings.push(Finding::new(&source.path, function.first_line, message));
        }
        for line in excuses {
            findings.push(Finding::new(
                &source.path,
                line,
                "excuses no function that is too long",
            ));
        }
    }
    findings
}

/// Unsafe code stands in few files, and every other crate forbids it at its root.
pub(super) fn unsafe_code(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        let Some(survey) = source.parsed() else {
            continue;
        };
        if !UNSAFE_ALLOWED.contains(&source.path.as_str()) {
            for line in &survey.unsafe_lines {
                findings.push(Finding::new(
                    &source.path,
                    *line,
                    "`unsafe` is not allowed in this file",
                ));
            }
        }
        let Some(folder) = crate_root(&source.path) else {
            continue;
        };
        let excepted = UNSAFE_ALLOWED.iter().any(|file| file.starts_with(folder));
        let forbids = survey
            .inner_attributes
            .iter()
            .any(|words| words == "forbid unsafe_code");
        if !forbids && !excepted {
            findings.push(Finding::new(
                &source.path,
                1,
                "lacks `#![forbid(unsafe_code)]`",
            ));
        }
    }
    findings
}

/// Libraries do not print.
pub(super) fn printing(house: &House) -> Vec<Finding> {
    spots_in(
        house,
        &SILENT,
        |source| &source.macros,
        |name| PRINTING.contains(&name),
    )
    .map(|(path, spot)| {
        Finding::new(
            path,
            spot.line,
            format!("a library does not call `{}!`", spot.name),
        )
    })
    .collect()
}

/// The contract touches nothing outside memory.
pub(super) fn purity(house: &House) -> Vec<Finding> {
    let impure = |name: &str| {
        IMPURE.into_iter().any(|one| {
            name.strip_prefix(one)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    spots_in(house, &PURE, |survey| &survey.paths, impure)
        .map(|(path, spot)| {
            Finding::new(
                path,
                spot.line,
                format!("`{}` has no place in a pure crate", spot.name),
            )
        })
        .collect()
}

/// Every file under `src` is a module of its crate; others are never compiled and rot.
pub(super) fn orphans(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in house.sources.iter().filter(|source| source.is_rust()) {
        let Some((folder, file)) = source.path.rsplit_once('/') else {
            continue;
        };
        let inside =
            folder.contains("/src/") || folder.ends_with("/src") || folder.contains("/tests/");
        let is_root =
            crate_root(&source.path).is_some() || folder.ends_with("/src/bin") || file == "main.rs";
        if !inside || is_root {
            continue;
        }
        let (parent, name) = match file {
            "mod.rs" => folder.rsplit_once('/').unwrap_or(("", folder)),
            _ => (folder, file.trim_end_matches(".rs")),
        };
        let candidates = [
            format!("{parent}/mod.rs"),
            format!("{parent}/lib.rs"),
            format!("{parent}/main.rs"),
            format!("{parent}.rs"),
        ];
        let named = house
            .sources
            .iter()
            .filter(|other| candidates.contains(&other.path))
            .filter_map(Source::parsed)
            .any(|survey| survey.modules.iter().any(|module| module == name));
        if !named {
            findings.push(Finding::new(
                &source.path,
                0,
                "is no module of its crate: never compiled",
            ));
        }
    }
    findings
}

/// The folder of the crate, with its slash, when the path is the root file of a library or program.
fn crate_root(path: &str) -> Option<&str> {
    let folder = path
        .strip_suffix("src/lib.rs")
        .or_else(|| path.strip_suffix("src/main.rs"))?;
    (folder.ends_with('/')).then_some(folder)
}

/// The spots outside test code in the given folders whose name is wanted.
fn spots_in<'a>(
    house: &'a House,
    folders: &'a [&'a str],
    kind: impl Fn(&'a super::survey::Survey) -> &'a Vec<Spot> + 'a,
    wanted: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, &'a Spot)> {
    let ours = |source: &&Source| {
        !source.is_test() && folders.iter().any(|folder| source.path.starts_with(folder))
    };
    let surveys = house.sources.iter().filter(ours);
    let surveys = surveys.filter_map(|source| Some((source.path.as_str(), source.parsed()?)));
    surveys
        .flat_map(move |(path, survey)| kind(survey).iter().map(move |spot| (path, spot)))
        .filter(move |(_, spot)| !spot.in_test && wanted(&spot.name))
}
