//! e2store records: type (2), length (4), reserved (2), data; numbers least significant byte first.
//!
//! Source: nimbus-eth2, docs/e2store.md. Must always hold: a length is given out only after it was
//! held against the limit, and a reserved field that is not zero is refused.

use std::io::Write;

use crate::error::Fault;

/// Bytes before the data of a record.
pub const HEAD_BYTES: u64 = 8;

/// Types of records in an era1 file.
pub mod kind {
    /// Marks the beginning of a file; without data.
    pub const VERSION: u16 = 0x3265;
    /// The RLP of a header, snappy in frames.
    pub const HEADER: u16 = 0x0003;
    /// The RLP of a body, snappy in frames.
    pub const BODY: u16 = 0x0004;
    /// The RLP of the receipts, snappy in frames.
    pub const RECEIPTS: u16 = 0x0005;
    /// The total difficulty, 32 bytes, least significant first.
    pub const TOTAL_DIFFICULTY: u16 = 0x0006;
    /// The accumulator root, 32 bytes.
    pub const ACCUMULATOR: u16 = 0x0007;
    /// The index of the blocks.
    pub const BLOCK_INDEX: u16 = 0x3266;
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// The type.
    pub kind: u16,
    /// Bytes of data that follow.
    pub length_bytes: u32,
}

impl RecordHead {
    /// Reads a head.
    ///
    /// # Errors
    ///
    /// [`Fault::Value`] when the reserved field is not zero.
    pub fn decode(bytes: [u8; HEAD_BYTES as usize]) -> Result<Self, Fault> {
        let [k0, k1, l0, l1, l2, l3, r0, r1] = bytes;
        let reserved = u16::from_le_bytes([r0, r1]);
        if reserved != 0 {
            return Err(Fault::Value {
                what: "reserved field of the record",
                expected: 0,
                found: u64::from(reserved),
            });
        }
        Ok(Self {
            kind: u16::from_le_bytes([k0, k1]),
            length_bytes: u32::from_le_bytes([l0, l1, l2, l3]),
        })
    }

    /// The head as it is written.
    #[must_use]
    pub fn encode(self) -> [u8; HEAD_BYTES as usize] {
        let [k0, k1] = self.kind.to_le_bytes();
        let [l0, l1, l2, l3] = self.length_bytes.to_le_bytes();
        [k0, k1, l0, l1, l2, l3, 0, 0]
    }

    /// Checks that the record is of this type.
    ///
    /// # Errors
    ///
    /// [`Fault::RecordType`].
    pub fn expect(self, kind: u16) -> Result<Self, Fault> {
        if self.kind == kind {
            return Ok(self);
        }
        Err(Fault::RecordType {
            expected: kind,
            found: self.kind,
        })
    }
}

/// Writes one record and gives the bytes it takes.
///
/// # Errors
///
/// [`Fault::OverLimit`] when the data is longer than 32 bits can say, [`Fault::Write`].
pub fn write_record(output: &mut impl Write, kind: u16, data: &[u8]) -> Result<u64, Fault> {
    let Ok(length_bytes) = u32::try_from(data.len()) else {
        return Err(Fault::OverLimit {
            what: "length of the record in bytes",
            found: data.len() as u64,
            limit: u64::from(u32::MAX),
        });
    };
    output
        .write_all(&RecordHead { kind, length_bytes }.encode())
        .and_then(|()| output.write_all(data))
        .map_err(Fault::Write)?;
    Ok(HEAD_BYTES + u64::from(length_bytes))
}
