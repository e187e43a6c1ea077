//! The stored form of one unspent output, the value under the 36-byte key of an [`OutPoint`].
//!
//! ```text
//! byte 0   format version, 1
//! then     height * 2 + (1 when a coinbase made the output, else 0)       LEB128
//! then     value in satoshi                                               LEB128
//! rest     the locking script, unchanged; its length is that of the value
//! ```
//!
//! LEB128: groups of seven bits, least significant first, the high bit set on every byte but the
//! last. Must always hold: every output has exactly one encoding (the shortest numbers, nothing
//! after the script), so equal sets have equal bytes in every engine. A decoder takes only that
//! encoding. Cost: 7 to 13 bytes beside the script for a real output; decoding borrows.
//!
//! [`OutPoint`]: super::OutPoint

use super::error::{DecodeError, DecodeFault};
use super::tx::{SATOSHI_MAX, Satoshi};
use super::wire::{Cursor, push_leb128};

const VERSION: u8 = 1;

/// An output that no input has spent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnspentOutput<'a> {
    /// The height of the block that made it.
    pub height: u32,
    /// True when a coinbase made it; such outputs may be spent 100 blocks later.
    pub is_coinbase: bool,
    /// What it is worth; at most [`SATOSHI_MAX`].
    pub value: Satoshi,
    /// The locking script.
    pub script: &'a [u8],
}

impl<'a> UnspentOutput<'a> {
    /// The stored form in a new allocation.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(14 + self.script.len());
        self.encode_into(&mut out);
        out
    }

    /// Appends the stored form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        push_leb128(
            (u64::from(self.height) << 1) | u64::from(self.is_coinbase),
            out,
        );
        push_leb128(self.value.0, out);
        out.extend_from_slice(self.script);
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// A [`DecodeError`] with the offset in `bytes`: another version, a number that is cut short,
    /// too large or not in its shortest form, a value above [`SATOSHI_MAX`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::at(bytes, 0);
        let version = cursor.u8("the version")?;
        if version != VERSION {
            return Err(DecodeFault::Version {
                version,
                known: VERSION,
            }
            .at(0));
        }
        let origin = cursor.leb128("the height")?;
        let height = u32::try_from(origin >> 1)
            .map_err(|_| DecodeFault::Overflow { what: "the height" }.at(1))?;
        let value_at = cursor.offset();
        let satoshi = cursor.leb128("the value")?;
        if satoshi > SATOSHI_MAX {
            return Err(DecodeFault::Value { satoshi }.at(value_at));
        }
        let script = cursor.take(cursor.left(), "the script")?;
        Ok(Self {
            height,
            is_coinbase: origin & 1 == 1,
            value: Satoshi(satoshi),
            script,
        })
    }
}
