//! Fixtures of rows and records: a line each, a name, a space and the bytes in hexadecimal; what
//! is no digit between two of them is for the eye, and lines that begin with `#` are words for
//! people.
//!
//! Invariant: a line that is not like that is an error, so a fixture that lost a half of a byte is
//! noticed and not read as another one.

use std::fs;
use std::io;
use std::path::Path;

/// The names and bytes of a file, in its order.
///
/// # Errors
/// Of the system; `InvalidData` for a line without a name or with half a byte, which is named.
pub fn lines(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            read(line).ok_or_else(|| {
                let what = format!("{}: no name and bytes: {line:?}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })
        })
        .collect()
}

fn read(line: &str) -> Option<(String, Vec<u8>)> {
    let (name, hex) = line.split_once(' ')?;
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    Some((name.to_owned(), bytes.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_line_is_a_name_and_whole_bytes() {
        let bytes = vec![0x01, 0xfe];
        assert_eq!(read("row 01-fe"), Some(("row".to_owned(), bytes)));
        assert_eq!(read("empty "), Some(("empty".to_owned(), vec![])));
        assert_eq!(read("half 01f"), None);
        assert_eq!(read("noname"), None);
    }
}
