//! The rules of the house, checked by a program so that no reviewer has to.
//!
//! Each rule is a function from what was read (`House`) to findings; it touches neither disk nor
//! cargo, and its tests show it a good and a bad sample. `findings` runs them all and rustfmt;
//! clippy, which must compile, is a step of its own.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::host;
use house::House;

mod arrows;
mod code;
mod docs;
mod house;
mod survey;
mod text;

#[cfg(test)]
mod tests;

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from one; zero when the finding is about the whole.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A rule looks at the house and tells what is wrong.
type Rule = fn(&House) -> Vec<Finding>;

/// All rules.
const RULES: [Rule; 17] = [
    text::head_comment,
    text::length,
    text::width,
    text::ascii,
    text::unfinished,
    text::folder_size,
    code::parses,
    code::function_length,
    code::unsafe_code,
    code::printing,
    code::purity,
    code::orphans,
    arrows::arrows,
    arrows::pulled_in,
    docs::formats,
    docs::architecture,
    docs::links,
];

/// Everything that is wrong in the workspace, in path order; takes a few seconds.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let house = House::read()?;
    let mut findings = check(&house);
    findings.extend(unformatted(&house)?);
    findings.sort();
    Ok(findings)
}

/// What the rules say about a house.
fn check(house: &House) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(house)).collect();
    findings.sort();
    findings
}

/// The files that rustfmt would change.
fn unformatted(house: &House) -> Result<Vec<Finding>> {
    let root = host::workspace_root();
    let mut rustfmt = host::command("rustfmt");
    rustfmt
        .current_dir(root)
        .args(["--edition", "2024", "--check", "-l"]);
    rustfmt.args(
        house
            .sources
            .iter()
            .filter(|source| source.is_rust())
            .map(|source| &source.path),
    );
    let output = rustfmt.output().context("cannot start rustfmt")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let mut findings: Vec<Finding> = told
        .lines()
        .map(|path| {
            let path = Path::new(path);
            let path = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
            Finding::new(&path, 0, "is not formatted")
        })
        .collect();
    findings.sort();
    findings.dedup();
    if findings.is_empty() && !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        findings.push(Finding::new("rustfmt", 0, message));
    }
    Ok(findings)
}
