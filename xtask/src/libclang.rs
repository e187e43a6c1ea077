//! Provides libclang, which bindgen loads when the RocksDB bindings are generated.
//!
//! The order is: what `LIBCLANG_PATH` names, what is installed, the Debian package (as root), the
//! PyPI wheel under the target folder. A libclang without the compiler's own headers (`stddef.h`
//! and friends) is completed with GCC's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::host;

/// The wheel that is known to bind the headers of RocksDB 11.
const WHEEL: &str = "libclang==18.1.1";

/// Folders that hold a libclang on the systems we know; `*` stands for any one name.
const PLACES: [&str; 8] = [
    "/usr/lib/llvm-*/lib",
    "/usr/lib/*-linux-gnu",
    "/usr/lib64/llvm*/lib",
    "/usr/lib64/llvm*/lib64",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/opt/llvm/lib",
];

/// The variables that let bindgen find libclang; empty when bindgen finds it by itself.
pub(crate) fn provide() -> Result<Vec<(String, String)>> {
    if let Some(dir) = env::var_os("LIBCLANG_PATH") {
        return variables(Path::new(&dir));
    }
    if cfg!(target_os = "macos") {
        // The command line tools bring libclang where bindgen looks for it.
        return Ok(Vec::new());
    }
    if let Some(dir) = installed() {
        return variables(&dir);
    }
    let apt = host::apt_install("libclang-dev");
    if let Some(dir) = installed() {
        return variables(&dir);
    }
    let reason = apt
        .err()
        .map_or_else(String::new, |error| format!("{error:#}; "));
    let dir = wheel()
        .with_context(|| format!("no libclang: {reason}the wheel {WHEEL} is the last resort"))?;
    variables(&dir)
}

fn variables(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut variables = vec![("LIBCLANG_PATH".to_owned(), dir.display().to_string())];
    if env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none() && !has_own_headers(dir) {
        let include = host::output(host::command("gcc").arg("-print-file-name=include")).context(
            "this libclang has no compiler headers and gcc, which has them, does not run",
        )?;
        variables.push((
            "BINDGEN_EXTRA_CLANG_ARGS".to_owned(),
            format!("-I{}", include.trim()),
        ));
    }
    Ok(variables)
}

fn has_own_headers(dir: &Path) -> bool {
    // The library path is often a link into the folder that holds the headers beside the library.
    let library = library_in(dir).and_then(|library| fs::canonicalize(library).ok());
    let real = library.as_deref().and_then(Path::parent).unwrap_or(dir);
    [dir, real].iter().any(|dir| {
        children(&dir.join("clang"))
            .iter()
            .any(|version| version.join("include/stddef.h").is_file())
    })
}

fn installed() -> Option<PathBuf> {
    PLACES
        .iter()
        .flat_map(|place| expand(place))
        .find(|dir| library_in(dir).is_some())
}

/// The libclang in a folder; `libclang-cpp` is another library.
fn library_in(dir: &Path) -> Option<PathBuf> {
    children(dir).into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_libclang(&name) && path.is_file()
    })
}

fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    rest == ".so"
        || rest == ".dylib"
        || rest.starts_with(".so.")
        || (rest.contains(".so")
            && rest
                .trim_start_matches('-')
                .starts_with(|c: char| c.is_ascii_digit()))
}

/// The paths that a pattern with `*` for a whole or partial last-but-few component stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        paths = match part.split_once('*') {
            None => paths.into_iter().map(|path| path.join(part)).collect(),
            Some((head, tail)) => paths
                .iter()
                .flat_map(|path| children(path))
                .filter(|path| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    name.len() >= part.len() - 1 && name.starts_with(head) && name.ends_with(tail)
                })
                .collect(),
        };
    }
    paths
}

/// The entries of a folder, newest version first; none when it cannot be read.
fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_by_key(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (version_in(&name), name)
    });
    paths.reverse();
    paths
}

/// The numbers in a name, in order, so that 14 counts as newer than 9.
fn version_in(name: &str) -> Vec<u64> {
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// Installs the wheel under the target folder, once.
fn wheel() -> Result<PathBuf> {
    let home = host::target_dir().join("libclang");
    let native = home.join("clang/native");
    if library_in(&native).is_some() {
        return Ok(native);
    }
    eprintln!("installing the PyPI wheel {WHEEL} into {}", home.display());
    let mut pip = host::command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
        .arg(&home)
        .arg(WHEEL);
    host::output(&mut pip)?;
    if library_in(&native).is_none() {
        bail!(
            "the wheel {WHEEL} holds no libclang in {}",
            native.display()
        );
    }
    Ok(native)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libclang_itself_is_taken() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so.1",
            "libclang-18.so",
            "libclang.dylib",
        ] {
            assert!(is_libclang(name), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclangAST.a",
            "libclang.a",
            "libclang",
            "libLLVM.so",
        ] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn a_star_stands_for_any_name_newest_first() {
        let home = tempfile::tempdir().unwrap();
        for name in ["llvm-14/lib", "llvm-9/lib", "other/lib"] {
            fs::create_dir_all(home.path().join(name)).unwrap();
        }
        let pattern = format!("{}/llvm-*/lib", home.path().display());
        let expected = [
            home.path().join("llvm-14/lib"),
            home.path().join("llvm-9/lib"),
        ];
        assert_eq!(expand(&pattern), expected);
        assert!(expand(&format!("{}/none-*/lib", home.path().display())).is_empty());
    }

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    fn a_libclang_without_headers_gets_those_of_gcc() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("libclang.so"), "").unwrap();
        assert!(!has_own_headers(home.path()));
        let headers = home.path().join("clang/18/include");
        fs::create_dir_all(&headers).unwrap();
        assert!(!has_own_headers(home.path()));
        fs::write(headers.join("stddef.h"), "").unwrap();
        assert!(has_own_headers(home.path()));
    }
}
