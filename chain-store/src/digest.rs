//! The content digest: one SHA-256 over everything an application stored, the same on every engine
//! for the same content.
//!
//! The bytes that are hashed are told in `docs/format/content-digest.md`: tables in order of name,
//! rows in order of key, each with its lengths, values without envelope; table numbers, internal
//! tables and tables without rows take no part. Cost: one scan of the store.

use std::fmt;

use sha2::{Digest, Sha256};
use storage_api::{Catalogue, Cursor, KeyRange, Reader, Result};

const DOMAIN: &[u8] = b"chainstore content 1\n";
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
                hash.update([ROW]);
                hash.update((row.key.len() as u64).to_le_bytes());
                hash.update(row.key);
                hash.update((row.value.len() as u64).to_le_bytes());
                hash.update(row.value);
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
