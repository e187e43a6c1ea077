//! One block: its own bytes, checked once, and views into them.
//!
//! Must always hold for a [`Block`] that exists: the header meets its own target; there is at
//! least one transaction, the first and only the first is a coinbase; the transactions hash to the
//! header's Merkle root and the list is not mutated (CVE-2012-2459); witnesses, when the block
//! carries any, hash to the coinbase's commitment (BIP 141); no byte is left over.
//!
//! Not checked, because it needs more than the block: the parent, difficulty retargeting, the
//! times, the reward, that spent outputs exist, scripts and signatures, block weight, and that a
//! block after segregated witness has a commitment at all: one that carries no witness is taken,
//! so a block stripped of its witnesses passes.
//!
//! Cost of decoding: one pass; one double hash per transaction (two for one with a witness) and
//! one per inner node of the Merkle trees; 112 bytes of memory per transaction beside the
//! bytes, which are moved in and never copied.

use std::slice;

use super::error::{DecodeError, DecodeFault};
use super::hash::merkle;
use super::hash::{BtcHash, sha256d};
use super::header::{HEADER_BYTES, Header};
use super::network::Network;
use super::record::RECORD_BYTES_MAX;
use super::script;
use super::tx::{TX_BYTES_MIN, Transaction, TxLayout};
use super::wire::Cursor;

type Result<T> = std::result::Result<T, DecodeError>;

const MERKLE_ROOT_OFFSET: usize = 36;

/// A block that passed every check which the block alone allows.
#[derive(Clone, Debug)]
pub struct Block {
    header: Header,
    network: Option<Network>,
    bytes: Vec<u8>,
    layouts: Vec<TxLayout>,
}

impl Block {
    /// Decodes and checks the bytes of one block without framing. `network` sets the easiest
    /// target that is taken; `None` takes that of any network.
    ///
    /// # Errors
    ///
    /// A [`DecodeError`] with the offset in `bytes`. Counts are held against the bytes that are
    /// left before anything is allocated for them.
    pub fn decode(bytes: Vec<u8>, network: Option<Network>) -> Result<Self> {
        let length_bytes = bytes.len() as u64;
        if length_bytes > RECORD_BYTES_MAX {
            return Err(DecodeFault::TooLong { length_bytes }.at(0));
        }
        let header = Header::decode(&bytes)?;
        header.check_work(network)?;
        let layouts = read_transactions(&bytes)?;
        check_merkle_root(&header, &layouts)?;
        let block = Self {
            header,
            network,
            bytes,
            layouts,
        };
        block.check_witness_commitment()?;
        Ok(block)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The block's hash.
    #[must_use]
    pub fn hash(&self) -> BtcHash {
        self.header.hash
    }

    /// The hash of the block before this one; zero for a genesis block.
    #[must_use]
    pub fn parent(&self) -> BtcHash {
        self.header.parent
    }

    /// The network named when the block was decoded: that of its record, `None` when bare.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// True for the first block of a known network. Bitcoin Core never adds the outputs of that
    /// block to its set of unspent outputs.
    #[must_use]
    pub fn is_genesis(&self) -> bool {
        Network::from_genesis(&self.header.hash).is_some()
    }

    /// The height that the coinbase states (BIP 34); `None` below block version 2 or when it
    /// states none. A hint, see [`script::coinbase_height`].
    #[must_use]
    pub fn coinbase_height(&self) -> Option<u32> {
        if self.header.version < 2 {
            return None;
        }
        script::coinbase_height(self.transactions().next()?.inputs().next()?.script)
    }

    /// The transactions in order; the first is the coinbase.
    #[must_use]
    pub fn transactions(&self) -> Transactions<'_> {
        Transactions {
            bytes: &self.bytes,
            layouts: self.layouts.iter(),
        }
    }

    /// The block as it came, without framing.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The block as it came, without framing, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// In the coinbase, the last output that looks like a commitment holds the double hash of the
    /// witness root and the coinbase's witness, which is one value of 32 bytes. In the witness
    /// tree the coinbase counts as zero. Source: BIP 141.
    fn check_witness_commitment(&self) -> Result<()> {
        if !self
            .transactions()
            .any(|transaction| transaction.has_witness())
        {
            return Ok(());
        }
        let Some(coinbase) = self.transactions().next() else {
            return Err(DecodeFault::NoTransactions.at(HEADER_BYTES));
        };
        let coinbase_at = coinbase.offset();
        let found = coinbase
            .outputs()
            .filter_map(|o| script::witness_commitment(o.script))
            .last();
        let Some(stated) = found else {
            return Err(DecodeFault::CommitmentMissing.at(coinbase_at));
        };
        let Some(reserved) = coinbase.sole_witness_item().filter(|item| item.len() == 32) else {
            return Err(DecodeFault::ReservedValue.at(coinbase_at));
        };
        let mut hashes: Vec<[u8; 32]> = Vec::with_capacity(self.layouts.len());
        hashes.push([0; 32]);
        hashes.extend(
            self.transactions()
                .skip(1)
                .map(|transaction| transaction.witness_hash()),
        );
        let root = merkle::root(hashes).hash;
        let computed = sha256d(&[root.as_bytes(), reserved]);
        if computed != stated {
            let (stated, computed) = (BtcHash::from_bytes(stated), BtcHash::from_bytes(computed));
            return Err(DecodeFault::Commitment { stated, computed }.at(coinbase_at));
        }
        Ok(())
    }
}

fn read_transactions(bytes: &[u8]) -> Result<Vec<TxLayout>> {
    let mut cursor = Cursor::at(bytes, HEADER_BYTES);
    let count = cursor.count("a transaction count", TX_BYTES_MIN)?;
    if count == 0 {
        return Err(DecodeFault::NoTransactions.at(HEADER_BYTES));
    }
    let mut layouts = Vec::with_capacity(count);
    for index in 0..count {
        let start = cursor.offset();
        let layout = TxLayout::read(&mut cursor)?;
        let tx_id = layout.tx_id;
        match (index, layout.is_coinbase) {
            (0, true) | (1.., false) => layouts.push(layout),
            (0, false) => return Err(DecodeFault::CoinbaseMissing { tx_id }.at(start)),
            (1.., true) => return Err(DecodeFault::CoinbaseMisplaced { tx_id, index }.at(start)),
        }
    }
    cursor.end()?;
    Ok(layouts)
}

fn check_merkle_root(header: &Header, layouts: &[TxLayout]) -> Result<()> {
    let root = merkle::root(
        layouts
            .iter()
            .map(|layout| layout.tx_id.to_bytes())
            .collect(),
    );
    if root.hash != header.merkle_root {
        let (stated, computed) = (header.merkle_root, root.hash);
        return Err(DecodeFault::MerkleRoot { stated, computed }.at(MERKLE_ROOT_OFFSET));
    }
    if root.mutated {
        return Err(DecodeFault::Mutated.at(HEADER_BYTES));
    }
    Ok(())
}

/// The transactions of a [`Block`].
#[derive(Clone, Debug)]
pub struct Transactions<'a> {
    bytes: &'a [u8],
    layouts: slice::Iter<'a, TxLayout>,
}

impl<'a> Iterator for Transactions<'a> {
    type Item = Transaction<'a>;

    fn next(&mut self) -> Option<Transaction<'a>> {
        self.layouts
            .next()
            .map(|layout| Transaction::new(self.bytes, *layout))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.layouts.size_hint()
    }
}

impl ExactSizeIterator for Transactions<'_> {}
