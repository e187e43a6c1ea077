//! What this machine offers: programs, packages, and how child programs are started.
//!
//! Holds only questions about the machine and the one way to run a child (`run`, `output`); what is
//! to be provided and why is decided by the modules that call it. Children never inherit the
//! package variables that `cargo run` sets for this program, because build scripts that watch them
//! would be run again for nothing.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// Variables that `cargo run` adds for the program it starts and that mean nothing to a nested
/// cargo.
const CARGO_RUN_VARIABLES: [&str; 6] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// A command that is free of the variables of the surrounding `cargo run`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || CARGO_RUN_VARIABLES.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The cargo that started this program, run in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_root());
    cargo
}

/// The root of the workspace: the parent of this package's folder.
pub(crate) fn workspace_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where this workspace's build output goes.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace_root().join(dir),
        None => workspace_root().join("target"),
    }
}

/// What cargo knows about the workspace with all features.
pub(crate) fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(workspace_root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures);
    command
        .exec()
        .context("cannot read the workspace's metadata")
}

/// Runs a command with its output shown; a non-zero exit is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it printed; a non-zero exit is an error that carries its error
/// output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}): {}", output.status, told.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{shown}` printed bytes that are not UTF-8"))
}

/// The command line as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let mut shown = program.into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}

/// Whether a program can be found on `PATH` (or is the path of a file).
pub(crate) fn has_program(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Installs a Debian package when that is possible here: as root, with `apt-get`.
pub(crate) fn apt_install(package: &str) -> Result<()> {
    if !has_program("apt-get") {
        bail!("no apt-get here to install {package}");
    }
    let user = output(command("id").arg("-u"))?;
    if user.trim() != "0" {
        bail!("not root, so {package} cannot be installed with apt-get");
    }
    eprintln!("installing {package} with apt-get");
    // A stale mirror list may fail to update while the package can still be had.
    if let Err(error) = output(command("apt-get").args(["update", "-qq"])) {
        eprintln!("note: {error:#}");
    }
    let mut install = command("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut install).map(drop)
}
