//! Cutting: truncating at the tip, pruning at the tail.
//!
//! Invariants: segments go one at a time, at the tip the newest first and at the tail the oldest
//! first, each durably before the next, so that a crash at any point leaves a log without a gap;
//! both can be done again; a file that goes is kept as a spare for the next segment where space is
//! written in advance, because bytes that are there already make syncs cheap. What a spare holds is
//! of another segment and never checks.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::disk::Access;
use crate::error::{LogError, LogResult};
use crate::log::{Log, Tip, draw};
use crate::pack::make_plain;
use crate::segment::{SPARE, SegmentNumber};
use crate::walk::{Link, Segment, Step, Walk};
use crate::{Height, SEGMENT_HEADER_BYTES};

impl Log {
    fn check_range(&self, asked: Height) -> LogResult<()> {
        let (first, next) = (self.first(), self.next);
        if asked < first || asked > next {
            return Err(LogError::OutOfRange { asked, first, next });
        }
        Ok(())
    }

    /// The newest segment but this one.
    fn segment_before(&self, number: SegmentNumber) -> Option<SegmentNumber> {
        self.shared.known(|known| {
            known
                .firsts
                .range(..number)
                .next_back()
                .map(|(number, _)| *number)
        })
    }

    /// Cuts at the tip, durably: `next` is the height that comes next afterwards. Cost: a read of
    /// the segment in which the cut is, and a removal for each segment behind it.
    ///
    /// # Errors
    /// `OutOfRange`, `Poisoned`; `Full` where what gathered and stays finds no space (nothing was
    /// cut); `Damaged` and `Absent` of the segment of the cut, `Io`: a failure on the way poisons.
    pub fn truncate(&mut self, next: Height) -> LogResult<()> {
        self.check_writable()?;
        self.check_range(next)?;
        if next == self.next {
            return Ok(());
        }
        if next <= self.gathered_from {
            self.forget_gathered();
        } else {
            // A disk that is full is told before anything is cut.
            self.flush()?;
        }
        self.cut_begins_or_ends();
        self.cut_tip(next).map_err(|error| self.poison(error))?;
        self.cut_begins_or_ends();
        Ok(())
    }

    fn cut_tip(&mut self, next: Height) -> LogResult<()> {
        self.nonce = draw();
        // What is left must be durable before what follows it goes.
        self.sync()?;
        let mut number = self.segment();
        loop {
            let first = self
                .shared
                .known(|known| known.firsts.get(&number).copied());
            match self.segment_before(number) {
                Some(before) if first.is_none_or(|first| first >= next) => {
                    self.drop_segment(number)?;
                    number = before;
                }
                _ => break,
            }
        }
        let segment = if number == self.segment() {
            self.tip.segment.clone()
        } else {
            self.open_to_cut(number)?
        };
        let mut walk = Walk::new(segment.clone());
        let mut counted_bytes = 0;
        while walk.next < next {
            match walk.step()? {
                Step::Record(place, _) => {
                    counted_bytes += self
                        .options
                        .counted_bytes(place.payload_bytes, walk.payload());
                }
                Step::End(what) => return Err(segment.damaged(walk.offset, what)),
            }
        }
        let Link::To(link) = walk.link else {
            return Err(segment.damaged(walk.offset, "a walk from nowhere"));
        };
        let end = walk.offset;
        let cut = segment.file.set_len(end).and_then(|()| segment.file.sync());
        cut.map_err(|error| segment.io(error))?;
        self.shared.change(|known| {
            known.open.insert(number, Arc::new(segment.clone()));
        });
        self.tip = Tip {
            segment,
            end,
            file_bytes: end,
            counted_bytes,
            link,
        };
        self.next = next;
        Ok(())
    }

    /// Whoever is packing a segment gives up, and nobody begins to before the cut is whole.
    fn cut_begins_or_ends(&self) {
        let _names = self.shared.names();
        self.shared.cuts.fetch_add(1, Ordering::AcqRel);
    }

    fn open_to_cut(&self, number: SegmentNumber) -> LogResult<Segment> {
        match self.shared.open_segment(number, Access::Write) {
            Ok(segment) if segment.is_packed() => {
                // Whoever is packing another segment writes to the file that is needed here, and
                // gives up at its next frame or record.
                let packing = self.shared.packing.lock();
                let _packing = packing.unwrap_or_else(PoisonError::into_inner);
                let _names = self.shared.names();
                make_plain(&self.shared, number)?;
                self.shared.open_segment(number, Access::Write)
            }
            opened => opened,
        }
    }

    /// Cuts at the tail, durably: segments in which every record is below `tail` go. The segment
    /// that is written to stays.
    ///
    /// # Errors
    /// `OutOfRange`, `Poisoned`, `Io`, which poisons.
    pub fn prune(&mut self, tail: Height) -> LogResult<()> {
        self.check_writable()?;
        self.check_range(tail)?;
        self.cut_begins_or_ends();
        while let Some(oldest) = self.shared.known(|known| {
            let mut segments = known.firsts.iter();
            let (oldest, _) = segments.next()?;
            let (_, second) = segments.next()?;
            (*second <= tail).then_some(*oldest)
        }) {
            let dropped = self.drop_segment(oldest);
            dropped.map_err(|error| self.poison(error))?;
        }
        self.cut_begins_or_ends();
        Ok(())
    }

    /// Takes a segment's file away, durably.
    fn drop_segment(&self, number: SegmentNumber) -> LogResult<()> {
        let shared = &self.shared;
        let name = number.file_name();
        let held = shared.change(|known| {
            known.firsts.remove(&number);
            known.open.remove(&number)
        });
        let segment = match held {
            Some(segment) => Some(segment),
            None => match shared.open_segment(number, Access::Read) {
                // Somebody archived it since the log was opened.
                Err(LogError::Absent { .. }) => None,
                opened => Some(Arc::new(opened?)),
            },
        };
        let bytes = segment.map(|segment| segment.len()).transpose()?;
        let spare_bytes_max = self.options.segment_bytes_max.saturating_mul(2);
        let spare_bytes_max = spare_bytes_max.saturating_add(SEGMENT_HEADER_BYTES);
        let is_short = bytes.is_some_and(|bytes| bytes <= spare_bytes_max);
        let is_spare = self.options.advance_bytes > 0 && is_short;
        let _names = shared.names();
        // Packing that failed on the way leaves both files, of which the packed one would come back
        // without the plain one.
        let or_gone = |gone: io::Result<()>| match gone {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            gone => gone,
        };
        let gone = or_gone(shared.disk.remove(&number.packed_name())).and_then(|()| {
            or_gone(if is_spare {
                shared.disk.rename(&name, SPARE)
            } else {
                shared.disk.remove(&name)
            })
        });
        let gone = gone.and_then(|()| shared.disk.sync_names());
        gone.map_err(|error| shared.io(&name, error))
    }
}
