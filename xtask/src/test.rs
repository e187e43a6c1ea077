//! The test run: everything that must hold before a change is taken, in the order in which it fails
//! soonest.
//!
//! A plain run does a tenth of the counted work and skips what this machine lacks, visibly;
//! `--require-all` does all of it and fails where something is lacking. Each step runs even if an
//! earlier one failed, so that one run tells everything.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use cargo_metadata::{Metadata, TargetKind};

use crate::steps::{Need, Steps, Verdict};
use crate::{failures, host, msrv, rocksdb, strace, tidy};

/// The feature, by this name in every crate that has it, that needs RocksDB.
const ROCKS: &str = "rocks";

/// The packages whose features choose the engines.
const FACADES: [&str; 2] = ["chain-store", "cli"];

/// The engines that are chosen by a feature.
const ENGINES: [&str; 3] = ["redb", "lmdb", ROCKS];

/// How a test run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) need: Need,
    pub(crate) output: Output,
}

/// How much cargo prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Plain,
    Quiet,
}

/// How much counted work a test does, as `CHAINSTORE_TEST_SCALE` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestScale {
    Tenth,
    Full,
    Soak,
}

impl TestScale {
    fn name(self) -> &'static str {
        match self {
            Self::Tenth => "tenth",
            Self::Full => "full",
            Self::Soak => "soak",
        }
    }
}

/// The workspace with what was provided for it: which packages and features can be built here, and
/// in what environment.
#[derive(Debug)]
pub(crate) struct Suite {
    metadata: Metadata,
    env: Vec<(String, String)>,
    has_rocks: bool,
    output: Output,
}

/// Reads the arguments after `test`.
pub(crate) fn options(arguments: &[&str]) -> Result<Options> {
    let mut options = Options {
        need: Need::WhatIsThere,
        output: Output::Plain,
    };
    for argument in arguments {
        match *argument {
            "--require-all" => options.need = Need::Everything,
            "--quiet" => options.output = Output::Quiet,
            other => bail!(
                "unknown argument `{other}`; usage: cargo xtask test [--require-all] [--quiet]"
            ),
        }
    }
    Ok(options)
}

/// Runs all steps and prints how they went; false when one failed.
pub(crate) fn run(options: Options) -> Result<bool> {
    let mut steps = Steps::new(options.need);
    let scale = match options.need {
        Need::WhatIsThere => TestScale::Tenth,
        Need::Everything => TestScale::Full,
    };
    let mut suite = Suite::bare(scale, options.output)?;
    if options.need == Need::Everything {
        // Tests that would skip for want of something fail instead.
        suite.set("CHAINSTORE_REQUIRE_ALL", "1");
    }

    steps.run("tidy", tidy_step);
    steps.run("declared minimum Rust", || {
        msrv::check_declared(&suite.metadata)
    });
    steps.run("dependency policy", || suite.deny());
    steps.run("real chain data", || suite.provide_real_data());
    steps.run("strace", strace::provide);
    steps.run("RocksDB", || suite.provide_rocksdb());
    steps.run("clippy", || suite.clippy());
    steps.run("documentation", || suite.documentation());
    steps.run("tests of the workspace", || suite.tests());
    steps.run("examples", || suite.examples());
    for engine in std::iter::once(None).chain(ENGINES.map(Some)) {
        let name = format!("facade with {}", engine.unwrap_or("no engine feature"));
        steps.run(&name, || suite.facade_with(engine));
    }
    steps.run("minimum Rust", || {
        msrv::build(&suite.metadata, &suite.selection(), &suite.env)
    });

    println!("\n{steps}");
    Ok(steps.succeeded())
}

/// The rules that need no compiler, as a step.
fn tidy_step() -> Result<Verdict> {
    let findings = tidy::findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        return Ok(Verdict::Passed);
    }
    bail!("{} findings", findings.len())
}

/// `cargo xtask tidy`: the rules, and clippy with all that can be provided; false when something
/// was found.
pub(crate) fn run_tidy() -> Result<bool> {
    let mut steps = Steps::new(Need::WhatIsThere);
    let mut suite = Suite::bare(TestScale::Tenth, Output::Quiet)?;
    steps.run("tidy", tidy_step);
    steps.run("RocksDB", || suite.provide_rocksdb());
    steps.run("clippy", || suite.clippy());
    println!("\n{steps}");
    Ok(steps.succeeded())
}

impl Suite {
    /// The workspace before anything was provided.
    fn bare(scale: TestScale, output: Output) -> Result<Self> {
        let metadata = host::metadata()?;
        let env = vec![("CHAINSTORE_TEST_SCALE".to_owned(), scale.name().to_owned())];
        Ok(Self {
            metadata,
            env,
            has_rocks: false,
            output,
        })
    }

    /// The workspace with everything that can be provided; what cannot is told and left out.
    pub(crate) fn provide(scale: TestScale) -> Result<Self> {
        let mut suite = Self::bare(scale, Output::Quiet)?;
        for verdict in [suite.provide_real_data()?, suite.provide_rocksdb()?] {
            if let Verdict::Skipped(reason) | Verdict::Noted(reason) = verdict {
                println!("SKIPPED: {reason}");
            }
        }
        Ok(suite)
    }

    /// One round of all tests with a seed of its own.
    pub(crate) fn run_seeded(&self, seed: u64) -> Result<()> {
        let mut cargo = self.cargo("test");
        cargo.env("CHAINSTORE_SEED", seed.to_string());
        failures::run_tests(cargo.args(self.selection()))
    }

    /// The tests of a package with these words in their names, leaving figures in this directory.
    pub(crate) fn run_proof(
        &self,
        package: &str,
        filters: &[&str],
        figures: &std::path::Path,
    ) -> Result<()> {
        let mut cargo = self.cargo("test");
        cargo.env("CHAINSTORE_PROOF_OUT", figures);
        cargo.args(["--package", package, "--test", "it"]);
        if FACADES.contains(&package) {
            let engines: Vec<&str> = ENGINES
                .into_iter()
                .filter(|engine| self.has_rocks || *engine != ROCKS)
                .collect();
            cargo.args(["--features", &engines.join(",")]);
        }
        failures::run_tests(cargo.arg("--").args(filters))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    fn cargo(&self, task: &str) -> std::process::Command {
        let mut cargo = host::cargo();
        cargo
            .arg(task)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.output == Output::Quiet {
            cargo.arg("--quiet");
        }
        cargo
    }

    /// The arguments that select all packages and features that can be built here.
    fn selection(&self) -> Vec<String> {
        let mut arguments = vec!["--workspace".to_owned()];
        if self.has_rocks {
            arguments.push("--all-features".to_owned());
            return arguments;
        }
        arguments.extend(["--exclude".to_owned(), "backend-rocks".to_owned()]);
        for member in self.metadata.workspace_packages() {
            for feature in member.features.keys().filter(|feature| *feature != ROCKS) {
                arguments.extend([
                    "--features".to_owned(),
                    format!("{}/{feature}", member.name),
                ]);
            }
        }
        arguments
    }

    fn provide_rocksdb(&mut self) -> Result<Verdict> {
        match rocksdb::provide() {
            Ok(variables) => {
                self.env.extend(variables);
                self.has_rocks = true;
                Ok(Verdict::Passed)
            }
            Err(error) => Ok(Verdict::Skipped(format!(
                "RocksDB cannot be provided: {error:#}"
            ))),
        }
    }

    fn provide_real_data(&mut self) -> Result<Verdict> {
        match real_data() {
            Some(dir) => {
                println!("real chain data: {}", dir.display());
                self.set("CHAINSTORE_REALDATA", &dir.display().to_string());
                Ok(Verdict::Passed)
            }
            None => Ok(Verdict::Skipped(
                "no folder of real chain data: set CHAINSTORE_REALDATA".to_owned(),
            )),
        }
    }

    fn deny(&self) -> Result<Verdict> {
        if !host::has_program("cargo-deny") {
            return Ok(Verdict::Noted("cargo-deny is not installed".to_owned()));
        }
        host::run(host::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
        if host::output(host::cargo().args(["deny", "fetch", "db"])).is_err() {
            let note = "advisories: their database cannot be fetched from here";
            return Ok(Verdict::Noted(note.to_owned()));
        }
        host::run(host::cargo().args(["deny", "--offline", "check", "advisories"]))?;
        Ok(Verdict::Passed)
    }

    fn clippy(&self) -> Result<Verdict> {
        let mut cargo = self.cargo("clippy");
        cargo
            .args(self.selection())
            .args(["--all-targets", "--keep-going"])
            .args(["--", "-D", "warnings"]);
        host::run(&mut cargo)?;
        if !self.has_rocks {
            return Ok(Verdict::Skipped(
                "the crates that need RocksDB were left out".to_owned(),
            ));
        }
        Ok(Verdict::Passed)
    }

    fn documentation(&self) -> Result<Verdict> {
        let mut cargo = self.cargo("doc");
        cargo.args(self.selection()).arg("--no-deps");
        cargo.env("RUSTDOCFLAGS", "-D warnings");
        host::run(&mut cargo)?;
        Ok(Verdict::Passed)
    }

    fn tests(&self) -> Result<Verdict> {
        failures::run_tests(
            self.cargo("test")
                .args(self.selection())
                .arg("--no-fail-fast"),
        )?;
        Ok(Verdict::Passed)
    }

    /// The facade and the program with one engine alone, or with none. With all of them they were
    /// tested before, at the full scale, so a tenth of the counted work is enough here.
    fn facade_with(&self, engine: Option<&str>) -> Result<Verdict> {
        if engine == Some(ROCKS) && !self.has_rocks {
            return Ok(Verdict::Skipped("RocksDB was not provided".to_owned()));
        }
        let mut cargo = self.cargo("test");
        cargo.args(["--no-fail-fast", "--no-default-features"]);
        for facade in FACADES {
            cargo.args(["--package", facade]);
            if let Some(engine) = engine {
                cargo.args(["--features", &format!("{facade}/{engine}")]);
            }
        }
        cargo.env("CHAINSTORE_TEST_SCALE", TestScale::Tenth.name());
        failures::run_tests(&mut cargo)?;
        Ok(Verdict::Passed)
    }

    /// Runs every example: each proves what it prints, and ends with an error where it cannot.
    fn examples(&self) -> Result<Verdict> {
        host::run(self.cargo("build").args(self.selection()).arg("--examples"))?;
        let folder = self.metadata.target_directory.join("debug/examples");
        for member in self.metadata.workspace_packages() {
            if member.name.as_str() == "backend-rocks" && !self.has_rocks {
                continue;
            }
            let examples = member
                .targets
                .iter()
                .filter(|one| one.is_kind(TargetKind::Example));
            for example in examples {
                println!("--- example {} of {}", example.name, member.name);
                let mut run = host::command(folder.join(&example.name));
                run.current_dir(host::workspace_root());
                run.envs(self.env.iter().map(|(name, value)| (name, value)));
                host::run(&mut run)?;
            }
        }
        Ok(Verdict::Passed)
    }
}

/// The folder of real chain data: what the environment names, else `shared/realdata` beside the
/// clone or beside the local repository that it was cloned from.
fn real_data() -> Option<PathBuf> {
    if let Some(dir) = env::var_os("CHAINSTORE_REALDATA") {
        return std::path::absolute(dir).ok().filter(|dir| dir.is_dir());
    }
    let root = host::workspace_root();
    let origin = host::output(host::command("git").current_dir(root).args([
        "config",
        "--get",
        "remote.origin.url",
    ]));
    let origin = origin.ok().map(|url| {
        let url = url.trim();
        PathBuf::from(url.strip_prefix("file://").unwrap_or(url))
    });
    let beside = |place: &Path| Some(place.parent()?.join("shared/realdata"));
    let candidates = [beside(root), origin.as_deref().and_then(beside)];
    candidates
        .into_iter()
        .flatten()
        .find(|dir| dir.is_absolute() && dir.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let everything = Options {
            need: Need::Everything,
            output: Output::Plain,
        };
        assert!(matches!(options(&["--require-all"]), Ok(read) if read == everything));
        let quiet = Options {
            need: Need::WhatIsThere,
            output: Output::Quiet,
        };
        assert!(matches!(options(&["--quiet"]), Ok(read) if read == quiet));
        assert!(options(&["--all"]).is_err());
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn without_rocksdb_its_packages_and_features_are_left_out() {
        let mut suite = Suite::bare(TestScale::Tenth, Output::Plain).unwrap();
        let without = suite.selection();
        assert!(without.contains(&"backend-rocks".to_owned()), "{without:?}");
        assert!(
            without.contains(&"chain-store/redb".to_owned()),
            "{without:?}"
        );
        assert!(
            !without.iter().any(|argument| argument.ends_with("/rocks")),
            "{without:?}"
        );
        suite.has_rocks = true;
        assert_eq!(suite.selection(), ["--workspace", "--all-features"]);
    }
}
