//! Fixtures of rows, as the unit tests of the modules read them: a line each, a name and the bytes
//! in hexadecimal; lines that begin with `#` are words for people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

/// The names and bytes of a file below `tests/fixtures`.
pub(crate) fn lines(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').unwrap();
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let bytes = digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8);
        (name.to_owned(), bytes.collect())
    };
    lines.map(line).collect()
}
