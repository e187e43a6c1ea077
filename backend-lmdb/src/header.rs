//! A look at `data.mdb` before it is mapped: LMDB trusts its header, and a file shorter than its
//! header says ends the process with a bus error at the first read behind its end.
//!
//! Invariants: a file that is no LMDB file, of another version, or whose header contradicts itself
//! is refused before any mapping; a mapped file is at least as long as its header says. LMDB itself
//! leaves a file short when the last pages of a transaction were freed again before they were
//! written, so shortness alone is no damage: a writer makes the file longer with zeros, which LMDB
//! reports as corruption where a tree leads there; a read-only opener may not, and refuses. The
//! layout is that of a 64-bit little-endian machine; elsewhere LMDB's own checks have to do. Cost:
//! two reads.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Read, Seek, SeekFrom};
use std::path::Path;

use storage_api::{Error, ErrorKind, Result};

use crate::error::{DATA_FILE, ENGINE, corruption};

const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
const META_FLAG: u16 = 0x08;
/// Free pages are listed by whole number, tables by name.
const FLAGS: [u16; 2] = [0x08, 0];
pub(crate) const NO_PAGE: u64 = u64::MAX;
const PAGE_BYTES: std::ops::RangeInclusive<u32> = 256..=32_768;
/// Page header, then magic, version, address, map size, two tree records, last page, transaction.
const META_BYTES: usize = 152;

/// What one of the two meta pages says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_bytes: u32,
    /// How the list of free pages and the list of tables are ordered.
    flags: [u16; 2],
    /// Of the list of free pages, and of the list of tables.
    pub(crate) roots: [u64; 2],
    pub(crate) last_page: u64,
    txn: u64,
}

/// Checks the data file of this directory and makes it as long as it says. Returns what was
/// repaired, in words.
///
/// # Errors
/// `Corruption` when the file is missing in a store that had one, is no LMDB file or too short;
/// `FormatTooNew`; `Io`.
pub(crate) fn prepare(directory: &Path, fresh: bool, writable: bool) -> Result<Option<String>> {
    let path = directory.join(DATA_FILE);
    let at = |source| Error::from_io(source, path.display().to_string()).with_engine(ENGINE);
    let damaged = |what: String| Error::new(corruption(directory, what)).with_engine(ENGINE);
    let mut file = match OpenOptions::new().read(true).write(writable).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == Io::NotFound && fresh => return Ok(None),
        Err(error) if error.kind() == Io::NotFound => {
            return Err(damaged("the file is missing".to_owned()));
        }
        Err(error) => return Err(at(error)),
    };
    let len = file.metadata().map_err(at)?.len();
    if len == 0 && fresh {
        return Ok(None);
    }
    if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
        return Ok(None);
    }
    let meta = newest_meta(&mut file, directory)?;
    let need = check(&meta, len).map_err(damaged)?;
    if need <= len {
        return Ok(None);
    }
    if !writable {
        return Err(damaged(format!(
            "the file is {len} bytes and its header says {need}; open it for writing once"
        )));
    }
    file.set_len(need).map_err(at)?;
    Ok(Some(format!(
        "{DATA_FILE} was {len} bytes and is {need} now, as its header says; verify it"
    )))
}

/// The meta page of the last commit.
///
/// # Errors
/// `Corruption`, `FormatTooNew`, `Io`.
pub(crate) fn newest_meta(file: &mut File, directory: &Path) -> Result<Meta> {
    let first = read_meta(file, 0, directory)?;
    let second = read_meta(file, u64::from(first.page_bytes), directory)?;
    Ok(if second.txn > first.txn {
        second
    } else {
        first
    })
}

fn read_meta(file: &mut File, offset: u64, directory: &Path) -> Result<Meta> {
    let damaged = |what: String| Error::new(corruption(directory, what)).with_engine(ENGINE);
    let mut bytes = [0; META_BYTES];
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| match error.kind() {
            Io::UnexpectedEof => damaged(format!("no meta page at byte {offset}")),
            _ => Error::from_io(error, directory.display().to_string()).with_engine(ENGINE),
        })?;
    let (magic, version) = (u32_at(&bytes, 16), u32_at(&bytes, 20));
    if magic != MAGIC || u16_at(&bytes, 10) & META_FLAG == 0 {
        return Err(damaged(format!("no LMDB meta page at byte {offset}")));
    }
    if version != VERSION {
        return Err(Error::new(ErrorKind::FormatTooNew {
            what: format!("LMDB's {DATA_FILE}"),
            found: version,
            supported: VERSION,
        })
        .with_engine(ENGINE));
    }
    let meta = Meta {
        page_bytes: u32_at(&bytes, 40),
        flags: [u16_at(&bytes, 44), u16_at(&bytes, 92)],
        roots: [u64_at(&bytes, 80), u64_at(&bytes, 128)],
        last_page: u64_at(&bytes, 136),
        txn: u64_at(&bytes, 144),
    };
    if !meta.page_bytes.is_power_of_two() || !PAGE_BYTES.contains(&meta.page_bytes) {
        return Err(damaged(format!("page size {}", meta.page_bytes)));
    }
    Ok(meta)
}

/// The length that the meta page asks for, or what contradicts itself.
fn check(meta: &Meta, len: u64) -> Result<u64, String> {
    if meta.flags != FLAGS {
        // Read in another order, tables that are there would not be found.
        return Err(format!("flags {:04x?}, {FLAGS:04x?} expected", meta.flags));
    }
    let page_bytes = u64::from(meta.page_bytes);
    let need = meta
        .last_page
        .checked_add(1)
        .and_then(|pages| pages.checked_mul(page_bytes))
        .filter(|need| i64::try_from(*need).is_ok())
        .ok_or_else(|| format!("last page {}", meta.last_page))?;
    for root in meta.roots.into_iter().filter(|root| *root != NO_PAGE) {
        if root < 2 || root > meta.last_page {
            return Err(format!("root page {root} of {} pages", meta.last_page));
        }
        if (root + 1) * page_bytes > len {
            return Err(format!("root page {root} is behind the end at {len} bytes"));
        }
    }
    Ok(need)
}

fn array<const N: usize>(bytes: &[u8; META_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

fn u16_at(bytes: &[u8; META_BYTES], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8; META_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8; META_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Meta = Meta {
        page_bytes: 4096,
        flags: FLAGS,
        roots: [NO_PAGE, 3],
        last_page: 9,
        txn: 5,
    };

    #[test]
    fn a_header_is_checked_against_itself_and_the_length() {
        assert_eq!(check(&GOOD, 40_960), Ok(40_960));
        assert_eq!(check(&GOOD, 16_384), Ok(40_960));
        assert!(check(&GOOD, 16_383).is_err());
        for roots in [[NO_PAGE, 10], [1, NO_PAGE], [NO_PAGE, u64::MAX - 1]] {
            assert!(check(&Meta { roots, ..GOOD }, 40_960).is_err());
        }
        for flags in [[0x08, 0x02], [0, 0], [0x08, 0x04], [0x0a, 0]] {
            assert!(check(&Meta { flags, ..GOOD }, 40_960).is_err());
        }
        for last_page in [u64::MAX, u64::MAX / 4096, i64::MAX as u64 / 4096] {
            assert!(check(&Meta { last_page, ..GOOD }, 40_960).is_err());
        }
    }
}
