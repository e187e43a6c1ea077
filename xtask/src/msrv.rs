//! The oldest Rust that the workspace builds with: what the manifests promise, and the proof where
//! it can be had.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use cargo_metadata::Metadata;
use cargo_metadata::semver::Version;

use crate::host;
use crate::steps::Verdict;

/// Checks that every package of the tree, of any kind and for any platform, declares no newer Rust
/// than the workspace.
pub(crate) fn check_declared(metadata: &Metadata) -> Result<Verdict> {
    let promised = promised(metadata)?;
    let newer = newer_than(&promised, metadata);
    if newer.is_empty() {
        return Ok(Verdict::Passed);
    }
    bail!(
        "newer than the promised Rust {promised}: {}",
        newer.join(", ")
    )
}

/// Builds with the promised Rust if a toolchain of that version is installed; nothing is
/// downloaded.
pub(crate) fn build(
    metadata: &Metadata,
    arguments: &[String],
    env: &[(String, String)],
) -> Result<Verdict> {
    let promised = promised(metadata)?;
    let short = format!("{}.{}", promised.major, promised.minor);
    let installed = host::output(host::command("rustup").args(["toolchain", "list"]));
    let toolchain = installed
        .as_deref()
        .ok()
        .and_then(|list| find_toolchain(list, &short));
    let Some(toolchain) = toolchain else {
        let note = format!("build with the minimum Rust {short}: toolchain not installed");
        eprintln!("SKIPPED: {note}");
        return Ok(Verdict::Noted(note));
    };
    let mut rustup = host::command("rustup");
    rustup.current_dir(host::workspace_root());
    rustup
        .args(["run", toolchain, "cargo", "build"])
        .args(arguments);
    rustup.envs(env.iter().map(|(name, value)| (name, value)));
    host::run(&mut rustup)?;
    Ok(Verdict::Passed)
}

/// The version that the workspace's members declare; all declare the same.
fn promised(metadata: &Metadata) -> Result<Version> {
    let mut promised: Option<Version> = None;
    for member in metadata.workspace_packages() {
        let version = member.rust_version.clone();
        let version =
            version.ok_or_else(|| anyhow!("`{}` declares no rust-version", member.name))?;
        match &promised {
            Some(other) if *other != version => {
                bail!(
                    "`{}` declares Rust {version}, another member {other}",
                    member.name
                )
            }
            _ => promised = Some(version),
        }
    }
    promised.context("the workspace has no member")
}

fn newer_than(promised: &Version, metadata: &Metadata) -> Vec<String> {
    let mut newer = Vec::new();
    for package in &metadata.packages {
        if let Some(version) = package
            .rust_version
            .as_ref()
            .filter(|version| *version > promised)
        {
            newer.push(format!("{} {} ({version})", package.name, package.version));
        }
    }
    newer
}

/// The name of an installed toolchain of the version `short`, such as `1.90`.
fn find_toolchain<'a>(list: &'a str, short: &str) -> Option<&'a str> {
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut ours = names.filter(|name| {
        let rest = name.strip_prefix(short);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    });
    // A toolchain that is linked in may be given as a path; only its name counts.
    ours.find(|name| !Path::new(name).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_version() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                    1.9.0-x86_64-unknown-linux-gnu\n\
                    1.90.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(
            find_toolchain(list, "1.90"),
            Some("1.90.0-x86_64-unknown-linux-gnu")
        );
        assert_eq!(
            find_toolchain(list, "1.9"),
            Some("1.9.0-x86_64-unknown-linux-gnu")
        );
        assert_eq!(find_toolchain(list, "1.95"), None);
        assert!(find_toolchain("1.90-x86_64-pc-windows-msvc\n", "1.90").is_some());
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn a_package_that_needs_a_newer_rust_is_found() {
        let metadata = host::metadata().unwrap();
        let promised = promised(&metadata).unwrap();
        assert_eq!(newer_than(&promised, &metadata), Vec::<String>::new());
        // Almost no package of the tree builds with a Rust that old.
        assert!(!newer_than(&Version::new(1, 31, 0), &metadata).is_empty());
    }
}
