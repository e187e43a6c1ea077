//! What a report says about where it was made: processor, memory, system, disk, load, versions,
//! date.
//!
//! Invariant: what cannot be found out is said to be unknown; nothing here fails.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::figures::percentile;

const LOCK: &str = include_str!("../../Cargo.lock");

const UNKNOWN: &str = "unknown";

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value behind `name:` in a file of such lines.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// Processor, number of cores, memory and kernel in one line.
#[must_use]
pub fn hardware() -> String {
    let processors = read("/proc/cpuinfo");
    let model = field(&processors, "model name").unwrap_or(std::env::consts::ARCH);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let memory = field(&memory, "MemTotal")
        .and_then(|size| size.split(' ').next()?.parse::<u64>().ok())
        .map_or(UNKNOWN.to_owned(), |kib| format!("{} GiB", kib >> 20));
    let kernel = read("/proc/sys/kernel/osrelease");
    let system = std::env::consts::OS;
    format!(
        "{model}, {cores} cores, {memory} memory, {system} {}",
        kernel.trim()
    )
}

/// The file system under a directory, as `ext4 on /dev/vda`.
#[must_use]
pub fn file_system(dir: &Path) -> String {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    mount_of(&read("/proc/mounts"), &dir).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn mount_of(mounts: &str, dir: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
        dir.starts_with(point)
            .then_some((point.len(), device, kind))
    });
    // Of two mounts at one place the later one is seen, which is the one `max_by_key` takes.
    let (_, device, kind) = mounts.max_by_key(|(depth, ..)| *depth)?;
    Some(format!("{kind} on {device}"))
}

/// The load average of the last minute.
#[must_use]
pub fn load() -> String {
    let load = read("/proc/loadavg");
    load.split(' ')
        .next()
        .filter(|word| !word.is_empty())
        .unwrap_or(UNKNOWN)
        .to_owned()
}

/// Versions of the compiler and of the engines' packages, as locked.
#[must_use]
pub fn versions() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = Command::new(rustc).arg("--version").output();
    let compiler = compiler
        .ok()
        .and_then(|out| String::from_utf8(out.stdout).ok());
    let compiler = compiler.as_deref().map_or("rustc", str::trim).to_owned();
    let packages = [
        "redb",
        "heed",
        "lmdb-master-sys",
        "rocksdb",
        "librocksdb-sys",
    ];
    let locked = packages
        .into_iter()
        .filter_map(|package| Some(format!("{package} {}", locked_version(LOCK, package)?)));
    std::iter::once(compiler)
        .chain(locked)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The library of an engine of ours and its version, as locked; `std` for the one in memory.
#[must_use]
pub fn engine_version(engine: &str) -> String {
    let packages: &[&str] = match engine {
        "redb" => &["redb"],
        "lmdb" => &["heed", "lmdb-master-sys"],
        "rocks" => &["rocksdb", "librocksdb-sys"],
        _ => &[],
    };
    let locked = packages
        .iter()
        .filter_map(|package| Some(format!("{package} {}", locked_version(LOCK, package)?)));
    let locked: Vec<String> = locked.collect();
    if locked.is_empty() {
        return "no library".to_owned();
    }
    locked.join(", ")
}

/// The time of one write of 4 KiB at the end of a file in this directory with its sync, the median
/// of 200, in seconds; `None` when the directory cannot be written.
#[must_use]
pub fn sync_seconds(dir: &Path) -> Option<f64> {
    const WRITES: usize = 200;
    let mut file = tempfile::tempfile_in(dir).ok()?;
    let page = [7; 4096];
    let mut seconds = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&page).ok()?;
        file.sync_data().ok()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    percentile(&seconds, 50)
}

fn locked_version<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    version.strip_suffix('"')
}

/// Today in UTC, as `2026-11-21`.
#[must_use]
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    date(since.map_or(0, |since| since.as_secs() / 86_400))
}

/// The date so many days after 1970-01-01. Source: Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_778), "2026-11-21");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"redb\"\nversion = \"4.4.0\"\n";
        assert_eq!(locked_version(lock, "redb"), Some("4.4.0"));
        assert_eq!(locked_version(lock, "heed"), None);
        assert!(locked_version(LOCK, "redb").is_some());
    }

    #[test]
    fn engines_name_their_library() {
        assert!(engine_version("redb").starts_with("redb "));
        assert!(engine_version("lmdb").starts_with("heed "));
        assert_eq!(engine_version("mem"), "no library");
    }

    #[test]
    fn the_deepest_mount_holds_a_directory() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        let of = |dir: &str| mount_of(mounts, Path::new(dir));
        assert_eq!(of("/tmp/x").as_deref(), Some("tmpfs on tmpfs"));
        assert_eq!(of("/tmpx").as_deref(), Some("ext4 on /dev/vda"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 143\nmodel name\t: A: B\n";
        assert_eq!(field(text, "model name"), Some("A: B"));
        assert_eq!(field(text, "name"), None);
    }
}
