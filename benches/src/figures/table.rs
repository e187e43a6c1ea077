//! A Markdown table, aligned as text too, so that it reads the same in a terminal.
//!
//! Invariant: every row has as many cells as the head; missing ones are empty.

use std::fmt;

/// A table of text. The first column is left-aligned, the others right-aligned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with this head.
    #[must_use]
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells past the head are dropped, and bars in cells are escaped.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells
            .into_iter()
            .map(|cell| cell.into().replace('|', "\\|"));
        let mut row: Vec<String> = cells.take(self.head.len()).collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = 0..self.head.len();
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| lines().map(|line| line[column].chars().count()).max();
        columns
            .map(|column| width(column).unwrap_or(0).max(3))
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            write!(f, "|")?;
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                match at {
                    0 => write!(f, " {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)
        };
        line(f, &self.head)?;
        write!(f, "|")?;
        for (at, width) in widths.iter().enumerate() {
            match at {
                0 => write!(f, "{}|", "-".repeat(width + 2))?,
                _ => write!(f, "{}:|", "-".repeat(width + 1))?,
            }
        }
        writeln!(f)?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["work", "mem", "redb"]);
        table.row(["get hit", "**1.00 M/s**", "7"]);
        table.row(["a|b"]);
        table.row(["c", "1", "2", "dropped"]);
        let expected = "\
            | work    |          mem | redb |\n\
            |---------|-------------:|-----:|\n\
            | get hit | **1.00 M/s** |    7 |\n\
            | a\\|b    |              |      |\n\
            | c       |            1 |    2 |\n";
        assert_eq!(table.to_string(), expected);
    }
}
