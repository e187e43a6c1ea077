//! Values as bytes: [`Codec`], and [`Postcard`], which everything uses that has no reason not to.
//!
//! A value is one version byte and then postcard's encoding, to the last byte. postcard alone is
//! not safe on hostile bytes: a sequence of zero-size elements runs 268 million times on 4 bytes, a
//! recursive type overflows the stack, overlong numbers and trailing bytes pass. Invariants here:
//! decoding takes time and memory bounded by the input's length and the type, never panics, and
//! consumes all bytes; under [`Canonical`] one value has one encoding; what encodes decodes. Cost:
//! one pass to encode; decoding under [`Canonical`] encodes again into a comparison, without an
//! allocation.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

use crate::codec::guard_read::{Guard, Input};
use crate::codec::guard_write::{Compare, Nested, Output};
use crate::codec::meter::Meter;
use crate::error::{Error, Result};

/// Longest value in bytes, version byte included, unless a codec says otherwise: 16 MiB.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// How many values may be inside each other, the outermost included. A recursive type reaches it by
/// its data, any other by its definition.
pub const VALUE_DEPTH_MAX: usize = 64;

/// How values of a type become bytes and are read back.
pub trait Codec<T> {
    /// Appends the encoding of the value to `out`, which is as before after an error.
    ///
    /// # Errors
    /// `Codec` when the value cannot be encoded so that it can be decoded.
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()>;

    /// The value of these bytes, all of them.
    ///
    /// # Errors
    /// `Codec` when they are no encoding of a value.
    fn decode(bytes: &[u8]) -> Result<T>;
}

mod sealed {
    pub trait Sealed {
        const IS_CANONICAL: bool;
    }
}

/// Which encodings of a value are read: [`Canonical`] or [`AnyForm`].
pub trait Form: sealed::Sealed {}

/// Only the bytes that encoding the value would give. Right for anything that is hashed, signed or
/// compared as bytes.
///
/// The type must encode deterministically; a hash map does not and fails here by chance, a B-tree
/// map does.
#[derive(Clone, Copy, Debug)]
pub struct Canonical;

/// Any bytes that postcard reads as a value, so that overlong numbers and repeated or unsorted map
/// keys pass. For bytes that a store of ours wrote and checksums, where decoding must be quick. All
/// other limits hold.
#[derive(Clone, Copy, Debug)]
pub struct AnyForm;

impl sealed::Sealed for Canonical {
    const IS_CANONICAL: bool = true;
}

impl sealed::Sealed for AnyForm {
    const IS_CANONICAL: bool = false;
}

impl Form for Canonical {}
impl Form for AnyForm {}

/// postcard behind a version byte, guarded in both directions.
///
/// `VERSION` is the layout of `T`; a changed layout is a new type with a new version, chosen by
/// [`value_version`]. `BYTES_MAX` is the longest encoding in bytes, version byte included. Optional
/// fields must not be skipped when writing (`skip_serializing_if`), which is refused, and byte
/// strings of any size should serialize as bytes, not as a sequence.
pub struct Postcard<T, const VERSION: u8, const BYTES_MAX: usize = VALUE_BYTES_MAX, F = Canonical> {
    of: PhantomData<fn() -> (T, F)>,
}

impl<T, const VERSION: u8, const BYTES_MAX: usize, F> fmt::Debug
    for Postcard<T, VERSION, BYTES_MAX, F>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postcard<{}, {VERSION}>", type_name::<T>())
    }
}

/// The version byte of an encoded value, `None` when there are no bytes.
#[must_use]
pub fn value_version(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

impl<T, const VERSION: u8, const BYTES_MAX: usize, F> Postcard<T, VERSION, BYTES_MAX, F> {
    fn refused(reason: &dyn fmt::Display) -> Error {
        Error::codec(format!("{} version {VERSION}: {reason}", type_name::<T>()))
    }

    fn failed(meter: &Meter, source: postcard::Error, doing: &str) -> Error {
        let error = match meter.fault() {
            Some(fault) => Self::refused(&fault),
            // The version byte stands before the bytes that the meter counts.
            None => Self::refused(&format_args!(
                "{doing} failed after {} bytes",
                meter.position() + 1
            )),
        };
        error.with_source(source)
    }

    fn body(bytes: &[u8]) -> Result<&[u8]> {
        if bytes.len() > BYTES_MAX {
            return Err(Self::refused(&format_args!(
                "expected at most {BYTES_MAX} bytes, found {}",
                bytes.len()
            )));
        }
        match bytes.split_first() {
            Some((version, body)) if *version == VERSION => Ok(body),
            Some((version, _)) => Err(Self::refused(&format_args!(
                "expected version {VERSION}, found {version}"
            ))),
            None => Err(Self::refused(&"expected a version byte, found no bytes")),
        }
    }
}

impl<T, const VERSION: u8, const BYTES_MAX: usize, F> Codec<T>
    for Postcard<T, VERSION, BYTES_MAX, F>
where
    T: Serialize + DeserializeOwned,
    F: Form,
{
    fn encode(value: &T, out: &mut Vec<u8>) -> Result<()> {
        const { assert!(BYTES_MAX > 0, "a value has a version byte at least") };
        let meter = Meter::new(BYTES_MAX - 1);
        let start = out.len();
        out.push(VERSION);
        let nested = Nested {
            value,
            level: meter.outside(),
        };
        let output = Output { out, meter: &meter };
        postcard::serialize_with_flavor(&nested, output).map_err(|error| {
            out.truncate(start);
            Self::failed(&meter, error, "encoding")
        })
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        let body = Self::body(bytes)?;
        let meter = Meter::new(body.len());
        let input = Input {
            rest: body,
            meter: &meter,
        };
        let seed = Guard {
            inner: PhantomData::<T>,
            level: meter.outside(),
        };
        let value = seed
            .deserialize(&mut postcard::Deserializer::from_flavor(input))
            .map_err(|error| Self::failed(&meter, error, "decoding"))?;
        if meter.remaining() != 0 {
            return Err(Self::refused(&format_args!(
                "expected the end after {} bytes, found {} more",
                meter.position() + 1,
                meter.remaining()
            )));
        }
        if F::IS_CANONICAL {
            let compare = Compare { expected: body };
            postcard::serialize_with_flavor(&value, compare).map_err(|error| {
                Self::refused(&"expected the one encoding of the value, found another")
                    .with_source(error)
            })?;
        }
        Ok(value)
    }
}
