//! Power cuts: whatever part of the writes since the last sync reached the disk, in whatever order,
//! opening finds a state that was committed, and never one older than the last durable commit that
//! returned.

use std::io;
use std::sync::{Arc, Mutex};

use backend_kit::{RawBatch, RawEngine};
use backend_redb::{CommitStrategy, RedbEngine, StorageBackend};
use storage_api::{Durability, KeyRange, Writer};

use crate::support::{A, Dice, Disk, Opening, Rows, all};

#[derive(Clone, Debug)]
enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// A commit returned, and all commits up to this one are durable.
    Durable(usize),
}

/// A disk that writes down what was done to it.
#[derive(Clone, Debug, Default)]
struct Recorder {
    disk: Disk,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Event::SetLen(len));
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Event::Write(offset, data.to_vec()));
        self.disk.write(offset, data)
    }
}

/// Random commits of both lanes and all durabilities; every state that was committed, by number.
fn run(engine: &RedbEngine, recorder: &Recorder, dice: &mut Dice) -> Vec<Rows> {
    let mut states = vec![Rows::new()];
    for commit in 1..=40_usize {
        let mut rows = states[commit - 1].clone();
        let mut batch = engine.begin_batch().unwrap();
        for _ in 0..=dice.below(30) {
            let key = (dice.below(300) as u16).to_be_bytes();
            let value = vec![commit as u8; 1 + dice.below(700) as usize];
            batch.put(A, &key, &value).unwrap();
            rows.insert(key.to_vec(), value);
        }
        if dice.below(8) == 0 {
            let range = KeyRange::half_open(&[0, 20], &[0, 90]);
            batch.delete_range(A, &range).unwrap();
            rows.retain(|key, _| !range.contains(key));
        }
        states.push(rows);
        let durability = [
            Durability::Durable,
            Durability::Buffered,
            Durability::Volatile,
        ][dice.below(3) as usize];
        batch.commit(durability).unwrap();
        if durability != Durability::Volatile {
            recorder.note(Event::Durable(commit));
        } else if dice.below(3) == 0 {
            engine.sync().unwrap();
            recorder.note(Event::Durable(commit));
        }
    }
    states
}

/// The disk after the first `cut` events, of which those since the last sync reached it only by
/// chance. Lengths do, in order: file systems journal them.
fn cut_at(events: &[Event], cut: usize, dice: &mut Dice) -> (Vec<u8>, usize) {
    let synced = events[..cut]
        .iter()
        .rposition(|event| matches!(event, Event::Sync))
        .unwrap_or(0);
    let (mut image, mut durable) = (Vec::new(), 0);
    let mercy = dice.below(5);
    for (at, event) in events[..cut].iter().enumerate() {
        match event {
            Event::Write(offset, data) => {
                let offset = *offset as usize;
                let reached = at < synced || dice.below(4) < mercy;
                if reached && offset + data.len() <= image.len() {
                    image[offset..offset + data.len()].copy_from_slice(data);
                }
            }
            Event::SetLen(len) => image.resize(*len as usize, 0),
            Event::Sync => {}
            Event::Durable(commit) => durable = *commit,
        }
    }
    (image, durable)
}

fn try_strategy(strategy: CommitStrategy, seed: u64, cuts: usize) {
    let mut dice = Dice::new(seed);
    let recorder = Recorder::default();
    let kept = recorder.clone();
    let mut opening = Opening::fresh().on(move || Box::new(kept.clone()));
    opening.redb.commit_strategy = strategy;
    let (engine, _) = opening.open("unused".as_ref()).unwrap();
    let created = recorder.events.lock().unwrap().len();
    let states = run(&engine, &recorder, &mut dice);
    drop(engine);
    let events = recorder.events.lock().unwrap().clone();
    let mut older = 0;
    for _ in 0..cuts {
        let cut = created + dice.below((events.len() - created) as u64) as usize;
        let (image, durable) = cut_at(&events, cut, &mut dice);
        let disk = Disk::of(image);
        let again = Opening::again().on(move || Box::new(disk.clone()));
        let (engine, _) = again.open("unused".as_ref()).unwrap();
        let rows = all(&engine.view().unwrap(), A);
        let state = states.iter().rposition(|state| *state == rows);
        let state = state.unwrap_or_else(|| panic!("cut {cut}: a state that never was"));
        assert!(
            state >= durable,
            "cut {cut}: state {state}, durable was {durable}"
        );
        older += usize::from(state + 1 < states.len());
        let findings = engine.check().unwrap().unwrap().findings;
        assert!(findings.is_empty(), "cut {cut}: {findings:?}");
    }
    assert!(older > cuts / 2, "cuts fall into the middle of the history");
}

#[test]
fn quick_repair_survives() {
    try_strategy(CommitStrategy::QuickRepair, 0x9041, 150);
}

#[test]
fn two_phase_survives() {
    try_strategy(CommitStrategy::TwoPhase, 0x9042, 80);
}

#[test]
fn one_phase_survives() {
    try_strategy(CommitStrategy::OnePhase, 0x9043, 80);
}
