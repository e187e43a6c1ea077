//! A bounds-checked walk over bytes: the only place where block bytes are indexed.
//!
//! Must always hold: no call panics or reads past the end, whatever the bytes; a count is held
//! against the bytes that are left before anyone allocates for it; every error names the field
//! and the offset at which it begins. Slices handed out borrow from the block. No call allocates.

use super::error::{DecodeError, DecodeFault};

type Result<T> = std::result::Result<T, DecodeError>;

/// A position in borrowed bytes that only moves forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at `offset`, which may lie past the end: every read then fails.
    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes between the next byte and the end.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// Everything from `start` up to the next byte; empty when `start` lies beyond it.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.offset).unwrap_or_default()
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8]> {
        let end = self.offset.checked_add(count);
        let Some(slice) = end.and_then(|end| self.bytes.get(self.offset..end)) else {
            return Err(self.truncated(count as u64, what));
        };
        self.offset += count;
        Ok(slice)
    }

    /// The next `N` bytes as an array.
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let Some((array, _)) = self
            .bytes
            .get(self.offset..)
            .and_then(|rest| rest.split_first_chunk::<N>())
        else {
            return Err(self.truncated(N as u64, what));
        };
        self.offset += N;
        Ok(*array)
    }

    /// One byte.
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Four bytes, least significant first.
    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Eight bytes, least significant first.
    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A `CompactSize`: one byte, or a marker and 2, 4 or 8 bytes. Only the shortest form is
    /// taken, as in Bitcoin Core.
    pub(super) fn compact(&mut self, what: &'static str) -> Result<u64> {
        let start = self.offset;
        let (value, least) = match self.u8(what)? {
            0xfd => (u64::from(u16::from_le_bytes(self.array(what)?)), 0xfd),
            0xfe => (u64::from(self.u32(what)?), 0x1_0000),
            0xff => (self.u64(what)?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least {
            return Err(DecodeFault::NonMinimal { what, value }.at(start));
        }
        Ok(value)
    }

    /// A count of things of which each takes at least `least_bytes` (not 0) of what is left.
    pub(super) fn count(&mut self, what: &'static str, least_bytes: usize) -> Result<usize> {
        let start = self.offset;
        let count = self.compact(what)?;
        let most = self.left() / least_bytes.max(1);
        match usize::try_from(count) {
            Ok(fitting) if fitting <= most => Ok(fitting),
            _ => Err(DecodeFault::Count {
                what,
                count,
                most: most as u64,
            }
            .at(start)),
        }
    }

    /// A `CompactSize` length and that many bytes.
    pub(super) fn blob(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = self.compact(what)?;
        match usize::try_from(length) {
            Ok(length) => self.take(length, what),
            Err(_) => Err(self.truncated(length, what)),
        }
    }

    /// A number in groups of seven bits, least significant first, the high bit set on every byte
    /// but the last; only the shortest form is taken. Used by our own stored values.
    pub(super) fn leb128(&mut self, what: &'static str) -> Result<u64> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                break;
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeFault::NonMinimal { what, value }.at(start));
                }
                return Ok(value);
            }
        }
        Err(DecodeFault::Overflow { what }.at(start))
    }

    /// Fails unless every byte was read.
    pub(super) fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeFault::TrailingBytes {
                count_bytes: left as u64,
            }
            .at(self.offset)),
        }
    }

    fn truncated(&self, wanted_bytes: u64, what: &'static str) -> DecodeError {
        DecodeFault::Truncated {
            what,
            wanted_bytes,
            left_bytes: self.left() as u64,
        }
        .at(self.offset)
    }
}

/// Appends `value` as [`Cursor::leb128`] reads it: 1 to 10 bytes.
pub(super) fn push_leb128(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
