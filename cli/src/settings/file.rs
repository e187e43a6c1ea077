//! The configuration as a file: TOML with a few keys at its top.
//!
//! Invariant: every error names the file, the line and, where there is one, the key.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::de::{DeTable, DeValue};

use super::key::{Key, Type};
use super::{Given, Origin};
use crate::exit::Stop;

/// A configuration is a page; what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<Given>> {
    let failed = || format!("cannot read the configuration {}", path.display());
    let about = fs::metadata(path).with_context(failed)?;
    if about.is_file() && about.len() > FILE_BYTES_MAX {
        let what = format!("{} is no configuration: too large", path.display());
        return Err(Stop::Usage(what).into());
    }
    let bytes = fs::read(path).with_context(failed)?;
    let settings = match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path),
        Err(_) => Err(format!("{} is no text", path.display())),
    };
    settings.map_err(|what| Stop::Usage(what).into())
}

/// The line of a place in a text, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// The settings of a text, or what is wrong with the first of them that is.
fn parse(text: &str, path: &Path) -> Result<Vec<Given>, String> {
    let place = |at: usize| format!("{}, line {}", path.display(), line_of(text, at));
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{}: {}", place(at), error.message())
    })?;
    let mut entries: Vec<_> = document.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut given = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let at = name.span().start;
        let name = name.get_ref();
        let known = Key::ALL.into_iter().find(|key| key.name() == name);
        let Some(key) = known else {
            let known = Key::ALL.map(Key::name).join(", ");
            return Err(format!(
                "{}: unknown key {name}; known are {known}",
                place(at)
            ));
        };
        let value = as_text(key, value.get_ref()).ok_or_else(|| {
            format!(
                "{}: key {name} is {}, {} is needed",
                place(at),
                value.get_ref().type_str(),
                key.kind().words()
            )
        })?;
        if let Err(why) = key.check(&value) {
            return Err(format!("{}: key {name} is {value:?}: {why}", place(at)));
        }
        given.push(Given {
            key,
            value,
            origin: Origin::File(path.to_owned(), line_of(text, at)),
        });
    }
    Ok(given)
}

/// The value as it would stand on the command line, if it has the type of the key.
fn as_text(key: Key, value: &DeValue<'_>) -> Option<String> {
    match (key.kind(), value) {
        (Type::Text | Type::TextOrInteger, DeValue::String(text)) => Some(text.to_string()),
        (Type::Integer | Type::TextOrInteger, DeValue::Integer(number)) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            // What no integer holds stays as it is written and is refused as a value.
            Some(read.map_or_else(|_| number.as_str().to_owned(), |it| it.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(&'static str, String, String)>, String> {
        parse(text, Path::new("c.toml")).map(|given| {
            let shown = |it: Given| (it.key.name(), it.value, it.origin.to_string());
            given.into_iter().map(shown).collect()
        })
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let text = "# mine\nstore = \"redb:./node\"\n\nmemory_budget_bytes = 0x1000_0000\n\
                    metrics_addr = 9187\noutput = 'json'\ncolor = \"never\"\nlog_level = \"info\"";
        let expected = [
            ("store", "redb:./node", 2),
            ("memory_budget_bytes", "268435456", 4),
            ("metrics_addr", "9187", 5),
            ("output", "json", 6),
            ("color", "never", 7),
            ("log_level", "info", 8),
        ];
        let expected = expected
            .map(|(key, value, line)| (key, value.to_owned(), format!("file c.toml line {line}")));
        assert_eq!(parsed(text), Ok(expected.to_vec()));
        assert_eq!(parsed(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_key() {
        for (text, words) in [
            (
                "output = \"json\"\nstroe = \"x\"",
                "c.toml, line 2: unknown key stroe; known are store, ",
            ),
            ("[log]\nlevel = 1", "c.toml, line 1: unknown key log"),
            (
                "output = 3",
                "line 1: key output is integer, a string is needed",
            ),
            ("[store]\nx = 1", "key store is table, a string is needed"),
            (
                "memory_budget_bytes = \"1\"",
                "is string, an integer is needed",
            ),
            (
                "memory_budget_bytes = 0",
                "key memory_budget_bytes is \"0\": a number of bytes",
            ),
            ("memory_budget_bytes = -1", "\"-1\""),
            ("memory_budget_bytes = 99999999999999999999", "bytes"),
            (
                "metrics_addr = 65536",
                "key metrics_addr is \"65536\": write PORT",
            ),
            ("metrics_addr = true", "is boolean, a string or an integer"),
            (
                "output = \"html\"",
                "key output is \"html\": table, json or jsonl",
            ),
            ("color = \"red\"", "auto, always or never"),
            ("log_level = \"loud\"", "off, error, warn"),
            ("store = \"\"", "key store is \"\""),
            ("store = \"leveldb:x\"", "unknown engine leveldb"),
            ("\nstore = ", "c.toml, line 2: "),
            ("output = \"json\"\noutput = \"table\"", "line 2"),
        ] {
            let error = parsed(text).err().unwrap_or_default();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
