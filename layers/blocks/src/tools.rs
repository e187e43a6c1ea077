//! Blocks in segments for tools: opening without bringing log and index together, comparing one
//! block, making the index again where the log does not open.
//!
//! Invariants: opening and comparing write nothing and change nothing; the index is made again in
//! the caller's transaction, up to the tip that was committed and not beyond, and without a gap: a
//! chain that damage or an absent file cuts in two is an error that says where. Cost of making the
//! index again: two reads of everything, and 40 bytes of memory for each record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seglog::tools::{Part, SeenKind, Tools};
use seglog::{LogError, Place, SegmentNumber};
use storage_api::blocks::{BlockError, BlockIndex, BlockInfo, BlockResult, Height};
use storage_api::{Cursor, Error, KeyRange, KvStore, Reader, Result, WriteTxn};

use crate::check::{Link, Rebuilt};
use crate::error::{of_body, of_log};
use crate::layout::{self, BodyPlace};
use crate::store::SegmentBlocks;

/// Where the record of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The number of the record in the log.
    pub record: seglog::Height,
    /// Where it is.
    pub place: Place,
}

impl Placed {
    /// Where the next record begins, in bytes from the beginning of the file.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.place.offset + seglog::HEADER_BYTES + self.place.payload_bytes as u64
    }
}

/// What a block's body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyState {
    /// That of the index.
    Sound(Placed),
    /// Not readable where the index says.
    Damaged(Placed, String),
    /// Whole, and not what the rows of the index say.
    Differs(String),
    /// In a file that is absent.
    Absent(Placed),
    /// The index does not say where it is.
    Unplaced(String),
}

/// A record that could be of the chain.
struct Found {
    record: seglog::Height,
    link: Link,
}

/// What an index is to be made of.
struct Wanted {
    found: Vec<Found>,
    /// Where it began; `None` for the lowest record.
    tail: Option<Height>,
    /// Its tip; `None` for the last record.
    tip: Option<Height>,
}

/// Heights that are tried in search of the highest that the index can be made up to.
const TRIED_MAX: usize = 16;

/// The error of a log inside a walk.
struct Stopped(BlockError);

impl From<LogError> for Stopped {
    fn from(error: LogError) -> Self {
        Self(of_log(error).into())
    }
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Opens blocks for tools: to be read, whatever state log and index are in.
    ///
    /// # Errors
    /// `Store` with `UnknownTable`, `Io`.
    pub fn open_for_tools(store: Arc<S>, tools: &Tools) -> BlockResult<Self> {
        let (index, places) = Self::resolve(store.catalogue())?;
        Ok(Self {
            store,
            index,
            places,
            reader: tools.reader().map_err(of_log)?,
            writing: None,
        })
    }

    /// The rows of the index.
    #[must_use]
    pub const fn index(&self) -> &BlockIndex {
        &self.index
    }

    /// Where the index says that the record of a block is.
    ///
    /// # Errors
    /// `Store`; `Corruption` for a row that is none.
    pub fn placed<R: Reader>(&self, reader: &R, height: Height) -> Result<Option<Placed>> {
        let at = self.place(reader, height)?;
        Ok(at.map(|BodyPlace { record, place, .. }| Placed { record, place }))
    }

    /// The highest height of which any row is there: the tip that was committed last.
    ///
    /// # Errors
    /// Of the store.
    pub fn known_tip<R: Reader>(&self, reader: &R) -> Result<Option<Height>> {
        let placed = self.placed_tip(reader)?;
        let known = self.index.known_heights(reader)?;
        Ok(placed.max(known.map(|(_, tip)| tip)))
    }

    /// The highest height that has a place.
    ///
    /// # Errors
    /// Of the store.
    pub fn placed_tip<R: Reader>(&self, reader: &R) -> Result<Option<Height>> {
        let mut cursor = reader.cursor(self.places, KeyRange::all())?;
        let last = cursor.last()?.and_then(|row| row.key.try_into().ok());
        Ok(last.map(|key| Height::new(u64::from_be_bytes(key))))
    }

    /// The lowest and the highest height that has an entry or a place.
    pub(crate) fn row_heights<R: Reader>(&self, reader: &R) -> Result<Option<(Height, Height)>> {
        let mut cursor = reader.cursor(self.places, KeyRange::all())?;
        let height = |key: &[u8]| key.try_into().ok().map(u64::from_be_bytes).map(Height::new);
        let first = cursor.first()?.and_then(|row| height(row.key));
        let last = cursor.last()?.and_then(|row| height(row.key));
        Ok(match (first.zip(last), self.index.entry_heights(reader)?) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (places, entries) => places.or(entries),
        })
    }

    /// Rows of places, to be compared with the number of blocks. Cost: a count.
    ///
    /// # Errors
    /// Of the store.
    pub fn place_rows<R: Reader>(&self, reader: &R) -> Result<u64> {
        storage_api::ReaderExt::count_exact(reader, self.places)
    }

    /// Compares the record of a block with what the index says of it.
    ///
    /// # Errors
    /// `Store`; what does not agree is an answer.
    pub fn check_body<R: Reader>(
        &self,
        reader: &R,
        info: &BlockInfo,
        buffer: &mut Vec<u8>,
    ) -> BlockResult<BodyState> {
        let at = match self.known_place(reader, info.height) {
            Err(error) if error.is_corruption() => {
                return Ok(BodyState::Unplaced(error.to_string()));
            }
            at => at?,
        };
        let placed = Placed {
            record: at.record,
            place: at.place,
        };
        let read = match self.reader.read(at.record, &at.place, buffer) {
            Ok(read) => read,
            Err(LogError::Absent { .. }) => return Ok(BodyState::Absent(placed)),
            Err(error @ (LogError::Damaged { .. } | LogError::Foreign { .. })) => {
                return Ok(BodyState::Damaged(placed, error.to_string()));
            }
            Err(error) => return Err(of_body(info.height, error)),
        };
        let recorded = match layout::decode_record(read) {
            Err(error) if error.is_corruption() => {
                return Ok(BodyState::Damaged(placed, error.to_string()));
            }
            recorded => recorded?,
        };
        let tx_ids = match self.index.tx_ids(reader, info.height) {
            Err(BlockError::Store(error)) if error.is_corruption() => None,
            tx_ids => Some(tx_ids?),
        };
        let what = if recorded.info != *info {
            "its entry and its record are of different blocks"
        } else if u64::from(at.body.bytes) != info.body_bytes
            || seglog::checksum(recorded.body) != at.body.checksum
        {
            "its place is not that of its body"
        } else if tx_ids.as_ref() != Some(&recorded.tx_ids) {
            "its transactions are not those of its record"
        } else {
            return Ok(BodyState::Sound(placed));
        };
        Ok(BodyState::Differs(what.to_owned()))
    }

    /// Makes the index again from whatever sound records there are, in the caller's transaction: up
    /// to `tip`, else up to the tip that was committed, else up to the last record. Where the lost
    /// index began is told by its row of totals; without that, the lowest record begins it.
    ///
    /// # Errors
    /// `OutOfRange` for a `tip` above or below every record; `Store` with `Corruption` where the
    /// chain has a gap or does not reach the tip; nothing may be committed then.
    pub fn rebuild_to<W: WriteTxn>(
        &self,
        txn: &mut W,
        tools: &Tools,
        tip: Option<Height>,
    ) -> BlockResult<Rebuilt> {
        let Wanted {
            found,
            tail,
            tip: known_tip,
        } = self.wanted(txn, tools)?;
        let heights = found.iter().map(|found| Height::new(found.link.height));
        let ends = heights.clone().min().zip(heights.max());
        if let Some((asked, (lowest, highest))) = tip.zip(ends) {
            // Records of blocks that were pruned may still be there.
            let lowest = tail.map_or(lowest, |tail| tail.max(lowest));
            if asked < lowest || asked > highest {
                return Err(BlockError::OutOfRange {
                    asked,
                    tail: lowest,
                    tip: highest,
                });
            }
        }
        let wanted = tip.or(known_tip);
        let hint = self.hint(txn, wanted);
        let Some(last) = last_of(&found, wanted, hint) else {
            let wanted = wanted.unwrap_or_default();
            let of_index = match tip {
                Some(_) => "",
                None => ", which the index had as its tip",
            };
            let highest = ends.map_or_else(
                || "there is none at all".to_owned(),
                |(_, highest)| format!("the highest is of block {highest}"),
            );
            let what = format!("no sound record of block {wanted}{of_index}; {highest}");
            return Err(Error::corruption("the segments", what).into());
        };
        let is_in_chain = chain_to(&found, last, tail)?;
        self.index.clear(txn)?;
        txn.delete_range(self.places, &KeyRange::all())?;
        self.append_records(txn, tools, &is_in_chain)
    }

    /// The highest block up to which [`Self::rebuild_to`] makes the index, if there is one: where
    /// it fails, this is what it can be asked for. Cost: a read of everything, and some 60 bytes
    /// of memory for each record.
    ///
    /// # Errors
    /// `Store`.
    pub fn reach<R: Reader>(&self, reader: &R, tools: &Tools) -> BlockResult<Option<Height>> {
        let Wanted { found, tail, .. } = self.wanted(reader, tools)?;
        let lowest = found.iter().map(|found| found.link.height).min();
        let begin = tail.map_or(lowest, |tail| Some(tail.get()));
        let (mut linked, mut ends) = (BTreeSet::new(), BTreeMap::new());
        for Found { link, .. } in &found {
            let below = link.height.checked_sub(1).map(|it| (it, link.parent));
            let is_linked =
                begin == Some(link.height) || below.is_some_and(|below| linked.contains(&below));
            if is_linked {
                linked.insert((link.height, link.hash));
            }
            // The last record of a height is the one that is taken, unless its place says another.
            ends.insert(link.height, is_linked);
        }
        let reached = ends.into_iter().rev().filter(|(_, is_linked)| *is_linked);
        let mut reached = reached.map(|(height, _)| Height::new(height));
        Ok(reached.by_ref().take(TRIED_MAX).find(|height| {
            let last = last_of(&found, Some(*height), self.hint(reader, Some(*height)));
            last.is_some_and(|last| chain_to(&found, last, tail).is_ok())
        }))
    }

    /// Where the index says that the record of a height is, if it can be asked.
    fn hint<R: Reader>(&self, reader: &R, height: Option<Height>) -> Option<Placed> {
        self.placed(reader, height?).ok().flatten()
    }

    /// What the index is to be made of, as far as records and what is left of it tell.
    fn wanted<R: Reader>(&self, reader: &R, tools: &Tools) -> BlockResult<Wanted> {
        let known_tip = self.known_tip(reader)?;
        let rows = self.row_heights(reader)?;
        let tail = match self.index.totals(reader) {
            // Only the row of totals tells the tail: the lowest of some rows is that of what is
            // left.
            Ok(totals) if totals.blocks > 0 => {
                self.index.known_heights(reader)?.map(|(tail, _)| tail)
            }
            _ => None,
        };
        let Search {
            found,
            begins_damaged,
            is_damaged,
        } = find_records(tools)?;
        if begins_damaged && tail.is_none() && !found.is_empty() {
            let what =
                "the log begins with damage, and nothing says with which block the index began";
            return Err(Error::corruption("the segments", what).into());
        }
        let is_there = |height: Height| found.iter().any(|it| it.link.height == height.get());
        // A row of totals that names heights of which no whole log and no other row knows lies.
        let believed = |said: Option<Height>, by_rows: Option<Height>| match (said, by_rows) {
            (Some(said), Some(by_rows)) if !is_damaged && !is_there(said) => Some(by_rows),
            (said, _) => said,
        };
        let tip = believed(known_tip, rows.map(|(_, last)| last));
        let tail = believed(tail, rows.map(|(first, _)| first));
        Ok(Wanted { found, tail, tip })
    }

    fn append_records<W: WriteTxn>(
        &self,
        txn: &mut W,
        tools: &Tools,
        is_in_chain: &[bool],
    ) -> BlockResult<Rebuilt> {
        let mut rebuilt = Rebuilt::default();
        let mut at = 0;
        each_record(tools, &mut |(record, place), payload| {
            let is_wanted = is_in_chain.get(at).copied().unwrap_or_default();
            at += 1;
            rebuilt.records += 1;
            if !is_wanted {
                rebuilt.passed_over += 1;
                return Ok(());
            }
            let recorded = layout::decode_record(payload)?;
            let body = seglog::Prefix {
                bytes: u32::try_from(recorded.body.len()).unwrap_or(u32::MAX),
                checksum: seglog::checksum(recorded.body),
            };
            self.index.append(txn, &recorded.as_block())?;
            let key = BlockIndex::key(recorded.info.height);
            let at = BodyPlace {
                record,
                place,
                body,
            };
            txn.put(self.places, &key, &layout::encode_place(&at))?;
            rebuilt.blocks += 1;
            Ok(())
        })?;
        Ok(rebuilt)
    }
}

/// Which records are in the chain that ends with this one.
fn chain_to(found: &[Found], last: Option<usize>, tail: Option<Height>) -> BlockResult<Vec<bool>> {
    let mut is_in_chain = vec![false; found.len()];
    let Some(last) = last else {
        return Ok(is_in_chain);
    };
    let mut wanted: Option<(u64, u64)> = None;
    let mut lowest = 0;
    for (at, Found { link, .. }) in found.iter().enumerate().take(last + 1).rev() {
        if wanted.is_some_and(|wanted| wanted != (link.height, link.hash)) {
            continue;
        }
        is_in_chain[at] = true;
        lowest = link.height;
        if tail.is_some_and(|tail| tail.get() == link.height) {
            break;
        }
        match link.height.checked_sub(1) {
            Some(below) => wanted = Some((below, link.parent)),
            None => break,
        }
    }
    let begins = found.iter().map(|found| found.link.height).min();
    let begins = tail.map_or(begins, |tail| Some(tail.get()));
    if begins.is_some_and(|begins| begins < lowest) {
        let what = format!(
            "no sound record of the block below {lowest}, and blocks from {} on are wanted",
            begins.unwrap_or_default()
        );
        return Err(Error::corruption("the segments", what).into());
    }
    Ok(is_in_chain)
}

/// The record that ends the chain: that of the place, else the last one of the height, else the
/// last; `None` where the height has none.
fn last_of(found: &[Found], wanted: Option<Height>, hint: Option<Placed>) -> Option<Option<usize>> {
    let Some(wanted) = wanted else {
        return Some(found.len().checked_sub(1));
    };
    let is_of_height = |found: &Found| found.link.height == wanted.get();
    let by_place = hint.and_then(|hint| {
        let at = |found: &Found| found.record == hint.record && is_of_height(found);
        found.iter().position(at)
    });
    by_place
        .or_else(|| found.iter().rposition(is_of_height))
        .map(Some)
}

/// What a walk through all segments meets.
enum Met<'m> {
    Record((seglog::Height, Place), &'m [u8]),
    /// Something that is no record, or a whole file that is no segment.
    Damage,
}

/// Goes through all segments in the order of the log.
fn walk_all(tools: &Tools, take: &mut dyn FnMut(Met<'_>) -> BlockResult<()>) -> BlockResult<()> {
    let mut files: Vec<(SegmentNumber, bool)> = Vec::new();
    for file in tools.files().map_err(of_log)? {
        match file.kind {
            SeenKind::Segment { number, .. } => files.push((number, true)),
            SeenKind::Bad { number, .. } => files.push((number, false)),
            _ => {}
        }
    }
    files.sort_unstable();
    for (number, is_segment) in files {
        if !is_segment {
            take(Met::Damage)?;
            continue;
        }
        let walked = tools.walk::<Stopped>(number, &mut |part| {
            let met = match part {
                Part::Record(record, place, payload) => Met::Record((record, place), payload),
                Part::Damage(..) => Met::Damage,
                Part::Nothing(..) => return Ok(()),
            };
            take(met).map_err(Stopped)
        });
        walked.map_err(|Stopped(error)| error)?;
    }
    Ok(())
}

/// What takes the payloads of sound records, each with its number and place.
type TakePayload<'t> = dyn FnMut((seglog::Height, Place), &[u8]) -> BlockResult<()> + 't;

/// Hands on every sound record, in the order of the log.
fn each_record(tools: &Tools, take: &mut TakePayload<'_>) -> BlockResult<()> {
    walk_all(tools, &mut |met| match met {
        Met::Record(at, payload) => take(at, payload),
        Met::Damage => Ok(()),
    })
}

/// What is in a log.
#[derive(Default)]
struct Search {
    /// Every sound record.
    found: Vec<Found>,
    /// There is damage before the first.
    begins_damaged: bool,
    /// There is damage anywhere.
    is_damaged: bool,
}

fn find_records(tools: &Tools) -> BlockResult<Search> {
    let mut search = Search::default();
    walk_all(tools, &mut |met| {
        match met {
            Met::Record((record, _), payload) => {
                let recorded = layout::decode_record(payload)?;
                let link = Link::of(&recorded.info);
                search.found.push(Found { record, link });
            }
            Met::Damage => {
                search.begins_damaged |= search.found.is_empty();
                search.is_damaged = true;
            }
        }
        Ok(())
    })?;
    Ok(search)
}
