//! The demonstration on every compiled engine, and interrupted.

use std::fs;
use std::process::{Command, Stdio};

use chain_store::EngineName;

use crate::support::{PROGRAM, finish, run, run_command, signal, spawn, wait_until};

#[test]
fn the_demonstration_ends_alike_on_every_engine() {
    let mut ends = Vec::new();
    for engine in EngineName::compiled() {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args([
            "demo",
            "--blocks",
            "60",
            "--transfers",
            "5",
            "--output",
            "json",
        ]);
        command
            .args(["--engine", engine.as_str()])
            .env("TMPDIR", place.path());
        let ran = run_command(command).ok();
        let json = ran.json();
        assert_eq!(json["engine"], engine.as_str());
        assert_eq!(
            (&json["import"]["blocks"], &json["stat"]["blocks"]["count"]),
            (&60.into(), &60.into())
        );
        // The first block carries no transfer.
        assert_eq!(json["import"]["transactions"], 59 * 5);
        let counts: Vec<_> = json["reads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["count"])
            .collect();
        assert_eq!(counts, [60, 60, 59 * 5]);
        let (outcome, said) = match engine {
            EngineName::Mem => ("skipped", "SKIPPED the restart"),
            _ => ("done", "restarted after 30 blocks"),
        };
        assert_eq!(json["restart"]["outcome"], outcome);
        assert!(ran.stderr.contains(said), "{ran}");
        assert!(ran.stderr.contains("seed 2009"), "{ran}");
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            0,
            "{engine} left something"
        );
        ends.push((
            json["content_digest"].clone(),
            json["stat"]["blocks"]["tip_hash"].clone(),
        ));
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn the_tables_name_what_is_stored() {
    for (blocks, restart) in [("1", "SKIPPED"), ("3", "after 1 blocks")] {
        let ran = run([
            "demo",
            "--blocks",
            blocks,
            "--transfers",
            "2",
            "--seed",
            "7",
        ])
        .ok();
        for word in [
            "blocks.bodies",
            "demo.accounts",
            "content digest",
            "blocks stored",
        ] {
            assert!(ran.text().contains(word), "{word:?} is not in {ran}");
        }
        let is_memory = EngineName::compiled().count() == 1;
        let restart = if is_memory { "SKIPPED" } else { restart };
        assert!(ran.text().contains(restart), "{ran}");
    }
}

#[test]
fn memory_claims_no_durability() {
    let ran = run(["demo", "--engine", "mem", "--blocks", "2"]).ok();
    let said = "one commit each; memory keeps nothing";
    assert!(ran.text().contains(said), "{ran}");
    assert!(!ran.text().contains("durable"), "{ran}");
}

#[test]
fn an_interrupted_demonstration_removes_its_store() {
    for engine in EngineName::compiled() {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--blocks", "10000000", "--engine", engine.as_str()]);
        command.env("TMPDIR", place.path());
        let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        wait_until("the demonstration has begun", || {
            let folder = fs::read_dir(place.path()).unwrap().next();
            let folder = folder.map(|folder| folder.unwrap().path());
            folder.is_some_and(|folder| {
                engine == EngineName::Mem || folder.join("store/data").exists()
            })
        });
        signal(&child, "TERM");
        finish(child).refused(130, &["interrupted"]);
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            0,
            "{engine} left something"
        );
    }
}
