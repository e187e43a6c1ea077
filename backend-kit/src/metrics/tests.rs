//! The page `docs/metrics.md` and the list in the code are the same.

use std::collections::BTreeSet;

use ::metrics::Unit;

use super::meter::word;
use super::{ALL, Kind, Metric, TableTally, Work};

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The row of the page.
fn row(metric: &Metric) -> String {
    let labels = metric.labels.iter().map(|label| match *label {
        "op" => format!("op ({})", metric.ops.join(", ")),
        label => label.to_owned(),
    });
    format!(
        "| `{}` | {} | {} | {} | {} |",
        metric.name,
        metric.kind.as_str(),
        labels.collect::<Vec<_>>().join(", "),
        metric.unit.as_str(),
        metric.meaning
    )
}

#[test]
fn the_page_has_every_metric_and_no_other() {
    let on_page: Vec<&str> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `chainstore_"))
        .collect();
    let in_code: Vec<String> = ALL.iter().map(row).collect();
    assert_eq!(on_page, in_code, "expected rows:\n{}", in_code.join("\n"));
}

#[test]
fn names_follow_the_conventions() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        let name = metric.name;
        assert!(name.starts_with("chainstore_"), "{name}");
        let counter = metric.kind == Kind::Counter;
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        let base = name.trim_end_matches("_total");
        match metric.unit {
            Unit::Seconds => assert!(base.ends_with("_seconds"), "{name}"),
            Unit::Bytes => assert!(base.ends_with("_bytes"), "{name}"),
            Unit::Count => assert!(!base.ends_with("_seconds") && !base.ends_with("_bytes")),
            unit => panic!("{name} is in {unit:?}"),
        }
        assert!(metric.labels.starts_with(&["engine"]), "{name}");
        assert_eq!(
            metric.labels.contains(&"op"),
            !metric.ops.is_empty(),
            "{name}"
        );
        assert!(metric.meaning.ends_with('.'), "{name}");
    }
}

#[test]
fn every_op_that_is_timed_or_can_fail_is_listed() {
    for work in Work::ALL {
        let name = work.as_str();
        assert!(super::catalog::FAILURES.ops.contains(&name), "{name}");
    }
    assert_eq!(super::catalog::FAILURES.ops.len(), Work::ALL.len());
    for timed in super::catalog::OPERATION_SECONDS.ops {
        let known = Work::ALL.iter().any(|work| work.as_str() == *timed);
        assert!(known, "{timed}");
    }
    let words = [
        storage_api::Durability::Durable,
        storage_api::Durability::Buffered,
        storage_api::Durability::Volatile,
    ]
    .map(word);
    assert_eq!(words, ["durable", "buffered", "volatile"]);
}

#[test]
fn the_numbers_of_a_table_fill_one_cache_line() {
    assert_eq!(size_of::<TableTally>(), 64);
    assert_eq!(align_of::<TableTally>(), 64);
}
