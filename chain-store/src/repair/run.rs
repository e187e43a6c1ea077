//! Carrying a repair out; the index again; cutting at the tip and at the tail.
//!
//! Invariants: what is removed is in the quarantine before; copies of segments under the names of
//! others go first, then come names, then one commit of the index, then files from the newest on;
//! every step can be done again, so a repair that was killed is finished by the next. Cutting at a
//! height is one commit and then file work, which the same call or the next opening to write
//! finishes if it was killed.

use std::path::PathBuf;
use std::sync::Arc;

use ::blocks::{BodyState, PackReport, Rebuilt, SegmentBlocks};
use seglog::SegmentNumber;
use seglog::disk::Folder;
use seglog::tools::{SeenKind, Tools};
use storage_api::blocks::{BlockError, BlockStore, Height};
use storage_api::{Access, ChecksumSetting, Durability, KvStore, TableDef, WriteTxn};

use super::check::Look;
use super::disk::Mapped;
use super::plan::{Plan, TipCut, plan_of};
use super::quarantine::{HASHES, Quarantine, TXS};
use super::{Action, RepairError, Repaired};
use crate::any::{AnyReadTxn, AnyStore, AnyWriteTxn};
use crate::bodies::{Blocks, Bodies, Cleanup, Held, chain_tag, segments_of};
use crate::import::{AntelopeState, UnspentSet};

/// Checks and repairs at most; each ends with nothing left that the next could do.
const PASSES_MAX: usize = 4;

/// What the name of a packed segment ends with.
const PACKED_SUFFIX: &str = ".segz";

/// What a cut did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Blocks before.
    pub before: u64,
    /// Blocks now.
    pub after: u64,
}

/// Refuses a store without segments.
fn check_segments(store: &AnyStore) -> Result<(), RepairError> {
    match Bodies::of(store.catalogue())? {
        Some(Bodies::Segments) => Ok(()),
        Some(Bodies::Store) => Err(RepairError::Unsupported(
            "bodies are rows of this store, and its engine repairs itself or not at all: `verify` \
             says what is damaged, a copy or a new import replaces it"
                .to_owned(),
        )),
        None => Err(RepairError::Unsupported(
            "the store has no blocks".to_owned(),
        )),
    }
}

/// Refuses to take blocks from a store whose state only follows blocks forward.
fn check_state(store: &AnyStore) -> Result<(), RepairError> {
    let Ok(unspent) = UnspentSet::resolve(store.catalogue()) else {
        return Ok(());
    };
    match unspent.summary(&store.begin_read()?) {
        Ok(None) => Ok(()),
        _ => Err(RepairError::WorldState),
    }
}

/// Repairs the blocks of a store that was opened to write, or says what it would do to one that was
/// opened to read. With `to` everything above that height goes, damaged or not.
///
/// # Errors
/// [`RepairError`]; whatever was to be removed and is gone is in the quarantine.
pub fn repair(
    store: &Arc<AnyStore>,
    to: Option<Height>,
    progress: &mut dyn FnMut(u64),
) -> Result<Repaired, RepairError> {
    check_segments(store)?;
    let tip_cut = match check_state(store) {
        Ok(()) => TipCut::Possible,
        Err(RepairError::WorldState) if to.is_none() => TipCut::Refused,
        Err(error) => return Err(error),
    };
    let is_dry = store.access() == Access::ReadOnly;
    let _held = if is_dry {
        None
    } else {
        let folder = segments_of(store)?;
        backend_kit::directory::make_durable_folder(&folder)?;
        Some(Held::take(&folder)?)
    };
    let mut look = Look::take(store, progress)?;
    let found = look.checked.clone();
    let mut plan = plan_of(&look, to, tip_cut)?;
    let (left, keepable) = (plan.left.clone(), plan.keepable);
    let mut repaired = Repaired {
        found,
        actions: plan.actions.clone(),
        left,
        keepable_height: keepable.map(Height::get),
        quarantine: Vec::new(),
        sound: None,
    };
    if is_dry {
        return Ok(repaired);
    }
    let mut to = to;
    for _ in 0..PASSES_MAX {
        if plan.actions.is_empty() {
            break;
        }
        let kept = carry_out(store, look, &plan, to)?;
        repaired.quarantine.extend(kept);
        // The height is reached, and what is left is planned without it.
        to = None;
        look = Look::take(store, progress)?;
        plan = plan_of(&look, None, tip_cut)?;
        repaired.actions.extend(plan.actions.iter().cloned());
        repaired.left.clone_from(&plan.left);
        repaired.keepable_height = plan.keepable.map(Height::get);
    }
    repaired.sound = Some(look.checked.is_sound());
    Ok(repaired)
}

/// Does what was planned, and says where what it removed is.
fn carry_out(
    store: &Arc<AnyStore>,
    look: Look,
    plan: &Plan,
    to: Option<Height>,
) -> Result<Option<PathBuf>, RepairError> {
    let plain = Tools::new(
        Arc::new(Folder::new(&segments_of(store)?)),
        chain_tag(store)?,
    );
    // What cannot be made again is noticed before anything is kept or removed.
    let index = change_index(store, &look, plan)?;
    let kept = keep(store, (&look, &plain), plan, to)?;
    drop(look);
    for action in &plan.actions {
        if let Action::RemoveCopy { file, .. } = action {
            plain.remove(file)?;
        }
    }
    rename_all(&plain, &plan.actions)?;
    if let Some(index) = index {
        index.commit(Durability::Durable)?;
    }
    for action in &plan.actions {
        match action {
            Action::RemoveSegment { file, .. } | Action::RemoveLeftover { file, .. } => {
                plain.remove(file)?;
            }
            Action::CutSegment { file, offset, .. } => {
                if let Some(number) = SegmentNumber::of_file_name(file) {
                    plain.cut(number, *offset)?;
                }
            }
            _ => {}
        }
    }
    Ok(kept)
}

/// Changes the index in a transaction that is to be committed. Where its rows do not allow that it
/// is cut, it is made again up to the height.
fn change_index<'s>(
    store: &'s Arc<AnyStore>,
    look: &Look,
    plan: &Plan,
) -> Result<Option<AnyWriteTxn<'s>>, RepairError> {
    let rebuild = |to: Option<Height>| {
        if to.is_none() && look.checked.tip.is_none() {
            // Nothing says which record the state belongs to.
            check_state(store)?;
        }
        let mut txn = store.begin_write()?;
        if let Err(source) = look.blocks.rebuild_to(&mut txn, &look.tools, to) {
            drop(txn);
            return Err(gap(store, (&look.blocks, &look.tools), source));
        }
        Ok::<_, RepairError>(Some(txn))
    };
    for action in &plan.actions {
        match action {
            Action::RebuildIndex { to_height } => return rebuild(to_height.map(Height::new)),
            Action::TruncateIndex { to_height, .. } => {
                let to = Some(Height::new(*to_height));
                let mut txn = store.begin_write()?;
                return match look.blocks.truncate(&mut txn, to) {
                    Ok(_) => Ok(Some(txn)),
                    Err(BlockError::Store(error)) if error.is_corruption() => {
                        drop(txn);
                        rebuild(to)
                    }
                    Err(error) => Err(error.into()),
                };
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Copies what the plan removes. Copies of segments are seen in the folder as it is only.
fn keep(
    store: &Arc<AnyStore>,
    (look, plain): (&Look, &Tools),
    plan: &Plan,
    to: Option<Height>,
) -> Result<Option<PathBuf>, RepairError> {
    let removes = |action: &Action| !matches!(action, Action::Rename { .. });
    if !plan.actions.iter().any(removes) {
        return Ok(None);
    }
    let mut quarantine = Quarantine::begin(store)?;
    let why_cut = to.map_or_else(
        || "behind the last committed block".to_owned(),
        |to| format!("above height {to}, as was said"),
    );
    for action in &plan.actions {
        match action {
            Action::Rename { .. } => {}
            Action::RemoveCopy { file, segment, .. } => {
                let why = format!("a copy of segment {segment} under the name of another");
                quarantine.keep_file(plain, file, 0, why)?;
            }
            Action::TruncateIndex { to_height, .. } => {
                let above = Some(Height::new(*to_height));
                let by_height = ["blocks.index", "blocks.places", "blocks.tx-ids"];
                for table in by_height.into_iter().chain([HASHES, TXS]) {
                    quarantine.keep_rows((store, &look.view), table, above, &why_cut)?;
                }
                quarantine.keep_rows((store, &look.view), "blocks.state", None, "replaced")?;
            }
            Action::RebuildIndex { .. } => {
                for table in Bodies::Segments.tables() {
                    let why = "the index was made again from the segments";
                    quarantine.keep_rows((store, &look.view), table.name(), None, why)?;
                }
            }
            Action::RemoveSegment { file, .. } => {
                quarantine.keep_file(&look.tools, file, 0, why_cut.clone())?;
            }
            Action::RemoveLeftover { file, .. } => {
                let why = "left of an interrupted step".to_owned();
                quarantine.keep_file(&look.tools, file, 0, why)?;
            }
            Action::CutSegment { file, offset, .. } => {
                // A packed segment is kept whole, because it may not unpack behind its damage.
                let is_packed = file.ends_with(PACKED_SUFFIX);
                let from = if is_packed { 0 } else { *offset };
                quarantine.keep_file(&look.tools, file, from, why_cut.clone())?;
            }
        }
    }
    let findings = &look.checked.findings;
    quarantine.finish(findings, &plan.actions, to).map(Some)
}

/// Gives renamed segments their own names: first out of each other's way, then to where they
/// belong. A process that dies between leaves names that the next repair knows as well.
fn rename_all(tools: &Tools, actions: &[Action]) -> Result<(), RepairError> {
    let mut moves = Vec::new();
    for action in actions {
        if let Action::Rename { from, to } = action {
            moves.push((from.clone(), to));
        }
    }
    let names: Vec<String> = moves.iter().map(|(from, _)| from.clone()).collect();
    for (from, to) in &mut moves {
        if names.contains(to) {
            let aside = format!("{to}.renamed");
            tools.rename_to(from, &aside)?;
            *from = aside;
        }
    }
    for (from, to) in moves {
        tools.rename_to(&from, to)?;
    }
    Ok(())
}

/// Makes the index again from the segments, in one commit: up to `to`, else up to the tip that was
/// committed, else up to the last record.
///
/// # Errors
/// [`RepairError`]: `Unsupported` without segments, `WorldState` where the state follows another
/// block, or nothing says which; `Unsupported` for one above the block that it follows; `Height`
/// for one above or below every record; `Gap`, or `Blocks` with `Corruption`, where the segments do
/// not hold a whole chain. Nothing is changed then.
pub fn index_rebuild(store: &Arc<AnyStore>, to: Option<Height>) -> Result<Rebuilt, RepairError> {
    check_segments(store)?;
    let folder = segments_of(store)?;
    backend_kit::directory::make_durable_folder(&folder)?;
    let _held = Held::take(&folder)?;
    let (tools, files) = Mapped::tools(&folder, chain_tag(store)?)?;
    if let Some(bad) = files
        .iter()
        .find(|file| matches!(file.kind, SeenKind::Bad { .. }))
    {
        tracing::warn!(file = %bad.name, "a file is no segment");
    }
    let blocks = SegmentBlocks::open_for_tools(Arc::clone(store), &tools)?;
    let tip = blocks.known_tip(&store.begin_read()?)?;
    if to.is_some() && to != tip || tip.is_none() {
        check_state(store).map_err(|error| above_state(error, to, tip))?;
    }
    let mut txn = store.begin_write()?;
    match blocks.rebuild_to(&mut txn, &tools, to) {
        Ok(rebuilt) => {
            txn.commit(Durability::Durable)?;
            Ok(rebuilt)
        }
        Err(BlockError::OutOfRange { asked, tail, tip }) => {
            let why = if asked > tip {
                format!("the highest sound record is of block {tip}")
            } else {
                format!("the blocks begin with {tail}")
            };
            let what = format!("block {asked} cannot be the tip: {why}");
            Err(RepairError::Height(what))
        }
        Err(source) => {
            drop(txn);
            Err(gap(store, (&blocks, &tools), source))
        }
    }
}

/// Blocks above the tip were never committed, so the state does not know them: an import does both.
fn above_state(error: RepairError, to: Option<Height>, tip: Option<Height>) -> RepairError {
    match (error, to.zip(tip)) {
        (RepairError::WorldState, Some((to, tip))) if to > tip => {
            RepairError::Unsupported(format!(
                "block {to} cannot be the tip: the store holds the unspent outputs after block \
                 {tip}, and only an import goes on from there"
            ))
        }
        (error, _) => error,
    }
}

/// The error with the height up to which an index can be made, if there is one to be asked for.
fn gap(
    store: &Arc<AnyStore>,
    (blocks, tools): (&SegmentBlocks<AnyStore>, &Tools),
    source: BlockError,
) -> RepairError {
    let is_gap = matches!(&source, BlockError::Store(error) if error.is_corruption());
    let view = store.begin_read();
    match view.map(|view| blocks.reach(&view, tools)) {
        Ok(Ok(Some(reach))) if is_gap && check_state(store).is_ok() => {
            RepairError::Gap { reach, source }
        }
        _ => source.into(),
    }
}

/// Makes a height the tip: one commit, then file work. Doing it again finishes what was killed.
///
/// # Errors
/// [`RepairError`]: `WorldState` for a store with unspent outputs; `Blocks` with `OutOfRange`.
pub fn truncate(store: &Arc<AnyStore>, to: Height) -> Result<Cut, RepairError> {
    check_state(store)?;
    cut(store, to, |blocks, txn| blocks.truncate(txn, Some(to)))
}

/// The tables that no cut of blocks changes: what they say of blocks that were cut is for their
/// owner to take back. The beginning of an Antelope log is none of them: it is of no block.
#[must_use]
pub fn other_tables(store: &AnyStore) -> Vec<String> {
    let own = Bodies::ALL.into_iter().flat_map(Bodies::tables);
    let own: Vec<TableDef> = own
        .chain([AntelopeState::table(ChecksumSetting::None)])
        .collect();
    let names = store.catalogue().iter().map(|table| table.def.name());
    let others = names.filter(|name| own.iter().all(|table| table.name() != *name));
    others.map(str::to_owned).collect()
}

/// Makes a height the tail: one commit, then file work. Doing it again finishes what was killed.
///
/// # Errors
/// [`RepairError`]; `Blocks` with `OutOfRange`.
pub fn prune(store: &Arc<AnyStore>, below: Height) -> Result<Cut, RepairError> {
    cut(store, below, |blocks, txn| {
        let tail = blocks.tail(txn)?.map(|tail| tail.height);
        // What is lower was pruned before; the files may be left to do.
        let below = tail.map_or(below, |tail| tail.max(below));
        blocks.prune(txn, below)
    })
}

/// Refuses to cut at a block whose place is not that of its own record: files would be cut where
/// that lies. Which segment is absent (archived) cannot be compared.
fn check_end(blocks: &Blocks, view: &AnyReadTxn, height: Height) -> Result<(), RepairError> {
    let Some(segments) = blocks.segments() else {
        return Ok(());
    };
    let Some(info) = segments.info(view, height)? else {
        return Ok(());
    };
    match segments.check_body(view, &info, &mut Vec::new())? {
        BodyState::Sound(_) | BodyState::Absent(_) => Ok(()),
        BodyState::Unplaced(what) | BodyState::Damaged(_, what) | BodyState::Differs(what) => {
            let what = format!("block {height}: {what}; nothing was changed");
            Err(storage_api::Error::corruption("the blocks", what).into())
        }
    }
}

/// Cuts, where the block at `end` is then the tip or the tail.
fn cut(
    store: &Arc<AnyStore>,
    end: Height,
    change: impl FnOnce(&Blocks, &mut AnyWriteTxn<'_>) -> Result<Cleanup, BlockError>,
) -> Result<Cut, RepairError> {
    let blocks = Blocks::open(store)?;
    let view = store.begin_read()?;
    let before = blocks.totals(&view)?.blocks;
    let tail = blocks.tail(&view)?.map(|tail| tail.height);
    check_end(&blocks, &view, tail.map_or(end, |tail| tail.max(end)))?;
    drop(view);
    let mut txn = store.begin_write()?;
    let cleanup = change(&blocks, &mut txn)?;
    txn.commit(Durability::Durable)?;
    blocks.finish(cleanup)?;
    let after = blocks.totals(&store.begin_read()?)?.blocks;
    Ok(Cut { before, after })
}

/// Packs the segments of blocks below a height; see [`SegmentBlocks::pack`].
///
/// # Errors
/// [`RepairError`]; `Unsupported` for bodies as rows.
pub fn pack(store: &Arc<AnyStore>, below: Height) -> Result<PackReport, RepairError> {
    let blocks = Blocks::open(store)?;
    let Some(segments) = blocks.segments() else {
        return Err(RepairError::Unsupported(
            "bodies are rows of this store, which its engine packs or not".to_owned(),
        ));
    };
    Ok(segments.pack(&store.begin_read()?, below)?)
}
