//! Files that appear whole: names taken, parts left behind, places that are no files.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use chain_store::export::{Existing, Export, ExportError, ExportOptions, Origin, TargetFile};
use storage_api::KvStore;

use super::{RLP, blocks_of, filled};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fill(target: &mut TargetFile, bytes: &[u8]) {
    target.write_all(bytes).unwrap();
    target.flush().unwrap();
}

#[test]
fn a_file_has_its_name_when_it_is_whole_and_not_before() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    let mut target = TargetFile::create(&path, Existing::Refuse).unwrap();
    fill(&mut target, b"half");
    assert_eq!(names(place.path()), ["blocks.log.part"]);
    drop(target);
    assert!(names(place.path()).is_empty());

    let mut target = TargetFile::create(&path, Existing::Refuse).unwrap();
    fill(&mut target, b"whole");
    target.finish().unwrap();
    assert_eq!(names(place.path()), ["blocks.log"]);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
}

#[test]
fn an_existing_file_stays_until_it_is_replaced_by_a_whole_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    fs::write(&path, b"old").unwrap();
    let refused = TargetFile::create(&path, Existing::Refuse).unwrap_err();
    assert!(matches!(refused, ExportError::Exists { .. }), "{refused}");
    let mut target = TargetFile::create(&path, Existing::Replace).unwrap();
    fill(&mut target, b"half of the new");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(target);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mut target = TargetFile::create(&path, Existing::Replace).unwrap();
    fill(&mut target, b"new");
    target.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(place.path()), ["blocks.log"]);
}

#[test]
fn a_file_that_was_made_meanwhile_stays() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    let mut target = TargetFile::create(&path, Existing::Refuse).unwrap();
    fill(&mut target, b"ours");
    fs::write(&path, b"theirs").unwrap();
    let refused = target.finish().unwrap_err();
    assert!(matches!(refused, ExportError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    assert_eq!(names(place.path()), ["blocks.log"]);
}

#[test]
fn what_a_killed_export_left_is_taken_over_and_what_a_living_one_writes_is_not() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    fs::write(
        place.path().join("blocks.log.part"),
        b"left by a killed one, longer",
    )
    .unwrap();
    let mut first = TargetFile::create(&path, Existing::Refuse).unwrap();
    fill(&mut first, b"ours");
    let refused = TargetFile::create(&path, Existing::Refuse).unwrap_err();
    assert!(matches!(refused, ExportError::Busy { .. }), "{refused}");
    first.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"ours");
}

/// A process that was killed between giving the part its name and taking the first name away leaves
/// one file with two names. The next export writes another file and not into that one.
#[cfg(unix)]
#[test]
fn a_part_that_is_a_finished_export_is_not_written_to() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    fs::write(&path, b"finished").unwrap();
    fs::hard_link(&path, place.path().join("blocks.log.part")).unwrap();
    let mut target = TargetFile::create(&path, Existing::Replace).unwrap();
    fill(&mut target, b"half");
    assert_eq!(fs::read(&path).unwrap(), b"finished");
    drop(target);
    assert_eq!(fs::read(&path).unwrap(), b"finished");
    assert_eq!(names(place.path()), ["blocks.log"]);
}

#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let mut paths = vec![folder, place.path().join("..")];
    #[cfg(unix)]
    {
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path().join("nowhere"), &link).unwrap();
        paths.extend([link, "/dev/null".into()]);
    }
    for path in paths {
        let refused = TargetFile::create(&path, Existing::Replace).unwrap_err();
        assert!(matches!(refused, ExportError::NoFile { .. }), "{refused}");
    }
    let nowhere = place.path().join("absent").join("blocks.log");
    let refused = TargetFile::create(&nowhere, Existing::Refuse).unwrap_err();
    assert!(matches!(refused, ExportError::Target { .. }), "{refused}");
}

#[test]
fn an_export_that_was_stopped_leaves_nothing() {
    let Some(store) = filled(RLP) else { return };
    let (view, blocks) = (store.begin_read().unwrap(), blocks_of(&store));
    let options = ExportOptions::default();
    let export = Export::plan(&blocks, &view, &Origin::default(), options).unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("chain.rlp");
    for stop_after in [1, 54] {
        let mut target = TargetFile::create(&path, Existing::Refuse).unwrap();
        let report = export.write(
            &mut target,
            None,
            &mut |report| match report.blocks == stop_after {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        );
        assert!(report.unwrap().stopped);
        assert_eq!(names(place.path()), ["chain.rlp.part"]);
        drop(target);
        assert!(names(place.path()).is_empty());
    }
}
