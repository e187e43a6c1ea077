//! The files of the corpus: every target has some, every folder has a target, every file replays.
//!
//! A file is called after what it holds; a finding of a fuzzer after what was wrong, see
//! `seeds/findings.rs`; `reached-` stands before inputs by which a fuzzer came to code that no seed
//! comes to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

/// What the whole corpus may take, so that the repository stays small.
const CORPUS_BYTES_MAX: u64 = 600_000;
/// What one file may take.
const FILE_BYTES_MAX: u64 = 70_000;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of one target, by name.
pub(crate) fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_target_has_a_corpus_and_a_program_and_every_folder_a_target() {
    let _alone = super::alone();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name comes twice");
    let folders = fs::read_dir(root()).unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(folders.collect::<BTreeSet<_>>(), targets);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs = programs.map(|program| program["name"].as_str().unwrap().to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), targets);
}

#[test]
fn the_corpus_is_small_and_has_names() {
    let _alone = super::alone();
    let mut all = 0;
    for target in TARGETS {
        let files = files(target.name);
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for (name, bytes) in files {
            let is_sum = name.len() == 40 && name.chars().all(|c| c.is_ascii_hexdigit());
            assert!(
                !is_sum,
                "{}/{name} wants a name that says what it is",
                target.name
            );
            let bytes = bytes.len() as u64;
            assert!(
                bytes <= FILE_BYTES_MAX,
                "{}/{name}: {bytes} bytes",
                target.name
            );
            all += bytes;
        }
    }
    assert!(all <= CORPUS_BYTES_MAX, "{all} bytes in all");
}

#[test]
fn the_corpus_replays() {
    let _alone = super::alone();
    let mut findings = Vec::new();
    for target in TARGETS {
        let files = files(target.name);
        // The first run of a target makes what it keeps; that is not counted to an input.
        (target.run)(&[]);
        for (name, bytes) in files {
            findings.extend(super::run(&target, &name, &bytes).err());
        }
    }
    super::done(&findings);
}
