//! The chain's double SHA-256 and the two kinds of name made from it.
//!
//! Must always hold: bytes are kept in the order the hash function gives them ("internal order",
//! as in headers and outpoints); only [`Display`](std::fmt::Display) and [`FromStr`] use the
//! reversed hex that the chain's own tools print. A block hash never stands where a transaction
//! id belongs: they are different types. Nothing here allocates.

pub(super) mod merkle;

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::error::ParseHashError;

/// SHA-256 of the SHA-256 of the concatenated parts.
///
/// Cost: two compressions more than one pass over the bytes.
pub(super) fn sha256d(parts: &[&[u8]]) -> [u8; 32] {
    let mut first = Sha256::new();
    for part in parts {
        first.update(part);
    }
    Sha256::digest(first.finalize()).into()
}

/// Reads 64 hex digits of reversed (display) order into internal order at compile time.
///
/// A digit outside 0-9a-f counts as zero; the constants made with it are checked by the tests.
pub(super) const fn from_display_order(hex: &[u8; 64]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[31 - at] = (digit(hex[2 * at]) << 4) | digit(hex[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0',
        b'a'..=b'f' => letter - b'a' + 10,
        b'A'..=b'F' => letter - b'A' + 10,
        _ => 0,
    }
}

fn parse(text: &str) -> Result<[u8; 32], ParseHashError> {
    let hex: &[u8; 64] = text
        .as_bytes()
        .try_into()
        .map_err(|_| ParseHashError(text.into()))?;
    if !hex.iter().all(u8::is_ascii_hexdigit) {
        return Err(ParseHashError(text.into()));
    }
    Ok(from_display_order(hex))
}

fn print(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in bytes.iter().rev() {
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

macro_rules! hash_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 32 bytes in internal order; printed and parsed as reversed hex, as the chain's own
        /// tools do. The order of values is that of the bytes.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// All zero: the parent of a genesis block, the transaction of a coinbase input.
            pub const ZERO: Self = Self([0; 32]);

            /// Wraps 32 bytes in internal order.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes in internal order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 32 bytes in internal order, by value.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 32] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                print(&self.0, f)?;
                f.write_str(")")
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            /// Reads 64 hex digits in display (reversed) order.
            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                parse(text).map(Self)
            }
        }
    };
}

hash_name! {
    /// A block hash, or a node of a Merkle tree.
    BtcHash
}

hash_name! {
    /// A transaction id: the double SHA-256 of the transaction without its witness.
    TxId
}
