//! What a block store has to know of a block's bytes, behind one trait, so that blocks of another
//! generation of RepChain are another codec.
//!
//! Invariants: a codec takes any bytes and never panics; two blocks of the same hash are the same
//! bytes; a hash is what the chain itself writes into the block that follows.

use prost::Message;
use sha2::{Digest, Sha256};
use storage_api::blocks::{BlockHash, HASH_BYTES_MAX, TxId};

use super::proto::{self, Block};

/// What a block's bytes say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// Its hash, in the form in which the block that follows names it.
    pub hash: BlockHash,
    /// The hash of the block before it; `None` for a first block, whose field is empty.
    pub previous: Option<BlockHash>,
    /// The ids of its transactions, in order.
    pub tx_ids: Vec<TxId>,
    /// The hash of the world state after it, as it claims.
    pub state_hash: Vec<u8>,
}

/// Bytes that are no block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// They are not laid out as one.
    #[error("the bytes are not those of a block")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There are more of them than the codec takes.
    #[error("a block of {bytes} bytes, at most {max} are taken")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many are taken.
        max: u32,
    },
    /// They have more parts than real blocks of their length, and would take much memory.
    #[error("a block of {bytes} bytes, whose parts take {decoded} bytes when it is decoded")]
    TooManyParts {
        /// How many there are.
        bytes: usize,
        /// What they would take.
        decoded: u64,
    },
    /// The previous hash is longer than a hash can be.
    #[error("a previous hash of {bytes} bytes, at most {HASH_BYTES_MAX} are possible")]
    PreviousHash {
        /// Its length.
        bytes: usize,
    },
    /// A transaction's id is empty, so it could not be found, or longer than an id can be.
    #[error("the id of transaction {position} has {bytes} bytes, 1 to {HASH_BYTES_MAX} expected")]
    TxId {
        /// Which transaction of the block, from 0.
        position: usize,
        /// The id's length.
        bytes: usize,
    },
}

/// How blocks are written as bytes.
pub trait BlockCodec: Send + Sync + 'static {
    /// A decoded block.
    type Block;

    /// The block of these bytes. Cost: proportional to the bytes.
    ///
    /// # Errors
    /// `Malformed`, `TooLong`, `TooManyParts`.
    fn decode(&self, bytes: &[u8]) -> Result<Self::Block, CodecError>;

    /// The bytes of a block.
    fn encode(&self, block: &Self::Block) -> Vec<u8>;

    /// What is known of the block that these bytes decode to. Cost: a hash of the bytes.
    ///
    /// # Errors
    /// `PreviousHash`, `TxId`.
    fn facts(&self, bytes: &[u8], block: &Self::Block) -> Result<BlockFacts, CodecError>;
}

/// Blocks as RepChain 2018 (its first release candidates) writes them: Protocol Buffers, see
/// [`super::proto`].
///
/// A block's hash is the SHA-256 of all its bytes, `nonHashData` and endorsements included, in
/// lower-case hex digits: 64 bytes of ASCII. This text, and not the 32 bytes, is what the next
/// block has in its `previousBlockHash`, what is looked up, and what is Base64-encoded.
///
/// A block whose parts would take more memory than [`Codec2018::MEMORY_FACTOR`] times its bytes and
/// a mebibyte is refused before it is decoded: parts of a dozen bytes on average are no
/// transactions.
#[derive(Clone, Copy, Debug)]
pub struct Codec2018 {
    /// Longer blocks are refused before they are decoded.
    pub block_bytes_max: u32,
}

impl Default for Codec2018 {
    /// Blocks of any length.
    fn default() -> Self {
        Self {
            block_bytes_max: u32::MAX,
        }
    }
}

/// The hash of a block of 2018: 64 lower-case hex digits.
fn hash_of(bytes: &[u8]) -> Result<BlockHash, CodecError> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; HASH_BYTES_MAX];
    for (pair, byte) in text.chunks_exact_mut(2).zip(Sha256::digest(bytes)) {
        pair.copy_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    BlockHash::new(&text).map_err(|error| CodecError::Malformed(error.into()))
}

impl Codec2018 {
    /// How much memory the parts of a block may take for each of its bytes.
    pub const MEMORY_FACTOR: u64 = 32;

    /// What parts may take in any block.
    const MEMORY_FREE_BYTES: u64 = 1 << 20;

    fn check_length(self, bytes: &[u8]) -> Result<(), CodecError> {
        let (max, len) = (self.block_bytes_max, bytes.len());
        if !u32::try_from(len).is_ok_and(|len| len <= max) {
            return Err(CodecError::TooLong { bytes: len, max });
        }
        let decoded = proto::decoded_bytes(bytes);
        if decoded > Self::MEMORY_FACTOR * len as u64 + Self::MEMORY_FREE_BYTES {
            let bytes = len;
            return Err(CodecError::TooManyParts { bytes, decoded });
        }
        Ok(())
    }
}

impl BlockCodec for Codec2018 {
    type Block = Block;

    fn decode(&self, bytes: &[u8]) -> Result<Block, CodecError> {
        self.check_length(bytes)?;
        Block::decode(bytes).map_err(|error| CodecError::Malformed(error.into()))
    }

    fn encode(&self, block: &Block) -> Vec<u8> {
        block.encode_to_vec()
    }

    fn facts(&self, bytes: &[u8], block: &Block) -> Result<BlockFacts, CodecError> {
        let previous = &block.previous_block_hash;
        let too_long = |_| CodecError::PreviousHash {
            bytes: previous.len(),
        };
        let previous = match previous.as_slice() {
            [] => None,
            some => Some(BlockHash::new(some).map_err(too_long)?),
        };
        let ids = block.transactions.iter().enumerate();
        let ids = ids.map(|(position, transaction)| {
            let id = transaction.txid.as_bytes();
            TxId::new(id).map_err(|_| CodecError::TxId {
                position,
                bytes: id.len(),
            })
        });
        Ok(BlockFacts {
            hash: hash_of(bytes)?,
            previous,
            tx_ids: ids.collect::<Result<_, _>>()?,
            state_hash: block.state_hash.clone(),
        })
    }
}
