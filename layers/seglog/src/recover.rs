//! Opening: what a crash left behind is put in order, damage is told and left alone.
//!
//! Invariants: every record that was synced is there afterwards, or opening fails and says where;
//! what was appended and not synced is there whole, up to some record, or not at all; opening again
//! after a crash inside opening comes to the same. A record that does not check ends the log only
//! if no later one, nor the caller, says that it was durable: otherwise it is damage, which is
//! never cut here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ahead::AHEAD;
use crate::disk::{Access, Disk};
use crate::error::{LogError, LogResult};
use crate::log::{Log, LogOptions, Shared, Tip, begin_segment};
use crate::pack::{PACKING, make_plain};
use crate::read::Reader;
use crate::segment::SegmentNumber;
use crate::walk::{Behind, Link, NOTHING, Segment, Step, Walk};
use crate::{ChainTag, Height, SEGMENT_HEADER_BYTES};

/// Most segments that are listed as absent: a header can say any number.
const ABSENT_MAX: usize = 10_000;

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Why the last record ends the log, if something lies behind it: a record that was not synced,
    /// or what a recycled file still holds.
    pub cut: Option<Cut>,
    /// Segments between others whose files are absent; the first 10,000 of them.
    pub absent: Vec<SegmentNumber>,
}

/// Where the tip was found to end before its file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: SegmentNumber,
    /// Where the next record goes.
    pub offset: u64,
    /// What is wrong with what lies there.
    pub what: &'static str,
}

/// The segments in a folder, their headers checked.
fn look(shared: &Arc<Shared>, access: Access) -> LogResult<(Option<Segment>, Recovered)> {
    let names = shared.disk.names().map_err(|error| shared.io("", error))?;
    let mut numbers: Vec<SegmentNumber> = names
        .iter()
        .filter_map(|name| SegmentNumber::of_file_name(name))
        .collect();
    numbers.sort_unstable();
    // A segment is plain and packed after a crash between the two.
    numbers.dedup();
    let mut recovered = Recovered::default();
    let mut firsts = BTreeMap::new();
    let mut last: Option<Segment> = None;
    for number in numbers.iter().copied() {
        let is_last = Some(&number) == numbers.last();
        let is_plain = || shared.disk.open(&number.file_name(), Access::Read).is_ok();
        if is_last && access != Access::Read && !is_plain() {
            // Whoever cut up to here did not come to making it plain.
            make_plain(shared, number)?;
        }
        let access = if is_last { access } else { Access::Read };
        let segment = shared.open_segment(number, access)?;
        if let Some(before) = &last {
            let mut absent = before.header.number.next();
            while absent < number && recovered.absent.len() < ABSENT_MAX {
                recovered.absent.push(absent);
                absent = absent.next();
            }
            if segment.header.first <= before.header.first {
                let what = "the segment begins below the one before it";
                return Err(segment.damaged(0, what));
            }
        }
        firsts.insert(number, segment.header.first);
        last = Some(segment);
    }
    shared.change(|known| {
        known.firsts = firsts;
        if let Some(last) = &last {
            known
                .open
                .insert(last.header.number, Arc::new(last.clone()));
        }
    });
    Ok((last, recovered))
}

/// The end of the segment that is written to.
struct End {
    walk: Walk,
    /// Bytes of payloads that count towards the limit.
    counted_bytes: u64,
    what: &'static str,
    behind: Behind,
}

/// Walks to the end of the last segment.
fn find_end(segment: Segment, options: &LogOptions) -> LogResult<End> {
    let mut walk = Walk::new(segment);
    let mut counted_bytes = 0;
    let (what, behind) = walk.go_to_end(&mut |place, payload| {
        counted_bytes += options.counted_bytes(place.payload_bytes, payload);
    })?;
    if behind.proves_damage {
        return Err(walk.segment.damaged(walk.offset, what));
    }
    if walk.next < options.durable_until {
        return Err(LogError::Short {
            place: walk.segment.place.to_string(),
            segment: walk.segment.header.number,
            offset: walk.offset,
            what,
            next: walk.next,
            durable_until: options.durable_until,
        });
    }
    Ok(End {
        walk,
        counted_bytes,
        what,
        behind,
    })
}

/// Removes what was not finished: space in advance, a segment being packed, and the packed form of
/// a segment that is still plain; that one stays beside a sealed segment that is damaged, of which
/// it may be the only sound copy.
fn remove_unfinished(shared: &Shared, last: Option<SegmentNumber>) -> LogResult<()> {
    let names = shared.disk.names().map_err(|error| shared.io("", error))?;
    for name in &names {
        let number = SegmentNumber::of_file_name(name);
        let number = number.filter(|number| {
            let plain = number.file_name();
            plain != *name && names.contains(&plain)
        });
        let is_useless = match number {
            Some(number) => Some(number) == last || is_whole(shared, number)?,
            None => [AHEAD, PACKING].contains(&name.as_str()),
        };
        if is_useless {
            let removed = shared.disk.remove(name);
            removed.map_err(|error| shared.io(name, error))?;
        }
    }
    Ok(())
}

/// Whether a sealed segment is records up to its end. Cost: a read of its file.
fn is_whole(shared: &Shared, number: SegmentNumber) -> LogResult<bool> {
    let segment = shared.open_segment(number, Access::Read)?;
    let mut walk = Walk::new(segment);
    while let Step::Record(..) = walk.step()? {}
    walk.is_at_end()
}

impl Log {
    /// Opens the log in a folder, or makes it. Cost: a read of every segment's header and of the
    /// whole last segment, and two syncs.
    ///
    /// # Errors
    /// `Damaged`, `Short`, `Foreign`, `TooNew`, `Full`, `Io`; nothing was cut then.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> LogResult<(Self, Recovered)> {
        let shared = Arc::new(Shared::new(disk, options.chain));
        let (last, mut recovered) = look(&shared, Access::Write)?;
        let Some(last) = last else {
            remove_unfinished(&shared, None)?;
            let tip = begin_segment(&shared, SegmentNumber::default(), options.first)?;
            return Ok((Self::new(shared, options, tip, options.first), recovered));
        };
        let End {
            walk,
            counted_bytes,
            what,
            behind,
        } = find_end(last, &options)?;
        let Walk {
            segment,
            offset: end,
            next,
            link: Link::To(link),
            ..
        } = walk
        else {
            return Err(LogError::Poisoned {
                reason: "a walk from nowhere".to_owned(),
            });
        };
        let file_bytes = segment.len()?;
        if what != NOTHING && end < file_bytes {
            recovered.cut = Some(Cut {
                segment: segment.header.number,
                offset: end,
                what,
            });
        }
        if behind.is_there {
            // Whole records behind a torn one must not be met by whoever walks here later.
            let cut = segment.file.set_len(end);
            cut.map_err(|error| segment.io(error))?;
        }
        // What a killed process wrote may not be durable yet, nor the name of its last segment; the
        // records to come say that everything before them is.
        let synced = segment.file.sync();
        synced.map_err(|error| segment.io(error))?;
        remove_unfinished(&shared, Some(segment.header.number))?;
        let synced = shared.disk.sync_names();
        synced.map_err(|error| shared.io("", error))?;
        let file_bytes = if behind.is_there { end } else { file_bytes };
        let tip = Tip {
            segment,
            end,
            file_bytes: file_bytes.max(SEGMENT_HEADER_BYTES),
            counted_bytes,
            link,
        };
        Ok((Self::new(shared, options, tip, next), recovered))
    }
}

impl Reader {
    /// Opens the log in a folder to be read only: writes nothing. Also gives the height that comes
    /// next, as far as the last segment checks; `None` in a folder without segments.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open(
        disk: Arc<dyn Disk>,
        chain: ChainTag,
    ) -> LogResult<(Self, Option<Height>, Recovered)> {
        let shared = Arc::new(Shared::new(disk, chain));
        let (last, mut recovered) = look(&shared, Access::Read)?;
        let next = match last {
            None => None,
            Some(last) => {
                let end = find_end(last, &LogOptions::default())?;
                if end.what != NOTHING && end.walk.offset < end.walk.segment.len()? {
                    recovered.cut = Some(Cut {
                        segment: end.walk.segment.header.number,
                        offset: end.walk.offset,
                        what: end.what,
                    });
                }
                Some(end.walk.next)
            }
        };
        Ok((Self::new(shared), next, recovered))
    }
}
