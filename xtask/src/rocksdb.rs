//! Provides RocksDB as a static library that every profile and every clone on this machine shares.
//!
//! Compiling it takes about 17 CPU-minutes and its result depends on few things, so it is kept in a
//! cache outside the clone under a name that holds all of them: version and features of
//! `librocksdb-sys`, target, instruction set, compiler and the revision of the recipe in this file.
//! An entry appears whole, by a rename, or not at all. The library is always optimised and without
//! assertions, whatever profile asks for it. lz4 and zstd are not in it: they come from their own
//! crates and are linked after it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::cache::Cache;
use crate::host;
use crate::libclang;

/// Raised when the way of building changes, so that older entries are not used.
const RECIPE: &str = "r1";

/// The package that holds RocksDB's sources.
const PACKAGE: &str = "librocksdb-sys";

/// The name its build script looks for.
const LIBRARY: &str = "librocksdb.a";

/// Makes sure that libclang, a C++ compiler and the library are there; returns the variables that
/// make cargo use them.
///
/// Instant when the library is cached; otherwise compiles it, which takes 10 minutes on two cores.
pub(crate) fn provide() -> Result<Vec<(String, String)>> {
    let mut variables = libclang::provide()?;
    let recipe = Recipe::of_this_machine()?;
    let cache = Cache::new(cache_dir()?);
    let dir = cache.entry(&recipe.entry_name(), LIBRARY, |dir| {
        recipe.build(dir, &variables)
    })?;
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

/// The instructions that RocksDB selects when it is compiled, not when it runs: without them every
/// block checksum is computed from tables, which is several times slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuLevel {
    name: &'static str,
    flags: &'static str,
}

impl CpuLevel {
    #[cfg(target_arch = "x86_64")]
    fn of_this_machine() -> Self {
        if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq") {
            Self {
                name: "sse42",
                flags: "-msse4.2 -mpclmul",
            }
        } else {
            Self {
                name: "base",
                flags: "",
            }
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn of_this_machine() -> Self {
        if std::arch::is_aarch64_feature_detected!("crc")
            && std::arch::is_aarch64_feature_detected!("aes")
        {
            Self {
                name: "crc",
                flags: "-march=armv8-a+crc+aes+crypto",
            }
        } else {
            Self {
                name: "base",
                flags: "",
            }
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of_this_machine() -> Self {
        Self {
            name: "base",
            flags: "",
        }
    }
}

impl Recipe {
    fn of_this_machine() -> Result<Self> {
        let compiler = compiler()?;
        let (version, features) = locked_package()?;
        let target = target_triple()?;
        Ok(Self {
            version,
            features,
            target,
            level: CpuLevel::of_this_machine(),
            compiler,
        })
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
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "+-._".contains(c) {
                c
            } else {
                '-'
            }
        };
        parts.join("_").chars().map(plain).collect()
    }

    /// Compiles in `scratch` and returns where the library is.
    fn build(&self, scratch: &Path, libclang: &[(String, String)]) -> Result<PathBuf> {
        eprintln!(
            "compiling RocksDB ({PACKAGE} {}), once for this machine: 10 minutes on two cores",
            self.version
        );
        let started = Instant::now();
        let mut cargo = host::cargo();
        cargo.args(["build", "--release", "--package", PACKAGE, "--target-dir"]);
        cargo.arg(scratch);
        // The compiler and its flags are the recipe's alone: the entry's name knows no others.
        for (name, _) in env::vars_os().filter(|(name, _)| is_compiler_setting(name)) {
            cargo.env_remove(name);
        }
        cargo.env("CXXFLAGS", format!("-O3 {}", self.level.flags));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
        cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
        cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        // A library that is named from outside would be linked instead of built.
        cargo.env_remove("ROCKSDB_LIB_DIR");
        cargo.env("ROCKSDB_COMPILE", "1");
        cargo.envs(libclang.iter().map(|(name, value)| (name, value)));
        host::run(&mut cargo)?;
        eprintln!("RocksDB compiled in {} s", started.elapsed().as_secs());
        find_library(scratch)
    }
}

/// Whether a variable changes how C++ is compiled for one target only; `CXX` itself is in the
/// recipe.
fn is_compiler_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CXX_", "CXXFLAGS_", "HOST_CXX", "TARGET_CXX"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// The one library among the outputs of the build scripts.
fn find_library(scratch: &Path) -> Result<PathBuf> {
    let build = scratch.join("release/build");
    let entries =
        fs::read_dir(&build).with_context(|| format!("cannot read {}", build.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let library = entry?.path().join("out").join(LIBRARY);
        if library.is_file() {
            found.push(library);
        }
    }
    match found.as_slice() {
        [library] => Ok(library.clone()),
        _ => bail!(
            "expected one {LIBRARY} under {}, found {}",
            build.display(),
            found.len()
        ),
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

/// The version and the features of the package as the workspace's lock file and manifests have
/// them.
fn locked_package() -> Result<(String, Vec<String>)> {
    let metadata = host::metadata()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == PACKAGE)
        .ok_or_else(|| anyhow!("{PACKAGE} is not in the dependency tree"))?;
    let nodes = metadata
        .resolve
        .as_ref()
        .map_or(&[][..], |resolve| &resolve.nodes);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            version: "0.19.0+11.8.1".to_owned(),
            features: vec!["lz4".to_owned(), "zstd".to_owned()],
            target: "x86_64-unknown-linux-gnu".to_owned(),
            level: CpuLevel {
                name: "sse42",
                flags: "-msse4.2",
            },
            compiler: "c++ (Debian 12.2.0-14) 12.2.0".to_owned(),
        }
    }

    #[test]
    fn an_entry_is_named_after_all_that_it_depends_on() {
        let name = recipe().entry_name();
        assert_eq!(
            name,
            "librocksdb-sys_0.19.0+11.8.1_lz4+zstd_x86_64-unknown-linux-gnu_sse42_\
             c++--Debian-12.2.0-14--12.2.0_r1"
        );
        let others = [
            Recipe {
                version: "0.20.0".to_owned(),
                ..recipe()
            },
            Recipe {
                features: vec!["lz4".to_owned()],
                ..recipe()
            },
            Recipe {
                target: "aarch64-unknown-linux-gnu".to_owned(),
                ..recipe()
            },
            Recipe {
                level: CpuLevel {
                    name: "base",
                    flags: "",
                },
                ..recipe()
            },
            Recipe {
                compiler: "clang".to_owned(),
                ..recipe()
            },
        ];
        for other in others {
            assert_ne!(other.entry_name(), name);
        }
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn the_workspace_asks_for_lz4_and_zstd_only() {
        let (version, features) = locked_package().unwrap();
        assert!(version.starts_with("0."), "{version}");
        let codecs = ["bzip2", "lz4", "snappy", "zlib", "zstd"];
        let asked: Vec<&String> = features
            .iter()
            .filter(|feature| codecs.contains(&feature.as_str()))
            .collect();
        assert_eq!(asked, ["lz4", "zstd"]);
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn exactly_one_library_is_accepted() {
        let scratch = tempfile::tempdir().unwrap();
        let out = |script: &str| {
            let dir = scratch
                .path()
                .join("release/build")
                .join(script)
                .join("out");
            fs::create_dir_all(&dir).unwrap();
            dir.join(LIBRARY)
        };
        assert!(find_library(scratch.path()).is_err());
        let library = out("librocksdb-sys-1");
        assert!(find_library(scratch.path()).is_err());
        fs::write(&library, "objects").unwrap();
        assert_eq!(find_library(scratch.path()).unwrap(), library);
        fs::write(out("librocksdb-sys-2"), "objects").unwrap();
        assert!(find_library(scratch.path()).is_err());
    }
}
