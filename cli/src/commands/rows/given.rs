//! Rows that the user gives: lines of JSON as `list --output jsonl` prints them, and raw values.
//!
//! Invariants: one line in memory at a time; a line that is not understood is an error that names
//! its file and number, never a row left out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::exit::Stop;
use crate::hex::Hex;

/// The name of standard input where a file is asked for.
const STDIN: &str = "-";

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    schema: Option<u32>,
    key: String,
    value: Option<String>,
}

/// A row, or only its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// Whether the same rows can be read twice.
pub(super) fn is_file(from: &Path) -> bool {
    from.as_os_str() != STDIN && from.is_file()
}

fn words_of(from: &Path) -> String {
    if from.as_os_str() == STDIN {
        "standard input".to_owned()
    } else {
        from.display().to_string()
    }
}

fn open(from: &Path) -> Result<Box<dyn Read>> {
    if from.as_os_str() == STDIN {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    Ok(Box::new(file))
}

/// All bytes of a file or of standard input.
pub(super) fn bytes(from: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(from)?.read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {}", words_of(from)))?;
    Ok(bytes)
}

/// Rows under way.
pub(super) struct Rows {
    name: String,
    lines: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    number: u64,
}

impl Rows {
    /// Begins to read.
    pub(super) fn open(from: &Path) -> Result<Self> {
        Ok(Self {
            name: words_of(from),
            lines: BufReader::new(open(from)?),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The file and the line read last, for errors.
    pub(super) fn place(&self) -> String {
        format!("{}, line {}", self.name, self.number)
    }

    /// The next row; empty lines are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = self.lines.read_until(b'\n', &mut self.line);
            let bytes = read.with_context(|| format!("cannot read {}", self.name))?;
            if bytes == 0 {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                let row = row(&self.line);
                return row.map(Some).map_err(|why| {
                    Stop::Different(format!("{} is no row: {why}", self.place())).into()
                });
            }
        }
    }
}

/// The row of a line, or what is wrong with it.
fn row(line: &[u8]) -> Result<Row, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if let Some(schema) = line.schema.filter(|schema| *schema != 1) {
        return Err(format!("schema {schema}, this release reads 1"));
    }
    let bytes = |what: &str, text: &str| {
        let hex: Result<Hex, _> = text.parse();
        hex.map(|hex| hex.0)
            .map_err(|why| format!("its {what}: {why}"))
    };
    Ok(Row {
        key: bytes("key", &line.key)?,
        value: (line.value.as_deref())
            .map(|value| bytes("value", value))
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_list_prints_are_rows() {
        let read = |text: &str| row(text.as_bytes());
        let expected = Row {
            key: vec![1],
            value: Some(vec![]),
        };
        let line = r#"{"schema":1,"key":"0x01","value":"0x"}"#;
        assert_eq!(read(line), Ok(expected));
        let only_key = Row {
            key: vec![0xab],
            value: None,
        };
        assert_eq!(read(r#"{"key":"AB"}"#), Ok(only_key));
        for (line, why) in [
            ("", "EOF"),
            ("[]", "invalid"),
            ("{}", "missing field `key`"),
            (r#"{"key":"0x0"}"#, "its key: an odd number"),
            (r#"{"key":"0x00","value":"zz"}"#, "its value: 'z'"),
            (r#"{"key":"0x00","vlaue":"00"}"#, "unknown field `vlaue`"),
            (r#"{"schema":2,"key":"0x00"}"#, "schema 2"),
            (r#"{"key":7}"#, "invalid type"),
        ] {
            let error = read(line).err().unwrap_or_default();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
