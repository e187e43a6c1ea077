//! Rules about documents: formats have fixtures, the map names every crate, links lead somewhere.

use super::Finding;
use super::house::{House, Source};
use super::text::has_word;

/// The one-page map of the workspace.
const MAP: &str = "ARCHITECTURE.md";

/// The page a newcomer reads first.
const ENTRY: &str = "README.md";

/// Where formats are described.
const FORMATS: &str = "docs/format/";

/// Where fixtures lie, inside a crate.
const FIXTURES: &str = "/tests/fixtures/";

/// What a fixture's name holds when it must be refused.
const CORRUPT: &str = "corrupt";

/// Every described format has a file that must be read and one that must be refused:
/// `docs/format/NAME.md` goes with fixtures whose name is `NAME` or starts with `NAME.` or `NAME-`.
pub(super) fn formats(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.sources {
        let name = source
            .path
            .strip_prefix(FORMATS)
            .and_then(|name| name.strip_suffix(".md"));
        let Some(name) = name.filter(|name| *name != "README" && !name.contains('/')) else {
            continue;
        };
        let belongs = |fixture: &&str| {
            fixture
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['.', '-', '/']))
        };
        let all = house
            .paths
            .iter()
            .filter_map(|path| path.split_once(FIXTURES));
        let (corrupt, sound): (Vec<&str>, Vec<&str>) = all
            .map(|(_, fixture)| fixture)
            .filter(belongs)
            .partition(|name| name.contains(CORRUPT));
        if sound.is_empty() {
            let message = format!("no fixture `*{FIXTURES}{name}.*` shows this format");
            findings.push(Finding::new(&source.path, 0, message));
        }
        if corrupt.is_empty() {
            let message = format!("no fixture `*{FIXTURES}{name}*{CORRUPT}*` is refused");
            findings.push(Finding::new(&source.path, 0, message));
        }
    }
    findings
}

/// The map names every crate.
pub(super) fn architecture(house: &House) -> Vec<Finding> {
    let Some(map) = find(house, MAP) else {
        return vec![Finding::new(MAP, 0, "is missing")];
    };
    let missing = house
        .crates
        .iter()
        .filter(|member| !has_word(&map.text, &member.name));
    missing
        .map(|member| Finding::new(MAP, 0, format!("does not name `{}`", member.name)))
        .collect()
}

/// Links to files lead to files, in every document; the entry page exists.
pub(super) fn links(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    if find(house, ENTRY).is_none() {
        findings.push(Finding::new(ENTRY, 0, "is missing"));
    }
    for source in house
        .sources
        .iter()
        .filter(|source| source.path.ends_with(".md"))
    {
        for (number, target) in link_targets(source) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let resolved = resolve(&source.path, path);
            if !resolved.is_some_and(|path| exists(house, &path)) {
                let message = format!("the link to `{target}` leads nowhere");
                findings.push(Finding::new(&source.path, number, message));
            }
        }
    }
    findings
}

fn find<'a>(house: &'a House, path: &str) -> Option<&'a Source> {
    house.sources.iter().find(|source| source.path == path)
}

/// The targets of inline links outside code, with their lines.
fn link_targets(source: &Source) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut in_fence = false;
    for (number, line) in source.numbered_lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        if in_fence {
            continue;
        }
        // Odd pieces between backticks are code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for after in prose.split("](").skip(1) {
            if let Some((target, _)) = after.split_once(')') {
                let target = target.split_whitespace().next().unwrap_or_default();
                targets.push((number, target.to_owned()));
            }
        }
    }
    targets
}

/// The path from the root for a link in a document; nothing when it leaves the workspace.
fn resolve(document: &str, link: &str) -> Option<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(link) = link.strip_prefix('/') {
        return Some(link.to_owned());
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn exists(house: &House, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || house.paths.contains(path)
        || house
            .paths
            .range(folder.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(&folder))
}
