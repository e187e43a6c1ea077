//! A packed signed block, as far as it proves itself.
//!
//! Checked here: every field down to the transactions, and that the transactions have the Merkle
//! root of the header. Not checked: signatures, execution, and the Merkle root of blocks under
//! Savanna consensus (schedule version 2^31), whose rule differs. Must always hold: what the
//! transactions of a block decompress to is bounded by the limit in all, and is hashed without
//! being kept. Memory beyond the block: 64 bytes for each transaction, of which each takes 39 of
//! the block at least. Cost: SHA-256 of every transaction twice.

use std::io::Read;
use std::ops::Range;

use flate2::read::ZlibDecoder;
use sha2::{Digest, Sha256};

use super::pack::{SliceSource, Source, unsupported};
use crate::error::{Fault, Hash};

/// Schedule version that marks a block under Savanna consensus.
const SAVANNA_SCHEDULE: u32 = 1 << 31;
const NO_COMPRESSION: u8 = 0;
const ZLIB: u8 = 1;

/// How the transactions of a block are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Block logs of version 1 to 3, and the network.
    Plain,
    /// Block logs of version 4 (EOSIO 2.1): signatures and context-free data may be pruned, and
    /// padding may follow the block.
    Prunable,
}

/// What is taken from a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AntelopeBlock {
    /// The block's id.
    pub id: Hash,
    /// The block's number, from 1.
    pub number: u32,
    /// The id of the block before; zero for block 1.
    pub previous: Hash,
    /// Bytes of the packed block without padding.
    pub length_bytes: u64,
}

/// Reads and checks one block from the bytes of its body, and leaves the ids of its transactions
/// in `tx_ids`, in their order.
///
/// A transaction's id is the SHA-256 of its bytes as they stand in the block, decompressed.
///
/// # Errors
///
/// [`Fault::Overrun`], [`Fault::NotCanonical`], [`Fault::Unsupported`], [`Fault::Compressed`],
/// [`Fault::OverLimit`], [`Fault::Mismatch`]; [`Fault::Trailing`] for a plain block.
pub fn decode_block(
    bytes: &[u8],
    layout: Layout,
    tx_ids: &mut Vec<Hash>,
) -> Result<AntelopeBlock, Fault> {
    let limit_bytes = crate::ReadOptions::BLOCK_BYTES_MAX.max(bytes.len() as u64);
    let mut source = SliceSource::new(bytes);
    let block = read_block(&mut source, layout, limit_bytes, tx_ids)?;
    let left = bytes.len() as u64 - block.length_bytes;
    if layout == Layout::Plain && left > 0 {
        return Err(Fault::Trailing {
            what: "block",
            count_bytes: left,
        });
    }
    Ok(block)
}

/// Reads a block from where it begins.
pub(super) fn read_block(
    source: &mut impl Source,
    layout: Layout,
    limit_bytes: u64,
    tx_ids: &mut Vec<Hash>,
) -> Result<AntelopeBlock, Fault> {
    tx_ids.clear();
    let start = source.taken();
    let header = read_header(source)?;
    let header_range = start..source.taken();
    source.signature()?;
    if layout == Layout::Prunable {
        let state = source.byte("prune state")?;
        if state > 2 {
            return Err(unsupported("prune state", state));
        }
    }
    let mut receipts = Receipts {
        layout,
        unpacked_left: limit_bytes,
        limit_bytes,
        digests: Vec::new(),
    };
    let what = "number of transactions";
    for _ in 0..source.count(what)? {
        let id = receipts.read(source)?;
        tx_ids.push(id);
    }
    source.extensions("block extensions")?;
    if header.schedule_version != SAVANNA_SCHEDULE {
        let computed = merkle_root(receipts.digests);
        if computed != header.transactions_root {
            return Err(Fault::Mismatch {
                what: "transactions root",
                stated: header.transactions_root,
                computed,
            });
        }
    }
    let mut id: Hash = Sha256::digest(slice(source, header_range)).into();
    for (slot, byte) in id.iter_mut().zip(header.number.to_be_bytes()) {
        *slot = byte;
    }
    Ok(AntelopeBlock {
        id,
        number: header.number,
        previous: header.previous,
        length_bytes: (source.taken() - start) as u64,
    })
}

struct Header {
    number: u32,
    previous: Hash,
    transactions_root: Hash,
    schedule_version: u32,
}

fn read_header(source: &mut impl Source) -> Result<Header, Fault> {
    // Timestamp, producer, number of blocks confirmed.
    source.take(4 + 8 + 2, "block header")?;
    let previous: Hash = source.array("previous block id")?;
    let transactions_root = source.array("transactions root")?;
    source.take(32, "action root")?;
    let schedule_version = u32::from_le_bytes(source.array("schedule version")?);
    match source.byte("new producers")? {
        0 => {}
        1 => {
            source.take(4, "new producers")?;
            for _ in 0..source.count("number of producers")? {
                source.take(8, "producer")?;
                source.public_key()?;
            }
        }
        flag => return Err(unsupported("presence of new producers", flag)),
    }
    source.extensions("header extensions")?;
    let [n0, n1, n2, n3, ..] = previous;
    let before = u32::from_be_bytes([n0, n1, n2, n3]);
    let Some(number) = before.checked_add(1) else {
        return Err(Fault::OverLimit {
            what: "block number",
            found: u64::from(u32::MAX) + 1,
            limit: u64::from(u32::MAX),
        });
    };
    Ok(Header {
        number,
        previous,
        transactions_root,
        schedule_version,
    })
}

struct Receipts {
    layout: Layout,
    unpacked_left: u64,
    limit_bytes: u64,
    digests: Vec<Hash>,
}

impl Receipts {
    /// Reads one receipt, keeps its digest and gives the transaction's id.
    fn read(&mut self, source: &mut impl Source) -> Result<Hash, Fault> {
        let start = source.taken();
        source.take(1 + 4, "transaction receipt")?;
        source.count("net usage")?;
        let head = start..source.taken();
        let (id, signed) = match source.byte("kind of transaction")? {
            0 => {
                let id: Hash = source.array("transaction id")?;
                (id, id)
            }
            1 if self.layout == Layout::Plain => self.packed(source)?,
            1 => self.prunable(source)?,
            kind => return Err(unsupported("kind of transaction", kind)),
        };
        let digest = Sha256::new()
            .chain_update(slice(source, head))
            .chain_update(signed)
            .finalize();
        self.digests.push(digest.into());
        Ok(id)
    }

    /// A packed transaction: its id and its packed digest.
    fn packed(&mut self, source: &mut impl Source) -> Result<(Hash, Hash), Fault> {
        let signatures = signatures(source)?;
        let compression = source.byte("compression of the transaction")?;
        let context_free = context_free_data(source)?;
        let prunable = Sha256::new()
            .chain_update(slice(source, signatures))
            .chain_update(slice(source, context_free))
            .finalize()
            .into();
        self.transaction(source, compression, prunable)
    }

    /// A packed transaction whose signatures and context-free data may have been pruned.
    fn prunable(&mut self, source: &mut impl Source) -> Result<(Hash, Hash), Fault> {
        let compression = source.byte("compression of the transaction")?;
        let prunable = match source.byte("kind of prunable data")? {
            0 => {
                let signatures = signatures(source)?;
                let context_free = context_free_data(source)?;
                Sha256::new()
                    .chain_update(slice(source, signatures))
                    .chain_update(slice(source, context_free))
                    .finalize()
                    .into()
            }
            1 => source.array("digest of pruned data")?,
            kind => return Err(unsupported("kind of prunable data", kind)),
        };
        self.transaction(source, compression, prunable)
    }

    /// The packed transaction itself: its id and the digest that the receipt holds.
    fn transaction(
        &mut self,
        source: &mut impl Source,
        compression: u8,
        prunable: Hash,
    ) -> Result<(Hash, Hash), Fault> {
        let what = "packed transaction";
        let start = source.taken();
        let packed = source.string(what)?;
        let with_length = start..source.taken();
        let id = match compression {
            NO_COMPRESSION => Sha256::digest(slice(source, packed)).into(),
            ZLIB => self.unpacked_hash(slice(source, packed))?,
            kind => return Err(unsupported("compression of the transaction", kind)),
        };
        let digest = Sha256::new()
            .chain_update([compression])
            .chain_update(slice(source, with_length))
            .chain_update(prunable)
            .finalize()
            .into();
        Ok((id, digest))
    }

    /// The hash of what the bytes decompress to.
    fn unpacked_hash(&mut self, packed: &[u8]) -> Result<Hash, Fault> {
        let mut hasher = Sha256::new();
        let mut decoder = ZlibDecoder::new(packed);
        let mut buffer = [0; 8 * 1024];
        loop {
            let count = decoder
                .read(&mut buffer)
                .map_err(|source| Fault::Compressed {
                    what: "packed transaction",
                    source,
                })?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(hasher.finalize().into());
            };
            let Some(left) = self.unpacked_left.checked_sub(count as u64) else {
                return Err(Fault::OverLimit {
                    what: "decompressed length of the transactions in bytes",
                    found: self.limit_bytes + 1,
                    limit: self.limit_bytes,
                });
            };
            self.unpacked_left = left;
            hasher.update(bytes);
        }
    }
}

/// Where the signatures are, with their count.
fn signatures(source: &mut impl Source) -> Result<Range<usize>, Fault> {
    let start = source.taken();
    for _ in 0..source.count("number of signatures")? {
        source.signature()?;
    }
    Ok(start..source.taken())
}

/// Where the context-free data are, with their length.
fn context_free_data(source: &mut impl Source) -> Result<Range<usize>, Fault> {
    let start = source.taken();
    source.string("context-free data")?;
    Ok(start..source.taken())
}

/// The root over receipts: a left hash has its highest bit cleared, a right one set, and the last
/// of an odd number stands on both sides.
fn merkle_root(mut digests: Vec<Hash>) -> Hash {
    while digests.len() > 1 {
        let pairs = digests.len().div_ceil(2);
        for pair in 0..pairs {
            let mut left = digests.get(2 * pair).copied().unwrap_or_default();
            let mut right = digests.get(2 * pair + 1).copied().unwrap_or(left);
            left[0] &= 0x7f;
            right[0] |= 0x80;
            let hash = Sha256::new()
                .chain_update(left)
                .chain_update(right)
                .finalize();
            if let Some(slot) = digests.get_mut(pair) {
                *slot = hash.into();
            }
        }
        digests.truncate(pairs);
    }
    digests.first().copied().unwrap_or_default()
}

fn slice(source: &impl Source, range: Range<usize>) -> &[u8] {
    source.bytes().get(range).unwrap_or_default()
}
