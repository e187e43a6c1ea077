//! What must be true of a store whose import was killed.
//!
//! Invariants (the oracle): the store holds the first `k` blocks of the file, for one `k` between
//! what was told and one commit more; every way to look a block up, by height, hash, transaction
//! and range, the totals, what the import keeps beside the blocks, and the check of the segments
//! say so; of a short import every row of every table is as it was in an import that nothing
//! disturbed. The import of the whole file then passes over these `k`, stores the others, and ends
//! with the digests of that undisturbed import.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chain_store::{AntelopeState, Blocks, BlocksDigest, ImportReport, RangeDigest, UnspentSet};
use chain_store::{AnyStore, BitcoinSummary};
use conformance::CaseError;
use conformance::crash::{Judged, Role, Subject};
use storage_api::blocks::{BlockQuery, BlockRef, BlockStore, BlockTotals, Height, TxPlace};
use storage_api::{KeyRange, KvStore, Reader};

use super::chains::{Chain, FiledBlock};
use super::work::{Commits, FILE, Failed, Length, Opened, Work};

/// The table that says where bodies in segments are.
const PLACES: &str = "blocks.places";

/// What becomes of a store that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The import is brought to its end.
    Finish,
    /// It stays as it is, for the next child.
    Leave,
}

/// An import with its file and what it comes to.
pub(super) struct Imported {
    pub(super) work: Work,
    pub(super) then: Then,
    words: String,
    file: PathBuf,
    _folder: tempfile::TempDir,
    blocks: Vec<FiledBlock>,
    states: States,
    last: BlocksDigest,
}

/// What an undisturbed import had in its states.
#[derive(Default)]
struct States {
    /// All rows: in each state where they are few, otherwise in the first and the last.
    contents: BTreeMap<u64, Rows>,
    /// What is kept beside the blocks.
    summaries: BTreeMap<u64, BitcoinSummary>,
}

impl States {
    fn note(&mut self, work: Work, store: &AnyStore, state: u64) -> Result<(), Failed> {
        if work.length == Length::Short {
            self.contents.insert(state, rows(store)?);
        }
        if let Some(beside) = summary(work, store)? {
            self.summaries.insert(state, beside);
        }
        Ok(())
    }
}

/// Fails unless two things are the same.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failed> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: {found:.200?} was found, {expected:.200?} expected").into())
}

/// The rows of each table by its name.
type Rows = BTreeMap<String, RangeDigest>;

/// Every row of every table, but where bodies are: a record that was written and never committed
/// stays in the log if no block is committed yet, so the numbers of the others differ by it.
fn rows(store: &AnyStore) -> Result<Rows, Failed> {
    let view = store.begin_read()?;
    let tables = store.catalogue().iter();
    let mut rows = BTreeMap::new();
    for table in tables.filter(|table| table.def.name() != PLACES) {
        let digest = RangeDigest::compute(&view, table.id, KeyRange::all(), &mut |_| {})?;
        rows.insert(table.def.name().to_owned(), digest);
    }
    Ok(rows)
}

fn digest(opened: &Opened) -> Result<BlocksDigest, Failed> {
    let view = opened.store.begin_read()?;
    Ok(BlocksDigest::compute(
        opened.import.blocks(),
        &view,
        &mut |_| {},
    )?)
}

/// An error and those behind it.
fn in_words(error: &Failed) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Imported {
    /// Makes the file, in this folder, and imports it once without disturbance.
    pub(super) fn new(work: Work, then: Then, folder: &Path) -> Result<Self, Failed> {
        let folder = tempfile::tempdir_in(folder)?;
        let file = folder.path().join("chain");
        let bytes = work
            .chain
            .file(work.length.blocks(), work.length.body_bytes());
        std::fs::write(&file, bytes)?;
        let blocks = work.chain.blocks(&file);
        same(
            "blocks of the file",
            &blocks.len(),
            &(work.length.blocks() as usize),
        )?;
        let one_by_one = Work {
            commits: Commits::Each,
            ..work
        };
        let mut opened = one_by_one.open(&folder.path().join("undisturbed"))?;
        let store = Arc::clone(&opened.store);
        let mut states = States::default();
        states.contents.insert(0, rows(&store)?);
        let mut noted = Ok(());
        opened.import.file(&file, &mut |report: &ImportReport| {
            noted = states.note(work, &store, report.blocks);
            if noted.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        noted?;
        states.contents.insert(blocks.len() as u64, rows(&store)?);
        let imported = Self {
            words: work.words(),
            work,
            then,
            file,
            _folder: folder,
            last: digest(&opened)?,
            blocks,
            states,
        };
        let all = imported.all();
        imported.compare(&opened, &(all..=all))?;
        Ok(imported)
    }

    /// The number of all blocks.
    pub(super) fn all(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Compares a store with the file; gives the number of its blocks.
    pub(super) fn compare(
        &self,
        opened: &Opened,
        allowed: &RangeInclusive<u64>,
    ) -> Result<u64, Failed> {
        let (store, blocks) = (&opened.store, opened.import.blocks());
        let view = store.begin_read()?;
        let totals = blocks.totals(&view)?;
        let found = totals.blocks;
        if !allowed.contains(&found) || found > self.all() {
            let (low, high) = (allowed.start(), allowed.end());
            return Err(format!("{found} blocks are there, {low} to {high} expected").into());
        }
        let (there, absent) = self.blocks.split_at(usize::try_from(found)?);
        self.compare_ends(blocks, &view, there)?;
        let mut expected = BlockTotals::default();
        for block in there {
            expected.blocks += 1;
            expected.transactions += u64::from(block.info.tx_count);
            expected.body_bytes += block.info.body_bytes;
            compare_block(blocks, &view, block)?;
        }
        same("totals", &totals, &expected)?;
        for block in absent.iter().take(3) {
            check_absent(blocks, &view, block)?;
        }
        compare_range(blocks, &view, there)?;
        if let Some(segments) = blocks.segments() {
            let checked = segments.check(&view)?;
            same("sound blocks", &checked.sound_blocks, &found)?;
            same("findings in blocks", &checked.blocks, &Vec::new())?;
            same("findings in segments", &checked.segments.len(), &0)?;
        }
        let beside = summary(self.work, store)?;
        same(
            "summary",
            &beside.as_ref(),
            &self.states.summaries.get(&found),
        )?;
        if let Some(beside) = beside {
            let table = store.catalogue().id(UnspentSet::TABLES[0].name())?;
            let rows = RangeDigest::compute(&view, table, KeyRange::all(), &mut |_| {})?.rows();
            same("unspent outputs", &rows, &beside.unspent_outputs)?;
        }
        if self.work.chain == Chain::Antelope {
            let state = AntelopeState::resolve(store.catalogue()).ok_or("no state of a log")?;
            let is_there = state.preamble(&view)?.is_some();
            same("the beginning of the log", &is_there, &(found > 0))?;
        }
        if let Some(expected) = self.states.contents.get(&found) {
            same("rows", &rows(store)?, expected)?;
        }
        Ok(found)
    }

    fn compare_ends<R: Reader>(
        &self,
        blocks: &Blocks,
        view: &R,
        there: &[FiledBlock],
    ) -> Result<(), Failed> {
        let end = |block: Option<&FiledBlock>| {
            block.map(|FiledBlock { info, .. }| BlockRef {
                height: info.height,
                hash: info.hash,
            })
        };
        same("tail", &blocks.tail(view)?, &end(there.first()))?;
        same("tip", &blocks.tip(view)?, &end(there.last()))
    }

    /// Judges the store in this directory, and lets the import go on to its end.
    fn judge(&self, role: &Role, allowed: &RangeInclusive<u64>) -> Result<Judged, Failed> {
        let mut opened = self.work.open(&role.directory)?;
        let found = match self.work.commits {
            Commits::Each => self.compare(&opened, allowed)?,
            Commits::Groups => self.compare(&opened, &(*allowed.start()..=self.all()))?,
        };
        if self.then == Then::Finish {
            let go_on = &mut |_: &ImportReport| ControlFlow::Continue(());
            opened.import.file(&self.file, go_on)?;
            let report = opened.import.report();
            same("blocks passed over", &report.known_blocks, &found)?;
            same("blocks stored", &report.blocks, &(self.all() - found))?;
        }
        let left = opened.stored()?;
        if left == self.all() {
            // Only what the file work of the import left can differ from what was compared.
            self.compare(&opened, &(left..=left))?;
            same("digest of the blocks", &digest(&opened)?, &self.last)?;
        }
        Ok(Judged { found, left })
    }
}

/// What the import keeps beside the blocks.
fn summary(work: Work, store: &AnyStore) -> Result<Option<BitcoinSummary>, Failed> {
    match work.chain {
        Chain::Antelope => Ok(None),
        Chain::Bitcoin => {
            let unspent = UnspentSet::resolve(store.catalogue())?;
            Ok(unspent.summary(&store.begin_read()?)?)
        }
    }
}

/// Looks one block up in every way.
fn compare_block<R: Reader>(blocks: &Blocks, view: &R, block: &FiledBlock) -> Result<(), Failed> {
    let height = block.info.height;
    let what = |what: &str| format!("{what} of block {height}");
    same(
        &what("entry"),
        &blocks.info(view, height)?,
        &Some(block.info),
    )?;
    same(
        &what("height"),
        &blocks.height_of(view, &block.info.hash)?,
        &Some(height),
    )?;
    same(&what("ids"), &blocks.tx_ids(view, height)?, &block.tx_ids)?;
    for (position, id) in (0..).zip(&block.tx_ids) {
        let place = TxPlace { height, position };
        same(&what("places"), &blocks.tx_places(view, id)?, &vec![place])?;
        same(&what("place"), &blocks.tx_place(view, id)?, &Some(place))?;
    }
    let mut is_same = None;
    blocks.with_body(view, height, &mut |body| is_same = Some(body == block.body))?;
    same(&what("body as in the file"), &is_same, &Some(true))
}

/// A block behind the tip is found in no way.
fn check_absent<R: Reader>(blocks: &Blocks, view: &R, block: &FiledBlock) -> Result<(), Failed> {
    let height = block.info.height;
    let what = |what: &str| format!("{what} of block {height}, which is not there");
    same(&what("entry"), &blocks.info(view, height)?, &None)?;
    same(
        &what("height"),
        &blocks.height_of(view, &block.info.hash)?,
        &None,
    )?;
    same(&what("ids"), &blocks.tx_ids(view, height)?, &Vec::new())?;
    for id in &block.tx_ids {
        same(&what("place"), &blocks.tx_place(view, id)?, &None)?;
    }
    same(&what("body"), &blocks.body(view, height)?, &None)
}

/// Reads the whole range.
fn compare_range<R: Reader>(blocks: &Blocks, view: &R, there: &[FiledBlock]) -> Result<(), Failed> {
    let mut expected = there.iter();
    let mut differs = None;
    let query = BlockQuery::from(Height::ZERO);
    let next = blocks.range(view, query, &mut |info, body| {
        let is_same = expected
            .next()
            .is_some_and(|block| block.info == *info && block.body == body);
        if is_same {
            return ControlFlow::Continue(());
        }
        differs = Some(info.height);
        ControlFlow::Break(())
    })?;
    same("block that differs in the range", &differs, &None)?;
    same("where the range ends", &next, &None)?;
    same("blocks behind the range", &expected.count(), &0)
}

impl Subject for Imported {
    fn engine_name(&self) -> &str {
        &self.words
    }

    fn child_command(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "harm::imports::child_process", "--nocapture"])
            .env(FILE, &self.file);
        Ok(command)
    }

    fn last_state(&self) -> u64 {
        self.all()
    }

    fn judge_store(&self, role: &Role, allowed: RangeInclusive<u64>) -> Result<Judged, CaseError> {
        let judged = self.judge(role, &allowed);
        judged.map_err(|error| CaseError::failed(in_words(&error)))
    }
}
