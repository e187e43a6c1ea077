//! The matrix as a page of tables, before it becomes Markdown or HTML.
//!
//! Invariants: both forms are written from this one page, so they say the same; a reason is written
//! once, below the table, under the number that every cell with that reason carries.

use crate::suite::CASES;

use super::{Cell, Matrix, SUITE_VERSION, capability};

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A name in the code: of a requirement, a capability, a broken store.
    Name(String),
    /// Words.
    Words(String),
    /// How a requirement ended, with the number of its reason.
    Verdict(&'static str, Option<usize>),
}

/// A table under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) words: Vec<String>,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<Field>>,
    /// The reasons of its cells, numbered from 1.
    pub(super) reasons: Vec<String>,
}

impl Section {
    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            words: Vec::new(),
            head: Vec::new(),
            rows: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// The number of a reason, which is added when it is new.
    fn reason(&mut self, why: &str) -> usize {
        let known = self.reasons.iter().position(|known| known == why);
        1 + known.unwrap_or_else(|| {
            self.reasons.push(why.to_owned());
            self.reasons.len() - 1
        })
    }

    fn verdict(&mut self, (word, why): Cell<'_>) -> Field {
        let number = why.map(|why| self.reason(why));
        Field::Verdict(word, number)
    }
}

/// The title of the page.
pub(super) const TITLE: &str = "Conformance";

/// What the words of the cells mean.
pub(super) const LEGEND: &str = "`pass`: the requirement held. `unsupported`: the store declares \
    that it cannot, and refused with the typed error when asked; it never counts as passed. \
    `skipped`: the requirement does not apply to this store, for the reason given. `FAIL`: it did \
    not hold.";

/// The page: its sections in order.
pub(super) fn sections(matrix: &Matrix) -> Vec<Section> {
    let mut sections = vec![headline(matrix), declared(matrix)];
    let mut section = Section::new("");
    for (case, cells) in matrix.rows() {
        if section.title != case.group {
            let next = Section {
                head: head("requirement", matrix),
                ..Section::new(case.group)
            };
            let done = std::mem::replace(&mut section, next);
            sections.extend((!done.rows.is_empty()).then_some(done));
        }
        let mut row = vec![
            Field::Name(case.name.to_owned()),
            Field::Words(case.requirement.to_owned()),
        ];
        row.extend(cells.into_iter().map(|cell| section.verdict(cell)));
        section.rows.push(row);
    }
    sections.push(section);
    sections.extend((!matrix.catches.is_empty()).then(|| catches(matrix)));
    sections
}

fn head(first: &str, matrix: &Matrix) -> Vec<String> {
    let mut head = vec![first.to_owned(), "what must hold".to_owned()];
    head.extend(matrix.columns.iter().map(|column| column.store.clone()));
    head
}

fn headline(matrix: &Matrix) -> Section {
    let mut section = Section::new("Result");
    let seed = matrix.seed();
    section.words.push(format!(
        "Suite {SUITE_VERSION}, {} requirements{}.",
        CASES.len(),
        seed.map_or(String::new(), |seed| format!(", seed {seed}"))
    ));
    section.words.push(LEGEND.to_owned());
    section.head = ["store", "what was run", "result"]
        .map(str::to_owned)
        .into();
    for (column, claim) in matrix.columns.iter().zip(matrix.claims()) {
        let claim = claim.split_once(": ").map_or(&*claim, |(_, claim)| claim);
        section.rows.push(vec![
            Field::Name(column.store.clone()),
            Field::Words(column.about.clone()),
            Field::Words(claim.to_owned()),
        ]);
    }
    section
}

fn declared(matrix: &Matrix) -> Section {
    let mut section = Section::new("What each store declares");
    section.words.push(
        "Each field is tested both ways: declared, it works; not declared, the call is refused."
            .to_owned(),
    );
    section.head = vec!["capability".to_owned()];
    section
        .head
        .extend(matrix.columns.iter().map(|column| column.store.clone()));
    for (name, words) in capability::ROWS {
        let mut row = vec![Field::Name((*name).to_owned())];
        row.extend(
            matrix
                .columns
                .iter()
                .map(|column| Field::Words(column.capabilities().map_or("-".to_owned(), words))),
        );
        section.rows.push(row);
    }
    section
}

fn catches(matrix: &Matrix) -> Section {
    let mut section = Section::new("Broken stores that the suite must catch");
    let all = matrix.catches.len();
    let caught = matrix.catches.iter().filter(|c| c.caught_by.is_some());
    section.words.push(format!(
        "A suite that passes proves something only if it fails on what is wrong. Each of these \
         stores is right but for one mistake. Caught: {} of {all}.",
        caught.count()
    ));
    section.head = ["broken store", "its mistake", "caught by"]
        .map(str::to_owned)
        .into();
    for catch in &matrix.catches {
        let by = match &catch.caught_by {
            Some(report) => Field::Name(format!("{}::{}", report.case.group, report.case.name)),
            None => Field::Verdict("FAIL", Some(section.reason("no case failed on it"))),
        };
        section.rows.push(vec![
            Field::Name(format!("{:?}", catch.mutation)),
            Field::Words(catch.mutation.what().to_owned()),
            by,
        ]);
    }
    section
}
