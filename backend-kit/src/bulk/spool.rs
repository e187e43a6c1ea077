//! The spool: takes full chunks, sorts them and keeps or spills them, in a thread of its own, while
//! the load gathers the next one.
//!
//! Invariants: chunks are kept, oldest first, until the next one would not fit the memory; from
//! then on each becomes a run, so runs are newer than all kept chunks; at most two chunks are on
//! their way, so memory stays bounded; the thread ends with its spool, which waits for it; what
//! fails in the thread, a panic included, is told by [`Spool::finish`] at the latest. Where the
//! system gives no thread, the work is done on the spot.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use storage_api::{Error, Result};

use super::chunk::Chunk;
use super::folder::Folder;
use super::run::{Run, RunWriter};
use super::tiers::Tiers;

/// Says to the threads of a load that nobody waits for their work any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that was gathered, sorted.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Oldest first.
    pub(super) chunks: Vec<Chunk>,
    /// Newer than the chunks, oldest first.
    pub(super) runs: Vec<Run>,
    /// How often a chunk was spilled.
    pub(super) spilled_runs: u32,
    /// Keeps the files of the runs there.
    pub(super) _folder: Option<Arc<Folder>>,
}

impl Gathered {
    pub(super) const fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.runs.is_empty()
    }
}

/// What the thread does with the chunks.
#[derive(Debug)]
struct Keeper {
    budget_bytes: usize,
    folder: Arc<Folder>,
    stop: Stop,
    chunks: Vec<Chunk>,
    kept_bytes: usize,
    tiers: Tiers,
    spilled_runs: u32,
}

impl Keeper {
    /// Sorts a chunk, and keeps it or spills its rows; gives an empty one for the next rows.
    fn take(&mut self, mut chunk: Chunk) -> Result<Chunk> {
        chunk.sort();
        let bytes = chunk.used_bytes();
        let has_room = self.kept_bytes.saturating_add(bytes) <= self.budget_bytes;
        if !self.folder.is_possible() || (has_room && self.tiers.is_empty()) {
            self.kept_bytes += bytes;
            self.chunks.push(chunk);
            return Ok(Chunk::new());
        }
        self.spill(&chunk)?;
        chunk.clear();
        Ok(chunk)
    }

    fn spill(&mut self, chunk: &Chunk) -> Result<()> {
        let folder = &self.folder;
        let mut next_path = || {
            let path = folder.next_run()?;
            path.ok_or_else(|| Error::invalid("a store without a directory does not spill"))
        };
        let mut writer = RunWriter::create(next_path()?, chunk.used_bytes() as u64)?;
        for (key, value) in chunk.rows() {
            writer.push(key, value)?;
        }
        let run = writer.finish()?;
        self.spilled_runs += 1;
        self.tiers.add(run, &self.stop, &mut next_path)
    }

    fn finish(self) -> Gathered {
        Gathered {
            chunks: self.chunks,
            runs: self.tiers.into_runs(),
            spilled_runs: self.spilled_runs,
            _folder: Some(self.folder),
        }
    }
}

/// The thread, and the ways to it and back.
#[derive(Debug)]
struct Worker {
    give: SyncSender<Chunk>,
    emptied: Receiver<Chunk>,
    thread: JoinHandle<Result<Gathered>>,
}

fn work(mut keeper: Keeper, given: &Receiver<Chunk>, emptied: &Sender<Chunk>) -> Result<Gathered> {
    for chunk in given {
        if keeper.stop.is_set() {
            break;
        }
        let empty = keeper.take(chunk)?;
        // Nobody takes it when no further chunk is gathered.
        let _taken = emptied.send(empty);
    }
    Ok(keeper.finish())
}

#[derive(Debug, Default)]
enum State {
    /// Nothing was given yet.
    Idle(Keeper),
    Working(Worker),
    /// Without a thread.
    OnTheSpot(Keeper),
    #[default]
    Ended,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Spool {
    state: State,
    stop: Stop,
}

fn start(keeper: Keeper) -> State {
    let (give, given) = sync_channel(1);
    let (done, emptied) = channel();
    // The thread takes its keeper from here, which stays here when there is no thread.
    let (hand_over, keeper_for_it) = channel();
    let thread = thread::Builder::new()
        .name("bulk-sort".to_owned())
        .spawn(move || match keeper_for_it.recv() {
            Ok(keeper) => work(keeper, &given, &done),
            Err(_) => Err(ended_early()),
        });
    match thread {
        Ok(thread) => {
            // Its receiver waits in the thread, or the thread's end is told by `finish`.
            let _sent = hand_over.send(keeper);
            State::Working(Worker {
                give,
                emptied,
                thread,
            })
        }
        Err(_) => State::OnTheSpot(keeper),
    }
}

fn ended_early() -> Error {
    let lost = io::Error::other("the thread that sorts its rows ended early");
    Error::from_io(lost, "a bulk load")
}

fn join(thread: JoinHandle<Result<Gathered>>) -> Result<Gathered> {
    thread.join().unwrap_or_else(|_panic| Err(ended_early()))
}

impl Spool {
    /// A spool that keeps so many bytes in memory; without a possible folder it keeps everything.
    pub(super) fn new(budget_bytes: usize, folder: Arc<Folder>) -> Self {
        let stop = Stop::default();
        Self {
            state: State::Idle(Keeper {
                budget_bytes,
                folder,
                stop: stop.clone(),
                chunks: Vec::new(),
                kept_bytes: 0,
                tiers: Tiers::default(),
                spilled_runs: 0,
            }),
            stop,
        }
    }

    /// Whether nothing was given yet.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    /// Takes a chunk and gives an empty one for the next rows; waits while two are on their way.
    ///
    /// # Errors
    /// What went wrong with this chunk or one before; the rows are lost then.
    pub(super) fn give(&mut self, chunk: Chunk) -> Result<Chunk> {
        self.state = match mem::take(&mut self.state) {
            State::Idle(keeper) => start(keeper),
            other => other,
        };
        match &mut self.state {
            State::OnTheSpot(keeper) => return keeper.take(chunk),
            State::Working(worker) => {
                if worker.give.send(chunk).is_ok() {
                    return Ok(worker.emptied.try_recv().unwrap_or_else(|_| Chunk::new()));
                }
            }
            State::Idle(_) | State::Ended => {}
        }
        // The thread ended, which it does by itself only after a failure.
        Err(self.finish().err().unwrap_or_else(ended_early))
    }

    /// Waits for the thread and takes what it kept and spilled.
    ///
    /// # Errors
    /// Of spilling; and `Io` when the thread was lost.
    pub(super) fn finish(&mut self) -> Result<Gathered> {
        match mem::take(&mut self.state) {
            State::Idle(keeper) | State::OnTheSpot(keeper) => Ok(keeper.finish()),
            State::Working(Worker { give, thread, .. }) => {
                drop(give);
                join(thread)
            }
            State::Ended => Err(ended_early()),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.stop.set();
        // Whatever it has to say is of no use to a load that was given up or has ended.
        let _gathered = self.finish();
    }
}
