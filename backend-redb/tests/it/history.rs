//! A history of commits through our store, and what must be found of it after a power cut.
//!
//! Invariants that are checked: the store opens; what it holds is one state that was committed,
//! whole over all tables, with the number of that commit; no older than the last commit that was
//! acknowledged as durable, no newer than the last that was asked for; nothing of an aborted
//! transaction; a full verification finds nothing and writing goes on.

use std::collections::BTreeMap;
use std::path::Path;

use backend_kit::{RawBatch, RawEngine};
use backend_redb::{BackendFactory, BackendSource, CommitStrategy, RedbOptions, RedbStore};
use storage_api::{
    Cursor, Durability, Engine, IfMissing, KeyRange, KvStore, Location, OpenOptions, OpenReport,
    Reader, Schema, TableDef, TableId, WriteBatch, WriteTxn, Writer,
};

use crate::image::{Event, Image, Recorder};
use crate::support::Dice;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows of every table.
type State = [Table; 3];

const TABLES: [TableId; 3] = [TableId::new(1), TableId::new(2), TableId::new(3)];

fn schema() -> Schema {
    let tables = [
        TableDef::new("accounts").with_envelope(),
        TableDef::new("blocks"),
        TableDef::new("log"),
    ];
    Schema::new(&tables).unwrap()
}

/// When a commit of a history is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// When the store says that it is durable.
    AsTheStoreSays,
    /// Before it is asked for.
    Early,
    /// As durable, although it was asked to be volatile.
    Volatile,
}

/// Whether views are held while a history goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Views {
    /// None.
    Dropped,
    /// One view at a time, for so many commits that quick repair is left off beside it for half of
    /// them, and none for a few commits in between. The store stays open meanwhile.
    Held,
}

/// Commits from one view that is held to the next, and those of them that it is held for.
const VIEW_EVERY: u64 = 150;
const VIEW_COMMITS: u64 = 130;

/// What a store did, state by state, beside what its disk was told.
#[derive(Debug)]
pub(crate) struct History {
    strategy: CommitStrategy,
    states: Vec<State>,
    pub(crate) events: Vec<Event>,
    /// Events of the making of the store.
    pub(crate) made: usize,
    directory: tempfile::TempDir,
}

/// A view that is held, and the number of its commit.
type HeldView = (<RedbStore as KvStore>::ReadTxn, u64);

/// Begins and ends the view that is held beside the commits; what it reads never changed.
fn turn_view(store: &RedbStore, states: &[State], commit: u64, held: &mut Option<HeldView>) {
    match commit % VIEW_EVERY {
        1 => *held = Some((store.begin_read().unwrap(), commit)),
        VIEW_COMMITS => {
            let (view, number) = held.take().unwrap();
            for (table, rows) in TABLES.into_iter().zip(&states[number as usize]) {
                compare(&view, table, rows).unwrap();
            }
        }
        _ => {}
    }
}

/// A directory for the marker and the lock, in memory where the machine has such a file system: the
/// data is elsewhere, and a disk would only make opening slow.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn open(
    directory: &Path,
    strategy: CommitStrategy,
    if_missing: IfMissing,
    disk: &Recorder,
) -> storage_api::Result<(RedbStore, OpenReport)> {
    let disk = disk.clone();
    let mut redb = RedbOptions::default();
    redb.commit_strategy = strategy;
    redb.backend = BackendSource::Custom(BackendFactory::new(move |_| Ok(Box::new(disk.clone()))));
    let mut options = OpenOptions::new();
    options.if_missing = if_missing;
    options.memory_budget_bytes = Some(4 << 20);
    let location = Location::Directory(directory);
    RedbStore::open(location, &schema(), &options, &redb)
}

/// A change of some keys of every table, on its way into a writer and into the model.
fn change(dice: &mut Dice, commit: u64, state: &mut State, writer: &mut impl Writer) {
    for (table, rows) in TABLES.into_iter().zip(state) {
        for _ in 0..dice.below(8) {
            let key = (dice.below(150) as u16).to_be_bytes();
            if dice.below(5) == 0 {
                writer.delete(table, &key).unwrap();
                rows.remove(&key[..]);
                continue;
            }
            let len = match dice.below(40) {
                0 => 9_000,
                _ => 1 + dice.below(300),
            };
            let value = vec![commit as u8; len as usize];
            writer.put(table, &key, &value).unwrap();
            rows.insert(key.to_vec(), value);
        }
        if dice.below(12) == 0 {
            let range = KeyRange::half_open(&[0, 20], &[0, 60]);
            writer.delete_range(table, &range).unwrap();
            rows.retain(|key, _| !range.contains(key));
        }
    }
}

impl History {
    /// Makes a store and commits to it in both lanes, with aborts, savepoints, syncs, compactions
    /// and closings in between.
    pub(crate) fn run(
        strategy: CommitStrategy,
        seed: u64,
        commits: u64,
        acks: Acks,
        views: Views,
    ) -> Self {
        let directory = directory();
        let path = directory.path().join("store");
        let mut dice = Dice::new(seed);
        let disk = Recorder::default();
        let (mut store, _) = open(&path, strategy, IfMissing::Create, &disk).unwrap();
        let mut held = None;
        let made = disk.len_of_history();
        let mut states = vec![State::default()];
        for commit in 1..=commits {
            let mut state = states[commit as usize - 1].clone();
            disk.note(Event::Begun(commit));
            let durability = match (acks, dice.below(4)) {
                (Acks::Volatile, _) | (_, 0) => Durability::Volatile,
                (_, 1) => Durability::Buffered,
                _ => Durability::Durable,
            };
            if acks == Acks::Early {
                disk.note(Event::Durable(commit));
            }
            commit_one(&store, &mut dice, commit, &mut state, durability);
            states.push(state);
            if durability != Durability::Volatile || acks == Acks::Volatile {
                disk.note(Event::Durable(commit));
            }
            if views == Views::Held {
                turn_view(&store, &states, commit, &mut held);
            }
            match dice.below(12) {
                0 => {
                    store.sync().unwrap();
                    disk.note(Event::Durable(commit));
                }
                1 if held.is_none() => {
                    drop(store);
                    (store, _) = open(&path, strategy, IfMissing::Fail, &disk).unwrap();
                }
                2 if commit % 3 == 0 && held.is_none() => {
                    store.as_compact().unwrap().compact().unwrap();
                }
                _ => {}
            }
        }
        drop((held, store));
        Self {
            strategy,
            states,
            events: disk.events(),
            made,
            directory,
        }
    }

    /// Opens a disk as a store.
    pub(crate) fn open(&self, disk: &Recorder) -> storage_api::Result<RedbStore> {
        self.recover(disk).map(|(store, _)| store)
    }

    /// Opens a disk as a store, with what that took.
    pub(crate) fn recover(&self, disk: &Recorder) -> storage_api::Result<(RedbStore, OpenReport)> {
        let path = self.directory.path().join("store");
        // The seal of the directory is of another moment than the image.
        let _none_yet = std::fs::remove_file(path.join("CHAINSTORE.seal"));
        open(&path, self.strategy, IfMissing::Fail, disk)
    }

    /// The number of the state that an open store holds, or what is wrong with it.
    pub(crate) fn examine(&self, store: &RedbStore, image: &Image) -> Result<u64, String> {
        let seq = store.stats().map_err(|error| error.to_string())?.commit_seq;
        let number = seq.get();
        if number < image.durable {
            return Err(format!(
                "lost: commit {} was durable and commit {number} is the last",
                image.durable
            ));
        }
        if number > image.begun {
            return Err(format!(
                "phantom: commit {number} is there and {} was the last begun",
                image.begun
            ));
        }
        let state = self.states.get(number as usize).ok_or("no such commit")?;
        let view = store.begin_read().map_err(|error| error.to_string())?;
        for (table, rows) in TABLES.into_iter().zip(state) {
            compare(&view, table, rows)
                .map_err(|what| format!("torn: table {table} of commit {number}: {what}"))?;
        }
        Ok(number)
    }

    /// Verification finds nothing.
    pub(crate) fn verify(&self, store: &RedbStore) -> Result<(), String> {
        let report = store.as_verify().unwrap().verify(&mut |_| {});
        match report {
            Ok(report) if report.is_sound() => Ok(()),
            Ok(report) => Err(format!("unsound: {:?}", report.findings)),
            Err(error) => Err(format!("not verified: {error}")),
        }
    }

    /// A commit on top of what was found is there when the store is opened again.
    pub(crate) fn go_on(&self, store: RedbStore, disk: &Recorder) -> Result<(), String> {
        let explain = |error: storage_api::Error| format!("stuck: {error}");
        let before = store.stats().map_err(explain)?.commit_seq;
        let mut batch = WriteBatch::new();
        for table in TABLES {
            batch.put(table, b"afterwards", &[7; 500]).unwrap();
        }
        store.apply(&batch, Durability::Durable).map_err(explain)?;
        drop(store);
        let store = self.open(disk).map_err(explain)?;
        let view = store.begin_read().map_err(explain)?;
        let found = TABLES.map(|table| view.get(table, b"afterwards").map(|v| v.is_some()));
        let there = found.iter().all(|found| matches!(found, Ok(true)));
        let after = store.stats().map_err(explain)?.commit_seq;
        if there && after == before.next() {
            Ok(())
        } else {
            Err(format!("stuck: {after} after {before}, {found:?}"))
        }
    }

    /// The disk at the end, with a row changed behind the store's back, which no check of redb can
    /// notice: the oracle must.
    pub(crate) fn forged(&self, forgery: Forgery) -> Image {
        let mut drive = crate::image::Drive::new(crate::image::Honesty::Honest, Vec::new(), 0, 0);
        self.events.iter().for_each(|event| drive.pass(event));
        let mut image = drive.image(crate::image::Fate::InOrder, &mut Dice::new(1));
        let disk = Recorder::on(image.bytes);
        let store = self.open(&disk).unwrap();
        let last = self.states.last().unwrap();
        let some_key = last[0].keys().next().unwrap();
        let mut batch = store.engine().begin_batch().unwrap();
        match forgery {
            Forgery::ExtraRow => batch.put(TABLES[1], b"never put", b"x"),
            Forgery::LostRow => batch.delete(TABLES[0], some_key),
            Forgery::OtherNumber => {
                let older = (self.states.len() as u64 - 2).to_le_bytes();
                batch.put(TableId::INTERNAL, b"commit-seq", &older)
            }
        }
        .unwrap();
        batch.commit(Durability::Durable).unwrap();
        drop(store);
        image.bytes = disk.disk.image();
        image.durable = 0;
        image
    }
}

/// How a disk is forged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forgery {
    ExtraRow,
    LostRow,
    OtherNumber,
}

/// One commit, sometimes after a transaction that is aborted.
fn commit_one(
    store: &RedbStore,
    dice: &mut Dice,
    commit: u64,
    state: &mut State,
    durability: Durability,
) {
    if dice.below(4) == 0 {
        let mut txn = store.begin_write().unwrap();
        change(dice, 0xee, &mut state.clone(), &mut txn);
        txn.abort().unwrap();
    }
    let seq = if dice.below(2) == 0 {
        let mut batch = WriteBatch::new();
        change(dice, commit, state, &mut batch);
        store.apply(&batch, durability).unwrap().seq
    } else {
        let mut txn = store.begin_write().unwrap();
        change(dice, commit, state, &mut txn);
        let savepoint = txn.savepoint().unwrap();
        change(dice, 0xdd, &mut state.clone(), &mut txn);
        txn.rollback_to(savepoint).unwrap();
        txn.commit(durability).unwrap().seq
    };
    assert_eq!(seq.map(storage_api::CommitSeq::get), Some(commit));
}

fn compare(view: &impl Reader, table: TableId, rows: &Table) -> Result<(), String> {
    let explain = |error: storage_api::Error| error.to_string();
    let mut cursor = view.cursor(table, KeyRange::all()).map_err(explain)?;
    for (at, (key, value)) in rows.iter().enumerate() {
        match cursor.next().map_err(explain)? {
            Some(row) if row.key == key && row.value == value => {}
            Some(row) if row.key == key => return Err(format!("row {at} has another value")),
            Some(_) => return Err(format!("row {at} has another key")),
            None => return Err(format!("{at} rows of {}", rows.len())),
        }
    }
    match cursor.next().map_err(explain)? {
        None => Ok(()),
        Some(_) => Err(format!("more than {} rows", rows.len())),
    }
}
