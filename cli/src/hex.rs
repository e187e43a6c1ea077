//! Bytes on the command line and in the output: hexadecimal with an optional `0x`.
//!
//! Invariant: what is printed can be given back as an argument.

use std::fmt::Write;
use std::str::FromStr;

/// Bytes given as hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl FromStr for Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = strip(text);
        if !digits.len().is_multiple_of(2) {
            return Err(format!(
                "an odd number of hexadecimal digits: {}",
                digits.len()
            ));
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .ok_or_else(|| format!("{:?} is not a hexadecimal digit", char::from(byte)))
        };
        let mut bytes = Vec::with_capacity(digits.len() / 2);
        for pair in digits.as_bytes().chunks_exact(2) {
            let value = digit(pair[0])? << 4 | digit(pair[1])?;
            // Two digits of four bits.
            bytes.push(value as u8);
        }
        Ok(Self(bytes))
    }
}

/// The digits without their `0x`.
pub(crate) fn strip(text: &str) -> &str {
    text.strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text)
}

/// The bytes as `0x..`.
pub(crate) fn print(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for bytes in [&[][..], &[0], &[0xff, 0x00, 0x1a]] {
            let text = print(bytes);
            assert_eq!(text.parse(), Ok(Hex(bytes.to_vec())), "{text}");
        }
        assert_eq!("0XaBcd".parse(), Ok(Hex(vec![0xab, 0xcd])));
        assert_eq!("abcd".parse(), Ok(Hex(vec![0xab, 0xcd])));
        for bad in ["0x1", "xy", "0x0x00", "+1", "\u{e4}", " 00"] {
            assert!(bad.parse::<Hex>().is_err(), "{bad:?}");
        }
    }
}
