//! A record: a header of [`HEADER_BYTES`], and its payload behind it. Byte ruler:
//! `docs/format/seglog.md`.
//!
//! Invariants: a header is checked before its length is used; its checksum begins with that of the
//! segment's header, so a record left in a recycled file never checks; it names the checksum of the
//! header before it, so a record left behind a cut never follows another one; an all-zero region is
//! no header.

use crate::Height;
use crate::checksum;

/// Bytes of a record beside its payload.
pub const HEADER_BYTES: u64 = HEADER_LEN as u64;

pub(crate) const HEADER_LEN: usize = 40;

/// What every record begins with.
pub(crate) const MARKER: [u8; 4] = *b"\xb5rec";

/// A header without its marker and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_bytes: u32,
    pub(crate) height: Height,
    /// Checksum of the header before this one; that of the segment for its first record.
    pub(crate) link: u32,
    /// Drawn anew when a log is opened or cut, so that the same record written again differs.
    pub(crate) nonce: u32,
    /// How many records right before this one were not durable when it was written.
    pub(crate) unsynced: u32,
    pub(crate) payload_checksum: u32,
}

fn word(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Whether these bytes begin as a header of any segment does.
pub(crate) fn looks_like_header(bytes: &[u8]) -> bool {
    bytes.starts_with(&MARKER) && bytes.get(32..36) == Some(&[0; 4])
}

impl Header {
    /// The bytes of the header in the segment with this checksum, and its own checksum.
    pub(crate) fn encode(&self, segment: u32) -> ([u8; HEADER_LEN], u32) {
        let mut bytes = [0; HEADER_LEN];
        let height = self.height.get().to_le_bytes();
        let parts: [&[u8]; 7] = [
            &MARKER,
            &self.payload_bytes.to_le_bytes(),
            &height,
            &self.link.to_le_bytes(),
            &self.nonce.to_le_bytes(),
            &self.unsynced.to_le_bytes(),
            &self.payload_checksum.to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let checksum = checksum::append(segment, &bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// The header in these bytes and its checksum, if they are one of the segment with this
    /// checksum.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], segment: u32) -> Option<(Self, u32)> {
        if bytes.first_chunk() != Some(&MARKER) || word(bytes, 32) != 0 {
            return None;
        }
        let checksum = checksum::append(segment, &bytes[..CHECKED]);
        if checksum != word(bytes, CHECKED) {
            return None;
        }
        let height = u64::from(word(bytes, 8)) | u64::from(word(bytes, 12)) << 32;
        let header = Self {
            payload_bytes: word(bytes, 4),
            height: Height::new(height),
            link: word(bytes, 16),
            nonce: word(bytes, 20),
            unsynced: word(bytes, 24),
            payload_checksum: word(bytes, 28),
        };
        Some((header, checksum))
    }
}

/// Bytes of a header that its checksum covers.
const CHECKED: usize = HEADER_LEN - 4;
