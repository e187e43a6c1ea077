//! A tiny run of everything: every answer of every compiled engine is the plan's, and the report
//! names every engine and every row. No time is asserted.
#![forbid(unsafe_code)]

mod price;

use anyhow::{Context, Result};
use benches::engines::{self, Checking, Row};
use benches::facade::{self, Call};
use benches::report::{Report, Setting};
use benches::workload::Sizes;
use chain_store::EngineName;

fn tiny() -> Result<Report> {
    let dir = tempfile::tempdir()?;
    let all: Vec<EngineName> = EngineName::compiled().collect();
    let mut sizes = Sizes::smoke();
    sizes.rounds = 2;
    let subjects = engines::run(&all, sizes, Checking::Contents, dir.path(), &mut |_| {})?;
    let prices = facade::run(&all, sizes, dir.path(), &mut |_| {})?;
    let left = std::fs::read_dir(dir.path())?.count();
    assert_eq!(left, 0, "a run leaves nothing behind");
    Ok(Report {
        setting: Setting {
            date: "2026-11-21".into(),
            command: "cargo bench".into(),
            ..Setting::default()
        },
        sizes,
        subjects,
        prices,
    })
}

#[test]
fn a_tiny_run_is_complete() -> Result<()> {
    let report = tiny()?;
    for subject in &report.subjects {
        let engine = subject.engine;
        for row in Row::ALL {
            let samples = subject.samples(row);
            let of_disk = matches!(
                row,
                Row::LoadSync | Row::Reopen | Row::DiskLoaded | Row::DiskUpdated
            );
            let expected = match row {
                Row::CommitSlow => 1,
                // An engine may have no compaction.
                Row::DiskCompacted => samples.len(),
                _ if of_disk && !subject.persistent => 0,
                _ => report.sizes.rounds,
            };
            assert_eq!(samples.len(), expected, "{engine}: {}", row.name());
            assert!(
                samples.iter().all(|sample| *sample > 0.0),
                "{engine}: {}",
                row.name()
            );
        }
    }
    assert_eq!(report.prices.len(), report.subjects.len() * Call::ALL.len());
    let [text, json] = [report.to_string(), report.to_json().to_string()];
    for engine in EngineName::compiled() {
        assert!(text.contains(engine.as_str()) && json.contains(engine.as_str()));
    }
    let rows = text.lines().filter(|line| line.starts_with("| get hit"));
    assert!(rows.count() >= 4, "{text}");
    let load = text.lines().find(|line| line.starts_with("| load"));
    let load = load.context("no row of the load")?;
    assert_eq!(load.matches('x').count(), report.subjects.len(), "{load}");
    Ok(())
}

#[test]
fn the_same_engine_twice_is_two_subjects() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let twice = [EngineName::Mem, EngineName::Mem];
    let mut steps = Vec::new();
    let subjects = engines::run(
        &twice,
        Sizes::smoke(),
        Checking::Contents,
        dir.path(),
        &mut |step| steps.push(step.to_owned()),
    )?;
    assert_eq!((subjects.len(), steps.len()), (2, 2));
    // Nothing outlives the process here, so these are ranked among themselves.
    let ranked = engines::rank(&subjects, Row::Load);
    assert!(
        subjects
            .iter()
            .any(|s| s.figure(Row::Load).is_some_and(|f| ranked.is_best(&f)))
    );
    Ok(())
}
