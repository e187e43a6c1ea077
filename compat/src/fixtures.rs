//! The fixtures of rows, as the unit tests of the modules read them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

/// The names and bytes of a file below `tests/fixtures`.
pub(crate) fn lines(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    conformance::fixtures::lines(&folder.join(name)).unwrap()
}
