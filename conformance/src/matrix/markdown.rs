//! The matrix as Markdown, readable as a text and rendered by every forge.
//!
//! Invariant: no cell can break its table: bars and line ends inside cells are replaced.

use std::fmt::Write as _;

use super::Matrix;
use super::page::{Field, Section, TITLE, sections};

impl Matrix {
    /// The matrix as a Markdown page.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {TITLE}\n");
        for (name, value) in &self.setting {
            let _ = write!(text, "\n- {name}: {}", plain(value));
        }
        text.push('\n');
        for section in sections(self) {
            write(&mut text, &section);
        }
        text
    }
}

/// Text that stays inside one cell.
fn plain(text: &str) -> String {
    text.replace('|', "/").replace(['\n', '\r'], " ")
}

fn field(field: &Field) -> String {
    match field {
        Field::Name(name) => format!("`{}`", plain(name)),
        Field::Words(words) => plain(words),
        Field::Verdict(word, None) => (*word).to_owned(),
        Field::Verdict("FAIL", Some(number)) => format!("**FAIL** ({number})"),
        Field::Verdict(word, Some(number)) => format!("{word} ({number})"),
    }
}

fn line(text: &mut String, cells: impl IntoIterator<Item = String>) {
    text.push('|');
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

// Writing to a string cannot fail.
fn write(text: &mut String, section: &Section) {
    let _ = write!(text, "\n## {}\n\n", section.title);
    for words in &section.words {
        let _ = write!(text, "{words}\n\n");
    }
    line(text, section.head.iter().map(|head| plain(head)));
    line(text, section.head.iter().map(|_| "---".to_owned()));
    for row in &section.rows {
        line(text, row.iter().map(field));
    }
    if !section.reasons.is_empty() {
        text.push('\n');
    }
    for (at, reason) in section.reasons.iter().enumerate() {
        let _ = writeln!(text, "{}. {}", at + 1, plain(reason));
    }
}
