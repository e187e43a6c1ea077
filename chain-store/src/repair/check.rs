//! Reading everything of the blocks of a store, and saying what is damaged and which blocks that
//! is.
//!
//! Invariants: nothing is written; damage never ends the check of what lies behind it; a block is
//! called sound when its rows agree with each other, with the block below it and with its body.
//! Cost: two reads of every segment, or one of every body that is a row.

use std::sync::Arc;

use ::blocks::{BodyState, Placed, SegmentBlocks, of_log};
use seglog::tools::{Part, SeenFile, SeenKind, Tools};
use seglog::{LogError, SegmentNumber};
use storage_api::KvStore;
use storage_api::blocks::{BlockIndex, BlockInfo, BlockResult, BlockStore, Height, KvBlocks};

use super::disk::Mapped;
use super::names::Names;
use super::{Beyond, Checked, Finding, Kind};
use crate::any::{AnyReadTxn, AnyStore};
use crate::bodies::{Bodies, chain_tag, segments_of};

/// Findings that are kept apart.
const FINDINGS_MAX: usize = 1_000;

/// Checks the blocks of a store that was opened to read or to write, reporting blocks read so far.
///
/// # Errors
/// `Store` for failures of the system; damage is an answer.
pub fn check(store: &Arc<AnyStore>, progress: &mut dyn FnMut(u64)) -> BlockResult<Checked> {
    match Bodies::of(store.catalogue())? {
        Some(Bodies::Segments) => Ok(Look::take(store, progress)?.checked),
        _ => check_rows(store, progress),
    }
}

/// Checks bodies that are rows.
fn check_rows(store: &Arc<AnyStore>, progress: &mut dyn FnMut(u64)) -> BlockResult<Checked> {
    let blocks = KvBlocks::resolve(store.catalogue())?;
    let index = BlockIndex::resolve(store.catalogue())?;
    let view = store.begin_read()?;
    let mut checked = Checked {
        bodies: Bodies::Store.as_str(),
        ..Checked::default()
    };
    let mut body = |info: &BlockInfo, findings: &mut Vec<Finding>| {
        let mut bytes = None;
        let read = blocks.with_body(&view, info.height, &mut |body| bytes = Some(body.len()));
        let what = match read {
            Err(storage_api::blocks::BlockError::Store(error)) if !error.is_corruption() => {
                return Err(error.into());
            }
            Err(error) => error.to_string(),
            Ok(_) if bytes.map(|bytes| bytes as u64) == Some(info.body_bytes) => return Ok(true),
            Ok(_) => "its body is not there, or not as long as its entry says".to_owned(),
        };
        note(findings, Finding::new(Kind::Body, what), Some(info.height));
        Ok(false)
    };
    check_index(&index, &view, &mut checked, &mut body, progress)?;
    Ok(checked)
}

/// What looks at the body of a block whose rows were read, and says whether it is sound.
type CheckBody<'b> = dyn FnMut(&BlockInfo, &mut Vec<Finding>) -> BlockResult<bool> + 'b;

/// Adds a finding, or its block to the one that says the same of the same place. Past the limit the
/// last finding takes all blocks, so that damage everywhere does not fill the memory.
fn note(findings: &mut Vec<Finding>, finding: Finding, height: Option<Height>) -> usize {
    let is_same = |other: &Finding| {
        (other.kind, &other.what) == (finding.kind, &finding.what)
            && (other.segment, other.offset) == (finding.segment, finding.offset)
    };
    // Blocks that have the same fault mostly come in a row.
    let recent = findings.len().saturating_sub(64);
    let known = findings.iter().skip(recent).position(is_same);
    let at = match known {
        Some(at) => recent + at,
        None if findings.len() >= FINDINGS_MAX => findings.len() - 1,
        None => {
            findings.push(finding);
            findings.len() - 1
        }
    };
    if let Some((known, height)) = findings.get_mut(at).zip(height) {
        known.add(height);
    }
    at
}

/// Checks the rows of every block, and its body by `body`.
fn check_index(
    index: &BlockIndex,
    view: &AnyReadTxn,
    checked: &mut Checked,
    body: &mut CheckBody<'_>,
    progress: &mut dyn FnMut(u64),
) -> BlockResult<()> {
    let known = index.known_heights(view)?;
    checked.tail = known.map(|(tail, _)| tail.get());
    checked.tip = known.map(|(_, tip)| tip.get());
    for what in index.check_counts(view)? {
        note(&mut checked.findings, Finding::new(Kind::Index, what), None);
    }
    let Some((tail, tip)) = known else {
        return Ok(());
    };
    let mut below: Option<BlockInfo> = None;
    let mut next = Some(tail);
    while let Some(height) = next.filter(|height| *height <= tip) {
        next = height.get().checked_add(1).map(Height::new);
        let (info, what) = index.check_rows(view, height, below.as_ref())?;
        let is_sound = what.is_none();
        if let Some(what) = what {
            let finding = Finding::new(Kind::Index, what);
            let at = note(&mut checked.findings, finding, Some(height));
            if info.is_none() && !index.has_entry(view, height)? {
                // A gap is one finding and no walk, however wide the row of totals says it is.
                let above = index.entry_from(view, height)?;
                let above = above.filter(|above| *above <= tip);
                let last = above.and_then(Height::prev).unwrap_or(tip);
                if let Some(finding) = checked.findings.get_mut(at) {
                    finding.add_up_to(height, last);
                }
                next = above;
            }
        }
        if let Some(info) = &info
            && body(info, &mut checked.findings)?
            && is_sound
        {
            checked.sound_blocks += 1;
        }
        below = info;
        progress(height.get() - tail.get() + 1);
    }
    Ok(())
}

/// The name of the file of a segment, plain or packed; what it should be if there is none.
fn name_of(files: &[SeenFile], segment: SegmentNumber) -> String {
    let is_it = |file: &&SeenFile| match &file.kind {
        SeenKind::Segment { number, .. } | SeenKind::Bad { number, .. } => *number == segment,
        _ => false,
    };
    if let Some(file) = files.iter().find(is_it) {
        return file.name.clone();
    }
    let names = Names::of(files);
    let moved = names.moved_to(segment);
    moved.map_or_else(|| segment.file_name(), |file| file.name.clone())
}

/// Bytes inside a segment that are no record.
#[derive(Clone, Debug)]
struct Raw {
    number: SegmentNumber,
    offset: u64,
    bytes: u64,
    what: String,
}

/// A store with segments, looked at by a tool.
pub(super) struct Look {
    pub(super) tools: Tools,
    pub(super) files: Vec<SeenFile>,
    pub(super) blocks: SegmentBlocks<AnyStore>,
    pub(super) view: AnyReadTxn,
    /// Where the record of the tip is, if the index says.
    pub(super) tip: Option<Placed>,
    pub(super) checked: Checked,
}

impl Look {
    pub(super) fn take(store: &Arc<AnyStore>, progress: &mut dyn FnMut(u64)) -> BlockResult<Self> {
        let (tools, files) =
            Mapped::tools(&segments_of(store)?, chain_tag(store)?).map_err(of_log)?;
        let blocks = SegmentBlocks::open_for_tools(Arc::clone(store), &tools)?;
        let view = store.begin_read()?;
        let tip = match blocks.known_tip(&view)? {
            Some(tip) => blocks.placed(&view, tip).ok().flatten(),
            None => None,
        };
        let mut look = Self {
            tools,
            files,
            blocks,
            view,
            tip,
            checked: Checked {
                bodies: Bodies::Segments.as_str(),
                ..Checked::default()
            },
        };
        look.see_files();
        look.check_blocks(progress)?;
        look.check_files()?;
        Ok(look)
    }

    /// What the names and headers of the files say.
    fn see_files(&mut self) {
        let findings = &mut self.checked.findings;
        let names = Names::of(&self.files);
        for file in &self.files {
            let copy = names.copy(&file.name);
            let mut finding = match &file.kind {
                SeenKind::Segment { .. } | SeenKind::Spare => continue,
                SeenKind::Coming | SeenKind::Other => {
                    self.checked.leftovers.push(file.name.clone());
                    continue;
                }
                // Somebody's backup: the log passes it over, and it is in nobody's way.
                SeenKind::Renamed { .. } if copy.is_some_and(|it| !it.is_in_the_way()) => {
                    self.checked.leftovers.push(file.name.clone());
                    continue;
                }
                SeenKind::Renamed { number, .. } => {
                    let what = match copy {
                        Some(_) => format!(
                            "the file is a copy of segment {number}, which is there under its own \
                             name"
                        ),
                        None => format!("the file is segment {number} under another name"),
                    };
                    let mut finding = Finding::new(Kind::Renamed, what);
                    finding.segment = Some(number.get());
                    finding
                }
                SeenKind::Bad { number, what } => {
                    let mut finding = Finding::new(Kind::Header, what.clone());
                    finding.segment = Some(number.get());
                    finding.offset = Some(0);
                    finding
                }
            };
            finding.file = Some(file.name.clone());
            findings.push(finding);
        }
    }

    fn check_blocks(&mut self, progress: &mut dyn FnMut(u64)) -> BlockResult<()> {
        let (blocks, view, files) = (&self.blocks, &self.view, &self.files);
        let mut buffer = Vec::new();
        let mut body = |info: &BlockInfo, findings: &mut Vec<Finding>| {
            let (placed, what, is_absent) = match blocks.check_body(view, info, &mut buffer)? {
                BodyState::Sound(_) => return Ok(true),
                BodyState::Unplaced(what) | BodyState::Differs(what) => {
                    note(findings, Finding::new(Kind::Index, what), Some(info.height));
                    return Ok(false);
                }
                BodyState::Damaged(placed, what) => (placed, what, false),
                BodyState::Absent(placed) => (placed, String::new(), true),
            };
            let segment = placed.place.segment;
            let header = findings.iter_mut().find(|finding| {
                finding.kind == Kind::Header && finding.segment == Some(segment.get())
            });
            if let Some(header) = header {
                header.add(info.height);
                return Ok(false);
            }
            let what = if is_absent {
                format!("the file of segment {segment} is absent")
            } else {
                what
            };
            let kind = if is_absent {
                Kind::Absent
            } else {
                Kind::Record
            };
            let mut finding = Finding::new(kind, what);
            finding.segment = Some(segment.get());
            finding.file = Some(name_of(files, segment));
            if !is_absent {
                finding.offset = Some(placed.place.offset);
                finding.bytes = Some(placed.end() - placed.place.offset);
            }
            note(findings, finding, Some(info.height));
            Ok(false)
        };
        let index = self.blocks.index();
        check_index(index, view, &mut self.checked, &mut body, progress)?;
        let rows = self.blocks.place_rows(view)?;
        if let Ok(totals) = self.blocks.totals(view)
            && totals.blocks != rows
        {
            let what = format!(
                "table blocks.places has {rows} rows, {} expected",
                totals.blocks
            );
            self.checked.findings.push(Finding::new(Kind::Index, what));
        }
        Ok(())
    }

    /// Whether a place is behind the record of the tip.
    fn is_beyond(&self, number: SegmentNumber, offset: u64) -> bool {
        self.tip
            .is_some_and(|tip| (number, offset) >= (tip.place.segment, tip.end()))
    }

    /// Reads every segment from end to end.
    fn check_files(&mut self) -> BlockResult<()> {
        let files = self.tools.files().map_err(of_log)?;
        let numbers: Vec<SegmentNumber> = files
            .iter()
            .filter_map(|file| match file.kind {
                SeenKind::Segment { number, .. } => Some(number),
                _ => None,
            })
            .collect();
        let mut beyond = self.tip.map(|tip| Beyond {
            segment: tip.place.segment.get(),
            offset: tip.end(),
            bytes: 0,
            records: 0,
        });
        let (mut raw, mut ends, mut records) = (Vec::new(), Vec::new(), 0u64);
        for number in &numbers {
            self.checked.segments += 1;
            let mut end = 0;
            let walked = self.tools.walk::<LogError>(*number, &mut |part| {
                let (offset, bytes, what) = match part {
                    Part::Record(_, place, payload) => {
                        let bytes = payload.len() as u64 + seglog::HEADER_BYTES;
                        end = place.offset + bytes;
                        (place.offset, bytes, None)
                    }
                    Part::Damage(offset, bytes, what) => (offset, bytes, Some(what)),
                    // Zeros in advance of the last segment, or of one behind which there is another
                    // only because it was cut and not yet begun again.
                    Part::Nothing(..) => return Ok(()),
                };
                match (&mut beyond, what) {
                    (Some(beyond), what) if self.is_beyond(*number, offset) => {
                        beyond.bytes += bytes;
                        beyond.records += u64::from(what.is_none());
                    }
                    (_, None) => records += 1,
                    (_, Some(what)) => raw.push(Raw {
                        number: *number,
                        offset,
                        bytes,
                        what: what.to_owned(),
                    }),
                }
                Ok(())
            });
            walked.map_err(of_log)?;
            ends.push((number.get(), end));
        }
        let tip = self.tip.map(|tip| tip.place.segment);
        // A whole file behind the tip's, with nothing in it but its header, goes as well.
        let has_files_behind = tip.is_some_and(|tip| numbers.iter().any(|it| *it > tip));
        self.checked.beyond = beyond.filter(|it| it.bytes > 0 || has_files_behind);
        self.add_raw(raw);
        self.blame_places(&ends);
        if self.checked.tip.is_none() && records > 0 {
            let what = format!(
                "the index has no block, the segments hold {records} records: blocks whose index \
                 was lost, or that were never committed"
            );
            self.checked.findings.push(Finding::new(Kind::Index, what));
        }
        Ok(())
    }

    /// A body that is not where the index says, in a file that is whole there, is no fault of the
    /// file. What is behind the last record of a file is lost with the file's end.
    fn blame_places(&mut self, ends: &[(u64, u64)]) {
        for finding in &mut self.checked.findings {
            let is_inside = finding
                .offset
                .zip(finding.bytes)
                .is_some_and(|(at, bytes)| {
                    let end = at.saturating_add(bytes);
                    ends.iter()
                        .any(|(number, last)| finding.segment == Some(*number) && end <= *last)
                });
            if finding.kind == Kind::Record && finding.blocks > 0 && is_inside && !finding.is_raw {
                finding.kind = Kind::Index;
            }
        }
    }

    /// Joins what is no record with the blocks that were not found there.
    fn add_raw(&mut self, raw: Vec<Raw>) {
        for raw in raw {
            let segment = raw.number.get();
            let end = raw.offset + raw.bytes;
            let is_inside = |finding: &Finding| {
                finding.kind == Kind::Record
                    && finding.segment == Some(segment)
                    && finding
                        .offset
                        .is_some_and(|at| at >= raw.offset && at < end)
            };
            let (inside, others): (Vec<Finding>, Vec<Finding>) =
                self.checked.findings.drain(..).partition(is_inside);
            self.checked.findings = others;
            let mut finding = Finding::new(Kind::Record, raw.what);
            finding.segment = Some(segment);
            finding.file = Some(name_of(&self.files, raw.number));
            finding.offset = Some(raw.offset);
            finding.bytes = Some(raw.bytes);
            for (first, last) in inside
                .iter()
                .filter_map(|it| it.first_height.zip(it.last_height))
            {
                finding.first_height = Some(finding.first_height.map_or(first, |it| it.min(first)));
                finding.last_height = Some(finding.last_height.map_or(last, |it| it.max(last)));
            }
            finding.blocks = inside.iter().map(|it| it.blocks).sum();
            finding.is_raw = true;
            self.checked.findings.push(finding);
        }
    }
}
