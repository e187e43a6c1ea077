//! What can go wrong between a path and a decoded block, as values.
//!
//! Two layers meet here. [`Error`] is about a file: it names the file, the record (counted from
//! 0) and the byte offset of that record in the decompressed stream. [`DecodeError`] is about the
//! bytes of one block, transaction or stored value: its offset counts from the first byte of
//! those bytes (for a framed record that is the first byte of the header, 8 bytes after the
//! record's own offset). Must always hold: nothing read from a file makes this module panic, and
//! a source is never repeated in the message of the error that carries it.

use std::io;
use std::path::PathBuf;

use super::hash::{BtcHash, TxId};
use super::network::Network;
use super::record::{PADDING_BYTES_MAX, RECORD_BYTES_MAX, RecordPosition};
use super::tx::SATOSHI_MAX;

/// The result of the file layer of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a block file was not read to its end.
///
/// Every record before the one named was handed out whole and stays good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open {}", file.display())]
    Open {
        /// The path as given.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system failed a read. The same call may succeed later.
    #[error("{at}: cannot read")]
    Read {
        /// The record that was being read.
        at: RecordPosition,
        /// What the operating system said.
        source: io::Error,
    },
    /// The decompressor refused the file: a bad checksum, or bytes that are not its format.
    ///
    /// Decompressors hand bytes out before they have seen the checksum, so damage may also show
    /// as a refused block ([`Decode`](Self::Decode)) or a wrong frame before it shows as this.
    #[error("{at}: the compressed file is damaged")]
    Damaged {
        /// The record that was being read.
        at: RecordPosition,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The file ends in the middle of a record (or before the first one).
    #[error("{at}: truncated: {}", truncation(*.wanted_bytes, *.got_bytes))]
    Truncated {
        /// The record that is cut short.
        at: RecordPosition,
        /// Length of the record with its framing, as far as it is known.
        wanted_bytes: Option<u64>,
        /// Bytes of the record that are there.
        got_bytes: u64,
        /// Set when a decompressor found the end of its input too early.
        source: Option<io::Error>,
    },
    /// The bytes are neither a framed block file of a known network nor one bare block.
    #[error(
        "{at}: not a block file: starts with {}, which is neither the magic of a known network \
         nor a block header that meets its own target",
        hex(&found[..found.len().min(8)])
    )]
    UnknownFormat {
        /// Where the bytes stand.
        at: RecordPosition,
        /// The first bytes found, at most [`HEADER_BYTES`](super::HEADER_BYTES); eight are
        /// printed.
        found: Vec<u8>,
    },
    /// Bitcoin Core 28 and later mask new block files with the key in `xor.dat`.
    #[error(
        "{} is obfuscated by Bitcoin Core (blocks/xor.dat, -blocksxor); unmask it with the key in \
         {} first",
        file.display(),
        key_file.display()
    )]
    Obfuscated {
        /// The block file.
        file: PathBuf,
        /// Where the key is kept; the file may be absent.
        key_file: PathBuf,
    },
    /// A record does not begin with the magic of the records before it.
    #[error("{at}: expected the magic of {expected}, found {}", hex(found))]
    Magic {
        /// The record.
        at: RecordPosition,
        /// The network of the records before it.
        expected: Network,
        /// The four bytes found.
        found: [u8; 4],
    },
    /// A record says it is longer than [`RECORD_BYTES_MAX`]. Nothing was allocated for it.
    #[error("{at}: record of {length_bytes} bytes, the limit is {RECORD_BYTES_MAX}")]
    RecordLength {
        /// The record.
        at: RecordPosition,
        /// The length it states; for a bare block, the bytes read before giving up.
        length_bytes: u64,
    },
    /// More than [`PADDING_BYTES_MAX`] zero bytes stand where a record should begin.
    #[error("{at}: more than {PADDING_BYTES_MAX} zero bytes and no record")]
    Padding {
        /// The record that should begin there; the offset is that of the first zero.
        at: RecordPosition,
    },
    /// The record arrived whole, but is not a valid block.
    #[error("{at}: the block is refused")]
    Decode {
        /// The record.
        at: RecordPosition,
        /// What is wrong with the bytes, and where in the block.
        source: DecodeError,
    },
}

impl Error {
    /// The record the error is about; `None` when the error is about the file as a whole.
    #[must_use]
    pub fn position(&self) -> Option<&RecordPosition> {
        match self {
            Self::Open { .. } | Self::Obfuscated { .. } => None,
            Self::Read { at, .. }
            | Self::Damaged { at, .. }
            | Self::Truncated { at, .. }
            | Self::UnknownFormat { at, .. }
            | Self::Magic { at, .. }
            | Self::RecordLength { at, .. }
            | Self::Padding { at }
            | Self::Decode { at, .. } => Some(at),
        }
    }
}

/// Why bytes are not a block, a transaction or a stored output, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {fault}")]
pub struct DecodeError {
    /// Offset in bytes from the first byte of what was decoded.
    pub offset: usize,
    /// What is wrong there.
    pub fault: DecodeFault,
}

/// What is wrong with the bytes of a block, a transaction or a stored output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// A field reaches past the end.
    #[error("{what} needs {wanted_bytes} bytes, {left_bytes} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Its length.
        wanted_bytes: u64,
        /// What is left.
        left_bytes: u64,
    },
    /// Bytes are left over after the last field.
    #[error("{count_bytes} bytes are left over")]
    TrailingBytes {
        /// How many.
        count_bytes: u64,
    },
    /// A length or count is not written in its shortest form.
    #[error("{what} {value} is not written in its shortest form")]
    NonMinimal {
        /// The field.
        what: &'static str,
        /// The value it would have.
        value: u64,
    },
    /// A count is larger than the bytes that are left could hold. Nothing was allocated for it.
    #[error("{what} of {count}, at most {most} fit in the bytes that are left")]
    Count {
        /// The field.
        what: &'static str,
        /// The stated count.
        count: u64,
        /// The largest count that could be true.
        most: u64,
    },
    /// More bytes than [`RECORD_BYTES_MAX`] were handed over.
    #[error("{length_bytes} bytes, the limit is {RECORD_BYTES_MAX}")]
    TooLong {
        /// How many.
        length_bytes: u64,
    },
    /// The header's target is negative, zero, too large for 256 bits or easier than the network
    /// allows.
    #[error("target {bits:#010x} is out of range")]
    Target {
        /// The compact target of the header.
        bits: u32,
    },
    /// The header's hash is above the header's own target.
    #[error("hash {hash} does not meet the target {bits:#010x}")]
    Work {
        /// The hash of the header.
        hash: BtcHash,
        /// The compact target of the header.
        bits: u32,
    },
    /// The transactions do not hash to the header's Merkle root.
    #[error("merkle root is {computed}, the header says {stated}")]
    MerkleRoot {
        /// The root in the header.
        stated: BtcHash,
        /// The root of the transactions.
        computed: BtcHash,
    },
    /// The transaction list repeats a part so that its root does not change (CVE-2012-2459).
    #[error("the transaction list repeats its own end")]
    Mutated,
    /// A block without transactions.
    #[error("no transactions")]
    NoTransactions,
    /// The first transaction is not a coinbase.
    #[error("transaction {tx_id} comes first and is not a coinbase")]
    CoinbaseMissing {
        /// The first transaction.
        tx_id: TxId,
    },
    /// A coinbase after the first place.
    #[error("coinbase {tx_id} at position {index}")]
    CoinbaseMisplaced {
        /// The transaction.
        tx_id: TxId,
        /// Its place in the block, from 0.
        index: usize,
    },
    /// The script of a coinbase input is not 2 to 100 bytes long.
    #[error("coinbase script of {length_bytes} bytes, 2 to 100 are allowed")]
    CoinbaseScript {
        /// Its length.
        length_bytes: usize,
    },
    /// A transaction with several inputs, one of which spends nothing.
    #[error("an input of an ordinary transaction spends nothing")]
    NullOutPoint,
    /// The byte after the segregated witness marker is not 1.
    #[error("unknown transaction flag {flag:#04x}")]
    Flag {
        /// The byte found.
        flag: u8,
    },
    /// A transaction without inputs.
    #[error("no inputs")]
    NoInputs,
    /// A transaction without outputs.
    #[error("no outputs")]
    NoOutputs,
    /// A transaction in witness form whose witnesses are all empty.
    #[error("witness form without a witness")]
    EmptyWitness,
    /// An output, or the sum of a transaction's outputs, is more than there will ever be.
    #[error("{satoshi} satoshi, the limit is {SATOSHI_MAX}")]
    Value {
        /// The value, or the sum where it went over.
        satoshi: u64,
    },
    /// A block that carries witnesses, but no commitment to them.
    #[error("witnesses without a commitment in the coinbase")]
    CommitmentMissing,
    /// The coinbase's witness is not the one 32-byte value that the commitment needs (BIP 141).
    #[error("the coinbase witness is not one value of 32 bytes")]
    ReservedValue,
    /// The witnesses do not hash to the coinbase's commitment (BIP 141).
    #[error("witness commitment is {computed}, the coinbase says {stated}")]
    Commitment {
        /// The commitment in the coinbase.
        stated: BtcHash,
        /// The commitment of the witnesses that are there.
        computed: BtcHash,
    },
    /// A stored output of a format version this program does not know.
    #[error("stored output of version {version}, version {known} is known")]
    Version {
        /// The version found.
        version: u8,
        /// The version this program writes.
        known: u8,
    },
    /// A number too large for its type.
    #[error("{what} is too large")]
    Overflow {
        /// The field.
        what: &'static str,
    },
}

impl DecodeFault {
    pub(super) fn at(self, offset: usize) -> DecodeError {
        DecodeError {
            offset,
            fault: self,
        }
    }
}

/// Text that is not a hash: 64 hex digits were expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hash of 64 hex digits")]
pub struct ParseHashError(pub(super) String);

fn truncation(wanted_bytes: Option<u64>, got_bytes: u64) -> String {
    match wanted_bytes {
        Some(wanted) => format!("{got_bytes} of {wanted} bytes are there"),
        None => format!("{got_bytes} bytes are there and more were announced"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
