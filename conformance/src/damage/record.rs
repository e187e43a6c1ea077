//! [`Figures`]: what one proof counted, as one line of text and as one JSON object.
//!
//! Invariants: the text and the object hold the same names and values in the same order; without
//! `CHAINSTORE_PROOF_OUT` nothing is written; a line is appended with one write, so that tests that
//! run beside each other do not mix theirs.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

/// The variable that names the directory where proofs leave their figures.
pub const PROOF_OUT_VARIABLE: &str = "CHAINSTORE_PROOF_OUT";

/// Figures of one proof on one engine in one configuration.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    entries: Vec<(&'static str, Value)>,
}

impl Figures {
    /// Figures of this engine in this configuration.
    #[must_use]
    pub fn new(engine: &str, configuration: &str) -> Self {
        Self::default()
            .text("engine", engine)
            .text("configuration", configuration)
    }

    /// Adds a word.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: &str) -> Self {
        self.entries.push((name, text.into()));
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, number: u64) -> Self {
        self.entries.push((name, number.into()));
        self
    }

    /// Prints the line, and appends the object to this file of the directory that the environment
    /// names, if it names one.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn publish(&self, file: &str) -> io::Result<()> {
        println!("{self}");
        match std::env::var_os(PROOF_OUT_VARIABLE) {
            Some(directory) => self.append(&Path::new(&directory).join(file)),
            None => Ok(()),
        }
    }

    fn append(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let object: Map<String, Value> = self
            .entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let line = format!("{}\n", Value::Object(object));
        let mut out = OpenOptions::new().create(true).append(true).open(path)?;
        out.write_all(line.as_bytes())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.entries.iter().enumerate() {
            let space = if at == 0 { "" } else { ", " };
            match value {
                Value::String(text) => write!(f, "{space}{name} {text}")?,
                value => write!(f, "{space}{name} {value}")?,
            }
        }
        Ok(())
    }
}
