//! What a log must hold: the records, which of them are durable, and scripts that make them.
//!
//! Invariant: payloads are drawn anew for each append but where a script writes the same again on
//! purpose, so a record that comes back from before a cut is told from the one that took its place.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use seglog::disk::Disk;
use seglog::{
    ChainTag, Height, Log, LogError, LogOptions, LogResult, Place, Reader, SegmentNumber,
};

/// One step of a life.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Append(Vec<u8>),
    Sync,
    /// Cuts so many records at the tip.
    Truncate(u64),
    /// Cuts at the tail, keeping so many records.
    Prune(u64),
    Reopen,
    /// Packs the segment this many before the one that is written to.
    Pack(u64),
}

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) first: u64,
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Heights below this one are durable.
    pub(crate) synced: u64,
    /// The lowest height that an unfinished cut at the tip may leave.
    pub(crate) cut_to: Option<u64>,
    /// The highest height that an unfinished cut at the tail may leave as the first.
    pub(crate) pruned_to: Option<u64>,
}

impl Model {
    pub(crate) fn next(&self) -> u64 {
        self.first + self.payloads.len() as u64
    }

    /// Compares a log that was opened after a crash.
    pub(crate) fn compare(&self, log: &Log, context: &str) {
        let (first, next) = (log.first().get(), log.next().get());
        let least = self.cut_to.map_or(self.synced, |cut| cut.min(self.synced));
        assert!(
            next >= least,
            "{context}: synced up to {least}, there up to {next}"
        );
        assert!(next <= self.next(), "{context}: {next} is a phantom");
        let first_max = self.pruned_to.unwrap_or(self.first).max(self.first);
        assert!(
            first <= first_max,
            "{context}: begins at {first}, not {first_max}"
        );
        let mut seen = first;
        for (height, payload) in records(&log.reader(), log.next()).unwrap() {
            assert_eq!(height, seen, "{context}");
            seen += 1;
            // Below the first one lies what a segment keeps of what was pruned.
            if let Some(expected) = height.checked_sub(self.first) {
                let expected = &self.payloads[usize::try_from(expected).unwrap()];
                assert!(
                    payload == *expected,
                    "{context}: record {height} is another"
                );
            }
        }
        assert_eq!(seen, next, "{context}");
    }
}

/// All records of a log, read in a row and one by one.
pub(crate) fn records(reader: &Reader, next: Height) -> LogResult<Vec<(u64, Vec<u8>)>> {
    let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut places: Vec<(Height, Place)> = Vec::new();
    let Some((segment, _)) = reader.segments().first().copied() else {
        return Ok(found);
    };
    let mut scan = reader.scan_segment(segment, next)?;
    while let Some((height, place, payload)) = scan.read_next()? {
        found.push((height.get(), payload.to_vec()));
        places.push((height, place));
    }
    let mut payload = Vec::new();
    for ((height, place), (_, expected)) in places.iter().zip(&found) {
        let read = reader.read(*height, place, &mut payload)?;
        assert!(read == *expected, "record {height} by its place");
    }
    Ok(found)
}

pub(crate) fn options(advance_bytes: u64) -> LogOptions {
    LogOptions {
        chain: ChainTag::new(0x1122_3344_5566_7788),
        first: Height::new(1),
        segment_bytes_max: 1_500,
        advance_bytes,
        ..LogOptions::default()
    }
}

/// How much longer payloads and segments of pages are than short ones.
pub(crate) const PAGES: usize = 16;

/// As [`options`], of segments of several pages, so that writes end in zeros up to a page's end.
pub(crate) fn options_of_pages(advance_bytes: u64) -> LogOptions {
    let short = options(advance_bytes);
    LogOptions {
        segment_bytes_max: short.segment_bytes_max * PAGES as u64,
        advance_bytes: advance_bytes * PAGES as u64,
        ..short
    }
}

/// A life of so many steps, with payloads so many times as long as short ones.
pub(crate) fn script(dice: &mut ChaCha8Rng, steps: usize, longer: usize) -> Vec<Act> {
    let mut last: Vec<Vec<u8>> = vec![vec![1; 40]];
    let mut acts = Vec::with_capacity(steps);
    for _ in 0..steps {
        acts.push(match dice.random_range(0..21) {
            0..=9 => {
                let again = dice.random_bool(0.2);
                let len = match dice.random_range(0..10) {
                    0 => 0,
                    1 => dice.random_range(1_400..2_000),
                    _ => dice.random_range(1..700),
                };
                let payload = if again {
                    last[dice.random_range(0..last.len())].clone()
                } else {
                    (0..len * longer)
                        .map(|_| dice.random_range(0..4))
                        .collect::<Vec<u8>>()
                };
                last.push(payload.clone());
                Act::Append(payload)
            }
            10..=15 => Act::Sync,
            16 | 17 => Act::Truncate(dice.random_range(0..6)),
            18 => Act::Prune(dice.random_range(0..8)),
            19 => Act::Pack(dice.random_range(0..3)),
            _ => Act::Reopen,
        });
    }
    acts
}

/// Lives a script; ends where a step fails, with what the model allows then.
pub(crate) fn live(
    disk: &Arc<dyn Disk>,
    options: LogOptions,
    acts: &[Act],
) -> (Model, Result<Log, LogError>) {
    let mut model = Model {
        first: options.first.get(),
        synced: options.first.get(),
        ..Model::default()
    };
    let mut log = match Log::open(Arc::clone(disk), options) {
        Ok((log, _)) => log,
        Err(error) => return (model, Err(error)),
    };
    for act in acts {
        if matches!(act, Act::Reopen) {
            // Closing does so too, and says nothing where it fails.
            if let Err(error) = log.flush() {
                return (model, Err(error));
            }
            // One log at a time.
            drop(log);
            log = match Log::open(Arc::clone(disk), options) {
                Ok((again, recovered)) => {
                    assert_eq!(again.next().get(), model.next(), "{recovered:?}");
                    again
                }
                Err(error) => return (model, Err(error)),
            };
        }
        if let Err(error) = step(&mut log, &mut model, act) {
            return (model, Err(error));
        }
    }
    (model, Ok(log))
}

fn step(log: &mut Log, model: &mut Model, act: &Act) -> LogResult<()> {
    match act {
        Act::Append(payload) => {
            let height = Height::new(model.next());
            model.payloads.push(payload.clone());
            let place = log.append(height, payload)?;
            // Some gather, so that one write has several of them.
            if payload.len() % 2 == 0 {
                log.flush()?;
                let mut read = Vec::new();
                let read = log.reader().read(height, &place, &mut read)?.to_vec();
                assert!(read == *payload, "what was flushed is read at once");
            }
        }
        Act::Sync => {
            log.sync()?;
            model.synced = model.next();
        }
        Act::Truncate(records) => {
            let next = model.next().saturating_sub(*records).max(log.first().get());
            let next = next.max(model.first);
            model.cut_to = Some(next);
            log.truncate(Height::new(next))?;
            model.cut_to = None;
            let kept = usize::try_from(next - model.first).unwrap();
            let was_cut = kept < model.payloads.len();
            model.payloads.truncate(kept);
            // A cut makes durable what it leaves.
            model.synced = if was_cut { next } else { model.synced };
        }
        Act::Prune(records) => {
            let tail = model.next().saturating_sub(*records).max(model.first);
            model.pruned_to = Some(tail);
            log.prune(Height::new(tail))?;
            model.pruned_to = None;
            let gone = log.first().get().saturating_sub(model.first);
            model.first += gone;
            model.payloads.drain(..usize::try_from(gone).unwrap());
            model.synced = model.synced.max(model.first);
        }
        Act::Pack(before) => {
            if let Some(number) = log.segment().get().checked_sub(*before) {
                log.packer().pack(SegmentNumber::new(number))?;
            }
        }
        Act::Reopen => {
            // Opening makes durable what it finds.
            model.synced = model.next();
        }
    }
    Ok(())
}
