//! Order-preserving keys: the traits, the reader, and the codecs of fixed length.
//!
//! Invariants of every codec here and in [`super::compound`]: keys compare as bytes like the values
//! compare (`a.cmp(&b)` is `a.to_key().cmp(&b.to_key())`); one value has one encoding and one
//! encoding one value; decoding consumes the whole key or fails. A [`KeyPart`] is prefix-free as
//! well: no encoding is the beginning of another, which is what lets parts be joined and reversed.
//! Unsigned integers are big-endian, signed ones too with the sign bit flipped, a bool is `00` or
//! `01`, an array of bytes is itself. Messages give lengths and never print a key. Cost: one pass,
//! no allocation beside the output.

use crate::error::{Error, Result};

/// A typed key that has an order-preserving encoding. Borrowed forms (`&str`, `&[u8]`) have it too,
/// so that a lookup needs no owned key.
pub trait KeyEncode {
    /// Length of the longest encoding in bytes, `None` when there is no longest.
    const BYTES_MAX: Option<usize>;

    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding on its own. Cost: one allocation.
    fn to_key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(Self::BYTES_MAX.unwrap_or(0));
        self.encode(&mut key);
        key
    }
}

/// A key that can be read back.
pub trait KeyCodec: KeyEncode + Sized {
    /// Reads one encoding from the front of the input; a codec that is no [`KeyPart`] reads all of
    /// it.
    ///
    /// # Errors
    /// `Codec` when the input is too short or is no encoding of this type.
    fn read(input: &mut KeyReader<'_>) -> Result<Self>;

    /// Reads a whole key.
    ///
    /// # Errors
    /// As [`KeyCodec::read`], and `Codec` when bytes are left over.
    fn decode(key: &[u8]) -> Result<Self> {
        let mut input = KeyReader::new(key);
        let value = Self::read(&mut input)?;
        match input.remaining() {
            0 => Ok(value),
            left => Err(Error::codec(format!(
                "key: expected the end after {} bytes, found {left} more",
                key.len() - left
            ))),
        }
    }
}

/// A key whose encodings are prefix-free, so that another part may follow it and its order may be
/// reversed.
///
/// Implementing it is a promise: no encoding is the beginning of another one.
pub trait KeyPart: KeyEncode {}

/// The rest of a key that is being decoded.
#[derive(Debug)]
pub struct KeyReader<'k> {
    rest: &'k [u8],
    /// `00`, or `ff` inside a reversed part: every byte taken is combined with it by exclusive or.
    mask: u8,
}

impl<'k> KeyReader<'k> {
    /// A reader standing at the front of this key.
    #[must_use]
    pub const fn new(key: &'k [u8]) -> Self {
        Self { rest: key, mask: 0 }
    }

    /// Bytes left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// `Codec` when none is left.
    pub fn take_byte(&mut self) -> Result<u8> {
        self.take_array().map(|[byte]| byte)
    }

    /// Takes `N` bytes.
    ///
    /// # Errors
    /// `Codec` when fewer are left.
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Error::codec(format!(
                "key: expected {N} more bytes, found {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(bytes.map(|byte| byte ^ self.mask))
    }

    /// Takes everything that is left.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        rest.iter().map(|byte| byte ^ self.mask).collect()
    }

    /// Runs `read` on the complement of the bytes that it takes.
    pub(super) fn complemented<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.mask = !self.mask;
        let value = read(self);
        self.mask = !self.mask;
        value
    }
}

impl<T: KeyEncode + ?Sized> KeyEncode for &T {
    const BYTES_MAX: Option<usize> = T::BYTES_MAX;

    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {}

macro_rules! unsigned {
    ($($int:ty)*) => {$(
        impl KeyEncode for $int {
            const BYTES_MAX: Option<usize> = Some(size_of::<Self>());

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }

        impl KeyCodec for $int {
            fn read(input: &mut KeyReader<'_>) -> Result<Self> {
                input.take_array().map(Self::from_be_bytes)
            }
        }

        impl KeyPart for $int {}
    )*};
}

unsigned!(u8 u16 u32 u64 u128);

macro_rules! signed {
    ($($int:ty)*) => {$(
        impl KeyEncode for $int {
            const BYTES_MAX: Option<usize> = Some(size_of::<Self>());

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(self ^ Self::MIN).to_be_bytes());
            }
        }

        impl KeyCodec for $int {
            fn read(input: &mut KeyReader<'_>) -> Result<Self> {
                input.take_array().map(|bytes| Self::from_be_bytes(bytes) ^ Self::MIN)
            }
        }

        impl KeyPart for $int {}
    )*};
}

signed!(i8 i16 i32 i64 i128);

impl KeyEncode for bool {
    const BYTES_MAX: Option<usize> = Some(1);

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl KeyCodec for bool {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        match input.take_byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::codec(
                "key: expected a bool of 0 or 1, found another byte",
            )),
        }
    }
}

impl KeyPart for bool {}

impl<const N: usize> KeyEncode for [u8; N] {
    const BYTES_MAX: Option<usize> = Some(N);

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> KeyCodec for [u8; N] {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        input.take_array()
    }
}

impl<const N: usize> KeyPart for [u8; N] {}
