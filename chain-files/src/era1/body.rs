//! One block of an era1 file as a store keeps it.
//!
//! ```text
//! length (4) header   length (4) body   length (4) receipts   total difficulty (32)
//! ```
//!
//! Lengths have their least significant byte first; header, body and receipts are decompressed
//! RLP; the total difficulty is as in the file. Must always hold: parsing and encoding give the
//! same bytes, so an export is exact; [`Era1Body::check`] needs nothing but the bytes.

use super::accumulator::TotalDifficulty;
use crate::error::{Fault, Hash};
use crate::ethereum::Header;
use crate::rlp::Item;

const LENGTH_BYTES: usize = 4;

/// The parts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Era1Body<'a> {
    /// The RLP of the header.
    pub header: &'a [u8],
    /// The RLP of the body: transactions, ommers.
    pub body: &'a [u8],
    /// The RLP of the receipts.
    pub receipts: &'a [u8],
    /// The difficulty of the block and of all before it.
    pub total_difficulty: TotalDifficulty,
}

impl<'a> Era1Body<'a> {
    /// Takes a stored body apart.
    ///
    /// # Errors
    ///
    /// [`Fault::Overrun`], [`Fault::Trailing`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, rest) = part(bytes, "stored header")?;
        let (body, rest) = part(rest, "stored body")?;
        let (receipts, rest) = part(rest, "stored receipts")?;
        let Some((total_difficulty, rest)) = rest.split_first_chunk() else {
            return Err(Fault::Overrun {
                what: "stored total difficulty",
                wanted_bytes: 32,
                left_bytes: rest.len() as u64,
            });
        };
        if !rest.is_empty() {
            return Err(Fault::Trailing {
                what: "stored block",
                count_bytes: rest.len() as u64,
            });
        }
        Ok(Self {
            header,
            body,
            receipts,
            total_difficulty: TotalDifficulty(*total_difficulty),
        })
    }

    /// Checks body and receipts against the header, and leaves the hashes of the transactions in
    /// `tx_ids`.
    ///
    /// # Errors
    ///
    /// The faults of [`Header`], and [`Fault::Mismatch`] when a block 0 has another total
    /// difficulty than its own.
    pub fn check(&self, tx_ids: &mut Vec<Hash>) -> Result<Header, Fault> {
        let header = Header::decode(Item::whole(self.header, "header")?)?;
        let body = Item::whole(self.body, "body")?;
        header.check_body(body.list("body")?, tx_ids)?;
        let receipts = Item::whole(self.receipts, "receipts")?;
        header.check_receipts(receipts)?;
        if header.number == 0 {
            self.check_difficulty(TotalDifficulty::default(), &header)?;
        }
        Ok(header)
    }

    /// Checks the total difficulty against that of the block before.
    pub(super) fn check_difficulty(
        &self,
        before: TotalDifficulty,
        header: &Header,
    ) -> Result<(), Fault> {
        let computed = before.plus(header.difficulty);
        if computed == Some(self.total_difficulty) {
            return Ok(());
        }
        // More than 256 bits is shown as the largest value.
        let computed = computed.map_or([0xff; 32], |total| total.0);
        Err(Fault::Mismatch {
            what: "total difficulty, least significant byte first,",
            stated: self.total_difficulty.0,
            computed,
        })
    }
}

/// Leaves room for the length of a part and gives its place.
pub(super) fn begin_part(bytes: &mut Vec<u8>) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    start
}

/// Fills in the length of the part that ends here.
pub(super) fn end_part(bytes: &mut [u8], start: usize) {
    let length_bytes = (bytes.len() - start - LENGTH_BYTES) as u32;
    if let Some(slot) = bytes.get_mut(start..start + LENGTH_BYTES) {
        slot.copy_from_slice(&length_bytes.to_le_bytes());
    }
}

fn part<'a>(bytes: &'a [u8], what: &'static str) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let overrun = |wanted_bytes: u64, left: &[u8]| Fault::Overrun {
        what,
        wanted_bytes,
        left_bytes: left.len() as u64,
    };
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(overrun(LENGTH_BYTES as u64, bytes));
    };
    let length_bytes = u32::from_le_bytes(*length);
    rest.split_at_checked(length_bytes as usize)
        .ok_or_else(|| overrun(u64::from(length_bytes), rest))
}
