//! Keys of variable length and keys made of keys: byte strings, text, options, tuples, reversed
//! order, raw tails.
//!
//! Byte strings are escaped (`00` becomes `00 ff`) and end in `00 00`, text is its UTF-8 the same
//! way; `None` is `00`, `Some` is `01` and the part; a tuple is its parts joined; [`Reverse`] is
//! the complement of every byte, which turns the order of a prefix-free code around exactly and of
//! no other, hence its bound [`KeyPart`]. [`Tail`] is unescaped, shorter and allowed in last place
//! only. Cost: a byte string takes 2 bytes more than itself and 1 more for each zero in it.

use std::cmp::Reverse;

use crate::codec::key::{KeyCodec, KeyEncode, KeyPart, KeyReader};
use crate::error::{Error, Result};

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const END: u8 = 0x00;

impl KeyEncode for [u8] {
    const BYTES_MAX: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() + 2);
        let mut pieces = self.split(|byte| *byte == ESCAPE);
        out.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            out.extend_from_slice(&[ESCAPE, ESCAPED_ZERO]);
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(&[ESCAPE, END]);
    }
}

impl KeyPart for [u8] {}

impl KeyEncode for str {
    const BYTES_MAX: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl KeyPart for str {}

impl KeyEncode for Vec<u8> {
    const BYTES_MAX: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl KeyCodec for Vec<u8> {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        let mut bytes = Self::new();
        loop {
            let byte = input.take_byte()?;
            if byte != ESCAPE {
                bytes.push(byte);
                continue;
            }
            match input.take_byte()? {
                ESCAPED_ZERO => bytes.push(0),
                END => return Ok(bytes),
                _ => {
                    return Err(Error::codec(format!(
                        "key: expected an escaped zero or the end after {} bytes, found neither",
                        bytes.len()
                    )));
                }
            }
        }
    }
}

impl KeyPart for Vec<u8> {}

impl KeyEncode for String {
    const BYTES_MAX: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl KeyCodec for String {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        text(Vec::read(input)?)
    }
}

impl KeyPart for String {}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let utf8 = error.utf8_error();
        Error::codec(format!(
            "key: expected text, found {} bytes that are not UTF-8 behind the first {}",
            error.as_bytes().len(),
            utf8.valid_up_to()
        ))
        .with_source(utf8)
    })
}

/// Bytes or text as they are, neither escaped nor terminated: for the last place of a key, and the
/// whole of it.
///
/// It is no [`KeyPart`], so nothing can follow it and [`Reverse`] does not take it. The inner type
/// must compare like its bytes, as byte strings and text do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tail<B>(pub B);

impl<B: AsRef<[u8]>> KeyEncode for Tail<B> {
    const BYTES_MAX: Option<usize> = None;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_ref());
    }
}

impl KeyCodec for Tail<Vec<u8>> {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        Ok(Self(input.take_rest()))
    }
}

impl KeyCodec for Tail<String> {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        text(input.take_rest()).map(Self)
    }
}

/// The length of two codes joined; none when one of them has none.
const fn joined(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    }
}

impl<T: KeyEncode> KeyEncode for Option<T> {
    const BYTES_MAX: Option<usize> = joined(Some(1), T::BYTES_MAX);

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(part) = self {
            part.encode(out);
        }
    }
}

impl<T: KeyCodec> KeyCodec for Option<T> {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        if bool::read(input)? {
            T::read(input).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<T: KeyPart> KeyPart for Option<T> {}

impl<T: KeyPart> KeyEncode for Reverse<T> {
    const BYTES_MAX: Option<usize> = T::BYTES_MAX;

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.encode(out);
        for byte in out.iter_mut().skip(start) {
            *byte = !*byte;
        }
    }
}

impl<T: KeyPart + KeyCodec> KeyCodec for Reverse<T> {
    fn read(input: &mut KeyReader<'_>) -> Result<Self> {
        input.complemented(T::read).map(Self)
    }
}

impl<T: KeyPart> KeyPart for Reverse<T> {}

macro_rules! tuples {
    ($(($($part:ident)+, $last:ident))*) => {$(
        impl<$($part: KeyPart,)+ $last: KeyEncode> KeyEncode for ($($part,)+ $last) {
            const BYTES_MAX: Option<usize> = {
                let bytes = $last::BYTES_MAX;
                $(let bytes = joined(bytes, $part::BYTES_MAX);)+
                bytes
            };

            #[expect(non_snake_case, reason = "type parameters name the parts")]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($part,)+ $last) = self;
                $($part.encode(out);)+
                $last.encode(out);
            }
        }

        impl<$($part: KeyPart + KeyCodec,)+ $last: KeyCodec> KeyCodec for ($($part,)+ $last) {
            fn read(input: &mut KeyReader<'_>) -> Result<Self> {
                Ok(($($part::read(input)?,)+ $last::read(input)?))
            }
        }

        impl<$($part: KeyPart,)+ $last: KeyPart> KeyPart for ($($part,)+ $last) {}
    )*};
}

tuples! {
    (A, B)
    (A B, C)
    (A B C, D)
    (A B C D, E)
    (A B C D E, F)
}
