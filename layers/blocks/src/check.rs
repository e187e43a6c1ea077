//! Comparing the index with the segments, and making the index again from the segments alone.
//!
//! Invariants: a check writes nothing and looks at every byte of every segment and at every row of
//! a height; an index is made again in the caller's transaction, and every block of it follows the
//! one before it; the segments are not changed.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;

use seglog::Finding;
use storage_api::blocks::{
    BlockError, BlockHash, BlockIndex, BlockInfo, BlockQuery, BlockResult, Height,
};
use storage_api::{Error, KvStore, Reader, WriteTxn};

use crate::error::of_log;
use crate::layout::{self, BodyPlace, Recorded};
use crate::store::SegmentBlocks;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blocks whose rows and body agree.
    pub sound_blocks: u64,
    /// What is wrong in the files.
    pub segments: Vec<Finding>,
    /// Blocks whose body is not what the index says, and why; of blocks in a row without an entry
    /// in the index, the lowest.
    pub blocks: Vec<(Height, String)>,
}

/// What making the index again did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Records that were read.
    pub records: u64,
    /// Blocks in the index now.
    pub blocks: u64,
    /// Records that are not of the chain: replaced, or never committed.
    pub passed_over: u64,
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Compares every segment with its checksums and every block of the index with its record.
    /// Writes nothing. Cost: a read of everything, twice.
    ///
    /// # Errors
    /// `Store`; what does not agree is an answer.
    pub fn check<R: Reader>(&self, reader: &R) -> BlockResult<Checked> {
        let mut checked = Checked {
            segments: self.reader.check().map_err(of_log)?,
            ..Checked::default()
        };
        let (Some(tail), Some(tip)) = (self.index.tail(reader)?, self.index.tip(reader)?) else {
            return Ok(checked);
        };
        let mut record = Vec::new();
        let mut next = Some(tail.height);
        while let Some(height) = next.filter(|height| *height <= tip.height) {
            next = height.get().checked_add(1).map(Height::new);
            match self.check_block(reader, height, &mut record) {
                Ok(()) => checked.sound_blocks += 1,
                Err(error) => {
                    checked.blocks.push((height, error.to_string()));
                    if self
                        .index
                        .info(reader, height)
                        .is_ok_and(|info| info.is_none())
                    {
                        next = self.entry_above(reader, height, &mut checked);
                    }
                }
            }
        }
        Ok(checked)
    }

    /// The next height that has an entry, so that a gap is one finding and no walk, however wide
    /// the row of totals says it is.
    fn entry_above<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        checked: &mut Checked,
    ) -> Option<Height> {
        let query = BlockQuery::from(height);
        let mut found = None;
        let looked = self.index.range(reader, query, &mut |info| {
            found = Some(info.height);
            Ok(ControlFlow::Break(()))
        });
        if let Err(error) = looked {
            let what = format!("the next entry of the index behind it: {error}");
            checked.blocks.push((height, what));
        }
        found
    }

    fn check_block<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        record: &mut Vec<u8>,
    ) -> BlockResult<()> {
        let damaged = |what: &str| Error::corruption(format!("block {height}"), what);
        let info = self.index.info(reader, height)?;
        let info = info.ok_or_else(|| damaged("it has no entry in the index"))?;
        let at = self.known_place(reader, height)?;
        let read = self.reader.read(at.record, &at.place, record);
        let read = read.map_err(|error| crate::error::of_body(height, error))?;
        let recorded = layout::decode_record(read)?;
        if recorded.info != info {
            return Err(damaged("its entry and its record are of different blocks").into());
        }
        if u64::from(at.body.bytes) != info.body_bytes
            || seglog::checksum(recorded.body) != at.body.checksum
        {
            return Err(damaged("its place is not that of its body").into());
        }
        if self.index.tx_ids(reader, height)? != recorded.tx_ids {
            return Err(damaged("its transactions are not those of its record").into());
        }
        Ok(())
    }

    /// Makes the index again from the segments, in the caller's transaction: the rows of blocks
    /// that are there are removed first. The chain is the one that the last record ends; who
    /// staged a block last and never committed it gets it as the tip.
    ///
    /// Cost: one sync if something was staged, two reads of everything, and 32 bytes of memory for
    /// each record.
    ///
    /// # Errors
    /// `Store` with `Corruption` where a segment is damaged or absent, `DiskFull`, `Io`; nothing is
    /// committed then.
    pub fn rebuild_index<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<Rebuilt> {
        match self.index.truncate(txn, None) {
            Ok(rows) => txn.delete_range(self.places, &rows)?,
            Err(BlockError::Empty) => {}
            Err(error) => return Err(error),
        }
        // What was staged last is read as well, and the rows say that it is there.
        let until = self.sync_staged()?;
        let mut links = Vec::new();
        self.for_each_record(until, &mut |_, recorded| {
            links.push(Link::of(&recorded.info));
            Ok(())
        })?;
        let is_in_chain = chain_of(&links);
        let mut rebuilt = Rebuilt {
            records: links.len() as u64,
            ..Rebuilt::default()
        };
        let mut number = 0;
        self.for_each_record(until, &mut |(record, place), recorded| {
            let is_wanted = is_in_chain.get(number).copied().unwrap_or_default();
            number += 1;
            if !is_wanted {
                rebuilt.passed_over += 1;
                return Ok(());
            }
            let body = seglog::Prefix {
                bytes: u32::try_from(recorded.body.len()).unwrap_or(u32::MAX),
                checksum: seglog::checksum(recorded.body),
            };
            let at = BodyPlace {
                record,
                place,
                body,
            };
            self.index.append(txn, &recorded.as_block())?;
            let key = BlockIndex::key(recorded.info.height);
            txn.put(self.places, &key, &layout::encode_place(&at))?;
            rebuilt.blocks += 1;
            Ok(())
        })?;
        Ok(rebuilt)
    }

    /// Decodes every record up to and without `until`, in the order of the log.
    fn for_each_record(&self, until: seglog::Height, take: &mut TakeRecord<'_>) -> BlockResult<()> {
        let Some((first, _)) = self.reader.segments().first().copied() else {
            return Ok(());
        };
        let mut scan = self.reader.scan_segment(first, until).map_err(of_log)?;
        while let Some((record, place, payload)) = scan.read_next().map_err(of_log)? {
            take((record, place), &layout::decode_record(payload)?)?;
        }
        Ok(())
    }
}

/// What takes the records of a log, each with its number and place.
type TakeRecord<'t> =
    dyn FnMut((seglog::Height, seglog::Place), &Recorded<'_>) -> BlockResult<()> + 't;

/// What of a record says where it belongs in a chain; hashes folded to eight bytes, because the
/// index compares them in full when the block is appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) height: u64,
    pub(crate) hash: u64,
    pub(crate) parent: u64,
}

impl Link {
    pub(crate) fn of(info: &BlockInfo) -> Self {
        let fold = |hash: &BlockHash| {
            let mut hasher = DefaultHasher::new();
            hash.as_bytes().hash(&mut hasher);
            hasher.finish()
        };
        Self {
            height: info.height.get(),
            hash: fold(&info.hash),
            parent: fold(&info.parent),
        }
    }
}

/// Which records are in the chain that the last one ends. A parent is written before its child, so
/// one walk backward finds them all; of equal parents it finds the newest.
fn chain_of(links: &[Link]) -> Vec<bool> {
    let mut is_in_chain = vec![false; links.len()];
    let mut wanted: Option<(u64, u64)> = None;
    for (at, link) in links.iter().enumerate().rev() {
        let is_next = wanted.is_none_or(|wanted| wanted == (link.height, link.hash));
        if is_next {
            is_in_chain[at] = true;
            match link.height.checked_sub(1) {
                Some(below) => wanted = Some((below, link.parent)),
                None => break,
            }
        }
    }
    is_in_chain
}
