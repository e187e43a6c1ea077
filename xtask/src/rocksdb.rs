//! Provides RocksDB as a static library that every profile and every clone on this machine shares.
//!
//! Compiling it takes about 28 CPU-minutes and its result depends on few things, so it is kept in a cache outside the
//! clone under a name that holds all of them: version and features of `librocksdb-sys`, target, instruction set, compiler
//! and the revision of the recipe in this file. An entry appears whole, by a rename, or not at all. The library is
//! always optimised and without assertions, whatever profile asks for it. lz4 and zstd are not in it: they come from
//! their own crates and are linked after it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use cargo_metadata::MetadataCommand;

use crate::host;
use crate::libclang;

/// Raised when the way of building changes, so that older entries are not used.
const RECIPE: &str = "r1";

/// The package that holds RocksDB's sources.
const PACKAGE: &str = "librocksdb-sys";

/// The name its build script looks for.
const LIBRARY: &str = "librocksdb.a";

/// Makes sure that libclang, a C++ compiler and the library are there; returns the variables that make cargo use them.
///
/// Instant when the library is cached; otherwise compiles it, which takes 15 minutes and more on two cores.
pub(crate) fn provide() -> Result<Vec<(String, String)>> {
    let mut variables = libclang::provide()?;
    let recipe = Recipe::of_this_machine()?;
    let dir = recipe.library_dir(&cache_dir()?, &variables)?;
    variables.push(("ROCKSDB_LIB_DIR".to_owned(), dir.display().to_string()));
    variables.push(("ROCKSDB_STATIC".to_owned(), "1".to_owned()));
    Ok(variables)
}

/// Everything the library depends on.
struct Recipe {
    version: String,
    features: Vec<String>,
    target: String,
    level: CpuLevel,
    compiler: String,
}

/// The instructions that RocksDB selects when it is compiled, not when it runs: without them every block checksum is
/// computed from tables, which is several times slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuLevel {
    name: &'static str,
    flags: &'static str,
}

impl CpuLevel {
    #[cfg(target_arch = "x86_64")]
    fn of_this_machine() -> Self {
        if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq") {
            Self { name: "sse42", flags: "-msse4.2 -mpclmul" }
        } else {
            Self { name: "base", flags: "" }
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn of_this_machine() -> Self {
        if std::arch::is_aarch64_feature_detected!("crc")
            && std::arch::is_aarch64_feature_detected!("aes")
        {
            Self { name: "crc", flags: "-march=armv8-a+crc+aes+crypto" }
        } else {
            Self { name: "base", flags: "" }
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of_this_machine() -> Self {
        Self { name: "base", flags: "" }
    }
}

impl Recipe {
    fn of_this_machine() -> Result<Self> {
        let compiler = compiler()?;
        let (version, features) = locked_package()?;
        let target = target_triple()?;
        Ok(Self { version, features, target, level: CpuLevel::of_this_machine(), compiler })
    }

    /// The name of the cache entry: readable, and different whenever the library would be.
    fn entry_name(&self) -> String {
        let parts = [
            PACKAGE,
            &self.version,
            &self.features.join("+"),
            &self.target,
            self.level.name,
            &self.compiler,
            RECIPE,
        ];
        let plain = |c: char| if c.is_ascii_alphanumeric() || "+-._".contains(c) { c } else { '-' };
        parts.join("_").chars().map(plain).collect()
    }

    /// The folder of the cached library; builds it first when it is not there.
    fn library_dir(&self, cache: &Path, libclang: &[(String, String)]) -> Result<PathBuf> {
        let entry = cache.join(self.entry_name());
        if entry.join(LIBRARY).is_file() {
            return Ok(entry);
        }
        fs::create_dir_all(cache)
            .with_context(|| format!("cannot create the cache {}", cache.display()))?;
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot create {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another build of RocksDB ({})", lock_path.display());
            lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        }
        // The one who held the lock before may have built it.
        if entry.join(LIBRARY).is_file() {
            return Ok(entry);
        }
        let scratch = cache.join("scratch");
        remove_dir(&scratch)?;
        let built = self.build(&scratch, &entry, libclang);
        let removed = remove_dir(&scratch);
        built?;
        removed?;
        Ok(entry)
    }

    /// Compiles in `scratch` and moves the result to `entry` in one step.
    fn build(&self, scratch: &Path, entry: &Path, libclang: &[(String, String)]) -> Result<()> {
        eprintln!(
            "compiling RocksDB ({PACKAGE} {}), once for this machine: 15 minutes and more on two cores",
            self.version
        );
        let started = Instant::now();
        let mut cargo = host::cargo();
        cargo.args(["build", "--release", "--package", PACKAGE, "--target-dir"]).arg(scratch);
        cargo.envs(libclang.iter().map(|(name, value)| (name, value)));
        // A library that is named from outside would be linked instead of built.
        cargo.env_remove("ROCKSDB_LIB_DIR").env("ROCKSDB_COMPILE", "1");
        // The flags are the recipe's alone: the entry's name does not know any others.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "").env("CXXFLAGS", format!("-O3 {}", self.level.flags));
        cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        host::run(&mut cargo)?;

        let library = find_library(scratch)?;
        let staged = scratch.join("entry");
        fs::create_dir(&staged).with_context(|| format!("cannot create {}", staged.display()))?;
        fs::copy(&library, staged.join(LIBRARY))
            .with_context(|| format!("cannot copy {}", library.display()))?;
        fs::rename(&staged, entry)
            .with_context(|| format!("cannot move {} to {}", staged.display(), entry.display()))?;
        eprintln!("RocksDB compiled in {} s: {}", started.elapsed().as_secs(), entry.display());
        Ok(())
    }
}

/// The one library among the outputs of the build scripts.
fn find_library(scratch: &Path) -> Result<PathBuf> {
    let build = scratch.join("release/build");
    let entries = fs::read_dir(&build).with_context(|| format!("cannot read {}", build.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let library = entry?.path().join("out").join(LIBRARY);
        if library.is_file() {
            found.push(library);
        }
    }
    match found.as_slice() {
        [library] => Ok(library.clone()),
        _ => bail!("expected one {LIBRARY} under {}, found {}", build.display(), found.len()),
    }
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Where results that outlive a clone are kept.
fn cache_dir() -> Result<PathBuf> {
    let home = |name: &str, below: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value).join(below))
    };
    home("CHAINSTORE_CACHE", "")
        .or_else(|| home("XDG_CACHE_HOME", "chainstore"))
        .or_else(|| home("HOME", ".cache/chainstore"))
        .ok_or_else(|| anyhow!("no place for the cache: set CHAINSTORE_CACHE or HOME"))
}

/// The version line of the C++ compiler, which is installed first when it is missing and can be.
fn compiler() -> Result<String> {
    let program = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if !host::has_program(&program) {
        host::apt_install("g++").with_context(|| format!("no C++ compiler `{program}`"))?;
    }
    let version = host::output(host::command(&program).arg("--version"))?;
    let first = version.lines().next().unwrap_or_default().trim();
    Ok(first.to_owned())
}

/// The version and the features of the package as the workspace's lock file and manifests have them.
fn locked_package() -> Result<(String, Vec<String>)> {
    let mut command = MetadataCommand::new();
    command.manifest_path(host::workspace_root().join("Cargo.toml"));
    let metadata = command.exec().context("cannot read the workspace's metadata")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == PACKAGE)
        .ok_or_else(|| anyhow!("{PACKAGE} is not in the dependency tree"))?;
    let nodes = metadata.resolve.as_ref().map_or(&[][..], |resolve| &resolve.nodes);
    let node = nodes
        .iter()
        .find(|node| node.id == package.id)
        .ok_or_else(|| anyhow!("{PACKAGE} is not resolved"))?;
    let mut features: Vec<String> = node
        .features
        .iter()
        .map(ToString::to_string)
        .filter(|feature| !feature.starts_with("bindgen"))
        .collect();
    features.sort();
    Ok((package.version.to_string(), features))
}

fn target_triple() -> Result<String> {
    let told = host::output(host::command("rustc").arg("-vV"))?;
    told.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("`rustc -vV` names no host"))
}
