//! The checksum envelope: four bytes behind a value, so that a flipped bit is an error and not an
//! answer.
//!
//! Layout of a stored value in a table with [`crate::ChecksumSetting::Envelope`]: the value, then
//! the CRC-32C (little endian) of table number (2 bytes, little endian), key length (4 bytes,
//! little endian), key, value. The table and the key take part, so that a value served for another
//! key or from another table is caught as well. A value is opened by cutting the last four bytes
//! off, so zero copy stays. Digests and change sets are over the values without it. The byte ruler
//! is in `docs/format/envelope.md`.

use crate::error::{Error, Result};
use crate::table::TableId;

/// Bytes the envelope adds to a value.
pub const ENVELOPE_BYTES: usize = 4;

fn checksum(table: TableId, key: &[u8], value: &[u8]) -> u32 {
    let mut head = [0u8; 6];
    head[..2].copy_from_slice(&table.get().to_le_bytes());
    // Keys are at most 4 GiB - 1 on every engine; a longer one was refused before.
    head[2..].copy_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    let sum = crc32c::crc32c(&head);
    let sum = crc32c::crc32c_append(sum, key);
    crc32c::crc32c_append(sum, value)
}

/// Writes value and checksum into `out`, replacing what it held.
pub fn seal(table: TableId, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(value.len() + ENVELOPE_BYTES);
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(table, key, value).to_le_bytes());
}

/// The value inside a stored one.
///
/// # Errors
/// `Corruption` when the checksum does not match or the stored value is too short to hold one.
pub fn open<'v>(table: TableId, key: &[u8], stored: &'v [u8]) -> Result<&'v [u8]> {
    let Some((value, sum)) = stored.split_last_chunk::<ENVELOPE_BYTES>() else {
        return Err(Error::corruption(
            "value",
            format!("{} bytes hold no checksum", stored.len()),
        ));
    };
    let (found, expected) = (u32::from_le_bytes(*sum), checksum(table, key, value));
    if found == expected {
        return Ok(value);
    }
    Err(Error::corruption(
        "value",
        format!("checksum {found:08x} stored, {expected:08x} computed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines `table key value stored`, each in hexadecimal but the table; `-` is empty.
    type Row = (TableId, Vec<u8>, Vec<u8>, Vec<u8>);

    fn rows(text: &str) -> Vec<Row> {
        let hex = |word: &str| -> Vec<u8> {
            let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
            let pairs = word.trim_matches('-').as_bytes().chunks_exact(2);
            pairs
                .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
                .collect()
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let words = lines.map(|line| line.split(' ').collect::<Vec<_>>());
        words
            .map(|w| {
                let table = TableId::new(w[0].parse().unwrap_or(0));
                (table, hex(w[1]), hex(w[2]), hex(w[3]))
            })
            .collect()
    }

    #[test]
    fn golden_values_are_sealed_and_opened_as_documented() {
        let golden = rows(include_str!("../tests/fixtures/envelope/golden-v1.txt"));
        assert_eq!(golden.len(), 4);
        let mut out = Vec::new();
        for (table, key, value, stored) in golden {
            seal(table, &key, &value, &mut out);
            assert_eq!(out, stored);
            assert_eq!(open(table, &key, &stored).ok(), Some(&value[..]));
        }
    }

    #[test]
    fn corrupt_values_are_refused() {
        let corrupt = rows(include_str!("../tests/fixtures/envelope/corrupt-v1.txt"));
        assert_eq!(corrupt.len(), 5);
        for (table, key, _, stored) in corrupt {
            assert!(open(table, &key, &stored).is_err_and(|error| error.is_corruption()));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_row_is_noticed() {
        let (table, key, value) = (TableId::new(7), b"some key".to_vec(), vec![0x5a; 100]);
        let mut stored = Vec::new();
        seal(table, &key, &value, &mut stored);
        for at in 0..stored.len() * 8 {
            stored[at / 8] ^= 1 << (at % 8);
            assert!(open(table, &key, &stored).is_err(), "bit {at} of the value");
            stored[at / 8] ^= 1 << (at % 8);
        }
        for at in 0..key.len() * 8 {
            let mut other = key.clone();
            other[at / 8] ^= 1 << (at % 8);
            assert!(open(table, &other, &stored).is_err(), "bit {at} of the key");
        }
    }
}
