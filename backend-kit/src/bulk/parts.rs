//! The parts of a merge: key ranges of about the same size, each fed to the engine by a thread.
//!
//! Invariants: the ranges of the parts follow each other and cover all keys, so that every row is
//! in exactly one; a part that fails stops the others; nothing outlives the call. Where the system
//! gives no thread, the caller's feeds all parts.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use storage_api::{Error, ErrorKind, Result};

use crate::boundary;
use crate::raw::{RawEngine, RawPart};

use super::merge::Merge;
use super::run::Bounds;
use super::spool::{Gathered, Stop};

/// The least bytes that are worth a part of their own.
const PART_BYTES_MIN: u64 = 1 << 20;

/// Parts of a load: the processor's cores, but not more than this.
const PARTS_MAX: usize = 8;

/// About as many files of runs are open at most while several parts are fed.
const FILES_MAX: usize = 256;

/// A part of an engine whose library may panic.
pub(super) struct Guarded<E, P> {
    pub(super) part: P,
    engine: PhantomData<fn() -> E>,
}

impl<E, P> Guarded<E, P> {
    pub(super) const fn new(part: P) -> Self {
        let engine = PhantomData;
        Self { part, engine }
    }
}

impl<E: RawEngine, P: RawPart> RawPart for Guarded<E, P> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        boundary::call::<E, _>(|| self.part.push(key, value))
    }

    fn finish(&mut self) -> Result<()> {
        boundary::call::<E, _>(|| self.part.finish())
    }
}

/// What was handed to the engine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fed {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Fed {
    pub(super) const fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }
}

/// The keys at which the second part and each further one begin; none where one part is enough.
pub(super) fn cuts(gathered: &Gathered) -> Vec<Vec<u8>> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    cuts_for(gathered, cores.min(PARTS_MAX))
}

/// As [`cuts`], on so many cores.
pub(super) fn cuts_for(gathered: &Gathered, cores: usize) -> Vec<Vec<u8>> {
    let chunks = gathered.chunks.iter().map(|chunk| spread(chunk.samples()));
    let runs = gathered.runs.iter().map(|run| spread(run.samples()));
    let mut samples: Vec<_> = chunks.chain(runs).flatten().collect();
    let bytes: u64 = samples.iter().map(|(_, bytes)| bytes).sum();
    let by_bytes = usize::try_from(bytes / PART_BYTES_MIN).unwrap_or(usize::MAX);
    let by_files = FILES_MAX / gathered.runs.len().max(1);
    let parts = cores.min(by_bytes).min(by_files).max(1) as u64;
    samples.sort_unstable();
    let mut cuts: Vec<Vec<u8>> = Vec::new();
    let mut before = 0;
    for (key, bytes_of_it) in samples {
        let made = cuts.len() as u64;
        let is_due = made + 1 < parts && before >= bytes / parts * (made + 1);
        if is_due && cuts.last().is_none_or(|last| last.as_slice() < key) {
            cuts.push(key.to_vec());
        }
        before += bytes_of_it;
    }
    cuts
}

/// Each key with half of the bytes before it and half of those behind it.
fn spread<'k>(samples: impl Iterator<Item = (&'k [u8], u64)>) -> Vec<(&'k [u8], u64)> {
    let mut before = 0;
    let halves = samples.map(|(key, bytes)| {
        let around = before + bytes / 2;
        before = bytes - bytes / 2;
        (key, around)
    });
    halves.collect()
}

/// A part that waits for a thread, and where it begins and ends.
struct Waiting<'k, P> {
    part: P,
    bounds: Bounds<'k>,
}

/// The parts that wait, and those that were fed, by place.
struct Parts<'k, P> {
    waiting: Vec<Option<Waiting<'k, P>>>,
    fed: Vec<Option<(P, Fed)>>,
    next: usize,
    failure: Option<Error>,
}

/// Feeds everything to these parts, one more than there are cuts, and gives them back, filled.
///
/// # Errors
/// The first failure of the engine, or of reading a run.
pub(super) fn feed<P: RawPart>(
    gathered: &Gathered,
    cuts: &[Vec<u8>],
    parts: Vec<P>,
) -> Result<(Vec<P>, Fed)> {
    let count = parts.len();
    let begins = [None].into_iter().chain(cuts.iter().map(Some));
    let ends = cuts.iter().map(Some).chain([None]);
    let bounds = begins.zip(ends).map(|(from, until)| Bounds {
        from: from.map(Vec::as_slice),
        until: until.map(Vec::as_slice),
    });
    let waiting = parts.into_iter().zip(bounds);
    let parts = Mutex::new(Parts {
        waiting: waiting
            .map(|(part, bounds)| Some(Waiting { part, bounds }))
            .collect(),
        fed: (0..count).map(|_| None).collect(),
        next: 0,
        failure: None,
    });
    let stop = Stop::default();
    let work = || work_on(gathered, &parts, count, &stop);
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(count);
        for _ in 1..count {
            let builder = thread::Builder::new().name("bulk-feed".to_owned());
            // Without the thread the others feed its part too.
            threads.extend(builder.spawn_scoped(scope, work).ok());
        }
        work();
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = parts.failure {
        return Err(error);
    }
    let mut all = Fed::default();
    let mut filled = Vec::with_capacity(count);
    for (part, fed) in parts.fed.into_iter().flatten() {
        all.rows += fed.rows;
        all.bytes += fed.bytes;
        filled.push(part);
    }
    Ok((filled, all))
}

/// Feeds parts as long as one waits.
fn work_on<P: RawPart>(
    gathered: &Gathered,
    parts: &Mutex<Parts<'_, P>>,
    count: usize,
    stop: &Stop,
) {
    let lock = || parts.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut locked = lock();
        let place = locked.next;
        locked.next += 1;
        let Some(waiting) = locked.waiting.get_mut(place).and_then(Option::take) else {
            return;
        };
        drop(locked);
        let fed = feed_one(gathered, waiting, count, stop);
        let mut locked = lock();
        match fed {
            Ok(fed) => locked.fed[place] = Some(fed),
            Err(error) => {
                stop.set();
                // What the others say after it is that they were stopped.
                locked.failure.get_or_insert(error);
                return;
            }
        }
    }
}

fn feed_one<P: RawPart>(
    gathered: &Gathered,
    waiting: Waiting<'_, P>,
    merges: usize,
    stop: &Stop,
) -> Result<(P, Fed)> {
    let Waiting { mut part, bounds } = waiting;
    let mut fed = Fed::default();
    let merge = Merge::new(&gathered.chunks, &gathered.runs, bounds, merges)?;
    merge.for_each(&mut |key, value| {
        if stop.is_set() {
            return Err(Error::new(ErrorKind::TxnFailed));
        }
        fed.add(key, value);
        part.push(key, value)
    })?;
    part.finish()?;
    Ok((part, fed))
}
