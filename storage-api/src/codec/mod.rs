//! How typed keys and values become the bytes of a table: order-preserving keys, versioned values.
//!
//! # Keys
//! [`KeyEncode`], [`KeyCodec`] and [`KeyPart`] for integers, byte strings, options, tuples and
//! [`std::cmp::Reverse`]. Invariant: keys compare as bytes exactly like the typed values compare,
//! one value has one encoding, and a part of a tuple is prefix-free, so that the encoding of the
//! leading parts is the prefix to scan for them.
//!
//! ```
//! use std::cmp::Reverse;
//! use storage_api::codec::{KeyCodec, KeyEncode};
//!
//! // The latest version at or below height 700 is the first key at or after this one.
//! let seek = ("balance", Reverse(700_u64)).to_key();
//! let stored = ("balance", Reverse(650_u64)).to_key();
//! assert!(seek < stored && stored.starts_with(&"balance".to_key()));
//! let (name, Reverse(height)) = <(String, Reverse<u64>)>::decode(&stored)?;
//! assert_eq!((name.as_str(), height), ("balance", 650));
//! # Ok::<(), storage_api::Error>(())
//! ```
//!
//! # Values
//! [`Codec`] with [`Postcard`] as the default: a version byte, then the value, guarded against
//! hostile bytes.
//!
//! ```
//! use storage_api::codec::{Codec, Postcard};
//! type Balance = Postcard<(u64, String), 1>;
//!
//! let mut bytes = Vec::new();
//! Balance::encode(&(7, "coins".into()), &mut bytes)?;
//! assert_eq!(bytes, b"\x01\x07\x05coins");
//! assert_eq!(Balance::decode(&bytes)?, (7, "coins".into()));
//! # Ok::<(), storage_api::Error>(())
//! ```
//!
//! Every failure is [`crate::ErrorKind::Codec`]; no bytes read from disk or network make a codec
//! panic.

mod compound;
mod guard_read;
mod guard_write;
mod key;
mod meter;
mod value;

#[cfg(test)]
mod tests;

pub use compound::Tail;
pub use key::{KeyCodec, KeyEncode, KeyPart, KeyReader};
pub use value::{
    AnyForm, Canonical, Codec, Form, Postcard, VALUE_BYTES_MAX, VALUE_DEPTH_MAX, value_version,
};
