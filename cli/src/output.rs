//! What goes to standard output: tables, JSON documents, JSON lines, raw bytes.
//!
//! Invariants: nothing else in the program writes to standard output; every JSON object on its own
//! (a document, or a line of `jsonl`) carries `"schema": 1`; long lists are streamed, one row in
//! memory at a time; a closed pipe is [`Stop::OutputClosed`] and no error to anyone.

use std::io::{self, BufWriter, Stdout, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::exit::Stop;
use crate::settings::colour::{self, Part};

/// Version of the JSON that this program writes; fields are added to a version, never changed.
const SCHEMA: u32 = 1;

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables to read.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// A Markdown page; of `conform` and `bench` only.
    Md,
    /// An HTML page; of `conform` only.
    Html,
}

impl Format {
    /// Whether it is a page, which only reports are written as.
    pub(crate) const fn is_page(self) -> bool {
        matches!(self, Self::Md | Self::Html)
    }
}

/// A JSON object with the version of its schema.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: u32,
    #[serde(flatten)]
    body: &'a T,
}

const fn document<T>(body: &T) -> Document<'_, T> {
    Document {
        schema: SCHEMA,
        body,
    }
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    out: BufWriter<Stdout>,
}

impl Output {
    /// Standard output in this format.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// The format.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Writes one document, as JSON or as the text that `table` makes.
    pub(crate) fn document<T: Serialize>(
        &mut self,
        body: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        match self.format {
            // Pages are refused before a command that has none begins.
            Format::Table | Format::Md | Format::Html => self.line(table(body).trim_end()),
            Format::Json => self.line(&serde_json::to_string_pretty(&document(body))?),
            Format::Jsonl => self.line(&serde_json::to_string(&document(body))?),
        }?;
        self.finish()
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        written(self.out.write_all(bytes))?;
        self.finish()
    }

    /// Standard output for bytes that come one after the other; who writes them flushes.
    pub(crate) fn bytes(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Begins a list whose rows are named `rows` in JSON and stand below `head` in a table.
    pub(crate) fn list(&mut self, head: &str) -> Result<List<'_>> {
        match self.format {
            Format::Table | Format::Md | Format::Html if head.is_empty() => {}
            Format::Table | Format::Md | Format::Html => self.line(head)?,
            Format::Json => self.text(&format!("{{\n  \"schema\": {SCHEMA},\n  \"rows\": ["))?,
            Format::Jsonl => {}
        }
        Ok(List {
            output: self,
            rows: 0,
        })
    }

    fn text(&mut self, text: &str) -> Result<()> {
        written(self.out.write_all(text.as_bytes()))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.text(line)?;
        self.text("\n")
    }

    fn finish(&mut self) -> Result<()> {
        written(self.out.flush())
    }
}

fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::OutputClosed.into()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// A list under way.
#[derive(Debug)]
pub(crate) struct List<'o> {
    output: &'o mut Output,
    rows: u64,
}

impl List<'_> {
    /// Writes one row, as JSON or as the line that `line` makes.
    pub(crate) fn row<T: Serialize>(
        &mut self,
        row: &T,
        line: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        match self.output.format {
            Format::Table | Format::Md | Format::Html => self.output.line(&line(row))?,
            Format::Json => {
                let comma = if self.rows == 0 { "" } else { "," };
                let json = serde_json::to_string(row)?;
                self.output.text(&format!("{comma}\n    {json}"))?;
            }
            Format::Jsonl => self.output.line(&serde_json::to_string(&document(row))?)?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends the list.
    pub(crate) fn end(self) -> Result<()> {
        if self.output.format == Format::Json {
            let close = if self.rows == 0 { "]\n}" } else { "\n  ]\n}" };
            self.output.line(close)?;
        }
        self.output.finish()
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Words, to the left.
    Left(&'static str),
    /// Numbers, to the right.
    Right(&'static str),
}

/// A table of words and numbers.
pub(crate) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(name) | Column::Right(name) => *name,
    }));
    table.add_rows(rows);
    for (column, kind) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if matches!(kind, Column::Right(_)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.trim_fmt();
    let (head, rows) = text.split_once('\n').unwrap_or((&text, ""));
    let head = colour::paint(Part::Head, head, &io::stdout());
    if rows.is_empty() {
        return head;
    }
    format!("{head}\n{rows}")
}

/// A table of names and values without a head.
pub(crate) fn facts(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(
        rows.into_iter()
            .map(|(name, value)| vec![name.to_owned(), value]),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that may be an estimate.
pub(crate) fn counted(number: u64, is_exact: bool) -> String {
    let mark = if is_exact { "" } else { "~" };
    format!("{mark}{}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        let check = |number, expected: &str| assert_eq!(grouped(number), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_275_000_000_000, "1,275,000,000,000");
        check(u64::MAX, "18,446,744,073,709,551,615");
        assert_eq!(counted(1_000, false), "~1,000");
    }

    #[test]
    fn tables_have_no_trailing_blanks() {
        let text = table(
            &[Column::Left("name"), Column::Right("rows")],
            [
                vec!["accounts".to_owned(), "1".to_owned()],
                vec!["b".to_owned(), "1,000".to_owned()],
            ],
        );
        assert_eq!(text, "name       rows\naccounts      1\nb         1,000");
    }
}
