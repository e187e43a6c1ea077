//! Transactions, read in place: nothing of a transaction is copied.
//!
//! A block keeps one small `TxLayout` per transaction (where its parts begin and its id); a
//! [`Transaction`] joins that with the block's bytes and walks them again when asked for inputs
//! and outputs. Must always hold: a layout is made only by `TxLayout::read`, which has walked
//! exactly the same fields with the same functions, so the second walk cannot fail; values are in
//! range and so is their sum.
//!
//! Checked: what Bitcoin Core's `CheckTransaction` checks on one transaction, except that no
//! output is spent twice within it (the replay against the set of unspent outputs finds that),
//! and the witness encoding of BIP 144. Scripts and signatures are not checked. Cost: one pass,
//! and a double hash of the transaction for its id.

use std::fmt;

use super::error::{DecodeError, DecodeFault};
use super::hash::{TxId, sha256d};
use super::script::is_unspendable;
use super::wire::Cursor;

type Result<T> = std::result::Result<T, DecodeError>;

/// The most satoshi there will ever be: 21 million coins of 100 million satoshi.
pub const SATOSHI_MAX: u64 = 2_100_000_000_000_000;

/// Shortest transaction, input and output in bytes; they bound counts before allocation.
pub(super) const TX_BYTES_MIN: usize = 60;
const INPUT_BYTES_MIN: usize = 41;
const OUTPUT_BYTES_MIN: usize = 9;

const WITNESS_MARKER: u8 = 0;
const WITNESS_FLAG: u8 = 1;

/// An amount in satoshi; at most [`SATOSHI_MAX`] when it came from a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Satoshi(pub u64);

impl Satoshi {
    /// The sum; `None` above [`SATOSHI_MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0
            .checked_add(other.0)
            .filter(|sum| *sum <= SATOSHI_MAX)
            .map(Self)
    }
}

impl fmt::Display for Satoshi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one output of one transaction.
///
/// The derived order is that of [`to_key`](Self::to_key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutPoint {
    /// The transaction that made the output.
    pub tx_id: TxId,
    /// The output's index in it, from 0.
    pub vout: u32,
}

impl OutPoint {
    /// What the input of a coinbase names: no transaction, index `u32::MAX`.
    pub const NULL: Self = Self {
        tx_id: TxId::ZERO,
        vout: u32::MAX,
    };

    /// True for [`NULL`](Self::NULL).
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Self::NULL
    }

    /// 36 bytes: the id in internal order (32), the index most significant byte first (4). The
    /// outputs of a transaction are neighbours in index order.
    #[must_use]
    pub fn to_key(self) -> [u8; 36] {
        let mut key = [0; 36];
        let (id, vout) = key.split_at_mut(32);
        id.copy_from_slice(self.tx_id.as_bytes());
        vout.copy_from_slice(&self.vout.to_be_bytes());
        key
    }

    /// The reverse of [`to_key`](Self::to_key); `None` unless there are exactly 36 bytes.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (id, vout) = key.split_first_chunk::<32>()?;
        let vout = <[u8; 4]>::try_from(vout).ok()?;
        Some(Self {
            tx_id: TxId::from_bytes(*id),
            vout: u32::from_be_bytes(vout),
        })
    }
}

impl fmt::Display for OutPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tx_id, self.vout)
    }
}

/// One input, borrowed from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input<'a> {
    /// The output it spends; [`OutPoint::NULL`] in a coinbase.
    pub previous: OutPoint,
    /// The unlocking script; free bytes in a coinbase.
    pub script: &'a [u8],
    /// The sequence number.
    pub sequence: u32,
}

impl<'a> Input<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let tx_id = TxId::from_bytes(cursor.array("the spent transaction id")?);
        let vout = cursor.u32("the spent output index")?;
        let script = cursor.blob("the input script")?;
        let sequence = cursor.u32("the input sequence")?;
        Ok(Self {
            previous: OutPoint { tx_id, vout },
            script,
            sequence,
        })
    }

    /// True when the input makes new coins instead of spending an output.
    #[must_use]
    pub fn is_coinbase(&self) -> bool {
        self.previous.is_null()
    }
}

/// One output, borrowed from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output<'a> {
    /// Its place in the transaction, from 0.
    pub index: u32,
    /// What it is worth.
    pub value: Satoshi,
    /// The locking script.
    pub script: &'a [u8],
}

impl<'a> Output<'a> {
    fn read(cursor: &mut Cursor<'a>, index: u32) -> Result<Self> {
        let start = cursor.offset();
        let satoshi = cursor.u64("the output value")?;
        if satoshi > SATOSHI_MAX {
            return Err(DecodeFault::Value { satoshi }.at(start));
        }
        let script = cursor.blob("the output script")?;
        Ok(Self {
            index,
            value: Satoshi(satoshi),
            script,
        })
    }

    /// True when no input can ever spend it, see [`is_unspendable`].
    #[must_use]
    pub fn is_unspendable(&self) -> bool {
        is_unspendable(self.script)
    }
}

/// Where the parts of a transaction begin, as offsets into the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct TxLayout {
    pub(super) tx_id: TxId,
    pub(super) is_coinbase: bool,
    start: usize,
    inputs_at: usize,
    input_count: usize,
    outputs_at: usize,
    output_count: usize,
    output_value: Satoshi,
    /// Where the witnesses begin; `None` without the marker.
    witness_at: Option<usize>,
    end: usize,
}

impl TxLayout {
    /// Walks one transaction, checks it and hashes it.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let start = cursor.offset();
        let version = cursor.take(4, "the transaction version")?;
        let in_witness_form = cursor.peek() == Some(WITNESS_MARKER);
        if in_witness_form {
            cursor.u8("the witness marker")?;
            let flag_at = cursor.offset();
            let flag = cursor.u8("the transaction flag")?;
            if flag != WITNESS_FLAG {
                return Err(DecodeFault::Flag { flag }.at(flag_at));
            }
        }
        let core_at = cursor.offset();
        let (input_count, inputs_at, is_coinbase) = read_inputs(cursor)?;
        let (output_count, outputs_at, output_value) = read_outputs(cursor)?;
        let core = cursor.since(core_at);
        let witness_at = in_witness_form.then(|| cursor.offset());
        if in_witness_form {
            skip_witnesses(cursor, input_count)?;
        }
        let lock_time = cursor.take(4, "the lock time")?;
        Ok(Self {
            tx_id: TxId::from_bytes(sha256d(&[version, core, lock_time])),
            is_coinbase,
            start,
            inputs_at,
            input_count,
            outputs_at,
            output_count,
            output_value,
            witness_at,
            end: cursor.offset(),
        })
    }
}

fn read_inputs(cursor: &mut Cursor<'_>) -> Result<(usize, usize, bool)> {
    let count_at = cursor.offset();
    let count = cursor.count("an input count", INPUT_BYTES_MIN)?;
    if count == 0 {
        return Err(DecodeFault::NoInputs.at(count_at));
    }
    let first_at = cursor.offset();
    let mut is_coinbase = false;
    for _ in 0..count {
        let input_at = cursor.offset();
        let input = Input::read(cursor)?;
        if input.is_coinbase() {
            if count > 1 {
                return Err(DecodeFault::NullOutPoint.at(input_at));
            }
            let length_bytes = input.script.len();
            if !(2..=100).contains(&length_bytes) {
                return Err(DecodeFault::CoinbaseScript { length_bytes }.at(input_at));
            }
            is_coinbase = true;
        }
    }
    Ok((count, first_at, is_coinbase))
}

fn read_outputs(cursor: &mut Cursor<'_>) -> Result<(usize, usize, Satoshi)> {
    let count_at = cursor.offset();
    let count = cursor.count("an output count", OUTPUT_BYTES_MIN)?;
    if count == 0 {
        return Err(DecodeFault::NoOutputs.at(count_at));
    }
    let first_at = cursor.offset();
    let mut sum = Satoshi(0);
    for _ in 0..count {
        let output_at = cursor.offset();
        let value = Output::read(cursor, 0)?.value;
        sum = sum.checked_add(value).ok_or_else(|| {
            DecodeFault::Value {
                satoshi: sum.0.saturating_add(value.0),
            }
            .at(output_at)
        })?;
    }
    Ok((count, first_at, sum))
}

fn skip_witnesses(cursor: &mut Cursor<'_>, input_count: usize) -> Result<()> {
    let start = cursor.offset();
    let mut items = 0_usize;
    for _ in 0..input_count {
        let count = cursor.count("a witness item count", 1)?;
        for _ in 0..count {
            cursor.blob("a witness item")?;
        }
        items += count;
    }
    match items {
        0 => Err(DecodeFault::EmptyWitness.at(start)),
        _ => Ok(()),
    }
}

/// One transaction, borrowed from the bytes of its block.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    bytes: &'a [u8],
    layout: TxLayout,
}

impl<'a> Transaction<'a> {
    /// Decodes and checks a transaction that stands alone.
    ///
    /// # Errors
    ///
    /// A [`DecodeError`] with the offset in `bytes`; bytes after the transaction are an error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::at(bytes, 0);
        let layout = TxLayout::read(&mut cursor)?;
        cursor.end()?;
        Ok(Self { bytes, layout })
    }

    pub(super) fn new(bytes: &'a [u8], layout: TxLayout) -> Self {
        Self { bytes, layout }
    }

    /// The id: the hash without witness. Two transactions of a chain may share it (BIP 30).
    #[must_use]
    pub fn tx_id(&self) -> TxId {
        self.layout.tx_id
    }

    /// Offset of its first byte in the bytes it was decoded from; in a block, from the first byte
    /// of the header.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.layout.start
    }

    /// True for the transaction that makes new coins: one input that spends nothing.
    #[must_use]
    pub fn is_coinbase(&self) -> bool {
        self.layout.is_coinbase
    }

    /// True when the transaction carries witnesses.
    #[must_use]
    pub fn has_witness(&self) -> bool {
        self.layout.witness_at.is_some()
    }

    /// The sum of its outputs, in range.
    #[must_use]
    pub fn output_value(&self) -> Satoshi {
        self.layout.output_value
    }

    /// The transaction as it stands in the block, witness included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
            .get(self.layout.start..self.layout.end)
            .unwrap_or_default()
    }

    /// Its inputs in order; at least one.
    #[must_use]
    pub fn inputs(&self) -> Inputs<'a> {
        let cursor = Cursor::at(self.bytes, self.layout.inputs_at);
        Inputs {
            cursor,
            left: self.layout.input_count,
        }
    }

    /// Its outputs in order; at least one.
    #[must_use]
    pub fn outputs(&self) -> Outputs<'a> {
        let cursor = Cursor::at(self.bytes, self.layout.outputs_at);
        Outputs {
            cursor,
            next_index: 0,
            left: self.layout.output_count,
        }
    }

    /// The hash with witness (BIP 141); equal to the id when there is none. Cost: a double hash of
    /// the whole transaction.
    pub(super) fn witness_hash(&self) -> [u8; 32] {
        if self.has_witness() {
            sha256d(&[self.bytes()])
        } else {
            self.layout.tx_id.to_bytes()
        }
    }

    /// The only item of the first input's witness, when it has exactly one.
    pub(super) fn sole_witness_item(&self) -> Option<&'a [u8]> {
        let mut cursor = Cursor::at(self.bytes, self.layout.witness_at?);
        let count = cursor.count("a witness item count", 1).ok()?;
        if count == 1 {
            cursor.blob("a witness item").ok()
        } else {
            None
        }
    }
}

/// The inputs of a [`Transaction`].
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Iterator for Inputs<'a> {
    type Item = Input<'a>;

    fn next(&mut self) -> Option<Input<'a>> {
        self.left = self.left.checked_sub(1)?;
        let input = Input::read(&mut self.cursor);
        debug_assert!(input.is_ok(), "the layout was made by the same walk");
        input.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Inputs<'_> {}

/// The outputs of a [`Transaction`].
#[derive(Clone, Debug)]
pub struct Outputs<'a> {
    cursor: Cursor<'a>,
    next_index: u32,
    left: usize,
}

impl<'a> Iterator for Outputs<'a> {
    type Item = Output<'a>;

    fn next(&mut self) -> Option<Output<'a>> {
        self.left = self.left.checked_sub(1)?;
        let output = Output::read(&mut self.cursor, self.next_index);
        debug_assert!(output.is_ok(), "the layout was made by the same walk");
        self.next_index = self.next_index.saturating_add(1);
        output.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Outputs<'_> {}
