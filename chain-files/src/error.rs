//! What can be wrong with a chain file, as values.
//!
//! Two layers: a [`Fault`] says what is wrong with some bytes, an [`Error`] adds the record and
//! its place in the file. Must always hold: nothing read from a file makes this crate panic; every
//! block before the one an error names was handed out whole; a source is never repeated in the
//! message of the error that carries it.

use std::fmt;
use std::io;

/// A hash or an id of 32 bytes, in the order in which the chain's own files hold it.
pub type Hash = [u8; 32];

/// The result of reading or writing a file.
pub type Result<T> = std::result::Result<T, Error>;

/// Where a record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The block's number in the file, from 0. What follows the last block (the accumulator and
    /// the index of an era1 file) is counted as one record more.
    pub record: u64,
    /// Offset in bytes of the record's first byte. In an era1 file it is that of the e2store
    /// record at fault.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}, offset {}", self.record, self.offset)
    }
}

/// Why a file was not read or written to its end.
#[derive(Debug)]
pub struct Error {
    /// The record the error is about.
    pub at: Position,
    /// What is wrong there.
    pub fault: Fault,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.fault)
    }
}

impl std::error::Error for Error {
    // The fault is part of the message already, so the chain goes on with what caused it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.fault)
    }
}

/// What is wrong with the bytes of a file, a record or a stored body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The operating system or the stream below failed a read.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// The operating system or the stream below failed a write.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// The file ends inside a record, or where one more record has to come.
    #[error("{what} is truncated: {got_bytes} of {wanted_bytes} bytes of the record are there")]
    Truncated {
        /// The part that is cut short.
        what: &'static str,
        /// Bytes of the record up to the end of that part.
        wanted_bytes: u64,
        /// Bytes of the record that are there.
        got_bytes: u64,
    },
    /// The first bytes are not those of any known format.
    #[error("unknown format: the file starts with {}", hex(found))]
    UnknownFormat {
        /// The first bytes, at most 16.
        found: Vec<u8>,
    },
    /// A record of another type than must stand here.
    #[error("record of type {found:#06x}, expected {expected:#06x}")]
    RecordType {
        /// The type that must stand here.
        expected: u16,
        /// The type that does.
        found: u16,
    },
    /// A length or a count above its limit. Nothing was allocated for it.
    #[error("{what} is {found}, the limit is {limit}")]
    OverLimit {
        /// What is counted, with its unit.
        what: &'static str,
        /// The stated value, or the value where it went over.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A field of fixed size has another size.
    #[error("{what} has {found_bytes} bytes, expected {expected_bytes}")]
    Length {
        /// The field.
        what: &'static str,
        /// The size it must have.
        expected_bytes: u64,
        /// The size it has.
        found_bytes: u64,
    },
    /// An item reaches past the end of what holds it. Nothing was allocated for it.
    #[error("{what} needs {wanted_bytes} bytes, {left_bytes} are left")]
    Overrun {
        /// The item.
        what: &'static str,
        /// The bytes it needs.
        wanted_bytes: u64,
        /// The bytes that are left.
        left_bytes: u64,
    },
    /// A value is not written in the one form that is allowed for it.
    #[error("{what} is not in canonical form")]
    NotCanonical {
        /// The value.
        what: &'static str,
    },
    /// A byte string stands where a list must, or the reverse.
    #[error("{what} is not a {expected}")]
    Kind {
        /// The item.
        what: &'static str,
        /// The kind it must be of.
        expected: &'static str,
    },
    /// A value that is not defined, or that this crate does not read.
    #[error("{what} is {found}, which is not supported")]
    Unsupported {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// A fixed value is not what it must be.
    #[error("{what} is {found:#x}, expected {expected:#x}")]
    Value {
        /// The field.
        what: &'static str,
        /// The value it must have.
        expected: u64,
        /// The value it has.
        found: u64,
    },
    /// The block does not name the block before it as its parent.
    #[error("parent is {}, the block before is {}", hex(found), hex(expected))]
    Parent {
        /// The hash of the block before.
        expected: Hash,
        /// The parent the block names.
        found: Hash,
    },
    /// The block has another number than must come: a gap, a duplicate, or a wrong order.
    #[error("block number {found}, expected {expected}")]
    Number {
        /// The number that must come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A stated hash or root is not that of the data.
    #[error("{what} is {}, the data gives {}", hex(stated), hex(computed))]
    Mismatch {
        /// The hash or root.
        what: &'static str,
        /// The value in the file.
        stated: Hash,
        /// The value of the data.
        computed: Hash,
    },
    /// An index does not point to the record it must.
    #[error("{what} of block {number} points to {found}, the record is at {expected}")]
    Index {
        /// The index or trailer.
        what: &'static str,
        /// The block.
        number: u64,
        /// Where the record is.
        expected: u64,
        /// Where the index points.
        found: i128,
    },
    /// Lists are nested deeper than is read.
    #[error("nested deeper than {limit} lists")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Bytes are left over.
    #[error("{count_bytes} bytes are left over after {what}")]
    Trailing {
        /// What ended before them.
        what: &'static str,
        /// How many; in a stream, at least so many.
        count_bytes: u64,
    },
    /// A decompressor refused its input.
    #[error("{what} cannot be decompressed")]
    Compressed {
        /// The part.
        what: &'static str,
        /// What the decompressor said.
        source: io::Error,
    },
    /// A writer has already failed or was finished.
    #[error("the writer failed before and takes no more blocks")]
    WriterFailed,
}

impl Fault {
    /// Adds the record it is about.
    #[must_use]
    pub fn at(self, at: Position) -> Error {
        Error { at, fault: self }
    }

    /// True when the file merely ends too early: what came before is whole, and the position of
    /// the error is where a cut makes the file good.
    #[must_use]
    pub fn is_truncation(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
