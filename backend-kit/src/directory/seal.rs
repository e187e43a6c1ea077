//! The seal: which commit was durable when the store was last closed. Format:
//! `docs/format/directory.md`.
//!
//! An engine recovers by taking the last state that checks, and damage can make an older one pass
//! for it: a bit of a header that chooses between two states, a record in the middle of a log. The
//! seal tells that apart from a crash: a store never holds less than what was sealed. Invariants: a
//! seal is written only after everything up to its commit was synced, and replaced atomically; it
//! may be older than the store, because a process that dies writes none, and never newer; parsing
//! never panics.

use std::fs;
use std::io::{self, Read, Write};

use storage_api::{CommitSeq, Error, ErrorKind, Result};

use super::{Directory, io_error, lock};

/// The seal's file name.
pub const SEAL_FILE: &str = "CHAINSTORE.seal";
const SEAL_TEMPORARY: &str = "CHAINSTORE.seal.tmp";

const MAGIC: &str = "chainstore-seal";
const SEAL_VERSION: u32 = 1;
/// The longest seal is 69 bytes.
const SEAL_BYTES_MAX: u64 = 128;

/// The text of a seal over everything up to this commit.
fn to_text(commit: CommitSeq) -> String {
    let body = format!("{MAGIC} {SEAL_VERSION}\ncommit {commit}\n");
    let sum = crc32c::crc32c(body.as_bytes());
    format!("{body}crc32c {sum:08x}\n")
}

/// Reads a seal; `place` names the file in errors.
fn parse(bytes: &[u8], place: &str) -> Result<CommitSeq> {
    let corrupt = || Error::corruption(place, "not a seal that checks");
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt())?;
    let mut lines = text.lines();
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix(MAGIC)?.strip_prefix(' ')?.parse().ok())
        .ok_or_else(corrupt)?;
    if version > SEAL_VERSION {
        return Err(Error::new(ErrorKind::FormatTooNew {
            what: place.to_owned(),
            found: version,
            supported: SEAL_VERSION,
        }));
    }
    let commit = lines
        .next()
        .and_then(|line| line.strip_prefix("commit ")?.parse().ok())
        .map(CommitSeq::new)
        .ok_or_else(corrupt)?;
    // There is one text for each commit, so whatever differs from it is damage.
    if text == to_text(commit) {
        Ok(commit)
    } else {
        Err(corrupt())
    }
}

impl Directory {
    /// The commit that was durable when the store was last closed; zero when it never was.
    ///
    /// # Errors
    /// `Corruption`, `FormatTooNew`, `PermissionDenied`, `Io`.
    pub fn read_seal(&self) -> Result<CommitSeq> {
        let path = self.path.join(SEAL_FILE);
        let read = fs::File::open(&path).and_then(|file| {
            let mut text = Vec::new();
            file.take(SEAL_BYTES_MAX).read_to_end(&mut text)?;
            Ok(text)
        });
        match read {
            Ok(text) => parse(&text, &path.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CommitSeq::ZERO),
            Err(error) => Err(io_error(error, &path)),
        }
    }

    /// Replaces the seal. Everything up to this commit is durable. Its name need not be: after a
    /// power cut the seal before it is as true.
    ///
    /// # Errors
    /// `DiskFull`, `PermissionDenied`, `Io`; the old seal is in force then.
    pub fn write_seal(&self, commit: CommitSeq) -> Result<()> {
        let temporary = self.path.join(SEAL_TEMPORARY);
        let write = || -> io::Result<()> {
            let mut file = lock::owner_only()
                .create(true)
                .truncate(true)
                .open(&temporary)?;
            file.write_all(to_text(commit).as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, self.path.join(SEAL_FILE))
        };
        write().map_err(|error| {
            let _gone = fs::remove_file(&temporary);
            io_error(error, &temporary)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CommitSeq, Error, ErrorKind, parse, to_text};

    const GOLDEN: &str = include_str!("../../tests/fixtures/seal/golden-v1.txt");

    #[test]
    fn a_seal_has_the_documented_text() {
        assert_eq!(to_text(CommitSeq::new(42)), GOLDEN);
        assert_eq!(parse(GOLDEN.as_bytes(), "x").ok(), Some(CommitSeq::new(42)));
        let long = to_text(CommitSeq::new(u64::MAX));
        assert!(long.len() as u64 <= super::SEAL_BYTES_MAX);
        assert!(parse(long.as_bytes(), "x").is_ok());
    }

    #[test]
    fn what_is_no_seal_of_this_version_is_refused() {
        let corrupt = [
            include_str!("../../tests/fixtures/seal/corrupt-commit.txt"),
            include_str!("../../tests/fixtures/seal/corrupt-number.txt"),
            include_str!("../../tests/fixtures/seal/corrupt-truncated.txt"),
        ];
        for text in corrupt {
            assert!(parse(text.as_bytes(), "x").is_err_and(|error| error.is_corruption()));
        }
        let newer = include_str!("../../tests/fixtures/seal/newer-version.txt");
        let is_newer =
            |error: Error| matches!(error.kind(), ErrorKind::FormatTooNew { found: 2, .. });
        assert!(parse(newer.as_bytes(), "x").is_err_and(is_newer));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let text = GOLDEN.as_bytes().to_vec();
        for at in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(parse(&flipped, "x").is_err(), "bit {at}");
        }
        for len in 0..text.len() {
            assert!(parse(&text[..len], "x").is_err(), "{len} bytes");
        }
    }
}
