//! An Ethereum block as far as it proves itself: its header, and the body that header commits to.
//!
//! Checked here: the RLP of every item, the ommers hash, the transactions root, the withdrawals
//! root, and (for files that carry them) the receipts root. Not checked: signatures, seals,
//! execution. Must always hold: memory beyond the block is at most its own size, for the hashes of
//! the transactions, because more transactions than [`ITEM_BYTES_MIN`] allows are refused before
//! they are counted. Cost: each transaction is hashed twice, once for itself and once for the
//! root.

mod trie;

#[cfg(test)]
mod tests;

use sha3::{Digest, Keccak256};

use crate::error::{Fault, Hash};
use crate::rlp::{self, Item, Items, Kind};

/// Fewest bytes that a transaction takes on average; a signed one takes more than 64.
pub const ITEM_BYTES_MIN: u64 = 32;

/// Keccak-256, the hash of Ethereum.
#[must_use]
pub fn keccak(bytes: &[u8]) -> Hash {
    Keccak256::digest(bytes).into()
}

/// What is taken from a block header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Keccak-256 of the header's RLP.
    pub hash: Hash,
    /// The block's number.
    pub number: u64,
    /// The hash of the block before.
    pub parent: Hash,
    /// The hash of the RLP list of ommers.
    pub ommers_hash: Hash,
    /// The root of the ordered trie of transactions.
    pub transactions_root: Hash,
    /// The root of the ordered trie of receipts.
    pub receipts_root: Hash,
    /// The root of the ordered trie of withdrawals; `None` before Shanghai.
    pub withdrawals_root: Option<Hash>,
    /// The difficulty, most significant byte first.
    pub difficulty: [u8; 32],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// The faults of RLP, and [`Fault::Length`] on a field of wrong size.
    pub fn decode(item: Item<'_>) -> Result<Self, Fault> {
        let mut fields = item.list("header")?;
        let parent = fields.expect("parent hash")?.array("parent hash")?;
        let ommers_hash = fields.expect("ommers hash")?.array("ommers hash")?;
        fields.expect("coinbase")?.array::<20>("coinbase")?;
        fields.expect("state root")?.array::<32>("state root")?;
        let transactions_root = fields
            .expect("transactions root")?
            .array("transactions root")?;
        let receipts_root = fields.expect("receipts root")?.array("receipts root")?;
        fields.expect("bloom")?.array::<256>("bloom")?;
        let difficulty = fields.expect("difficulty")?.integer("difficulty")?;
        let number = fields.expect("block number")?.uint("block number")?;
        for what in ["gas limit", "gas used", "timestamp"] {
            fields.expect(what)?.uint(what)?;
        }
        fields.expect("extra data")?.bytes("extra data")?;
        fields.expect("mix digest")?.array::<32>("mix digest")?;
        fields.expect("nonce")?.array::<8>("nonce")?;
        // London added the base fee, Shanghai the withdrawals root; later fields are not needed.
        let base_fee = fields.next_item("base fee")?;
        if let Some(item) = base_fee {
            item.integer::<32>("base fee")?;
        }
        let withdrawals_root = match fields.next_item("withdrawals root")? {
            Some(item) => Some(item.array("withdrawals root")?),
            None => None,
        };
        while let Some(item) = fields.next_item("header field")? {
            item.bytes("header field")?;
        }
        Ok(Self {
            hash: keccak(item.encoded()),
            number,
            parent,
            ommers_hash,
            transactions_root,
            receipts_root,
            withdrawals_root,
            difficulty,
        })
    }

    /// Checks transactions, ommers and withdrawals against this header and leaves the hashes of
    /// the transactions in `tx_ids`, in their order.
    ///
    /// # Errors
    ///
    /// The faults of RLP, [`Fault::Mismatch`] and [`Fault::OverLimit`] on too many transactions.
    pub fn check_body(&self, mut body: Items<'_>, tx_ids: &mut Vec<Hash>) -> Result<(), Fault> {
        tx_ids.clear();
        let transactions = body.expect("transactions")?;
        rlp::check_nested(transactions)?;
        let root = root_of(transactions, "transaction", |payload| {
            tx_ids.push(keccak(payload));
        })?;
        equal("transactions root", self.transactions_root, root)?;
        let ommers = body.expect("ommers")?;
        ommers.list("ommers")?;
        equal("ommers hash", self.ommers_hash, keccak(ommers.encoded()))?;
        rlp::check_nested(ommers)?;
        if let Some(stated) = self.withdrawals_root {
            let withdrawals = body.expect("withdrawals")?;
            rlp::check_nested(withdrawals)?;
            let root = root_of(withdrawals, "withdrawal", |_| {})?;
            equal("withdrawals root", stated, root)?;
        }
        body.end("body")
    }

    /// Checks the list of receipts, each with its bloom, against this header.
    ///
    /// # Errors
    ///
    /// The faults of RLP, [`Fault::Mismatch`] and [`Fault::OverLimit`] on too many receipts.
    pub fn check_receipts(&self, receipts: Item<'_>) -> Result<(), Fault> {
        rlp::check_nested(receipts)?;
        let root = root_of(receipts, "receipt", |_| {})?;
        equal("receipts root", self.receipts_root, root)
    }
}

/// Reads and checks one block, `[header, transactions, ommers]` with withdrawals after Shanghai.
///
/// # Errors
///
/// As [`Header::decode`] and [`Header::check_body`], and [`Fault::Trailing`].
pub fn decode_block(bytes: &[u8], tx_ids: &mut Vec<Hash>) -> Result<Header, Fault> {
    let block = Item::whole(bytes, "block")?;
    let mut items = block.list("block")?;
    let header = Header::decode(items.expect("header")?)?;
    header.check_body(items, tx_ids)?;
    Ok(header)
}

/// The bytes that a transaction or receipt is hashed by: a list as it stands, a typed one as the
/// payload of its byte string.
fn hashed_bytes<'a>(item: Item<'a>, what: &'static str) -> Result<&'a [u8], Fault> {
    match item.kind() {
        Kind::List => Ok(item.encoded()),
        // The type byte is followed by a list, so the payload is longer than one byte.
        Kind::Bytes if item.payload().len() > 1 => Ok(item.payload()),
        Kind::Bytes => Err(Fault::Length {
            what,
            expected_bytes: 2,
            found_bytes: item.payload().len() as u64,
        }),
    }
}

/// The root of the ordered trie over a list; `each` sees the bytes of every item in order.
fn root_of(list: Item<'_>, what: &'static str, mut each: impl FnMut(&[u8])) -> Result<Hash, Fault> {
    let mut items = list.list(what)?;
    let all = items.rest();
    let count_max = all.len() as u64 / ITEM_BYTES_MIN + 1;
    let mut starts = Vec::new();
    loop {
        let start = (all.len() - items.rest().len()) as u32;
        let Some(item) = items.next_item(what)? else {
            break;
        };
        if starts.len() as u64 >= count_max {
            return Err(Fault::OverLimit {
                what: "number of items in a list",
                found: count_max + 1,
                limit: count_max,
            });
        }
        each(hashed_bytes(item, what)?);
        starts.push(start);
    }
    trie::ordered_root(starts.len(), |index| {
        let start = starts.get(index).map_or(all.len(), |start| *start as usize);
        let (item, _) = Item::split(all.get(start..).unwrap_or_default(), what)?;
        hashed_bytes(item, what)
    })
}

fn equal(what: &'static str, stated: Hash, computed: Hash) -> Result<(), Fault> {
    if stated == computed {
        return Ok(());
    }
    Err(Fault::Mismatch {
        what,
        stated,
        computed,
    })
}
