//! What the rules look at: the sources, the names of all files, the crates and their dependencies.
//!
//! Read once, before any rule runs; rules touch neither disk nor cargo, so each of them can be
//! shown a made-up house. Paths are relative to the workspace root and use `/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, PackageId};

use crate::host;

use super::survey::Survey;

/// Folders that hold no sources of ours, wherever they stand.
const NOT_OURS: [&str; 2] = [".git", "target"];

/// Everything the rules may know.
#[derive(Debug, Default)]
pub(crate) struct House {
    /// Rust, TOML, Markdown and shell files, in path order.
    pub(crate) sources: Vec<Source>,
    /// Every file.
    pub(crate) paths: BTreeSet<String>,
    /// The members of the workspace.
    pub(crate) crates: Vec<Crate>,
    /// For every member, the names of all outside packages that its normal and build dependencies
    /// pull in.
    pub(crate) pulled_in: BTreeMap<String, BTreeSet<String>>,
}

/// One text file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// What is in the code; an error when a Rust file cannot be parsed; nothing for other files.
    pub(crate) survey: Option<Result<Survey, (usize, String)>>,
}

/// One member of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// The path of its manifest.
    pub(crate) manifest: String,
    pub(crate) arrows: Vec<Arrow>,
}

/// A dependency of one member on another.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) to: String,
    pub(crate) strength: Strength,
}

/// How firmly an arrow binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    Always,
    BehindFeature,
    TestsOnly,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let survey = path.ends_with(".rs").then(|| Survey::of(&text));
        Self {
            path: path.to_owned(),
            text,
            survey,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// The survey of a Rust file that parses.
    pub(crate) fn parsed(&self) -> Option<&Survey> {
        self.survey.as_ref().and_then(|survey| survey.as_ref().ok())
    }

    /// The lines with their numbers, counted from one.
    pub(crate) fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .zip(1..)
            .map(|(line, number)| (number, line))
    }
}

impl House {
    /// Reads the workspace; parses every Rust file, which takes a second or two.
    pub(crate) fn read() -> Result<Self> {
        let root = host::workspace_root();
        let mut house = Self::default();
        house.walk(root, "")?;
        let metadata = host::metadata()?;
        house.crates = crates(&metadata, root);
        house.pulled_in = pulled_in(&metadata);
        Ok(house)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let cannot = || format!("cannot read {}", dir.display());
        let mut entries = fs::read_dir(dir)
            .with_context(cannot)?
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry
                .file_type()
                .with_context(|| format!("cannot read {path}"))?;
            if kind.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                }
                continue;
            }
            if is_source(&path) {
                let bytes =
                    fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                // Bytes that are not UTF-8 become replacement characters, which the ASCII rule
                // finds.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.sources.push(Source::new(&path, text));
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

fn is_source(path: &str) -> bool {
    let known = ["rs", "toml", "md", "sh"];
    path == ".ci/run"
        || path
            .rsplit_once('.')
            .is_some_and(|(_, end)| known.contains(&end))
}

fn crates(metadata: &Metadata, root: &Path) -> Vec<Crate> {
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut crates = Vec::new();
    for member in members {
        let manifest = member
            .manifest_path
            .strip_prefix(root)
            .unwrap_or(&member.manifest_path);
        let inside = |dependency: &&cargo_metadata::Dependency| {
            dependency.path.is_some() && names.contains(dependency.name.as_str())
        };
        let arrows = member
            .dependencies
            .iter()
            .filter(inside)
            .map(|dependency| Arrow {
                to: dependency.name.clone(),
                strength: match dependency.kind {
                    DependencyKind::Development => Strength::TestsOnly,
                    _ if dependency.optional => Strength::BehindFeature,
                    _ => Strength::Always,
                },
            });
        crates.push(Crate {
            name: member.name.to_string(),
            manifest: manifest.as_str().replace('\\', "/"),
            arrows: arrows.collect(),
        });
    }
    crates
}

fn pulled_in(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let nodes = metadata
        .resolve
        .as_ref()
        .map_or(&[][..], |resolve| &resolve.nodes);
    let mut below: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
    for node in nodes {
        let used = node.deps.iter().filter(|dep| {
            dep.dep_kinds
                .iter()
                .any(|kind| kind.kind != DependencyKind::Development)
        });
        below.insert(&node.id, used.map(|dep| &dep.pkg).collect());
    }
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let members: BTreeSet<&PackageId> = metadata.workspace_members.iter().collect();

    let mut all = BTreeMap::new();
    for member in &metadata.workspace_members {
        let mut seen = BTreeSet::from([member]);
        let mut open = vec![member];
        while let Some(id) = open.pop() {
            let next = below.get(id).map_or(&[][..], Vec::as_slice);
            open.extend(next.iter().copied().filter(|next| seen.insert(*next)));
        }
        let outside = seen.iter().filter(|id| !members.contains(*id));
        let outside = outside
            .filter_map(|id| names.get(id))
            .map(|name| (*name).to_owned());
        let name = names.get(member).copied().unwrap_or_default();
        all.insert(name.to_owned(), outside.collect());
    }
    all
}
