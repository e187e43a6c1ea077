//! Tells the program what it was built from: the target and the versions of the engines' libraries.
//!
//! Must always hold: what `chainstore version` prints is what was linked, so the versions come from
//! the lock file that cargo itself used; a lock file that cannot be read leaves them unknown and
//! never fails the build.

use std::env;
use std::fs;
use std::path::Path;

/// The packages whose versions are told, and the variables that carry them.
const LIBRARIES: [(&str, &str); 3] = [
    ("redb", "CHAINSTORE_LIBRARY_REDB"),
    ("lmdb-master-sys", "CHAINSTORE_LIBRARY_LMDB"),
    ("librocksdb-sys", "CHAINSTORE_LIBRARY_ROCKS"),
];

fn main() {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let lock_file = Path::new(&manifest).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock_file.display());
    let lock = fs::read_to_string(&lock_file).unwrap_or_default();
    for (package, variable) in LIBRARIES {
        let version = version_of(&lock, package).unwrap_or("unknown");
        println!("cargo::rustc-env={variable}={package} {version}");
    }
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=CHAINSTORE_TARGET={target}");
}

/// The version of a package in a lock file; the first one when there are several.
fn version_of<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    lines.find(|line| *line == name)?;
    lines
        .next()?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}
