//! The three forms of a matrix say what was found, and nothing can be hidden in them.

use std::time::Duration;

use storage_api::Capabilities;

use super::{Column, Matrix, Run};
use crate::mutants::{Catch, Mutation};
use crate::report::{CaseReport, Outcome, Report};
use crate::suite::CASES;

fn column(store: &str, outcome: impl Fn(usize) -> Outcome) -> Column {
    let cases = CASES.iter().enumerate().map(|(at, case)| CaseReport {
        case,
        outcome: outcome(at),
        took: Duration::ZERO,
    });
    Column {
        store: store.to_owned(),
        about: "a made-up store".to_owned(),
        run: Run::Done {
            capabilities: Box::new(Capabilities::IN_MEMORY),
            report: Report {
                store: store.to_owned(),
                seed: 7,
                cases: cases.collect(),
            },
        },
    }
}

fn matrix() -> Matrix {
    let odd = column("odd", |at| match at {
        0 => Outcome::Failed("found <b> | \"c\"\nand a line".to_owned()),
        1 => Outcome::Unsupported("no wings".to_owned()),
        2 => Outcome::Skipped("no legs".to_owned()),
        _ => Outcome::Passed,
    });
    let absent = Column {
        store: "absent".to_owned(),
        about: String::new(),
        run: Run::NotRun("not in this build".to_owned()),
    };
    Matrix {
        setting: vec![("date".to_owned(), "today".to_owned())],
        columns: vec![column("good", |_| Outcome::Passed), odd, absent],
        catches: vec![Catch {
            mutation: Mutation::DeleteIgnored,
            caught_by: None,
        }],
    }
}

#[test]
fn what_is_unsupported_or_skipped_is_never_passed() {
    let matrix = matrix();
    let tally = Matrix::tally(&matrix.columns[1]);
    assert_eq!(
        (tally.passed, tally.unsupported, tally.skipped, tally.failed),
        (CASES.len() - 3, 1, 1, 1)
    );
    assert_eq!(Matrix::tally(&matrix.columns[2]), super::Tally::default());
}

#[test]
fn a_failure_and_a_survivor_fail_the_matrix() {
    let mut matrix = matrix();
    assert!(matrix.has_failed());
    matrix.columns.remove(1);
    assert!(matrix.has_failed(), "a broken store survived");
    matrix.catches.clear();
    assert!(!matrix.has_failed());
}

#[test]
fn markdown_has_a_row_a_requirement_and_no_broken_cell() {
    let text = matrix().to_markdown();
    for case in CASES {
        assert!(
            text.contains(&format!("| `{}` |", case.name)),
            "{}",
            case.name
        );
    }
    assert!(text.contains("**FAIL** (1)"), "{text}");
    assert!(text.contains("1. found <b> / \"c\" and a line"), "{text}");
    assert!(text.contains("not run, not in this build"), "{text}");
    assert!(text.contains("Caught: 0 of 1."), "{text}");
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let bars: Vec<usize> = table
            .lines()
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.matches('|').count())
            .collect();
        assert!(bars.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}

#[test]
fn html_is_escaped_and_needs_nothing_from_outside() {
    let text = matrix().to_html();
    assert!(text.contains("found &lt;b&gt; | &quot;c&quot;"), "{text}");
    for outside in ["http", "src=", "<script", "@import", "url("] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(text.contains("<code>pass</code>: the requirement held."));
}

#[test]
fn json_holds_every_requirement_under_its_id() {
    let json = matrix().to_json();
    let none = Vec::new();
    let rows = json["requirements"].as_array().unwrap_or(&none);
    assert_eq!(rows.len(), CASES.len());
    assert_eq!(rows[0]["results"]["odd"]["outcome"], "fail");
    assert_eq!(rows[1]["results"]["odd"]["why"], "no wings");
    assert_eq!(rows[1]["results"]["absent"]["outcome"], "not run");
    assert_eq!(json["stores"][0]["tally"]["passed"], CASES.len());
    assert_eq!(json["stores"][2]["not_run"], "not in this build");
    assert!(json["mutants"][0]["caught_by"].is_null());
    let ids: std::collections::HashSet<_> = rows.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids.len(), CASES.len(), "ids are unique");
}
