//! Blocks in a row, upwards from a height: lent one after the other, or iterated over, read on the
//! caller's thread or ahead by others.
//!
//! | file | what is in it |
//! |---|---|
//! | here | runs of bodies that lie one behind the other; lending them |
//! | `iter` | the iterator, and threads that read ahead for it |
//!
//! Invariants: bodies come in the order of heights, each compared with its checksum; what comes
//! before a body that is damaged or absent is given; the index is read on the caller's thread, in
//! the caller's view. Bodies that lie one behind the other are read together, a few at first and
//! [`RUN_BYTES_MAX`] in the end, so that who stops early has not read much for nothing.

mod iter;

use std::ops::ControlFlow;

use seglog::{LogResult, Reader as LogReader, Wanted};
use storage_api::blocks::{BlockIndex, BlockInfo, BlockQuery, BlockResult, Height};
use storage_api::{Cursor, Error, KeyRange, KvStore, Reader};

use crate::error::of_body;
use crate::layout::{self, BodyPlace, PLACES};
use crate::store::SegmentBlocks;

pub use iter::{Block, BlockIter, ReadAhead};

/// Bytes of bodies that are read together at first.
const RUN_BYTES: u64 = 32 << 10;

/// And in the end: few enough to stay in the processor's cache until they are compared.
const RUN_BYTES_MAX: u64 = 256 << 10;

/// What looks at blocks.
type Visit<'v> = dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()> + 'v;

/// Blocks whose bodies are read together.
#[derive(Debug, Default)]
struct Run {
    infos: Vec<BlockInfo>,
    wanted: Vec<Wanted>,
    bytes: u64,
}

impl Run {
    /// Whether this body lies behind the others, and there is room for it.
    fn has_room_for(&self, at: &Wanted, bytes_max: u64) -> bool {
        let Some(last) = self.wanted.last() else {
            return true;
        };
        at.follows(&last.place) && self.bytes + u64::from(at.place.payload_bytes) <= bytes_max
    }

    fn push(&mut self, info: &BlockInfo, at: Wanted) {
        self.infos.push(*info);
        self.wanted.push(at);
        self.bytes += u64::from(at.place.payload_bytes);
    }

    fn clear(&mut self) {
        self.infos.clear();
        self.wanted.clear();
        self.bytes = 0;
    }

    /// Reads the bodies and lends them.
    fn read(
        &self,
        reader: &LogReader,
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(&BlockInfo, &[u8]),
    ) -> BlockResult<()> {
        let mut infos = self.infos.iter();
        let mut next = infos.next();
        let read: LogResult<()> = reader.read_run(&self.wanted, buffer, &mut |body| {
            if let Some(info) = next {
                take(info, body);
            }
            next = infos.next();
        });
        let height = next.map_or(Height::default(), |info| info.height);
        read.map_err(|error| of_body(height, error))
    }
}

fn wanted(at: &BodyPlace) -> Wanted {
    Wanted {
        height: at.record,
        place: at.place,
        prefix: at.body,
    }
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Goes over index and places together.
    fn for_each_place<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        take: &mut dyn FnMut(&BlockInfo, Wanted) -> BlockResult<ControlFlow<()>>,
    ) -> BlockResult<Option<Height>> {
        let range = KeyRange::from_key(&BlockIndex::key(query.start));
        let mut places = reader.cursor(self.places, range)?;
        self.index.range(reader, query, &mut |info| {
            let missing = || {
                let what = format!("height {} and its place do not match", info.height);
                Error::corruption(format!("table {}", PLACES.name()), what)
            };
            let row = places.next()?;
            let row = row.filter(|row| row.key == BlockIndex::key(info.height));
            let at = layout::decode_place(row.ok_or_else(missing)?.value)?;
            if u64::from(at.body.bytes) != info.body_bytes {
                return Err(missing().into());
            }
            take(info, wanted(&at))
        })
    }

    /// See [`storage_api::blocks::BlockStore::range`].
    pub(crate) fn visit_range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut Visit<'_>,
    ) -> BlockResult<Option<Height>> {
        let (mut run, mut buffer) = (Run::default(), Vec::new());
        let mut bytes_max = RUN_BYTES;
        // The block at which the visitor said that it was the last one.
        let mut last: Option<Height> = None;
        let mut lend = |run: &mut Run, last: &mut Option<Height>| {
            let lent = run.read(&self.reader, &mut buffer, &mut |info, body| {
                if last.is_none() && visit(info, body).is_break() {
                    *last = Some(info.height);
                }
            });
            run.clear();
            // Who stopped does not mind what comes behind.
            if last.is_some() { Ok(()) } else { lent }
        };
        let next = self.for_each_place(reader, query, &mut |info, at| {
            if !run.has_room_for(&at, bytes_max) {
                lend(&mut run, &mut last)?;
                bytes_max = RUN_BYTES_MAX.min(2 * bytes_max);
                if last.is_some() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            run.push(info, at);
            Ok(ControlFlow::Continue(()))
        });
        if last.is_none() {
            // What was gathered before an error is given before it.
            lend(&mut run, &mut last)?;
        }
        let Some(last) = last else {
            return next;
        };
        let tip = self.index.tip(reader)?;
        let is_more = tip.is_some_and(|tip| tip.height > last);
        Ok(is_more.then(|| last.next()))
    }
}
