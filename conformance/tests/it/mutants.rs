//! Every mutant is caught, and the wrapper that makes them passes everything when it makes no
//! mistake.

use conformance::Medium;
use conformance::mutants::{Mutation, catches_as_markdown, hunt_all, run_unmutated};

#[test]
fn every_mutant_is_caught() {
    let catches = hunt_all();
    println!("{}", catches_as_markdown(&catches));
    assert!(
        catches.len() >= 25,
        "{} mutants are too few to prove anything",
        catches.len()
    );
    let survivors: Vec<Mutation> = catches
        .iter()
        .filter(|catch| catch.caught_by.is_none())
        .map(|c| c.mutation)
        .collect();
    assert!(
        survivors.is_empty(),
        "these mutants survived every case: {survivors:?}"
    );
}

#[test]
fn the_wrapper_without_a_mistake_passes() {
    for medium in [Medium::Memory, Medium::Disk] {
        let report = run_unmutated(medium);
        let failures: Vec<String> = report
            .failures()
            .map(|report| format!("{}: {:?}", report.case.name, report.outcome))
            .collect();
        assert!(failures.is_empty(), "{medium:?}: {failures:#?}");
    }
}
