//! `conform` and `bench`: what they write, and how they end.

use crate::support::{disk_engines, run};

#[test]
fn the_matrix_is_written_in_every_form() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().display().to_string();
    let conform = |output: &str| {
        let args = [
            "conform",
            "--engine",
            "mem",
            "--no-mutants",
            "--ops",
            "300",
            "--dir",
            &dir,
            "--output",
            output,
        ];
        run(args).ok()
    };
    let json = conform("json");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    let mem = &json["stores"][0];
    assert_eq!(mem["store"], "mem");
    assert_eq!(mem["tally"]["failed"], 0);
    assert!(mem["tally"]["passed"].as_u64() > Some(200), "{mem}");
    assert!(
        json["setting"]["differential run"]
            .as_str()
            .unwrap()
            .contains("the same answers")
    );
    let markdown = conform("md");
    let text = markdown.text();
    assert!(text.starts_with("# Conformance\n"), "{text}");
    assert!(
        text.contains("| `mem` |") && text.contains("not asked for"),
        "{text}"
    );
    let html = conform("html");
    assert!(html.text().starts_with("<!doctype html>"));
    assert_eq!(
        std::fs::read_dir(place.path()).unwrap().count(),
        0,
        "stores are removed"
    );
}

#[test]
fn a_comparison_has_every_store_and_says_what_is_missing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("stores").display().to_string();
    let out = place.path().join("out");
    let engines: Vec<String> = disk_engines().map(|engine| engine.to_string()).collect();
    let Some(engine) = engines.first() else {
        return;
    };
    let ran = run([
        "bench",
        "--engines",
        engine,
        "--rows",
        "20000",
        "--rounds",
        "1",
        "--workloads",
        "load,gets,space",
        "--dir",
        &dir,
        "--out",
        &out.display().to_string(),
    ])
    .ok();
    assert!(ran.stderr.contains("SKIPPED kvdb-rocksdb"), "{ran}");
    let text = ran.text();
    for words in [
        engine.as_str(),
        &format!("raw {engine}"),
        "bulk load, unsorted",
        "get hit, 2 threads",
        "peak memory",
        "SKIPPED fjall",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(
        !text.contains("full scan"),
        "a workload that was not asked for: {text}"
    );
    let written = std::fs::read_to_string(out.join("comparison.md")).unwrap();
    assert_eq!(written, text);
    let json = std::fs::read(out.join("comparison.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["stores"][0]["store"], engine.as_str());
}

#[test]
fn what_makes_no_sense_is_refused() {
    run(["conform", "--engine", "bolt"]).refused(2, &["bolt"]);
    run(["bench", "--engines", "mem", "--workloads", "naps"]).refused(2, &["naps", "gets"]);
    run(["bench", "--rounds", "0"]).refused(2, &["--rounds"]);
    run(["version", "--output", "html"]).refused(2, &["conform"]);
    run(["bench", "--output", "html"]).refused(2, &["bench md"]);
}
