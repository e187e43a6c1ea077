//! The content digest, and the digest of a range: one SHA-256 over everything an application
//! stored, the same on every engine for the same content.
//!
//! The bytes that are hashed are told in `docs/format/content-digest.md`: tables in order of name,
//! rows in order of key, each with its lengths, values without envelope; table numbers, internal
//! tables and tables without rows take no part. Cost: one scan of the store.

use std::fmt;

use sha2::{Digest, Sha256};
use storage_api::{Catalogue, Cursor, KeyRange, Reader, Result, TableId};

const DOMAIN: &[u8] = b"chainstore content 1\n";
const RANGE_DOMAIN: &[u8] = b"chainstore range 1\n";
const TABLE: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 65_536;

/// The digest of a store's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads every row of every table in the catalogue, reporting rows read so far.
    ///
    /// # Errors
    /// Of the reader.
    pub fn compute<R: Reader>(
        reader: &R,
        catalogue: &Catalogue,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let mut tables: Vec<_> = catalogue.iter().collect();
        tables.sort_by(|a, b| a.def.name().cmp(b.def.name()));
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        let mut total = 0u64;
        for table in tables {
            let name = table.def.name().as_bytes();
            let mut rows = 0u64;
            let mut cursor = reader.cursor(table.id, KeyRange::all())?;
            while let Some(row) = cursor.next()? {
                if rows == 0 {
                    hash.update([TABLE]);
                    hash.update((name.len() as u64).to_le_bytes());
                    hash.update(name);
                }
                rows += 1;
                add_row(&mut hash, row.key, row.value);
                if (total + rows).is_multiple_of(PROGRESS_ROWS) {
                    progress(total + rows);
                }
            }
            if rows > 0 {
                hash.update([END]);
                hash.update(rows.to_le_bytes());
            }
            total += rows;
        }
        progress(total);
        Ok(Self(hash.finalize().into()))
    }
}

/// The digest of the rows of one table in one range, the same on every engine for the same rows.
/// Bytes hashed: `docs/format/content-digest.md`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RangeDigest {
    sum: [u8; 32],
    rows: u64,
}

impl RangeDigest {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.sum
    }

    /// Rows in the range.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads every row of the range, reporting rows read so far.
    ///
    /// # Errors
    /// Of the reader.
    pub fn compute<R: Reader>(
        reader: &R,
        table: TableId,
        range: KeyRange,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let mut hash = RangeHash::new();
        let mut cursor = reader.cursor(table, range)?;
        while let Some(row) = cursor.next()? {
            hash.add(row.key, row.value);
            if hash.rows.is_multiple_of(PROGRESS_ROWS) {
                progress(hash.rows);
            }
        }
        progress(hash.rows);
        Ok(hash.finish())
    }

    /// The digests of the parts of a range, in order of key: first the row whose key is the prefix
    /// alone, if it is there, then the rows of each prefix that is one byte longer and has rows.
    /// Where a part begins and ends does not depend on the rows, so two stores can be compared
    /// part by part. Cost: one scan.
    ///
    /// # Errors
    /// Of the reader.
    pub fn split<R: Reader>(
        reader: &R,
        table: TableId,
        prefix: &[u8],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<(Vec<u8>, Self)>> {
        let mut parts: Vec<(Vec<u8>, Self)> = Vec::new();
        let mut open: Option<(Vec<u8>, RangeHash)> = None;
        let mut rows = 0u64;
        let mut cursor = reader.cursor(table, KeyRange::prefix(prefix))?;
        while let Some(row) = cursor.next()? {
            let part = &row.key[..row.key.len().min(prefix.len() + 1)];
            if open.as_ref().is_none_or(|(name, _)| name != part) {
                parts.extend(open.take().map(|(name, hash)| (name, hash.finish())));
            }
            let (_, hash) = open.get_or_insert_with(|| (part.to_vec(), RangeHash::new()));
            hash.add(row.key, row.value);
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                progress(rows);
            }
        }
        parts.extend(open.take().map(|(name, hash)| (name, hash.finish())));
        progress(rows);
        Ok(parts)
    }
}

impl fmt::Display for RangeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RangeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {} rows", self.rows)
    }
}

/// A range digest under way.
struct RangeHash {
    hash: Sha256,
    rows: u64,
}

impl RangeHash {
    fn new() -> Self {
        let mut hash = Sha256::new();
        hash.update(RANGE_DOMAIN);
        Self { hash, rows: 0 }
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        add_row(&mut self.hash, key, value);
    }

    fn finish(mut self) -> RangeDigest {
        self.hash.update([END]);
        self.hash.update(self.rows.to_le_bytes());
        RangeDigest {
            sum: self.hash.finalize().into(),
            rows: self.rows,
        }
    }
}

fn add_row(hash: &mut Sha256, key: &[u8], value: &[u8]) {
    hash.update([ROW]);
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update((value.len() as u64).to_le_bytes());
    hash.update(value);
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
