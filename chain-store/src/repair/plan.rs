//! What a repair would do, decided before anything is touched.
//!
//! Invariants: nothing is written; below the commit point nothing is planned to go but above a
//! height that the caller named; a plan that was carried out leaves nothing to plan.

use std::fmt;

use ::blocks::Placed;
use seglog::SegmentNumber;
use seglog::tools::SeenKind;
use serde::Serialize;
use storage_api::blocks::Height;

use super::check::Look;
use super::names::{Names, Renamed};
use super::{Checked, Finding, Kind, RepairError};

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// A segment gets its own name again.
    Rename {
        /// The name that it has.
        from: String,
        /// Its own.
        to: String,
    },
    /// A copy of a segment that has the name of another one goes: the log does not open with it.
    RemoveCopy {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
        /// The segment that it is a copy of.
        segment: u64,
    },
    /// The index is cut: this height becomes its tip.
    TruncateIndex {
        /// The height.
        to_height: u64,
        /// Blocks that go.
        blocks: u64,
    },
    /// The index is made again from the segments.
    RebuildIndex {
        /// Up to this height; `None` for the tip that was committed.
        to_height: Option<u64>,
    },
    /// Segments behind the last one that is kept go.
    RemoveSegment {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
    },
    /// The end of a segment goes.
    CutSegment {
        /// The file.
        file: String,
        /// Where it will end.
        offset: u64,
        /// Bytes that go.
        bytes: u64,
    },
    /// What an interrupted making of a segment left goes.
    RemoveLeftover {
        /// The file.
        file: String,
        /// Its length.
        bytes: u64,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::RemoveCopy {
                file,
                bytes,
                segment,
            } => write!(
                f,
                "remove {file}, {bytes} bytes, a copy of segment {segment}"
            ),
            Self::TruncateIndex { to_height, blocks } => {
                write!(f, "cut the index to height {to_height}: {blocks} blocks go")
            }
            Self::RebuildIndex { to_height: None } => {
                f.write_str("make the index again from the segments")
            }
            Self::RebuildIndex {
                to_height: Some(height),
            } => write!(
                f,
                "make the index again from the segments, up to height {height}"
            ),
            Self::RemoveSegment { file, bytes } => write!(f, "remove {file}, {bytes} bytes"),
            Self::CutSegment {
                file,
                offset,
                bytes,
            } => write!(f, "cut {file} at offset {offset}: {bytes} bytes go"),
            Self::RemoveLeftover { file, bytes } => {
                write!(
                    f,
                    "remove {file}, {bytes} bytes, left of an interrupted step"
                )
            }
        }
    }
}

/// What is to be done, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The steps, in order.
    pub actions: Vec<Action>,
    /// What stays wrong, and what to do about it.
    pub left: Vec<String>,
    /// The highest height to which everything can be kept.
    pub keepable: Option<Height>,
    /// Something is left that stands between the blocks.
    pub is_blocked: bool,
    /// The damage begins with the lowest block, so that there is no height to keep blocks up to.
    is_all_lost: bool,
    /// The blocks may not open, not even to be read, while this is left: a name is wrong.
    keeps_closed: bool,
}

/// Whether blocks can be taken from the tip of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TipCut {
    /// They can.
    Possible,
    /// Its state only follows blocks forward.
    Refused,
}

/// The block that comes right before what is damaged, if there is one that is kept.
fn keepable(look: &Look, finding: &Finding) -> Option<Height> {
    if let Some(first) = finding.first_height {
        return first.checked_sub(1).map(Height::new);
    }
    // No block is damaged, but those behind it cannot be kept without it.
    let at = (finding.segment?, finding.offset?);
    let (tail, tip) = (look.checked.tail?, look.checked.tip?);
    // Not the tip of a row of totals, which can say anything.
    let tip = tip.min(look.blocks.placed_tip(&look.view).ok()??.get());
    let is_before = |height: &u64| {
        let placed = look.blocks.placed(&look.view, Height::new(*height));
        let placed = placed.ok().flatten();
        placed.is_some_and(|it| (it.place.segment.get(), it.place.offset) < at)
    };
    (tail..=tip).rev().find(is_before).map(Height::new)
}

/// Whether the store can be written to in spite of a finding, which then is not repaired: damage in
/// what no block needs, in a segment that is not written to.
fn is_harmless(look: &Look, finding: &Finding) -> bool {
    let last = look.files.iter().filter_map(|file| match file.kind {
        SeenKind::Segment { number, .. } => Some(number.get()),
        _ => None,
    });
    finding.kind == Kind::Record && finding.blocks == 0 && finding.segment < last.max()
}

/// Whether nothing but the file of a finding stands behind the segment of the tip: it goes as
/// everything does that was never committed.
fn is_behind(look: &Look, finding: &Finding) -> bool {
    let tip = look.tip.map(|tip| tip.place.segment.get());
    let is_index_sound = || {
        !look
            .checked
            .findings
            .iter()
            .any(|it| it.kind == Kind::Index)
    };
    finding.kind == Kind::Header
        && finding.blocks == 0
        && tip.is_some_and(|tip| finding.segment > Some(tip))
        && is_index_sound()
        && !is_stuck(look)
}

/// Plans a repair of what was found, with everything above `to` gone if that is said.
///
/// # Errors
/// `Height` when the height is not between tail and tip, or damage lies below it.
pub(super) fn plan_of(
    look: &Look,
    to: Option<Height>,
    tip_cut: TipCut,
) -> Result<Plan, RepairError> {
    let checked = &look.checked;
    let mut plan = Plan::default();
    let names = Names::of(&look.files);
    for copy in names.copies.iter().filter(|it| it.is_in_the_way()) {
        plan.actions.push(Action::RemoveCopy {
            file: copy.name.clone(),
            bytes: copy.bytes,
            segment: copy.number.get(),
        });
    }
    for Renamed { name, own_name, .. } in names.moved {
        plan.actions.push(Action::Rename {
            from: name,
            to: own_name,
        });
    }
    let (mut is_index_damaged, mut has_bad_behind) = (false, false);
    for finding in &checked.grouped() {
        match finding.kind {
            Kind::Index => is_index_damaged = true,
            Kind::Renamed if is_planned(&plan, finding) => {}
            Kind::Header if is_behind(look, finding) => has_bad_behind = true,
            _ => leave(look, finding, to, &mut plan),
        }
    }
    if plan.is_all_lost {
        plan.keepable = None;
    }
    match to {
        Some(to) => check_height(checked, to, &plan)?,
        None => plan.left.extend(advice(checked, &plan, tip_cut)),
    }
    plan_index(look, (to, tip_cut), is_index_damaged, &mut plan);
    let end = match to {
        // A place that lies would cut sound blocks off, so an index is made again first, and what
        // is behind its tip then goes with the next plan.
        _ if is_index_damaged => None,
        Some(to) => look.blocks.placed(&look.view, to).ok().flatten(),
        // What is damaged is not beyond the commit point, and what is beyond goes with it later.
        None => look
            .tip
            .filter(|_| (checked.beyond.is_some() || has_bad_behind) && !is_stuck(look)),
    };
    if let Some(end) = end {
        plan_cuts(look, end, &mut plan);
    }
    for file in &look.files {
        if file.kind == SeenKind::Coming {
            plan.actions.push(Action::RemoveLeftover {
                file: file.name.clone(),
                bytes: file.bytes,
            });
        }
    }
    Ok(plan)
}

/// Whether a segment that may be the only sound one of its number has the name of another, and
/// would go with the files behind a cut.
fn is_stuck(look: &Look) -> bool {
    let names = Names::of(&look.files);
    look.files.iter().any(|file| match file.kind {
        SeenKind::Renamed { number, .. } => {
            SegmentNumber::of_file_name(&file.name).is_some()
                && names.moved_to(number).is_none()
                && names.copy(&file.name).is_none()
        }
        _ => false,
    })
}

fn is_planned(plan: &Plan, finding: &Finding) -> bool {
    let is_it = |action: &Action| match action {
        Action::Rename { from: file, .. } | Action::RemoveCopy { file, .. } => {
            Some(file) == finding.file.as_ref()
        }
        _ => false,
    };
    plan.actions.iter().any(is_it)
}

/// What is not repaired, unless it lies above the height that was said.
fn leave(look: &Look, finding: &Finding, to: Option<Height>, plan: &mut Plan) {
    let place = finding.file.clone().unwrap_or_default();
    if is_harmless(look, finding) {
        plan.left.push(format!(
            "{place} at offset {}: {}; no block needs it, so it stays until its segment is pruned",
            finding.offset.unwrap_or_default(),
            finding.what
        ));
        return;
    }
    plan.is_blocked = true;
    plan.keeps_closed |= finding.kind == Kind::Renamed;
    if finding.kind == Kind::Renamed {
        plan.left.push(format!(
            "{place}: {}: move away what is under that segment's own name, and a repair gives it \
             its name",
            finding.what
        ));
        return;
    }
    let tail = look.checked.tail;
    let keepable = keepable(look, finding);
    let keepable = keepable.filter(|it| tail.is_some_and(|tail| it.get() >= tail));
    plan.keepable = match (plan.keepable, keepable) {
        (Some(known), Some(new)) => Some(known.min(new)),
        (known, new) => known.or(new),
    };
    plan.is_all_lost |= keepable.is_none() && begins_the_blocks(look, finding);
    if to.is_some() {
        return;
    }
    let blocks = match (finding.first_height, finding.last_height) {
        (Some(first), Some(last)) if first == last => format!(" (block {first})"),
        (Some(first), Some(last)) => format!(" (blocks {first} to {last})"),
        _ => String::new(),
    };
    let first = match finding.kind {
        Kind::Absent => "bring the file back from the archive or a copy",
        _ => "put a sound copy of the file in its place",
    };
    let copies = look.files.iter().filter(|file| match file.kind {
        SeenKind::Renamed { number, .. } => Some(number.get()) == finding.segment,
        _ => false,
    });
    let copies: Vec<&str> = copies
        .map(|file| &file.name[..])
        .filter(|name| *name != place)
        .collect();
    let copies = match copies.join(", ") {
        none if none.is_empty() => none,
        names => format!("; of the same segment there is: {names}"),
    };
    plan.left.push(format!(
        "{place}{blocks}: {}: {first}{copies}",
        finding.what
    ));
}

/// Whether damage reaches down to the lowest block, as far as the index knows where that is.
fn begins_the_blocks(look: &Look, finding: &Finding) -> bool {
    let Some(tail) = look.checked.tail else {
        return false;
    };
    if let Some(first) = finding.first_height {
        return first <= tail;
    }
    let placed = look.blocks.placed(&look.view, Height::new(tail));
    let placed = placed.ok().flatten().map(|it| it.place);
    let at = finding.segment.zip(finding.offset);
    at.zip(placed)
        .is_some_and(|(at, placed)| at <= (placed.segment.get(), placed.offset))
}

/// What can be done about everything that is left together: said once, because only the height
/// below all of it works.
fn advice(checked: &Checked, plan: &Plan, tip_cut: TipCut) -> Option<String> {
    let is_lost = plan.keepable.is_some() || plan.is_all_lost;
    let why = match tip_cut {
        TipCut::Refused if is_lost => {
            "the store keeps the unspent outputs of its tip, so no blocks can be given up there"
        }
        _ if plan.is_all_lost => {
            "the damage begins with the lowest block, so there is no height to repair up to"
        }
        _ => "",
    };
    if !why.is_empty() {
        let is_index_damaged = checked.findings.iter().any(|it| it.kind == Kind::Index);
        let until = if plan.keeps_closed || is_index_damaged {
            ""
        } else {
            "; until then blocks that are sound can be read and exported"
        };
        return Some(format!(
            "without a sound copy: {why}; import into a new store{until}"
        ));
    }
    let (height, tip) = plan.keepable.zip(checked.tip)?;
    let gives_up = match height.next().get() {
        next if next > tip => "and gives up no block".to_owned(),
        next if next == tip => format!("and gives up block {tip}"),
        next => format!("and gives up blocks {next} to {tip}"),
    };
    Some(format!(
        "without a sound copy: `repair --to-height {height}` keeps everything below the damage, \
         {gives_up}"
    ))
}

fn check_height(checked: &Checked, to: Height, plan: &Plan) -> Result<(), RepairError> {
    let (Some(tail), Some(tip)) = (checked.tail, checked.tip) else {
        let what = "the index has no block: `blocks index-rebuild` makes it again first";
        return Err(RepairError::Height(what.to_owned()));
    };
    if !(tail..=tip).contains(&to.get()) {
        return Err(RepairError::Height(format!(
            "height {to} is not stored: blocks {tail} to {tip} are"
        )));
    }
    if plan.is_all_lost {
        return Err(RepairError::Height(format!(
            "there is damage below height {to} too: it begins with the lowest block, {tail}"
        )));
    }
    match plan.keepable {
        Some(keepable) if keepable < to => Err(RepairError::Height(format!(
            "there is damage below height {to} too: everything can be kept up to {keepable}"
        ))),
        _ => Ok(()),
    }
}

fn plan_index(
    look: &Look,
    (to, tip_cut): (Option<Height>, TipCut),
    is_damaged: bool,
    plan: &mut Plan,
) {
    if is_damaged && to.is_none() && plan.is_blocked {
        let or_height = match tip_cut {
            TipCut::Possible => " or a height is said",
            TipCut::Refused => "",
        };
        plan.left.push(format!(
            "the index is damaged too, and is made again once the segments are whole{or_height}"
        ));
        return;
    }
    if is_damaged {
        plan.actions.push(Action::RebuildIndex {
            to_height: to.map(Height::get),
        });
        return;
    }
    let above = to.zip(look.checked.tip);
    if let Some((to, tip)) = above.filter(|(to, tip)| to.get() < *tip) {
        plan.actions.push(Action::TruncateIndex {
            to_height: to.get(),
            blocks: tip - to.get(),
        });
    }
}

/// The files behind the end of a record, the newest first, and the end of its own.
fn plan_cuts(look: &Look, end: Placed, plan: &mut Plan) {
    let own_number = end.place.segment;
    let mut own = None;
    let mut behind: Vec<(SegmentNumber, String, u64)> = Vec::new();
    let names = Names::of(&look.files);
    for file in &look.files {
        let (number, name) = match &file.kind {
            SeenKind::Segment { number, .. } | SeenKind::Bad { number, .. } => {
                (*number, file.name.clone())
            }
            SeenKind::Renamed { number, .. } => {
                let moved = names.moved_to(*number).filter(|it| it.name == file.name);
                match (moved, SegmentNumber::of_file_name(&file.name)) {
                    (Some(moved), _) => (*number, moved.own_name.clone()),
                    // A copy, which goes anyway or is in nobody's way.
                    (None, _) if names.copy(&file.name).is_some() => continue,
                    // By its name it goes with those behind, whatever it is.
                    (None, Some(named)) if named > own_number => (named, file.name.clone()),
                    _ => continue,
                }
            }
            _ => continue,
        };
        if number == own_number {
            // A file without a header has no record to be cut behind.
            if matches!(file.kind, SeenKind::Bad { .. }) {
                continue;
            }
            own = Some((name, file.bytes));
        } else if number > own_number {
            behind.push((number, name, file.bytes));
        }
    }
    behind.sort_unstable();
    for (_, file, bytes) in behind.into_iter().rev() {
        plan.actions.push(Action::RemoveSegment { file, bytes });
    }
    let Some((file, bytes)) = own else { return };
    // A packed segment is written anew as a plain one, whose length its file does not tell.
    let is_packed = file == own_number.packed_name();
    let bytes = if is_packed {
        bytes
    } else {
        bytes.saturating_sub(end.end())
    };
    if bytes > 0 {
        plan.actions.push(Action::CutSegment {
            file,
            offset: end.end(),
            bytes,
        });
    }
}
